//! What a parent that watches over one child needs of the system.

use super::check;
use super::command::Command;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Makes `command` start its child with `pipe` open under the same number, and with SIGTERM as what
/// it gets when this process dies. Call it from the process's first thread: the kernel means the
/// death of the thread that has started the child.
pub fn tie<'a>(command: &'a mut Command, pipe: BorrowedFd<'_>) -> &'a mut Command {
    let pipe: RawFd = pipe.as_raw_fd();
    let parent = std::process::id() as libc::pid_t;
    let start = move || {
        // SAFETY: between fork and exec only async-signal-safe calls are made, with integers only.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
            // One that died before this call sends nothing any more.
            if libc::getppid() != parent {
                libc::_exit(0);
            }
            check(libc::fcntl(pipe, libc::F_SETFD, 0))?;
        }
        Ok(())
    };
    // SAFETY: see the closure.
    unsafe { command.pre_exec(start) }
}

/// Waits until a descriptor can be read from, or for so long. Signals may cut it short.
pub fn wait(one: BorrowedFd<'_>, timeout: Duration) {
    // Rounded up, or it would look just before the time again and again.
    poll(one, i32::try_from(timeout.as_millis().saturating_add(1)).unwrap_or(i32::MAX));
}

/// Whether a read would not wait.
pub fn is_readable(one: BorrowedFd<'_>) -> bool {
    poll(one, 0)
}

fn poll(one: BorrowedFd<'_>, milliseconds: i32) -> bool {
    let mut entry = libc::pollfd { fd: one.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the entry lives through the call, which fills it.
    unsafe { libc::poll(&raw mut entry, 1, milliseconds) > 0 }
}

/// Takes a child that has ended, and how; `None` if there is none. As process 1 of a container this
/// process has other people's children, too.
pub fn reap() -> Option<(u32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the status lives through the call, which fills it.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid as u32, ExitStatus::from_raw(status)))
}

/// From now on writes to `pipe` don't wait. It stays open when this process becomes another program;
/// those that it starts don't get it (`process::isolate`).
///
/// # Errors
/// It is no descriptor of this process, or no pipe.
pub fn adopt_pipe(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let number = pipe.as_raw_fd();
    // SAFETY: all zero is a valid stat, which the call fills; else integers only.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(number, &raw mut stat))?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFIFO {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = check(libc::fcntl(number, libc::F_GETFL))?;
        check(libc::fcntl(number, libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
    }
}

/// Takes a descriptor over that this process was started with.
///
/// # Errors
/// It is none, or no pipe.
pub fn inherit(number: RawFd) -> io::Result<std::fs::File> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `adopt_pipe` checks that it is open before anything is done with it.
    adopt_pipe(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: it is open, and whoever calls this is the only one to know its number.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::command::Stdio;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn a_tied_child_has_the_pipe_and_no_other_has() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        let number = writer.as_raw_fd();
        command.args(["-c", &format!("printf x >/proc/self/fd/{number}")]).stdin(Stdio::null());
        let mut child = tie(&mut command, writer.as_fd()).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        // Others don't.
        let own = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        let mut command = Command::new("readlink");
        command.arg(format!("/proc/self/fd/{number}")).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let listed = io::read_to_string(child.stdout.take().unwrap()).unwrap();
        child.wait().unwrap();
        assert!(!listed.contains(&*own.to_string_lossy()));
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn waiting_ends_when_there_is_something_to_read_or_the_time_is_over() {
        let (reader, mut writer) = io::pipe().unwrap();
        let began = Instant::now();
        wait(reader.as_fd(), Duration::from_millis(30));
        assert!(began.elapsed() >= Duration::from_millis(30));
        writer.write_all(b"x").unwrap();
        wait(reader.as_fd(), Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn what_is_no_pipe_is_not_taken_for_one() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(adopt_pipe(file.as_fd()).is_err());
        assert!(inherit(1).is_err() && inherit(-1).is_err() && inherit(9999).is_err());
    }
}

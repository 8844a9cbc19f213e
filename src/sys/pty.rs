//! Pseudo-terminals: a shell's window, and the programs behind it.

use super::check;
use super::command::{Child, Command, Stdio};
use super::process::{self, Group};
use super::users::Who;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Opens the side of a new terminal that isn't the shell's, not waiting for reads and writes.
fn open_ours() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let ours = options.open("/dev/ptmx")?;
    let unlocked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the integer lives through the call.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked) })?;
    Ok(ours)
}

/// Opens the shell's side of a terminal.
fn open_theirs(ours: &File) -> io::Result<File> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the descriptor is open, and the integer that the call fills lives through it.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) })?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY);
    options.open(format!("/dev/pts/{number}"))
}

/// Starts a program on a new terminal, in a session of its own that the terminal controls, clean
/// and, if so wished, as somebody else. Returns it and our side of the terminal.
///
/// # Errors
/// There is no terminal to be had (`/dev/pts` isn't mounted, or has no more), or what stands in
/// the program's way.
pub fn start(command: &mut Command, who: Option<&Who>) -> io::Result<(Child, File)> {
    let ours = open_ours()?;
    let theirs = open_theirs(&ours)?;
    if let Some(who) = who {
        // As login(1) does: programs ask for their terminal's owner.
        std::os::unix::fs::fchown(&theirs, Some(who.uid), None)?;
    }
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(Stdio::from(theirs));
    process::isolate(command, Group::Session);
    // SAFETY: the call takes integers only, and is async-signal-safe.
    unsafe { command.pre_exec(|| check(libc::ioctl(0, libc::TIOCSCTTY as _, 0)).map(drop)) };
    let child = become_user(command, who).spawn()?;
    Ok((child, ours))
}

/// Has the program run as `who`, if that isn't this process's user anyway.
pub fn become_user<'a>(command: &'a mut Command, who: Option<&Who>) -> &'a mut Command {
    let Some(who) = who.cloned() else { return command };
    let start = move || {
        // SAFETY: async-signal-safe calls that allocate nothing; what they read lives in the
        // closure.
        unsafe {
            libc::umask(0o022);
            let same = libc::geteuid() == who.uid && libc::getegid() == who.gid;
            if !same {
                check(libc::setgroups(who.groups.len() as _, who.groups.as_ptr()))?;
                check(libc::setgid(who.gid))?;
                check(libc::setuid(who.uid))?;
            }
        }
        Ok(())
    };
    // SAFETY: see the closure.
    unsafe { command.pre_exec(start) }
}

/// Tells the terminal how large its window is; its programs hear of it.
///
/// # Errors
/// What the system says: the terminal is closed.
pub fn resize(ours: &File, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the structure lives through the call.
    let set =
        unsafe { libc::ioctl(ours.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) };
    check(set).map(drop)
}

/// The processes of the session that `leader` leads or led, itself included.
fn of_session(leader: u32) -> Vec<u32> {
    let leader = leader.to_string();
    let is_in = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent, group, session.
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        !rest.starts_with('Z') && rest.split(' ').nth(3) == Some(leader.as_str())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_in).collect()
}

/// Sends `signal` to every process of a session. Returns how many there are.
pub fn signal_session(leader: u32, signal: libc::c_int) -> usize {
    let all = of_session(leader);
    for pid in &all {
        let _ = process::signal(*pid, signal);
    }
    all.len()
}

/// Sends `signal` to a process group.
pub fn signal_group(leader: u32, signal: libc::c_int) {
    if let Ok(group) = libc::pid_t::try_from(leader) {
        // SAFETY: takes integers only.
        unsafe { libc::kill(-group, signal) };
    }
}

/// Whether this process may run others as anybody.
pub fn is_root() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};

    fn sh(script: &str) -> (Child, File) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        start(&mut command, None).unwrap()
    }

    /// Reads until `wanted` was printed.
    fn until(ours: &mut File, wanted: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        let (mut text, mut bytes) = (String::new(), [0; 512]);
        while !text.contains(wanted) {
            assert!(Instant::now() < deadline, "only {text}");
            match ours.read(&mut bytes) {
                Ok(count) => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error} after {text}"),
            }
        }
        text
    }

    #[test]
    fn a_program_has_the_terminal_for_its_own_and_hears_of_its_size() {
        let (mut child, mut ours) =
            sh("stty size; read line; stty size; test -t 0 && echo tty $line");
        until(&mut ours, "0 0");
        resize(&ours, 101, 33).unwrap();
        ours.write_all(b"here\n").unwrap();
        let text = until(&mut ours, "tty here");
        assert!(text.contains("33 101"), "{text}");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_typed_interrupt_reaches_what_runs_in_front() {
        let (mut child, mut ours) =
            sh("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done");
        until(&mut ours, "ready");
        ours.write_all(&[3]).unwrap();
        until(&mut ours, "caught");
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn a_session_s_processes_end_together_in_whatever_group_they_are() {
        let (mut child, mut ours) = sh("set -m; sleep 600 & echo \"pid $! end\"; sleep 600");
        let text = until(&mut ours, "end");
        let background = text.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(signal_session(child.id(), libc::SIGKILL) >= 2);
        child.wait().unwrap();
        crate::testing::wait_for_death(background);
        assert_eq!(signal_session(child.id(), libc::SIGKILL), 0);
    }
}

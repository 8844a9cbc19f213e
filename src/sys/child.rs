//! Children that outlive the agent: how they are started, watched and waited for.

use super::command::Command;
use super::process::{self, Group};
use super::users::Who;
use super::{cgroup, check, tree};
use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// What happens in the new process before its program begins, besides a clean start.
#[derive(Debug, Default)]
pub struct Before {
    /// Files `cgroup.procs` of the groups that it joins.
    pub groups: Vec<CString>,
    /// The most private memory, bytes.
    pub data: Option<u64>,
    /// Its `oom_score_adj`.
    pub oom_score: i32,
    /// As whom it runs, if not as the agent.
    pub who: Option<Who>,
}

/// Makes `command` start its child clean, in a session of its own, and with all of `before`.
pub fn prepare(command: &mut Command, before: Before) -> &mut Command {
    let oom_score = before.oom_score.to_string().into_bytes();
    let start = move || {
        cgroup::enter(&before.groups);
        if before.data.is_some() {
            tree::limit_data(0, before.data)?;
        }
        // SAFETY: between fork and exec only async-signal-safe calls are made, none of which
        // allocates; what they read lives in the closure.
        unsafe {
            libc::umask(0o022);
            let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
            if score >= 0 {
                libc::write(score, oom_score.as_ptr().cast(), oom_score.len());
                libc::close(score);
            }
            if let Some(who) = &before.who {
                // Without these rights the agent may still start what runs as itself.
                let same = libc::geteuid() == who.uid && libc::getegid() == who.gid;
                if !same {
                    check(libc::setgroups(who.groups.len() as _, who.groups.as_ptr()))?;
                    check(libc::setgid(who.gid))?;
                    check(libc::setuid(who.uid))?;
                }
            }
        }
        Ok(())
    };
    process::isolate(command, Group::Session);
    // SAFETY: see the closure.
    unsafe { command.pre_exec(start) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody knows: it wasn't this process's child.
    Unknown,
}

/// What waiting for a child without patience says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It lives.
    Running,
    /// It ended, and nothing is left of it.
    Ended(End),
    /// It isn't this process's child.
    Stranger,
}

/// Looks whether a child has ended.
pub fn wait(pid: u32) -> Waited {
    let mut status = 0;
    // SAFETY: the status lives through the call, which fills it.
    let found = unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, libc::WNOHANG) };
    match found {
        0 => Waited::Running,
        found if found < 0 => Waited::Stranger,
        _ if libc::WIFEXITED(status) => Waited::Ended(End::Code(libc::WEXITSTATUS(status))),
        _ => Waited::Ended(End::Signal(libc::WTERMSIG(status))),
    }
}

/// A descriptor that becomes readable when a process ends, whoever started it. Linux 5.3.
///
/// # Errors
/// What pidfd_open(2) says.
pub fn watch(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers only; the descriptor is new and nobody else's.
    unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        let descriptor = check(number as libc::c_int)?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::command::Stdio;

    fn ended(pid: u32) -> End {
        for _ in 0..1000 {
            if let Waited::Ended(end) = wait(pid) {
                return end;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it lives");
    }

    fn start(script: &str) -> u32 {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        prepare(&mut command, Before::default()).spawn().unwrap().id()
    }

    #[test]
    fn the_ends_of_children_are_told_apart() {
        assert_eq!(ended(start("exit 3")), End::Code(3));
        assert_eq!(ended(start("kill -9 $$")), End::Signal(9));
        let alive = start("sleep 600");
        assert_eq!(wait(alive), Waited::Running);
        process::kill_group(alive).unwrap();
        assert_eq!(ended(alive), End::Signal(9));
        assert_eq!(wait(alive), Waited::Stranger);
    }
}

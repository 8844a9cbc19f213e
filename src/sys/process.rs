//! Starting and ending processes.

use super::check;
use super::command::Command;
use std::fs;
use std::io;

/// Where the kernel can't mark all descriptors at once (before Linux 5.11), those above this are
/// not looked for when a child is started; ours are few.
const HIGHEST_DESCRIPTOR: libc::c_int = 1024;

/// `linux/close_range.h`
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// How a child relates to its parent's process group and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A process group of its own, to be killed as a whole.
    Own,
    /// A session of its own: it outlives the daemon and hears nothing of its terminal.
    Session,
    /// The same, of a part of the agent: the OOM killer spares it as it spares this process.
    #[cfg(feature = "session")]
    Part,
}

/// Makes `command` start its child clean: no descriptors but the standard three, default signal
/// handling, an empty signal mask, and, unless it is [`Group::Part`], an ordinary chance to be picked by the OOM killer.
pub fn isolate(command: &mut Command, group: Group) -> &mut Command {
    let start = move || {
        // SAFETY: between fork and exec only async-signal-safe calls are made, none of which
        // allocates; the mask and the action are valid when all bits are zero.
        unsafe {
            match group {
                Group::Own => check(libc::setpgid(0, 0))?,
                _ => check(libc::setsid())?,
            };
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_DFL);
            }
            // Marked rather than closed: the standard library reports a failed exec through a
            // pipe of its own.
            let all = (3 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC);
            if libc::syscall(libc::SYS_close_range, all.0, all.1, all.2) != 0 {
                for descriptor in 3..HIGHEST_DESCRIPTOR {
                    libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            #[cfg(feature = "session")]
            if group == Group::Part {
                return Ok(());
            }
            let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
            if score >= 0 {
                libc::write(score, c"0".as_ptr().cast(), 1);
                libc::close(score);
            }
        }
        Ok(())
    };
    // SAFETY: see the closure.
    unsafe { command.pre_exec(start) }
}

/// A process as the kernel can tell it from every other since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// Clock ticks between boot and its start.
    pub started: u64,
}

impl Identity {
    /// Reads it from `/proc`; `None` if there is no such process.
    pub fn of(pid: u32) -> Option<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; field 22 is the 20th after it.
        let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
        Some(Identity { pid, started })
    }

    /// Whether it is still there, and is no zombie's successor.
    pub fn is_alive(self) -> bool {
        Identity::of(self.pid) == Some(self)
    }
}

/// This process and, where there is one, its guardian: the parent whose program has the same name
/// (another version of it may be in another folder). Without one it is this process twice.
pub fn own() -> [u32; 2] {
    let (me, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let is_guardian = program(me).is_some_and(|mine| program(parent) == Some(mine));
    [me, if is_guardian { parent } else { me }]
}

/// The name of a process's program.
fn program(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    // An update may have put another file in its place.
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// Makes this process the first one of a session of its own; one that leads a process group
/// can't, and has a group of its own already.
pub fn new_session() {
    // SAFETY: takes nothing.
    unsafe { libc::setsid() };
}

/// Sends `signal` to one process.
///
/// # Errors
/// What kill(2) says: most often that it is gone.
pub fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes integers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Has the kernel end this process, and whatever program it has become by then, after so many
/// seconds (SIGALRM); 0: never.
pub fn alarm(seconds: u64) {
    let seconds = libc::c_uint::try_from(seconds).unwrap_or(libc::c_uint::MAX);
    // SAFETY: takes an integer only.
    unsafe { libc::alarm(seconds) };
}

/// Forgets a child that has ended; one that lives, or isn't this process's, is left alone.
pub fn reap(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: nothing is written where the pointer is null.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Kills a whole process group at once.
///
/// # Errors
/// What kill(2) says: most often that it is gone.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let group = libc::pid_t::try_from(leader).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes integers only.
    check(unsafe { libc::kill(-group, libc::SIGKILL) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::command::Stdio;

    #[test]
    fn a_killed_group_takes_its_grandchildren_along() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let mut child = isolate(&mut command, Group::Own).spawn().unwrap();
        let mut line = String::new();
        let mut out = io::BufReader::new(child.stdout.take().unwrap());
        io::BufRead::read_line(&mut out, &mut line).unwrap();
        let grandchild = line.trim().parse().unwrap();
        assert!(Identity::of(grandchild).is_some());
        kill_group(child.id()).unwrap();
        child.wait().unwrap();
        crate::testing::wait_for_death(grandchild);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!Identity { started: me.started + 1, ..me }.is_alive());
        assert_eq!(Identity::of(u32::MAX), None);
    }

    #[cfg(feature = "session")]
    #[test]
    fn the_oom_killer_spares_parts_of_the_agent_as_the_agent_and_programs_not() {
        const OWN: &str = "/proc/self/oom_score_adj";
        let before = fs::read_to_string(OWN).unwrap();
        let own = (before.trim().parse::<i32>().unwrap() + 7).min(1000);
        // To ask for more is anybody's right, and to go back as well.
        fs::write(OWN, own.to_string()).unwrap();
        let scores = [Group::Part, Group::Session, Group::Own].map(|group| {
            let mut command = Command::new("cat");
            let mut child =
                isolate(command.arg(OWN).stdout(Stdio::piped()), group).spawn().unwrap();
            let score = io::read_to_string(child.stdout.take().unwrap()).unwrap();
            child.wait().unwrap();
            score.trim().parse::<i32>().unwrap()
        });
        fs::write(OWN, before.trim()).unwrap();
        assert_eq!(scores, [own, 0, 0]);
    }

    #[test]
    fn a_child_inherits_no_descriptor() {
        let file = fs::File::open("/dev/null").unwrap();
        // SAFETY: takes integers only; makes the descriptor inheritable.
        unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_SETFD, 0) };
        let mut command = Command::new("ls");
        command.arg("/proc/self/fd").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = isolate(&mut command, Group::Own).spawn().unwrap();
        let listed = io::read_to_string(child.stdout.take().unwrap()).unwrap();
        child.wait().unwrap();
        // 0, 1, 2, and the one that ls itself has opened.
        assert_eq!(listed.lines().count(), 4, "{listed}");
    }
}

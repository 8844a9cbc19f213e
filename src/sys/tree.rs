//! The processes of the machine as `/proc` shows them: who descends from whom, what each uses.

use super::check;
use super::process::Identity;
use std::fs;
use std::io;
use std::time::Duration;

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Which one.
    pub identity: Identity,
    /// The process that started it, or the one that took it on.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// `R`, `S`, `T` for stopped, `Z` for dead and not yet waited for…
    pub state: u8,
    /// Clock ticks that it and those of its children that it has waited for have computed.
    pub ticks: u64,
    /// Its threads.
    pub threads: u32,
    /// Pages that are in memory, shared ones among them.
    pub resident: u64,
}

impl Process {
    /// Reads it; `None` if there is no such process.
    pub fn of(pid: u32) -> Option<Process> {
        Process::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, stat: &str) -> Option<Process> {
        // The name, in parentheses, may hold anything. After it comes field 3.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.bytes().next()?;
        let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
        let parent = number(0)? as u32;
        let group = number(0)? as u32;
        let session = number(0)? as u32;
        let ticks = number(7)? + number(0)? + number(0)? + number(0)?;
        let threads = number(2)? as u32;
        let started = number(1)?;
        let resident = number(1)?;
        let identity = Identity { pid, started };
        Some(Process { identity, parent, group, session, state, ticks, threads, resident })
    }

    /// All processes, in no order. Threads of the kernel are among them.
    pub fn all() -> Vec<Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Process::of).collect()
    }

    /// Bytes in memory, shared pages counted whole.
    pub fn resident_bytes(&self) -> u64 {
        self.resident * system_value(libc::_SC_PAGESIZE, 4096)
    }
}

/// Bytes in memory, each shared page divided among those who share it; `None` before Linux 4.14
/// and without permission.
pub fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().split(' ').next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Whether the environment with which it was started holds `entry`, as `NAME=value`.
pub fn is_marked(pid: u32, entry: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
}

/// What so many clock ticks are.
pub fn ticks(count: u64) -> Duration {
    let each = 1_000_000 / system_value(libc::_SC_CLK_TCK, 100).max(1);
    Duration::from_micros(count * each)
}

/// The size of a page of memory in bytes.
pub fn page() -> u64 {
    system_value(libc::_SC_PAGESIZE, 4096)
}

fn system_value(name: libc::c_int, usual: u64) -> u64 {
    // SAFETY: takes an integer only.
    u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(usual)
}

/// Limits the private memory of one process, 0 for the calling one; `None` lifts the limit. What
/// it asks for beyond is refused to it. Async-signal-safe.
///
/// # Errors
/// What prlimit(2) says.
pub fn limit_data(pid: u32, bytes: Option<u64>) -> io::Result<()> {
    let most = bytes.map_or(libc::RLIM_INFINITY, |bytes| bytes as libc::rlim_t);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    let (pid, none) = (pid as libc::pid_t, std::ptr::null_mut());
    // SAFETY: the structure lives through the call, and nothing is to be written.
    check(unsafe { libc::prlimit(pid, libc::RLIMIT_DATA, &raw const limit, none) }).map(drop)
}

/// From now on orphans below this process become its children rather than those of process 1, so
/// that what a child leaves behind can still be told to be the child's.
pub fn adopt_orphans() {
    // SAFETY: takes integers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_holds_parentheses_is_read() {
        let stat = "7 (a) b (c) S 1 7 6 0 -1 4194560 9 8 0 0 10 20 30 40 20 0 3 0 555 4096 12 x";
        let process = Process::parse(7, stat).unwrap();
        assert_eq!(process.identity, Identity { pid: 7, started: 555 });
        assert_eq!((process.parent, process.group, process.session), (1, 7, 6));
        assert_eq!((process.ticks, process.threads, process.resident), (100, 3, 12));
        assert_eq!(process.state, b'S');
    }

    #[test]
    fn this_process_is_among_all_and_uses_memory() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(Process::all().iter().any(|other| other.identity == me.identity));
        assert!(me.resident_bytes() > 100_000);
        assert!(proportional_bytes(me.identity.pid).is_none_or(|bytes| bytes > 100_000));
        assert_eq!(proportional_bytes(u32::MAX), None);
    }
}

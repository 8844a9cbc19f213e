//! Limits as control groups have them: which file takes which value.
//!
//! Every function writes, reads back, and says `true` only if the kernel now has the value.

use crate::sys::cgroup::{self, read, write};
use crate::sys::tree;
use std::io;
use std::path::Path;

/// The period in which CPU time is allotted, µs: the kernel's own default.
const PERIOD: u64 = 100_000;

/// For shares too small for that, because a quota has at least 1 ms: the longest one there is.
const LONG_PERIOD: u64 = 1_000_000;

/// From this part of the limit on memory is reclaimed and the child slowed down, in 1/10.
const SLOW_FROM: u64 = 9;

/// Writes and looks whether it is so.
fn put(folder: &Path, file: &str, value: &str) -> bool {
    write(folder, file, value).is_ok() && is(folder, file, value)
}

/// Whether a file has this value.
fn is(folder: &Path, file: &str, value: &str) -> bool {
    read(folder, file).is_ok_and(|found| found.trim_end() == value)
}

/// Quota and period in µs for so many hundredths of a percent of one core.
fn quota(cpu: u32) -> (u64, u64) {
    let cpu = u64::from(cpu);
    if cpu < 100 { (cpu * 100, LONG_PERIOD) } else { (cpu * 10, PERIOD) }
}

/// The ceiling of CPU time; `None` lifts it.
pub fn set_cpu(folder: &Path, unified: bool, cpu: Option<u32>) -> bool {
    let Some(cpu) = cpu else {
        let (file, value) = if unified { ("cpu.max", "max") } else { ("cpu.cfs_quota_us", "-1") };
        return write(folder, file, value).is_ok();
    };
    let (quota, period) = quota(cpu);
    if unified {
        return put(folder, "cpu.max", &format!("{quota} {period}"));
    }
    let (quota, period) = (quota.to_string(), period.to_string());
    // The old quota might be too large for the new period, and the other way round.
    if !is(folder, "cpu.cfs_period_us", &period) {
        let _ = write(folder, "cpu.cfs_quota_us", "-1");
    }
    put(folder, "cpu.cfs_period_us", &period) && put(folder, "cpu.cfs_quota_us", &quota)
}

/// Whether the ceiling is still there.
pub fn has_cpu(folder: &Path, unified: bool, cpu: u32) -> bool {
    let (quota, period) = quota(cpu);
    if unified {
        return is(folder, "cpu.max", &format!("{quota} {period}"));
    }
    is(folder, "cpu.cfs_quota_us", &quota.to_string())
        && is(folder, "cpu.cfs_period_us", &period.to_string())
}

/// The share beside others: 100 is what everybody has.
pub fn set_weight(folder: &Path, unified: bool, weight: u32) -> bool {
    if unified {
        return put(folder, "cpu.weight", &weight.to_string());
    }
    // The kernel's own least is 2.
    let shares = (u64::from(weight) * 1024 / 100).max(2);
    put(folder, "cpu.shares", &shares.to_string())
}

/// Whole pages: the kernel counts in these, and reading back is to give what was written.
fn whole_pages(bytes: u64) -> u64 {
    bytes - bytes % tree::page().max(1)
}

/// The most memory; `None` lifts the limit.
pub fn set_memory(folder: &Path, unified: bool, bytes: Option<u64>) -> bool {
    let value = bytes.map(|bytes| whole_pages(bytes).to_string());
    if !unified {
        return set_memory_v1(folder, value.as_deref().unwrap_or("-1"));
    }
    let value = value.as_deref().unwrap_or("max");
    let slow = bytes.map(|bytes| whole_pages(bytes / 10 * SLOW_FROM).to_string());
    // Without swap, so that 20M means 20M; all or none of the processes are killed. Not every
    // kernel has these: then `Group::look` sees to the rest of the tree.
    let _ = write(folder, "memory.swap.max", if bytes.is_some() { "0" } else { "max" });
    let _ = write(folder, "memory.oom.group", "1");
    let _ = write(folder, "memory.high", slow.as_deref().unwrap_or("max"));
    put(folder, "memory.max", value)
}

/// Memory and swap together have a limit of their own, never less than that of memory alone. So
/// their order depends on where the old ones are.
fn set_memory_v1(folder: &Path, value: &str) -> bool {
    let (alone, together) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    if write(folder, alone, value).is_err() || value == "-1" {
        let _ = write(folder, together, value);
        let _ = write(folder, alone, value);
    }
    let _ = write(folder, together, value);
    value == "-1" || is(folder, alone, value)
}

/// Whether the limit is still there.
pub fn has_memory(folder: &Path, unified: bool, bytes: u64) -> bool {
    let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
    is(folder, file, &whole_pages(bytes).to_string())
}

/// Whether the kernel kills all processes of the group together.
pub fn kills_together(folder: &Path) -> bool {
    is(folder, "memory.oom.group", "1")
}

/// The most processes and threads; `None` lifts the limit.
pub fn set_processes(folder: &Path, count: Option<u32>) -> bool {
    match count {
        Some(count) => put(folder, "pids.max", &count.to_string()),
        None => write(folder, "pids.max", "max").is_ok(),
    }
}

/// Whether the limit is still there.
pub fn has_processes(folder: &Path, count: u32) -> bool {
    is(folder, "pids.max", &count.to_string())
}

/// How many processes the kernel has killed because the group was over its memory.
pub fn oom_kills(folder: &Path, unified: bool) -> Option<u64> {
    let file = if unified { "memory.events" } else { "memory.oom_control" };
    value_of(&read(folder, file).ok()?, "oom_kill")
}

/// Bytes of memory in use, without file content that nobody used lately.
pub fn memory(folder: &Path, unified: bool) -> Option<u64> {
    let (file, idle) = if unified {
        ("memory.current", "inactive_file")
    } else {
        ("memory.usage_in_bytes", "total_inactive_file")
    };
    let used: u64 = read(folder, file).ok()?.trim().parse().ok()?;
    let stat = read(folder, "memory.stat").unwrap_or_default();
    Some(used.saturating_sub(value_of(&stat, idle).unwrap_or(0)))
}

/// µs of CPU time.
pub fn cpu_time(folder: &Path, unified: bool) -> Option<u64> {
    if unified {
        return value_of(&read(folder, "cpu.stat").ok()?, "usage_usec");
    }
    let nanoseconds: u64 = read(folder, "cpuacct.usage").ok()?.trim().parse().ok()?;
    Some(nanoseconds / 1000)
}

/// Stops all processes where they are, or lets them go on.
pub fn freeze(folder: &Path, unified: bool, frozen: bool) -> io::Result<()> {
    match (unified, frozen) {
        (true, true) => write(folder, "cgroup.freeze", "1"),
        (true, false) => write(folder, "cgroup.freeze", "0"),
        (false, true) => write(folder, "freezer.state", "FROZEN"),
        (false, false) => write(folder, "freezer.state", "THAWED"),
    }
}

/// Kills all processes of the group and of those below it at once (Linux 5.14).
pub fn kill(folder: &Path) -> io::Result<()> {
    write(folder, "cgroup.kill", "1")
}

/// Whether nobody is in the group or below it. One that can't be read may have anybody in it; one
/// that isn't there is empty only as long as its hierarchy can be seen.
pub fn is_empty(folder: &Path, unified: bool) -> bool {
    if unified && let Ok(events) = read(folder, "cgroup.events") {
        return value_of(&events, "populated") == Some(0);
    }
    match read(folder, "cgroup.procs") {
        Ok(_) => {
            cgroup::processes(folder).is_empty()
                && cgroup::subgroups(folder).iter().all(|below| is_empty(below, unified))
        }
        // ENODEV: it was removed between the opening of the file and its reading.
        Err(error) if [Some(libc::ENOENT), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {
            cgroup::can_be_seen(folder)
        }
        Err(_) => false,
    }
}

/// The number after a name, on a line of its own.
fn value_of(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_core_is_ten_of_a_hundred_milliseconds() {
        assert_eq!(quota(1000), (10_000, 100_000));
        assert_eq!(quota(25_000), (250_000, 100_000));
        // Half a percent would be half a millisecond, and the kernel gives at least one.
        assert_eq!(quota(50), (5_000, 1_000_000));
        assert_eq!(quota(10), (1_000, 1_000_000));
    }

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let events = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value_of(events, "oom_kill"), Some(2));
        assert_eq!(value_of(events, "oom"), Some(3));
        assert_eq!(value_of("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None);
    }

    #[test]
    fn a_limit_that_cannot_be_written_is_not_claimed() {
        let nowhere = Path::new("/no/such/group");
        assert!(!set_cpu(nowhere, true, Some(1000)) && !set_cpu(nowhere, false, Some(1000)));
        assert!(
            !set_memory(nowhere, true, Some(1 << 20)) && !set_memory(nowhere, false, Some(1 << 20))
        );
        assert!(!set_processes(nowhere, Some(5)) && !kills_together(nowhere));
        assert_eq!(oom_kills(nowhere, true), None);
    }
    #[test]
    fn a_group_that_cannot_be_read_is_not_empty_and_neither_is_one_with_a_process_below_it() {
        let nowhere = Path::new("/no/such/group");
        assert!(!is_empty(nowhere, true) && !is_empty(nowhere, false));
        let group = crate::testing::Folder::new();
        let below = group.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(group.path().join("cgroup.procs"), "").unwrap();
        std::fs::write(below.join("cgroup.procs"), "").unwrap();
        assert!(is_empty(group.path(), false));
        std::fs::write(below.join("cgroup.procs"), "1\n").unwrap();
        assert!(!is_empty(group.path(), false));
    }
}

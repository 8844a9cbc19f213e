//! Why the machine started: what the kernel's last record, the watchdog and the boot before tell.
//!
//! A record of a panic stays in pstore until somebody removes it, and systemd has it in an archive before the
//! agent starts. So the agent remembers which it has seen, by sums of their content, in one file that is
//! written when something has changed.

use crate::sys::{durable, host};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Where the kernel keeps what it wrote in its last moments,
const PSTORE: &str = "/sys/fs/pstore";

/// and where systemd-pstore moves it at boot; it removes it after two weeks.
const ARCHIVE: &str = "/var/lib/systemd/pstore";

/// The archive has a folder for each boot, with one for each record.
const DEPTH: u8 = 2;

/// More records than these aren't looked at.
const MAX_RECORDS: usize = 64;

/// Nor more of one, bytes. The kernel's own are smaller.
const MAX_RECORD: u64 = 64 * 1024;

/// The file in the state folder: a boot's id, the reason that was told for it, the sums of the records that
/// had been seen by then, and [`ENDED`]; with spaces.
const FILE: &str = "boots";

/// The agent was told to end.
const ENDED: &str = "ended";

/// `WDIOF_CARDRESET` of linux/watchdog.h: the watchdog was the last to reset the board.
const RESET_BY_WATCHDOG: u32 = 0x20;

/// What there is to judge by.
#[derive(Default)]
struct Seen {
    /// Sums of the records in pstore,
    pstore: Vec<String>,
    /// and of those in the archive.
    archive: Vec<String>,
    /// The status that the watchdog's driver found when it came up.
    watchdog: Option<u32>,
    /// The guardian had left the watchdog without food.
    was_reset: bool,
}

/// Why this boot began, in a word of the report. Remembers it in the folder `state`.
pub fn reason(state: &Path, watchdog: Option<u32>, was_reset: bool) -> &'static str {
    let mut seen = Seen { watchdog, was_reset, ..Seen::default() };
    collect(Path::new(PSTORE), 0, &mut seen.pstore);
    collect(Path::new(ARCHIVE), DEPTH, &mut seen.archive);
    remember(state, &host::boot_id(), &seen)
}

/// Remembers that the agent was told to end, as at a shutdown.
pub fn ended(state: &Path) {
    let path = state.join(FILE);
    if let Ok(kept) = fs::read_to_string(&path)
        && kept.starts_with(&host::boot_id())
    {
        // Otherwise the next boot's reason is unknown.
        let _ = durable::write(&path, format!("{kept} {ENDED}").as_bytes());
    }
}

fn remember(state: &Path, boot: &str, seen: &Seen) -> &'static str {
    let path = state.join(FILE);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (reason, text) = judge(&kept, boot, seen);
    if text != kept
        && let Err(error) = durable::write(&path, text.as_bytes())
    {
        log::warn!("the reason of this boot can't be remembered: {error}");
    }
    reason
}

/// The reason, and what is to be kept.
fn judge(kept: &str, boot: &str, seen: &Seen) -> (&'static str, String) {
    let mut words = kept.split(' ');
    let (last, told) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest: Vec<&str> = words.collect();
    let is_new = |sum: &String| !rest.contains(&sum.as_str());
    // What is in the archive when an agent first looks may be from any boot.
    let in_archive = || !kept.is_empty() && seen.archive.iter().any(is_new);
    let by_watchdog = seen.watchdog.is_some_and(|status| status & RESET_BY_WATCHDOG != 0);
    let reason = if last == boot {
        ["panic", "watchdog", "clean"].into_iter().find(|word| *word == told).unwrap_or("unknown")
    } else if seen.pstore.iter().any(is_new) || in_archive() {
        "panic"
    } else if seen.was_reset || by_watchdog {
        "watchdog"
    } else if rest.contains(&ENDED) {
        "clean"
    } else {
        "unknown"
    };
    let mut text = format!("{boot} {reason}");
    for sum in seen.pstore.iter().chain(&seen.archive) {
        text.push(' ');
        text.push_str(sum);
    }
    (reason, text)
}

/// Adds the sums of the records in a folder and so many levels below it, in an order of their own.
fn collect(folder: &Path, depth: u8, sums: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if sums.len() >= MAX_RECORDS {
            break;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 0 {
                collect(&path, depth - 1, sums);
            }
        } else if entry.file_name().as_encoded_bytes().starts_with(b"dmesg")
            && let Ok(sum) = sum(&path)
        {
            sums.push(format!("{sum:08x}"));
        }
    }
    sums.sort_unstable();
}

/// A sum of a record's content (FNV-1a). Its name may be that of the record before it, and its time that of this
/// boot; the times and addresses in it are its own.
fn sum(path: &Path) -> io::Result<u32> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_RECORD).read_to_end(&mut content)?;
    Ok(content
        .iter()
        .fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::os::unix::fs::MetadataExt;

    fn seen(pstore: &[&str], archive: &[&str]) -> Seen {
        let owned = |sums: &[&str]| sums.iter().map(|sum| (*sum).to_owned()).collect();
        Seen { pstore: owned(pstore), archive: owned(archive), ..Seen::default() }
    }

    #[test]
    fn a_panic_is_the_reason_of_one_boot_though_its_record_stays() {
        let folder = Folder::new();
        let boot = |id: &str, pstore: &[&str]| remember(folder.path(), id, &seen(pstore, &[]));
        assert_eq!(boot("1", &["a"]), "panic");
        // Another start of the agent in this boot.
        assert_eq!(boot("1", &["a"]), "panic");
        assert_eq!(boot("2", &["a"]), "unknown");
        assert_eq!(boot("3", &["a", "b"]), "panic");
        assert_eq!(boot("4", &["b"]), "unknown");
    }

    #[test]
    fn a_record_that_systemd_has_put_away_counts_if_it_is_new_there() {
        let folder = Folder::new();
        let boot = |id: &str, archive: &[&str]| remember(folder.path(), id, &seen(&[], archive));
        // Nobody knows from which boot this one is.
        assert_eq!(boot("1", &["a"]), "unknown");
        assert_eq!(boot("2", &["a", "b"]), "panic");
        assert_eq!(boot("3", &["a", "b"]), "unknown");
        // What was seen before it was put away is the same record.
        assert_eq!(remember(folder.path(), "4", &seen(&["c"], &["a", "b"])), "panic");
        assert_eq!(boot("5", &["a", "b", "c"]), "unknown");
    }

    #[test]
    fn a_start_is_clean_only_after_an_agent_that_was_told_to_end() {
        let folder = Folder::new();
        let boot =
            |id: &str, watchdog| remember(folder.path(), id, &Seen { watchdog, ..Seen::default() });
        let here = host::boot_id();
        assert_eq!(boot("1", Some(0)), "unknown");
        // It isn't this boot's agent that ends.
        ended(folder.path());
        assert_eq!(boot(&here, Some(0)), "unknown");
        ended(folder.path());
        // The same boot again, and then the power goes.
        assert_eq!(boot(&here, None), "unknown");
        assert_eq!(boot("2", None), "unknown");
        for (wanted, watchdog) in [("clean", None), ("watchdog", Some(RESET_BY_WATCHDOG | 1))] {
            boot(&here, None);
            ended(folder.path());
            assert_eq!(boot("3", watchdog), wanted);
        }
        // Some drivers don't know, and the guardian does.
        let reset = Seen { watchdog: Some(0), was_reset: true, ..Seen::default() };
        assert_eq!(remember(folder.path(), "4", &reset), "watchdog");
        let both = Seen { was_reset: true, ..seen(&["a"], &[]) };
        assert_eq!(remember(folder.path(), "5", &both), "panic");
    }

    #[test]
    fn nothing_is_written_that_is_known() {
        let folder = Folder::new();
        let write = |sum| {
            remember(folder.path(), "1", &seen(&[sum], &[]));
            fs::metadata(folder.path().join(FILE)).unwrap().ino()
        };
        let first = write("a");
        assert_eq!(write("a"), first);
        assert_ne!(write("b"), first);
    }

    #[test]
    fn records_are_known_by_their_content_wherever_they_are() {
        let (pstore, archive) = (Folder::new(), Folder::new());
        let deep = archive.path().join("1700000000/001");
        fs::create_dir_all(&deep).unwrap();
        for (path, text) in [
            (pstore.path().join("dmesg-ramoops-0"), "Panic#1 [   12.3]"),
            (pstore.path().join("console-ramoops-0"), "what was said before"),
            (archive.path().join("dmesg-erst-1"), "Panic#1 [   99.1]"),
            (deep.join("dmesg-ramoops-0"), "Panic#1 [   12.3]"),
        ] {
            fs::write(path, text).unwrap();
        }
        let sums = |folder: &Folder, depth| {
            let mut sums = Vec::new();
            collect(folder.path(), depth, &mut sums);
            sums
        };
        let (fresh, old) = (sums(&pstore, 0), sums(&archive, DEPTH));
        assert_eq!((fresh.len(), old.len()), (1, 2));
        assert!(old.contains(&fresh[0]) && old[0] != old[1]);
        assert_eq!(sums(&archive, 0).len(), 1);
        assert!(sums(&pstore, 0)[0].len() == 8);
    }
}

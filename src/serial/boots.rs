//! Why the machine started: what the kernel's last record, the watchdog and the boot before tell.
//!
//! A record of a panic stays in pstore until somebody removes it, and systemd has it in an archive before the
//! agent starts. So the agent remembers which it has seen, by sums of their content, in one file that is
//! written when something has changed.

use crate::sys::{durable, host};
use std::fs;
use std::path::Path;

/// Where the kernel keeps what it wrote in its last moments, and where systemd-pstore moves that at boot, to
/// remove it after two weeks. Both are small: no more than 64 KiB a record.
const RECORDS: [&str; 2] = ["/sys/fs/pstore", "/var/lib/systemd/pstore"];

/// The archive has a folder for each boot, with one for each record.
const DEPTH: u8 = 2;

/// More records than these aren't looked at.
const MAX_RECORDS: usize = 64;

/// The file in the state folder: a boot's id, the reason that was told for it, the sums of the records that
/// had been seen by then, and [`ENDED`]; with spaces.
const FILE: &str = "boots";

/// The agent was told to end.
const ENDED: &str = "ended";

/// Why this boot began, in a word of the report; `by_watchdog` if the watchdog is known to have reset the board.
/// Remembers it in the folder `state`.
pub fn reason(state: &Path, by_watchdog: bool) -> String {
    let mut records = Vec::new();
    for folder in RECORDS {
        collect(Path::new(folder), DEPTH, &mut records);
    }
    remember(state, &host::boot_id(), &records, by_watchdog)
}

/// Remembers that the agent was told to end, as at a shutdown.
pub fn ended(state: &Path) {
    let path = state.join(FILE);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if !kept.is_empty() && kept.starts_with(&host::boot_id()) {
        // If it can't be written, the next boot's reason is unknown.
        let _ = durable::write(&path, [&kept, ENDED].join(" ").as_bytes());
    }
}

fn remember(state: &Path, boot: &str, records: &[String], by_watchdog: bool) -> String {
    let path = state.join(FILE);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let words: Vec<&str> = kept.split(' ').collect();
    let is_known = |record: &String| words.contains(&record.as_str());
    let reason = if words.first() == Some(&boot) {
        words.get(1).copied().unwrap_or_default()
    } else if !kept.is_empty() && !records.iter().all(is_known) {
        // Of what is there when an agent first looks nobody knows from which boot it is.
        "panic"
    } else if by_watchdog {
        "watchdog"
    } else if words.contains(&ENDED) {
        "clean"
    } else {
        "unknown"
    };
    let mut text = [boot, reason].join(" ");
    for record in records {
        text.push(' ');
        text.push_str(record);
    }
    if text != kept {
        // If it can't be written, the next boot may say the same.
        let _ = durable::write(&path, text.as_bytes());
    }
    reason.to_owned()
}

/// Adds the sums (FNV-1a) of the records in a folder and so many levels below it. A record's name may be that of one
/// before it, and its time that of this boot; the times and addresses in it are its own.
fn collect(folder: &Path, depth: u8, sums: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if sums.len() >= MAX_RECORDS {
            return;
        }
        if !entry.file_name().as_encoded_bytes().starts_with(b"dmesg") {
            if depth > 0 {
                collect(&path, depth - 1, sums);
            }
        } else if let Ok(content) = fs::read(&path) {
            let add = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            sums.push(content.iter().fold(0x811c_9dc5, add).to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::os::unix::fs::MetadataExt;

    fn sums(sums: &[&str]) -> Vec<String> {
        sums.iter().map(|sum| (*sum).to_owned()).collect()
    }

    #[test]
    fn a_panic_is_the_reason_of_one_boot_though_its_record_stays() {
        let folder = Folder::new();
        let boot = |id: &str, records: &[&str]| remember(folder.path(), id, &sums(records), false);
        // Nobody knows from which boot this one is.
        assert_eq!(boot("1", &["7"]), "unknown");
        assert_eq!(boot("2", &["7", "8"]), "panic");
        // Another start of the agent in this boot.
        assert_eq!(boot("2", &["7", "8"]), "panic");
        assert_eq!(boot("3", &["8", "7"]), "unknown");
        assert_eq!(boot("4", &["8"]), "unknown");
        assert_eq!(boot("5", &["8", "9"]), "panic");
    }

    #[test]
    fn a_start_is_clean_only_after_an_agent_that_was_told_to_end() {
        let folder = Folder::new();
        let boot = |id: &str, by_watchdog| remember(folder.path(), id, &[], by_watchdog);
        let here = host::boot_id();
        ended(folder.path());
        assert_eq!(boot("1", false), "unknown");
        // It isn't this boot's agent that ends.
        ended(folder.path());
        assert_eq!(boot(&here, false), "unknown");
        ended(folder.path());
        // The same boot again, and then the power goes.
        assert_eq!(boot(&here, false), "unknown");
        assert_eq!(boot("2", false), "unknown");
        for (wanted, by_watchdog) in [("clean", false), ("watchdog", true)] {
            boot(&here, false);
            ended(folder.path());
            assert_eq!(boot("3", by_watchdog), wanted);
        }
        assert_eq!(remember(folder.path(), "4", &sums(&["7"]), true), "panic");
    }

    #[test]
    fn nothing_is_written_that_is_known() {
        let folder = Folder::new();
        let write = |sum| {
            remember(folder.path(), "1", &sums(&[sum]), false);
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
        let found = |folder: &Folder, depth| {
            let mut sums = Vec::new();
            collect(folder.path(), depth, &mut sums);
            sums
        };
        let (fresh, old) = (found(&pstore, DEPTH), found(&archive, DEPTH));
        assert_eq!((fresh.len(), old.len()), (1, 2));
        assert!(old.contains(&fresh[0]) && old[0] != old[1]);
        assert_eq!(found(&archive, 0).len(), 1);
    }
}

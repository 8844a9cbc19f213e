//! How much of finished jobs is kept: the record by which a second delivery is recognised, and
//! the output of scripts for whoever logs in and wants to see all of it.

use crate::sys::{clock, durable};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The unit in which `st_blocks` counts, bytes (stat(2)), whatever the file system's own is.
const BLOCK: u64 = 512;

/// The streams of a step, the only files that are kept.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// On disk, records and output together, bytes.
    pub bytes: u64,
    /// Jobs.
    pub jobs: usize,
}

impl Default for Retention {
    /// 2 MiB: a board with 16 MiB of flash can spare it. 256 jobs: the original forgets after half
    /// an hour, and so many commands in that time no device gets.
    fn default() -> Retention {
        Retention { bytes: 2 * 1024 * 1024, jobs: 256 }
    }
}

impl Retention {
    /// What is left once there is more: an eighth less, so that not every job that ends has all others looked at.
    fn less(self) -> Retention {
        Retention { bytes: self.bytes - self.bytes / 8, jobs: self.jobs - self.jobs / 8 }
    }
}

/// What is kept, by the count of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    bytes: u64,
    jobs: usize,
}

impl Kept {
    /// That and one more job in `completed`, if all of it may be kept.
    pub fn with(self, completed: &Path, name: &str, keep: Retention) -> Option<Kept> {
        let bytes = size(&record(completed, name)) + size(&completed.join(name));
        let all = Kept { bytes: self.bytes + bytes, jobs: self.jobs + 1 };
        (all.bytes <= keep.bytes && all.jobs <= keep.jobs).then_some(all)
    }
}

/// Moves what is worth keeping of a job's folder to `to`; the rest is removed: documents and
/// downloads may hold secrets, and take flash.
pub fn keep_output(folder: &Path, to: &Path) {
    for name in durable::list(folder).unwrap_or_default() {
        let path = folder.join(&name);
        if name.starts_with("step-") && path.is_dir() {
            for file in durable::list(&path).unwrap_or_default() {
                let kept = STREAMS.contains(&file.as_str())
                    && fs::metadata(path.join(&file)).is_ok_and(|meta| meta.len() > 0);
                if !kept {
                    remove(&path.join(file));
                }
            }
            // Fails, as it should, where a stream is left in it.
            let _ = fs::remove_dir(&path);
        } else {
            remove(&path);
        }
    }
    // Without any output there is nothing to keep.
    if fs::remove_dir(folder).is_err() && fs::rename(folder, to).is_err() {
        remove(folder);
    }
}

/// Where there is more in `completed` than may be kept, removes the oldest records and outputs, and some more; the
/// record `latest` is the youngest whatever its date says, because clocks start in 1970. Records come
/// first: by them a second delivery is recognised. What can't be removed now will be another time. The
/// result is what is left, if the folder can be read.
pub fn prune(completed: &Path, latest: &str, keep: Retention) -> Option<Kept> {
    let names = durable::list(completed).ok()?;
    let (records, outputs): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| name.ends_with(".json"));
    let mut jobs: Vec<_> = records
        .iter()
        .filter_map(|name| {
            let meta = fs::symlink_metadata(completed.join(name)).ok()?;
            let id = name.strip_suffix(".json")?;
            let (bytes, output) = (meta.blocks() * BLOCK, size(&completed.join(id)));
            Some((id == latest, clock::of_file(&meta), bytes, id, output))
        })
        .collect();
    jobs.sort_unstable_by(|a, b| b.cmp(a));
    let all: u64 = jobs.iter().map(|(_, _, record, _, output)| record + output).sum();
    let is_more = jobs.len() > keep.jobs || all > keep.bytes;
    let most = keep.bytes;
    let keep = if is_more { keep.less() } else { keep };
    let mut taken = 0;
    let fit = jobs.iter().take(keep.jobs).take_while(|(_, _, bytes, ..)| {
        taken += bytes;
        taken <= keep.bytes
    });
    let (kept, gone) = jobs.split_at(fit.count());
    for (_, _, _, id, _) in gone {
        remove(&record(completed, id));
    }
    let mut taken = kept.iter().map(|(_, _, bytes, ..)| bytes).sum();
    for (is_latest, _, _, id, output) in kept {
        // The room for the next ones is not made at the cost of what has just been printed.
        if taken + output > if *is_latest { most } else { keep.bytes } {
            remove(&completed.join(id));
        } else {
            taken += output;
        }
    }
    // What a power cut has left without its record.
    for name in outputs.iter().filter(|name| kept.iter().all(|(_, _, _, id, _)| id != *name)) {
        remove(&completed.join(name));
    }
    Some(Kept { bytes: taken, jobs: kept.len() })
}

/// Where it stands that a job is over.
pub fn record(completed: &Path, name: &str) -> PathBuf {
    completed.join(format!("{name}.json"))
}

/// What a folder takes of the disk, bytes.
fn size(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let inside: u64 = match meta.is_dir() {
        true => names(path).iter().map(|inner| size(inner)).sum(),
        false => 0,
    };
    meta.blocks() * BLOCK + inside
}

fn names(folder: &Path) -> Vec<PathBuf> {
    durable::list(folder).unwrap_or_default().iter().map(|name| folder.join(name)).collect()
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs::FileTimes;
    use std::time::{Duration, SystemTime};

    /// A finished job with that much output, and the place of its age among the others.
    fn finished(completed: &Path, name: &str, output: usize, age: u64) {
        let record = completed.join(format!("{name}.json"));
        fs::write(&record, "{}").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        let file = fs::File::options().write(true).open(&record).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        if output > 0 {
            fs::create_dir_all(completed.join(name).join("step-0")).unwrap();
            fs::write(completed.join(name).join("step-0/stdout"), vec![b'x'; output]).unwrap();
        }
    }

    #[test]
    fn only_output_is_kept_of_a_job() {
        let folder = Folder::new();
        let (job, kept) = (folder.path().join("job"), folder.path().join("kept"));
        fs::create_dir_all(job.join("step-0")).unwrap();
        fs::create_dir_all(job.join("step-1")).unwrap();
        fs::create_dir_all(job.join("downloads/x")).unwrap();
        for file in ["journal", "outcome.json", "step-0/_script.sh", "step-0/stderr"] {
            fs::write(job.join(file), if file.ends_with("stderr") { "" } else { "x" }).unwrap();
        }
        fs::write(job.join("step-0/stdout"), "output").unwrap();
        keep_output(&job, &kept);
        assert_eq!(durable::list(folder.path()).unwrap(), ["kept"]);
        assert_eq!(durable::list(&kept).unwrap(), ["step-0"]);
        assert_eq!(durable::list(&kept.join("step-0")).unwrap(), ["stdout"]);
        fs::create_dir(&job).unwrap();
        keep_output(&job, &folder.path().join("none"));
        assert_eq!(durable::list(folder.path()).unwrap(), ["kept"]);
    }

    #[test]
    fn what_was_printed_last_is_kept_as_long_as_it_fits() {
        let folder = Folder::new();
        let completed = folder.path();
        finished(completed, "a", 100_000, 2);
        finished(completed, "b", 175_000, 1);
        prune(completed, "b", Retention { bytes: 200_000, jobs: 2 });
        assert_eq!(durable::list(completed).unwrap(), ["a.json", "b", "b.json"]);
    }

    #[test]
    fn the_oldest_go_first_by_count_and_output_goes_before_records() {
        let folder = Folder::new();
        let completed = folder.path();
        for (name, output, age) in [("a", 100_000, 3), ("b", 100_000, 2), ("c", 10, 1)] {
            finished(completed, name, output, age);
        }
        let all = Retention::default();
        prune(completed, "c", all);
        assert_eq!(durable::list(completed).unwrap().len(), 6);
        prune(completed, "c", Retention { bytes: 180_000, ..all });
        assert_eq!(durable::list(completed).unwrap(), ["a.json", "b", "b.json", "c", "c.json"]);
        prune(completed, "b", Retention { jobs: 1, ..all });
        assert_eq!(durable::list(completed).unwrap(), ["b", "b.json"]);
        fs::create_dir(completed.join("orphan")).unwrap();
        prune(completed, "b", Retention { bytes: 0, ..all });
        assert_eq!(durable::list(completed).unwrap(), [""; 0]);
    }
}

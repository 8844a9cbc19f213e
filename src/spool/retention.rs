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

/// Removes the oldest records and outputs in `completed` until the rest may be kept; the record
/// `latest` is the youngest whatever its date says, because clocks start in 1970. Records come
/// first: by them a second delivery is recognised. What can't be removed now will be another time.
pub fn prune(completed: &Path, latest: &str, keep: Retention) {
    let Ok(names) = durable::list(completed) else { return };
    let (records, outputs): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| name.ends_with(".json"));
    let mut jobs: Vec<_> = records
        .iter()
        .filter_map(|name| {
            let meta = fs::symlink_metadata(completed.join(name)).ok()?;
            let id = name.strip_suffix(".json")?;
            Some((id == latest, clock::of_file(&meta), meta.blocks() * BLOCK, id))
        })
        .collect();
    jobs.sort_unstable_by(|a, b| b.cmp(a));
    let mut taken = 0;
    let mut kept = Vec::new();
    for (number, (_, _, bytes, id)) in jobs.iter().enumerate() {
        taken += bytes;
        if number >= keep.jobs || taken > keep.bytes {
            remove(&completed.join(format!("{id}.json")));
        } else {
            kept.push(*id);
        }
    }
    for id in &kept {
        let output = completed.join(id);
        let more = size(&output);
        if taken + more > keep.bytes {
            remove(&output);
        } else {
            taken += more;
        }
    }
    // What a power cut has left without its record.
    for name in outputs.iter().filter(|name| !kept.contains(&name.as_str())) {
        remove(&completed.join(name));
    }
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

//! A child's output: from its FIFO into a log that is turned over when it has become too large.

use super::launch::OUTPUT;
use crate::reactor::{after, readable};
use crate::sys::fifo;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The log's name in the child's folder; the one before has `.1` after it.
pub const LOG: &str = "log";

/// One read, bytes. The FIFO holds 64 KiB.
const PIECE: usize = 8 * 1024;

/// The pause after some output. A chatty child costs one wake-up a second and not one a line.
const CALM: Duration = Duration::from_secs(1);

/// The pause while there is so much output that the FIFO would be full within a second.
const BUSY: Duration = Duration::from_millis(50);

/// What is thrown away in one turn at most, bytes: a child that writes for ever must not keep the
/// loop from its other tasks.
const THROWN: u64 = 1024 * 1024;

/// More than this in one turn is much.
const MUCH: u64 = 16 * 1024;

/// Drains the output of the child in `folder` for ever into logs of at most `cap` bytes each.
pub async fn drain(folder: PathBuf, cap: u64) {
    let path = folder.join(OUTPUT);
    let opened = fifo::make(&path).and_then(|()| fifo::open(&path, false));
    let pipe = match opened {
        Ok(pipe) => pipe,
        Err(error) => return log::error!("output of a child is not logged: {error}"),
    };
    let mut troubled = false;
    loop {
        readable(&pipe).await;
        let taken = match take(&pipe, &folder, cap) {
            Ok(taken) => {
                troubled = false;
                taken
            }
            Err(error) => {
                // Most often the disk is full. The child must not stand still for that.
                if !troubled {
                    log::warn!("{}: output can't be written: {error}", folder.display());
                }
                troubled = true;
                throw_away(&pipe)
            }
        };
        after(if taken > MUCH { BUSY } else { CALM }).await;
    }
}

/// Moves what is there into the log, at most as much as one log holds.
fn take(mut pipe: &File, folder: &Path, cap: u64) -> io::Result<u64> {
    let log = folder.join(LOG);
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let mut file = options.open(&log)?;
    let mut size = file.metadata()?.len();
    let mut taken = 0;
    let mut piece = [0; PIECE];
    while taken < cap {
        let room = usize::try_from(cap.saturating_sub(size)).unwrap_or(PIECE).min(PIECE);
        if room == 0 {
            fs::rename(&log, folder.join("log.1"))?;
            file = options.open(&log)?;
            size = 0;
            continue;
        }
        let count = match pipe.read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        file.write_all(piece.get(..count).unwrap_or_default())?;
        size += count as u64;
        taken += count as u64;
    }
    Ok(taken)
}

fn throw_away(mut pipe: &File) -> u64 {
    let mut piece = [0; PIECE];
    let mut taken = 0;
    while taken < THROWN
        && let Ok(count @ 1..) = pipe.read(&mut piece)
    {
        taken += count as u64;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn the_log_is_turned_over_and_never_larger_than_its_cap() {
        let folder = Folder::new();
        let path = folder.path().join(OUTPUT);
        fifo::make(&path).unwrap();
        let (reader, mut writer) =
            (fifo::open(&path, false).unwrap(), fifo::open(&path, false).unwrap());
        let mut all = Vec::new();
        for turn in 0..7_u8 {
            let text = vec![b'a' + turn; 3000];
            writer.write_all(&text).unwrap();
            all.extend(text);
            take(&reader, folder.path(), 4096).unwrap();
        }
        let read = |name| fs::read(folder.path().join(name)).unwrap();
        let (old, new) = (read("log.1"), read("log"));
        assert!(old.len() == 4096 && new.len() <= 4096);
        // Nothing is lost between the two.
        assert!(all.ends_with(&[old, new].concat()));
    }
}

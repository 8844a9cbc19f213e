//! What a version on trial does to be kept: it lets the server hear it, in its time.

use super::folder;
use super::state::{State, Trial};
use crate::agent::status::Board;
use crate::reactor::after;
use crate::sys::{faults, host, process};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Between two looks whether the server has heard us.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks whether another version can be started.
const AGAIN: Duration = Duration::from_secs(15);

/// A start is counted only where so much is free, bytes: on a disk that takes this file once and not the next time
/// the daemon would start again and again.
const ROOM: u64 = 16 * 1024;

/// A daemon that has no server to be heard by is good if it is still there after this.
const ALONE: Duration = Duration::from_secs(60);

/// Keeps this version when the server has heard it; from then on that alone remains to be written down, however long the
/// disk takes none. If the server doesn't hear it in time, it gives itself up and has the daemon start the version
/// before (SIGHUP).
pub async fn run(state: PathBuf, trial: Trial, board: Rc<Board>) -> Result<(), String> {
    let minutes = trial.minutes;
    log::info!("version {} is on trial: {minutes} minutes to reach the server", trial.slot.version);
    let (began, limit) = (Instant::now(), Duration::from_secs(minutes * 60));
    loop {
        // A link that isn't there yet, or failed, isn't none.
        let alone = trial.alone && board.has_no_link() && began.elapsed() >= ALONE.min(limit);
        if board.is_online() || alone {
            break;
        }
        if began.elapsed() >= limit {
            let why = format!("it didn't reach the server in {minutes} minutes");
            log::error!("version {} is taken back: {why}", trial.slot.version);
            if let Err(error) = settle(&state, &trial, Some(&why)) {
                log::error!("updates: {error}");
            }
            let _ = process::signal(std::process::id(), libc::SIGHUP);
            return Ok(());
        }
        after(LOOK).await;
    }
    // The kernel would end it for being too late.
    process::alarm(0);
    let mut said = false;
    while let Err(error) = settle(&state, &trial, None) {
        // Most often the disk is full; it may have room in a moment.
        if !said {
            log::error!("the new version can't be kept yet: {error}");
        }
        said = true;
        after(LOOK).await;
    }
    log::info!("version {} is kept", trial.slot.version);
    Ok(())
}

/// Has the daemon look again which program is to run, where another one may have to: its start couldn't be counted
/// on a full disk, or the state of updates couldn't be read. Without that nobody would end that trial, and
/// it would be in the way of every other version.
pub async fn see_to_it(state: PathBuf) -> Result<(), String> {
    let mut is_read = State::read(&state).is_ok();
    loop {
        after(AGAIN).await;
        let Ok(known) = State::read(&state) else {
            is_read = false;
            continue;
        };
        if is_read && known.trial.is_none() {
            return Ok(());
        }
        // Only if a start could be counted now.
        if can_count(&state) && known.save(&state).is_ok() {
            log::warn!("looking again which version is to run");
            let _ = process::signal(std::process::id(), libc::SIGHUP);
            return Ok(());
        }
    }
}

/// Whether a start can be counted, as far as the room on the disk says.
pub fn can_count(state: &Path) -> bool {
    has_room(host::free_bytes(&folder(state)))
}

fn has_room(free: Option<u64>) -> bool {
    free.is_none_or(|free| free >= ROOM)
}

fn settle(state: &Path, trial: &Trial, failure: Option<&str>) -> Result<(), crate::sys::FileError> {
    let mut known = State::read(state)?;
    // It may have been settled by another hand.
    if known.trial.as_ref().is_none_or(|known| known.slot != trial.slot) {
        return Ok(());
    }
    match failure {
        Some(why) => known.give_up(why),
        None => known.commit(),
    }
    faults::point("update settled");
    known.save(state)?;
    faults::point("update on disk");
    crate::audit::updates(&known, "agent");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::Slot;
    use super::*;
    use crate::reactor::block_on;
    use crate::testing::Folder;
    use std::fs;

    #[test]
    fn a_version_that_the_server_has_heard_in_time_is_kept_when_the_disk_takes_that_later() {
        let place = Folder::new();
        let state = place.path();
        let slot = Slot { slot: "a".to_owned(), ..Slot::default() };
        let trial = Trial { slot, minutes: 0, ..Trial::default() };
        // What can't be read now.
        let file = folder(state).join("state.json");
        fs::create_dir_all(&file).unwrap();
        let board = Board::new(place.path(), None);
        board.link("ec2messages").pinged(Duration::from_secs(60));
        let mended = async {
            after(LOOK / 4).await;
            fs::remove_dir(&file).unwrap();
            let known = State { trial: Some(trial.clone()), ..State::default() };
            known.save(state).unwrap();
        };
        let tried = run(state.to_owned(), trial.clone(), board);
        block_on(async { smol::future::zip(tried, mended).await.0 }).unwrap().unwrap();
        let known = State::read(state).unwrap();
        assert!(known.trial.is_none() && known.bad.is_empty());
        assert_eq!(known.last.unwrap().failure, "");
    }

    #[test]
    fn on_a_disk_that_takes_one_file_more_no_start_is_tried_again_and_again() {
        assert!(!has_room(Some(0)) && !has_room(Some(4096)));
        assert!(has_room(Some(ROOM)) && has_room(None));
    }
}

//! What can be told without the network.

use super::{Check, Mark};
use crate::agent::status;
use crate::board::BOARD;
use crate::config::Config;
use crate::sys::clock;
use crate::sys::host::{self, Room};
use crate::uplink::clock::earliest;
use std::fs;
use std::path::Path;

/// With less no job is taken (`sys::reserve`), bytes.
const LEAST_BYTES: u64 = 128 * 1024;

/// With less a command with much output may be the last, bytes.
const FEW_BYTES: u64 = 1024 * 1024;

/// A job makes about ten files.
const LEAST_INODES: u64 = 16;
const FEW_INODES: u64 = 128;

/// Signs of init systems, in the order in which they are looked for.
const INITS: [(&str, &str); 4] = [
    ("/run/systemd/system", "systemd"),
    ("/sbin/procd", "procd"),
    ("/run/openrc", "OpenRC"),
    ("/etc/inittab", "an init with /etc/inittab"),
];

pub fn version() -> Check {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (version, board) = (env!("STINT_VERSION"), BOARD.description);
    Check::pass("version", format!("stint {version} for {board}, Linux {}", kernel.trim()))
}

pub fn checks(config: &Config, state: &Path) -> Vec<Check> {
    vec![init(), agent(config, state), folder(state), bytes(state), inodes(state), time(), groups()]
}

fn init() -> Check {
    let found = INITS.iter().find(|(path, _)| Path::new(path).exists());
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let name = found.map_or("unknown", |(_, name)| *name);
    Check::pass("init", format!("{name}; process 1 is {}", first.trim()))
}

fn agent(config: &Config, state: &Path) -> Check {
    let Some(seen) = status::look(state, &config.status_dir(state)) else {
        let evidence = format!("no agent runs with the state in {}", state.display());
        return Check::new("agent", Mark::Fail, evidence, "start it: `stint run`, or its service");
    };
    let evidence = format!("it runs as process {}", seen.pid);
    #[cfg(feature = "guardian")]
    if let Some(module) = seen.failed().next() {
        let why = module.last_error.as_deref().unwrap_or("it doesn't say why");
        let evidence = format!("{evidence}; its module {} has failed: {why}", module.name);
        let remedy = "mend what it says; the agent starts the module again by itself";
        return Check::new("agent", Mark::Fail, evidence, remedy);
    }
    let trouble = seen.links.iter().find_map(|link| {
        link.last_error.as_ref().map(|error| format!("{evidence}; {} says: {error}", link.link))
    });
    match trouble {
        None => Check::pass("agent", evidence),
        Some(trouble) => {
            Check::new("agent", Mark::Warn, trouble, "the checks of the network tell more")
        }
    }
}

fn folder(state: &Path) -> Check {
    let mut path = state;
    while !path.exists() {
        match path.parent() {
            Some(parent) => path = parent,
            None => break,
        }
    }
    let evidence = path.display().to_string();
    match host::may_write(path) {
        Ok(()) if path == state => Check::pass("state", evidence),
        Ok(()) => {
            let evidence = format!("{} isn't there yet and can be made", state.display());
            Check::pass("state", evidence)
        }
        Err(error) => Check::new(
            "state",
            Mark::Fail,
            format!("{evidence}: {error}"),
            "run the agent as a user who may write there, on a file system that isn't read-only",
        ),
    }
}

/// How much room is left; the folder need not be there yet.
fn room(state: &Path) -> Option<Room> {
    state.ancestors().find_map(host::room)
}

fn bytes(state: &Path) -> Check {
    let Some(room) = room(state) else { return Check::skip("disk", "the system doesn't say") };
    let mark = mark(room.bytes, LEAST_BYTES, FEW_BYTES);
    let evidence = format!("{} KiB are free for the state folder", room.bytes / 1024);
    let remedy = "make room: `keepFinishedKiB` bounds what the agent itself keeps";
    Check::new("disk", mark, evidence, if mark == Mark::Pass { "" } else { remedy })
}

fn inodes(state: &Path) -> Check {
    // Some file systems make inodes as they need them, and count none.
    let Some(room) = room(state).filter(|room| room.all_inodes > 0) else {
        return Check::skip("inodes", "the file system doesn't count them");
    };
    let mark = mark(room.inodes, LEAST_INODES, FEW_INODES);
    let evidence = format!("{} of {} are free", room.inodes, room.all_inodes);
    let remedy = "remove small files: bytes alone are no room";
    Check::new("inodes", mark, evidence, if mark == Mark::Pass { "" } else { remedy })
}

fn mark(there: u64, least: u64, few: u64) -> Mark {
    match there {
        _ if there < least => Mark::Fail,
        _ if there < few => Mark::Warn,
        _ => Mark::Pass,
    }
}

fn time() -> Check {
    let (now, built) = (clock::system(), earliest());
    let evidence = now.iso();
    let remedy = "start a time service; until then the agent asks the server for the time";
    if now < built {
        let evidence = format!("{evidence} is before this agent was made ({})", built.iso());
        return Check::new("clock", Mark::Warn, evidence, remedy);
    }
    if !clock::is_set() {
        let evidence = format!("{evidence}, and nobody has set the clock since the boot");
        return Check::new("clock", Mark::Warn, evidence, remedy);
    }
    Check::pass("clock", evidence)
}

#[cfg(feature = "supervise")]
fn groups() -> Check {
    let mounts = crate::sys::cgroup::mounts();
    let two = mounts.iter().any(|mount| mount.unified);
    let one = mounts.iter().any(|mount| !mount.unified);
    let evidence = match (two, one) {
        (true, false) => "version 2",
        (true, true) => "both versions",
        (false, true) => "version 1",
        (false, false) => {
            let remedy = "mount cgroup2; until then limits of child agents are kept by looking";
            return Check::new("cgroup", Mark::Warn, "none are mounted".to_owned(), remedy);
        }
    };
    Check::pass("cgroup", evidence.to_owned())
}

#[cfg(not(feature = "supervise"))]
fn groups() -> Check {
    Check::skip("cgroup", "this build looks after no child agents")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn little_room_is_a_warning_and_less_a_failure() {
        assert_eq!(mark(LEAST_BYTES - 1, LEAST_BYTES, FEW_BYTES), Mark::Fail);
        assert_eq!(mark(LEAST_BYTES, LEAST_BYTES, FEW_BYTES), Mark::Warn);
        assert_eq!(mark(FEW_BYTES, LEAST_BYTES, FEW_BYTES), Mark::Pass);
    }

    #[test]
    fn a_state_folder_that_is_not_there_yet_is_no_failure_and_is_not_made() {
        let place = Folder::new();
        let state = place.path().join("a/b");
        assert_eq!(folder(&state).mark, Mark::Pass);
        assert!(folder(&state).evidence.contains("can be made"));
        assert_eq!(bytes(&state).mark, bytes(place.path()).mark);
        assert!(!place.path().join("a").exists());
    }
}

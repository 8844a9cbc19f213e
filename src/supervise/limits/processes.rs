//! All processes of a child at once: told, stopped, let go on, killed.

use super::group::{Group, Ready};
use super::groups::FREEZER;
use super::{kernel, members};
use crate::sys::cgroup;
use crate::sys::process::{Identity, signal};
use crate::sys::tree::Process;
use std::path::Path;

/// So often the tree is listed anew while it is being stopped. Each time only those are new that
/// were made between listing and stopping.
const ROUNDS: u8 = 32;

impl Group {
    /// A group in which all processes can be stopped at once.
    pub(super) fn freezer(&self) -> Option<&Ready> {
        let can = |ready: &&Ready| {
            ready.controllers & FREEZER != 0
                || (ready.unified && cgroup::read(&ready.folder, "cgroup.freeze").is_ok())
        };
        self.ready.iter().find(can)
    }

    /// All processes of the child that aren't dead.
    pub(super) fn members(&mut self, leader: Option<Identity>) -> Vec<Process> {
        let Some(ready) = self.ready.first() else {
            let members = members::find(leader, &self.known, &self.child);
            self.known = members.iter().map(|member| member.identity).collect();
            return members;
        };
        let mut pids = Vec::new();
        list(&ready.folder, &mut pids);
        pids.into_iter().filter_map(Process::of).filter(|process| process.state != b'Z').collect()
    }

    /// Sends a signal to all processes of the child, and lets them run so that they can heed it.
    pub fn signal_all(&mut self, leader: Option<Identity>, number: i32) {
        let members = self.members(leader);
        for member in &members {
            let _ = signal(member.identity.pid, number);
        }
        self.let_go(&members);
    }

    /// Kills all processes of the child, those that it is just making, too.
    pub fn kill_all(&mut self, leader: Option<Identity>) {
        let killed = self.ready.iter().any(|r| r.unified && kernel::kill(&r.folder).is_ok());
        if !killed {
            let members = self.hold(leader);
            for member in &members {
                let _ = signal(member.identity.pid, libc::SIGKILL);
            }
        }
        self.let_go(&[]);
    }

    /// Stops all processes where they are, and says which these are.
    pub(super) fn hold(&mut self, leader: Option<Identity>) -> Vec<Process> {
        self.polled.stopped = Some(true);
        let frozen =
            self.freezer().is_some_and(|r| kernel::freeze(&r.folder, r.unified, true).is_ok());
        let mut held: Vec<Process> = Vec::new();
        for _ in 0..ROUNDS {
            let is_new =
                |found: &Process| held.iter().all(|known| known.identity != found.identity);
            let new: Vec<Process> = self.members(leader).into_iter().filter(is_new).collect();
            if new.is_empty() {
                break;
            }
            for process in new.iter().filter(|_| !frozen) {
                let _ = signal(process.identity.pid, libc::SIGSTOP);
            }
            held.extend(new);
        }
        held
    }

    /// Lets a tree go on that [`Group::look`] has stopped. To be called before the agent ends: a
    /// child must not stay stopped without it.
    pub fn resume(&mut self) {
        if self.ready.is_empty() && self.polled.stopped.is_none() {
            // What an agent before this one stopped isn't known before the first look.
            return;
        }
        // Without groups the members are those seen at the last look.
        let members = if self.ready.is_empty() {
            let alive = |known: &Identity| Process::of(known.pid).filter(|p| p.identity == *known);
            self.known.iter().filter_map(alive).collect()
        } else {
            self.members(None)
        };
        self.let_go(&members);
    }

    /// Ends a stop: that of the groups, and that of these processes.
    pub(super) fn let_go(&mut self, members: &[Process]) {
        if let Some(r) = self.freezer() {
            let _ = kernel::freeze(&r.folder, r.unified, false);
        }
        // A stop that was sent a moment ago may not show yet, and is taken back all the same. What an
        // agent before this one did isn't known.
        let may_be_stopped = |member: &Process| match self.polled.stopped {
            Some(stopped) => stopped,
            None => member.state == b'T',
        };
        for member in members.iter().filter(|member| may_be_stopped(member)) {
            let _ = signal(member.identity.pid, libc::SIGCONT);
        }
        self.polled.stopped = Some(false);
    }

    /// Whether no process of the child is left.
    pub fn is_empty(&mut self, leader: Option<Identity>) -> bool {
        if self.ready.is_empty() {
            return self.members(leader).is_empty();
        }
        self.ready.iter().all(|ready| kernel::is_empty(&ready.folder, ready.unified))
    }
}

/// The processes of a group and of those below it.
pub(super) fn list(folder: &Path, pids: &mut Vec<u32>) {
    pids.extend(cgroup::processes(folder));
    for below in cgroup::subgroups(folder) {
        list(&below, pids);
    }
}

//! All processes of a child at once: told, stopped, let go on, killed.

use super::group::{Group, Ready, runs};
use super::groups::FREEZER;
use super::{kernel, members};
use crate::sys::cgroup;
use crate::sys::process::{self, Identity, signal};
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
        self.drop_useless();
        let Some(ready) = self.ready.first() else { return self.find(leader) };
        let mut pids = Vec::new();
        list(&ready.folder, &mut pids);
        let mut members: Vec<Process> =
            pids.into_iter().filter_map(Process::of).filter(|found| found.state != b'Z').collect();
        if is_outside(&members, leader) {
            // Somebody has moved it elsewhere, and most likely not alone.
            let is_listed = |found: &Process| {
                members.iter().any(|listed: &Process| listed.identity == found.identity)
            };
            let others: Vec<Process> =
                self.find(leader).into_iter().filter(|found| !is_listed(found)).collect();
            members.extend(others);
        }
        members
    }

    /// The processes that are told without groups.
    fn find(&mut self, leader: Option<Identity>) -> Vec<Process> {
        let members = members::find(leader, &self.known, &self.mark);
        self.known = members.iter().map(|member| member.identity).collect();
        members
    }

    /// Forgets groups whose hierarchy is no longer mounted, because by these nobody is told or
    /// killed; and those in which the agent itself is, because it must neither be killed nor
    /// stopped. [`Group::recheck`] makes up for their limits.
    fn drop_useless(&mut self) {
        let useful = |at: &Path| cgroup::can_be_seen(at) && !holds_one_of(at, &process::own());
        self.ready.retain(|ready| useful(&ready.folder));
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
        self.drop_useless();
        let in_groups: Vec<&Ready> = self.ready.iter().filter(|ready| ready.unified).collect();
        let is_complete = in_groups.first().is_some_and(|ready| {
            let mut pids = Vec::new();
            list(&ready.folder, &mut pids);
            leader.is_none_or(|leader| pids.contains(&leader.pid) || !runs(leader))
        });
        let killed = in_groups.iter().any(|r| kernel::kill(&r.folder).is_ok());
        if !killed || !is_complete {
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
        self.drop_useless();
        if self.ready.is_empty() {
            return self.members(leader).is_empty();
        }
        !leader.is_some_and(runs)
            && self.ready.iter().all(|ready| kernel::is_empty(&ready.folder, ready.unified))
    }
}

/// Whether a child's first process lives and isn't among these.
fn is_outside(members: &[Process], leader: Option<Identity>) -> bool {
    let is_member = |leader: &Identity| members.iter().any(|member| member.identity == *leader);
    leader.is_some_and(|leader| !is_member(&leader) && runs(leader))
}

/// The processes of a group and of those below it.
pub(super) fn list(folder: &Path, pids: &mut Vec<u32>) {
    pids.extend(cgroup::processes(folder));
    for below in cgroup::subgroups(folder) {
        list(&below, pids);
    }
}

/// Whether one of these processes is in the group or below it.
pub(super) fn holds_one_of(folder: &Path, which: &[u32]) -> bool {
    let mut pids = Vec::new();
    list(folder, &mut pids);
    pids.iter().any(|pid| which.contains(pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::command::{Command, Stdio};
    use crate::sys::process::{self, Group as Isolation};
    use crate::testing::{Folder, wait_for_death};
    use std::io::{BufRead, BufReader};

    /// A group in a hierarchy that was there once, and isn't any more.
    fn vanished(child: &str, folder: &Folder) -> Group {
        let mut group = Group::new(Vec::new(), child);
        let gone = folder.path().join("gone");
        group.ready.push(Ready { folder: gone, unified: false, controllers: u8::MAX });
        group
    }

    #[test]
    fn when_the_hierarchy_is_unmounted_the_tree_is_still_found_and_killed() {
        let folder = Folder::new();
        let name = format!("vanished-{}", std::process::id());
        let mut group = vanished(&name, &folder);
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 600 & echo $!; wait"]);
        command.env(members::MARK, &name).stdin(Stdio::null()).stdout(Stdio::piped());
        process::isolate(&mut command, Isolation::Session);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let below: u32 = line.trim().parse().unwrap();
        let leader = Identity::of(child.id());
        assert!(!group.is_empty(leader));
        // The first process is dead, and the rest lives on: that isn't an empty group.
        let mut group = vanished(&name, &folder);
        crate::sys::process::signal(child.id(), libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!group.is_empty(leader), "the one below it lives");
        let mut group = vanished(&name, &folder);
        group.kill_all(leader);
        wait_for_death(below);
        assert!(group.is_empty(leader));
    }
}

//! Who belongs to a child where no group says so: its process group, its session, all who descend
//! from these, and whoever carries the child's mark in its environment.

use crate::sys::process::{self, Identity};
use crate::sys::tree::{self, Process};

/// The variable by which a process is known as a child's after it has left its process group and
/// session and its parent has died. One that drops its environment as well can't be told.
pub const MARK: &str = "STINT_CHILD";

/// The processes of a child that are not dead.
///
/// `known` are those found before: they stay members wherever they go, and what descends from them
/// does, too.
pub fn find(leader: Option<Identity>, known: &[Identity], child: &str) -> Vec<Process> {
    let mut others = Process::all();
    let me = std::process::id();
    let own = process::own();
    others.retain(|process| !own.contains(&process.identity.pid) && process.state != b'Z');
    // The leader's number is worth nothing once another process has it.
    let leader = leader.filter(|leader| {
        Identity::of(leader.pid).is_none_or(|found| found.started == leader.started)
    });
    let mark = format!("{MARK}={child}");
    let oldest = known.iter().chain(leader.as_ref()).map(|known| known.started).min();
    let is_first = |process: &Process| {
        let of_leader = |leader: Identity| {
            [process.identity.pid, process.group, process.session].contains(&leader.pid)
        };
        leader.is_some_and(of_leader)
            || known.contains(&process.identity)
            // Only orphans can have lost every other sign.
            || ((process.parent == me || process.parent == 1)
                && oldest.is_none_or(|oldest| process.identity.started >= oldest)
                && tree::is_marked(process.identity.pid, &mark))
    };
    let (mut members, mut others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_first);
    // The descendants, generation by generation.
    loop {
        let parents: Vec<u32> = members.iter().map(|member| member.identity.pid).collect();
        let (found, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|process| parents.contains(&process.parent));
        if found.is_empty() {
            return members;
        }
        members.extend(found);
        others = rest;
    }
}

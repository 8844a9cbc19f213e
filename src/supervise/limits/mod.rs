//! Limits of children: CPU, memory and number of processes, each over the whole tree of
//! processes that a child starts.
//!
//! Where the kernel has control groups it keeps the limits: version 2, version 1, or both side by
//! side, controller by controller. Where it hasn't, or the groups aren't the agent's to use, the
//! tree is looked at once a second ([`Group::look`]). What is said to be enforced ([`Applied`]) has
//! been read back from the kernel first.
//!
//! Never here: what becomes of a child that is over its limit; that is the policy's. Never
//! elsewhere: knowledge of which mechanism is at work.
//!
//! docs/decisions/0025-limits-of-children.md has the reasons.

mod group;
mod groups;
mod kernel;
mod look;
mod members;
mod polled;
mod processes;
// With real processes, which takes time: once for all sets of features is enough.
#[cfg(test)]
#[cfg(all(feature = "documents", feature = "serial"))]
mod tests;

pub use group::Group;
pub use groups::{Groups, Kind, LEAF};
pub use members::MARK;

use std::fmt;
use std::time::Duration;
use stint_wire::bootagent::Enforcement;

/// How far the limits that were asked for hold. `None`: no such limit was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// CPU time.
    pub cpu: Option<Enforcement>,
    /// Memory.
    pub memory: Option<Enforcement>,
    /// Processes and threads.
    pub processes: Option<Enforcement>,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |applied: Option<Enforcement>| applied.map_or("no limit", Enforcement::as_str);
        let Applied { cpu, memory, processes } = *self;
        write!(f, "CPU {}, memory {}, processes {}", word(cpu), word(memory), word(processes))
    }
}

/// What a child and all that it started use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the start. Where there are no groups, that of orphans which ended is missing.
    pub cpu: Duration,
    /// Bytes of memory, without file content that could be dropped.
    pub memory: u64,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPU time: the tree goes on computing although it was stopped. In thousandths of a core.
    Cpu,
    /// Memory, in bytes, as seen at two looks in a row.
    Memory,
    /// Processes and threads.
    Processes,
    /// Memory: the kernel has killed a process of the tree, and others of it are left. In kills.
    KilledByKernel,
}

/// A child is over a limit which the kernel doesn't keep by itself: all of it has to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Of what.
    pub resource: Resource,
    /// How much it has.
    pub used: u64,
    /// How much it may have.
    pub limit: u64,
}

impl Excess {
    /// The short reason, as reports have it.
    pub fn reason(&self) -> &'static str {
        match self.resource {
            Resource::Cpu => "limit:cpu",
            Resource::Memory => "limit:memory",
            Resource::Processes => "limit:processes",
            Resource::KilledByKernel => "oom",
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { used, limit, .. } = self;
        match self.resource {
            Resource::Cpu => write!(f, "can't be held at {}% of a core", limit / 10),
            Resource::Memory => write!(f, "uses {} KiB of {} KiB", used / 1024, limit / 1024),
            Resource::Processes => write!(f, "has {used} processes and threads of {limit}"),
            Resource::KilledByKernel => {
                write!(
                    f,
                    "needed more than {} KiB; the kernel killed a process of it",
                    limit / 1024
                )
            }
        }
    }
}

//! What a tree uses, and the second's look at what the kernel doesn't see to.

use super::group::{Group, Ready};
use super::groups::{CPU_TIME, MEMORY};
use super::polled::Verdict;
use super::{Applied, Excess, Resource, Usage, kernel};
use crate::sys::process::Identity;
use crate::sys::tree::{self, Process};
use std::time::{Duration, Instant};
use stint_wire::bootagent::Enforcement;

impl Group {
    /// What the tree uses.
    pub fn usage(&mut self, leader: Option<Identity>) -> Usage {
        let members = self.members(leader);
        Usage { cpu: self.cpu_time(&members), memory: self.memory(&members, None) }
    }

    /// CPU time since the start, by the kernel's count or else by the processes' own.
    fn cpu_time(&self, members: &[Process]) -> Duration {
        let counts = |ready: &&Ready| ready.unified || ready.controllers & CPU_TIME != 0;
        let by_kernel = self.ready.iter().filter(counts).find_map(|ready| {
            kernel::cpu_time(&ready.folder, ready.unified).map(Duration::from_micros)
        });
        by_kernel.unwrap_or_else(|| tree::ticks(members.iter().map(|member| member.ticks).sum()))
    }

    /// Bytes of memory. Shared pages are divided among those who share them, unless all is within
    /// `enough` anyway: looking closely costs the kernel a walk over every page.
    fn memory(&self, members: &[Process], enough: Option<u64>) -> u64 {
        let by_kernel = self.with(MEMORY).and_then(|r| kernel::memory(&r.folder, r.unified));
        by_kernel.unwrap_or_else(|| {
            let whole: u64 = members.iter().map(Process::resident_bytes).sum();
            if enough.is_some_and(|enough| whole <= enough) {
                return whole;
            }
            let share = |member: &Process| {
                tree::proportional_bytes(member.identity.pid).unwrap_or(member.resident_bytes())
            };
            members.iter().map(share).sum()
        })
    }

    pub(super) fn all_kills(&self) -> u64 {
        self.with(MEMORY).and_then(|r| kernel::oom_kills(&r.folder, r.unified)).unwrap_or(0)
    }

    /// How many processes of the child the kernel has killed for their memory since the child's
    /// start.
    pub fn oom_kills(&self) -> u64 {
        self.all_kills().saturating_sub(self.kills_before)
    }

    /// Whether [`Group::look`] has to be called, once a second.
    pub fn needs_looking(&self) -> bool {
        let Applied { cpu, memory, processes } = self.applied;
        [cpu, memory, processes].contains(&Some(Enforcement::Polled))
            || self.data_is_old
            || self.kernel_kills_singly()
    }

    /// The kernel limits the memory, but would kill one process and leave the rest.
    fn kernel_kills_singly(&self) -> bool {
        self.applied.memory == Some(Enforcement::Hard)
            && self.with(MEMORY).is_some_and(|r| !r.unified || !kernel::kills_together(&r.folder))
    }

    /// Looks at what the kernel doesn't see to. Stops the tree when it has used up its CPU time,
    /// and lets it go on in time. A tree that is over its limit otherwise is to be killed with
    /// [`Group::kill_all`]. Not to be called while the child is being stopped for good.
    pub fn look(&mut self, leader: Option<Identity>, now: Instant) -> Option<Excess> {
        if self.kernel_kills_singly() {
            let kills = self.oom_kills();
            if kills > self.kills_told {
                self.kills_told = kills;
                let limit = self.limits.memory.unwrap_or(0);
                return Some(Excess { resource: Resource::KilledByKernel, used: kills, limit });
            }
        }
        let polled = |applied| applied == Some(Enforcement::Polled);
        let Applied { cpu, memory, processes } = self.applied;
        if !polled(cpu) && !polled(memory) && !polled(processes) && !self.data_is_old {
            return None;
        }
        let members = self.members(leader);
        if std::mem::take(&mut self.data_is_old) {
            for member in &members {
                let _ = tree::limit_data(member.identity.pid, self.data);
            }
        }
        if let Some(limit) = self.limits.memory.filter(|_| polled(memory)) {
            let used = self.memory(&members, Some(limit));
            if self.polled.memory(used, limit) {
                return Some(Excess { resource: Resource::Memory, used, limit });
            }
        }
        if let Some(limit) = self.limits.processes.filter(|_| polled(processes)) {
            let (used, limit) = (members.iter().map(|m| u64::from(m.threads)).sum(), limit.into());
            if used > limit {
                return Some(Excess { resource: Resource::Processes, used, limit });
            }
        }
        let limit = self.limits.cpu.filter(|_| polled(cpu))?;
        let used = self.cpu_time(&members);
        match self.polled.cpu(used, limit, now) {
            Verdict::Run if self.polled.stopped == Some(false) => {}
            Verdict::Run => self.let_go(&members),
            Verdict::Wait => drop(self.hold(leader)),
            Verdict::Unheld(used) => {
                let limit = u64::from(limit / 10);
                return Some(Excess { resource: Resource::Cpu, used, limit });
            }
        }
        None
    }
}

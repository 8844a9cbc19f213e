//! One child's group, in as many hierarchies as it takes, or in none.

use super::groups::{CPU, CPU_TIME, FREEZER, MEMORY, PIDS, Place};
use super::polled::{Polled, Verdict};
use super::{Applied, Excess, Resource, Usage, kernel, members};
use crate::sys::process::{self, Identity};
use crate::sys::tree::{self, Process};
use crate::sys::{cgroup, process::signal};
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stint_wire::bootagent::{Enforcement, Limits};

/// Where memory is only looked at, one process may ask for this much more than the tree may use:
/// private memory that is asked for counts, and much of it is never touched.
const ROOM: u64 = 64 * 1024 * 1024;

/// Where memory is only looked at, the kernel is to pick the child first when it runs out.
const OOM_SCORE: i32 = 500;

/// So often the tree is listed anew while it is being stopped. Each time only those are new that
/// were made between listing and stopping.
const ROUNDS: u8 = 32;

/// What a child is to be started with where nothing better limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backstop {
    /// For [`tree::limit_data`], bytes of private memory of one process.
    pub data: Option<u64>,
    /// For `/proc/self/oom_score_adj`.
    pub oom_score: i32,
}

/// A group that was made.
#[derive(Clone, Debug)]
struct Ready {
    folder: PathBuf,
    unified: bool,
    controllers: u8,
}

/// The group of one child.
#[derive(Debug)]
pub struct Group {
    child: String,
    places: Vec<Place>,
    ready: Vec<Ready>,
    limits: Limits,
    applied: Applied,
    /// Kills by the kernel before this start, and those that [`Group::look`] has told of.
    kills_before: u64,
    kills_told: u64,
    polled: Polled,
    known: Vec<Identity>,
    /// What processes that run already have yet to be told of.
    data: Option<u64>,
    data_is_old: bool,
}

impl Group {
    pub(super) fn new(places: Vec<Place>, child: &str) -> Group {
        Group {
            child: child.to_owned(),
            places,
            ready: Vec::new(),
            limits: Limits::default(),
            applied: Applied::default(),
            kills_before: 0,
            kills_told: 0,
            polled: Polled::default(),
            known: Vec::new(),
            data: None,
            data_is_old: false,
        }
    }

    /// Makes the group if need be, and limits it; what runs in it already is limited from now on.
    /// To be called before each start, after the agent's own start for each child that it found
    /// running, and whenever the limits change.
    pub fn apply(&mut self, limits: &Limits) -> Applied {
        self.make();
        self.resume();
        if self.limits != *limits {
            self.polled.start_over();
        }
        self.limits = limits.clone();
        if self.ready.iter().all(|ready| kernel::is_empty(&ready.folder, ready.unified)) {
            self.kills_before = self.all_kills();
            self.kills_told = 0;
        }
        self.enforce()
    }

    fn make(&mut self) {
        self.ready.clear();
        for place in &self.places {
            let folder = place.folder.join(&self.child);
            if let Ok(controllers) = place.prepare()
                && cgroup::make(&folder).is_ok()
            {
                self.ready.push(Ready { folder, unified: place.unified, controllers });
            }
        }
    }

    /// Sets every limit where it is kept best, and notes how far it holds.
    fn enforce(&mut self) -> Applied {
        let Limits { cpu, memory, cpu_weight, processes } = self.limits;
        let is_set = |bit, set: &dyn Fn(&Ready) -> bool| self.with(bit).is_some_and(set);
        let weight =
            |weight| is_set(CPU, &|ready| kernel::set_weight(&ready.folder, ready.unified, weight));
        let shared = weight(cpu_weight.unwrap_or(100));
        let ceiling = is_set(CPU, &|ready| kernel::set_cpu(&ready.folder, ready.unified, cpu));
        let kept = |is_kept| if is_kept { Enforcement::Hard } else { Enforcement::Polled };
        let applied_cpu = match (cpu, cpu_weight) {
            (None, None) => None,
            (None, Some(_)) if shared => Some(Enforcement::Relative),
            (None, Some(_)) => Some(Enforcement::None),
            (Some(_), _) if ceiling => Some(Enforcement::Hard),
            // A kernel with groups of CPU time and without quotas: the share says the same.
            (Some(cpu), None) if weight((cpu / 100).clamp(1, 10_000)) => {
                Some(Enforcement::Relative)
            }
            (Some(_), Some(_)) if shared => Some(Enforcement::Relative),
            (Some(_), _) => Some(Enforcement::Polled),
        };
        let by_memory =
            is_set(MEMORY, &|ready| kernel::set_memory(&ready.folder, ready.unified, memory));
        let by_pids = is_set(PIDS, &|ready| kernel::set_processes(&ready.folder, processes));
        let applied = Applied {
            cpu: applied_cpu,
            memory: memory.map(|_| kept(by_memory)),
            processes: processes.map(|_| kept(by_pids)),
        };
        if applied != self.applied {
            log::info!("limits of {}: {applied}", self.child);
        }
        self.applied = applied;
        let data = self.rlimits().data;
        self.data_is_old |= data != self.data;
        self.data = data;
        self.applied
    }

    /// Looks whether the limits still hold: the child is in its groups, and these have the values
    /// that were written. What has vanished is set again, or is looked at from now on. To be
    /// called after each start and before each report.
    pub fn recheck(&mut self, leader: Option<Identity>) -> Applied {
        let Limits { cpu, memory, processes, .. } = self.limits;
        let hard = |applied| applied == Some(Enforcement::Hard);
        let holds = |bit, has: &dyn Fn(&Ready) -> bool| self.with(bit).is_some_and(has);
        let is_well = (!hard(self.applied.cpu)
            || holds(CPU, &|r| kernel::has_cpu(&r.folder, r.unified, cpu.unwrap_or(0))))
            && (!hard(self.applied.memory)
                || holds(MEMORY, &|r| {
                    kernel::has_memory(&r.folder, r.unified, memory.unwrap_or(0))
                }))
            && (!hard(self.applied.processes)
                || holds(PIDS, &|r| kernel::has_processes(&r.folder, processes.unwrap_or(0))));
        if !is_well {
            self.make();
        }
        let before = self.ready.len();
        if let Some(leader) = leader.filter(|leader| runs(*leader)) {
            let mut ready = std::mem::take(&mut self.ready);
            ready.retain(|ready| holds_or_takes(&ready.folder, leader, &self.known, &self.child));
            self.ready = ready;
        }
        if is_well && before == self.ready.len() { self.applied } else { self.enforce() }
    }

    /// For [`cgroup::enter`], between fork and exec.
    pub fn procs_files(&self) -> Vec<CString> {
        let file = |ready: &Ready| ready.folder.join("cgroup.procs").into_os_string().into_vec();
        self.ready.iter().filter_map(|ready| CString::new(file(ready)).ok()).collect()
    }

    /// What is to be set between fork and exec.
    pub fn rlimits(&self) -> Backstop {
        match (self.applied.memory, self.limits.memory) {
            (Some(Enforcement::Polled), Some(memory)) => Backstop {
                data: Some(memory.saturating_mul(2).max(memory.saturating_add(ROOM))),
                oom_score: OOM_SCORE,
            },
            _ => Backstop::default(),
        }
    }

    /// The variable that the child's environment has to have, so that its descendants can be told.
    pub fn mark(&self) -> (&'static str, &str) {
        (members::MARK, &self.child)
    }

    /// The group that has this controller.
    fn with(&self, controller: u8) -> Option<&Ready> {
        self.ready.iter().find(|ready| ready.controllers & controller != 0)
    }

    /// A group in which all processes can be stopped at once.
    fn freezer(&self) -> Option<&Ready> {
        let can = |ready: &&Ready| {
            ready.controllers & FREEZER != 0
                || (ready.unified && cgroup::read(&ready.folder, "cgroup.freeze").is_ok())
        };
        self.ready.iter().find(can)
    }

    /// All processes of the child that aren't dead.
    fn members(&mut self, leader: Option<Identity>) -> Vec<Process> {
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
    fn hold(&mut self, leader: Option<Identity>) -> Vec<Process> {
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
    fn let_go(&mut self, members: &[Process]) {
        if let Some(r) = self.freezer() {
            let _ = kernel::freeze(&r.folder, r.unified, false);
        }
        if self.polled.stopped != Some(false) {
            for member in members.iter().filter(|member| member.state == b'T') {
                let _ = process::signal(member.identity.pid, libc::SIGCONT);
            }
        }
        self.polled.stopped = Some(false);
    }

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

    fn all_kills(&self) -> u64 {
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

    /// Whether no process of the child is left.
    pub fn is_empty(&mut self, leader: Option<Identity>) -> bool {
        if self.ready.is_empty() {
            return self.members(leader).is_empty();
        }
        self.ready.iter().all(|ready| kernel::is_empty(&ready.folder, ready.unified))
    }

    /// Removes the group; `false` if processes are left in it. [`Group::apply`] makes it anew.
    pub fn remove(&mut self) -> bool {
        self.ready.clear();
        self.known.clear();
        let mut gone = true;
        for place in &self.places {
            gone &= cgroup::remove(&place.folder.join(&self.child)).is_ok();
            // Refused while other children have groups there, which is what is wanted.
            let _ = std::fs::remove_dir(&place.folder);
        }
        gone
    }
}

/// The processes of a group and of those below it.
fn list(folder: &std::path::Path, pids: &mut Vec<u32>) {
    pids.extend(cgroup::processes(folder));
    for below in cgroup::subgroups(folder) {
        list(&below, pids);
    }
}

/// Whether the child is in its group; one that isn't is put there with all its processes.
fn holds_or_takes(
    folder: &std::path::Path,
    leader: Identity,
    known: &[Identity],
    child: &str,
) -> bool {
    let is_in = || {
        let mut pids = Vec::new();
        list(folder, &mut pids);
        pids.contains(&leader.pid)
    };
    if is_in() {
        return true;
    }
    for member in members::find(Some(leader), known, child) {
        let _ = cgroup::write(folder, "cgroup.procs", &member.identity.pid.to_string());
    }
    // One that is just ending is in no group any more, and the rest of the tree still is.
    is_in() || !runs(leader)
}

/// Whether a process is there and hasn't ended.
fn runs(identity: Identity) -> bool {
    let found = Process::of(identity.pid);
    found.is_some_and(|found| found.identity == identity && found.state != b'Z')
}

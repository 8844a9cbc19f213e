//! One child's group, in as many hierarchies as it takes, or in none.

use super::groups::{CPU, MEMORY, PIDS, Place};
use super::polled::Polled;
use super::processes::{holds_one_of, list};
use super::{Applied, kernel, members};
use crate::sys::cgroup;
use crate::sys::process::{self, Identity};
use crate::sys::tree::Process;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use stint_wire::bootagent::{Enforcement, Limits};

/// Where memory is only looked at, one process may ask for this much more than the tree may use:
/// private memory that is asked for counts, and much of it is never touched.
const ROOM: u64 = 64 * 1024 * 1024;

/// Where memory is only looked at, the kernel is to pick the child first when it runs out.
const OOM_SCORE: i32 = 500;

/// What a child is to be started with where nothing better limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backstop {
    /// For [`crate::sys::tree::limit_data`], bytes of private memory of one process.
    pub data: Option<u64>,
    /// For `/proc/self/oom_score_adj`.
    pub oom_score: i32,
}

/// A group that was made.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub folder: PathBuf,
    pub unified: bool,
    pub controllers: u8,
}

/// The group of one child.
#[derive(Debug)]
pub struct Group {
    pub(super) child: String,
    pub(super) mark: String,
    pub(super) places: Vec<Place>,
    pub(super) ready: Vec<Ready>,
    pub(super) limits: Limits,
    pub(super) applied: Applied,
    /// Kills by the kernel before this start, and those that [`Group::look`] has told of.
    pub(super) kills_before: u64,
    pub(super) kills_told: u64,
    pub(super) polled: Polled,
    pub(super) known: Vec<Identity>,
    /// What processes that run already have yet to be told of.
    pub(super) data: Option<u64>,
    pub(super) data_is_old: bool,
}

impl Group {
    pub(super) fn new(places: Vec<Place>, child: &str) -> Group {
        Group {
            child: child.to_owned(),
            mark: child.to_owned(),
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

    /// The same with a mark that no other agent on this machine gives a child of that name.
    pub fn marked(mut self, mark: &str) -> Group {
        self.mark = mark.to_owned();
        self
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
                && !holds_one_of(&folder, &process::own())
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

    /// How far the limits hold, as was seen last.
    pub fn applied(&self) -> Applied {
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
            ready.retain(|ready| holds_or_takes(&ready.folder, leader, &self.known, &self.mark));
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
        (members::MARK, &self.mark)
    }

    /// The group that has this controller.
    pub(super) fn with(&self, controller: u8) -> Option<&Ready> {
        self.ready.iter().find(|ready| ready.controllers & controller != 0)
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

/// Whether the child is in its group; one that isn't is put there with all its processes.
fn holds_or_takes(folder: &Path, leader: Identity, known: &[Identity], child: &str) -> bool {
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
pub(super) fn runs(identity: Identity) -> bool {
    let found = Process::of(identity.pid);
    found.is_some_and(|found| found.identity == identity && found.state != b'Z')
}

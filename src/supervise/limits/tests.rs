//! Limits of real processes, by whatever this machine has. Each test names the mechanism; where
//! the machine hasn't got it, the test says so and checks nothing.
//!
//! The build machine of the project has version 1 with writable `cpu` and `memory`, and a version
//! 2 without controllers beside it. Version 2 with controllers is shown in `tests/boards/`.

use super::group::Backstop;
use super::*;
use crate::sys::cgroup;
use crate::sys::child::{self, Before};
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::process::Identity;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use stint_wire::bootagent::Limits;

const MIB: u64 = 1024 * 1024;

/// Computes for ever, in a process below the first, so that trees are measured and not processes.
const BURN: &str = "sh -c 'while :; do :; done' & wait";

/// Takes a megabyte about every 0.2 s, in a process below the first.
const LEAK: &str = "sh -c 'y=; x=$(head -c 1048576 /dev/zero | tr \"\\0\" x); \
    while :; do y=$y$x; sleep 0.2; done' & wait; sleep 600";

/// A group of a name that no other test has, and its processes; all gone at the end.
struct Fixture {
    groups: Groups,
    group: Group,
    child: Option<Child>,
    leader: Option<Identity>,
}

impl Fixture {
    /// With one mechanism; `None`, and a word about it, if the machine hasn't got it.
    fn new(kind: Kind) -> Option<Fixture> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("stint-test-{}-{count}", std::process::id());
        let groups = match kind {
            Kind::None => Groups::none(),
            _ => Groups::probe(&name),
        };
        let both = groups::CPU | groups::MEMORY;
        if kind != Kind::None && groups.controllers(kind == Kind::V2) & both != both {
            eprintln!("skipped: CPU and memory by {} wanted: run as root where it is", kind.name());
            return None;
        }
        let group = groups.group(&format!("child-{name}"));
        Some(Fixture { groups, group, child: None, leader: None })
    }

    /// Starts a shell with `script` in the group, limited so.
    fn start(&mut self, limits: &Limits, script: &str) -> Applied {
        self.group.apply(limits);
        let (files, backstop) = (self.group.procs_files(), self.group.rlimits());
        let (name, value) = self.group.mark();
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(name, value);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Backstop { data, oom_score } = backstop;
        let before = Before { groups: files, data, oom_score, who: None };
        let child = child::prepare(&mut command, before).spawn().unwrap();
        self.leader = Identity::of(child.id());
        self.child = Some(child);
        self.group.recheck(self.leader)
    }

    fn output(&mut self) -> BufReader<std::fs::File> {
        BufReader::new(self.child.as_mut().unwrap().stdout.take().unwrap())
    }

    /// Looks every second for so long, unless there is an excess before.
    fn look_for(&mut self, seconds: u64) -> Option<Excess> {
        for _ in 0..seconds {
            std::thread::sleep(Duration::from_secs(1));
            let excess = self.group.look(self.leader, Instant::now());
            if excess.is_some() {
                return excess;
            }
        }
        None
    }

    /// Percent of a core, used within so many seconds.
    fn percent(&mut self, seconds: u64) -> f64 {
        let (start, before) = (Instant::now(), self.group.usage(self.leader).cpu);
        assert_eq!(self.look_for(seconds), None);
        let used = self.group.usage(self.leader).cpu.saturating_sub(before);
        100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64()
    }

    /// Waits until nobody is left.
    fn wait_until_empty(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.group.is_empty(self.leader) {
            if let Some(child) = &mut self.child {
                let _ = child.try_wait();
            }
            assert!(Instant::now() < deadline, "processes are left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.group.kill_all(self.leader);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        for _ in 0..500 {
            if self.group.remove() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.groups.sweep(&[]);
    }
}

fn cpu(hundredths: u32) -> Limits {
    Limits { cpu: Some(hundredths), ..Limits::default() }
}

fn memory(bytes: u64) -> Limits {
    Limits { memory: Some(bytes), ..Limits::default() }
}

/// 8 to 12 % of a core for a limit of 10, over long enough a time.
fn a_burner_is_held_by_the_kernel(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    let applied = fixture.start(&cpu(1000), BURN);
    assert_eq!(applied.cpu, Some(Enforcement::Hard));
    assert!(!fixture.group.needs_looking());
    let percent = fixture.percent(8);
    eprintln!("{}: {percent:.1} % of a core", kind.name());
    assert!((8.0..=12.0).contains(&percent), "{percent} %");
}

/// The limit is changed while it runs: up, and down again.
fn a_limit_of_cpu_changes_live(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    fixture.start(&cpu(1000), BURN);
    let leader = fixture.leader;
    assert!(fixture.percent(4) < 13.0);
    assert_eq!(fixture.group.apply(&cpu(2000)).cpu, Some(Enforcement::Hard));
    // A machine with much else to do may not have the whole of it.
    let percent = fixture.percent(4);
    assert!((13.0..=24.0).contains(&percent), "{percent} %");
    assert_eq!(fixture.group.apply(&cpu(50)).cpu, Some(Enforcement::Hard));
    assert!(fixture.percent(4) < 3.0);
    assert_eq!(fixture.group.apply(&Limits::default()).cpu, None);
    assert!(leader.unwrap().is_alive());
}

/// The leak is in a grandchild; all go, and there is evidence why.
fn a_leaking_grandchild_takes_the_tree_along(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    let applied = fixture.start(&memory(20 * MIB), LEAK);
    assert_eq!(applied.memory, Some(Enforcement::Hard));
    let excess = fixture.look_for(30);
    assert!(fixture.group.oom_kills() > 0);
    if kind == Kind::V1 {
        assert_eq!(excess.map(|excess| excess.reason()), Some("oom"));
        assert_eq!(fixture.look_for(2), None, "told once");
        fixture.group.kill_all(fixture.leader);
    }
    fixture.wait_until_empty();
    fixture.group.apply(&memory(20 * MIB));
    assert_eq!(fixture.group.oom_kills(), 0, "the next start has a clean slate");
}

fn a_limit_of_memory_changes_live(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    let hold = "x=$(head -c 8388608 /dev/zero | tr '\\0' x); echo there; sleep 600; :";
    fixture.start(&memory(64 * MIB), hold);
    fixture.output().read_line(&mut String::new()).unwrap();
    let held = fixture.group.usage(fixture.leader).memory;
    assert!(held > 6 * MIB, "{held}");
    assert_eq!(fixture.group.apply(&memory(128 * MIB)).memory, Some(Enforcement::Hard));
    assert_eq!(fixture.group.apply(&memory(32 * MIB)).memory, Some(Enforcement::Hard));
    assert!(fixture.leader.unwrap().is_alive());
    // Below what it has: version 2 kills it for that; version 1 refuses, and we look.
    let applied = fixture.group.apply(&memory(2 * MIB));
    let excess = fixture.look_for(5);
    match applied.memory {
        Some(Enforcement::Hard) => assert!(fixture.group.oom_kills() > 0 && kind == Kind::V2),
        Some(Enforcement::Polled) => assert_eq!(excess.map(|e| e.reason()), Some("limit:memory")),
        _ => panic!("nothing is enforced"),
    }
}

fn processes_are_counted(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    let limits = Limits { processes: Some(10), ..Limits::default() };
    let applied = fixture.start(&limits, "for i in $(seq 30); do sleep 600 & done; wait");
    if applied.processes == Some(Enforcement::Hard) {
        std::thread::sleep(Duration::from_secs(1));
        let count = fixture.group.procs_files().len();
        assert!(count > 0 && fixture.group.usage(fixture.leader).memory > 0);
        return;
    }
    let excess = fixture.look_for(3).unwrap();
    assert_eq!((excess.resource, excess.limit), (Resource::Processes, 10));
}

/// A child that ended at once isn't looked for in its groups in vain: they still have the rest.
fn a_child_that_ended_at_once_keeps_its_groups(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    fixture.start(&memory(32 * MIB), "sleep 600 &");
    crate::testing::wait_for_death(fixture.leader.unwrap().pid);
    assert_eq!(fixture.group.recheck(fixture.leader).memory, Some(Enforcement::Hard));
    assert!(!fixture.group.is_empty(fixture.leader));
}

/// Also those that have left the process group and the session, and whose parent is dead.
fn all_are_killed_wherever_they_went(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    let script = "setsid sh -c 'setsid sleep 600 & echo $!; exec setsid sleep 600' & \
        sleep 0.5; echo 0; exec sleep 600";
    fixture.start(&Limits::default(), script);
    // On a busy machine half a second may not be enough for the other one to come first.
    let lines = fixture.output().lines().map_while(Result::ok).take(2);
    let orphan = lines.map(|line| line.parse::<u32>().unwrap()).max().unwrap();
    assert!(!fixture.group.is_empty(fixture.leader));
    fixture.group.kill_all(fixture.leader);
    crate::testing::wait_for_death(orphan);
    fixture.wait_until_empty();
}

fn a_limit_that_somebody_else_changes_is_noticed(kind: Kind) {
    let Some(mut fixture) = Fixture::new(kind) else { return };
    fixture.start(&memory(32 * MIB), "exec sleep 600");
    let leader = fixture.leader;
    for file in fixture.group.procs_files() {
        let file = std::path::PathBuf::from(file.into_string().unwrap());
        let folder = file.parent().unwrap();
        for (name, none) in [
            ("memory.max", "max"),
            ("memory.memsw.limit_in_bytes", "-1"),
            ("memory.limit_in_bytes", "-1"),
        ] {
            let _ = cgroup::write(folder, name, none);
        }
        // Whoever moves it elsewhere takes its limits away as well.
        let outside = folder.parent().unwrap().parent().unwrap();
        let _ = cgroup::write(outside, "cgroup.procs", &leader.unwrap().pid.to_string());
    }
    assert!(fixture.group.is_empty(None), "it was moved");
    assert!(!fixture.group.is_empty(leader), "and lives all the same");
    assert_eq!(fixture.group.recheck(leader).memory, Some(Enforcement::Hard));
    assert!(!fixture.group.is_empty(leader));
    assert_eq!(fixture.group.recheck(leader).memory, Some(Enforcement::Hard));
}

macro_rules! by_kernel {
    ($($name:ident),*) => {
        mod cgroup_v1 { $(#[test] fn $name() { super::$name(super::Kind::V1); })* }
        mod cgroup_v2 { $(#[test] fn $name() { super::$name(super::Kind::V2); })* }
    };
}

by_kernel!(
    a_burner_is_held_by_the_kernel,
    a_limit_of_cpu_changes_live,
    a_leaking_grandchild_takes_the_tree_along,
    a_limit_of_memory_changes_live,
    processes_are_counted,
    a_child_that_ended_at_once_keeps_its_groups,
    all_are_killed_wherever_they_went,
    a_limit_that_somebody_else_changes_is_noticed
);

/// The kernel has groups, but none for CPU time: the tree is frozen from time to time, which it
/// can't see, and the agent that comes after a crash lets it go on.
#[test]
fn without_the_controller_a_burner_is_frozen_now_and_then_and_goes_on_with_the_next_agent() {
    let Some(mut fixture) = [Kind::V2, Kind::V1].into_iter().find_map(Fixture::new) else { return };
    fixture.groups = fixture.groups.clone().without(groups::CPU);
    let name = fixture.group.mark().1.to_owned();
    fixture.group = fixture.groups.group(&name);
    assert_eq!(fixture.start(&cpu(2000), BURN).cpu, Some(Enforcement::Polled));
    assert_eq!(fixture.look_for(2), None);
    let percent = fixture.percent(15);
    eprintln!("frozen now and then: {percent:.1} % of a core for a limit of 20");
    assert!((7.0..=32.0).contains(&percent), "{percent} %");
    goes_on_with_the_next_agent(&mut fixture);
}

/// Waits until a burner is stopped, forgets all about it, and sees it run again.
fn goes_on_with_the_next_agent(fixture: &mut Fixture) {
    let computes = |fixture: &mut Fixture| {
        let before = fixture.group.usage(fixture.leader).cpu;
        std::thread::sleep(Duration::from_millis(500));
        fixture.group.usage(fixture.leader).cpu - before > Duration::from_millis(30)
    };
    for _ in 0..20 {
        assert_eq!(fixture.look_for(1), None);
        if !computes(fixture) {
            break;
        }
    }
    let name = fixture.group.mark().1.to_owned();
    fixture.group = fixture.groups.group(&name);
    fixture.group.apply(&cpu(100_000));
    assert_eq!(fixture.look_for(1), None);
    assert!(computes(fixture));
}

mod no_cgroups {
    use super::*;

    #[test]
    fn a_stopped_tree_goes_on_with_the_next_agent() {
        let mut fixture = Fixture::new(Kind::None).unwrap();
        fixture.start(&cpu(1000), BURN);
        goes_on_with_the_next_agent(&mut fixture);
    }

    #[test]
    fn a_burner_is_held_by_stopping_it_and_goes_on_when_it_may() {
        let mut fixture = Fixture::new(Kind::None).unwrap();
        let applied = fixture.start(&cpu(2000), BURN);
        assert_eq!(applied.cpu, Some(Enforcement::Polled));
        assert!(fixture.group.needs_looking());
        // The first cycle begins with the first look, so that two are looked at.
        assert_eq!(fixture.look_for(2), None);
        let percent = fixture.percent(15);
        eprintln!("no cgroups: {percent:.1} % of a core for a limit of 20");
        assert!((7.0..=30.0).contains(&percent), "{percent} %");
        fixture.group.apply(&Limits::default());
        assert!(!fixture.group.needs_looking());
        assert!(fixture.percent(3) > 4.0, "it is let go");
    }

    #[test]
    fn a_leaking_grandchild_is_found_at_two_looks() {
        let mut fixture = Fixture::new(Kind::None).unwrap();
        let applied = fixture.start(&memory(20 * MIB), LEAK);
        assert_eq!(applied.memory, Some(Enforcement::Polled));
        let excess = fixture.look_for(30).unwrap();
        assert_eq!((excess.reason(), excess.limit), ("limit:memory", 20 * MIB));
        assert!(excess.used > 20 * MIB);
        fixture.group.kill_all(fixture.leader);
        fixture.wait_until_empty();
    }

    #[test]
    fn one_that_asks_for_much_at_once_is_refused_before_anybody_looks() {
        let mut fixture = Fixture::new(Kind::None).unwrap();
        let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo has ${#x}";
        fixture.start(&memory(20 * MIB), script);
        let mut line = String::new();
        fixture.output().read_line(&mut line).unwrap();
        assert_eq!(line, "");
    }

    #[test]
    fn processes_are_counted() {
        super::processes_are_counted(Kind::None);
    }

    #[test]
    fn all_are_killed_wherever_they_went() {
        super::all_are_killed_wherever_they_went(Kind::None);
    }

    #[test]
    fn another_childs_processes_are_left_alone() {
        let mut one = Fixture::new(Kind::None).unwrap();
        let mut two = Fixture::new(Kind::None).unwrap();
        one.start(&Limits::default(), "sleep 600");
        two.start(&Limits::default(), "sleep 600 & wait");
        one.group.kill_all(one.leader);
        one.wait_until_empty();
        assert!(!two.group.is_empty(two.leader));
    }
}

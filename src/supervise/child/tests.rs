use super::super::limits::Groups;
use super::*;
use crate::testing::Folder;
use std::io::Read;
use std::process::Command;

const RULES: Rules = Rules {
    fast: false,
    check: Duration::from_secs(1),
    cooldown: Duration::from_secs(180),
    window: Duration::from_secs(60),
    retries: 3,
};

fn unit(folder: &Folder, record: Record) -> Unit {
    let definition = Definition::parse("{\"name\":\"app\",\"exec\":\"/bin/sleep\"}").unwrap();
    let group = Groups::none().group("app");
    Unit::new(definition, record, folder.path().to_owned(), group, RULES)
}

/// The record of a child that runs as the process.
fn running(pid: u32) -> Record {
    Record {
        boot: "b".into(),
        wanted: true,
        status: ChildStatus::Running,
        run: Some(Process::of(pid).unwrap().identity),
        mark: "m".into(),
        ..Record::default()
    }
}

#[test]
fn an_agent_killed_while_a_child_is_stopped_to_start_again_leaves_one_that_is_wanted() {
    for renewed in [false, true] {
        let folder = Folder::new();
        let notes = Notes::open(&folder.path().join("own")).unwrap();
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let mut unit = unit(&folder, running(process.id()));
        let now = Duration::from_secs(1000);
        match renewed {
            true => unit.renew(now),
            false => unit.stop_to_start_again(now),
        }
        let kept = Record::load(folder.path()).unwrap().unwrap();
        assert!(kept.wanted && kept.due.is_some() && kept.run.is_some());
        // The agent is gone, and the process ends with nobody looking.
        process.wait().unwrap();
        let mut next = super::tests::unit(&folder, kept);
        next.resume("b", now, &notes);
        assert_eq!((next.record.status, next.record.streak), (ChildStatus::Stopped, 0));
        assert!(next.record.wanted && next.record.due.is_some());
    }
}

#[test]
fn the_next_agent_goes_on_with_a_stop_that_a_start_is_to_follow() {
    let folder = Folder::new();
    let notes = Notes::open(&folder.path().join("own")).unwrap();
    let mut process = Command::new("sleep").arg("60").spawn().unwrap();
    let now = Duration::from_secs(1000);
    // Killed after the record was written, and before the signal was sent.
    let record = Record { due: Some(now), ..running(process.id()) };
    let mut unit = unit(&folder, record);
    unit.resume("b", now, &notes);
    process.wait().unwrap();
    assert!(unit.stopping.is_some() && unit.record.wanted && unit.record.due.is_some());
    // A stop on purpose that comes meanwhile is one.
    unit.stop(now);
    unit.stop_to_start_again(now);
    assert!(!unit.record.wanted && unit.record.due.is_none());
}

#[test]
fn a_child_that_ends_with_the_agent_is_killed_in_time_whatever_it_is_granted() {
    for under_way in [false, true] {
        let folder = Folder::new();
        let notes = Notes::open(&folder.path().join("own")).unwrap();
        let mut process = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; exec sleep 600"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It has said that it doesn't heed the signal.
        let mut line = [0];
        process.stdout.take().unwrap().read_exact(&mut line).unwrap();
        let mut unit = unit(&folder, running(process.id()));
        unit.definition.stop_time = Duration::from_secs(600);
        unit.definition.stop_as_group = false;
        let (now, kill_at) = (Duration::from_secs(1000), Duration::from_secs(1015));
        if under_way {
            unit.stop(now);
        }
        unit.stop_with_agent(now, kill_at);
        let just_before = kill_at - Duration::from_millis(1);
        assert_eq!(unit.turn(just_before, false, "b", &notes), Some(kill_at));
        assert!(process.try_wait().unwrap().is_none());
        unit.turn(kill_at, false, "b", &notes);
        // The test's process is the parent, and the unit's next look takes the end in.
        let ended = |_| {
            std::thread::sleep(Duration::from_millis(20));
            unit.turn(kill_at, false, "b", &notes);
            !unit.is_up()
        };
        assert!((0..1000).any(ended));
        // A stop on purpose stays one, the other is undone by the next agent.
        assert_eq!((unit.record.wanted, unit.record.due.is_some()), (!under_way, !under_way));
    }
}

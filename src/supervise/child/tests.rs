use super::super::limits::Groups;
use super::*;
use crate::testing::Folder;
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

use super::*;
use crate::reactor::block_on;
use crate::testing::Folder;
use smol::future;
use stint_wire::bootagent::ChildStatus;

/// A supervisor of one child, which isn't started by itself, and ends with the agent.
fn supervisor(folder: &Folder) -> Rc<Supervisor> {
    let settings =
        Settings { definitions: folder.path().join("children.d"), ..Settings::default() };
    let supervisor = Supervisor::open(folder.path(), settings).unwrap();
    assert!(supervisor.groups.set(Groups::none()).is_ok());
    let text = "{\"name\":\"app\",\"exec\":\"/bin/sleep\",\"args\":[\"60\"],\"autostart\":false,\
                \"stopit\":true}";
    supervisor.define(Definition::parse(text).unwrap(), None).unwrap();
    Rc::new(supervisor)
}

/// Looks at the child as the supervisor's task does.
async fn look_after(supervisor: &Supervisor) -> Result<String, Failure> {
    loop {
        for unit in supervisor.units.borrow_mut().iter_mut() {
            let may_start = !supervisor.ending.get();
            unit.turn(clock::since_boot(), may_start, &supervisor.boot, &supervisor.notes);
        }
        after(Duration::from_millis(5)).await;
    }
}

/// The agent leaves, beside a job.
fn leave_beside(
    supervisor: &Rc<Supervisor>,
    job: impl Future<Output = Result<String, Failure>>,
) -> Result<String, Failure> {
    let leave = async {
        supervisor.leave().await;
        // The other modules are told to stop.
        after(LOOK * 4).await;
        Ok("left".to_owned())
    };
    block_on(future::or(job, future::or(leave, look_after(supervisor)))).unwrap()
}

#[test]
fn a_job_that_starts_a_child_when_the_agent_is_leaving_is_left_to_the_next_agent() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    let late = async {
        while !supervisor.ending.get() {
            future::yield_now().await;
        }
        jobs::start(&supervisor, "app").await
    };
    assert_eq!(leave_beside(&supervisor, late), Ok("left".to_owned()));
    assert!(!supervisor.with("app", |unit| unit.is_up()).unwrap());
}

#[test]
fn a_restart_that_was_under_way_starts_nothing_when_the_agent_is_leaving() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    block_on(jobs::start(&supervisor, "app")).unwrap().unwrap();
    assert!(supervisor.with("app", |unit| unit.is_up()).unwrap());
    let restart = jobs::restart(&supervisor, "app");
    assert_eq!(leave_beside(&supervisor, restart), Ok("left".to_owned()));
    let (is_clear, status) =
        supervisor.with("app", |unit| (unit.is_clear(), unit.record.status)).unwrap();
    assert!(is_clear && status == ChildStatus::Stopped);
}

#[test]
fn a_child_whose_program_is_not_there_is_a_start_that_failed_with_the_reason() {
    let folder = Folder::new();
    let supervisor = supervisor(&folder);
    supervisor.with("app", |unit| unit.definition.exec = "/nonexistent".into()).unwrap();
    let failure = block_on(jobs::start(&supervisor, "app")).unwrap().unwrap_err();
    assert!(failure.message.starts_with("spawn: can't start /nonexistent"), "{}", failure.message);
}

use super::*;
use crate::document::remote::Nowhere;
use crate::spool::{Job, Spool};
use crate::testing::Folder;

fn job(steps: &str) -> Job {
    Job {
        id: "c-1".into(),
        receipt: "aws.ssm.c-1.mi-1".into(),
        created: String::new(),
        node: "mi-1".into(),
        region: "eu-west-1".into(),
        document_name: "D".into(),
        document: format!(r#"{{"schemaVersion":"2.2","mainSteps":[{steps}]}}"#),
        parameters: "{}".into(),
        output: None,
    }
}

fn shell(name: &str, script: &str) -> String {
    let script = stint_wire::json::quote(script);
    format!(
        r#"{{"action":"aws:runShellScript","name":"{name}","inputs":{{"runCommand":[{script}],"timeoutSeconds":5}}}}"#
    )
}

fn means() -> Means<'static> {
    Means { scripts: None, remote: &Nowhere, state: None }
}

fn started(folder: &Folder, job: &Job) -> JobFolder {
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(job).unwrap();
    spool.start(&job.id).unwrap().unwrap()
}

fn run(steps: &str) -> Outcome {
    let folder = Folder::new();
    let started = started(&folder, &job(steps));
    work(started.path(), &means(), &mut io::sink()).unwrap();
    started.outcome()
}

#[test]
fn a_document_runs_to_its_end_and_says_how_each_step_ended() {
    let outcome = run(&[shell("a", "echo out; echo err >&2"), shell("b", "exit 7")].join(","));
    assert!(outcome.complete);
    assert_eq!(outcome.status, "Failed");
    let (a, b) = (&outcome.steps[0], &outcome.steps[1]);
    assert_eq!(
        (a.status.as_str(), a.stdout.as_str(), a.stderr.as_str()),
        ("Success", "out\n", "err\n")
    );
    assert_eq!((b.status.as_str(), b.code), ("Failed", 7));
    assert_eq!(b.stderr, "failed to run commands: exit status 7");
}

#[test]
fn a_script_knows_its_command_and_not_the_agents_secrets() {
    let script =
        "echo $SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME; env | grep -c CARGO";
    let outcome = run(&shell("a", script));
    assert_eq!(outcome.steps[0].stdout, "c-1 mi-1 eu-west-1\n0\n");
}

#[test]
fn a_child_left_in_the_background_does_not_hold_the_step() {
    let outcome = run(&shell("a", "sleep 60 & echo $!"));
    let step = &outcome.steps[0];
    assert_eq!(step.status, "Success");
    let left: u32 = step.stdout.trim().parse().unwrap();
    assert!(Identity::of(left).is_some(), "it was meant to stay");
    process::signal(left, libc::SIGKILL).unwrap();
}

#[test]
fn a_script_that_takes_too_long_is_killed_with_its_children() {
    let outcome = run(&shell("a", "echo begun; sleep 600 & echo $! >&2; wait"));
    let step = &outcome.steps[0];
    assert_eq!(
        (step.status.as_str(), step.code, step.stdout.as_str()),
        ("TimedOut", 137, "begun\n")
    );
    crate::testing::wait_for_death(step.stderr.trim().parse().unwrap());
}

#[test]
fn a_step_that_was_begun_and_not_ended_is_reported_and_not_run_again() {
    let folder = Folder::new();
    let marker = folder.path().join("ran");
    let script = format!("echo again >> {}", marker.display());
    let job = job(&[shell("a", &script), shell("b", "true")].join(","));
    let started = started(&folder, &job);
    started.note_run(None).unwrap();
    started.note_step(0, 0).unwrap();
    durable::make_folder(&started.path().join("step-0")).unwrap();
    std::fs::write(started.path().join("step-0/stdout"), "half").unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    let outcome = started.outcome();
    assert!(!marker.exists());
    assert_eq!((outcome.status.as_str(), outcome.steps[0].stdout.as_str()), ("Failed", "half"));
    assert!(outcome.steps[0].stderr.contains("was interrupted"));
    assert_eq!(outcome.steps[1].status, "Success");
}

/// As a device would find its job after a reboot.
fn rebooted(started: &JobFolder) {
    let mut outcome = started.outcome();
    outcome.reboot = outcome.reboot.map(|reboot| Reboot { boot: "before".into(), ..reboot });
    started.save_outcome(&outcome).unwrap();
}

#[test]
fn a_step_that_asks_for_a_reboot_goes_on_after_it_and_not_before() {
    let folder = Folder::new();
    let marker = folder.path().join("done");
    let script = format!("echo x >>{0}; [ $(wc -l <{0}) -ge 2 ] || exit 194", marker.display());
    let job = job(&[shell("a", &script), shell("b", "echo after")].join(","));
    let started = started(&folder, &job);
    let lines = || fs::read_to_string(&marker).unwrap().lines().count();
    for _ in 0..2 {
        work(started.path(), &means(), &mut io::sink()).unwrap();
        let outcome = started.outcome();
        assert!(outcome.asks_for_reboot() && !outcome.has_rebooted(&host::boot_id()));
        let step = &outcome.steps[0];
        assert_eq!((step.status.as_str(), step.code, lines()), ("SuccessAndReboot", 194, 1));
    }
    rebooted(&started);
    work(started.path(), &means(), &mut io::sink()).unwrap();
    let outcome = started.outcome();
    assert_eq!((outcome.status.as_str(), outcome.complete, lines()), ("Success", true, 2));
    assert_eq!(outcome.steps[1].stdout, "after\n");
}

#[test]
fn a_step_killed_after_its_reboot_is_interrupted_like_any_other() {
    let folder = Folder::new();
    let started = started(&folder, &job(&shell("a", "exit 194")));
    work(started.path(), &means(), &mut io::sink()).unwrap();
    rebooted(&started);
    started.note_step(0, 1).unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    assert!(started.outcome().steps[0].stderr.contains("was interrupted"));
}

#[test]
fn a_step_that_never_stops_asking_for_reboots_fails_and_says_so() {
    let folder = Folder::new();
    let started = started(&folder, &job(&shell("a", "exit 194")));
    let mut reboots = 0;
    while !started.outcome().complete {
        work(started.path(), &means(), &mut io::sink()).unwrap();
        reboots = started.outcome().reboots();
        rebooted(&started);
    }
    let outcome = started.outcome();
    assert_eq!((reboots, outcome.status.as_str()), (MAX_REBOOTS, "Failed"));
    assert!(outcome.steps[0].stderr.contains("after 15 reboots"));
}

#[test]
fn a_job_cancelled_while_it_awaits_a_reboot_ends_without_one() {
    let folder = Folder::new();
    let started = started(&folder, &job(&shell("a", "exit 194")));
    work(started.path(), &means(), &mut io::sink()).unwrap();
    started.cancel().unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    assert_eq!(started.outcome().status, "Cancelled");
}

#[test]
fn a_step_that_was_skipped_does_not_hide_that_the_next_one_was_begun() {
    let folder = Folder::new();
    let marker = folder.path().join("ran");
    let script = shell("b", &format!("echo again >> {}", marker.display()));
    let skipped = r#"{"action":"aws:psModule","name":"a"}"#;
    let job = job(&format!("{skipped},{script}"));
    let started = started(&folder, &job);
    let mut outcome = Outcome::begun();
    outcome.steps = run(skipped).steps;
    started.save_outcome(&outcome).unwrap();
    started.note_step(1, 0).unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    assert!(!marker.exists());
    assert!(started.outcome().steps[1].stderr.contains("was interrupted"));
}

#[test]
fn a_worker_that_takes_over_still_skips_what_the_document_had_ended() {
    let folder = Folder::new();
    let job = job(&[shell("a", "exit 168"), shell("b", "true")].join(","));
    let started = started(&folder, &job);
    let mut outcome = Outcome::begun();
    outcome.steps = run(&shell("a", "exit 168")).steps;
    started.save_outcome(&outcome).unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    let statuses = started.outcome().steps;
    let statuses: Vec<_> = statuses.iter().map(|step| step.status.as_str()).collect();
    assert_eq!(statuses, ["Success", "Skipped"]);
}

#[test]
fn a_cancelled_job_starts_no_step() {
    let folder = Folder::new();
    let started = started(&folder, &job(&shell("a", "echo ran")));
    started.cancel().unwrap();
    work(started.path(), &means(), &mut io::sink()).unwrap();
    let outcome = started.outcome();
    assert_eq!((outcome.status.as_str(), outcome.steps[0].stdout.as_str()), ("Cancelled", ""));
}

#[test]
fn a_document_that_cannot_be_read_fails_with_the_reason() {
    let folder = Folder::new();
    let mut job = job("");
    job.document = r#"{"schemaVersion":"0.3"}"#.into();
    let started = started(&folder, &job);
    work(started.path(), &means(), &mut io::sink()).unwrap();
    let outcome = started.outcome();
    assert!(outcome.complete && outcome.trace.contains("schema version 0.3"), "{}", outcome.trace);
}

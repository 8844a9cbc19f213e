use super::*;
use crate::spool::Outcome;
use crate::testing::Folder;

fn job(id: &str) -> Job {
    Job {
        id: id.into(),
        receipt: format!("aws.ssm.{id}.mi-1"),
        created: String::new(),
        node: "mi-1".into(),
        region: "r".into(),
        document_name: "D".into(),
        document: "{}".into(),
        parameters: "{}".into(),
        output: None,
    }
}

#[test]
fn a_job_goes_from_pending_to_completed_and_is_recognised_all_the_way() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(spool.accept(&job("a")).unwrap(), Acceptance::New);
    assert_eq!(spool.accept(&job("a")).unwrap(), Acceptance::Waiting);
    assert_eq!(spool.accept(&job("b")).unwrap(), Acceptance::New);
    let waiting: Vec<_> = spool.pending().unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(waiting, ["a", "b"]);
    let started = spool.start("a").unwrap().unwrap();
    assert_eq!(started.job(), Some(job("a")));
    assert_eq!(spool.accept(&job("a")).unwrap(), Acceptance::Known);
    assert!(spool.start("a").unwrap().is_none());
    spool.complete("a", "Success", Utc(0)).unwrap();
    assert_eq!(spool.accept(&job("a")).unwrap(), Acceptance::Known);
    assert_eq!(Spool::count(folder.path()), Counts { pending: 1, running: 0, completed: 1 });
}

#[test]
fn a_job_cancelled_before_its_turn_never_starts() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    spool.complete("a", "Cancelled", Utc(0)).unwrap();
    assert!(spool.start("a").unwrap().is_none());
    assert_eq!(spool.accept(&job("a")).unwrap(), Acceptance::Known);
}

#[test]
fn a_daemon_that_died_while_putting_a_job_away_does_not_run_it_again() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    for id in ["ran", "cancelled"] {
        spool.accept(&job(id)).unwrap();
        fs::write(spool.record(id), "{}").unwrap();
    }
    let started = spool.start("ran").unwrap().unwrap();
    fs::write(started.path().join("journal"), "run\nstep\n").unwrap();
    fs::remove_file(started.path().join(JOB)).unwrap();
    assert_eq!(spool.pending().unwrap(), []);
    assert!(spool.current().unwrap().is_empty());
    let counts = Counts { pending: 0, running: 0, completed: 2 };
    assert_eq!(Spool::count(folder.path()), counts);
}

#[test]
fn a_full_spool_leaves_jobs_with_the_server() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    for n in 0..MAX_PENDING {
        spool.accept(&job(&n.to_string())).unwrap();
    }
    assert!(matches!(spool.accept(&job("more")), Err(SpoolError::Full)));
    let mut large = job("large");
    large.document = "x".repeat(MAX_JOB);
    spool.complete("0", "Success", Utc(0)).unwrap();
    assert!(matches!(spool.accept(&large), Err(SpoolError::TooLarge)));
}

#[test]
fn what_is_damaged_is_set_aside_and_the_rest_goes_on() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    spool.accept(&job("b")).unwrap();
    spool.start("b").unwrap();
    fs::write(spool.pending.join("0000000000000000-worse.json"), "{\"id\":").unwrap();
    fs::create_dir(spool.current.join("bad")).unwrap();
    fs::write(spool.current.join("bad").join(JOB), "").unwrap();
    fs::create_dir(spool.current.join("never-begun")).unwrap();
    assert_eq!(spool.pending().unwrap(), [job("a")]);
    let current: Vec<_> = spool.current().unwrap().into_iter().map(|(job, _)| job).collect();
    assert_eq!(current, [job("b")]);
    assert_eq!(
        durable::list(spool.corrupt.path()).unwrap(),
        ["0000000000000000-worse.json", "bad"]
    );
    assert_eq!(durable::list(&spool.current).unwrap(), ["b"]);
}

#[test]
fn a_job_has_its_journal_before_anybody_takes_it_up() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    let started = spool.start("a").unwrap().unwrap();
    assert_eq!(durable::list(started.path()).unwrap(), ["job.json", "journal"]);
    assert!(!started.was_taken_up());
    started.note_run(None).unwrap();
    assert!(started.was_taken_up());
}

#[test]
fn a_damaged_job_is_lost_until_its_end_is_noted() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    for id in ["waits", "runs", "gone", "fine"] {
        spool.accept(&job(id)).unwrap();
    }
    fs::write(spool.pending.join("0000000000000001-waits.json"), "{").unwrap();
    let mut outcome = Outcome::begun();
    outcome.trace = "known".into();
    for id in ["runs", "gone"] {
        let started = spool.start(id).unwrap().unwrap();
        started.note_run(None).unwrap();
        started.save_outcome(&outcome).unwrap();
    }
    fs::write(spool.current.join("runs").join(JOB), [0; 100]).unwrap();
    fs::remove_file(spool.current.join("gone").join(JOB)).unwrap();
    assert_eq!(spool.pending().unwrap(), [job("fine")]);
    assert!(spool.current().unwrap().is_empty());
    let lost = spool.lost().unwrap();
    let lost: Vec<_> = lost.iter().map(|l| (l.id.as_str(), l.outcome.trace.as_str())).collect();
    assert_eq!(lost, [("waits", ""), ("gone", "known"), ("runs", "known")]);
    for (id, _) in lost {
        spool.complete(id, "Failed", Utc(0)).unwrap();
    }
    assert_eq!(spool.lost().unwrap(), []);
    assert_eq!(spool.ended("runs"), Some(("runs".into(), "Failed".into())));
}

#[test]
fn a_damaged_journal_is_kept_and_its_job_goes_on() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    let started = spool.start("a").unwrap().unwrap();
    fs::write(started.path().join("journal"), [0; 8]).unwrap();
    fs::write(started.path().join("outcome.json"), "{").unwrap();
    assert_eq!(spool.current().unwrap().len(), 1);
    assert_eq!(durable::list(spool.corrupt.path()).unwrap(), ["a.journal", "a.outcome"]);
    assert_eq!(spool.lost().unwrap(), []);
}

#[test]
fn a_job_that_a_power_cut_left_in_both_places_counts_as_started() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    let file = durable::list(&spool.pending).unwrap().remove(0);
    let copy = fs::read(spool.pending.join(&file)).unwrap();
    spool.start("a").unwrap().unwrap();
    fs::write(spool.pending.join(&file), copy).unwrap();
    assert_eq!(spool.pending().unwrap(), []);
    assert_eq!(spool.current().unwrap().len(), 1);
    assert!(spool.start("a").unwrap().is_none());
}

#[test]
fn an_outcome_is_read_back_and_a_missing_one_is_a_job_just_begun() {
    let folder = Folder::new();
    let spool = Spool::open(folder.path()).unwrap();
    spool.accept(&job("a")).unwrap();
    let started = spool.start("a").unwrap().unwrap();
    assert_eq!(started.outcome(), Outcome::begun());
    let mut outcome = Outcome::begun();
    outcome.complete = true;
    started.save_outcome(&outcome).unwrap();
    assert_eq!(started.outcome(), outcome);
}

#[test]
fn what_is_kept_is_counted_right_and_is_never_more_than_wanted() {
    let folder = Folder::new();
    let keep = Retention { jobs: 16, bytes: 400_000 };
    let spool = Spool::open(folder.path()).unwrap().keeping(keep);
    let mut most = 0;
    for number in 0..40 {
        let id = format!("job-{number}");
        spool.accept(&job(&id)).unwrap();
        let started = spool.start(&id).unwrap().unwrap();
        fs::create_dir(started.step(0)).unwrap();
        fs::write(started.step(0).join("stdout"), vec![b'x'; 1 + number % 3 * 10_000]).unwrap();
        spool.complete(&id, "Success", Utc(0)).unwrap();
        let all = Retention { jobs: usize::MAX, bytes: u64::MAX };
        let counted = spool.kept.get();
        assert_eq!(counted, retention::prune(&spool.completed, &id, all), "{number}");
        assert!(spool.ended(&id).is_some());
        most = most.max(Spool::count(folder.path()).completed);
    }
    assert_eq!(most, keep.jobs);
}

//! A report in replies of bounded size, each step in one of them: servers merge replies by step.
//!
//! A job may have hundreds of steps whose outputs are long, and a server that finds a reply too
//! large never takes it. So a reply is kept small, and what the server has taken isn't told again.

use super::super::reply::step_reply;
use super::messages::digest;
use crate::spool::{Report, StepOutcome};
use std::sync::{Mutex, PoisonError};
use stint_wire::reply::{STREAM_LIMIT, StepReply, limit_stream_to};

/// The most bytes of steps in a reply, names not counted. With the trace and the frame that is below the
/// original's limit for a reply, 120,000 bytes.
const MOST_STEPS: usize = 92_000;

/// To so many bytes of each stream, and no fewer, a step is cut that is larger than that alone. Written as
/// JSON, a byte becomes six at most.
const LEAST_STREAM: usize = STREAM_LIMIT / 4;

/// The most bytes of the reason why a document wasn't run, and of one beside steps.
const MOST_TRACE: usize = 16_000;
const MOST_TRACE_WITH_STEPS: usize = 4_000;

/// Jobs of which is known what their servers have been told. Those beyond are told anew.
const JOBS: usize = 64;

/// Tells what a step's reply says from what another says.
type Mark = [u8; 16];

/// One reply.
#[derive(Debug, Default)]
pub struct Part<'r> {
    /// The reply's id: the same content always has the same, so that a server recognises it when it is
    /// sent again after a power cut.
    pub id: Mark,
    /// The document's status. All parts but the last say that it goes on.
    pub status: &'r str,
    /// Why the document wasn't run.
    pub trace: String,
    /// Steps by name.
    pub steps: Vec<(&'r str, StepReply)>,
    marks: Vec<Mark>,
}

/// What a server has taken of a job.
#[derive(Debug)]
struct Known {
    receipt: String,
    /// Steps, while the job goes on.
    marks: Vec<Mark>,
    /// It has heard the end.
    is_over: bool,
}

/// What servers have taken of the latest jobs.
#[derive(Debug, Default)]
pub struct Told(Mutex<Vec<Known>>);

impl Told {
    /// Notes that the server has taken a part of the report.
    pub fn add(&self, report: &Report, part: &Part<'_>) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at =
            jobs.iter().position(|known| known.receipt == report.receipt).unwrap_or_else(|| {
                if jobs.len() >= JOBS {
                    jobs.remove(0);
                }
                jobs.push(Known {
                    receipt: report.receipt.clone(),
                    marks: Vec::new(),
                    is_over: false,
                });
                jobs.len() - 1
            });
        let Some(known) = jobs.get_mut(at) else { return };
        if report.outcome.complete && part.status == report.outcome.status {
            // The last part of the last report.
            *known = Known { marks: Vec::new(), is_over: true, receipt: report.receipt.clone() };
        } else {
            known.marks.extend_from_slice(&part.marks);
        }
    }

    /// What of the report the server hasn't taken yet.
    pub fn rest<'r>(&self, report: &'r Report) -> Vec<Part<'r>> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match jobs.iter().find(|known| known.receipt == report.receipt) {
            // An earlier report that was on its way when the end was told.
            Some(known) if known.is_over && !report.outcome.complete => Vec::new(),
            known => parts(report, known.map_or(&[], |known| known.marks.as_slice())),
        }
    }
}

fn parts<'r>(report: &'r Report, told: &[Mark]) -> Vec<Part<'r>> {
    let outcome = &report.outcome;
    let (mut parts, mut part, mut size) = (Vec::new(), Part::default(), 0);
    for step in &outcome.steps {
        let (reply, text) = fitting(step);
        let mark = digest(&format!("{}\n{text}", step.name));
        if told.contains(&mark) {
            continue;
        }
        if size + text.len() > MOST_STEPS && size > 0 {
            part.status = "InProgress";
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
        size += text.len();
        part.steps.push((&step.name, reply));
        part.marks.push(mark);
    }
    part.status = &outcome.status;
    let most = if part.steps.is_empty() { MOST_TRACE } else { MOST_TRACE_WITH_STEPS };
    part.trace = limit_stream_to(&outcome.trace, most);
    // Without a step and an end it has nothing to say.
    if outcome.complete || !part.steps.is_empty() {
        parts.push(part);
    }
    for part in &mut parts {
        let mut seed = format!("{}\n{}\n{}\n", report.receipt, part.status, outcome.reboots());
        for mark in &part.marks {
            seed.extend(mark.map(char::from));
        }
        part.id = digest(&seed);
    }
    parts
}

/// The step as a reply has it, and its JSON.
fn fitting(step: &StepOutcome) -> (StepReply, String) {
    let mut most = STREAM_LIMIT;
    loop {
        let reply = step_reply(step, most);
        let text = reply.to_json();
        if text.len() <= MOST_STEPS || most <= LEAST_STREAM {
            return (reply, text);
        }
        most /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Outcome, Uploaded};
    use std::collections::BTreeSet;
    use stint_wire::reply::{self, From, Status};
    use stint_wire::time::Utc;

    fn step(name: usize, stdout: &str) -> StepOutcome {
        StepOutcome {
            name: format!("step-{name}"),
            plugin: "aws:runShellScript".into(),
            status: "Success".into(),
            code: 0,
            started: "2026-11-22T08:16:32.646Z".into(),
            ended: "2026-11-22T08:16:33.646Z".into(),
            stdout: stdout.into(),
            stderr: stdout.into(),
            uploaded: None,
        }
    }

    fn report(steps: Vec<StepOutcome>, complete: bool) -> Report {
        let status = if complete { Status::Success } else { Status::InProgress };
        let outcome = Outcome { complete, steps, ..Outcome::ended(status, String::new()) };
        Report { job: "c-1".into(), receipt: "aws.ssm.c-1.mi-1".into(), outcome }
    }

    fn size(part: &Part<'_>) -> usize {
        let from = From { agent: "amazon-ssm-agent", version: "1.2.3", now: Utc(0) };
        reply::text(&from, part.status, &part.trace, &part.steps).len()
    }

    #[test]
    fn no_reply_is_larger_than_the_originals_limit_and_no_step_is_left_out() {
        for noise in ["\u{1}", "\"", "<", "x"] {
            let mut report =
                report((0..40).map(|n| step(n, &noise.repeat(24_000))).collect(), true);
            report.outcome.trace = "\u{1}".repeat(50_000);
            let parts = parts(&report, &[]);
            assert!(parts.iter().all(|part| size(part) <= 120_000), "{noise}");
            let names: Vec<_> = parts.iter().flat_map(|part| &part.steps).map(|it| it.0).collect();
            assert!(names.iter().copied().eq(report.outcome.steps.iter().map(|it| &*it.name)));
            let (last, before) = parts.split_last().unwrap();
            assert!(last.status == "Success" && before.iter().all(|it| it.status == "InProgress"));
            let ids: BTreeSet<_> = parts.iter().map(|part| part.id).collect();
            assert_eq!(ids.len(), parts.len());
        }
        let mut alone = report(Vec::new(), true);
        alone.outcome.trace = "\u{1}".repeat(50_000);
        assert!(size(&parts(&alone, &[])[0]) <= 120_000);
    }

    #[test]
    fn short_output_stays_whole_in_one_reply() {
        let report = report(vec![step(0, &"x".repeat(24_000)), step(1, "y")], true);
        let parts = parts(&report, &[]);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].steps[0].1.standard_output.len(), 24_000);
    }

    #[test]
    fn what_the_server_has_taken_is_not_told_again_unless_it_changed() {
        let told = Told::default();
        let tell = |report: &Report| -> Vec<Vec<String>> {
            let parts = told.rest(report);
            parts.iter().for_each(|part| told.add(report, part));
            let names = |part: &Part<'_>| part.steps.iter().map(|it| it.0.to_owned()).collect();
            parts.iter().map(names).collect()
        };
        let first = report(vec![step(0, "a")], false);
        assert_eq!(tell(&first), [["step-0"]]);
        assert!(tell(&first).is_empty());
        let last = report(vec![step(0, "a, and how its upload ended"), step(1, "b")], true);
        assert_eq!(tell(&last), [["step-0", "step-1"]]);
        // It is over: progress that was on its way comes too late, and whoever tells the end once more tells all of
        // it, under the same id.
        assert!(tell(&first).is_empty());
        assert_eq!(told.rest(&last)[0].id, parts(&last, &[])[0].id);
    }

    #[test]
    fn an_end_without_anything_new_is_told_and_progress_without_is_not() {
        let report = report(vec![step(0, "a")], true);
        let marks = parts(&report, &[])[0].marks.clone();
        let rest = parts(&report, &marks);
        assert!(rest.len() == 1 && rest[0].steps.is_empty() && rest[0].status == "Success");
        assert!(parts(&self::report(Vec::new(), false), &[]).is_empty());
    }

    #[test]
    fn what_is_remembered_of_jobs_is_bounded() {
        let told = Told::default();
        for number in 0..2 * JOBS {
            let mut report = report(vec![step(0, "a")], false);
            report.receipt = number.to_string();
            let parts = told.rest(&report);
            told.add(&report, &parts[0]);
        }
        assert_eq!(told.0.lock().unwrap().len(), JOBS);
    }

    #[test]
    fn a_part_is_a_reply_that_says_how_its_steps_ended() {
        let uploaded =
            Uploaded { bucket: "b".into(), prefix: "p/c-1/mi-1".into(), step: "s".into() };
        let mut step = step(0, "out");
        (step.status, step.code) = ("Failed".into(), 7);
        (step.stderr, step.uploaded) = ("err".into(), Some(uploaded));
        let report = report(vec![step], true);
        let part = &parts(&report, &[])[0];
        let text = super::super::reply::text(part.status, "", &part.steps, "stint", Utc(0));
        let back: reply::Reply = miniserde::json::from_str(&text).unwrap();
        let step = &back.runtime_status.unwrap()["step-0"];
        let place = [&step.output_s3_bucket_name, &step.output_s3_key_prefix, &step.step_name];
        assert_eq!(place, ["b", "p/c-1/mi-1", "s"]);
        assert_eq!((step.code, step.output.as_str()), (7, "out\n----------ERROR-------\nerr"));
        assert_eq!(back.additional_info.runtime_status_counts.unwrap()["Failed"], 1);
    }
}

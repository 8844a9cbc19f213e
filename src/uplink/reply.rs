//! A report in the words of Systems Manager: the payload of SendReply. Pure.

use crate::spool::{Report, StepOutcome, Uploaded};
use stint_wire::reply::{self, StepReply, combined_output};
use stint_wire::time::Utc;

/// The payload of SendReply. The last reply of a document carries all its steps, where the
/// original's carries none if there are several: a server that merges, as it must, loses nothing.
pub fn text(report: &Report, agent_name: &str, now: Utc) -> String {
    let steps: Vec<_> = report.outcome.steps.iter().map(step_reply).collect();
    reply::text(
        &reply::From { agent: agent_name, version: env!("STINT_VERSION"), now },
        &report.outcome.status,
        &report.outcome.trace,
        &steps,
    )
}

fn step_reply(step: &StepOutcome) -> (&str, StepReply) {
    let uploaded = step.uploaded.as_ref();
    let of = |part: fn(&Uploaded) -> &str| uploaded.map(part).unwrap_or_default().to_owned();
    let reply = StepReply {
        status: step.status.clone(),
        code: step.code,
        name: step.plugin.clone(),
        output: combined_output(&step.stdout, &step.stderr),
        start_date_time: step.started.clone(),
        end_date_time: step.ended.clone(),
        output_s3_bucket_name: of(|uploaded| &uploaded.bucket),
        output_s3_key_prefix: of(|uploaded| &uploaded.prefix),
        step_name: of(|uploaded| &uploaded.step),
        standard_output: step.stdout.clone(),
        standard_error: step.stderr.clone(),
    };
    (&step.name, reply)
}

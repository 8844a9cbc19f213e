//! A report in the words of Systems Manager: the payload of SendReply. Pure.

use crate::spool::{Report, StepOutcome, Uploaded};
use stint_wire::reply::{self, StepReply, combined_output, limit_stream_to};
use stint_wire::time::Utc;

/// The payload of a SendReply that says all of the report, however large that is.
#[cfg(feature = "offline")]
pub fn whole(report: &Report, agent_name: &str, now: Utc) -> String {
    let outcome = &report.outcome;
    let steps: Vec<_> = outcome
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step_reply(step, reply::STREAM_LIMIT)))
        .collect();
    text(&outcome.status, &outcome.trace, &steps, agent_name, now)
}

/// The payload of SendReply.
pub fn text(
    status: &str,
    trace: &str,
    steps: &[(&str, StepReply)],
    agent_name: &str,
    now: Utc,
) -> String {
    let from = reply::From { agent: agent_name, version: env!("STINT_VERSION"), now };
    reply::text(&from, status, trace, steps)
}

/// A step as replies have it, with so many bytes of each stream at most.
pub fn step_reply(step: &StepOutcome, most: usize) -> StepReply {
    let uploaded = step.uploaded.as_ref();
    let of = |part: fn(&Uploaded) -> &str| uploaded.map(part).unwrap_or_default().to_owned();
    StepReply {
        status: step.status.clone(),
        code: step.code,
        name: step.plugin.clone(),
        output: combined_output(&step.stdout, &step.stderr),
        start_date_time: step.started.clone(),
        end_date_time: step.ended.clone(),
        output_s3_bucket_name: of(|uploaded| &uploaded.bucket),
        output_s3_key_prefix: of(|uploaded| &uploaded.prefix),
        step_name: of(|uploaded| &uploaded.step),
        standard_output: limit_stream_to(&step.stdout, most),
        standard_error: limit_stream_to(&step.stderr, most),
    }
}

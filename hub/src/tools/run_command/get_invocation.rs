//! GetCommandInvocation: one step of one node, with its output.

use super::command::stored;
use super::output_urls::Place;
use super::step_status;
use super::steps::{self, NOT_RUN, Reported};
use crate::app::App;
use crate::commands::{Options, is_finished};
use crate::error::{ApiError, ApiResult};
use crate::tools::documents::{Content, Step};
use crate::tools::present;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;
use stint_wire::time::Utc;

/// The most characters of StandardOutputContent (the model).
const STDOUT_LIMIT: usize = 24_000;

/// The most characters of StandardErrorContent (the model).
const STDERR_LIMIT: usize = 8_000;

/// GetCommandInvocation's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    command_id: String,
    instance_id: String,
    plugin_name: Option<String>,
}

#[derive(FromRow)]
struct Row {
    status: String,
    status_details: String,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    trace: String,
    comment: String,
    document_name: String,
    document_version: String,
    content: String,
    options: String,
    region: String,
}

/// What the answer says beside the command's own members.
#[derive(Debug, PartialEq, Eq)]
struct Outcome<'r> {
    plugin: Option<&'r str>,
    status: &'r str,
    details: &'r str,
    code: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    stdout: &'r str,
    stderr: &'r str,
}

/// GetCommandInvocation.
///
/// # Errors
/// `InvocationDoesNotExist` (the CLI's waiter tries again on it), `InvalidPluginName`.
pub async fn get_invocation(app: &App, input: Get) -> ApiResult<Value> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT i.status, i.status_details, i.started_at, i.finished_at, i.trace, c.comment,
           c.document_name, c.document_version, c.content, c.options, c.region
         FROM invocation i JOIN command c ON c.id = i.command_id
         WHERE i.command_id = $1 AND i.node_id = $2",
    )
    .bind(&input.command_id)
    .bind(&input.instance_id)
    .fetch_optional(&app.store.read)
    .await?;
    let row = row.ok_or_else(|| {
        ApiError::new(
            "InvocationDoesNotExist",
            format!(
                "Command {} was not sent to {}. ListCommandInvocations shows where it was sent.",
                input.command_id, input.instance_id
            ),
        )
    })?;
    let reported = steps::reported(app, &input.command_id, &input.instance_id).await?;
    let content = Content::of(&row.content);
    let steps = content.steps();
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let outcome = outcome(&row, &names, &reported, input.plugin_name.as_deref())?;
    let options: Options = stored(&row.options)?;
    let moment = |at: Option<i64>| at.map(|at| Utc(at as u64).iso()).unwrap_or_default();
    let elapsed = match (outcome.started_at, outcome.finished_at) {
        (Some(from), Some(to)) => duration(to.saturating_sub(from).unsigned_abs()),
        _ => String::new(),
    };
    let place = Place {
        server: app.s3_server.as_deref(),
        command: &input.command_id,
        node: &input.instance_id,
        region: options.s3_region(&row.region),
        options: &options,
    };
    let run = |step: &&Step| {
        Some(step.name.as_str()) == outcome.plugin && reported.iter().any(|r| r.name == step.name)
    };
    let [stdout_url, stderr_url] =
        steps.iter().find(run).map(|step| place.urls(&content, step)).unwrap_or_default();
    Ok(present(json!({
        "CommandId": input.command_id,
        "InstanceId": input.instance_id,
        "Comment": row.comment,
        "DocumentName": row.document_name,
        "DocumentVersion": row.document_version,
        "PluginName": outcome.plugin,
        "ResponseCode": outcome.code,
        "ExecutionStartDateTime": moment(outcome.started_at),
        "ExecutionElapsedTime": elapsed,
        "ExecutionEndDateTime": moment(outcome.finished_at),
        "Status": outcome.status,
        "StatusDetails": outcome.details,
        "StandardOutputContent": steps::cut(outcome.stdout, STDOUT_LIMIT),
        "StandardOutputUrl": stdout_url,
        "StandardErrorContent": steps::cut(outcome.stderr, STDERR_LIMIT),
        "StandardErrorUrl": stderr_url,
        "CloudWatchOutputConfig": options.cloud_watch(),
    })))
}

/// Which step is meant, and what there is to say of it. Of a document with several steps and no
/// step named: how the whole went, without output.
fn outcome<'r>(
    row: &'r Row,
    steps: &[&'r str],
    reported: &'r [Reported],
    wanted: Option<&str>,
) -> ApiResult<Outcome<'r>> {
    let step = match (wanted, steps) {
        (Some(wanted), _) => {
            let found = steps.iter().find(|name| **name == wanted);
            Some(*found.ok_or_else(|| {
                ApiError::new(
                    "InvalidPluginName",
                    format!("The document has no step '{wanted}'. It has: {}.", steps.join(", ")),
                )
            })?)
        }
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    let whole = Outcome {
        plugin: step,
        status: &row.status,
        details: &row.status_details,
        code: NOT_RUN,
        started_at: None,
        finished_at: None,
        stdout: "",
        // Why no step was run, or none after the last: the operator looks here for it.
        stderr: &row.trace,
    };
    let Some(step) = step else {
        let ended = is_finished(&row.status);
        let failed = reported.iter().find(|r| r.code != 0).map_or(0, |r| r.code);
        let code = if ended && !reported.is_empty() { failed } else { NOT_RUN };
        let (started_at, finished_at) = (row.started_at, row.finished_at);
        return Ok(Outcome { code, started_at, finished_at, ..whole });
    };
    let Some(report) = reported.iter().find(|r| r.name == step) else { return Ok(whole) };
    let state = step_status::of_step(&report.status);
    if !is_finished(state) {
        return Ok(Outcome { started_at: report.started_at, ..whole });
    }
    let ran = Outcome {
        code: report.code,
        started_at: report.started_at,
        finished_at: report.finished_at,
        stdout: &report.stdout,
        stderr: if report.stderr.is_empty() { &row.trace } else { &report.stderr },
        ..whole
    };
    if steps.len() == 1 {
        // The only step has ended; the invocation says the same in better words, once it has.
        return Ok(ran);
    }
    Ok(Outcome { status: state, details: step_status::details_of_step(state), ..ran })
}

/// A duration as Java writes it, and so AWS: `PT1H2M3.004S`, `PT0S`.
fn duration(millis: u64) -> String {
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, fraction) = (millis / 1000 % 60, millis % 1000);
    let mut out = "PT".to_owned();
    if hours > 0 {
        out.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        out.push_str(&format!("{minutes}M"));
    }
    if fraction > 0 {
        let exact = format!("{seconds}.{fraction:03}");
        out.push_str(exact.trim_end_matches('0'));
        out.push('S');
    } else if seconds > 0 || millis == 0 || out == "PT" {
        out.push_str(&format!("{seconds}S"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_java_writes_them() {
        for (millis, expected) in [
            (0, "PT0S"),
            (30, "PT0.03S"),
            (1000, "PT1S"),
            (60_000, "PT1M"),
            (61_500, "PT1M1.5S"),
            (3_600_000, "PT1H"),
            (172_800_001, "PT48H0.001S"),
        ] {
            assert_eq!(duration(millis), expected);
        }
    }

    fn row(status: &str) -> Row {
        Row {
            status: status.into(),
            status_details: status.into(),
            started_at: Some(1),
            finished_at: Some(9),
            trace: String::new(),
            comment: String::new(),
            document_name: String::new(),
            document_version: String::new(),
            content: String::new(),
            options: String::new(),
            region: "eu-central-1".to_owned(),
        }
    }

    fn report(name: &str, status: &str, code: i64) -> Reported {
        Reported {
            name: name.into(),
            status: status.into(),
            code,
            output: String::new(),
            stdout: "out".into(),
            stderr: "err".into(),
            started_at: Some(2),
            finished_at: Some(3),
        }
    }

    #[test]
    fn a_step_is_told_by_name_and_the_whole_without() {
        let failed = row("Failed");
        let reports = [report("one", "Success", 0), report("two", "Failed", 7)];
        let steps = ["one", "two", "three"];
        for (wanted, status, code, stdout) in [
            (Some("one"), "Success", 0, "out"),
            (Some("two"), "Failed", 7, "out"),
            (Some("three"), "Failed", -1, ""),
            (None, "Failed", 7, ""),
        ] {
            let told = outcome(&failed, &steps, &reports, wanted).unwrap();
            assert_eq!((told.status, told.code, told.stdout), (status, code, stdout));
            assert_eq!(told.plugin, wanted);
        }
        let error = outcome(&failed, &steps, &reports, Some("four")).unwrap_err();
        assert_eq!(error.code, "InvalidPluginName");
    }

    #[test]
    fn a_document_that_could_not_be_run_says_why_where_its_errors_would_be() {
        let refused = Row { trace: "the disk is full".into(), ..row("Failed") };
        assert_eq!(outcome(&refused, &["one"], &[], None).unwrap().stderr, "the disk is full");
        let reports = [report("one", "Failed", 7)];
        assert_eq!(outcome(&refused, &["one"], &reports, None).unwrap().stderr, "err");
    }

    #[test]
    fn nothing_of_an_unfinished_step_is_shown_but_its_start() {
        let running = row("InProgress");
        let reports = [report("one", "InProgress", 0)];
        let told = outcome(&running, &["one"], &reports, None).unwrap();
        assert_eq!((told.status, told.code, told.stdout), ("InProgress", -1, ""));
        assert_eq!((told.started_at, told.finished_at), (Some(2), None));
    }
}

//! The steps of an invocation: those that the document has, with what the node said of them.

use super::output_urls::Place;
use super::step_status;
use crate::app::App;
use crate::commands::is_finished;
use crate::error::ApiResult;
use crate::tools::documents::Content;
use crate::tools::{present, timestamp};
use serde_json::{Value, json};
use sqlx::FromRow;
use stint_wire::text;

/// The most characters of a step's output that CommandPlugin may have (the model).
const OUTPUT_LIMIT: usize = 2500;

/// The response code of a step that has not run.
pub const NOT_RUN: i64 = -1;

/// A row of the table `invocation_step`.
#[derive(Clone, Debug, FromRow)]
pub struct Reported {
    /// The name under which the node reports it.
    pub name: String,
    /// The status in the node's words.
    pub status: String,
    /// The exit code.
    pub code: i64,
    /// Standard output and error, cut.
    pub output: String,
    /// Standard output, cut.
    pub stdout: String,
    /// Standard error, cut.
    pub stderr: String,
    /// Milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
}

/// What the node said of its steps, in order.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn reported(app: &App, command: &str, node: &str) -> ApiResult<Vec<Reported>> {
    let rows = sqlx::query_as(
        "SELECT name, status, code, output, stdout, stderr, started_at, finished_at
         FROM invocation_step WHERE command_id = $1 AND node_id = $2 ORDER BY position, name",
    )
    .bind(command)
    .bind(node)
    .fetch_all(&app.store.read)
    .await?;
    Ok(rows)
}

/// The invocation's steps as CommandPlugins of the model. A step that the node has not spoken of
/// is where the invocation is.
pub fn plugins(
    content: &Content,
    reported: &[Reported],
    invocation: (&str, &str),
    place: &Place<'_>,
) -> Vec<Value> {
    let options = place.options;
    let steps = content.steps();
    steps
        .iter()
        .map(|step| match reported.iter().find(|r| r.name == step.name) {
            Some(report) => {
                let state = step_status::of_step(&report.status);
                let code = if is_finished(state) { report.code } else { NOT_RUN };
                let details = step_status::details_of_step(state);
                (step, Some(report), state, details, code)
            }
            None => {
                let state = unspoken(invocation.0);
                let details = if state == invocation.0 { invocation.1 } else { state };
                (step, None, state, details, NOT_RUN)
            }
        })
        .map(|(step, report, state, details, code)| {
            let [stdout_url, stderr_url] =
                report.map(|_| place.urls(content, step)).unwrap_or_default();
            present(json!({
                "Name": step.name,
                "Status": state,
                "StatusDetails": details,
                "ResponseCode": code,
                "ResponseStartDateTime": report.and_then(|r| r.started_at).map(timestamp),
                "ResponseFinishDateTime": report.and_then(|r| r.finished_at).map(timestamp),
                "Output": report.map(|r| cut(&r.output, OUTPUT_LIMIT)).unwrap_or_default(),
                "StandardOutputUrl": stdout_url,
                "StandardErrorUrl": stderr_url,
                "OutputS3Region": place.region,
                "OutputS3BucketName": options.output_s3_bucket_name.as_deref().unwrap_or_default(),
                "OutputS3KeyPrefix": options.output_s3_key_prefix.as_deref().unwrap_or_default(),
            }))
        })
        .collect()
}

/// CommandPlugin has fewer words than an invocation: no Delayed, no Cancelling.
fn unspoken(invocation: &str) -> &str {
    match invocation {
        "Delayed" => "Pending",
        "Cancelling" => "InProgress",
        other => other,
    }
}

/// At most `limit` characters. The agents cut to these limits in bytes, so this seldom cuts.
pub fn cut(whole: &str, limit: usize) -> &str {
    match whole.char_indices().nth(limit) {
        Some((end, _)) => text::head(whole, end),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_by_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("", 0), "");
    }
}

//! DescribeSessions and GetConnectionStatus.

use crate::app::{App, Caller};
use crate::auth::session_rules;
use crate::error::{ApiError, ApiResult};
use crate::sessions::{Session, transcripts};
use crate::store::select::{Bound, Select};
use crate::tools::tags::{self, MANAGED_INSTANCE};
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use stint_wire::time::Utc;

/// DescribeSessions' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    state: String,
    max_results: Option<i64>,
    next_token: Option<String>,
    filters: Option<Vec<Filter>>,
}

#[derive(Deserialize)]
struct Filter {
    key: String,
    value: String,
}

/// GetConnectionStatus' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    target: String,
}

/// DescribeSessions: those that are open, or those that have ended; newest first.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidNextToken`, `ValidationException` for a date that is none.
pub async fn describe(app: &App, caller: &Caller, input: Describe) -> ApiResult<Value> {
    let select = Select::new("SELECT * FROM session");
    let mut select = match input.state.as_str() {
        "Active" => select.and("ended_at IS NULL", []),
        _ => select.and("ended_at IS NOT NULL", []),
    };
    for Filter { key, value } in input.filters.unwrap_or_default() {
        let text = Bound::from(&value);
        select = match key.as_str() {
            "InvokedAfter" => select.and("requested_at >= ?", [moment(&value)?]),
            "InvokedBefore" => select.and("requested_at < ?", [moment(&value)?]),
            "Target" => select.and("node_id = ?", [text]),
            "Owner" => select.and("(owner = ? OR access_key = ?)", [text.clone(), text]),
            "Status" => select.and("status = ?", [text]),
            "SessionId" => select.and("id = ?", [text]),
            // There are no others.
            "AccessType" if value == "Standard" => select,
            "AccessType" => select.and("1 = 0", []),
            _ => {
                return Err(ApiError::new(
                    "InvalidFilterKey",
                    format!("The filter key '{key}' isn't valid."),
                ));
            }
        };
    }
    let wanted =
        paging::Wanted::of("DescribeSessions", input.next_token.as_deref(), input.max_results);
    let (rows, next) = paging::BY_REQUEST
        .page(&wanted, select, &app.store.read, |row: &Session| (row.requested_at, row.id.as_str()))
        .await?;
    let mut sessions = Vec::new();
    for row in rows {
        let url = output(app, caller, &row).await?;
        sessions.push(shown(row, url));
    }
    Ok(present(json!({"Sessions": sessions, "NextToken": next})))
}

/// Where what a session printed is: in S3, or here. A link of the hub's own is for those who might have opened
/// the session themselves.
async fn output(app: &App, caller: &Caller, row: &Session) -> ApiResult<String> {
    if !row.output_url.is_empty() || !["partial", "whole"].contains(&row.transcript.as_str()) {
        return Ok(row.output_url.clone());
    }
    let tags = tags::of(&app.store.read, MANAGED_INSTANCE, &row.node_id).await?;
    let key = caller.access_key.as_str();
    if !session_rules::allow(&app.store.read, key, &row.document_name, &tags).await? {
        return Ok(String::new());
    }
    let endpoint = app.public_url.as_deref().unwrap_or(&caller.endpoint).trim_end_matches('/');
    Ok(format!("{endpoint}{}", transcripts::link(app, &row.id, app.now())?))
}

fn shown(row: Session, output: String) -> Value {
    let said = |text: String| (!text.is_empty()).then_some(text);
    let longest = (row.longest_seconds > 0).then(|| (row.longest_seconds / 60).to_string());
    present(json!({
        "SessionId": row.id,
        "Target": row.node_id,
        "Status": row.status,
        "StartDate": timestamp(row.requested_at),
        "EndDate": row.ended_at.map(timestamp),
        "DocumentName": row.document_name,
        "Owner": row.owner,
        "Reason": said(row.reason),
        "Details": said(row.details),
        "OutputUrl": present(json!({"S3OutputUrl": said(output)})),
        "MaxSessionDuration": longest,
        "AccessType": "Standard",
    }))
}

/// A moment as the API writes it in filters, with or without milliseconds.
fn moment(text: &str) -> ApiResult<Bound> {
    let whole = text.strip_suffix('Z').map(|text| format!("{text}.000Z"));
    let at = Utc::parse_iso(text).or_else(|| Utc::parse_iso(&whole?));
    let at = at.ok_or_else(|| {
        ApiError::validation(format!("'{text}' is no moment; write 2026-11-22T08:00:00Z"))
    })?;
    Ok(Bound::Number(at.0 as i64))
}

/// GetConnectionStatus: whether the node could be told of a session now.
///
/// # Errors
/// None.
pub async fn connection_status(app: &App, input: Target) -> ApiResult<Value> {
    let status = if app.wakeups.has_channel(&input.target) { "connected" } else { "notconnected" };
    Ok(json!({"Target": input.target, "Status": status}))
}

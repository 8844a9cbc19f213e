//! ListCommands.

use super::command::{COLUMNS, Command};
use super::filters::{self, Columns, Filter};
use crate::app::App;
use crate::commands;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};

/// ListCommands' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Option<Vec<Filter>>,
}

const FILTERS: Columns = Columns {
    after: "requested_at > ?",
    before: "requested_at < ?",
    document: "document_name = ?",
    status: "status = ? OR status_details = ?",
    words: &[
        "Pending",
        "InProgress",
        "Success",
        "Cancelled",
        "Cancelling",
        "Failed",
        "TimedOut",
        "AccessDenied",
        "DeliveryTimedOut",
        "ExecutionTimedOut",
        "Incomplete",
        "NoInstancesInTag",
        "LimitExceeded",
    ],
    stage: Some((
        "status IN ('Pending', 'InProgress', 'Cancelling')",
        "status NOT IN ('Pending', 'InProgress', 'Cancelling')",
    )),
};

/// ListCommands: newest first.
///
/// # Errors
/// Those of [`filters::apply`], and `InvalidNextToken`.
pub async fn list_commands(app: &App, input: List) -> ApiResult<Value> {
    let mut select = Select::new(COLUMNS);
    if let Some(id) = &input.command_id {
        select = select.and("id = ?", [Bound::from(id)]);
    }
    if let Some(node) = &input.instance_id {
        select = select.and(
            "EXISTS (SELECT 1 FROM invocation i WHERE i.command_id = command.id AND i.node_id = ?)",
            [Bound::from(node)],
        );
    }
    select = filters::apply(select, &input.filters.unwrap_or_default(), &FILTERS)?;
    let wanted = paging::Wanted::of("ListCommands", input.next_token.as_deref(), input.max_results);
    let (rows, next) = paging::BY_REQUEST
        .page(&wanted, select, &app.store.read, |row: &Command| (row.requested_at, row.id.as_str()))
        .await?;
    let tallies = commands::tallies(app, rows.iter().map(|c| &c.id)).await?;
    let nothing = commands::Tally::default();
    let answers: ApiResult<Vec<Value>> =
        rows.iter().map(|c| c.answer(tallies.get(&c.id).unwrap_or(&nothing))).collect();
    Ok(present(json!({"Commands": answers?, "NextToken": next})))
}

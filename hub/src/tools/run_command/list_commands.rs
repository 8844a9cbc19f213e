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

const OPERATION: &str = "ListCommands";

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
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
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
    if let Some([at, id]) = paging::start::<2>(OPERATION, input.next_token.as_deref())? {
        let at: i64 = at.parse().map_err(|_| paging::invalid(OPERATION))?;
        select = select.and(
            "requested_at < ? OR (requested_at = ? AND id < ?)",
            [at.into(), at.into(), Bound::from(&id)],
        );
    }
    let order = "ORDER BY requested_at DESC, id DESC";
    let rows: Vec<Command> = select.rows(order, Some(limit + 1), &app.store.read).await?;
    let (rows, next) =
        paging::page(OPERATION, rows, limit, |c| vec![c.requested_at.to_string(), c.id.clone()]);
    let tallies = commands::tallies(app, rows.iter().map(|c| &c.id)).await?;
    let nothing = commands::Tally::default();
    let answers: ApiResult<Vec<Value>> =
        rows.iter().map(|c| c.answer(tallies.get(&c.id).unwrap_or(&nothing))).collect();
    Ok(present(json!({"Commands": answers?, "NextToken": next})))
}

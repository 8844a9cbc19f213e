//! ListCommandInvocations.

use super::command::stored;
use super::filters::{self, Columns, Filter};
use super::output_urls::Place;
use super::steps;
use crate::app::App;
use crate::commands::Options;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::documents::Content;
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;

const OPERATION: &str = "ListCommandInvocations";

/// The most characters of TraceOutput (the model).
const TRACE_LIMIT: usize = 2500;

/// ListCommandInvocations' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
    filters: Option<Vec<Filter>>,
    details: Option<bool>,
}

const FILTERS: Columns = Columns {
    after: "i.requested_at > ?",
    before: "i.requested_at < ?",
    document: "c.document_name = ?",
    status: "i.status = ? OR i.status_details = ?",
    words: &[
        "Pending",
        "InProgress",
        "Delayed",
        "Success",
        "Cancelled",
        "Cancelling",
        "Failed",
        "TimedOut",
        "AccessDenied",
        "DeliveryTimedOut",
        "ExecutionTimedOut",
        "Undeliverable",
        "InvalidPlatform",
        "Terminated",
    ],
    stage: None,
};

#[derive(FromRow)]
struct Row {
    command_id: String,
    node_id: String,
    requested_at: i64,
    status: String,
    status_details: String,
    trace: String,
    region: String,
    comment: String,
    document_name: String,
    document_version: String,
    content: String,
    options: String,
    computer_name: Option<String>,
}

/// ListCommandInvocations: newest command first, then by node.
///
/// # Errors
/// Those of [`filters::apply`], and `InvalidNextToken`.
pub async fn list_invocations(app: &App, input: List) -> ApiResult<Value> {
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let mut select = Select::new(
        "SELECT i.command_id, i.node_id, i.requested_at, i.status, i.status_details, i.trace,
           c.region, c.comment, c.document_name, c.document_version, c.content, c.options,
           n.computer_name
         FROM invocation i JOIN command c ON c.id = i.command_id
         LEFT JOIN node n ON n.id = i.node_id",
    );
    if let Some(id) = &input.command_id {
        select = select.and("i.command_id = ?", [Bound::from(id)]);
    }
    if let Some(node) = &input.instance_id {
        select = select.and("i.node_id = ?", [Bound::from(node)]);
    }
    select = filters::apply(select, &input.filters.unwrap_or_default(), &FILTERS)?;
    if let Some([at, id, node]) = paging::start::<3>(OPERATION, input.next_token.as_deref())? {
        let at: i64 = at.parse().map_err(|_| paging::invalid(OPERATION))?;
        let (id, node) = (Bound::from(&id), Bound::from(&node));
        select = select.and(
            "i.requested_at < ? OR (i.requested_at = ?
               AND (i.command_id < ? OR (i.command_id = ? AND i.node_id > ?)))",
            [at.into(), at.into(), id.clone(), id, node],
        );
    }
    let order = "ORDER BY i.requested_at DESC, i.command_id DESC, i.node_id";
    let rows: Vec<Row> = select.rows(order, Some(limit + 1), &app.store.read).await?;
    let (rows, next) = paging::page(OPERATION, rows, limit, |r| {
        vec![r.requested_at.to_string(), r.command_id.clone(), r.node_id.clone()]
    });
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        list.push(invocation(app, row, input.details == Some(true)).await?);
    }
    Ok(present(json!({"CommandInvocations": list, "NextToken": next})))
}

async fn invocation(app: &App, row: Row, details: bool) -> ApiResult<Value> {
    let options: Options = stored(&row.options)?;
    let plugins = if details {
        let reported = steps::reported(app, &row.command_id, &row.node_id).await?;
        let state = (row.status.as_str(), row.status_details.as_str());
        let content = Content::of(&row.content);
        let place = Place {
            server: app.s3_server.as_deref(),
            command: &row.command_id,
            node: &row.node_id,
            region: options.s3_region(&row.region),
            options: &options,
        };
        steps::plugins(&content, &reported, state, &place)
    } else {
        Vec::new()
    };
    let trace = steps::cut(&row.trace, TRACE_LIMIT);
    Ok(present(json!({
        "CommandId": row.command_id,
        "InstanceId": row.node_id,
        "InstanceName": row.computer_name.unwrap_or_default(),
        "Comment": row.comment,
        "DocumentName": row.document_name,
        "DocumentVersion": row.document_version,
        "RequestedDateTime": timestamp(row.requested_at),
        "Status": row.status,
        "StatusDetails": row.status_details,
        "TraceOutput": Some(trace).filter(|t| !t.is_empty()),
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": plugins,
        "ServiceRole": options.service_role_arn.as_deref().unwrap_or_default(),
        "NotificationConfig": options.notification(),
        "CloudWatchOutputConfig": options.cloud_watch(),
    })))
}

//! DescribeInstanceInformation.

use super::filters::{self, Filter, LegacyFilter, SOURCE_TYPE, StringFilter, Subject};
use super::presence::ping_status;
use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::tags::{self, MANAGED_INSTANCE, Tag};
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;
use std::collections::HashMap;
use stint_wire::manifest::Version;
use stint_wire::time::Utc;

const OPERATION: &str = "DescribeInstanceInformation";

/// Nodes read from the store at a time. Presence is not in the store, so filters are applied
/// after reading.
const BATCH: i64 = 256;

/// DescribeInstanceInformation's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    instance_information_filter_list: Option<Vec<LegacyFilter>>,
    filters: Option<Vec<StringFilter>>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    activation_id: String,
    name: Option<String>,
    iam_role: String,
    registered_at: i64,
    last_ping_at: Option<i64>,
    step: Option<i64>,
    agent_name: Option<String>,
    agent_version: Option<String>,
    computer_name: Option<String>,
    ip_address: Option<String>,
    platform_type: Option<String>,
    platform_name: Option<String>,
    platform_version: Option<String>,
}

/// DescribeInstanceInformation: by node id.
///
/// # Errors
/// Those of [`filters::parse`], and `InvalidNextToken`.
pub async fn describe(app: &App, input: Describe) -> ApiResult<Value> {
    let filters = filters::parse(input.filters, input.instance_information_filter_list)?;
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let mut after = start.map(|[id]| id).unwrap_or_default();
    let mut found = Vec::new();
    let now = app.now();
    let wanted = usize::try_from(limit).unwrap_or_default() + 1;
    while found.len() < wanted {
        let batch = batch_after(app, &after).await?;
        let Some(last) = batch.last() else { break };
        after = last.id.clone();
        let tags = tags_for(app, &filters, &batch).await?;
        for row in batch {
            let polling = app.wakeups.is_connected(&row.id);
            let ping = row.last_ping_at.map(|at| Utc(at as u64));
            let status = ping_status(ping, row.step, polling, now);
            let tags = tags.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            if found.len() < wanted && passes(&row, status, tags, &filters) {
                found.push((row, status));
            }
        }
    }
    let (rows, next) = paging::page(OPERATION, found, limit, |(row, _)| vec![row.id.clone()]);
    let list: Vec<Value> =
        rows.into_iter().map(|(row, status)| information(app, row, status)).collect();
    Ok(present(json!({"InstanceInformationList": list, "NextToken": next})))
}

async fn batch_after(app: &App, id: &str) -> ApiResult<Vec<Row>> {
    Select::new(
        "SELECT id, activation_id, name, iam_role, registered_at, last_ping_at, agent_name,
           agent_version, computer_name, ip_address, platform_type, platform_name, platform_version,
           (SELECT step FROM boot_agent b WHERE b.node_id = node.id AND b.only_this = 1) AS step
         FROM node",
    )
    .and("id > ?", [Bound::from(id)])
    .rows("ORDER BY id", Some(BATCH), &app.store.read)
    .await
}

/// The tags of a batch of nodes, if a filter looks at them.
async fn tags_for(
    app: &App,
    filters: &[Filter],
    batch: &[Row],
) -> ApiResult<HashMap<String, Vec<Tag>>> {
    if !filters.iter().any(Filter::needs_tags) {
        return Ok(HashMap::new());
    }
    tags::of_all(&app.store.read, MANAGED_INSTANCE, batch.iter().map(|row| &row.id)).await
}

fn passes(row: &Row, status: &str, tags: &[Tag], filters: &[Filter]) -> bool {
    let subject = Subject {
        id: &row.id,
        agent_version: row.agent_version.as_deref(),
        ping_status: status,
        platform_type: row.platform_type.as_deref(),
        activation_id: &row.activation_id,
        iam_role: &row.iam_role,
        tags,
    };
    filters.iter().all(|filter| filter.matches(&subject))
}

/// Whether a node runs the newest agent that this hub serves. Of the original's versions the hub
/// knows nothing.
fn is_latest(app: &App, row: &Row) -> Option<bool> {
    let ours = row.agent_name.as_deref() == Some("stint");
    let own = row.agent_version.as_deref().filter(|_| ours).and_then(Version::parse)?;
    Some(own >= app.newest.version()?)
}

fn information(app: &App, row: Row, status: &str) -> Value {
    let is_latest = is_latest(app, &row);
    // What the node has not said yet is absent, not empty.
    let said = |text: Option<String>| text.filter(|t| !t.is_empty());
    present(json!({
        "InstanceId": row.id,
        "PingStatus": status,
        "LastPingDateTime": row.last_ping_at.map(timestamp),
        "AgentVersion": said(row.agent_version),
        "IsLatestVersion": is_latest,
        "PlatformType": said(row.platform_type),
        "PlatformName": said(row.platform_name),
        "PlatformVersion": said(row.platform_version),
        "ActivationId": said(Some(row.activation_id)),
        "IamRole": said(Some(row.iam_role)),
        "RegistrationDate": timestamp(row.registered_at),
        "ResourceType": MANAGED_INSTANCE,
        "Name": said(row.name),
        "IPAddress": said(row.ip_address),
        "ComputerName": said(row.computer_name),
        "SourceType": SOURCE_TYPE,
    }))
}

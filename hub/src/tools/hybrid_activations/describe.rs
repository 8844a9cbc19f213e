//! DescribeActivations.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::select::Select;
use crate::tools::{paging, present, tags, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;
use stint_wire::time::Utc;

/// DescribeActivations' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    filters: Option<Vec<Filter>>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    filter_key: Option<String>,
    filter_values: Option<Vec<String>>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    description: Option<String>,
    default_name: Option<String>,
    iam_role: String,
    registration_limit: i64,
    registrations_count: i64,
    expires_at: i64,
    created_at: i64,
}

/// DescribeActivations: newest first.
///
/// # Errors
/// `InvalidFilter` for a filter without key, `InvalidNextToken`.
pub async fn describe(app: &App, input: Describe) -> ApiResult<Value> {
    let mut select = Select::new(
        "SELECT id, description, default_name, iam_role, registration_limit,
           registrations_count, expires_at, created_at
         FROM activation",
    );
    for filter in input.filters.unwrap_or_default() {
        let column = match filter.filter_key.as_deref() {
            Some("ActivationIds") => "id",
            Some("DefaultInstanceName") => "default_name",
            Some("IamRole") => "iam_role",
            _ => {
                return Err(ApiError::new(
                    "InvalidFilter",
                    "Each filter needs a FilterKey: ActivationIds, DefaultInstanceName or IamRole.",
                ));
            }
        };
        select = select.and_in(column, &filter.filter_values.unwrap_or_default());
    }
    let wanted =
        paging::Wanted::of("DescribeActivations", input.next_token.as_deref(), input.max_results);
    let (rows, next) = paging::BY_CREATION
        .page(&wanted, select, &app.store.read, |row: &Row| (row.created_at, row.id.as_str()))
        .await?;
    let now = app.now();
    let mut list = Vec::with_capacity(rows.len());
    let ids = rows.iter().map(|row| &row.id);
    let mut tags = tags::of_all(&app.store.read, tags::ACTIVATION, ids).await?;
    for row in rows {
        let tags = tags.remove(&row.id).unwrap_or_default();
        list.push(activation(row, tags, now));
    }
    Ok(present(json!({"ActivationList": list, "NextToken": next})))
}

fn activation(row: Row, tags: Vec<tags::Tag>, now: Utc) -> Value {
    present(json!({
        "ActivationId": row.id,
        "Description": row.description,
        "DefaultInstanceName": row.default_name,
        "IamRole": row.iam_role,
        "RegistrationLimit": row.registration_limit,
        "RegistrationsCount": row.registrations_count,
        "ExpirationDate": timestamp(row.expires_at),
        "Expired": row.expires_at <= now.0 as i64,
        "CreatedDate": timestamp(row.created_at),
        "Tags": tags,
    }))
}

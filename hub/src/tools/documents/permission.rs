//! ModifyDocumentPermission and DescribeDocumentPermission. The hub has one account, so sharing
//! changes nothing about who may do what here; it is kept and shown for tools that manage it.

use super::find::{find, refuse_built_in};
use super::table::Tx;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "DescribeDocumentPermission";

/// The most accounts that a document is shared with (AWS's documentation).
const MOST_ACCOUNTS: i64 = 1000;

/// Accounts in one answer: the most that the model's list has.
const PAGE: i64 = 20;

/// ModifyDocumentPermission's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Modify {
    name: String,
    #[serde(default)]
    account_ids_to_add: Vec<String>,
    #[serde(default)]
    account_ids_to_remove: Vec<String>,
    shared_document_version: Option<String>,
}

/// ModifyDocumentPermission: shares a document with accounts, or with `all`, and takes it back.
///
/// # Errors
/// `InvalidDocument`, also for a built-in document; `DocumentPermissionLimit`.
pub async fn modify(app: &App, input: Modify) -> ApiResult<Value> {
    refuse_built_in(&input.name, "InvalidDocument")?;
    let name = find(app, &input.name, None).await?.summary.name;
    let version = input.shared_document_version.as_deref().unwrap_or("$DEFAULT");
    let mut tx = app.store.begin().await?;
    for account in &input.account_ids_to_remove {
        remove(&mut tx, &name, account).await?;
    }
    for account in &input.account_ids_to_add {
        sqlx::query(
            "INSERT INTO document_permission (name, account_id, shared_version)
             VALUES ($1, $2, $3)
             ON CONFLICT (name, account_id) DO UPDATE SET shared_version = excluded.shared_version",
        )
        .bind(&name)
        .bind(account.to_ascii_lowercase())
        .bind(version)
        .execute(&mut *tx)
        .await?;
    }
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM document_permission WHERE name = $1")
        .bind(&name)
        .fetch_one(&mut *tx)
        .await?;
    if count > MOST_ACCOUNTS {
        return Err(ApiError::new(
            "DocumentPermissionLimit",
            format!("{name} would be shared with {count} accounts; the most is {MOST_ACCOUNTS}."),
        ));
    }
    tx.commit().await?;
    Ok(json!({}))
}

async fn remove(tx: &mut Tx, name: &str, account: &str) -> ApiResult<()> {
    sqlx::query("DELETE FROM document_permission WHERE name = $1 AND account_id = $2")
        .bind(name)
        .bind(account.to_ascii_lowercase())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// DescribeDocumentPermission's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    name: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// DescribeDocumentPermission: the accounts, by id.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentOperation` for a built-in document, `InvalidNextToken`.
pub async fn describe(app: &App, input: Describe) -> ApiResult<Value> {
    refuse_built_in(&input.name, "InvalidDocumentOperation")?;
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let after = start.map(|[account]| account).unwrap_or_default();
    let limit = input.max_results.unwrap_or(PAGE).min(PAGE);
    let name = find(app, &input.name, None).await?.summary.name;
    let rows: Vec<(String, String)> =
        Select::new("SELECT account_id, shared_version FROM document_permission")
            .and("name = ? AND account_id > ?", [Bound::from(&name), Bound::from(&after)])
            .rows("ORDER BY account_id", Some(limit + 1), &app.store.read)
            .await?;
    let (page, next) = paging::page(OPERATION, rows, limit, |(account, _)| vec![account.clone()]);
    let ids: Vec<&String> = page.iter().map(|(account, _)| account).collect();
    let list: Vec<Value> = page
        .iter()
        .map(|(account, version)| json!({"AccountId": account, "SharedDocumentVersion": version}))
        .collect();
    Ok(present(json!({"AccountIds": ids, "AccountSharingInfoList": list, "NextToken": next})))
}

//! PutAuditRecords: a node hands over lines of its audit log. stint's own; AWS has no such operation.
//!
//! Lines are kept as they came, whatever they say: what doesn't fit together is of most interest.
//! `stint-hub audit` follows the chain when it shows them.

use super::{input, only_itself};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::store::Store;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use stint_wire::audit::{MAX_LINE, MAX_LINES, read};

/// Lines that are kept of each node; 40 MB of the longest.
pub const KEPT: i64 = 10_000;

/// A line that the hub has.
#[derive(sqlx::FromRow)]
pub struct Stored {
    /// When it came, milliseconds since 1970.
    pub received_at: i64,
    /// As it came.
    pub line: String,
}

/// Answers the operation. Lines that the hub has already are passed over: their answer was lost.
///
/// # Errors
/// `ValidationException` for too many lines or one that is too long, `AccessDeniedException` for
/// another node's.
pub async fn put(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    only_itself(node, input::required(input, "InstanceId", 10, 124)?)?;
    let lines = lines(input)?;
    let now = app.now().0 as i64;
    let mut tx = app.store.begin().await?;
    let last: i64 = sqlx::query_scalar(
        "SELECT COALESCE(MAX(position), 0) FROM audit_record WHERE node_id = $1",
    )
    .bind(&node.id)
    .fetch_one(&mut *tx)
    .await?;
    let known = known(&mut tx, &node.id, &lines).await?;
    let mut position = last;
    for line in lines.iter().skip(known) {
        position += 1;
        sqlx::query(
            "INSERT INTO audit_record (node_id, position, number, received_at, line)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&node.id)
        .bind(position)
        .bind(number(line))
        .bind(now)
        .bind(*line)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query("DELETE FROM audit_record WHERE node_id = $1 AND position <= $2")
        .bind(&node.id)
        .bind(position - KEPT)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(json!({}))
}

fn lines(input: &Value) -> ApiResult<Vec<&str>> {
    let records = input.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| ApiError::validation("Records must be a list of lines"))?;
    if records.len() > MAX_LINES {
        return Err(ApiError::validation(format!("more than {MAX_LINES} Records in one call")));
    }
    let fits = |line: &&str| line.len() <= MAX_LINE && !line.contains(['\n', '\0']);
    let line = |record: &'_ Value| record.as_str().filter(fits).map(str::len);
    if records.iter().any(|record| line(record).is_none()) {
        let what = format!("each of Records must be one line of at most {MAX_LINE} bytes");
        return Err(ApiError::validation(what));
    }
    Ok(records.iter().filter_map(Value::as_str).collect())
}

fn number(line: &str) -> i64 {
    read(line).and_then(|record| i64::try_from(record.number).ok()).unwrap_or(0)
}

/// How many of the lines, from the first on, the hub has: up to the last of them that it has.
async fn known(tx: &mut Transaction<'static, Any>, node: &str, lines: &[&str]) -> ApiResult<usize> {
    for (at, line) in lines.iter().enumerate().rev() {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM audit_record WHERE node_id = $1 AND number = $2 AND line = $3
             LIMIT 1",
        )
        .bind(node)
        .bind(number(line))
        .bind(*line)
        .fetch_optional(&mut **tx)
        .await?;
        if found.is_some() {
            return Ok(at + 1);
        }
    }
    Ok(0)
}

/// The lines of a node, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn stored(store: &Store, node: &str) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(
        "SELECT received_at, line FROM audit_record WHERE node_id = $1 ORDER BY position",
    )
    .bind(node)
    .fetch_all(&store.read)
    .await
}

/// The nodes of which there are lines, and how many.
///
/// # Errors
/// Those of the database.
pub async fn nodes(store: &Store) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT node_id, COUNT(*) FROM audit_record GROUP BY node_id ORDER BY node_id")
        .fetch_all(&store.read)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::nodes::registration::testing::register_node;
    use stint_wire::audit::{Event, line};
    use stint_wire::time::Utc;

    fn log(count: u64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for number in 1..=count {
            let event = Event { time: Utc(0), event: "x", who: "y", what: &[], lost: 0 };
            lines.push(line(number, lines.last().map(String::as_str), &event));
        }
        lines
    }

    #[tokio::test]
    async fn lines_that_come_twice_are_kept_once() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let lines = log(5);
        for range in [0..3, 0..3, 1..5] {
            let input = json!({"InstanceId": node.id, "Records": lines[range]});
            assert_eq!(put(&app, &node, &input).await.unwrap(), json!({}));
        }
        let kept = stored(&app.store, &node.id).await.unwrap();
        assert_eq!(kept.iter().map(|stored| stored.line.clone()).collect::<Vec<_>>(), lines);
        assert_eq!(nodes(&app.store).await.unwrap(), [(node.id.clone(), 5)]);
    }

    #[tokio::test]
    async fn what_is_kept_of_a_node_is_bounded() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        sqlx::query(
            "INSERT INTO audit_record (node_id, position, number, received_at, line)
             VALUES ($1, $2, 0, 0, 'old')",
        )
        .bind(&node.id)
        .bind(KEPT)
        .execute(&app.store.write)
        .await
        .unwrap();
        let lines = log(100);
        for _ in 0..2 {
            let input = json!({"InstanceId": node.id, "Records": lines});
            put(&app, &node, &input).await.unwrap();
        }
        let positions: (i64, i64) =
            sqlx::query_as("SELECT COUNT(*), MAX(position) FROM audit_record")
                .fetch_one(&app.store.read)
                .await
                .unwrap();
        assert_eq!(positions, (101, KEPT + 100));
        sqlx::query("UPDATE audit_record SET position = position - $1 WHERE line = 'old'")
            .bind(KEPT - 1)
            .execute(&app.store.write)
            .await
            .unwrap();
        let input = json!({"InstanceId": node.id, "Records": [lines[99]]});
        put(&app, &node, &input).await.unwrap();
        assert_eq!(stored(&app.store, &node.id).await.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn what_is_no_line_and_what_is_anothers_is_refused() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        for records in [
            json!(null),
            json!([1]),
            json!(["a\nb"]),
            json!(["x".repeat(4097)]),
            json!(vec!["x"; 101]),
        ] {
            let input = json!({"InstanceId": node.id, "Records": records});
            assert_eq!(put(&app, &node, &input).await.unwrap_err().code, "ValidationException");
        }
        let other = json!({"InstanceId": "mi-0123456789abcdef0", "Records": []});
        assert_eq!(put(&app, &node, &other).await.unwrap_err().code, "AccessDeniedException");
    }
}

//! PutAuditRecords: a node hands over lines of its audit log. stint's own; AWS has no such operation.
//!
//! Lines are kept as they came, whatever they say, but for such as no agent writes: what doesn't fit together is of most interest.
//! `stint-hub audit` follows the chain when it shows them.

use super::{input, only_itself};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::store::Store;
use serde_json::{Value, json};
use std::borrow::Cow;
use stint_wire::audit::{MAX_LINE, MAX_LINES, read};

/// Lines that are kept of each node; 40 MB of the longest.
pub const KEPT: i64 = 10_000;

/// The end of a line that isn't kept as it came. It is no JSON, so the line can't be read, and shows.
const MARK: &str = " [changed by stint-hub: too long, or with control characters]";

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
/// `ValidationException` for too many lines or one that is no text, `AccessDeniedException` for
/// another node's.
pub async fn put(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    only_itself(node, input::required(input, "InstanceId", 10, 124)?)?;
    let lines = lines(input)?;
    let now = app.now().0 as i64;
    // Before the transaction, which keeps everybody else from writing. Should two calls of a node
    // meet, a line is kept twice, and nothing is lost.
    let known = known(&app.store, &node.id, &lines).await?;
    let mut tx = app.store.begin().await?;
    let last: i64 = sqlx::query_scalar(
        "SELECT COALESCE(MAX(position), 0) FROM audit_record WHERE node_id = $1",
    )
    .bind(&node.id)
    .fetch_one(&mut *tx)
    .await?;
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
        .bind(line.as_ref())
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

fn lines(input: &Value) -> ApiResult<Vec<Cow<'_, str>>> {
    let records = input.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| ApiError::validation("Records must be a list of lines"))?;
    if records.len() > MAX_LINES {
        return Err(ApiError::validation(format!("more than {MAX_LINES} Records in one call")));
    }
    let lines: Option<Vec<&str>> = records.iter().map(Value::as_str).collect();
    let lines = lines.ok_or_else(|| ApiError::validation("each of Records must be a line"))?;
    Ok(lines.into_iter().map(bounded).collect())
}

/// A line as it is kept. One that is too long, or holds control characters, has been damaged on the
/// node; refused it would be in the way of all that come after it, so it is kept cut and marked.
fn bounded(line: &str) -> Cow<'_, str> {
    if line.len() <= MAX_LINE && !line.contains(char::is_control) {
        return Cow::Borrowed(line);
    }
    let blank = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut kept: String = line.chars().map(blank).collect();
    kept.truncate(kept.floor_char_boundary(MAX_LINE - MARK.len()));
    Cow::Owned(kept + MARK)
}

fn number(line: &str) -> i64 {
    read(line).and_then(|record| i64::try_from(record.number).ok()).unwrap_or(0)
}

/// How many of the lines, from the first on, the hub has: up to the last of them that it has. Lines
/// without a number aren't looked for: those before a known one are known, too.
async fn known(store: &Store, node: &str, lines: &[Cow<'_, str>]) -> ApiResult<usize> {
    for (at, line) in lines.iter().enumerate().rev() {
        let number = number(line);
        if number == 0 {
            continue;
        }
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM audit_record WHERE node_id = $1 AND number = $2 AND line = $3
             LIMIT 1",
        )
        .bind(node)
        .bind(number)
        .bind(line.as_ref())
        .fetch_optional(&store.read)
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
    async fn a_damaged_line_is_kept_marked_and_those_beside_it_as_they_are() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let lines = log(2);
        let long = "ä".repeat(MAX_LINE);
        let records = json!([lines[0], "a\nb\0", long, lines[1], "torn"]);
        // A damaged line doesn't hide that the hub has the others.
        for _ in 0..2 {
            let input = json!({"InstanceId": node.id, "Records": records});
            put(&app, &node, &input).await.unwrap();
        }
        let kept = stored(&app.store, &node.id).await.unwrap();
        let kept: Vec<&str> = kept.iter().map(|stored| stored.line.as_str()).collect();
        assert_eq!((kept[0], kept[3]), (lines[0].as_str(), lines[1].as_str()));
        assert_eq!(kept[1], format!("a b {MARK}"));
        assert!(kept[2].starts_with("ää") && kept[2].ends_with(MARK));
        assert!(kept[2].len() <= MAX_LINE && read(kept[2]).is_none());
        assert_eq!(kept[4..], ["torn", "torn"]);
    }

    #[tokio::test]
    async fn a_line_is_looked_for_by_its_number() {
        let (app, _dir) = testing::app().await;
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "EXPLAIN QUERY PLAN SELECT position FROM audit_record
             WHERE node_id = 'a' AND number = 1 AND line = 'x' LIMIT 1",
        )
        .fetch_all(&app.store.read)
        .await
        .unwrap();
        assert!(plan[0].3.contains("audit_record_number"), "{plan:?}");
    }

    #[tokio::test]
    async fn what_is_no_line_and_what_is_anothers_is_refused() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        for records in [json!(null), json!([1]), json!(vec!["x"; 101])] {
            let input = json!({"InstanceId": node.id, "Records": records});
            assert_eq!(put(&app, &node, &input).await.unwrap_err().code, "ValidationException");
        }
        let other = json!({"InstanceId": "mi-0123456789abcdef0", "Records": []});
        assert_eq!(put(&app, &node, &other).await.unwrap_err().code, "AccessDeniedException");
    }
}

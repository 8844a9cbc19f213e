//! Whether one device shows a node's key, or two.
//!
//! A card that is copied gives two devices one key. Addresses tell nothing: devices roam, and many
//! share one behind NAT. Neither does a new boot: devices reboot. But each run of an agent has a
//! random mark, which no later run has again. So a mark that is heard **after another one** comes
//! from an agent that has been running all the while: there are two. amazon-ssm-agent names no run;
//! of it the fingerprint is looked at, which a copy makes anew on other hardware.
//!
//! A single return could be a request that was held up on its way until after a restart, so three
//! are needed, each within a day of the one before (decision 0034).

use super::input;
use crate::app::App;
use crate::error::ApiResult;
use serde_json::Value;
use sqlx::{Any, AnyPool, FromRow, Transaction};
use stint_wire::text::head;
use stint_wire::time::Utc;

/// Returns that make a clone.
const RETURNS: i64 = 3;

/// A return that is longer ago counts no more, and neither does a clone, milliseconds.
const WINDOW: u64 = 24 * 3_600_000;

/// Marks that are kept of a node: more than runs of one day on a device that is not broken.
const KEPT: i64 = 16;

/// Bytes kept of what a device says.
const MEMBER_LIMIT: usize = 128;

/// The kind of mark that an agent of ours has.
pub const RUN: &str = "run";

/// The kind of mark that amazon-ssm-agent has.
pub const FINGERPRINT: &str = "fingerprint";

/// What a device shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The mark of the agent's run; empty if it has none.
    pub run: String,
    /// A digest of what the device is made of; empty if it doesn't say.
    pub hardware: String,
    /// Its name.
    pub computer_name: String,
    /// Its address, as it sees it.
    pub ip_address: String,
}

impl Device {
    /// Out of UpdateInstanceInformation.
    ///
    /// # Errors
    /// `SerializationException` when a member is no string.
    pub fn read(given: &Value) -> ApiResult<Device> {
        let said = |member| -> ApiResult<String> {
            let text = input::optional(given, member)?.unwrap_or_default();
            Ok(head(text, MEMBER_LIMIT).to_owned())
        };
        Ok(Device {
            run: said("StintRun")?,
            hardware: said("StintHardware")?,
            computer_name: said("ComputerName")?,
            ip_address: said("IPAddress")?,
        })
    }
}

/// Notes that a device with this mark has shown the node's key. The result is whether two devices use it, as of now:
/// for [`warn`], once the transaction is committed.
///
/// # Errors
/// Those of the database.
pub async fn note(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    kind: &str,
    mark: &str,
    device: &Device,
    now: Utc,
) -> ApiResult<bool> {
    let mark = head(mark, MEMBER_LIMIT);
    let known: Vec<String> = sqlx::query_scalar(
        "SELECT mark FROM node_sighting WHERE node_id = $1 AND kind = $2
         ORDER BY last_seen_at DESC, first_seen_at DESC",
    )
    .bind(node)
    .bind(kind)
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO node_sighting (node_id, kind, mark, hardware, computer_name, ip_address,
           first_seen_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
         ON CONFLICT (node_id, kind, mark) DO UPDATE SET hardware = excluded.hardware,
           computer_name = excluded.computer_name, ip_address = excluded.ip_address,
           last_seen_at = excluded.last_seen_at",
    )
    .bind(node)
    .bind(kind)
    .bind(mark)
    .bind(&device.hardware)
    .bind(&device.computer_name)
    .bind(&device.ip_address)
    .bind(now.0 as i64)
    .execute(&mut **tx)
    .await?;
    let mut found = false;
    match known.iter().position(|earlier| earlier == mark) {
        Some(0) => {}
        Some(_) => found = returned(tx, node, now).await? == RETURNS,
        None => {
            sqlx::query(
                "DELETE FROM node_sighting WHERE node_id = $1 AND kind = $2 AND mark NOT IN
                 (SELECT mark FROM node_sighting WHERE node_id = $1 AND kind = $2
                  ORDER BY last_seen_at DESC, first_seen_at DESC LIMIT $3)",
            )
            .bind(node)
            .bind(kind)
            .bind(KEPT)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(found)
}

/// Tells the operator that two devices use a node's key.
pub fn warn(app: &App, node: &str, kind: &str, device: &Device) {
    tracing::warn!(
        node,
        kind,
        address = device.ip_address,
        "two devices use this node's key; `stint-hub node show` lists what is known of them, \
         `stint-hub node reidentify` makes one of them another node"
    );
    app.metrics.clone_found();
}

/// Counts a return; how many there are by now.
async fn returned(tx: &mut Transaction<'static, Any>, node: &str, now: Utc) -> ApiResult<i64> {
    let (returns, at): (i64, Option<i64>) =
        sqlx::query_as("SELECT returns, returned_at FROM node WHERE id = $1")
            .bind(node)
            .fetch_one(&mut **tx)
            .await?;
    let returns = if is_recent(at, now) { returns + 1 } else { 1 };
    sqlx::query("UPDATE node SET returns = $1, returned_at = $2 WHERE id = $3")
        .bind(returns)
        .bind(now.0 as i64)
        .bind(node)
        .execute(&mut **tx)
        .await?;
    Ok(returns)
}

fn is_recent(at: Option<i64>, now: Utc) -> bool {
    at.is_some_and(|at| now.0.saturating_sub(at.unsigned_abs()) <= WINDOW)
}

/// Whether two devices use a node's key, by what its row says.
pub fn is_cloned(returns: i64, returned_at: Option<i64>, now: Utc) -> bool {
    returns >= RETURNS && is_recent(returned_at, now)
}

/// What is known of a mark.
#[derive(Debug, FromRow)]
pub struct Sighting {
    /// `run` or `fingerprint`.
    pub kind: String,
    /// The mark.
    pub mark: String,
    /// See [`Device`].
    pub hardware: String,
    /// See [`Device`].
    pub computer_name: String,
    /// See [`Device`].
    pub ip_address: String,
    /// Milliseconds since 1970.
    pub first_seen_at: i64,
    /// Milliseconds since 1970.
    pub last_seen_at: i64,
}

/// The marks of a node, the latest first.
///
/// # Errors
/// Those of the database.
pub async fn of(pool: &AnyPool, node: &str) -> ApiResult<Vec<Sighting>> {
    Ok(sqlx::query_as(
        "SELECT kind, mark, hardware, computer_name, ip_address, first_seen_at,
           last_seen_at
         FROM node_sighting WHERE node_id = $1 ORDER BY last_seen_at DESC, first_seen_at DESC",
    )
    .bind(node)
    .fetch_all(pool)
    .await?)
}

/// What an operator means by a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A device that can be told something: the run or the hardware of an agent of ours.
    Device,
    /// A fingerprint: a device isn't told anything by it.
    Fingerprint,
    /// Nothing that the node has shown.
    Unknown,
}

/// What is meant by `mark`, of what a node has shown.
pub fn meant(shown: &[Sighting], mark: &str) -> Meant {
    let is = |s: &Sighting| s.mark == mark || s.hardware == mark;
    match shown.iter().any(|s| s.kind == RUN && is(s)) {
        true => Meant::Device,
        false if shown.iter().any(is) => Meant::Fingerprint,
        false => Meant::Unknown,
    }
}

/// Forgets a node's marks: from now on there is one device again.
///
/// # Errors
/// Those of the database.
pub async fn forget(tx: &mut Transaction<'static, Any>, node: &str) -> ApiResult<()> {
    sqlx::query("DELETE FROM node_sighting WHERE node_id = $1")
        .bind(node)
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE node SET returns = 0, returned_at = NULL WHERE id = $1")
        .bind(node)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::nodes::registration::testing::register_node;

    const MINUTE: u64 = 60_000;

    async fn noted(app: &App, node: &str, kind: &str, mark: &str, device: &Device, now: Utc) {
        let mut tx = app.store.begin().await.unwrap();
        note(&mut tx, node, kind, mark, device, now).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Whether the node is taken for cloned after it has shown these marks, minutes apart.
    async fn cloned(marks: &[&str], minutes: u64) -> bool {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let mut now = Utc(1_000_000_000_000);
        for mark in marks {
            now = Utc(now.0 + minutes * MINUTE);
            noted(&app, &node.id, RUN, mark, &Device::default(), now).await;
        }
        let (returns, at): (i64, Option<i64>) =
            sqlx::query_as("SELECT returns, returned_at FROM node")
                .fetch_one(&app.store.read)
                .await
                .unwrap();
        is_cloned(returns, at, now)
    }

    #[tokio::test]
    async fn two_devices_that_take_turns_are_a_clone() {
        assert!(cloned(&["a", "b", "a", "b", "a"], 5).await);
        // One that restarts all the time beside one that doesn't.
        assert!(cloned(&["a", "b1", "a", "b2", "a", "b3", "a"], 5).await);
    }

    #[tokio::test]
    async fn a_device_that_restarts_however_often_is_none() {
        let runs: Vec<String> = (0..40).map(|run| run.to_string()).collect();
        let each: Vec<&str> = runs.iter().flat_map(|run| [run.as_str(), run.as_str()]).collect();
        assert!(!cloned(&each, 1).await);
    }

    #[tokio::test]
    async fn a_request_that_was_held_up_over_a_restart_makes_none() {
        assert!(!cloned(&["a", "b", "a", "b", "b", "b"], 5).await);
    }

    #[tokio::test]
    async fn held_up_requests_of_many_days_do_not_add_up() {
        let days = 25 * 60;
        assert!(!cloned(&["a", "b", "a", "b", "a", "b", "a"], days).await);
    }

    #[tokio::test]
    async fn a_device_is_meant_by_its_run_or_its_hardware_and_by_nothing_else() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let device = Device { hardware: "h1".to_owned(), ..Device::default() };
        noted(&app, &node.id, RUN, "r1", &device, Utc(1)).await;
        noted(&app, &node.id, FINGERPRINT, "f1", &Device::default(), Utc(1)).await;
        let shown = of(&app.store.read, &node.id).await.unwrap();
        for (mark, expected) in [
            ("r1", Meant::Device),
            ("h1", Meant::Device),
            ("f1", Meant::Fingerprint),
            ("r", Meant::Unknown),
        ] {
            assert_eq!(meant(&shown, mark), expected, "{mark}");
        }
    }

    #[tokio::test]
    async fn no_more_marks_are_kept_than_needed() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        for run in 0..40_u64 {
            let mark = run.to_string();
            noted(&app, &node.id, RUN, &mark, &Device::default(), Utc(run)).await;
        }
        let kept = of(&app.store.read, &node.id).await.unwrap();
        assert_eq!((kept.len() as i64, kept[0].mark.as_str()), (KEPT, "39"));
    }
}

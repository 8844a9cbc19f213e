//! Agents that can't sign, as the founding page has them. Anybody on the line can pretend to be
//! one of them, so the hub takes them only when its operator said so: the exchange refuses them
//! otherwise, before anything here is asked.

use super::exchange::Exchange;
use super::refusal::{REFUSED, Refusal, UNKNOWN, UNPROVED};
use super::register::{free_agentsn, insert};
use super::status;
use crate::app::App;
use crate::error::ApiError;
use crate::random;
use std::net::IpAddr;
use stint_wire::bootagent::register::Request;
use stint_wire::ids;

/// Nodes without a key that a hub takes in: nothing else keeps strangers from filling it.
const MOST: i64 = 10_000;

/// The type of the key that such a node has.
const NO_KEY: &str = "None";

/// The node and its id: the same ones for an agent that comes from the same address, else new ones
/// (the founding server's rule).
///
/// # Errors
/// Refuses when the hub takes no more of them.
pub async fn register(
    app: &App,
    exchange: &Exchange<'_>,
    request: &Request,
) -> Result<(String, String), Refusal> {
    let said = request.ipaddr.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let address = said.unwrap_or(exchange.peer).to_string();
    let mut tx = app.store.begin().await?;
    let same: Option<String> = sqlx::query_scalar(
        "SELECT node_id FROM boot_agent WHERE agentsn = $1 AND signed = 0 AND peer = $2",
    )
    .bind(&request.agentsn)
    .bind(&address)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(node) = same {
        tx.rollback().await?;
        status::note_registration(app, exchange, request, &node).await?;
        return Ok((node, request.agentsn.clone()));
    }
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM boot_agent WHERE signed = 0")
        .fetch_one(&mut *tx)
        .await?;
    if count >= MOST {
        return Err(Refusal::new(
            REFUSED,
            format!("The hub has {MOST} agents that can't sign, and takes no more."),
        ));
    }
    let node = ids::managed_node_id(random::bytes().map_err(ApiError::internal)?);
    sqlx::query(
        "INSERT INTO node (id, activation_id, iam_role, key_type, public_key, fingerprint,
           registered_at)
         VALUES ($1, '', '', $2, $1, $3, $4)",
    )
    .bind(&node)
    .bind(NO_KEY)
    .bind(&request.agentsn)
    .bind(exchange.now.0 as i64)
    .execute(&mut *tx)
    .await?;
    let agentsn = free_agentsn(&mut tx, &request.agentsn).await?;
    insert(&mut tx, &node, &agentsn, false, true, &address).await?;
    tx.commit().await?;
    status::note_registration(app, exchange, request, &node).await?;
    tracing::warn!(%node, %agentsn, %address, "registered an agent that can't sign");
    Ok((node, agentsn))
}

/// The node that sent a report without a signature: by its id, else by its host name, which is all
/// that the founding page's report has.
///
/// # Errors
/// Refuses what a node that signs would have signed, and what can't be told apart.
pub async fn find(
    app: &App,
    exchange: &Exchange<'_>,
    agentsn: &str,
    hostname: &str,
) -> Result<String, Refusal> {
    if !agentsn.is_empty() {
        let row: Option<(String, i64)> =
            sqlx::query_as("SELECT node_id, signed FROM boot_agent WHERE agentsn = $1")
                .bind(agentsn)
                .fetch_optional(&app.store.read)
                .await?;
        return match row {
            Some((node, 0)) => Ok(node),
            Some(_) => Err(Refusal::new(UNPROVED, "This agent signs its requests.")),
            None => Err(Refusal::new(UNKNOWN, "No agent of this \"agentsn\" is registered.")),
        };
    }
    let mut rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT b.node_id, b.peer FROM boot_agent b JOIN node n ON n.id = b.node_id
         WHERE b.signed = 0 AND n.computer_name = $1",
    )
    .bind(hostname)
    .fetch_all(&app.store.read)
    .await?;
    if rows.len() > 1 {
        let peer = exchange.peer.to_string();
        rows.retain(|(_, address)| *address == peer);
    }
    match (rows.len(), rows.pop()) {
        (1, Some((node, _))) => Ok(node),
        (0, _) => Err(Refusal::new(UNKNOWN, "No agent of this host name is registered.")),
        _ => Err(Refusal::new(
            UNKNOWN,
            "Several agents have this host name; say which one it is with \"agentsn\".",
        )),
    }
}

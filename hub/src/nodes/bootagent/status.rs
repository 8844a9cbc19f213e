//! POST /agent/status: how the node is; the answer says what it is to do.

use super::exchange::{Exchange, Said};
use super::refusal::{MALFORMED, Refusal, UNKNOWN, UNPROVED};
use super::{children, founding, jobs, members};
use crate::app::App;
use crate::auth::server_keys;
use crate::nodes::registration::key_of;
use sqlx::{Any, Transaction};
use stint_wire::bootagent::register::Request;
use stint_wire::bootagent::status::{Answer, Report};
use stint_wire::bootagent::{DEFAULT_STEP, sign};

/// The longest step that is believed, seconds: an hour is the protocol's longest.
const LONGEST_STEP: u64 = 3600;

/// A node that sent something.
pub struct Sender {
    /// Its id.
    pub node: String,
    /// It signs.
    pub signed: bool,
}

/// Keeps the report and answers with the node's jobs.
///
/// # Errors
/// The refusal that the node is to hear.
pub async fn answer(app: &App, exchange: &Exchange<'_>) -> Result<Said, Refusal> {
    let proved = match exchange.claim {
        Some(_) => Some(proved(app, exchange).await?),
        None => None,
    };
    let report = Report::read(exchange.body)
        .map(members::of_report)
        .map_err(|error| Refusal::new(MALFORMED, format!("The body is no report: {error}.")))?;
    let sender = sender(app, exchange, proved, &report).await?;
    let mut tx = app.store.begin().await?;
    note_report(&mut tx, exchange, &sender.node, &report).await?;
    children::put(&mut tx, &sender.node, &report.agents, exchange.now).await?;
    let events = children::add_events(&mut tx, &sender.node, &report.events, exchange.now).await?;
    tx.commit().await?;
    app.metrics.child_events(events);
    let jobs = jobs::offer(app, exchange, &sender).await?;
    let pins = exchange.claim.map(|claim| claim.pins);
    let serverkeys = pins
        .filter(|pins| !server_keys::are_pinned(exchange.keys, pins))
        .map(|_| exchange.keys.iter().filter_map(|key| sign::parse_key(&key.public_key)).collect());
    let answer =
        Answer { jobs: jobs.into_iter().map(Ok).collect(), serverkeys, ..Answer::default() };
    Ok(Said { node: sender.node, body: answer.write() })
}

/// Who sent a report, which may say its agent's id and its host's name too: the node that was
/// proved, else a founding agent.
async fn sender(
    app: &App,
    exchange: &Exchange<'_>,
    proved: Option<String>,
    report: &Report,
) -> Result<Sender, Refusal> {
    let (Some(claim), Some(node)) = (&exchange.claim, proved) else {
        let node = founding::find(app, exchange, &report.agentsn, &report.hostname).await?;
        return Ok(Sender { node, signed: false });
    };
    if !report.agentsn.is_empty() && report.agentsn != claim.agentsn {
        return Err(Refusal::new(UNPROVED, "Stint-Agent and \"agentsn\" are not the same."));
    }
    Ok(Sender { node, signed: true })
}

/// The node whose key signed the request, which has not been here before.
///
/// # Errors
/// The refusal of one that proves nothing.
pub async fn proved(app: &App, exchange: &Exchange<'_>) -> Result<String, Refusal> {
    let Some(claim) = &exchange.claim else {
        return Err(Refusal::new(UNPROVED, "The request has to be signed."));
    };
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT n.id, n.public_key FROM boot_agent b JOIN node n ON n.id = b.node_id
         WHERE b.agentsn = $1 AND b.signed = 1",
    )
    .bind(claim.agentsn)
    .fetch_optional(&app.store.read)
    .await?;
    let known = row.and_then(|(node, key)| Some((node, key_of(&key)?)));
    let (node, key) = known.ok_or_else(|| {
        Refusal::new(UNKNOWN, "This agent is not registered with this hub, or not any more.")
    })?;
    claim.prove(&key, exchange.request, exchange.now)?;
    claim.first_time(app, &node, exchange.now).await?;
    Ok(node)
}

async fn note_report(
    tx: &mut Transaction<'static, Any>,
    exchange: &Exchange<'_>,
    node: &str,
    report: &Report,
) -> Result<(), Refusal> {
    let step = match report.step {
        0 => DEFAULT_STEP,
        step => step.min(LONGEST_STEP),
    };
    let pins = exchange.claim.map(|claim| claim.pins).unwrap_or_default();
    sqlx::query("UPDATE boot_agent SET step = $2, pins = $3 WHERE node_id = $1")
        .bind(node)
        .bind(step as i64)
        .bind(pins)
        .execute(&mut **tx)
        .await?;
    note(tx, exchange, node, &report.hostname, &report.version, Some(report.feature)).await
}

/// Keeps what a registration says of the node.
///
/// # Errors
/// Those of the database.
pub async fn note_registration(
    app: &App,
    exchange: &Exchange<'_>,
    request: &Request,
    node: &str,
) -> Result<(), Refusal> {
    let mut tx = app.store.begin().await?;
    let version = request.version.as_deref().unwrap_or_default();
    note(&mut tx, exchange, node, &request.hostname, version, request.feature).await?;
    // What it shows, not what the answer is going to hand over: the answer may never arrive.
    let pins = exchange.claim.map(|claim| claim.pins).unwrap_or_default();
    sqlx::query("UPDATE boot_agent SET pins = $2 WHERE node_id = $1")
        .bind(node)
        .bind(pins)
        .execute(&mut *tx)
        .await?;
    if let Some(address) = request.ipaddr.as_deref().filter(|ip| !ip.is_empty()) {
        sqlx::query("UPDATE node SET ip_address = $2 WHERE id = $1")
            .bind(node)
            .bind(address)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn note(
    tx: &mut Transaction<'static, Any>,
    exchange: &Exchange<'_>,
    node: &str,
    hostname: &str,
    version: &str,
    feature: Option<u32>,
) -> Result<(), Refusal> {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let Version { name, number, arch } = Version::of(version);
    sqlx::query(
        "UPDATE node SET last_ping_at = $1, computer_name = COALESCE($2, computer_name),
           ip_address = COALESCE(ip_address, $3), agent_name = COALESCE($4, agent_name),
           agent_version = COALESCE($5, agent_version),
           platform_type = COALESCE(platform_type, 'Linux'),
           connection_channel = COALESCE(connection_channel, 'bootagent')
         WHERE id = $6",
    )
    .bind(exchange.now.0 as i64)
    .bind(said(hostname))
    .bind(exchange.peer.to_string())
    .bind(said(name))
    .bind(said(number))
    .bind(node)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE boot_agent SET feature = COALESCE($2, feature), arch = COALESCE($3, arch)
         WHERE node_id = $1",
    )
    .bind(node)
    .bind(feature.map(i64::from))
    .bind(said(arch))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An agent's version as it writes it: `bootagent-1.2.4-x86_64`.
#[derive(Debug, PartialEq, Eq)]
struct Version<'v> {
    name: &'v str,
    number: &'v str,
    arch: &'v str,
}

impl Version<'_> {
    /// The parts; empty is what isn't there. The number is shown where the service's model wants
    /// three or four numbers with dots, so anything else isn't there either.
    fn of(text: &str) -> Version<'_> {
        let is_number = |part: &str| {
            let numbers = part.split('.');
            (3..=4).contains(&numbers.clone().count())
                && numbers.clone().all(|n| (1..=6).contains(&n.len()))
                && part.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        let mut parts = text.splitn(3, '-');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(number), arch, None) if is_number(number) => {
                Version { name: "", number, arch: arch.unwrap_or_default() }
            }
            (Some(name), Some(number), arch) if is_number(number) => {
                Version { name, number, arch: arch.unwrap_or_default() }
            }
            _ => Version { name: "", number: "", arch: "" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_three_parts() {
        for (text, name, number, arch) in [
            ("bootagent-1.2.4-x86_64", "bootagent", "1.2.4", "x86_64"),
            ("stint-0.1.0-armv7", "stint", "0.1.0", "armv7"),
            ("stint-0.1.0", "stint", "0.1.0", ""),
            ("0.1.0", "", "0.1.0", ""),
            ("1.2.3.4-mipsel", "", "1.2.3.4", "mipsel"),
            ("stint-dev-armv7", "", "", ""),
            ("stint-1.2-armv7", "", "", ""),
            ("", "", "", ""),
        ] {
            assert_eq!(Version::of(text), Version { name, number, arch }, "{text}");
        }
    }
}

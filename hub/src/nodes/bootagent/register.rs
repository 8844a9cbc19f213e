//! POST /agent/register.

use super::exchange::{Claim, Exchange, Said};
use super::refusal::{MALFORMED, REFUSED, Refusal, UNPROVED};
use super::{founding, members, status};
use crate::app::App;
use crate::nodes::registration::{self, Applicant, NODE_TAGS};
use crate::random;
use crate::tools::tags;
use sqlx::{Any, Transaction};
use stint_wire::bootagent::register::{Answer, Request};
use stint_wire::bootagent::{is_agentsn, sign};
use stint_wire::ids;
use stint_wire::keys::{KeyType, ed25519_public_key};

/// Takes a node in, or knows it again.
///
/// # Errors
/// The refusal that the node is to hear.
pub async fn answer(app: &App, exchange: &Exchange<'_>) -> Result<Said, Refusal> {
    let request = Request::read(exchange.body).map(members::of_registration).map_err(|error| {
        Refusal::new(MALFORMED, format!("The body is no registration: {error}."))
    })?;
    if !is_agentsn(&request.agentsn) {
        return Err(Refusal::new(
            MALFORMED,
            "\"agentsn\" has to be 1 to 64 letters, digits, '-', '_', '.' and ':'.",
        ));
    }
    let (node, agentsn) = match (&exchange.claim, &request.key) {
        (Some(claim), Some(key)) => signed(app, exchange, &request, claim, key).await?,
        (None, None) => founding::register(app, exchange, &request).await?,
        (Some(_), None) => {
            return Err(Refusal::new(UNPROVED, "A signed registration has to bring its \"key\"."));
        }
        (None, Some(_)) => {
            return Err(Refusal::new(
                UNPROVED,
                "A registration with a \"key\" has to be signed by it.",
            ));
        }
    };
    let serverkeys = match exchange.claim {
        Some(_) => exchange.keys.iter().filter_map(|k| sign::parse_key(&k.public_key)).collect(),
        None => Vec::new(),
    };
    let answer = Answer {
        status: 0,
        agentsn: Some(agentsn),
        tags: Some(tags_of(app, &node).await?),
        nodeid: exchange.claim.map(|_| node.clone()),
        serverkeys,
        ..Answer::default()
    };
    Ok(Said { node, body: answer.write() })
}

/// The node and its id, for one that signs: the one of this key, or a new one.
async fn signed(
    app: &App,
    exchange: &Exchange<'_>,
    request: &Request,
    claim: &Claim<'_>,
    key: &[u8; 32],
) -> Result<(String, String), Refusal> {
    if claim.agentsn != request.agentsn {
        return Err(Refusal::new(UNPROVED, "Stint-Agent and \"agentsn\" are not the same."));
    }
    claim.prove(key, exchange.request, exchange.now)?;
    let public_key = ed25519_public_key(key);
    // Nonces of registrations are kept for the key: the node may have no id yet.
    let key_id = sign::key_id(key);
    if let Some((node, agentsn)) = known(app, &public_key, &request.agentsn).await? {
        claim.first_time(app, &key_id, exchange.now).await?;
        status::note_registration(app, exchange, request, &node).await?;
        return Ok((node, agentsn));
    }
    let Some((activation, code)) = &request.activation else {
        return Err(Refusal::new(
            REFUSED,
            "The hub doesn't know this agent's key; register it with \"activationid\" and \
             \"activationcode\" of an activation.",
        ));
    };
    let applicant = Applicant {
        activation,
        code,
        fingerprint: &request.agentsn,
        key_type: KeyType::Ed25519,
        public_key: &public_key,
    };
    registration::check(app, &applicant).await?;
    // Not before: anybody can sign with a key of their own.
    claim.first_time(app, &key_id, exchange.now).await?;
    let mut tx = app.store.begin().await?;
    let (node, is_new) = registration::admit(&mut tx, &applicant, exchange.now).await?;
    let agentsn = free_agentsn(&mut tx, &request.agentsn).await?;
    insert(&mut tx, &node, &agentsn, true, is_new, &exchange.peer.to_string()).await?;
    tx.commit().await?;
    status::note_registration(app, exchange, request, &node).await?;
    tracing::info!(%node, %agentsn, activation, "registered by the BootAgent protocol");
    Ok((node, agentsn))
}

/// The node of this key that has been here by this protocol before. Of several, which takes
/// several activations, it is the one with the id that the agent shows.
async fn known(
    app: &App,
    public_key: &str,
    agentsn: &str,
) -> Result<Option<(String, String)>, Refusal> {
    Ok(sqlx::query_as(
        "SELECT b.node_id, b.agentsn FROM boot_agent b JOIN node n ON n.id = b.node_id
         WHERE b.signed = 1 AND n.public_key = $1
         ORDER BY CASE WHEN b.agentsn = $2 THEN 0 ELSE 1 END, n.registered_at DESC LIMIT 1",
    )
    .bind(public_key)
    .bind(agentsn)
    .fetch_optional(&app.store.read)
    .await?)
}

/// The wanted id, or a new one if it is another node's.
///
/// # Errors
/// Those of the database.
pub async fn free_agentsn(
    tx: &mut Transaction<'static, Any>,
    wanted: &str,
) -> Result<String, Refusal> {
    let taken: Option<String> =
        sqlx::query_scalar("SELECT node_id FROM boot_agent WHERE agentsn = $1")
            .bind(wanted)
            .fetch_optional(&mut **tx)
            .await?;
    match taken {
        None => Ok(wanted.to_owned()),
        Some(_) => {
            let random = random::bytes().map_err(crate::error::ApiError::internal)?;
            Ok(ids::uuid(random))
        }
    }
}

/// Notes that a node speaks this protocol; `only_this` if it came by it.
///
/// # Errors
/// Those of the database.
pub async fn insert(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    agentsn: &str,
    signed: bool,
    only_this: bool,
    peer: &str,
) -> Result<(), Refusal> {
    sqlx::query(
        "INSERT INTO boot_agent (node_id, agentsn, signed, only_this, peer, arch, step, feature,
           pins)
         VALUES ($1, $2, $3, $4, $5, '', $6, 0, '')",
    )
    .bind(node)
    .bind(agentsn)
    .bind(i64::from(signed))
    .bind(i64::from(only_this))
    .bind(peer)
    .bind(stint_wire::bootagent::DEFAULT_STEP as i64)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The node's tags as the protocol writes them: `service=ecs,component`. It has no way to write a
/// comma in a tag, or `=` in its key; such tags are left out.
async fn tags_of(app: &App, node: &str) -> Result<String, Refusal> {
    let mut tags = tags::of(&app.store.read, NODE_TAGS, node).await?;
    tags.retain(|tag| !tag.key.contains([',', '=']) && !tag.value.contains(','));
    tags.sort_by_key(|tag| tag.value.is_empty());
    let words = tags.iter().map(|tag| match tag.value.is_empty() {
        true => tag.key.clone(),
        false => format!("{}={}", tag.key, tag.value),
    });
    Ok(words.collect::<Vec<_>>().join(","))
}

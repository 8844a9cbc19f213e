//! The temporary credentials that a node gets for its own key's signature.

use super::first_key::NODE_PREFIX;
use super::seal::Seal;
use crate::error::{ApiError, ApiResult};
use crate::random;
use crate::store::Store;
use sqlx::{Any, Transaction};
use stint_wire::text;
use stint_wire::time::Utc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long they are good for, milliseconds: an hour, as AWS gives. Agents renew at half of it.
pub const LIFETIME_MILLIS: u64 = 3_600_000;

/// How many credentials of one node stay valid beside a new one. A retry after a lost answer
/// makes another, and the processes of the original each hold their own.
const KEPT_PER_NODE: i64 = 15;

const RANDOM_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 40;
/// Characters of a session token: 384 bits.
const TOKEN_LENGTH: usize = 64;

/// Fresh credentials; the secret parts are shown once.
pub struct Credentials {
    /// `ASIA…`
    pub access_key: String,
    /// Signs.
    pub secret: Zeroizing<String>,
    /// Goes along with every request.
    pub token: Zeroizing<String>,
    /// The moment from which they are refused.
    pub expires: Utc,
}

/// What the store knows of an access key.
pub struct Known {
    /// The node it was given to.
    pub node: String,
    /// Signs.
    pub secret: Zeroizing<String>,
    /// The moment from which it is refused.
    pub expires: Utc,
    token_hash: String,
}

impl Known {
    /// Whether this is the session token that belongs to the key. Takes the same time for every
    /// wrong one.
    pub fn has_token(&self, token: &str) -> bool {
        text::sha256_hex(token.as_bytes()).as_bytes().ct_eq(self.token_hash.as_bytes()).into()
    }
}

/// Whether an access key id is of this kind.
pub fn is_one(access_key: &str) -> bool {
    access_key.starts_with(NODE_PREFIX)
}

/// Gives a node credentials, and forgets its oldest ones. They are good once the transaction is committed.
///
/// # Errors
/// Those of the database, the seal and the kernel's randomness.
pub async fn issue(
    tx: &mut Transaction<'static, Any>,
    seal: &Seal,
    node: &str,
    now: Utc,
) -> ApiResult<Credentials> {
    let fresh = Credentials {
        access_key: format!("{NODE_PREFIX}{}", random::text(RANDOM_LENGTH, random::BASE32)?),
        secret: Zeroizing::new(random::text(SECRET_LENGTH, random::BASE64_SAFE)?),
        token: Zeroizing::new(random::text(TOKEN_LENGTH, random::BASE64_SAFE)?),
        expires: Utc(now.0.saturating_add(LIFETIME_MILLIS)),
    };
    sqlx::query(
        "DELETE FROM node_credential WHERE node_id = $1 AND access_key_id NOT IN
         (SELECT access_key_id FROM node_credential WHERE node_id = $1
          ORDER BY expires_at DESC, access_key_id LIMIT $2)",
    )
    .bind(node)
    .bind(KEPT_PER_NODE)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO node_credential (access_key_id, node_id, sealed_secret, token_hash, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&fresh.access_key)
    .bind(node)
    .bind(seal.seal(&place(&fresh.access_key), &fresh.secret)?)
    .bind(text::sha256_hex(fresh.token.as_bytes()))
    .bind(fresh.expires.0 as i64)
    .execute(&mut **tx)
    .await?;
    Ok(fresh)
}

/// Looks an access key up; `None` if it was never given, or its node is gone.
///
/// # Errors
/// Those of the database and the seal.
pub async fn find(store: &Store, seal: &Seal, access_key: &str) -> ApiResult<Option<Known>> {
    let row: Option<(String, String, String, i64)> = sqlx::query_as(
        "SELECT node_id, sealed_secret, token_hash, expires_at
         FROM node_credential WHERE access_key_id = $1",
    )
    .bind(access_key)
    .fetch_optional(&store.read)
    .await?;
    let Some((node, sealed, token_hash, expires)) = row else { return Ok(None) };
    let secret = seal.open(&place(access_key), &sealed).map_err(ApiError::from)?;
    Ok(Some(Known { node, secret, expires: Utc(expires.unsigned_abs()), token_hash }))
}

fn place(access_key: &str) -> String {
    format!("node_credential/{access_key}")
}

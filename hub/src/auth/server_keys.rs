//! The keys that answers to child-agent nodes are signed with. Nodes pin them, so they outlive
//! every certificate; the newest is the one in use, and older ones serve nodes that have not been
//! in touch since it came.
//!
//! The database is asked on every answer, so that a key added by another process is in use from
//! the next answer on.

use super::seal::{Seal, SealError};
use crate::random;
use crate::store::Store;
use ed25519_dalek::{Signer, SigningKey};
use stint_wire::bootagent::sign;
use stint_wire::text;
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// A key as the store keeps it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// By which nodes name it.
    pub id: String,
    /// `ed25519:` and base64.
    pub public_key: String,
    sealed_secret: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerKeyError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Store(#[from] sqlx::Error),
    /// The secret could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is no randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// What opened is no key.
    #[error("server key {0} is damaged: restore the database from a backup")]
    Damaged(String),
    /// Nodes could not keep more.
    #[error("there are {0} server keys, and nodes keep no more; delete one first")]
    TooMany(usize),
}

impl From<ServerKeyError> for crate::error::ApiError {
    fn from(error: ServerKeyError) -> Self {
        crate::error::ApiError::internal(error)
    }
}

/// All keys, the newest first.
///
/// # Errors
/// [`ServerKeyError::Store`].
pub async fn list(store: &Store) -> Result<Vec<Stored>, ServerKeyError> {
    Ok(sqlx::query_as(
        "SELECT id, public_key, sealed_secret, created_at FROM server_key
         ORDER BY created_at DESC, id",
    )
    .fetch_all(&store.read)
    .await?)
}

/// Makes a key; from the next answer on it is the one in use for nodes that know it.
///
/// # Errors
/// See [`ServerKeyError`].
pub async fn add(store: &Store, seal: &Seal, now: Utc) -> Result<Stored, ServerKeyError> {
    let count = list(store).await?.len();
    if count >= sign::MAX_KEYS {
        return Err(ServerKeyError::TooMany(count));
    }
    let secret = Zeroizing::new(random::bytes::<32>()?);
    let public = SigningKey::from_bytes(&secret).verifying_key().to_bytes();
    let id = sign::key_id(&public);
    let hidden = Zeroizing::new(text::hex(secret.as_slice()));
    let key = Stored {
        sealed_secret: seal.seal(&place(&id), &hidden)?,
        public_key: sign::key_text(&public),
        id,
        created_at: now.0 as i64,
    };
    sqlx::query(
        "INSERT INTO server_key (id, public_key, sealed_secret, created_at)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(&key.id)
    .bind(&key.public_key)
    .bind(&key.sealed_secret)
    .bind(key.created_at)
    .execute(&store.write)
    .await?;
    Ok(key)
}

/// Sees to it that there is a key. The first one is made here.
///
/// # Errors
/// See [`ServerKeyError`]; also when the newest key doesn't open.
pub async fn ensure(store: &Store, seal: &Seal, now: Utc) -> Result<(), ServerKeyError> {
    match list(store).await?.first() {
        Some(newest) => newest.open(seal).map(drop),
        None => add(store, seal, now).await.map(drop),
    }
}

/// How many nodes may trust this key and no other that the hub has: without it they could not be
/// told anything any more. A node that has not reported since it registered may trust any of them.
///
/// # Errors
/// [`ServerKeyError::Store`].
pub async fn depending(store: &Store, id: &str) -> Result<usize, ServerKeyError> {
    let others: Vec<String> =
        list(store).await?.into_iter().map(|key| key.id).filter(|key| key != id).collect();
    let pins: Vec<String> = sqlx::query_scalar("SELECT pins FROM boot_agent WHERE signed = 1")
        .fetch_all(&store.read)
        .await?;
    let depends = |pins: &String| {
        let mut trusted = pins.split(',');
        pins.is_empty()
            || trusted.clone().any(|pin| pin == id)
                && !trusted.any(|p| others.iter().any(|o| o == p))
    };
    Ok(pins.iter().filter(|pins| depends(pins)).count())
}

/// Deletes a key; `false` if there was none of this id.
///
/// # Errors
/// [`ServerKeyError::Store`].
pub async fn delete(store: &Store, id: &str) -> Result<bool, ServerKeyError> {
    let done =
        sqlx::query("DELETE FROM server_key WHERE id = $1").bind(id).execute(&store.write).await?;
    Ok(done.rows_affected() == 1)
}

/// The key for a node that trusts `pins`: the newest of them. A node that trusts none, or none of
/// the hub's, gets the newest key; the first takes it over, the second refuses it, as it should.
pub fn choose<'k>(keys: &'k [Stored], pins: &str) -> Option<&'k Stored> {
    let trusted = |key: &&Stored| pins.split(',').any(|pin| pin == key.id);
    keys.iter().find(trusted).or(keys.first())
}

/// Whether a node trusts exactly these keys.
pub fn are_pinned(keys: &[Stored], pins: &str) -> bool {
    let mut pins: Vec<&str> = pins.split(',').filter(|pin| !pin.is_empty()).collect();
    let mut keys: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    pins.sort_unstable();
    keys.sort_unstable();
    pins == keys
}

impl Stored {
    /// Signs; base64.
    ///
    /// # Errors
    /// [`ServerKeyError::Seal`] and [`ServerKeyError::Damaged`].
    pub fn sign(&self, seal: &Seal, message: &[u8]) -> Result<String, ServerKeyError> {
        Ok(text::base64(&self.open(seal)?.sign(message).to_bytes()))
    }

    fn open(&self, seal: &Seal) -> Result<SigningKey, ServerKeyError> {
        let hidden = seal.open(&place(&self.id), &self.sealed_secret)?;
        from_hex(&hidden)
            .map(|secret| SigningKey::from_bytes(&secret))
            .filter(|key| sign::key_id(&key.verifying_key().to_bytes()) == self.id)
            .ok_or_else(|| ServerKeyError::Damaged(self.id.clone()))
    }
}

fn place(id: &str) -> String {
    format!("server_key/{id}")
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use ed25519_dalek::{Signature, VerifyingKey};

    #[tokio::test]
    async fn a_key_signs_and_its_secret_is_sealed() {
        let (app, _dir) = testing::app().await;
        ensure(&app.store, &app.seal, Utc(1)).await.unwrap();
        ensure(&app.store, &app.seal, Utc(2)).await.unwrap();
        let keys = list(&app.store).await.unwrap();
        assert_eq!(keys.len(), 1);
        let signature = keys[0].sign(&app.seal, b"text").unwrap();
        let signature = Signature::from_slice(&text::from_base64(&signature).unwrap()).unwrap();
        let public = VerifyingKey::from_bytes(&sign::parse_key(&keys[0].public_key).unwrap());
        assert!(public.unwrap().verify_strict(b"text", &signature).is_ok());
        let other = Seal::new([9; 32]);
        assert!(matches!(keys[0].sign(&other, b"text"), Err(ServerKeyError::Seal(_))));
    }

    #[tokio::test]
    async fn a_node_is_answered_with_the_newest_key_it_trusts() {
        let (app, _dir) = testing::app().await;
        for at in 1..=3 {
            add(&app.store, &app.seal, Utc(at)).await.unwrap();
        }
        let keys = list(&app.store).await.unwrap();
        let [new, middle, old] = [0, 1, 2].map(|n| keys[n].id.clone());
        for (pins, chosen) in [
            (String::new(), &new),
            ("0123456789abcdef".to_owned(), &new),
            (old.clone(), &old),
            (format!("{old},{middle}"), &middle),
            (format!("{middle},{new},{old}"), &new),
        ] {
            assert_eq!(choose(&keys, &pins).unwrap().id, *chosen, "{pins}");
        }
        assert!(are_pinned(&keys, &format!("{old},{new},{middle}")));
        assert!(!are_pinned(&keys, &format!("{old},{new}")));
        assert!(!are_pinned(&keys, ""));
        assert!(choose(&[], "").is_none());
    }

    #[tokio::test]
    async fn there_are_no_more_keys_than_nodes_keep() {
        let (app, _dir) = testing::app().await;
        for at in 0..sign::MAX_KEYS {
            add(&app.store, &app.seal, Utc(at as u64)).await.unwrap();
        }
        let refused = add(&app.store, &app.seal, Utc(99)).await.unwrap_err();
        assert!(matches!(refused, ServerKeyError::TooMany(8)), "{refused}");
        let id = list(&app.store).await.unwrap()[0].id.clone();
        assert!(delete(&app.store, &id).await.unwrap());
        assert!(!delete(&app.store, &id).await.unwrap());
    }
}

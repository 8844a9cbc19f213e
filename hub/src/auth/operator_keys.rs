//! The access keys of operators. The database is asked on every request, so that a key deleted
//! by another process is refused from the next request on.

use super::seal::{Seal, SealError};
use crate::random;
use crate::store::Store;
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// Operators' keys start with this, like those of AWS's users.
const PREFIX: &str = "AKIA";
/// Random characters after the prefix: 80 bits, so ids never collide.
const RANDOM_LENGTH: usize = 16;
/// Characters of a secret: 240 bits.
const SECRET_LENGTH: usize = 40;

/// An access key with its secret, which is shown once.
pub struct AccessKey {
    /// What a client sends.
    pub id: String,
    /// What a client signs with.
    pub secret: Zeroizing<String>,
}

/// A key as lists show it.
#[derive(Debug, sqlx::FromRow)]
pub struct Listed {
    /// The key's id.
    pub id: String,
    /// What the operator said it is for.
    pub description: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// Why a key could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Store(#[from] sqlx::Error),
    /// The secret could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is no randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl From<KeyError> for crate::error::ApiError {
    fn from(error: KeyError) -> Self {
        crate::error::ApiError::internal(error)
    }
}

impl AccessKey {
    /// A new random key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<AccessKey, getrandom::Error> {
        Ok(AccessKey {
            id: format!("{PREFIX}{}", random::text(RANDOM_LENGTH, random::BASE32)?),
            secret: Zeroizing::new(random::text(SECRET_LENGTH, random::BASE64_SAFE)?),
        })
    }

    /// The key as an AWS credentials file, profile `default`.
    pub fn credentials_file(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            self.id, *self.secret
        ))
    }
}

/// Keeps a key; one of the same id gets the new secret.
///
/// # Errors
/// See [`KeyError`].
pub async fn put(
    store: &Store,
    seal: &Seal,
    key: &AccessKey,
    description: &str,
    now: Utc,
) -> Result<(), KeyError> {
    sqlx::query(
        "INSERT INTO access_key (id, sealed_secret, description, created_at)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET sealed_secret = excluded.sealed_secret",
    )
    .bind(&key.id)
    .bind(seal.seal(&place(&key.id), &key.secret)?)
    .bind(description)
    .bind(now.0 as i64)
    .execute(&store.write)
    .await?;
    Ok(())
}

/// The secret of a key; `None` if there is no such key.
///
/// # Errors
/// See [`KeyError`].
pub async fn secret(
    store: &Store,
    seal: &Seal,
    id: &str,
) -> Result<Option<Zeroizing<String>>, KeyError> {
    let sealed: Option<String> =
        sqlx::query_scalar("SELECT sealed_secret FROM access_key WHERE id = $1")
            .bind(id)
            .fetch_optional(&store.read)
            .await?;
    Ok(sealed.map(|sealed| seal.open(&place(id), &sealed)).transpose()?)
}

/// Whether the secrets in the database open: the newest key's stands for all.
///
/// # Errors
/// See [`KeyError`].
pub async fn check(store: &Store, seal: &Seal) -> Result<(), KeyError> {
    let newest = list(store).await?.pop();
    if let Some(key) = newest {
        secret(store, seal, &key.id).await?;
    }
    Ok(())
}

/// All keys, the oldest first.
///
/// # Errors
/// See [`KeyError`].
pub async fn list(store: &Store) -> Result<Vec<Listed>, KeyError> {
    let sql = "SELECT id, description, created_at FROM access_key ORDER BY created_at, id";
    Ok(sqlx::query_as(sql).fetch_all(&store.read).await?)
}

/// Deletes a key; `false` if there was none.
///
/// # Errors
/// See [`KeyError`].
pub async fn delete(store: &Store, id: &str) -> Result<bool, KeyError> {
    let done =
        sqlx::query("DELETE FROM access_key WHERE id = $1").bind(id).execute(&store.write).await?;
    Ok(done.rows_affected() > 0)
}

fn place(id: &str) -> String {
    format!("access_key/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[tokio::test]
    async fn a_key_lives_until_it_is_deleted() {
        let (app, _dir) = testing::app().await;
        let key = AccessKey::generate().unwrap();
        assert!(key.id.starts_with("AKIA") && key.id.len() == 20 && key.secret.len() == 40);
        put(&app.store, &app.seal, &key, "laptop", Utc(5)).await.unwrap();
        let found = secret(&app.store, &app.seal, &key.id).await.unwrap().unwrap();
        assert_eq!(*found, *key.secret);
        let listed = list(&app.store).await.unwrap();
        assert_eq!((listed[0].description.as_str(), listed[0].created_at), ("laptop", 5));
        assert!(delete(&app.store, &key.id).await.unwrap());
        assert!(!delete(&app.store, &key.id).await.unwrap());
        assert!(secret(&app.store, &app.seal, &key.id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_database_never_holds_a_secret_in_the_clear() {
        let (app, _dir) = testing::app().await;
        let key = AccessKey::generate().unwrap();
        put(&app.store, &app.seal, &key, "", Utc(0)).await.unwrap();
        let kept: String = sqlx::query_scalar("SELECT sealed_secret FROM access_key")
            .fetch_one(&app.store.read)
            .await
            .unwrap();
        assert!(!kept.contains(key.secret.as_str()));
    }
}

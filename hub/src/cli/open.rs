//! Opens a data directory: key, then database.

use super::Data;
use crate::auth::master_key;
use crate::auth::operator_keys::{self, KeyError};
use crate::auth::seal::{Seal, SealError};
use crate::error::StartError;
use crate::store::data_dir::{DATABASE, DataDir, MASTER_KEY};
use crate::store::{Store, sqlite};

/// The master key first: a directory with a database and without a key is a broken one, and a
/// crash in between must not leave that.
///
/// # Errors
/// When either can't be used, or they don't belong together.
pub async fn open(dir: &DataDir) -> Result<(Store, Seal), StartError> {
    let seal = master_key::load_or_create(dir)?;
    let store = sqlite::open(&dir.file(DATABASE)).await?;
    let opened = operator_keys::check(&store, &seal).await;
    if let Err(KeyError::Seal(SealError::OtherKey { .. })) = opened {
        store.close().await;
        return Err(StartError::new(
            format!(
                "the master key {} is not the one that {DATABASE} was written with",
                dir.file(MASTER_KEY).display()
            ),
            "restore the master key that belongs to this database",
        ));
    }
    Ok((store, seal))
}

/// The database of a hub that exists, for what needs no secret.
///
/// # Errors
/// As [`open`].
pub async fn store(data: &Data) -> Result<Store, StartError> {
    Ok(open(&DataDir::existing(&data.data)?).await?.0)
}

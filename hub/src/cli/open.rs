//! Opens a data directory: key, then database.

use crate::auth::master_key;
use crate::auth::seal::Seal;
use crate::error::StartError;
use crate::store::data_dir::{DATABASE, DataDir};
use crate::store::{Store, sqlite};

/// The master key first: a directory with a database and without a key is a broken one, and a
/// crash in between must not leave that.
///
/// # Errors
/// When either can't be used.
pub async fn open(dir: &DataDir) -> Result<(Store, Seal), StartError> {
    let seal = master_key::load_or_create(dir)?;
    let store = sqlite::open(&dir.file(DATABASE)).await?;
    Ok((store, seal))
}

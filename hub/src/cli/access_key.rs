//! `stint-hub access-key`: operators' keys, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::auth::operator_keys::{self, AccessKey, KeyError};
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use clap::{Args, Subcommand};
use stint_wire::time::Utc;

#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it as an AWS credentials file; the secret is shown this once.
    Create(Create),
    /// List the keys, without their secrets.
    List(Data),
    /// Delete a key; the hub refuses it from the next request on.
    Delete(Delete),
}

#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    data: Data,
    /// What the key is for, as `list` shows it.
    #[arg(long, default_value = "")]
    description: String,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    data: Data,
    /// The access key id.
    id: String,
}

/// Does the command.
///
/// # Errors
/// When the data directory can't be used, or the key to delete doesn't exist.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::Create(create) => make(create).await,
            Command::List(data) => list(data).await,
            Command::Delete(delete) => remove(delete).await,
        }
    })
}

async fn make(create: &Create) -> Result<(), StartError> {
    let (store, seal) = open::open(&DataDir::existing(&create.data.data)?).await?;
    let key = AccessKey::generate()?;
    operator_keys::put(&store, &seal, &key, &create.description, now()).await.map_err(failed)?;
    store.close().await;
    print!("{}", *key.credentials_file());
    Ok(())
}

async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    for key in operator_keys::list(&store).await.map_err(failed)? {
        let made = Utc(key.created_at.unsigned_abs()).iso();
        println!("{}\t{made}\t{}", key.id, key.description);
    }
    store.close().await;
    Ok(())
}

async fn remove(delete: &Delete) -> Result<(), StartError> {
    let store = open::store(&delete.data).await?;
    let existed = operator_keys::delete(&store, &delete.id).await.map_err(failed)?;
    store.close().await;
    if existed {
        return Ok(());
    }
    Err(StartError::new(
        format!("there is no access key {}", delete.id),
        "`stint-hub access-key list` shows those there are",
    ))
}

fn failed(error: KeyError) -> StartError {
    StartError::new(format!("the access keys can't be used: {error}"), "see the cause")
}

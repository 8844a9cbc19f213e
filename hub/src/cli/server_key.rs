//! `stint-hub server-key`: the keys that nodes pin, also while the hub runs.

use super::{Data, number_of, open};
use crate::app::now;
use crate::auth::server_keys::{self, ServerKeyError, Stored};
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use clap::{Args, Subcommand};
use stint_wire::time::Utc;

#[derive(Subcommand)]
pub enum Command {
    /// List the keys: id, when it was made, the public key, how many nodes trust only it.
    List(Data),
    /// Make a key. Nodes learn of it with their next report, and the hub then uses it for them.
    Add(Data),
    /// Delete a key that no node depends on any more.
    Delete(Delete),
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    data: Data,
    /// Delete it although nodes trust only it: they have to be registered again.
    #[arg(long)]
    force: bool,
    /// The id, as `list` shows it.
    id: String,
}

/// Does the command.
///
/// # Errors
/// When the data directory can't be used, or the key can't be deleted.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::List(data) => list(data).await,
            Command::Add(data) => add(data).await,
            Command::Delete(delete) => remove(delete).await,
        }
    })
}

async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    for key in server_keys::list(&store).await.map_err(failed)? {
        let depending = server_keys::depending(&store, &key.id).await.map_err(failed)?;
        println!("{}\t{depending}", line(&key));
    }
    store.close().await;
    Ok(())
}

async fn add(data: &Data) -> Result<(), StartError> {
    let (store, seal) = open::open(&DataDir::existing(&data.data)?).await?;
    let key = server_keys::add(&store, &seal, now()).await;
    store.close().await;
    println!("{}", line(&key.map_err(failed)?));
    Ok(())
}

async fn remove(delete: &Delete) -> Result<(), StartError> {
    let store = open::store(&delete.data).await?;
    let done = check_and_delete(&store, delete).await;
    store.close().await;
    done
}

async fn check_and_delete(store: &crate::store::Store, delete: &Delete) -> Result<(), StartError> {
    let keys = server_keys::list(store).await.map_err(failed)?;
    if !keys.iter().any(|key| key.id == delete.id) {
        return Err(StartError::new(
            format!("there is no server key {}", delete.id),
            "`stint-hub server-key list` shows those there are",
        ));
    }
    if keys.len() == 1 {
        return Err(StartError::new(
            format!("{} is the only server key", delete.id),
            "`stint-hub server-key add` makes another; delete this one when all nodes know that",
        ));
    }
    let depending = server_keys::depending(store, &delete.id).await.map_err(failed)?;
    if depending > 0 && !delete.force {
        let trust = if depending == 1 { "trusts" } else { "trust" };
        let nodes = number_of(depending as i64, "node");
        return Err(StartError::new(
            format!("{nodes} {trust} no other key than {}", delete.id),
            "wait until they have reported once more, or give them up with --force",
        ));
    }
    server_keys::delete(store, &delete.id).await.map_err(failed).map(drop)
}

fn line(key: &Stored) -> String {
    format!("{}\t{}\t{}", key.id, Utc(key.created_at.unsigned_abs()).iso(), key.public_key)
}

fn failed(error: ServerKeyError) -> StartError {
    StartError::new(format!("the server keys can't be used: {error}"), "see the cause")
}

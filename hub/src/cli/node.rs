//! `stint-hub node`: who the nodes are, also while the hub runs.

use super::{Data, open};
use crate::error::{ApiError, StartError};
use crate::nodes::rotation;
use crate::store::Store;
use crate::store::data_dir::DataDir;
use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub enum Command {
    /// Tell a node to make itself a new key; it hears it within half an hour.
    RotateKey(Named),
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    data: Data,
    /// The node's id, mi-…
    node: String,
}

/// Does the command.
///
/// # Errors
/// When the data directory can't be used, or there is no such node.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::RotateKey(named) => rotate_key(named).await,
        }
    })
}

async fn rotate_key(named: &Named) -> Result<(), StartError> {
    let store = store(&named.data).await?;
    let told = rotation::wish(&store, &named.node).await;
    store.close().await;
    if told.map_err(failed)? { Ok(()) } else { Err(unknown(&named.node)) }
}

async fn store(data: &Data) -> Result<Store, StartError> {
    Ok(open::open(&DataDir::open(&data.data)?).await?.0)
}

fn unknown(node: &str) -> StartError {
    StartError::new(
        format!("there is no node {node}"),
        "`aws ssm describe-instance-information` shows those there are",
    )
}

fn failed(error: ApiError) -> StartError {
    StartError::new(format!("the nodes can't be used: {error}"), "see the cause")
}

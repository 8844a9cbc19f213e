//! `stint-hub node`: who the nodes are, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::error::{ApiError, StartError};
use crate::nodes::{reidentification, rotation, sightings};
use crate::store::data_dir::DataDir;
use clap::{Args, Subcommand};
use stint_wire::time::Utc;

#[derive(Subcommand)]
pub enum Command {
    /// List the nodes: id, name, role, registration, last report, and CLONED where two devices use
    /// one key.
    List(Data),
    /// Show what used a node's key lately: kind of mark, mark, hardware, computer, address, first
    /// and last time.
    Show(Named),
    /// Tell one of two devices with a node's key to register as a node of its own.
    Reidentify(Reidentify),
    /// Tell a node to make itself a new key; it hears it within half an hour.
    RotateKey(Named),
    /// Put in the key that a node has, after the hub was restored from a backup of before the node changed it
    /// more than once. The hub's log has each change with the key.
    SetKey(SetKey),
}

#[derive(Args)]
pub struct SetKey {
    #[command(flatten)]
    data: Data,
    /// The node's id, mi-…
    node: String,
    /// The public key: base64, as in the log.
    key: String,
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    data: Data,
    /// The node's id, mi-…
    node: String,
}

#[derive(Args)]
pub struct Reidentify {
    #[command(flatten)]
    data: Data,
    /// The device that is meant, by its run (mark) or its hardware, as `show` lists them. Without
    /// it, the first that is heard.
    #[arg(long, value_name = "MARK", default_value = "")]
    device: String,
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
            Command::List(data) => list(data).await,
            Command::Show(named) => show(named).await,
            Command::Reidentify(wish) => reidentify(wish).await,
            Command::RotateKey(named) => rotate_key(named).await,
            Command::SetKey(wish) => set_key(wish).await,
        }
    })
}

async fn rotate_key(named: &Named) -> Result<(), StartError> {
    let store = open::store(&named.data).await?;
    let told = rotation::wish(&store, &named.node).await;
    store.close().await;
    if told.map_err(failed)? { Ok(()) } else { Err(unknown(&named.node)) }
}

async fn set_key(wish: &SetKey) -> Result<(), StartError> {
    let store = open::store(&wish.data).await?;
    let set = rotation::set(&store, &wish.node, &wish.key).await;
    store.close().await;
    let set = set.map_err(|error| match error.status.is_server_error() {
        true => failed(error),
        false => StartError::new(error.message, "copy the key from the hub's log"),
    });
    if set? { Ok(()) } else { Err(unknown(&wish.node)) }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: Option<String>,
    iam_role: String,
    registered_at: i64,
    last_ping_at: Option<i64>,
    returns: i64,
    returned_at: Option<i64>,
}

/// A node a line, tabs between.
async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    let rows: Result<Vec<Row>, sqlx::Error> = sqlx::query_as(
        "SELECT id, name, iam_role, registered_at, last_ping_at, returns, returned_at
         FROM node ORDER BY id",
    )
    .fetch_all(&store.read)
    .await;
    store.close().await;
    for row in rows.map_err(|error| failed(error.into()))? {
        let cloned = sightings::is_cloned(row.returns, row.returned_at, now());
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            row.id,
            row.name.unwrap_or_default(),
            row.iam_role,
            moment(row.registered_at),
            row.last_ping_at.map(moment).unwrap_or_default(),
            if cloned { "CLONED" } else { "" },
        );
    }
    Ok(())
}

/// A mark a line, tabs between, the latest first.
async fn show(named: &Named) -> Result<(), StartError> {
    let store = open::store(&named.data).await?;
    let rows = sightings::of(&store.read, &named.node).await;
    store.close().await;
    for row in rows.map_err(failed)? {
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            row.kind,
            row.mark,
            row.hardware,
            row.computer_name,
            row.ip_address,
            moment(row.first_seen_at),
            moment(row.last_seen_at),
        );
    }
    Ok(())
}

async fn reidentify(wish: &Reidentify) -> Result<(), StartError> {
    let (store, seal) = open::open(&DataDir::open(&wish.data.data)?).await?;
    let ordered = reidentification::order(&store, &seal, &wish.node, &wish.device, now()).await;
    store.close().await;
    if ordered.map_err(failed)? { Ok(()) } else { Err(unknown(&wish.node)) }
}

fn moment(at: i64) -> String {
    Utc(at.unsigned_abs()).iso()
}

fn unknown(node: &str) -> StartError {
    StartError::new(
        format!("there is no node {node}"),
        "`stint-hub node list` shows those there are",
    )
}

fn failed(error: ApiError) -> StartError {
    StartError::new(format!("the nodes can't be used: {error}"), "see the cause")
}

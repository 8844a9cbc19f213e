//! `stint-hub node`: who the nodes are, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::auth::seal::Seal;
use crate::error::{ApiError, StartError};
use crate::nodes::sightings::Meant;
use crate::nodes::{reidentification, rotation, sightings, troubles};
use crate::store::Store;
use crate::store::data_dir::DataDir;
use clap::{Args, Subcommand};
use stint_wire::time::Utc;

#[derive(Subcommand)]
pub enum Command {
    /// List the nodes: id, name, role, registration, last report, FAILING where a module of the agent fails, and
    /// CLONED where two devices use one key.
    List(Data),
    /// Show what used a node's key lately: kind of mark, mark, hardware, computer, address, first
    /// and last time. Then what is wrong with its agent: "module" or "restart", name or number, reason, time.
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
    let told = async {
        that_hears(&store, &named.node).await?;
        rotation::wish(&store, &named.node).await.map_err(failed)
    };
    let told = told.await;
    store.close().await;
    if !told? {
        return Err(unknown(&named.node));
    }
    println!(
        "it hears that when it next asks for credentials, within half an hour if it is online"
    );
    Ok(())
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

/// What an order depends on.
#[derive(sqlx::FromRow)]
struct Known {
    returns: i64,
    returned_at: Option<i64>,
    /// 1: it speaks the BootAgent protocol alone, in which nodes can't be told such things.
    boot_agent: i64,
}

/// # Errors
/// When there is no such node.
async fn known(store: &Store, node: &str) -> Result<Known, StartError> {
    let row: Result<Option<Known>, sqlx::Error> = sqlx::query_as(
        "SELECT returns, returned_at, COALESCE(only_this, 0) AS boot_agent
         FROM node LEFT JOIN boot_agent ON boot_agent.node_id = node.id WHERE node.id = $1",
    )
    .bind(node)
    .fetch_optional(&store.read)
    .await;
    row.map_err(|error| failed(error.into()))?.ok_or_else(|| unknown(node))
}

/// The same, of a node that can be told to change its key or to become another.
async fn that_hears(store: &Store, node: &str) -> Result<Known, StartError> {
    let known = known(store, node).await?;
    if known.boot_agent == 0 {
        return Ok(known);
    }
    Err(StartError::new(
        format!("{node} speaks the BootAgent protocol alone, which has no such order"),
        "deregister it, and register the device anew",
    ))
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
    let failing = troubles::failing(&store.read).await;
    store.close().await;
    let failing = failing.map_err(failed)?;
    for row in rows.map_err(|error| failed(error.into()))? {
        let cloned = sightings::is_cloned(row.returns, row.returned_at, now());
        let words = match (failing.contains(&row.id), cloned) {
            (true, true) => "FAILING CLONED",
            (true, false) => "FAILING",
            (false, true) => "CLONED",
            (false, false) => "",
        };
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            row.id,
            row.name.unwrap_or_default(),
            row.iam_role,
            moment(row.registered_at),
            row.last_ping_at.map(moment).unwrap_or_default(),
            words,
        );
    }
    Ok(())
}

/// A mark a line, tabs between, the latest first.
async fn show(named: &Named) -> Result<(), StartError> {
    let store = open::store(&named.data).await?;
    let rows = sightings::of(&store.read, &named.node).await;
    let troubles = troubles::of(&store.read, &named.node).await;
    let known = known(&store, &named.node).await;
    store.close().await;
    known?;
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
    for trouble in troubles.map_err(failed)? {
        let [name, reason, at] = [trouble.name, trouble.reason, trouble.at].map(|it| plain(&it));
        println!("{}\t{name}\t{reason}\t{at}", trouble.kind);
    }
    Ok(())
}

/// A node's words as one field of a line: nothing in them moves a terminal's cursor, or begins another field.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

async fn reidentify(wish: &Reidentify) -> Result<(), StartError> {
    let (store, seal) = open::open(&DataDir::existing(&wish.data.data)?).await?;
    let done = check_and_order(&store, &seal, wish).await;
    store.close().await;
    done
}

/// An order that no device can ever hear would wait for a month and look like one that works.
async fn check_and_order(store: &Store, seal: &Seal, wish: &Reidentify) -> Result<(), StartError> {
    let (node, device) = (wish.node.as_str(), wish.device.as_str());
    let known = that_hears(store, node).await?;
    if !device.is_empty() {
        let shown = sightings::of(&store.read, node).await.map_err(failed)?;
        let remedy = format!("`stint-hub node show {node}` lists runs, with the hardware of each");
        match sightings::meant(&shown, device) {
            Meant::Device => {}
            Meant::Fingerprint => {
                let what = format!(
                    "{device} is a fingerprint, and devices are told by their run or hardware"
                );
                return Err(StartError::new(what, remedy));
            }
            Meant::Unknown => {
                let what = format!("no device of {node} has shown the mark {device}");
                return Err(StartError::new(what, remedy));
            }
        }
    }
    let ordered = reidentification::order(store, seal, node, device, now()).await;
    let activation = ordered.map_err(failed)?.ok_or_else(|| unknown(node))?;
    if !sightings::is_cloned(known.returns, known.returned_at, now()) {
        eprintln!(
            "{node} is not known to be cloned; if one device alone has its key, {node} is going to \
             have none"
        );
    }
    println!(
        "it hears that with its next health report; until then `aws ssm delete-activation \
         --activation-id {activation}` takes the order back"
    );
    Ok(())
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

//! `stint-hub release`: new versions of the agent.
//!
//! `key`, `make` and `mark` are for whoever builds and signs, and need no hub; `add` and `list` are
//! for whoever runs the hub, and need no private key.

use super::{Data, number_of, open};
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use crate::updates::book::Book;
use crate::updates::key::ReleaseKey;
use crate::updates::shelf;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use stint_wire::bootagent::sign;
use stint_wire::manifest::Status;

#[derive(Subcommand)]
pub enum Command {
    /// Make a release key, or show the public half of one that exists.
    Key {
        /// Its file.
        file: PathBuf,
    },
    /// Add a version to a release's folder and sign its manifest.
    Make(Make),
    /// Change the status of a version and sign the manifest.
    Mark(Mark),
    /// Copy a release's folder into the hub, which serves it at /updates/; works beside a hub that
    /// runs.
    Add(Add),
    /// List what the hub serves, and how many nodes run each version.
    List(Data),
}

#[derive(Args)]
pub struct Sign {
    /// The release's folder; made if it doesn't exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The release key; several during a change of keys.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// A public key, ed25519:…, that is good as well from now on.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    next_key: Vec<String>,
    /// A public key, ed25519:…, that is never good again: it has leaked, or was lost.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    revoke_key: Vec<String>,
}

#[derive(Args)]
pub struct Make {
    #[command(flatten)]
    sign: Sign,
    /// The version of the programs. (Not the hub's: that is `stint-hub --version`.)
    #[arg(long = "version", value_name = "VERSION")]
    of_version: String,
    /// Active, Inactive or Deprecated.
    #[arg(long, default_value = "Active", value_parser = status)]
    status: Status,
    /// The programs: stint-BOARD-TRIPLE=PATH.
    #[arg(required = true)]
    files: Vec<String>,
}

#[derive(Args)]
pub struct Mark {
    #[command(flatten)]
    sign: Sign,
    /// The version.
    #[arg(long = "version", value_name = "VERSION")]
    of_version: String,
    /// Active, Inactive or Deprecated.
    #[arg(value_parser = status)]
    status: Status,
}

#[derive(Args)]
pub struct Add {
    #[command(flatten)]
    data: Data,
    /// The public key by which the manifest has to be signed.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    key: String,
    /// The release's folder.
    dir: PathBuf,
}

fn public_key(text: &str) -> Result<String, &'static str> {
    let wanted = "a public key is ed25519: and 44 characters of base64";
    sign::parse_key(text).map(|_| text.to_owned()).ok_or(wanted)
}

fn status(text: &str) -> Result<Status, &'static str> {
    Status::parse(text).ok_or("a status is Active, Inactive or Deprecated")
}

/// Does the command.
///
/// # Errors
/// When a file, a key or the data directory can't be used.
pub fn run(command: &Command) -> Result<(), StartError> {
    match command {
        Command::Key { file } => {
            let exists = file.exists();
            let key = if exists { ReleaseKey::read(file)? } else { ReleaseKey::create(file)? };
            println!("{}", key.public());
            Ok(())
        }
        Command::Make(make) => change(&make.sign, |book| {
            for file in &make.files {
                let (name, path) = file.split_once('=').ok_or_else(|| {
                    StartError::new(
                        format!("'{file}' doesn't say what the file is to be called"),
                        "write stint-BOARD-TRIPLE=PATH",
                    )
                })?;
                book.add(&make.of_version, make.status, name, path.as_ref())?;
            }
            Ok(())
        }),
        Command::Mark(mark) => change(&mark.sign, |book| book.mark(&mark.of_version, mark.status)),
        Command::Add(add) => {
            let dir = DataDir::existing(&add.data.data)?;
            let entries = shelf::publish(&dir, &add.dir, &add.key)?;
            let are = if entries.len() == 1 { "is" } else { "are" };
            let files = number_of(entries.len() as i64, "file");
            println!("{files} {are} served at /updates/");
            Ok(())
        }
        Command::List(data) => super::runtime()?.block_on(list(data)),
    }
}

fn change(
    sign: &Sign,
    change: impl Fn(&mut Book) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let keys: Result<Vec<ReleaseKey>, StartError> =
        sign.key.iter().map(|path| ReleaseKey::read(path)).collect();
    let mut book = Book::open(&sign.dir)?;
    change(&mut book)?;
    for key in &sign.next_key {
        book.announce(key)?;
    }
    for key in &sign.revoke_key {
        book.revoke(key)?;
    }
    book.save(&keys?)
}

async fn list(data: &Data) -> Result<(), StartError> {
    let dir = DataDir::existing(&data.data)?;
    let (store, _) = open::open(&dir).await?;
    let counted: Result<Vec<(Option<String>, i64)>, _> =
        sqlx::query_as("SELECT agent_version, COUNT(*) FROM node GROUP BY agent_version")
            .fetch_all(&store.read)
            .await;
    store.close().await;
    let counted = counted
        .map_err(|e| StartError::new(format!("can't count the nodes: {e}"), "see the cause"))?;
    let counted = counted.into_iter().map(|(version, n)| (version.unwrap_or_default(), n));
    let mut nodes: BTreeMap<String, i64> = counted.filter(|(v, _)| !v.is_empty()).collect();
    let entries = shelf::list(&dir);
    for entry in &entries {
        let count = nodes.get(&entry.version).copied().unwrap_or_default();
        let nodes = number_of(count, "node");
        println!("{}\t{}\t{}\t{nodes}", entry.version, entry.status, entry.file);
    }
    nodes.retain(|version, _| !entries.iter().any(|entry| entry.version == *version));
    for (version, count) in nodes {
        println!("{version}\tnot served\t-\t{}", number_of(count, "node"));
    }
    Ok(())
}

//! `stint-hub attachment`: the files that documents take with them, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use crate::tools::documents::attachments::{self, Stored};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Copy files into the store and print what a document calls them.
    Put(Put),
    /// List the files: name, SHA-256, bytes.
    List(Data),
    /// Take a file out of the store; documents that have it keep it.
    Delete(Delete),
}

#[derive(Args)]
pub struct Put {
    #[command(flatten)]
    data: Data,
    /// Where in the store: FOLDER or FOLDER/FOLDER.
    #[arg(long, value_name = "FOLDER")]
    folder: String,
    /// The files; they keep their names.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    data: Data,
    /// hub://FOLDER/FILE, as `list` shows it.
    name: String,
}

/// Does the command.
///
/// # Errors
/// When the data directory, a file or a name can't be used.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::Put(put) => make(put).await,
            Command::List(data) => list(data).await,
            Command::Delete(delete) => remove(delete).await,
        }
    })
}

async fn make(put: &Put) -> Result<(), StartError> {
    let dir = DataDir::existing(&put.data.data)?;
    let (store, _) = open::open(&dir).await?;
    for file in &put.files {
        print(&attachments::put(&store, &dir, &put.folder, file, now()).await?);
    }
    store.close().await;
    Ok(())
}

async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    attachments::list(&store).await?.iter().for_each(print);
    store.close().await;
    Ok(())
}

async fn remove(delete: &Delete) -> Result<(), StartError> {
    let dir = DataDir::existing(&delete.data.data)?;
    let (store, _) = open::open(&dir).await?;
    let path = delete.name.strip_prefix(attachments::SCHEME).unwrap_or(&delete.name);
    let done = attachments::delete(&store, &dir, path).await;
    store.close().await;
    done
}

fn print(file: &Stored) {
    println!("{}{}\t{}\t{}", attachments::SCHEME, file.path, file.hash, file.size);
}

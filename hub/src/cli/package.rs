//! `stint-hub package`: packages of child agents, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use crate::tools::packages::{self, ANY, Package};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Copy a package into the store; one of the same name, version and architecture is replaced.
    Put(Put),
    /// List the packages: name, version, architecture, file, SHA-256, bytes.
    List(Data),
    /// Take a version out of the store.
    Delete(Delete),
}

#[derive(Args)]
pub struct Put {
    #[command(flatten)]
    data: Data,
    /// The child agent that it installs.
    #[arg(long)]
    name: String,
    /// Its version. (Not the hub's: that is `stint-hub --version`.)
    #[arg(long = "version", value_name = "VERSION")]
    of_version: String,
    /// Where it runs, as `uname -m` says; `any` for everywhere.
    #[arg(long, default_value = ANY)]
    arch: String,
    /// The package: a program, .tar.gz, .deb, .ipk, .apk or .rpm. It keeps its name.
    file: PathBuf,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    data: Data,
    /// The child agent.
    #[arg(long)]
    name: String,
    /// Its version.
    #[arg(long = "version", value_name = "VERSION")]
    of_version: String,
    /// For this architecture only.
    #[arg(long)]
    arch: Option<String>,
}

/// Does the command.
///
/// # Errors
/// When the data directory, the file or a name can't be used.
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
    let what = (put.name.as_str(), put.of_version.as_str(), put.arch.as_str());
    let done = packages::put(&store, &dir, &put.file, what, now()).await;
    store.close().await;
    print(&done?);
    Ok(())
}

async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    packages::list(&store).await?.iter().for_each(print);
    store.close().await;
    Ok(())
}

async fn remove(delete: &Delete) -> Result<(), StartError> {
    let store = open::store(&delete.data).await?;
    let arch = delete.arch.as_deref();
    let done = packages::delete(&store, &delete.name, &delete.of_version, arch).await;
    store.close().await;
    done.map(drop)
}

fn print(package: &Package) {
    let Package { name, version, arch, file_name, hash, size } = package;
    println!("{name}\t{version}\t{arch}\t{file_name}\t{hash}\t{size}");
}

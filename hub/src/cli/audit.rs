//! `stint-hub audit`: the audit logs that nodes have sent, also while the hub runs.

use super::{Data, number_of, open};
use crate::error::StartError;
use crate::nodes::audit::{self, Stored};
use crate::store::Store;
use clap::Args;
use stint_wire::audit::{Chain, Fault, read};
use stint_wire::time::Utc;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Print each line as the node wrote it.
    #[arg(long)]
    raw: bool,
    /// The node; without it, the nodes that have sent anything.
    node: Option<String>,
}

/// Shows a node's records, each with when it came, and what is wrong with the chain where it is.
///
/// # Errors
/// When the data directory can't be used, the chain is broken, or nothing is known of the node.
pub fn run(arguments: &Arguments) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        let store = open::store(&arguments.data).await?;
        let failed = |e: sqlx::Error| StartError::new(e.to_string(), "see the hub's log");
        let done = match &arguments.node {
            None => {
                for (node, count) in audit::nodes(&store).await.map_err(failed)? {
                    println!("{node}\t{count}");
                }
                Ok(())
            }
            Some(node) => {
                let lines = audit::stored(&store, node).await.map_err(failed)?;
                match lines.is_empty() {
                    true => nothing(node, exists(&store, node).await.map_err(failed)?),
                    false => show(&lines, arguments.raw),
                }
            }
        };
        store.close().await;
        done
    })
}

async fn exists(store: &Store, node: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT COUNT(*) FROM node WHERE id = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(node).fetch_one(&store.read).await?;
    Ok(count > 0)
}

/// The hub has no line of this node. Of one that was deregistered it may have had some.
fn nothing(node: &str, exists: bool) -> Result<(), StartError> {
    if exists {
        eprintln!(
            "{node} has sent nothing of its audit log (`\"audit\": {{\"sendToHub\": true}}` there)"
        );
        return Ok(());
    }
    Err(StartError::new(
        format!("there is no node {node}, and nothing of its audit log"),
        "`stint-hub audit` without a node lists those that have sent any",
    ))
}

fn show(lines: &[Stored], raw: bool) -> Result<(), StartError> {
    let mut chain = Chain::default();
    let mut broken = 0;
    for Stored { received_at, line } in lines {
        let fault = chain.follow(line).err();
        if let Some(fault) = fault {
            println!("!! the next line {}", fault.text());
            // A line that a power cut has met is a loss, and the chain holds on both sides of it.
            broken += usize::from(fault != Fault::Unreadable);
        }
        let received = Utc(*received_at as u64).iso();
        match read(line) {
            Some(record) if !raw => println!(
                "{}\t{}\t{received}\t{}\t{}\t{}",
                record.number, record.time, record.event, record.who, record.what
            ),
            _ => println!("{line}"),
        }
    }
    match broken {
        0 => Ok(()),
        count => Err(StartError::new(
            format!("the chain is broken in {}", number_of(count as i64, "place")),
            "compare with `stint audit --verify` on the device",
        )),
    }
}

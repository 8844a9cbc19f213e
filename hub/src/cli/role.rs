//! `stint-hub role`: what nodes may read, also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::auth::roles::{self, DEFAULT_RULE, RoleError, Rule};
use crate::error::StartError;
use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub enum Command {
    /// Allow the nodes of a role to read parameters; replaces the rule of the same name.
    Put(Put),
    /// List the rules of all roles.
    List(Data),
    /// Show the rules of one role.
    Show(Named),
    /// Delete a role's rules, or one of them; from the next request on nodes are refused.
    Delete(Delete),
}

#[derive(Args)]
pub struct Put {
    #[command(flatten)]
    data: Data,
    /// The role, as the activation's IamRole names it; '*' for every node.
    role: String,
    /// The rule's name within the role.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_RULE)]
    rule: String,
    /// A parameter, or several with a star at the end, such as '/fleet/*'. {node} stands for the
    /// node's id and {tag:KEY} for the value of its tag. May be repeated.
    #[arg(long, value_name = "PATTERN", required = true)]
    read_parameters: Vec<String>,
    /// Only for nodes with this tag, tag:KEY=VALUE or tag:KEY=VALUE,VALUE. When repeated, all
    /// have to hold.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    data: Data,
    /// The role.
    role: String,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    data: Data,
    /// The role.
    role: String,
    /// Only the rule of this name.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

/// Does the command.
///
/// # Errors
/// When the data directory can't be used, the rule is none, or there is none to show or delete.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::Put(put) => make(put).await,
            Command::List(data) => list(data, None).await,
            Command::Show(named) => list(&named.data, Some(&named.role)).await,
            Command::Delete(delete) => remove(delete).await,
        }
    })
}

async fn make(put: &Put) -> Result<(), StartError> {
    let rule = Rule::parse(&put.role, &put.rule, &put.read_parameters, &put.conditions)
        .map_err(|e| StartError::new(e.to_string(), "`stint-hub role put --help` has examples"))?;
    let store = open::store(&put.data).await?;
    let done = roles::put(&store, &rule, now()).await;
    store.close().await;
    done.map_err(failed)
}

/// A rule a line: role, name, patterns, conditions; tabs between, spaces within.
async fn list(data: &Data, role: Option<&str>) -> Result<(), StartError> {
    let store = open::store(data).await?;
    let rules = roles::list(&store.read, role).await;
    store.close().await;
    let rules = rules.map_err(failed)?;
    match role {
        Some(role) if rules.is_empty() => return Err(none(role, None)),
        _ => {}
    }
    for rule in rules {
        println!(
            "{}\t{}\t{}\t{}",
            rule.role,
            rule.name,
            joined(&rule.read_parameters),
            joined(&rule.conditions)
        );
    }
    Ok(())
}

async fn remove(delete: &Delete) -> Result<(), StartError> {
    let store = open::store(&delete.data).await?;
    let rule = delete.rule.as_deref();
    let count = roles::delete(&store, &delete.role, rule).await;
    store.close().await;
    match count.map_err(failed)? {
        0 => Err(none(&delete.role, rule)),
        _ => Ok(()),
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn none(role: &str, rule: Option<&str>) -> StartError {
    let what = match rule {
        Some(rule) => format!("the role {role} has no rule {rule}"),
        None => format!("the role {role} has no rules"),
    };
    StartError::new(what, "`stint-hub role list` shows those there are")
}

fn failed(error: RoleError) -> StartError {
    StartError::new(format!("the rules can't be used: {error}"), "see the cause")
}

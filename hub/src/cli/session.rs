//! `stint-hub session`: who opened sessions, and who may; also while the hub runs.

use super::{Data, open};
use crate::app::now;
use crate::auth::operator_keys;
use crate::auth::roles::{ANY_ROLE, DEFAULT_RULE, RoleError};
use crate::auth::session_rules::{self, Rule};
use crate::error::StartError;
use crate::sessions::transcripts;
use crate::store::Store;
use clap::{Args, Subcommand};
use std::io::Write;
use stint_wire::time::Utc;

#[derive(Subcommand)]
pub enum Command {
    /// List all sessions, oldest first: id, start, end, status, owner, node, document, bytes in
    /// and out, reason, details, transcript (bytes, or what became of it).
    List(Data),
    /// Print what a session has printed, as far as the hub has it: bytes for a terminal.
    Transcript(Transcript),
    /// Let an access key open sessions; replaces the rule of the same name. With the first rule,
    /// what no rule allows is refused.
    Allow(Allow),
    /// List the rules of all access keys.
    Rules(Data),
    /// Delete an access key's rules, or one of them. With the last one all is open again.
    Forbid(Forbid),
}

#[derive(Args)]
pub struct Transcript {
    #[command(flatten)]
    data: Data,
    /// The session's id.
    session: String,
}

#[derive(Args)]
pub struct Allow {
    #[command(flatten)]
    data: Data,
    /// The id of an access key that exists; '*' for every key.
    key: String,
    /// The rule's name among the key's.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_RULE)]
    rule: String,
    /// A session document, or several with a star at the end, such as 'AWS-Start*'. May be
    /// repeated.
    #[arg(long, value_name = "NAME", required = true)]
    documents: Vec<String>,
    /// Only on nodes with this tag, tag:KEY=VALUE or tag:KEY=VALUE,VALUE. When repeated, all
    /// have to hold.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
}

#[derive(Args)]
pub struct Forbid {
    #[command(flatten)]
    data: Data,
    /// The access key's id; '*' for the rules of every key.
    key: String,
    /// Only the rule of this name.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

/// Does the command.
///
/// # Errors
/// When the data directory can't be used, the rule is none, or there is none to delete.
pub fn run(command: &Command) -> Result<(), StartError> {
    super::runtime()?.block_on(async {
        match command {
            Command::List(data) => list(data).await,
            Command::Transcript(transcript) => print(transcript).await,
            Command::Allow(allow) => make(allow).await,
            Command::Rules(data) => rules(data).await,
            Command::Forbid(forbid) => remove(forbid).await,
        }
    })
}

#[derive(sqlx::FromRow)]
struct Line {
    id: String,
    requested_at: i64,
    ended_at: Option<i64>,
    status: String,
    owner: String,
    node_id: String,
    document_name: String,
    bytes_in: i64,
    bytes_out: i64,
    reason: String,
    details: String,
    transcript: String,
    transcript_bytes: i64,
    joined_at: Option<i64>,
}

impl Line {
    /// What the hub has of its transcript.
    fn transcript(&self) -> String {
        match self.transcript.as_str() {
            "" => "-".to_owned(),
            "whole" => self.transcript_bytes.to_string(),
            "wanted" if never_began(self.ended_at, self.joined_at) => "none".to_owned(),
            word => word.to_owned(),
        }
    }
}

/// Whether a session is over that its node never came to, as where it has refused it: nothing was printed there.
fn never_began(ended_at: Option<i64>, joined_at: Option<i64>) -> bool {
    ended_at.is_some() && joined_at.is_none()
}

async fn list(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    let lines: Result<Vec<Line>, _> = sqlx::query_as(
        "SELECT id, requested_at, ended_at, status, owner, node_id, document_name, bytes_in,
           bytes_out, reason, details, transcript, transcript_bytes, joined_at
         FROM session ORDER BY requested_at, id",
    )
    .fetch_all(&store.read)
    .await;
    store.close().await;
    let moment = |at: i64| Utc(at.unsigned_abs()).iso();
    // A tab or a line's end in a reason must not look like the next field.
    let flat = |text: &str| text.replace(|c: char| c.is_control(), " ");
    for line in lines.map_err(|e| failed(e.into()))? {
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            line.id,
            moment(line.requested_at),
            line.ended_at.map_or_else(|| "-".to_owned(), moment),
            line.status,
            line.owner,
            line.node_id,
            line.document_name,
            line.bytes_in,
            line.bytes_out,
            flat(&line.reason),
            flat(&line.details),
            line.transcript(),
        );
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Kept {
    transcript: String,
    transcript_size: i64,
    transcript_bytes: i64,
    ended_at: Option<i64>,
    joined_at: Option<i64>,
}

/// Prints the transcript, and says on standard error what is missing of it.
async fn print(asked: &Transcript) -> Result<(), StartError> {
    let store = open::store(&asked.data).await?;
    let printed = print_from(&store, &asked.session).await;
    store.close().await;
    printed
}

async fn print_from(store: &Store, id: &str) -> Result<(), StartError> {
    let row: Option<Kept> = sqlx::query_as(
        "SELECT transcript, transcript_size, transcript_bytes, ended_at, joined_at
         FROM session WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(&store.read)
    .await
    .map_err(|e| failed(e.into()))?;
    let began = !row.as_ref().is_some_and(|row| never_began(row.ended_at, row.joined_at));
    let why = match row.as_ref().map(|row| row.transcript.as_str()) {
        None => "the hub knows no such session",
        Some("") => "it is not wanted (hubTranscriptEnabled in the session's document)",
        Some("wanted") if !began => "the session never began",
        Some("wanted") => {
            "nothing has come from the node; it sends what was printed when the session is over"
        }
        Some("deleted") => "it was too old, or there were too many, and is deleted",
        _ => "",
    };
    let Some(Kept { transcript, transcript_size: size, transcript_bytes: bytes, .. }) =
        row.filter(|_| why.is_empty())
    else {
        return Err(StartError::new(
            format!("there is no transcript of {id}: {why}"),
            "`stint-hub session list` shows those there are",
        ));
    };
    let mut out = std::io::stdout().lock();
    let mut position = 0;
    while let Some((next, piece)) =
        transcripts::piece(store, id, position).await.map_err(|e| failed(e.into()))?
    {
        out.write_all(&piece)
            .map_err(|e| StartError::new(format!("can't write it: {e}"), "open standard output"))?;
        position = next;
    }
    match transcript.as_str() {
        "whole" if bytes == size => {}
        "whole" => eprintln!("the hub keeps the first {bytes} of its {size} bytes"),
        _ => eprintln!("{bytes} of {size} bytes have come so far"),
    }
    Ok(())
}

async fn make(allow: &Allow) -> Result<(), StartError> {
    let rule = Rule::parse(&allow.key, &allow.rule, &allow.documents, &allow.conditions)
        .map_err(|e| StartError::new(e.to_string(), "`stint-hub session allow --help` has more"))?;
    let store = open::store(&allow.data).await?;
    let done = check_and_put(&store, &rule).await;
    store.close().await;
    done
}

/// The first rule shuts out whom it doesn't name, so one for a mistyped key would shut out everybody.
async fn check_and_put(store: &Store, rule: &Rule) -> Result<(), StartError> {
    let key = rule.access_key.as_str();
    let keys = operator_keys::list(store).await.map_err(|e| {
        StartError::new(format!("the access keys can't be used: {e}"), "see the cause")
    })?;
    if key != ANY_ROLE && !keys.iter().any(|known| known.id == key) {
        return Err(StartError::new(
            format!("there is no access key {key}"),
            "`stint-hub access-key list` shows those there are; '*' is every key",
        ));
    }
    session_rules::put(store, rule, now()).await.map_err(failed)
}

/// A rule a line: key, name, documents, conditions; tabs between, spaces within.
async fn rules(data: &Data) -> Result<(), StartError> {
    let store = open::store(data).await?;
    let rules = session_rules::list(&store.read).await;
    store.close().await;
    for rule in rules.map_err(failed)? {
        let conditions: Vec<String> = rule.conditions.iter().map(ToString::to_string).collect();
        let (key, name) = (rule.access_key, rule.name);
        println!("{key}\t{name}\t{}\t{}", rule.documents.join(" "), conditions.join(" "));
    }
    Ok(())
}

async fn remove(forbid: &Forbid) -> Result<(), StartError> {
    let store = open::store(&forbid.data).await?;
    let count = session_rules::delete(&store, &forbid.key, forbid.rule.as_deref()).await;
    store.close().await;
    match count.map_err(failed)? {
        0 => Err(StartError::new(
            format!("there is no such rule of {}", forbid.key),
            "`stint-hub session rules` shows those there are",
        )),
        _ => Ok(()),
    }
}

fn failed(error: RoleError) -> StartError {
    StartError::new(format!("the sessions can't be used: {error}"), "see the cause")
}

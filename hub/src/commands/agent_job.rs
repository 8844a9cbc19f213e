//! Jobs for child agents: what a step `stint:configureAgent` says, for nodes of either kind.
//!
//! A node that runs documents gets the document, with the package's name replaced by a link to it;
//! a node of the BootAgent protocol gets the one step as a job.

use super::values;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::documents::attachments::{self, Promised};
use crate::tools::packages::{self, Choice};
use serde_json::{Map, Value, json};
use stint_wire::bootagent::{Action, Job};
use stint_wire::json;
use stint_wire::time::Utc;

/// The plugin.
pub const PLUGIN: &str = "stint:configureAgent";

/// Why another document is nothing for a node of the BootAgent protocol.
pub const NOT_FOR_BOOT_AGENTS: &str = "The node only looks after child agents (BootAgent \
     protocol). It runs Stint-ConfigureAgent and documents with one step, stint:configureAgent; \
     this document is none of them.";

/// Bytes of a job. A node of the BootAgent protocol reads answers of at most 256 KiB, and one that
/// can't read its answer gets nothing any more; definitions and environments are far smaller.
pub const MOST_BYTES: usize = 64 * 1024;

/// For whom a job is made.
pub struct Place<'p> {
    /// The node's id.
    pub node: &'p str,
    /// The URL under which the node reached the hub; [`App::public_url`] goes before it.
    pub endpoint: &'p str,
    /// The time.
    pub now: Utc,
}

/// What became of a preparation.
#[derive(Debug, PartialEq, Eq)]
pub enum Prepared {
    /// The node can have it, with this link if it needs one.
    Ready(Option<Promised>),
    /// The node can't have it, for this reason.
    Refused(String),
}

fn steps(content: &Value) -> impl Iterator<Item = &Value> {
    content.get("mainSteps").and_then(Value::as_array).into_iter().flatten()
}

fn is_ours(step: &Value) -> bool {
    step.get("action").and_then(Value::as_str) == Some(PLUGIN)
}

/// Whether a document has any step of the plugin.
pub fn has_steps(content: &Value) -> bool {
    steps(content).any(is_ours)
}

/// The step of a document that has one step, which is the plugin's.
pub fn sole_step(content: &Value) -> Option<&Value> {
    let mut all = steps(content);
    let first = all.next().filter(|step| is_ours(step))?;
    all.next().is_none().then_some(first)
}

/// A value that says nothing: what it stands for is as if it were not there.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(truth) => !truth,
        Value::Number(_) => false,
    }
}

/// The name in a text that is nothing but a reference to a parameter.
fn reference(value: &Value) -> Option<&str> {
    let inner = value.as_str()?.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let plain = !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then_some(inner)
}

/// The inputs of a step with the parameters filled in. An input is left out if it stands for a
/// parameter that nobody gave and whose default says nothing; one that was given empty stays, as
/// it may take something away.
pub fn inputs(content: &Value, step: &Value, given: &Map<String, Value>) -> Map<String, Value> {
    let values = values::typed(content, given.clone());
    let default = |name: &str| content.get("parameters")?.get(name)?.get("default");
    let written = step.get("inputs").and_then(Value::as_object).into_iter().flatten();
    written
        .filter_map(|(name, value)| {
            let value = match reference(value) {
                Some(parameter) => match values.get(parameter) {
                    Some(value) => value.clone(),
                    None => default(parameter).filter(|value| !is_nothing(value))?.clone(),
                },
                None => within(value, &values, &default),
            };
            Some((name.clone(), value))
        })
        .collect()
}

/// A value with the references inside of its texts filled in.
fn within<'c>(
    value: &Value,
    values: &Map<String, Value>,
    default: &impl Fn(&str) -> Option<&'c Value>,
) -> Value {
    match value {
        Value::String(text) if text.contains("{{") => {
            let mut out = text.clone();
            let names = values.keys().cloned();
            for name in names.chain(references(text)) {
                let Some(value) = values.get(&name).or_else(|| default(&name)) else { continue };
                let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                for form in [format!("{{{{{name}}}}}"), format!("{{{{ {name} }}}}")] {
                    out = out.replace(&form, &plain);
                }
            }
            Value::String(out)
        }
        Value::Array(items) => items.iter().map(|item| within(item, values, default)).collect(),
        Value::Object(members) => Value::Object(
            members.iter().map(|(k, v)| (k.clone(), within(v, values, default))).collect(),
        ),
        other => other.clone(),
    }
}

/// The names of the parameters in a text.
fn references(text: &str) -> Vec<String> {
    let parts = text.split("{{").skip(1).filter_map(|part| part.split_once("}}"));
    parts.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Replaces `package` by `url`, `checksum`, `name` and `version` of what the store has for the
/// node. The name and version that the step itself says stay.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn resolve_package(
    app: &App,
    inputs: &mut Map<String, Value>,
    place: &Place<'_>,
) -> ApiResult<Prepared> {
    let Some(wanted) = inputs.remove("package") else {
        return Ok(Prepared::Ready(None));
    };
    let wanted = match wanted.as_str() {
        Some("") => return Ok(Prepared::Ready(None)),
        Some(wanted) => wanted.to_owned(),
        None => return Ok(Prepared::Refused("Package has to be a text.".to_owned())),
    };
    let arch = arch_of(app, place.node).await?;
    let package = match packages::choose(app, &wanted, &arch).await? {
        Choice::Nothing(reason) => return Ok(Prepared::Refused(reason)),
        Choice::Package(package) => package,
    };
    let promised = attachments::promise(app, &package.hash, &package.file_name, place.now).await?;
    inputs.insert("url".to_owned(), json!(url(app, &promised, place.endpoint)));
    inputs.insert("checksum".to_owned(), json!(format!("SHA256:{}", package.hash)));
    for (member, value) in [("name", package.name), ("version", package.version)] {
        if inputs.get(member).is_none_or(is_nothing) {
            inputs.insert(member.to_owned(), json!(value));
        }
    }
    Ok(Prepared::Ready(Some(promised)))
}

/// The URL of a link, for a node that reached the hub under `endpoint`.
pub fn url(app: &App, promised: &Promised, endpoint: &str) -> String {
    let endpoint = app.public_url.as_deref().unwrap_or(endpoint);
    format!("{endpoint}{}", promised.link)
}

/// The architecture of a node: its tag `arch`, which only operators set, else what it says.
async fn arch_of(app: &App, node: &str) -> ApiResult<String> {
    let known: Option<String> = sqlx::query_scalar(
        "SELECT COALESCE(
           (SELECT tag_value FROM tag WHERE resource_type = 'ManagedInstance'
              AND resource_id = $1 AND tag_key = 'arch'),
           (SELECT arch FROM boot_agent WHERE node_id = $1))",
    )
    .bind(node)
    .fetch_one(&app.store.read)
    .await?;
    Ok(known.unwrap_or_default())
}

/// The job that inputs make. `package` has to be resolved before.
///
/// # Errors
/// What is wrong, as a sentence for the operator.
pub fn job(id: &str, inputs: &Map<String, Value>) -> Result<Job, String> {
    let mut members = Map::new();
    members.insert("id".to_owned(), json!(id));
    for (name, value) in inputs {
        let value = match (name.as_str(), value) {
            ("timeoutSeconds", _) => continue,
            ("force", Value::String(text)) => json!(text.eq_ignore_ascii_case("true")),
            // An empty text says nothing; an empty object takes everything away.
            ("envs" | "limits", Value::String(text)) if text.is_empty() => json!({}),
            (_, value) => value.clone(),
        };
        members.insert(name.clone(), value);
    }
    let text = Value::Object(members).to_string();
    if text.contains("{{ssm") || text.contains("{{ ssm") {
        return Err(
            "References to Parameter Store are filled in by nodes that run documents, not \
                    by nodes of the BootAgent protocol."
                .to_owned(),
        );
    }
    let node = json::parse(&text).map_err(|error| format!("The job can't be read: {error}."))?;
    let job = match Job::read(&node) {
        None => return Err("Action is missing.".to_owned()),
        Some(Err(result)) => return Err(format!("{}.", result.message)),
        Some(Ok(job)) => job,
    };
    let size = job.write().len();
    if size > MOST_BYTES {
        return Err(format!(
            "The job has {size} bytes, and nodes take {MOST_BYTES}; put large settings into the \
             package."
        ));
    }
    let fetches = matches!(job.action, Action::Install | Action::Upgrade);
    match (fetches, &job.url, &job.checksum) {
        (true, None, _) => Err("Say what to install, with Package or with Url.".to_owned()),
        (true, Some(_), None) => Err("Give the Checksum of what is at Url.".to_owned()),
        _ => Ok(job),
    }
}

/// A document as a node that runs documents gets it: inputs that say nothing are gone, and a
/// package's name has become a link. Other documents stay as they are.
///
/// # Errors
/// `InternalServerError` when the store fails; within it, why the node can't have the document.
pub async fn prepare(
    app: &App,
    content: &Value,
    given: &Map<String, Value>,
    place: &Place<'_>,
) -> ApiResult<Result<Value, String>> {
    let mut prepared = content.clone();
    let list = prepared.get_mut("mainSteps").and_then(Value::as_array_mut);
    for step in list.into_iter().flatten().filter(|step| is_ours(step)) {
        let mut filled = inputs(content, step, given);
        let Some(written) = step.get_mut("inputs").and_then(Value::as_object_mut) else {
            continue;
        };
        written.retain(|name, _| filled.contains_key(name));
        let by_name = written.remove("package").is_some();
        match resolve_package(app, &mut filled, place).await? {
            Prepared::Refused(reason) => return Ok(Err(reason)),
            Prepared::Ready(_) if by_name => {
                for member in ["url", "checksum", "name", "version"] {
                    if let Some(value) = filled.remove(member) {
                        written.insert(member.to_owned(), value);
                    }
                }
            }
            Prepared::Ready(_) => {}
        }
    }
    Ok(Ok(prepared))
}

/// Checks what a command would have nodes do, before it is accepted.
///
/// # Errors
/// `InvalidParameters` for a job that no node could do, and for a package that isn't there.
pub async fn check(app: &App, content: &Value, given: &Map<String, Value>) -> ApiResult<()> {
    let invalid = |reason: String| ApiError::new("InvalidParameters", reason);
    for step in steps(content).filter(|step| is_ours(step)) {
        let mut filled = inputs(content, step, given);
        if filled.values().any(|value| value.to_string().contains("{{")) {
            continue;
        }
        if let Some(wanted) = filled.remove("package").filter(|wanted| !is_nothing(wanted)) {
            let wanted = wanted.as_str().unwrap_or_default().to_owned();
            if !packages::exists(app, &wanted).await? {
                return Err(invalid(format!(
                    "The hub has no package {wanted}; `stint-hub package list` shows those it has."
                )));
            }
            // What a node will be told, whichever file it gets.
            let name = wanted.split('=').next().unwrap_or_default();
            let known =
                |inputs: &Map<String, Value>| inputs.get("name").is_some_and(|n| !is_nothing(n));
            if !known(&filled) {
                filled.insert("name".to_owned(), json!(name));
            }
            filled.insert("url".to_owned(), json!("hub"));
            filled.insert("checksum".to_owned(), json!("hub"));
        }
        job("-", &filled).map_err(invalid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

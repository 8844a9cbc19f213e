//! `stint send-offline`: a document for the agent of this device, by way of its local folder.
//!
//! A document in that folder has no parameters but its own defaults, so those that are typed
//! become defaults. Its id is its file's name, and known before the agent has seen it.

use super::run_document::read;
use super::{Exit, SendOffline, complain, print};
use crate::agent::status;
use crate::config::{self, Config, DEFAULT_PATH};
use crate::document::{self, Document};
use crate::offline::{Folder, MAX_UNFINISHED, is_over};
use crate::spool::MAX_JOB;
use crate::sys::{durable, random};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use stint_wire::json::{self, Node, Value};
use stint_wire::reply::Status;

/// Between two looks for the result.
const LOOK: Duration = Duration::from_millis(200);

/// An agent that runs takes a file within seconds; one whose folder couldn't be read looks again after a minute. A
/// file that is still there after this is one that it doesn't take.
const UNTAKEN: Duration = Duration::from_secs(90);

/// Hands the document over. With `--wait` anything but success is a failure.
pub fn run(wish: SendOffline) -> Exit {
    let fail = |error: String| complain(&format!("stint: {error}"), Exit::Failure);
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        Err(error) => return fail(error.to_string()),
    };
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    let folder = Folder::of(state, config.offline.keep);
    let mut parameters = wish.parameters;
    parameters.extend(wish.more);
    super::open_audit(&config, state);
    let id = match send(&config, &folder, &wish.file, &parameters) {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    if !wish.json {
        print(&id);
    }
    let runs = || status::look(state, &config.status_dir(state)).is_some();
    if !wish.wait {
        if !runs() {
            complain(
                "the agent isn't running; it takes the document when it starts",
                Exit::Success,
            );
        }
        return Exit::Success;
    }
    let began = Instant::now();
    loop {
        let text = folder.outcome(&id).unwrap_or_default();
        let reply = json::parse(&text).ok();
        let status = reply.as_ref().map(|reply| word(reply, "documentStatus")).unwrap_or_default();
        if let Some(reply) = reply.as_ref().filter(|_| is_over(status)) {
            if wish.json {
                print(&text);
            } else {
                show(reply);
            }
            let well = Status::parse(status) == Some(Status::Success);
            return if well { Exit::Success } else { Exit::Failure };
        }
        if let Some(file) = folder.invalid(&id) {
            return fail(format!("the agent takes it for no document; it is kept as {file}"));
        }
        if !runs() {
            return fail(format!("the agent isn't running; it goes on with {id} when it starts"));
        }
        if is_untaken(&folder, &id, began.elapsed()) {
            return fail(format!(
                "the agent runs and doesn't take {}; its log says why, and `stint status` whether its module \
                 \"offline\" runs. It runs once that is mended, unless it is removed",
                waiting(&folder, &id).display()
            ));
        }
        thread::sleep(LOOK);
    }
}

/// Whether the agent has had the time to take a file, and hasn't, though it could: of those that aren't over it takes so
/// many at most.
fn is_untaken(folder: &Folder, id: &str, waited: Duration) -> bool {
    waited >= UNTAKEN
        && waiting(folder, id).exists()
        && folder.unfinished().is_ok_and(|files| files.len() < MAX_UNFINISHED)
}

/// Where a document waits for the agent.
fn waiting(folder: &Folder, id: &str) -> PathBuf {
    folder.path().join(format!("{id}.json"))
}

fn send(
    config: &Config,
    folder: &Folder,
    file: &Path,
    parameters: &[String],
) -> Result<String, String> {
    if !config.offline.enabled {
        return Err("this device takes no local documents: the configuration says \"offline\": \
                    {\"enabled\": false}"
            .to_owned());
    }
    let text = read(file)?;
    let words = |error: &dyn ToString| format!("{}: {}", file.display(), error.to_string());
    let mut root = json::parse(&text).map_err(|error| words(&error))?;
    let given = document::given(parameters, root.get_any_case("parameters"))?;
    let given = json::parse(&given).map_err(|error| words(&error))?;
    Document::read(&root, Some(&given)).map_err(|error| words(&error))?;
    let text = if given.members().is_empty() {
        text
    } else {
        make_defaults(&mut root, &given);
        root.to_string()
    };
    // As the agent will read it.
    document::refuse(&root).map_err(|error| words(&error))?;
    if text.len() > MAX_JOB {
        return Err(format!("{} is larger than {MAX_JOB} bytes", file.display()));
    }
    // The agent would take nothing from it. Which user the agent runs as isn't known here.
    folder.check(true)?;
    let id = random::uuid().map_err(|error| error.to_string())?;
    durable::make_folder(folder.path()).map_err(|error| error.to_string())?;
    // Before the agent can have it: nothing runs that nobody asked for, and its own record isn't kept waiting.
    let name = file.to_string_lossy();
    let what = [("id", &*id), ("file", &*name)];
    crate::audit::record("document.submitted", &crate::audit::person(), &what);
    durable::write(&waiting(folder, &id), text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(id)
}

/// Makes what was given the defaults of a document's parameters.
fn make_defaults(root: &mut Node, given: &Node) {
    let Some(declared) = member(root, "parameters") else { return };
    for (name, value) in given.members() {
        let Value::Object(declared) = &mut declared.value else { return };
        let Some((_, definition)) = declared.iter_mut().find(|(known, _)| known == name) else {
            continue;
        };
        match member(definition, "default") {
            Some(default) => *default = value.clone(),
            None => {
                if let Value::Object(members) = &mut definition.value {
                    members.push(("default".to_owned(), value.clone()));
                }
            }
        }
    }
}

fn member<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    let Value::Object(members) = &mut node.value else { return None };
    members.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, node)| node)
}

fn word<'a>(node: &'a Node, name: &str) -> &'a str {
    node.get(name).and_then(Node::as_str).unwrap_or_default()
}

/// Prints each step's output and status, and the document's.
fn show(reply: &Node) {
    for (name, step) in reply.get("runtimeStatus").map(Node::members).unwrap_or_default() {
        let (out, err) = (word(step, "standardOutput"), word(step, "standardError"));
        let _ = io::stdout().write_all(out.as_bytes());
        if !err.is_empty() {
            complain(err.trim_end(), Exit::Failure);
        }
        let gap = if out.is_empty() || out.ends_with('\n') { "" } else { "\n" };
        let code = step.get("code").map(Node::to_string).unwrap_or_default();
        let (plugin, status) = (word(step, "name"), word(step, "status"));
        print(&format!("{gap}step {name} ({plugin}): {status}, exit code {code}"));
    }
    let trace = word(reply, "documentTraceOutput");
    if !trace.is_empty() {
        complain(trace, Exit::Failure);
    }
    print(&format!("document: {}", word(reply, "documentStatus")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::KEEP;
    use crate::testing::Folder as Place;
    use std::fs;

    #[test]
    fn a_file_that_the_agent_does_not_take_is_waited_for_no_longer_unless_there_are_too_many() {
        let place = Place::new();
        let folder = Folder::of(place.path(), KEEP);
        folder.open().unwrap();
        assert!(!is_untaken(&folder, "1", UNTAKEN));
        fs::write(waiting(&folder, "1"), "{}").unwrap();
        assert!(is_untaken(&folder, "1", UNTAKEN) && !is_untaken(&folder, "1", UNTAKEN / 2));
        for n in 0..MAX_UNFINISHED {
            fs::write(folder.path().join(format!("submitted/a.{n}")), "{}").unwrap();
        }
        assert!(!is_untaken(&folder, "1", UNTAKEN));
    }

    #[test]
    fn a_document_is_judged_with_what_is_given_for_it() {
        let place = Place::new();
        let file = place.path().join("greet.json");
        let text = r#"{"schemaVersion":"2.2","parameters":{"whom":{"type":"String","default":"?","allowedValues":["you"]}},
            "mainSteps":[{"action":"aws:runShellScript","name":"a","inputs":{"runCommand":["echo {{ whom }}"]}}]}"#;
        fs::write(&file, text).unwrap();
        let folder = Folder::of(place.path(), KEEP);
        folder.open().unwrap();
        let send = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|it| (*it).to_owned()).collect();
            send(&Config::default(), &folder, &file, &given)
        };
        assert!(send(&[]).unwrap_err().contains("whom"));
        let id = send(&["whom=you"]).unwrap();
        assert!(fs::read_to_string(waiting(&folder, &id)).unwrap().contains(r#""default":"you""#));
    }

    #[test]
    fn what_is_given_becomes_a_default() {
        let text = r#"{"Parameters":{"a":{"type":"String","Default":"x"},"b":{"type":"StringList"},
            "c":{"type":"String","default":"z"}}}"#;
        let mut root = json::parse(text).unwrap();
        make_defaults(&mut root, &json::parse(r#"{"a":"1","b":["2"],"d":"3"}"#).unwrap());
        let wanted = concat!(
            r#"{"Parameters":{"a":{"type":"String","Default":"1"},"#,
            r#""b":{"type":"StringList","default":["2"]},"c":{"type":"String","default":"z"}}}"#
        );
        assert_eq!(root.to_string(), wanted);
    }
}

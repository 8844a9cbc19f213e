//! `stint:configureAgent`: a job for the supervisor of child agents, from a document.
//!
//! The supervisor is another process, the daemon. The job goes into its inbox; the step ends with
//! the job's result. A step that is stopped leaves its job to the daemon.

use super::plugin::{Context, Ended};
use super::remote::RemoteError;
use super::script;
use crate::config;
use crate::supervise::inbox::Inbox;
use crate::sys::random;
use std::path::Path;
use std::thread;
use std::time::Duration;
use stint_wire::bootagent::{Job, JobResult};
use stint_wire::json::{self, Node, Value};
use stint_wire::reply::Status;

/// The plugin's name.
pub const NAME: &str = "stint:configureAgent";

/// Between two looks for the answer.
const LOOK: Duration = Duration::from_millis(200);

/// Inputs that are the step's own and no member of a job.
const OWN: &[&str] = &["timeoutSeconds", "package"];

/// Inputs that may come as the text of an object.
const OBJECTS: &[&str] = &["envs", "limits", "definition"];

/// Runs the step that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let patience = context.patience(Duration::from_secs(script::limit(inputs)));
    let id = match random::uuid() {
        Ok(id) => id,
        Err(error) => return Ended::failed(error.to_string()),
    };
    let job = match job(&id, inputs) {
        Ok(job) => job,
        Err(reason) => return Ended::failed(reason),
    };
    let state = context.state.unwrap_or(Path::new(config::DEFAULT_STATE));
    let inbox = Inbox::of(state);
    if let Err(error) = inbox.hand_in(&id, &job) {
        return Ended::failed(format!(
            "the agent's daemon, which looks after child agents, can't be reached: {error}"
        ));
    }
    loop {
        match inbox.collect(&id) {
            Ok(Some(result)) => return ended(result),
            Ok(None) => {}
            Err(error) => return Ended::failed(error.to_string()),
        }
        if let Some(stop) = patience.over() {
            let mut ended = Ended::without(&RemoteError::Stopped(stop));
            ended.stderr.push_str("; the agent goes on with the job");
            return ended;
        }
        thread::sleep(LOOK);
    }
}

fn ended(result: JobResult) -> Ended {
    let JobResult { errcode, message, .. } = result;
    match errcode {
        0 => {
            let stdout = format!("{message}\n");
            Ended { status: Status::Success, code: 0, stdout, stderr: String::new() }
        }
        code => Ended { status: Status::Failed, code, stdout: String::new(), stderr: message },
    }
}

/// The job that the inputs make. An input that is an empty text says nothing; an empty object takes
/// away what was set.
fn job(id: &str, inputs: &Node) -> Result<Job, String> {
    let line = inputs.line;
    let node = |value| Node { line, value };
    let mut members = vec![("id".to_owned(), node(Value::String(id.to_owned())))];
    for (name, value) in inputs.members() {
        let text = value.as_str().map(str::trim);
        let value = match text {
            _ if OWN.contains(&name.as_str()) => continue,
            Some("") => continue,
            Some(text) if OBJECTS.contains(&name.as_str()) => json::parse(text)
                .map_err(|error| format!("\"{name}\" must be an object: {error}"))?,
            Some(text) if name == "force" => node(Value::Bool(text.eq_ignore_ascii_case("true"))),
            _ => value.clone(),
        };
        // An object without members defines nothing.
        if name != "definition" || !value.members().is_empty() {
            members.push((name.clone(), value));
        }
    }
    match Job::read(&node(Value::Object(members))) {
        Some(Ok(job)) => Ok(job),
        Some(Err(result)) => Err(result.message),
        None => Err("the step has no action".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::bootagent::{Action, Limits};

    fn read(inputs: &str) -> Result<Job, String> {
        job("1", &json::parse(inputs).unwrap())
    }

    #[test]
    fn inputs_make_a_job_and_what_says_nothing_is_left_out() {
        let job = read(
            r#"{"action": "config", "name": "a", "url": "", "envs": {}, "step": "", "force": "true",
            "limits": "{\"CPU\": \"10%\"}", "definition": {}, "timeoutSeconds": "60"}"#,
        );
        let job = job.unwrap();
        assert_eq!((job.action, job.name.as_str(), job.url), (Action::Config, "a", None));
        assert_eq!(job.envs, Some(Vec::new()));
        assert_eq!(job.limits, Some(Limits { cpu: Some(1000), ..Limits::default() }));
        assert!(job.force && job.definition.is_none() && job.step.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (inputs, wanted) in [
            ("{}", "no action"),
            (r#"{"action": "dance", "name": "a"}"#, "\"action\" is \"dance\""),
            (r#"{"action": "start"}"#, "\"name\" is missing"),
            (r#"{"action": "config", "name": "a", "envs": "x"}"#, "\"envs\" must be an object"),
        ] {
            let error = read(inputs).unwrap_err();
            assert!(error.contains(wanted), "{inputs}: {error}");
        }
    }

    #[test]
    fn without_a_daemon_the_step_says_who_is_missing() {
        let bench = super::super::plugin::Bench::new();
        let inputs = json::parse(r#"{"action": "start", "name": "a"}"#).unwrap();
        let ended = bench.with(|context| run(&inputs, context));
        assert_eq!((ended.status, ended.code), (Status::Failed, 1));
        assert!(ended.stderr.contains("daemon, which looks after child agents, can't be reached"));
    }
}

//! `aws:updateSsmAgent`: this agent in another version.
//!
//! The manifest's place is the device's own business, so the input `source`, which names that of
//! the original, is passed over. The step succeeds when the server has heard the new version, and
//! fails with the reason when that had to be taken back. It outlives the daemon that started it;
//! started once more, after a power cut, it goes on with what it began.

use super::plugin::{Context, Ended};
use super::remote::RemoteError;
use super::script;
use crate::agent::status;
use crate::config::{self, DEFAULT_PATH};
use crate::sys::process;
use crate::update::UpdateError;
use crate::update::apply::{self, Choice, Updates, Wish};
use crate::update::state::Last;
use std::path::Path;
use std::time::Duration;
use stint_wire::json::Node;
use stint_wire::reply::Status;

/// The plugin's name.
pub const NAME: &str = "aws:updateSsmAgent";

/// Words for the newest version.
const NEWEST: [&str; 4] = ["", "latest", "stable", "None"];

/// Runs the step that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let patience = context.patience(Duration::from_secs(script::limit(inputs)));
    let text = |name| inputs.get(name).and_then(Node::as_str).unwrap_or_default().trim();
    let allow_downgrade = match text("allowDowngrade").to_ascii_lowercase().as_str() {
        "" | "false" => false,
        "true" => true,
        other => {
            return Ended::failed(format!(
                "\"allowDowngrade\" is \"{other}\"; it must be true or false"
            ));
        }
    };
    let version = Some(text("targetVersion")).filter(|version| !NEWEST.contains(version));
    let config = match config::load(context.remote.config_path(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        Err(error) => return Ended::failed(error.to_string()),
    };
    let state = context.state.unwrap_or(Path::new(config::DEFAULT_STATE));
    let step = context.folder.file_name().unwrap_or_default().to_string_lossy();
    let order = format!("{} {step}{}", context.command, context.way);
    if apply::outcome(state, &order).is_none() && !apply::is_on_trial(state, &order) {
        let begin = || -> Result<Option<String>, UpdateError> {
            let updates = Updates::new(&config, state)?;
            let found = updates.look(&patience)?;
            let wish = Wish { version, allow_downgrade, automatic: false };
            let release = match updates.choose(&found, wish)? {
                Choice::Install(release) => release,
                Choice::UpToDate(version) => {
                    return Ok(Some(format!("stint {version} runs; there is nothing to install")));
                }
                Choice::Bad(version) => {
                    return Ok(Some(format!(
                        "stint {} runs; {version} was tried and had to be taken back",
                        found.running
                    )));
                }
            };
            updates.stage(&found, &release, &order, &patience)?;
            Ok(None)
        };
        match begin() {
            Ok(None) => {}
            Ok(Some(done)) => return succeeded(done),
            Err(UpdateError::Remote(error @ RemoteError::Stopped(_))) => {
                return Ended::without(&error);
            }
            Err(error) => return Ended::failed(error.to_string()),
        }
    }
    // Once more after a power cut does no harm: a daemon becomes what it is.
    let poke = || {
        if let Some(daemon) = status::look(state, &config.status_dir(state))
            && daemon.pid != 0
        {
            let _ = process::signal(daemon.pid, libc::SIGHUP);
        }
    };
    // One that runs already would be taken for one that fell over.
    if apply::is_untried(state, &order) {
        poke();
    }
    match apply::wait(state, &order, &patience, &poke) {
        Ok(Last { version, from, failure, .. }) if failure.is_empty() => {
            succeeded(format!("stint {version} runs in the place of {from}"))
        }
        Ok(Last { version, failure, .. }) => {
            Ended::failed(format!("stint {version} was taken back: {failure}"))
        }
        Err(stop) => {
            let mut ended = Ended::without(&RemoteError::Stopped(stop));
            ended.stderr.push_str("; the new version is on trial still");
            ended
        }
    }
}

fn succeeded(line: String) -> Ended {
    let stdout = format!("{line}\n");
    Ended { status: Status::Success, code: 0, stdout, stderr: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::State;
    use crate::update::state::{Slot, Trial};
    use stint_wire::json;

    fn failure(inputs: &str) -> String {
        let bench = super::super::plugin::Bench::new();
        let inputs = json::parse(inputs).unwrap();
        let ended = bench.with(|context| run(&inputs, context));
        assert_eq!(ended.status, Status::Failed);
        ended.stderr
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        assert!(failure(r#"{"allowDowngrade": "perhaps"}"#).contains("must be true or false"));
        assert!(failure("{}").contains("nobody says where new versions are"));
    }

    #[test]
    fn started_once_more_the_step_tells_how_what_it_began_has_ended() {
        let bench = super::super::plugin::Bench::new();
        let inputs = json::parse("{}").unwrap();
        let folder = bench.path().file_name().unwrap().to_string_lossy().into_owned();
        let order = format!("c-1 {folder}");
        let slot = Slot { slot: "a".into(), ..Slot::default() };
        let mut state =
            State { trial: Some(Trial { slot, order, ..Trial::default() }), ..State::default() };
        state.commit();
        state.save(bench.path()).unwrap();
        let ended = bench.with(|context| run(&inputs, context));
        assert_eq!(ended.status, Status::Success);
        state.last.as_mut().unwrap().failure = "it fell over".into();
        state.save(bench.path()).unwrap();
        let ended = bench.with(|context| run(&inputs, context));
        assert!(ended.stderr.contains("taken back: it fell over"), "{}", ended.stderr);
    }
}

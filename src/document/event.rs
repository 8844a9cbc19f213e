//! `stint:event`: tells the device's event scripts something, from a document.
//!
//! The daemon asks the scripts, and goes on after the step has ended; the step tells how the first
//! try went. Sent again, the same wish is answered with what is known by then.

use super::plugin::{Context, Ended};
use super::remote::RemoteError;
use crate::config;
use crate::events::deadline::Now;
use crate::events::inbox::Inbox;
use crate::events::rule::{self, Wish};
use crate::patience::Patience;
use crate::sys::{clock, host};
use std::path::Path;
use std::thread;
use std::time::Duration;
use stint_wire::json::{Node, Value};
use stint_wire::reply::Status;

/// The plugin's name.
pub const NAME: &str = "stint:event";

/// Between two looks for the verdict.
const LOOK: Duration = Duration::from_millis(200);

/// Two scripts of 30 s, and those of other events before them.
const FIRST_VERDICT: Duration = Duration::from_secs(300);

/// The code of a step whose scripts didn't agree: try again later (EX_TEMPFAIL of sysexits.h).
const NOT_YET: i32 = 75;

/// Runs the step that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let patience = context.patience(FIRST_VERDICT);
    let state = context.state.unwrap_or(Path::new(config::DEFAULT_STATE));
    match wish(inputs).and_then(|wish| tell(state, &wish, &patience)) {
        Ok(Some(wish)) => ended(&wish),
        Ok(None) => match patience.over() {
            Some(stop) => Ended::without(&RemoteError::Stopped(stop)),
            None => Ended::failed("no verdict"),
        },
        Err(reason) => Ended::failed(reason),
    }
}

/// The wish that the inputs make.
fn wish(inputs: &Node) -> Result<Wish, String> {
    let text = |name| match inputs.get_any_case(name).map(|node| &node.value) {
        Some(Value::String(text) | Value::Number(text)) => text.trim(),
        _ => "",
    };
    let event = text("event").to_ascii_lowercase().replace('_', "-");
    if !rule::is_event(&event) {
        return Err(format!("there is no event \"{event}\"; there are {}", rule::names()));
    }
    let limit = match text("deadlineSeconds") {
        "" => None,
        seconds => Some(seconds.parse().map_err(|_| {
            format!("deadlineSeconds must be a whole number of seconds, not {seconds}")
        })?),
    };
    let since_boot = clock::since_boot().as_millis() as u64;
    // The daemon adds the time of day, of which it knows more.
    let now = Now { boot: &host::boot_id(), since_boot, time: None };
    Ok(Wish {
        previous: text("previousState").to_owned(),
        generation: text("generation").to_owned(),
        ..Wish::new(&event, limit, &now)
    })
}

/// Tells the daemon and waits for its first verdict; `None` if the patience is over before.
fn tell(state: &Path, wish: &Wish, patience: &Patience) -> Result<Option<Wish>, String> {
    let inbox = Inbox::of(state);
    if !inbox.is_open() {
        return Err("the agent's daemon, which asks event scripts, hasn't been started".to_owned());
    }
    let id = Inbox::new_id().map_err(|error| error.to_string())?;
    inbox.hand_in(&id, wish).map_err(|error| error.to_string())?;
    while patience.over().is_none() {
        match inbox.collect(&id) {
            Ok(None) => thread::sleep(LOOK),
            Ok(told) => return Ok(told),
            Err(error) => {
                inbox.withdraw(&id);
                return Err(error.to_string());
            }
        }
    }
    inbox.withdraw(&id);
    Ok(None)
}

fn ended(wish: &Wish) -> Ended {
    let details = match wish.verdict.as_str() {
        "" => String::new(),
        verdict => format!("DETAILS:{verdict}\n"),
    };
    let (status, code, word) = match wish.acknowledged {
        true => (Status::Success, 0, "SUCCESS"),
        false => (Status::Failed, NOT_YET, "FAILED"),
    };
    let stderr = match (wish.acknowledged, wish.over) {
        (true, _) => "",
        (false, true) if wish.verdict.starts_with(rule::REPLACED) => "the scripts aren't asked",
        (false, true) => "the scripts didn't agree, and are asked no more",
        (false, false) => "the scripts don't agree yet; the agent goes on asking them",
    };
    let stdout = format!("STATUS:{word}\n{details}");
    Ended { status, code, stdout, stderr: stderr.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::plugin::Bench;
    use super::*;
    use stint_wire::json::parse;

    #[test]
    fn inputs_make_a_wish_and_what_is_wrong_is_named() {
        let read = |text: &str| wish(&parse(text).unwrap());
        let made = read(r#"{"event":"INSTANCE_HEALTHCHECK","generation":7,"previousState":"x"}"#);
        let made = made.unwrap();
        assert_eq!(made.event, "instance-healthcheck");
        assert_eq!((made.generation.as_str(), made.previous.as_str()), ("7", "x"));
        assert!(read("{}").unwrap_err().contains("no event \"\"; there are enter-"));
        let late = r#"{"event":"instance-healthcheck","deadlineSeconds":"soon"}"#;
        assert!(read(late).unwrap_err().contains("not soon"));
    }

    #[test]
    fn a_wish_ends_with_its_step() {
        let place = crate::testing::Folder::new();
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        let wish = wish(&parse(r#"{"event":"instance-healthcheck"}"#).unwrap()).unwrap();
        let patience = Patience::of_time(Duration::from_millis(1));
        assert_eq!(tell(place.path(), &wish, &patience), Ok(None));
        assert_eq!(inbox.wishes("").unwrap(), []);
    }

    #[test]
    fn without_a_daemon_the_step_says_who_is_missing() {
        let inputs = parse(r#"{"event":"instance-healthcheck"}"#).unwrap();
        let ended = Bench::new().with(|context| run(&inputs, context));
        assert!(ended.stderr.contains("daemon, which asks event scripts, hasn't been started"));
    }
}

//! The object `guardian`: the daemon's parent, and the board's watchdog.

use super::super::{ConfigError, Guardian};
use super::Reader;
use std::time::Duration;
use stint_wire::json::Node;

const KEYS: &[&str] = &["enabled", "deadlineSeconds", "watchdog", "watchdogSeconds"];

/// Below 3 s a busy device would be taken for a hung one; a device that hangs for an hour is of no
/// use to anybody.
const DEADLINE: std::ops::RangeInclusive<u64> = 3..=3600;

/// What drivers take differs; they answer with what they can.
const WATCHDOG: std::ops::RangeInclusive<u64> = 1..=3600;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Guardian) -> Result<(), ConfigError> {
    for (name, node) in reader.members("guardian", node, KEYS)? {
        read_one(reader, name, node, to)?;
    }
    Ok(())
}

/// Reads what can be read of it, and passes over the rest.
pub fn read_what_can_be(reader: &Reader<'_>, node: &Node, to: &mut Guardian) {
    for (name, node) in node.members() {
        let _ = read_one(reader, name, node, to);
    }
}

fn read_one(
    reader: &Reader<'_>,
    name: &str,
    node: &Node,
    to: &mut Guardian,
) -> Result<(), ConfigError> {
    let key = format!("guardian.{name}");
    let seconds = |range, wanted| reader.number(&key, node, range, wanted).map(Duration::from_secs);
    match name {
        "enabled" => {
            let enabled = node.as_bool();
            to.enabled = Some(enabled.ok_or_else(|| reader.bad(&key, node, "true or false"))?);
        }
        "deadlineSeconds" => {
            to.deadline = seconds(DEADLINE, "a whole number of seconds from 3 to 3600")?;
        }
        "watchdog" if node.as_bool() == Some(false) => to.watchdog = None,
        "watchdog" => {
            let wanted = "an absolute path, such as \"/dev/watchdog\", or false";
            let path = node.as_str().filter(|path| path.starts_with('/'));
            to.watchdog = Some(path.ok_or_else(|| reader.bad(&key, node, wanted))?.into());
        }
        "watchdogSeconds" => {
            to.watchdog_timeout = seconds(WATCHDOG, "a whole number of seconds from 1 to 3600")?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Guardian, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.guardian).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let read = parse(
            r#"{"guardian": {"enabled": false, "deadlineSeconds": 9, "watchdog": "/dev/w",
            "watchdogSeconds": 7}}"#,
        );
        let wanted = Guardian {
            enabled: Some(false),
            deadline: Duration::from_secs(9),
            watchdog: Some("/dev/w".into()),
            watchdog_timeout: Duration::from_secs(7),
        };
        assert_eq!(read.unwrap(), wanted);
        assert_eq!(parse(r#"{"guardian": {"watchdog": false}}"#).unwrap().watchdog, None);
        assert_eq!(parse(r#"{"guardian": {}}"#).unwrap(), Guardian::default());
    }

    #[test]
    fn an_error_names_the_key_and_what_it_must_be() {
        for (text, wanted) in [
            ("{\"guardian\":\n{\"on\": 1}}", "line 2: there is no key \"guardian.on\""),
            ("{\"guardian\": {\"enabled\": 1}}", "\"guardian.enabled\" must be true or false"),
            ("{\"guardian\": {\"deadlineSeconds\": 2}}", "of seconds from 3 to 3600"),
            ("{\"guardian\": {\"watchdog\": \"w\"}}", "must be an absolute path"),
            ("{\"guardian\": {\"watchdog\": true}}", "or false"),
            ("{\"guardian\": {\"watchdogSeconds\": 0}}", "of seconds from 1 to 3600"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

//! The object `update`: how the agent replaces itself.

use super::super::{ConfigError, Update, clean_base};
use super::Reader;
use stint_wire::bootagent::sign;
use stint_wire::json::Node;

const KEYS: &[&str] = &["keys", "source", "automatic", "days", "window", "deadlineMinutes"];

/// As people abbreviate them.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Less than a minute no server could keep; more than a day is no trial.
const MINUTES: std::ops::RangeInclusive<u64> = 1..=1440;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Update) -> Result<(), ConfigError> {
    for (name, node) in reader.members("update", node, KEYS)? {
        let key = format!("update.{name}");
        match name {
            "keys" => {
                let wanted = "a list of release keys, \"ed25519:\" and 44 characters of base64";
                let keys = node.elements().unwrap_or_default().iter();
                let keys: Option<Vec<[u8; 32]>> =
                    keys.map(|key| sign::parse_key(key.as_str()?)).collect();
                to.keys = keys
                    .filter(|keys| !keys.is_empty())
                    .ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "source" => {
                let wanted = "the URL of a manifest, such as \
                              \"https://releases.example/stint/manifest.json\"";
                let url = node.as_str().and_then(clean_base);
                to.source = Some(url.ok_or_else(|| reader.bad(&key, node, wanted))?);
            }
            "automatic" => {
                to.automatic =
                    node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"))?;
            }
            "days" => {
                let wanted = "a list of days, such as [\"sat\", \"sun\"]";
                to.days = days(node).ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "window" => {
                let wanted = "two times of day in UTC, such as \"02:00-04:00\"";
                let window = node.as_str().and_then(window);
                to.window = window.ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "deadlineMinutes" => {
                let wanted = "a whole number of minutes from 1 to 1440";
                to.deadline = reader.number(&key, node, MINUTES, wanted)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn days(node: &Node) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for day in node.elements().filter(|days| !days.is_empty())? {
        let at = DAYS.iter().position(|known| day.as_str() == Some(known))?;
        *days.get_mut(at)? = true;
    }
    Some(days)
}

fn window(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?))
}

fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':').filter(|_| text.len() == 5)?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Update, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.update).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let key = sign::key_text(&[9; 32]);
        let read = parse(&format!(
            r#"{{"update": {{"keys": ["{key}"], "source": "https://h/m.json", "automatic": true,
            "days": ["sun", "sat"], "window": "22:30-04:00", "deadlineMinutes": 3}}}}"#
        ));
        let wanted = Update {
            keys: vec![[9; 32]],
            source: Some("https://h/m.json".into()),
            automatic: true,
            every: 1,
            days: [true, false, false, false, false, false, true],
            window: (22 * 60 + 30, 4 * 60),
            deadline: 3,
        };
        assert_eq!(read.unwrap(), wanted);
        assert_eq!(parse("{\"update\": {}}").unwrap(), Update::default());
    }

    #[test]
    fn an_error_names_the_key_and_its_line() {
        for (text, wanted) in [
            ("{\"update\":\n{\"key\": 1}}", "line 2: there is no key \"update.key\""),
            ("{\"update\": {\"keys\": [\"x\"]}}", "\"update.keys\" must be a list"),
            ("{\"update\": {\"keys\": []}}", "\"update.keys\" must be a list"),
            ("{\"update\": {\"source\": \"h/m\"}}", "\"update.source\" must be the URL"),
            ("{\"update\": {\"automatic\": 1}}", "\"update.automatic\" must be true"),
            ("{\"update\": {\"days\": [\"monday\"]}}", "\"update.days\" must be a list"),
            ("{\"update\": {\"window\": \"2-4\"}}", "\"update.window\" must be two times"),
            ("{\"update\": {\"window\": \"24:00-01:00\"}}", "must be two times"),
            ("{\"update\": {\"deadlineMinutes\": 0}}", "must be a whole number of minutes"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

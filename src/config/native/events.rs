//! The object `events`: event scripts.

use super::super::ConfigError;
use super::Reader;
use crate::events::Settings;
use std::time::Duration;
use stint_wire::json::Node;

const KEYS: &[&str] = &["folders", "scriptSeconds", "retrySeconds"];

const SECONDS: std::ops::RangeInclusive<u64> = 1..=3600;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Settings) -> Result<(), ConfigError> {
    for (name, node) in reader.members("events", node, KEYS)? {
        let key = format!("events.{name}");
        let seconds = || {
            let wanted = "a whole number of seconds from 1 to 3600";
            reader.number(&key, node, SECONDS, wanted).map(Duration::from_secs)
        };
        match name {
            "folders" => to.folders = reader.paths(&key, node)?,
            "scriptSeconds" => to.limit = seconds()?,
            _ => to.retry = seconds()?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use stint_wire::json;

    #[test]
    fn folders_and_times_of_event_scripts_are_read() {
        let mut settings = Settings::default();
        let reader = Reader { path: Path::new("agent.json") };
        let text = r#"{"folders":["/x"],"scriptSeconds":5,"retrySeconds":1}"#;
        read(&reader, &json::parse(text).unwrap(), &mut settings).unwrap();
        assert_eq!(settings.folders, [PathBuf::from("/x")]);
        assert_eq!((settings.limit.as_secs(), settings.retry.as_secs()), (5, 1));
    }
}

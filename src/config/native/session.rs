//! The object `session`: shells, commands and ports for operators.

use super::super::{ConfigError, Session};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["enabled", "runAs", "limit", "transcriptKiB"];

/// Each takes a megabyte of memory.
const LIMIT: std::ops::RangeInclusive<u64> = 1..=64;

/// The largest is what a bucket and a small disk take.
const KIB: std::ops::RangeInclusive<u64> = 1..=65_536;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Session) -> Result<(), ConfigError> {
    for (name, node) in reader.members("session", node, KEYS)? {
        let key = format!("session.{name}");
        match name {
            "enabled" => {
                to.enabled =
                    node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"))?;
            }
            "runAs" => {
                to.run_as = Some(reader.text(&key, node, "a user of this device", is_user)?);
            }
            "limit" => {
                to.limit =
                    reader.number(&key, node, LIMIT, "a whole number from 1 to 64")? as usize;
            }
            _ => {
                let wanted = "a whole number of KiB from 1 to 65536";
                to.transcript = reader.number(&key, node, KIB, wanted)? * 1024;
            }
        }
    }
    Ok(())
}

fn is_user(name: &str) -> bool {
    !name.is_empty() && !name.contains([':', '/', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    #[test]
    fn sessions_are_few_and_as_the_agent_unless_told_otherwise() {
        let ask = |text: &str| {
            let mut session = Session::default();
            let reader = Reader { path: Path::new("agent.json") };
            read(&reader, &json::parse(text).unwrap(), &mut session)
                .map(|()| session)
                .map_err(|error| error.to_string())
        };
        let default = ask("{}").unwrap();
        assert_eq!((default.enabled, default.run_as, default.limit), (true, None, 4));
        let said = ask(r#"{"enabled":false,"runAs":"web","limit":2,"transcriptKiB":16}"#).unwrap();
        let wanted = Session {
            enabled: false,
            run_as: Some("web".to_owned()),
            limit: 2,
            transcript: 16_384,
        };
        assert_eq!(said, wanted);
        assert!(ask(r#"{"limit":0}"#).unwrap_err().contains("\"session.limit\" must be"));
        assert!(ask(r#"{"runAs":"a:b"}"#).unwrap_err().contains("\"session.runAs\" must be"));
    }
}

//! The object `identity`: who this node is to Systems Manager.

use super::super::{ConfigError, Identity};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["keyMaxAgeDays"];

/// Ten years are for ever; 0 switches it off, as in the original's file.
const DAYS: std::ops::RangeInclusive<u64> = 0..=3650;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Identity) -> Result<(), ConfigError> {
    for (name, node) in reader.members("identity", node, KEYS)? {
        let key = format!("identity.{name}");
        let days = reader.number(&key, node, DAYS, "a whole number of days from 0 to 3650")?;
        to.key_max_age_days = Some(days as u32).filter(|days| *days > 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Identity, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.identity).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let read = parse(r#"{"identity": {"keyMaxAgeDays": 30}}"#);
        assert_eq!(read.unwrap(), Identity { key_max_age_days: Some(30) });
        assert_eq!(parse(r#"{"identity": {"keyMaxAgeDays": 0}}"#).unwrap(), Identity::default());
    }

    #[test]
    fn an_error_names_the_key_and_its_line() {
        for (text, wanted) in [
            ("{\"identity\":\n{\"keyAge\": 1}}", "line 2: there is no key \"identity.keyAge\""),
            ("{\"identity\": {\"keyMaxAgeDays\": 3651}}", "\"identity.keyMaxAgeDays\" must be"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

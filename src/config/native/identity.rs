//! The object `identity`: who this node is to Systems Manager.

use super::super::{ConfigError, Identity, Source};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["keyMaxAgeDays", "sources", "metadataEndpoint"];

/// Ten years are for ever; 0 switches it off, as in the original's file.
const DAYS: std::ops::RangeInclusive<u64> = 0..=3650;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Identity) -> Result<(), ConfigError> {
    for (name, node) in reader.members("identity", node, KEYS)? {
        let key = format!("identity.{name}");
        match name {
            "sources" => {
                let wanted = "a list of \"OnPrem\" and \"EC2\", each once at most";
                to.sources = sources(node).ok_or_else(|| reader.bad(&key, node, wanted))?;
                continue;
            }
            "metadataEndpoint" => {
                to.metadata_endpoint = Some(reader.url(&key, node)?);
                continue;
            }
            _ => {}
        }
        let days = reader.number(&key, node, DAYS, "a whole number of days from 0 to 3650")?;
        to.key_max_age_days = Some(days as u32).filter(|days| *days > 0);
    }
    Ok(())
}

fn sources(node: &Node) -> Option<Vec<Source>> {
    let mut sources = Vec::new();
    for element in node.elements()? {
        let source = Source::parse(element.as_str()?)?;
        if sources.contains(&source) {
            return None;
        }
        sources.push(source);
    }
    Some(sources).filter(|sources| !sources.is_empty())
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
        let read = parse(
            r#"{"identity": {"keyMaxAgeDays": 30, "sources": ["EC2"],
            "metadataEndpoint": "http://127.0.0.1:1338/"}}"#,
        );
        let wanted = Identity {
            key_max_age_days: Some(30),
            sources: vec![Source::Ec2],
            metadata_endpoint: Some("http://127.0.0.1:1338".into()),
        };
        assert_eq!(read.unwrap(), wanted);
        assert_eq!(parse(r#"{"identity": {"keyMaxAgeDays": 0}}"#).unwrap(), Identity::default());
    }

    #[test]
    fn the_first_source_that_has_an_identity_counts() {
        let wants = |sources: &[Source], registered| {
            let identity = Identity { sources: sources.to_vec(), ..Identity::default() };
            identity.wants_instance(registered)
        };
        use Source::{Ec2, OnPrem};
        assert!(!wants(&[OnPrem, Ec2], true) && wants(&[OnPrem, Ec2], false));
        assert!(wants(&[Ec2, OnPrem], true) && wants(&[Ec2], true) && wants(&[Ec2], false));
        assert!(!wants(&[OnPrem], true) && !wants(&[OnPrem], false));
    }

    #[test]
    fn an_error_names_the_key_and_its_line() {
        for (text, wanted) in [
            ("{\"identity\":\n{\"keyAge\": 1}}", "line 2: there is no key \"identity.keyAge\""),
            ("{\"identity\": {\"sources\": [\"ECS\"]}}", "\"identity.sources\" must be a list of"),
            ("{\"identity\": {\"sources\": []}}", "\"identity.sources\" must be a list of"),
            ("{\"identity\": {\"keyMaxAgeDays\": 3651}}", "\"identity.keyMaxAgeDays\" must be"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

//! The object `ssm`: how the link to Systems Manager behaves.

use super::super::{Config, ConfigError};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["controlChannel"];

/// Reads the object.
pub fn read(reader: &Reader<'_>, node: &Node, config: &mut Config) -> Result<(), ConfigError> {
    for (name, node) in reader.members("ssm", node, KEYS)? {
        let key = format!("ssm.{name}");
        config.control_channel =
            node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<bool, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.control_channel).map_err(|error| error.to_string())
    }

    #[test]
    fn the_channel_is_used_unless_the_file_says_otherwise() {
        assert_eq!(parse("{}"), Ok(true));
        assert_eq!(parse(r#"{"ssm": {"controlChannel": false}}"#), Ok(false));
        let error = parse(r#"{"ssm": {"controlChannel": "no"}}"#).unwrap_err();
        assert!(error.contains("\"ssm.controlChannel\" must be true or false"), "{error}");
        assert!(parse(r#"{"ssm": {"channel": true}}"#).unwrap_err().contains("ssm.channel"));
    }
}

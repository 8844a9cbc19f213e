//! The object `bootagent`: servers of the BootAgent protocol.

use super::super::{BootAgent, ConfigError};
use super::Reader;
use stint_wire::bootagent::{STEPS, servers, sign};
use stint_wire::json::Node;

const KEYS: &[&str] = &["servers", "tls", "step", "serverKey", "acceptUnsignedJobs"];

/// Less than a minute is for trials: a fleet that reports every second wears itself out. What
/// servers push stays within the protocol's own range.
const STEP: std::ops::RangeInclusive<u64> = 1..=*STEPS.end();

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut BootAgent) -> Result<(), ConfigError> {
    let members = reader.members("bootagent", node, KEYS)?;
    // It says how the servers are meant, wherever it stands.
    let tls = members.iter().find(|(name, _)| *name == "tls");
    if let Some((_, node)) = tls {
        let wanted = "true or false";
        to.tls = node.as_bool().ok_or_else(|| reader.bad("bootagent.tls", node, wanted))?;
    }
    for (name, node) in members {
        let key = format!("bootagent.{name}");
        match name {
            "servers" => {
                let list = node.as_str().and_then(|list| servers::parse(list, to.tls).ok());
                let wanted =
                    "a list of servers, such as \"https://hub.example:7400,10.0.0.1:7400\"";
                to.servers = list
                    .filter(|list| !list.is_empty())
                    .ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "step" => {
                let wanted = "a whole number of seconds from 1 to 3600";
                to.step = reader.number(&key, node, STEP, wanted)?;
            }
            "serverKey" => {
                let wanted = "a public key, \"ed25519:\" and 44 characters of base64";
                let server_key = node.as_str().and_then(sign::parse_key);
                to.server_key = Some(server_key.ok_or_else(|| reader.bad(&key, node, wanted))?);
            }
            "acceptUnsignedJobs" => {
                to.accept_unsigned =
                    node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"))?;
            }
            _ => {}
        }
    }
    if to.accept_unsigned && to.server_key.is_some() {
        let wanted = "false where there is a serverKey, which says that the server signs";
        return Err(reader.bad("bootagent.acceptUnsignedJobs", node, wanted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<BootAgent, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.bootagent).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let key = sign::key_text(&[9; 32]);
        let read = parse(&format!(
            r#"{{"bootagent": {{"servers": "a:1,http://b", "tls": true, "step": 5,
            "serverKey": "{key}"}}}}"#
        ));
        let wanted = BootAgent {
            servers: vec!["https://a:1".into(), "http://b".into()],
            tls: true,
            step: 5,
            server_key: Some([9; 32]),
            accept_unsigned: false,
        };
        assert_eq!(read.unwrap(), wanted);
        let both =
            format!(r#"{{"bootagent": {{"serverKey": "{key}", "acceptUnsignedJobs": true}}}}"#);
        assert!(parse(&both).unwrap_err().contains("must be false where there is a serverKey"));
        assert!(parse(r#"{"bootagent": {"acceptUnsignedJobs": true}}"#).unwrap().accept_unsigned);
        assert_eq!(parse("{\"bootagent\": {}}").unwrap(), BootAgent::default());
    }

    #[test]
    fn an_error_names_the_key_and_its_line() {
        for (text, wanted) in [
            ("{\"bootagent\":\n{\"server\": 1}}", "line 2: there is no key \"bootagent.server\""),
            ("{\"bootagent\": {\"servers\": \"a b\"}}", "\"bootagent.servers\" must be a list"),
            ("{\"bootagent\": {\"servers\": \",\"}}", "\"bootagent.servers\" must be a list"),
            ("{\"bootagent\": {\"tls\": 1}}", "\"bootagent.tls\" must be true or false"),
            ("{\"bootagent\": {\"step\": 3601}}", "\"bootagent.step\" must be a whole number"),
            ("{\"bootagent\": {\"serverKey\": \"x\"}}", "\"bootagent.serverKey\" must be a public"),
            ("{\"bootagent\": {\"acceptUnsignedJobs\": 0}}", "must be true or false"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

//! The object `audit`: the audit log.

use super::super::{Audit, ConfigError};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["enabled", "maxKiB", "sendToHub"];

/// A log of 16 KiB holds some forty records.
const KIB: std::ops::RangeInclusive<u64> = 16..=65_536;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Audit) -> Result<(), ConfigError> {
    for (name, node) in reader.members("audit", node, KEYS)? {
        let key = format!("audit.{name}");
        let switch = || node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"));
        match name {
            "enabled" => to.enabled = switch()?,
            "sendToHub" => to.send = switch()?,
            _ => {
                let wanted = "a whole number of KiB from 16 to 65536";
                to.bytes = reader.number(&key, node, KIB, wanted)? * 1024;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    #[test]
    fn the_log_stays_on_the_device_unless_told_otherwise() {
        let ask = |text: &str| {
            let mut audit = Audit::default();
            let reader = Reader { path: Path::new("agent.json") };
            read(&reader, &json::parse(text).unwrap(), &mut audit)
                .map(|()| audit)
                .map_err(|error| error.to_string())
        };
        let default = ask("{}").unwrap();
        assert!(default.enabled && !default.send);
        let audit = ask(r#"{"enabled":true,"maxKiB":64,"sendToHub":true}"#).unwrap();
        assert_eq!((audit.send, audit.bytes), (true, 65_536));
        assert!(ask(r#"{"maxKiB":1}"#).unwrap_err().contains("\"audit.maxKiB\" must be"));
    }
}

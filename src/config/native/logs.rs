//! The object `logs`: where the log goes.

use super::super::{ConfigError, LogTo, Logs};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["to", "file", "maxKiB", "files", "socket"];

/// 4 KiB hold some forty lines.
const KIB: std::ops::RangeInclusive<u64> = 4..=65_536;

const FILES: std::ops::RangeInclusive<u64> = 1..=16;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Logs) -> Result<(), ConfigError> {
    for (name, node) in reader.members("logs", node, KEYS)? {
        let key = format!("logs.{name}");
        match name {
            "to" => {
                let wanted = "\"stderr\", \"syslog\" or \"file\"";
                let word = node.as_str().and_then(LogTo::parse);
                to.to = word.ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "file" => to.file = reader.path(&key, node)?,
            "socket" => to.socket = reader.path(&key, node)?,
            "maxKiB" => {
                let wanted = "a whole number of KiB from 4 to 65536";
                to.bytes = reader.number(&key, node, KIB, wanted)? * 1024;
            }
            _ => {
                let wanted = "a whole number from 1 to 16";
                to.files = reader.number(&key, node, FILES, wanted)?;
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
    fn a_log_goes_to_one_of_three_places_and_is_bounded() {
        let ask = |text: &str| {
            let mut logs = Logs::default();
            let reader = Reader { path: Path::new("agent.json") };
            read(&reader, &json::parse(text).unwrap(), &mut logs)
                .map(|()| logs)
                .map_err(|error| error.to_string())
        };
        let text = r#"{"to":"file","file":"/tmp/x","maxKiB":8,"files":3,"socket":"/run/log"}"#;
        let logs = ask(text).unwrap();
        assert_eq!((logs.to, logs.bytes, logs.files), (LogTo::File, 8192, 3));
        assert_eq!(
            (logs.file.as_path(), logs.socket.as_path()),
            (Path::new("/tmp/x"), Path::new("/run/log"))
        );
        assert_eq!(ask(r#"{"to":"syslog"}"#).unwrap().to, LogTo::Syslog);
        for (bad, wanted) in [
            (r#"{"to":"paper"}"#, "\"logs.to\" must be \"stderr\", \"syslog\" or \"file\""),
            (r#"{"file":"x"}"#, "\"logs.file\" must be an absolute path"),
            (r#"{"files":0}"#, "\"logs.files\" must be a whole number from 1 to 16"),
            (r#"{"maxKiB":1}"#, "\"logs.maxKiB\" must be a whole number of KiB"),
        ] {
            let error = ask(bad).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}

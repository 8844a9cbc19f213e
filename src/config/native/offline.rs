//! The object `offline`: documents from the local folder.

use super::super::{ConfigError, Offline};
use super::{FINISHED, FINISHED_KIB, Reader};
use stint_wire::json::Node;

const KEYS: &[&str] = &["enabled", "keepJobs", "keepKiB"];

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Offline) -> Result<(), ConfigError> {
    for (name, node) in reader.members("offline", node, KEYS)? {
        let key = format!("offline.{name}");
        match name {
            "enabled" => {
                let wanted = "true or false";
                to.enabled = node.as_bool().ok_or_else(|| reader.bad(&key, node, wanted))?;
            }
            "keepJobs" => {
                let wanted = "a whole number from 1 to 10000";
                to.keep.jobs = reader.number(&key, node, FINISHED, wanted)? as usize;
            }
            _ => {
                let wanted = "a whole number of KiB from 64 to 1048576";
                to.keep.bytes = reader.number(&key, node, FINISHED_KIB, wanted)? * 1024;
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
    fn the_local_folder_is_watched_unless_told_otherwise() {
        let ask = |text: &str| {
            let mut offline = Offline::default();
            let reader = Reader { path: Path::new("agent.json") };
            read(&reader, &json::parse(text).unwrap(), &mut offline)
                .map(|()| offline)
                .map_err(|error| error.to_string())
        };
        assert!(ask("{}").unwrap().enabled);
        let offline = ask(r#"{"enabled":false,"keepJobs":3,"keepKiB":64}"#).unwrap();
        assert_eq!((offline.enabled, offline.keep.jobs, offline.keep.bytes), (false, 3, 65_536));
        assert!(ask(r#"{"keepJobs":0}"#).unwrap_err().contains("\"offline.keepJobs\" must be"));
    }
}

//! The object `supervise`: how child agents are looked after.

use super::super::{ConfigError, Supervise};
use super::Reader;
use std::time::Duration;
use stint_wire::json::Node;

const KEYS: &[&str] = &[
    "profile",
    "checkSeconds",
    "cooldownSeconds",
    "windowSeconds",
    "retries",
    "cgroup",
    "logKiB",
    "maxPackageMiB",
    "allowFtp",
    "packagesDir",
];

/// A device that is up for longer than a day without a look at its children has none.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;

const RETRIES: std::ops::RangeInclusive<u64> = 0..=1000;

/// A log of one page is of no use, and one of 64 MiB is no log.
const LOG_KIB: std::ops::RangeInclusive<u64> = 4..=65_536;

const PACKAGE_MIB: std::ops::RangeInclusive<u64> = 1..=4096;

/// Longer ones make paths of control groups that kernels refuse.
const MAX_NAME: usize = 50;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Supervise) -> Result<(), ConfigError> {
    for (name, node) in reader.members("supervise", node, KEYS)? {
        let key = format!("supervise.{name}");
        let seconds = || {
            let wanted = "a whole number of seconds from 1 to 86400";
            reader.number(&key, node, SECONDS, wanted).map(Duration::from_secs)
        };
        match name {
            "profile" => {
                to.fast = match node.as_str() {
                    Some("bootagent") => false,
                    Some("fast") => true,
                    _ => return Err(reader.bad(&key, node, "\"bootagent\" or \"fast\"")),
                }
            }
            "checkSeconds" => to.check = seconds()?,
            "cooldownSeconds" => to.cooldown = seconds()?,
            "windowSeconds" => to.window = seconds()?,
            "retries" => {
                let wanted = "a whole number from 0 to 1000";
                to.retries = reader.number(&key, node, RETRIES, wanted)? as u32;
            }
            "cgroup" => {
                let wanted = "a name of letters, digits, - and _, 50 at most";
                to.cgroup = reader.text(&key, node, wanted, is_name)?;
            }
            "logKiB" => {
                let wanted = "a whole number of KiB from 4 to 65536";
                to.log_bytes = reader.number(&key, node, LOG_KIB, wanted)? * 1024;
            }
            "maxPackageMiB" => {
                let wanted = "a whole number of MiB from 1 to 4096";
                to.max_package = reader.number(&key, node, PACKAGE_MIB, wanted)? * 1024 * 1024;
            }
            "packagesDir" => to.sources.folder = Some(reader.path(&key, node)?),
            _ => {
                to.sources.ftp =
                    node.as_bool().ok_or_else(|| reader.bad(&key, node, "true or false"))?;
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Sources;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Supervise, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.supervise).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let read = parse(
            r#"{"supervise": {"profile": "fast", "checkSeconds": 1, "cooldownSeconds": 3,
            "windowSeconds": 15, "retries": 5, "cgroup": "devops", "logKiB": 16,
            "maxPackageMiB": 8, "allowFtp": true, "packagesDir": "/media"},
            "childrenDir": "/data/children.d", "allowPlainHttp": true, "caFile": "/ca.pem"}"#,
        );
        let wanted = Supervise {
            fast: true,
            check: Duration::from_secs(1),
            cooldown: Duration::from_secs(3),
            window: Duration::from_secs(15),
            retries: 5,
            cgroup: "devops".into(),
            log_bytes: 16_384,
            max_package: 8_388_608,
            sources: Sources {
                ftp: true,
                plain_http: true,
                ca_file: Some("/ca.pem".into()),
                folder: Some("/media".into()),
                #[cfg(feature = "ssm")]
                config: None,
            },
            definitions: "/data/children.d".into(),
        };
        assert_eq!(read.unwrap(), wanted);
        assert_eq!(parse("{\"supervise\": {}}").unwrap(), Supervise::default());
    }

    #[test]
    fn an_error_names_the_key_and_its_line() {
        for (text, wanted) in [
            ("{\"supervise\":\n{\"profil\": 1}}", "line 2: there is no key \"supervise.profil\""),
            ("{\"supervise\": {\"profile\": \"slow\"}}", "\"supervise.profile\" must be \"boot"),
            ("{\"supervise\": {\"checkSeconds\": 0}}", "\"supervise.checkSeconds\" must be a"),
            ("{\"supervise\": {\"cgroup\": \"a/b\"}}", "\"supervise.cgroup\" must be a name"),
            ("{\"supervise\": {\"allowFtp\": 1}}", "\"supervise.allowFtp\" must be true or"),
            ("{\"childrenDir\": \"x\"}", "\"childrenDir\" must be an absolute path"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

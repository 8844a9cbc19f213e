//! The agent's own spelling of its configuration. Strict: a mistyped key would otherwise be a
//! setting that silently has no effect on a device that nobody can reach.

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "bootagent")]
mod bootagent;
#[cfg(feature = "events")]
mod events;
#[cfg(feature = "guardian")]
mod guardian;
#[cfg(feature = "ssm")]
mod identity;
#[cfg(feature = "logs")]
mod logs;
#[cfg(feature = "ssm")]
mod network;
#[cfg(feature = "offline")]
mod offline;
#[cfg(feature = "ssm")]
mod proxy;
#[cfg(feature = "session")]
mod session;
#[cfg(feature = "ssm")]
mod ssm;
mod supervise;
#[cfg(feature = "update")]
mod update;

use super::{Config, ConfigError, Endpoints, clean_base, clean_url};
use crate::board::BAUDS;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::json::Node;

const KEYS: &[&str] = &[
    "region",
    "endpoint",
    "endpoints",
    "caFile",
    "s3CredentialsFile",
    "allowPlainHttp",
    "healthIntervalMinutes",
    "commandWorkers",
    "logLevel",
    #[cfg(feature = "logs")]
    "logs",
    "stateDir",
    "scriptsDir",
    "serialDevices",
    "serialBaud",
    "rebootCommand",
    "keepFinishedJobs",
    "keepFinishedKiB",
    "supervise",
    "childrenDir",
    #[cfg(feature = "guardian")]
    "guardian",
    #[cfg(feature = "ssm")]
    "proxy",
    #[cfg(feature = "ssm")]
    "network",
    #[cfg(feature = "bootagent")]
    "bootagent",
    #[cfg(feature = "ssm")]
    "identity",
    #[cfg(feature = "ssm")]
    "ssm",
    #[cfg(feature = "offline")]
    "offline",
    #[cfg(feature = "update")]
    "update",
    #[cfg(feature = "session")]
    "session",
    #[cfg(feature = "audit")]
    "audit",
    #[cfg(feature = "events")]
    "events",
];

const SERVICES: &[&str] = &["ssm", "ec2messages", "ssmmessages", "s3", "logs", "github"];

const URL: &str = "a URL of a scheme and a host, such as \"https://hub.example:7400\"";

const BASE: &str = "a URL without a query, such as \"https://api.github.com\"";

/// Above an hour a server couldn't tell a slow node from a dead one.
const HEALTH_MINUTES: std::ops::RangeInclusive<u64> = 1..=60;

/// More than this at a time no board of ours could run.
const WORKERS: std::ops::RangeInclusive<u64> = 1..=64;

/// A job that is forgotten and delivered again would be run again, so some must be remembered.
const FINISHED: std::ops::RangeInclusive<u64> = 1..=10_000;

/// 64 KiB hold the records of a dozen jobs on a file system with large blocks.
const FINISHED_KIB: std::ops::RangeInclusive<u64> = 64..=1_048_576;

/// Reads a configuration that has been parsed.
///
/// # Errors
/// The first key that isn't known or whose value isn't one it may have, with its line.
pub fn read(path: &Path, root: &Node) -> Result<Config, ConfigError> {
    let reader = Reader { path };
    let mut config = Config::default();
    for (key, node) in reader.members("", root, KEYS)? {
        match key {
            "region" => {
                config.region = Some(reader.text(key, node, "a region's name", is_region)?)
            }
            "endpoint" => match node.elements() {
                None => config.endpoints.all = Some(reader.url(key, node)?),
                Some(list) => {
                    let list = list.iter().map(|node| reader.url(key, node));
                    let mut list = list.collect::<Result<Vec<_>, _>>()?;
                    if list.is_empty() {
                        return Err(reader.bad(key, node, URL));
                    }
                    config.endpoints.all = Some(list.remove(0));
                    config.endpoints.more = list;
                }
            },
            "endpoints" => reader.endpoints(node, &mut config.endpoints)?,
            "caFile" => config.ca_file = Some(reader.path(key, node)?),
            "s3CredentialsFile" => config.s3_credentials_file = Some(reader.path(key, node)?),
            "allowPlainHttp" => {
                config.allow_plain_http =
                    node.as_bool().ok_or_else(|| reader.bad(key, node, "true or false"))?;
            }
            "healthIntervalMinutes" => {
                let wanted = "a whole number of minutes from 1 to 60";
                let minutes = reader.number(key, node, HEALTH_MINUTES, wanted)?;
                config.health_interval = Duration::from_secs(minutes * 60);
            }
            "commandWorkers" => {
                let wanted = "a whole number from 1 to 64";
                config.command_workers = reader.number(key, node, WORKERS, wanted)? as usize;
            }
            "logLevel" => {
                let level = node.as_str().and_then(|level| level.parse().ok());
                let wanted = "\"off\", \"error\", \"warn\", \"info\" or \"debug\"";
                config.log_level = level.ok_or_else(|| reader.bad(key, node, wanted))?;
            }
            #[cfg(feature = "logs")]
            "logs" => logs::read(&reader, node, &mut config.logs)?,
            "stateDir" => config.state_dir = reader.path(key, node)?,
            "scriptsDir" => config.scripts_dir = Some(reader.path(key, node)?),
            "serialDevices" => config.serial_devices = reader.paths(key, node)?,
            "serialBaud" => {
                let wanted = "9600, 19200, 38400, 57600, 115200, 230400 or 460800";
                let baud = node.as_u64().filter(|baud| BAUDS.contains(baud));
                config.serial_baud = baud.ok_or_else(|| reader.bad(key, node, wanted))? as u32;
            }
            "rebootCommand" => config.reboot_command = reader.words(key, node)?,
            "keepFinishedJobs" => {
                let wanted = "a whole number from 1 to 10000";
                config.retention.jobs = reader.number(key, node, FINISHED, wanted)? as usize;
            }
            "keepFinishedKiB" => {
                let wanted = "a whole number of KiB from 64 to 1048576";
                config.retention.bytes = reader.number(key, node, FINISHED_KIB, wanted)? * 1024;
            }
            "supervise" => supervise::read(&reader, node, &mut config.supervise)?,
            #[cfg(feature = "guardian")]
            "guardian" => guardian::read(&reader, node, &mut config.guardian)?,
            #[cfg(feature = "bootagent")]
            "bootagent" => bootagent::read(&reader, node, &mut config.bootagent)?,
            #[cfg(feature = "ssm")]
            "identity" => identity::read(&reader, node, &mut config.identity)?,
            #[cfg(feature = "ssm")]
            "ssm" => ssm::read(&reader, node, &mut config)?,
            #[cfg(feature = "events")]
            "events" => events::read(&reader, node, &mut config.events)?,
            #[cfg(feature = "session")]
            "session" => session::read(&reader, node, &mut config.session)?,
            #[cfg(feature = "audit")]
            "audit" => audit::read(&reader, node, &mut config.audit)?,
            #[cfg(feature = "offline")]
            "offline" => offline::read(&reader, node, &mut config.offline)?,
            #[cfg(feature = "update")]
            "update" => update::read(&reader, node, &mut config.update)?,
            #[cfg(feature = "ssm")]
            "network" => network::read(&reader, node, &mut config.network)?,
            #[cfg(feature = "ssm")]
            "proxy" => config.proxy = Some(proxy::read(&reader, node)?),
            "childrenDir" => config.supervise.definitions = reader.path(key, node)?,
            _ => {}
        }
    }
    let sources = &mut config.supervise.sources;
    (sources.plain_http, sources.ca_file) = (config.allow_plain_http, config.ca_file.clone());
    Ok(config)
}

/// Reads what [`super::essentials`] are there, and passes over the rest.
#[cfg(any(feature = "guardian", feature = "update"))]
pub fn read_essentials(root: &Node) -> Config {
    let reader = Reader { path: Path::new("") };
    let mut config = Config::default();
    if let Some(Ok(state)) = root.get("stateDir").map(|node| reader.path("stateDir", node)) {
        config.state_dir = state;
    }
    #[cfg(feature = "guardian")]
    if let Some(node) = root.get("guardian") {
        guardian::read_what_can_be(&reader, node, &mut config.guardian);
    }
    config
}

fn is_region(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=100).contains(&name.len()) && name.bytes().all(valid)
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    /// The members of an object, all of whose names are in `known`.
    fn members<'n>(
        &self,
        parent: &str,
        node: &'n Node,
        known: &'static [&'static str],
    ) -> Result<Vec<(&'n str, &'n Node)>, ConfigError> {
        if !matches!(node.value, stint_wire::json::Value::Object(_)) {
            let key = if parent.is_empty() { "the configuration" } else { parent };
            return Err(self.bad(key, node, "an object"));
        }
        let mut members = Vec::new();
        for (name, value) in node.members() {
            if !known.contains(&name.as_str()) {
                let key = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
                let path = self.path.to_owned();
                return Err(ConfigError::UnknownKey { path, line: value.line, key, known });
            }
            members.push((name.as_str(), value));
        }
        Ok(members)
    }

    fn bad(&self, key: &str, node: &Node, wanted: &'static str) -> ConfigError {
        let path = self.path.to_owned();
        ConfigError::BadValue { path, line: node.line, key: key.to_owned(), wanted }
    }

    fn text(
        &self,
        key: &str,
        node: &Node,
        wanted: &'static str,
        valid: fn(&str) -> bool,
    ) -> Result<String, ConfigError> {
        match node.as_str() {
            Some(text) if valid(text) => Ok(text.to_owned()),
            _ => Err(self.bad(key, node, wanted)),
        }
    }

    fn url(&self, key: &str, node: &Node) -> Result<String, ConfigError> {
        node.as_str().and_then(clean_url).ok_or_else(|| self.bad(key, node, URL))
    }

    fn path(&self, key: &str, node: &Node) -> Result<PathBuf, ConfigError> {
        self.text(key, node, "an absolute path", |text| text.starts_with('/')).map(PathBuf::from)
    }

    fn paths(&self, key: &str, node: &Node) -> Result<Vec<PathBuf>, ConfigError> {
        let wanted = "a list of absolute paths";
        let elements = node.elements().ok_or_else(|| self.bad(key, node, wanted))?;
        elements.iter().map(|element| self.path(key, element)).collect()
    }

    fn words(&self, key: &str, node: &Node) -> Result<Vec<String>, ConfigError> {
        let wanted = "a list of words, such as [\"reboot\"]";
        let elements = node.elements().filter(|elements| !elements.is_empty());
        let elements = elements.ok_or_else(|| self.bad(key, node, wanted))?;
        let word = |node| self.text(key, node, wanted, |text| !text.is_empty());
        elements.iter().map(word).collect()
    }

    fn number(
        &self,
        key: &str,
        node: &Node,
        range: std::ops::RangeInclusive<u64>,
        wanted: &'static str,
    ) -> Result<u64, ConfigError> {
        node.as_u64().filter(|n| range.contains(n)).ok_or_else(|| self.bad(key, node, wanted))
    }

    fn endpoints(&self, node: &Node, endpoints: &mut Endpoints) -> Result<(), ConfigError> {
        for (service, node) in self.members("endpoints", node, SERVICES)? {
            let key = format!("endpoints.{service}");
            if service == "github" {
                let base = node.as_str().and_then(clean_base);
                endpoints.github = Some(base.ok_or_else(|| self.bad(&key, node, BASE))?);
                continue;
            }
            let url = Some(self.url(&key, node)?);
            match service {
                "ssm" => endpoints.ssm = url,
                "ec2messages" => endpoints.ec2messages = url,
                "ssmmessages" => endpoints.ssmmessages = url,
                "s3" => endpoints.s3 = url,
                _ => endpoints.logs = url,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Supervise;
    use crate::remote::Sources;
    use crate::spool::Retention;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Config, String> {
        let root = json::parse(text).map_err(|e| e.to_string())?;
        read(Path::new("agent.json"), &root).map_err(|e| e.to_string())
    }

    #[test]
    fn every_key_has_its_effect() {
        let config = parse(
            r#"{"region": "eu-west-1", "endpoint": "https://hub:7400/", "endpoints": {"ssm": "http://a",
            "ec2messages": "http://b", "ssmmessages": "http://c", "s3": "http://d:9000",
            "logs": "http://e",
            "github": "https://git.example/api/v3/"}, "caFile": "/ca.pem",
            "s3CredentialsFile": "/etc/stint/s3",
            "allowPlainHttp": true, "healthIntervalMinutes": 2, "commandWorkers": 1,
            "logLevel": "warn", "stateDir": "/data/stint", "scriptsDir": "/run/s",
            "serialDevices": ["/dev/ttyS0"], "serialBaud": 57600, "rebootCommand": ["reboot", "-f"],
            "keepFinishedJobs": 10, "keepFinishedKiB": 64}"#,
        )
        .unwrap();
        let expected = Config {
            region: Some("eu-west-1".into()),
            endpoints: Endpoints {
                all: Some("https://hub:7400".into()),
                more: Vec::new(),
                ssm: Some("http://a".into()),
                ec2messages: Some("http://b".into()),
                ssmmessages: Some("http://c".into()),
                s3: Some("http://d:9000".into()),
                logs: Some("http://e".into()),
                github: Some("https://git.example/api/v3".into()),
            },
            ca_file: Some("/ca.pem".into()),
            s3_credentials_file: Some("/etc/stint/s3".into()),
            allow_plain_http: true,
            health_interval: Duration::from_secs(120),
            command_workers: 1,
            log_level: log::LevelFilter::Warn,
            #[cfg(feature = "logs")]
            logs: crate::config::Logs::default(),
            state_dir: "/data/stint".into(),
            scripts_dir: Some("/run/s".into()),
            serial_devices: vec!["/dev/ttyS0".into()],
            serial_baud: 57_600,
            reboot_command: vec!["reboot".into(), "-f".into()],
            retention: Retention { jobs: 10, bytes: 65_536 },
            // The rest has tests of its own.
            #[cfg(feature = "ssm")]
            proxy: None,
            #[cfg(feature = "ssm")]
            network: crate::config::Network::default(),
            supervise: Supervise {
                sources: Sources {
                    plain_http: true,
                    ca_file: Some("/ca.pem".into()),
                    ..Sources::default()
                },
                ..Supervise::default()
            },
            #[cfg(feature = "guardian")]
            guardian: crate::config::Guardian::default(),
            #[cfg(feature = "bootagent")]
            bootagent: crate::config::BootAgent::default(),
            #[cfg(feature = "ssm")]
            identity: crate::config::Identity::default(),
            #[cfg(feature = "ssm")]
            control_channel: true,
            #[cfg(feature = "events")]
            events: crate::events::Settings::default(),
            #[cfg(feature = "session")]
            session: crate::config::Session::default(),
            #[cfg(feature = "audit")]
            audit: crate::config::Audit::default(),
            #[cfg(feature = "offline")]
            offline: crate::config::Offline::default(),
            #[cfg(feature = "update")]
            update: crate::config::Update::default(),
        };
        assert_eq!(config, expected);
        assert_eq!(parse("{}").unwrap(), Config::default());
    }

    #[cfg(feature = "guardian")]
    #[test]
    fn of_a_newer_versions_file_the_essentials_are_read() {
        let text = r#"{"sessions": true, "stateDir": "/data/stint", "logLevel": "loudest",
            "guardian": {"mode": "new", "watchdog": 7, "enabled": true, "deadlineSeconds": 9}}"#;
        assert!(parse(text).is_err());
        let read = read_essentials(&json::parse(text).unwrap());
        assert_eq!(read.state_dir, Path::new("/data/stint"));
        let wanted = crate::config::Guardian {
            enabled: Some(true),
            deadline: Duration::from_secs(9),
            ..crate::config::Guardian::default()
        };
        assert_eq!(read.guardian, wanted);
        for nothing in ["[]", "{\"stateDir\": 1, \"guardian\": []}"] {
            assert_eq!(read_essentials(&json::parse(nothing).unwrap()), Config::default());
        }
    }

    #[test]
    fn an_error_names_the_key_the_line_and_the_remedy() {
        for (text, wanted) in [
            (
                "{\n\"regoin\": \"x\"}",
                "agent.json line 2: there is no key \"regoin\"; the keys here are region,",
            ),
            (
                "{\"endpoints\":\n{\n\"kms\": \"http://x\"}}",
                "agent.json line 3: there is no key \"endpoints.kms\"",
            ),
            ("{\n\n\"region\": \"a b\"}", "agent.json line 3: \"region\" must be a region's name"),
            ("{\"endpoint\": []}", "\"endpoint\" must be a URL of a scheme"),
            ("{\"endpoint\": [\"https://hub\", 1]}", "\"endpoint\" must be a URL of a scheme"),
            ("{\"endpoint\": \"hub:7400\"}", "\"endpoint\" must be a URL of a scheme"),
            ("{\"endpoint\": \"http://hub/path\"}", "\"endpoint\" must be a URL of a scheme"),
            ("{\"healthIntervalMinutes\": 0}", "must be a whole number of minutes from 1 to 60"),
            ("{\"commandWorkers\": 1.5}", "must be a whole number from 1 to 64"),
            ("{\"allowPlainHttp\": \"yes\"}", "must be true or false"),
            ("{\"caFile\": \"ca.pem\"}", "\"caFile\" must be an absolute path"),
            ("{\"logLevel\": \"loud\"}", "\"logLevel\" must be \"off\""),
            ("{\"serialDevices\": \"/dev/x\"}", "must be a list of absolute paths"),
            ("{\"serialBaud\": 57601}", "must be 9600, 19200,"),
            ("{\"rebootCommand\": []}", "\"rebootCommand\" must be a list of words"),
            ("{\"keepFinishedJobs\": 0}", "must be a whole number from 1 to 10000"),
            ("{\"keepFinishedKiB\": 1}", "must be a whole number of KiB from 64"),
            ("[]", "\"the configuration\" must be an object"),
            (
                "{\"endpoints\": {\"github\": \"api.github.com\"}}",
                "\"endpoints.github\" must be a URL without a query",
            ),
            ("{\"endpoints\": 1}", "\"endpoints\" must be an object"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

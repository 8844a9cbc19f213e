//! What a child agent is: a definition file, which the operator or a package puts there.
//!
//! Strict: a mistyped member would be a setting that silently has no effect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use stint_wire::bootagent::{Limits, is_child_name};
use stint_wire::json::{self, Node, Value};

/// A larger file is no definition, bytes.
pub const MAX_FILE: u64 = 16 * 1024;

/// Nobody waits longer than a day for a child.
const SECONDS: std::ops::RangeInclusive<u64> = 0..=86_400;

const KEYS: &[&str] = &[
    "name",
    "version",
    "exec",
    "args",
    "type",
    "pidfile",
    "user",
    "group",
    "envs",
    "limits",
    "cgroup",
    "single",
    "order",
    "startsecs",
    "autostart",
    "stopsecs",
    "stopit",
    "stopasgroup",
    "stopsignal",
    "restartsecs",
    "retries",
    "exitcodes",
    "autorestart",
    "check",
    "heartbeat",
    "checkall",
    "checks",
    "checksecs",
];

/// The signals that may ask a child to stop.
const SIGNALS: [(&str, i32); 7] = [
    ("TERM", libc::SIGTERM),
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
];

/// A child as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// As it was written, for whoever has to write it again.
    pub text: String,
    /// Unique on the device.
    pub name: String,
    /// Empty if nobody says.
    pub version: String,
    /// The program. One that isn't absolute is below the folder of the installed package.
    pub exec: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// It puts itself into the background: its first process ends when it is ready.
    pub daemon: bool,
    /// Where one that does so writes its process id.
    pub pidfile: Option<PathBuf>,
    /// By name or number; the agent's own if there is none.
    pub user: Option<String>,
    /// The same; the user's if there is none.
    pub group: Option<String>,
    /// Its environment besides the usual.
    pub envs: Vec<(String, String)>,
    /// Over all its processes.
    pub limits: Limits,
    /// Lower ones start first and stop last.
    pub order: u64,
    /// How long one that puts itself into the background may take.
    pub start_time: Duration,
    /// Started when it is first seen.
    pub autostart: bool,
    /// From the request to stop until it is killed.
    pub stop_time: Duration,
    /// Stopped when the agent is stopped.
    pub stop_with_agent: bool,
    /// The request to stop goes to its whole process group.
    pub stop_as_group: bool,
    /// The request to stop.
    pub stop_signal: i32,
    /// Its own pause after an abnormal end.
    pub cooldown: Option<Duration>,
    /// Its own number of abnormal ends in a row.
    pub retries: Option<u32>,
    /// Exit codes of a good end.
    pub exit_codes: Vec<i32>,
    /// After which ends it is started again.
    pub restart: Restart,
    /// How to ask it whether it is well.
    pub check: Option<Check>,
    /// How often it says so by itself.
    pub heartbeat: Option<Probe>,
    /// With both, both must be good; else one is enough.
    pub check_all: bool,
    /// It is killed after so many bad checks in a row.
    pub checks: u32,
    /// Between a bad check and the next.
    pub recheck: Duration,
}

/// After which ends a child is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After every end.
    Always,
    /// After none.
    Never,
    /// After an abnormal one.
    Unexpected,
}

/// How often a child shows that it is well, and by which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Between two.
    pub interval: Duration,
    /// Must be in what it says; empty fits everything.
    pub wanted: String,
    /// It is a pattern. Only where the document engine has brought patterns along.
    pub is_pattern: bool,
}

/// A request to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its Unix socket.
    pub path: PathBuf,
    /// How often, and what a good answer contains.
    pub probe: Probe,
}

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError {
    /// Counted from 1.
    pub line: u32,
    /// The sentence.
    pub what: String,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for DefinitionError {}

type Read<T> = Result<T, DefinitionError>;

impl Definition {
    /// Reads the text of a definition.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Read<Definition> {
        let root = json::parse(text)
            .map_err(|error| DefinitionError { line: error.line, what: error.what.to_owned() })?;
        let read = Definition::read(&root)?;
        Ok(Definition { text: text.to_owned(), ..read })
    }

    /// Reads a definition that is part of something else.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(root: &Node) -> Read<Definition> {
        let mut it = Definition::plain();
        for (key, node) in members("", root, KEYS)? {
            it.set(key, node)?;
        }
        let missing = |key| {
            let what = format!("\"{key}\" is missing");
            Err(DefinitionError { line: root.line, what })
        };
        match () {
            () if it.name.is_empty() => missing("name"),
            () if it.exec.as_os_str().is_empty() => missing("exec"),
            () => Ok(it),
        }
    }

    /// One that says nothing.
    fn plain() -> Definition {
        Definition {
            text: String::new(),
            name: String::new(),
            version: String::new(),
            exec: PathBuf::new(),
            args: Vec::new(),
            daemon: false,
            pidfile: None,
            user: None,
            group: None,
            envs: Vec::new(),
            limits: Limits::default(),
            order: 50,
            start_time: Duration::from_secs(60),
            autostart: false,
            stop_time: Duration::from_secs(60),
            stop_with_agent: false,
            stop_as_group: true,
            stop_signal: libc::SIGTERM,
            cooldown: None,
            retries: None,
            exit_codes: vec![0],
            restart: Restart::Unexpected,
            check: None,
            heartbeat: None,
            check_all: true,
            checks: 3,
            recheck: Duration::from_secs(20),
        }
    }

    fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        let text = || string(key, node);
        match key {
            "name" => {
                let wanted = "letters, digits, - and _, 50 at most";
                self.name = text()
                    .ok()
                    .filter(|name| is_child_name(name))
                    .ok_or_else(|| bad(key, node, wanted))?;
            }
            "version" => self.version = text()?,
            "exec" => self.exec = text()?.into(),
            "args" => self.args = strings(key, node)?,
            "type" => {
                self.daemon = match node.as_str() {
                    Some("simple") => false,
                    Some("daemon" | "fork") => true,
                    _ => return Err(bad(key, node, "\"simple\" or \"daemon\"")),
                }
            }
            "pidfile" => self.pidfile = Some(path(key, node)?),
            "user" => self.user = Some(text()?),
            "group" => self.group = Some(text()?),
            "envs" => self.envs = envs(key, node)?,
            // The page's later generations name what is polled and what the kernel keeps apart;
            // here the kernel keeps what it can.
            "limits" | "cgroup" => {
                let read = Limits::read(node).map_err(|error| {
                    let what = format!("\"{key}.{}\" must be {}", error.member, error.expected);
                    DefinitionError { line: error.line, what }
                })?;
                let limits = &mut self.limits;
                limits.cpu = read.cpu.or(limits.cpu);
                limits.memory = read.memory.or(limits.memory);
                limits.cpu_weight = read.cpu_weight.or(limits.cpu_weight);
                limits.processes = read.processes.or(limits.processes);
            }
            "single" => {
                let wanted = "true: there is one process tree of each child";
                truth(key, node)?.then_some(()).ok_or_else(|| bad(key, node, wanted))?;
            }
            "order" => self.order = number(key, node, 0..=1000, "a whole number from 0 to 1000")?,
            "startsecs" => self.start_time = seconds(key, node)?,
            "autostart" => self.autostart = truth(key, node)?,
            "stopsecs" => self.stop_time = seconds(key, node)?,
            "stopit" => self.stop_with_agent = truth(key, node)?,
            "stopasgroup" => self.stop_as_group = truth(key, node)?,
            "stopsignal" => {
                let name = text()?;
                let name = name.strip_prefix("SIG").unwrap_or(&name);
                let found = SIGNALS.iter().find(|(known, _)| *known == name);
                let wanted = "SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1 or SIGUSR2";
                self.stop_signal = found.ok_or_else(|| bad(key, node, wanted))?.1;
            }
            "restartsecs" => self.cooldown = Some(seconds(key, node)?),
            "retries" => {
                let retries = number(key, node, 0..=1000, "a whole number from 0 to 1000")?;
                self.retries = Some(retries as u32);
            }
            "exitcodes" => {
                let codes = text()?;
                let codes: Result<Vec<i32>, _> =
                    codes.split(',').map(|code| code.trim().parse()).collect();
                self.exit_codes = codes.map_err(|_| bad(key, node, "numbers, such as \"0,9\""))?;
            }
            "autorestart" => {
                self.restart = match node.as_str() {
                    Some("yes") => Restart::Always,
                    Some("no") => Restart::Never,
                    Some("unexpect" | "unexpected") => Restart::Unexpected,
                    _ => return Err(bad(key, node, "\"yes\", \"no\" or \"unexpect\"")),
                }
            }
            "check" => self.check = Some(check(node)?),
            "heartbeat" => self.heartbeat = Some(probe(key, node, &["interval", "match"])?),
            "checkall" => self.check_all = truth(key, node)?,
            "checks" => {
                let wanted = "a whole number from 1 to 1000";
                self.checks = number(key, node, 1..=1000, wanted)? as u32;
            }
            _ => self.recheck = seconds(key, node)?.max(Duration::from_secs(1)),
        }
        Ok(())
    }
}

/// The members of an object, all of whose names are in `known`.
fn members<'n>(parent: &str, node: &'n Node, known: &[&str]) -> Read<Vec<(&'n str, &'n Node)>> {
    if !matches!(node.value, Value::Object(_)) {
        let key = if parent.is_empty() { "the definition" } else { parent };
        return Err(bad(key, node, "an object"));
    }
    let mut found = Vec::new();
    for (name, value) in node.members() {
        if !known.contains(&name.as_str()) {
            let dot = if parent.is_empty() { "" } else { "." };
            let what = format!(
                "there is no member \"{parent}{dot}{name}\"; the members here are {}",
                known.join(", ")
            );
            return Err(DefinitionError { line: value.line, what });
        }
        found.push((name.as_str(), value));
    }
    Ok(found)
}

fn bad(key: &str, node: &Node, wanted: &str) -> DefinitionError {
    DefinitionError { line: node.line, what: format!("\"{key}\" must be {wanted}") }
}

fn string(key: &str, node: &Node) -> Read<String> {
    let text = node.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| bad(key, node, "a text that isn't empty"))
}

fn strings(key: &str, node: &Node) -> Read<Vec<String>> {
    let wanted = "a list of texts, such as [\"-f\"]";
    let valid = |node: &Node| node.as_str().filter(|text| !text.contains('\0')).map(str::to_owned);
    let texts = node.elements().and_then(|elements| elements.iter().map(valid).collect());
    texts.ok_or_else(|| bad(key, node, wanted))
}

fn path(key: &str, node: &Node) -> Read<PathBuf> {
    let path = node.as_str().filter(|path| path.starts_with('/') && !path.contains('\0'));
    path.map(PathBuf::from).ok_or_else(|| bad(key, node, "an absolute path"))
}

fn truth(key: &str, node: &Node) -> Read<bool> {
    node.as_bool().ok_or_else(|| bad(key, node, "true or false"))
}

fn number(key: &str, node: &Node, range: std::ops::RangeInclusive<u64>, wanted: &str) -> Read<u64> {
    node.as_u64().filter(|number| range.contains(number)).ok_or_else(|| bad(key, node, wanted))
}

fn seconds(key: &str, node: &Node) -> Read<Duration> {
    let wanted = "a whole number of seconds up to 86400";
    number(key, node, SECONDS, wanted).map(Duration::from_secs)
}

fn envs(key: &str, node: &Node) -> Read<Vec<(String, String)>> {
    let wanted = "an object of texts, such as {\"PATH\": \"/usr/bin\"}";
    let valid = |(name, value): &(String, Node)| {
        let good_name = !name.is_empty() && !name.contains(['=', '\0']);
        let value = value.as_str().filter(|value| good_name && !value.contains('\0'))?;
        Some((name.clone(), value.to_owned()))
    };
    let envs = node.members().iter().map(valid).collect::<Option<_>>();
    envs.filter(|_| matches!(node.value, Value::Object(_))).ok_or_else(|| bad(key, node, wanted))
}

/// What `match` may be.
#[cfg(feature = "documents")]
const MATCH: &str = "\"string:\" and what the answer contains, or \"regex:\" and a pattern";

#[cfg(not(feature = "documents"))]
const MATCH: &str =
    "\"string:\" and what the answer contains; a build without documents has no patterns";

#[cfg(feature = "documents")]
fn is_pattern(text: &str) -> bool {
    regex_lite::Regex::new(text).is_ok()
}

/// Patterns would cost a small build 60 kB.
#[cfg(not(feature = "documents"))]
fn is_pattern(_text: &str) -> bool {
    false
}

fn check(node: &Node) -> Read<Check> {
    let probe = probe("check", node, &["interval", "path", "match"])?;
    match node.get("path") {
        Some(at) => Ok(Check { path: path("check.path", at)?, probe }),
        None => Err(bad("check.path", node, "the path of a Unix socket")),
    }
}

fn probe(parent: &str, node: &Node, known: &[&str]) -> Read<Probe> {
    let mut probe =
        Probe { interval: Duration::from_secs(60), wanted: String::new(), is_pattern: false };
    for (name, node) in members(parent, node, known)? {
        let key = format!("{parent}.{name}");
        match name {
            "interval" => {
                let wanted = "a whole number of seconds from 1 to 86400";
                probe.interval = Duration::from_secs(number(&key, node, 1..=86_400, wanted)?);
            }
            "match" => {
                let text = node.as_str().unwrap_or_default();
                (probe.wanted, probe.is_pattern) = match text.split_once(':') {
                    Some(("string", text)) => (text.to_owned(), false),
                    Some(("regex", pattern)) if is_pattern(pattern) => (pattern.to_owned(), true),
                    _ => return Err(bad(&key, node, MATCH)),
                };
            }
            _ => {}
        }
    }
    Ok(probe)
}

#[cfg(test)]
mod tests;

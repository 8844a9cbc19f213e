//! `stint diagnose`: whether this device has what the agent needs, check by check, each with what
//! was seen and what to do about it.
//!
//! Never here: a change to anything. A broken configuration is a result, and the other checks go
//! by the defaults.

mod local;
mod network;

use super::{Diagnose, Exit, print};
use crate::config::{self, Config, DEFAULT_PATH};
use crate::identity::{self, RegistrationError};
use crate::uplink;
use crate::uplink::ssm::{SetupError, Ssm};
use std::path::Path;
use stint_wire::json::{self, ObjectWriter};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Pass,
    /// It works, and may not for long, or not as well as it could.
    Warn,
    /// It doesn't work.
    Fail,
    /// There was nothing to check.
    Skip,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Pass => "pass",
            Mark::Warn => "warn",
            Mark::Fail => "fail",
            Mark::Skip => "skip",
        }
    }
}

/// What a check has found.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What was looked at, where one name stands for several things: a URL.
    pub target: Option<String>,
    /// How it went.
    pub mark: Mark,
    /// What was seen.
    pub evidence: String,
    /// What to do; empty if nothing.
    pub remedy: &'static str,
}

impl Check {
    fn new(name: &'static str, mark: Mark, evidence: String, remedy: &'static str) -> Check {
        Check { name, target: None, mark, evidence, remedy }
    }

    fn pass(name: &'static str, evidence: String) -> Check {
        Check::new(name, Mark::Pass, evidence, "")
    }

    fn skip(name: &'static str, evidence: &str) -> Check {
        Check::new(name, Mark::Skip, evidence.to_owned(), "")
    }

    fn of(self, target: &str) -> Check {
        Check { target: Some(target.to_owned()), ..self }
    }

    fn json(&self) -> String {
        let target = self.target.as_deref().map_or_else(|| "null".to_owned(), json::quote);
        ObjectWriter::new()
            .string("check", self.name)
            .raw("target", &target)
            .string("result", self.mark.word())
            .string("evidence", &self.evidence)
            .string("remedy", self.remedy)
            .finish()
    }

    fn text(&self) -> String {
        let target =
            self.target.as_deref().map_or_else(String::new, |target| format!("{target}: "));
        let (word, name, evidence) = (self.mark.word(), self.name, &self.evidence);
        let remedy = match self.remedy {
            "" => String::new(),
            remedy => format!("\n      {:<13}do: {remedy}", ""),
        };
        format!("{word}  {name:<13}{target}{evidence}{remedy}")
    }
}

/// Who this device is to Systems Manager, and its way there, if it has one.
fn node(config: &Config, state: &Path, checks: &mut Vec<Check>) -> Option<Ssm> {
    let mut add = |check| checks.push(check);
    let found = identity::registration(state);
    let name = "registration";
    if let Some(instance) = super::run::instance(config, found.is_ok()) {
        let uplink = Ssm::of_instance(config, state, instance);
        add(match &uplink {
            Ok(uplink) => {
                Check::pass(name, format!("{} of EC2, which needs none", uplink.node_id()))
            }
            Err(error) => {
                let remedy = "is the instance's metadata service on, and the configuration right?";
                Check::new(name, Mark::Fail, error.to_string(), remedy)
            }
        });
        return uplink.ok();
    }
    let registration = match found {
        Ok(registration) => registration,
        Err(error) => {
            let (mark, remedy) = match error {
                RegistrationError::Missing(_) => (
                    Mark::Warn,
                    "run `stint register`, unless this device has a BootAgent server alone",
                ),
                _ => (Mark::Fail, "register anew: `stint register -y`"),
            };
            add(Check::new(name, mark, error.to_string(), remedy));
            return None;
        }
    };
    let (id, region) = (&registration.instance_id, &registration.region);
    add(Check::pass(name, format!("{id} in {region}")));
    let error = match Ssm::new(config, state, registration) {
        Ok(uplink) => return Some(uplink),
        Err(error) => error,
    };
    let (name, remedy) = match error {
        SetupError::Ca(_) => ("tls", "put the server's certificate authority there, as PEM"),
        SetupError::Url(_) => {
            ("endpoint", "name another URL, or allow this one in the configuration")
        }
    };
    add(Check::new(name, Mark::Fail, error.to_string(), remedy));
    None
}

/// Makes all checks and prints them; a failure if one of them is.
pub fn run(wish: &Diagnose) -> Exit {
    let mut checks = Vec::new();
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => {
            let path = loaded.path.as_deref().map(|path| path.display().to_string());
            let path = path.unwrap_or_else(|| format!("no {DEFAULT_PATH}; the defaults hold"));
            checks.push(Check::pass("config", path));
            loaded.config
        }
        Err(error) => {
            let remedy = "mend the file; the agent doesn't start with it";
            checks.push(Check::new("config", Mark::Fail, error.to_string(), remedy));
            Config::default()
        }
    };
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    checks.push(local::version());
    checks.extend(local::checks(&config, &state));
    // As every other command, but for the budget, which would be written down.
    if let Err(error) = uplink::find_way(&config, &state, false) {
        let remedy = "mend it; no request goes anywhere with it";
        checks.push(Check::new("proxy", Mark::Fail, error, remedy));
    }
    let uplink = node(&config, &state, &mut checks);
    checks.extend(network::checks(&config, &state, uplink.as_ref()));
    let failed = checks.iter().any(|check| check.mark == Mark::Fail);
    if wish.json {
        let all: Vec<String> = checks.iter().map(Check::json).collect();
        let (ok, all) = ((!failed).to_string(), format!("[{}]", all.join(",")));
        print(&ObjectWriter::new().raw("ok", &ok).raw("checks", &all).finish());
    } else {
        checks.iter().for_each(|check| print(&check.text()));
    }
    if failed { Exit::Failure } else { Exit::Success }
}

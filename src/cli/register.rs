//! `stint register`.

use super::{print, provision};
use crate::agent::status;
use crate::audit;
use crate::config::{self, Config, Endpoints};
use crate::identity::hardware::Hardware;
use crate::identity::{Registration, RegistrationError, UNDATED};
use crate::uplink::clock;
use crate::uplink::endpoint::{self, Service};
use crate::uplink::http::Http;
use crate::uplink::ssm::register::{Activation, register};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use stint_wire::keys::KeyType;

/// The shortest activation code that servers hand out, and the original sends.
const MIN_CODE: usize = 20;

/// What was typed.
#[derive(Default)]
pub struct Wish {
    /// The server's URL.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The activation's id.
    pub activation_id: String,
    /// The activation's code.
    pub activation_code: String,
    /// Certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// The kind of key.
    pub key_type: Option<String>,
    /// Ask nothing.
    pub yes: bool,
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Registers this device. The old registration stays until the new one is durable.
pub fn run(wish: &Wish, usual: &[&str]) -> Result<(), String> {
    check(wish)?;
    let config = config::load(wish.config.as_deref(), usual).map_err(in_words)?.config;
    let state = wish.state_dir.clone().unwrap_or_else(|| config.state_dir.clone());
    // A daemon would go on as the node that it has read, and rotate that one's key.
    let Some(_claim) = status::claim(&state).map_err(in_words)? else {
        let state = state.display();
        return Err(format!("an agent is running with the state in {state}; stop it first"));
    };
    confirm(wish, &state)?;
    // Not for first boot: the daemon has done it, and keeps what it learns of the time.
    crate::uplink::prepare(&config, &state, false)?;
    let registration = register_device(wish, &config, &state)?;
    super::open_audit(&config, &state);
    registration.record(&audit::person());
    print(&registration.instance_id);
    Ok(())
}

/// Registers without asking, after [`crate::uplink::prepare`].
pub fn register_device(wish: &Wish, config: &Config, state: &Path) -> Result<Registration, String> {
    check(wish)?;
    let region = wish.region.clone().or_else(|| config.region.clone());
    let region =
        region.ok_or("which region? Name it with --region (any name will do for a stint-hub)")?;
    let given = wish.endpoint.as_deref().map(str::trim).map(|url| url.trim_end_matches('/'));
    let servers = resolve(config, &region, given)?;
    let first = servers.first().map(String::as_str).unwrap_or_default();
    let kind = key_type(wish.key_type.as_deref(), first)?;
    let ca_file = absolute(wish.ca_file.clone().or_else(|| config.ca_file.clone()))?;
    let all: Vec<&str> = servers.iter().map(String::as_str).collect();
    let http = Http::new(ca_file.as_deref(), &all).map_err(in_words)?;
    // A key of a first boot in 1970 would be too old as soon as somebody knows the time.
    let now = clock::known_or(UNDATED);
    let candidate = Registration::candidate(state, kind, now).map_err(in_words)?;
    provision::note(state, provision::COMMANDS, &wish.activation_id).map_err(in_words)?;
    let activation = Activation { id: &wish.activation_id, code: &wish.activation_code };
    let (key, fingerprint) = (candidate.key, candidate.fingerprint);
    let instance_id =
        register(&http, &servers, &activation, &key, &fingerprint).map_err(in_words)?;
    let registration = Registration {
        instance_id,
        region,
        endpoint: given.map(str::to_owned),
        ca_file,
        fingerprint,
        registered_at: clock::certain(),
        key_made_at: candidate.key_made_at,
        hardware: Hardware::read().as_str().to_owned(),
        key,
    };
    registration.save(state).map_err(in_words)?;
    Ok(registration)
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}

/// The original checks these lengths before it sends anything, so servers hand out nothing else.
fn check(wish: &Wish) -> Result<(), String> {
    if !stint_wire::ids::is_uuid(&wish.activation_id) {
        return Err(
            "the activation id is no UUID; copy ActivationId from `aws ssm create-activation`"
                .into(),
        );
    }
    if wish.activation_code.len() < MIN_CODE {
        return Err("the activation code is shorter than 20 characters; copy ActivationCode from \
                    `aws ssm create-activation`"
            .into());
    }
    Ok(())
}

/// What the configuration says for this service, else what was typed, else AWS; then what stands in for it. What was typed
/// wins over the configuration's endpoint for all services.
fn resolve(config: &Config, region: &str, given: Option<&str>) -> Result<Vec<String>, String> {
    let mut config = config.clone();
    if let Some(url) = given {
        let valid = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if valid.is_none_or(|host| host.is_empty() || host.contains('/')) {
            return Err(format!(
                "{url} is no URL of a scheme and a host, such as https://hub.example:7400"
            ));
        }
        config.endpoints.all = Some(url.to_owned());
        config.endpoints.ssm = None;
        config.endpoints.more.clear();
    }
    let mut servers =
        vec![endpoint::resolve(Service::Ssm, region, &config, None).map_err(in_words)?];
    let Endpoints { ssm, more, .. } = &config.endpoints;
    for url in more.iter().filter(|_| ssm.is_none()) {
        servers.push(endpoint::allowed(url.clone(), &config).map_err(in_words)?);
    }
    Ok(servers)
}

fn key_type(named: Option<&str>, url: &str) -> Result<KeyType, String> {
    match named {
        None if endpoint::host(url).contains(".amazonaws.") => Ok(KeyType::Rsa),
        None => Ok(KeyType::Ed25519),
        Some(name) => {
            KeyType::parse(name).ok_or_else(|| format!("--key-type is ed25519 or rsa, not {name}"))
        }
    }
}

/// The daemon is started elsewhere, so a path must not depend on where this was typed.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    let absolute = |path: PathBuf| {
        std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    path.map(absolute).transpose()
}

/// Asks before a registration is replaced; who can't be asked must say so beforehand.
fn confirm(wish: &Wish, state: &Path) -> Result<(), String> {
    let name = match Registration::load(state) {
        Err(RegistrationError::Missing(_)) => return Ok(()),
        Ok(registration) => registration.instance_id,
        Err(_) => "a node whose registration is damaged".to_owned(),
    };
    ask(
        &format!("This device is registered as {name}. Replace that registration?"),
        wish.yes,
        &format!("this device is registered as {name}; say -y to replace that registration"),
    )
}

/// Asks whoever sits there. Who can't be asked must have said `yes` beforehand.
///
/// # Errors
/// The refusal.
pub fn ask(question: &str, yes: bool, refusal: &str) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(refusal.to_owned());
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    if answer.trim_start().starts_with(['y', 'Y']) { Ok(()) } else { Err(refusal.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_activation_is_refused_before_anything_is_sent() {
        let id = "0c2f2b3e-7a3f-4f29-8a3e-1f0d5e9c7b11";
        let wish = |id: &str, code: &str| Wish {
            activation_id: id.into(),
            activation_code: code.into(),
            ..Wish::default()
        };
        assert!(check(&wish(id, "q8kT3vZpX1n5LhWbYc2d")).is_ok());
        assert!(check(&wish("x", "q8kT3vZpX1n5LhWbYc2d")).unwrap_err().contains("no UUID"));
        assert!(check(&wish(id, "short")).unwrap_err().contains("shorter than 20"));
    }

    #[test]
    fn the_key_is_what_the_server_understands() {
        assert_eq!(key_type(None, "https://ssm.eu-west-1.amazonaws.com"), Ok(KeyType::Rsa));
        assert_eq!(key_type(None, "http://127.0.0.1:7400"), Ok(KeyType::Ed25519));
        assert_eq!(key_type(Some("RSA"), "http://127.0.0.1:7400"), Ok(KeyType::Rsa));
        assert!(key_type(Some("dsa"), "http://x").is_err());
    }

    #[test]
    fn what_was_typed_wins_over_the_configuration() {
        let mut config = Config::default();
        config.endpoints.all = Some("https://one".into());
        config.endpoints.more = vec!["https://two".into()];
        assert_eq!(resolve(&config, "r", None).unwrap(), ["https://one", "https://two"]);
        config.endpoints.ssm = Some("https://config".into());
        assert_eq!(resolve(&config, "r", Some("https://typed")).unwrap(), ["https://typed"]);
        assert_eq!(resolve(&config, "r", None).unwrap(), ["https://config"]);
        for url in ["typed", "https://", "https://a/b"] {
            assert!(resolve(&config, "r", Some(url)).unwrap_err().contains("is no URL"), "{url}");
        }
    }
}

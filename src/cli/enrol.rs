//! Registration with a BootAgent server: `stint register --server`, and what the daemon needs to
//! register by itself at its first start.

use super::{print, provision};
use crate::agent::bootagent::{Link, Provision};
use crate::agent::status;
use crate::config::{self, Config};
use crate::identity::bootagent::{Activation, BootIdentity};
use crate::uplink::bootagent::{BootAgent, is_wanted};
use std::path::{Path, PathBuf};
use stint_wire::bootagent::{servers, sign};

/// The end of a sentence about something else.
const NO_SERVER: &str = "is no server; say host:port or https://host:port, several with commas";

/// What was typed.
#[derive(Default)]
pub struct Wish {
    /// The servers.
    pub servers: String,
    /// Where a hub wants one.
    pub activation: Option<Activation>,
    /// The server's public key.
    pub server_key: Option<String>,
    /// Certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// Replace an earlier registration.
    pub yes: bool,
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Registers this device. What it was registered as stays until a server has taken it in anew; its
/// id and its key stay in any case.
pub fn run(wish: &Wish, usual: &[&str]) -> Result<(), String> {
    let mut config = config::load(wish.config.as_deref(), usual).map_err(in_words)?.config;
    let state = wish.state_dir.clone().unwrap_or_else(|| config.state_dir.clone());
    let list = servers::parse(&wish.servers, config.bootagent.tls);
    let list = list.map_err(|entry| format!("--server: {entry} {NO_SERVER}"))?;
    // What was typed wins over the configuration, here; the daemon goes by the configuration.
    config.bootagent.servers = list.clone();
    if let Some(text) = &wish.server_key {
        let key = sign::parse_key(text);
        config.bootagent.server_key =
            Some(key.ok_or("--server-key is no public key; it begins with \"ed25519:\"")?);
        config.bootagent.accept_unsigned = false;
    }
    let Some(_claim) = status::claim(&state).map_err(in_words)? else {
        return Err(format!(
            "an agent is running with the state in {}; stop it first",
            state.display()
        ));
    };
    let mut identity = BootIdentity::load_or_make(&state).map_err(in_words)?;
    if identity.registered && !wish.yes {
        return Err(format!(
            "this device is registered as agent {}; say -y to register it anew",
            identity.agentsn
        ));
    }
    identity.registered = false;
    identity.settled = false;
    identity.pins.clear();
    identity.pushed.clear();
    identity.step = None;
    identity.servers = list.join(",");
    identity.ca_file =
        wish.ca_file.as_deref().map(std::path::absolute).transpose().map_err(in_words)?;
    // A file that is named is to be used, and to be found by the daemon, too.
    config.ca_file = identity.ca_file.clone().or(config.ca_file);
    crate::uplink::prepare(&config, &state, false)?;
    if let Some(activation) = &wish.activation {
        provision::note(&state, provision::BOOTAGENT, &activation.id).map_err(in_words)?;
    }
    let mut uplink = BootAgent::new(&config, &state, identity)?;
    uplink.register(wish.activation.as_ref()).map_err(in_words)?;
    let identity = uplink.identity();
    super::open_audit(&config, &state);
    let what = [
        ("agentsn", &*identity.agentsn),
        ("node", &identity.node_id),
        ("server", &identity.servers),
    ];
    crate::audit::record("node.registered", &crate::audit::person(), &what);
    print(if identity.node_id.is_empty() { &identity.agentsn } else { &identity.node_id });
    Ok(())
}

/// The daemon's link, if the configuration, the registration or the image's activation names a
/// server.
///
/// # Errors
/// In words.
pub fn link(config: &Config, state: &Path) -> Result<Option<Link>, String> {
    let known = BootIdentity::load(state).map_err(in_words)?;
    let activation = provision::find(provision::Activation::is_for_bootagent);
    let brought = activation.as_ref().and_then(|activation| activation.server.as_deref());
    if !is_wanted(config, known.as_ref()) && brought.is_none() {
        return Ok(None);
    }
    let mut identity = BootIdentity::load_or_make(state).map_err(in_words)?;
    // What lies beside a registration is wiped when a server has shown that it knows this node.
    if let Some(server) = brought.filter(|_| !identity.registered) {
        let list = servers::parse(server, config.bootagent.tls);
        let list =
            list.map_err(|entry| format!("the activation's \"server\": {entry} {NO_SERVER}"))?;
        // Kept, because the activation is wiped once it has served.
        identity.servers = list.join(",");
        identity.ca_file = activation.and_then(|activation| activation.ca_file);
        identity.save(state).map_err(in_words)?;
    }
    let uplink = BootAgent::new(config, state, identity)?;
    Ok(Some(Link { uplink, provision: Box::new(Image { state: state.to_owned() }) }))
}

/// The activation that the image carries.
struct Image {
    state: PathBuf,
}

impl Provision for Image {
    fn activation(&self) -> Option<Activation> {
        let found = provision::find(provision::Activation::is_for_bootagent)?;
        // If it can't be written, neither can what the server answers.
        let _ = provision::note(&self.state, provision::BOOTAGENT, &found.id);
        Some(Activation { id: found.id, code: found.code })
    }

    fn used(&self) {
        provision::wipe(&self.state);
    }
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}

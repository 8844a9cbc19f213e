//! `stint deregister`.

use super::print;
use super::register::ask;
use crate::agent::status;
use crate::config::{self, Config};
use crate::identity::{self, Registration, RegistrationError};
use crate::sys::durable;
use crate::uplink::UplinkError;
use crate::uplink::ssm::Ssm;
use std::path::{Path, PathBuf};

/// What was typed.
#[derive(Default)]
pub struct Wish {
    /// Tell no server.
    pub local: bool,
    /// Ask nothing.
    pub yes: bool,
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Parts this device from its server: tells the server, then wipes registration and keys. If the
/// server can't be told, nothing is wiped.
pub fn run(wish: &Wish, usual: &[&str]) -> Result<(), String> {
    let config = config::load(wish.config.as_deref(), usual).map_err(in_words)?.config;
    let state = wish.state_dir.clone().unwrap_or_else(|| config.state_dir.clone());
    let Some(_claim) = status::claim(&state).map_err(in_words)? else {
        let state = state.display();
        return Err(format!("an agent is running with the state in {state}; stop it first"));
    };
    let registration = match Registration::load(&state) {
        Ok(registration) => registration,
        Err(RegistrationError::Missing(_)) => {
            // What was begun and never finished, or is left of a wipe that lost power.
            wipe(&state)?;
            print("This device is not registered.");
            return Ok(());
        }
        Err(_) if wish.local => {
            wipe(&state)?;
            record(&config, &state, "unknown");
            print("The damaged registration is wiped.");
            return Ok(());
        }
        Err(error) => {
            return Err(format!("{error}; `stint deregister --local` wipes what is there"));
        }
    };
    let node = registration.instance_id.clone();
    let question = match wish.local {
        true => format!("Wipe the registration as {node} without telling the server?"),
        false => format!("Deregister {node}, and with it every device that has this key?"),
    };
    ask(&question, wish.yes, "say -y to go on without being asked")?;
    if !wish.local {
        crate::uplink::prepare(&config, &state, false)?;
        let uplink = Ssm::new(&config, &state, registration).map_err(in_words)?;
        tell(&uplink, &node)?;
    }
    wipe(&state)?;
    record(&config, &state, &node);
    print(&match wish.local {
        true => format!(
            "The registration as {node} is wiped. The server still has the node; \
             `aws ssm deregister-managed-instance --instance-id {node}` ends it there."
        ),
        false => format!("{node} is deregistered, and its registration is wiped."),
    });
    Ok(())
}

fn record(config: &Config, state: &Path, node: &str) {
    super::open_audit(config, state);
    crate::audit::record("node.deregistered", &crate::audit::person(), &[("node", node)]);
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}

/// Tells the server, unless it doesn't know the node anyway.
fn tell(uplink: &Ssm, node: &str) -> Result<(), String> {
    let error = match uplink.deregister() {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match &error {
        UplinkError::Refused { operation, code, .. } if is_unknown(operation, code) => Ok(()),
        UplinkError::Refused { code, .. } if code == "AccessDeniedException" => Err(format!(
            "the server doesn't let {node} deregister itself: {error}. Do it as an operator, \
             `aws ssm deregister-managed-instance --instance-id {node}`, and wipe this device \
             with `stint deregister --local`"
        )),
        _ => Err(format!(
            "{error}. Nothing is wiped; `stint deregister --local` wipes without telling the server"
        )),
    }
}

/// Whether the server has no such node: it has been deregistered already.
fn is_unknown(operation: &str, code: &str) -> bool {
    code == "InvalidInstanceId"
        || operation == "RequestManagedInstanceRoleToken" && code == "AccessDeniedException"
}

fn wipe(state: &Path) -> Result<(), String> {
    Registration::clear(state).map_err(in_words)?;
    #[cfg(feature = "bootagent")]
    crate::identity::bootagent::BootIdentity::clear(state).map_err(in_words)?;
    durable::sweep(identity::folder(state)).map_err(in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_know_the_node_is_told_from_one_that_forbids() {
        assert!(is_unknown("RequestManagedInstanceRoleToken", "AccessDeniedException"));
        assert!(is_unknown("DeregisterManagedInstance", "InvalidInstanceId"));
        assert!(!is_unknown("DeregisterManagedInstance", "AccessDeniedException"));
        assert!(!is_unknown("RequestManagedInstanceRoleToken", "InvalidSignatureException"));
    }
}

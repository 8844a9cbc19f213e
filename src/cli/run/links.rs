//! The ways to servers that the daemon begins with.

#[cfg(feature = "bootagent")]
use super::super::enrol;
#[cfg(feature = "ssm")]
use super::super::provision;
use super::{Failure, in_words};
#[cfg(feature = "ssm")]
use crate::agent::Commands;
use crate::agent::Links;
use crate::config::Config;
#[cfg(feature = "ssm")]
use crate::identity::hardware::Hardware;
use crate::identity::{Registration, RegistrationError};
#[cfg(feature = "ssm")]
use crate::uplink::Uplink;
#[cfg(feature = "ssm")]
use crate::uplink::ssm::instance::Instance;
use std::path::Path;
#[cfg(any(feature = "ssm", all(feature = "bootagent", feature = "guardian")))]
use std::path::PathBuf;
#[cfg(feature = "ssm")]
use std::sync::Arc;

/// The ways to servers: those for which there is a registration, or a server to register with.
pub fn links(
    config: &Config,
    state: &Path,
    found: Result<Registration, RegistrationError>,
) -> Result<Links, Failure> {
    let mut links = Links::default();
    #[cfg(feature = "bootagent")]
    match enrol::link(config, state) {
        Ok(link) => links.bootagent = link,
        // The other link needn't suffer for it.
        Err(error) => {
            log::error!("there is no link to a BootAgent server: {error}");
            #[cfg(feature = "guardian")]
            {
                links.later = Some(bootagent_later(config.clone(), state.to_owned()));
            }
        }
    }
    #[cfg(feature = "bootagent")]
    if let Some(link) = &links.bootagent {
        let agentsn = &link.uplink.identity().agentsn;
        log::info!("stint {} runs as agent {agentsn}", env!("STINT_VERSION"));
    }
    #[cfg(feature = "ssm")]
    match found {
        _ if instance(config, found.is_ok()).is_some() => {
            links.commands = Some(on_instance(config.clone(), state.to_owned(), found.is_ok()));
        }
        Ok(_) if !config.identity.wants_registration() => {
            let text = "\"identity.sources\" wants an EC2 instance, which this is not";
            return Err(Failure::of_setup(text.to_owned()));
        }
        Ok(registration) => {
            let uplink = of_node(config, state, registration)?;
            links.commands = Some(Box::new(move || Ok(Some(uplink.clone()))));
        }
        Err(missing @ RegistrationError::Missing(_)) => {
            if provision::carries_commands() {
                links.commands = Some(first_boot(config.clone(), state.to_owned()));
            } else if !has_link(&links) && !has_own_work(config, state) {
                return Err(Failure::of_setup(missing.to_string()));
            }
        }
        Err(error) if has_link(&links) || has_own_work(config, state) => {
            log::error!("there is no link for commands: {error}");
            links.commands = Some(again(config.clone(), state.to_owned()));
        }
        Err(error) => return Err(error.to_string().into()),
    }
    #[cfg(not(feature = "ssm"))]
    if !has_link(&links) && !has_own_work(config, state) {
        drop(found);
        return Err(Failure::of_setup(
            "this device has no server: name it in the configuration, \"bootagent\": \
             {\"servers\": \"http://…\"}, or with `stint register --server`"
                .to_owned(),
        ));
    }
    Ok(links)
}

/// The metadata service from which this device has its identity, if it has. An activation on the image is as
/// good as a registration.
#[cfg(feature = "ssm")]
pub fn instance(config: &Config, registered: bool) -> Option<Instance> {
    let registered = registered || provision::carries_commands();
    Instance::wanted(&config.identity, registered)
}

/// What makes the link for commands of an EC2 instance, as soon as its metadata service answers.
#[cfg(feature = "ssm")]
fn on_instance(config: Config, state: PathBuf, registered: bool) -> Commands {
    Box::new(move || {
        let Some(instance) = Instance::wanted(&config.identity, registered) else {
            return Ok(None);
        };
        match crate::uplink::ssm::Ssm::of_instance(&config, &state, instance) {
            Ok(uplink) => {
                log::info!("stint {} runs as {}", env!("STINT_VERSION"), uplink.node_id());
                Ok(Some(Arc::new(uplink)))
            }
            Err(error) => Err(("this instance is not known yet", error.to_string())),
        }
    })
}

/// The link for commands of a device that is registered.
#[cfg(feature = "ssm")]
fn of_node(
    config: &Config,
    state: &Path,
    registration: Registration,
) -> Result<Arc<dyn Uplink>, String> {
    log::info!("stint {} runs as {}", env!("STINT_VERSION"), registration.instance_id);
    provision::wipe(state);
    if let Some(change) = Hardware::read().change_since(&registration.hardware) {
        log::warn!("{}", change.words());
    }
    let uplink = crate::uplink::ssm::Ssm::new(config, state, registration).map_err(in_words)?;
    Ok(Arc::new(uplink))
}

/// The same of one that has yet to be registered, with the activation that its image carries.
#[cfg(feature = "ssm")]
fn first_boot(config: Config, state: PathBuf) -> Commands {
    Box::new(move || {
        // From the second time on it is there and only read.
        let registration =
            provision::register(&config, &state).map_err(|error| ("registration failed", error))?;
        linked(of_node(&config, &state, registration))
    })
}

/// The same of one whose registration can't be read at the moment.
#[cfg(feature = "ssm")]
fn again(config: Config, state: PathBuf) -> Commands {
    Box::new(move || {
        let found = Registration::load(&state).map_err(in_words);
        linked(found.and_then(|registration| of_node(&config, &state, registration)))
    })
}

#[cfg(feature = "ssm")]
fn linked(
    made: Result<Arc<dyn Uplink>, String>,
) -> Result<Option<Arc<dyn Uplink>>, (&'static str, String)> {
    made.map(Some).map_err(|error| ("there is no link for commands", error))
}

/// Makes the link to a BootAgent server that couldn't be made at the start: the disk was full perhaps.
#[cfg(all(feature = "bootagent", feature = "guardian"))]
fn bootagent_later(config: Config, state: PathBuf) -> crate::agent::bootagent::Make {
    Box::new(move || {
        let link = enrol::link(&config, &state)?;
        link.ok_or_else(|| "nobody names a server any more".to_owned())
    })
}

/// Whether there is something to do without any server: child agents to look after, local documents.
#[cfg(feature = "supervise")]
fn has_own_work(config: &Config, state: &Path) -> bool {
    let has = crate::supervise::status::has_children(state, &config.supervise.definitions);
    if has {
        log::warn!("stint runs without a server: it looks after the child agents and no more");
    }
    has || has_documents(config, state)
}

#[cfg(not(feature = "supervise"))]
fn has_own_work(config: &Config, state: &Path) -> bool {
    has_documents(config, state)
}

/// Whether somebody has made the folder for documents that come without a server.
#[cfg(feature = "offline")]
fn has_documents(config: &Config, state: &Path) -> bool {
    let folder = crate::offline::Folder::of(state, config.offline.keep);
    let has = config.offline.enabled && folder.exists();
    if has {
        log::warn!(
            "stint runs without a server: it runs the documents in {}",
            folder.path().display()
        );
    }
    has
}

#[cfg(not(feature = "offline"))]
fn has_documents(_config: &Config, _state: &Path) -> bool {
    false
}

#[cfg(feature = "bootagent")]
fn has_link(links: &Links) -> bool {
    #[cfg(feature = "guardian")]
    if links.later.is_some() {
        return true;
    }
    links.bootagent.is_some()
}

#[cfg(not(feature = "bootagent"))]
fn has_link(_links: &Links) -> bool {
    false
}

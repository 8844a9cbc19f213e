//! Who is told of the daemon's fate: the serial console, where there is one.

#[cfg(all(feature = "serial", feature = "ssm"))]
use super::links::instance;
#[cfg(feature = "serial")]
use crate::agent::status;
use crate::config::Config;
#[cfg(feature = "guardian")]
use crate::guardian;
#[cfg(all(feature = "serial", feature = "bootagent"))]
use crate::identity;
use crate::identity::Registration;
#[cfg(all(feature = "serial", feature = "ssm"))]
use crate::uplink::ssm::instance::Instance;
use std::path::Path;
#[cfg(all(feature = "serial", not(feature = "guardian")))]
use std::path::PathBuf;

/// The serial console, where there is one.
#[cfg(feature = "serial")]
pub struct Observer(crate::serial::Console);

#[cfg(feature = "serial")]
impl Observer {
    pub fn new(config: &Config) -> Observer {
        let devices = config.serial_devices.clone();
        Observer(crate::serial::Console::new(devices, config.serial_baud))
    }

    #[cfg_attr(not(feature = "guardian"), allow(unused_variables))]
    pub fn started(&self, config: &Config, state: &Path, registration: Option<&Registration>) {
        let node = known_node(config, state, registration);
        // By the rule by which it signs and judges certificates.
        #[cfg(uplink)]
        let is_set = !crate::uplink::clock::is_doubtful();
        #[cfg(not(uplink))]
        let is_set = crate::sys::clock::is_set();
        let clock = (crate::sys::clock::system(), is_set);
        #[cfg(not(feature = "guardian"))]
        let (watchdog, was_reset) = (None::<PathBuf>, false);
        #[cfg(feature = "guardian")]
        let (watchdog, was_reset) = {
            let boot = guardian::Record::look(state).reset;
            (config.guardian.watchdog.clone(), boot == crate::sys::host::boot_id())
        };
        // Also one that another feeds tells what it did.
        let watchdog = watchdog.unwrap_or_else(|| crate::board::BOARD.watchdog.into());
        self.0.started(node.as_deref(), state, watchdog, was_reset, clock);
        #[cfg(feature = "ssm")]
        if let Some(instance) = Instance::wanted(&config.identity, false) {
            crate::serial::Console::greet(instance);
        }
    }

    #[cfg(feature = "guardian")]
    pub fn restarted(&self, record: &guardian::Record) {
        let reason = record.last.last().map(|restart| restart.reason.as_str());
        self.0.restarted(record.count, reason.unwrap_or_default());
    }

    #[cfg(uplink)]
    pub fn into_observer(self) -> Option<Box<dyn crate::agent::Observer>> {
        Some(Box::new(self))
    }
}

/// Who this device is to its servers, if that is known without asking anybody.
#[cfg(feature = "serial")]
#[cfg_attr(not(all(feature = "ssm", feature = "bootagent")), allow(unused_variables))]
fn known_node(
    config: &Config,
    state: &Path,
    registration: Option<&Registration>,
) -> Option<String> {
    #[cfg(feature = "ssm")]
    if instance(config, registration.is_some()).is_some() {
        // Which one its metadata service alone knows, and the line `online` says it.
        return Some("EC2".to_owned());
    }
    let node = registration.map(|registration| registration.instance_id.clone());
    #[cfg(feature = "bootagent")]
    let node = node.or_else(|| {
        let identity = identity::bootagent::BootIdentity::look(state)?;
        let is_named = !identity.node_id.is_empty();
        let name = if is_named { identity.node_id } else { identity.agentsn };
        identity.registered.then_some(name)
    });
    node
}

#[cfg(all(feature = "serial", uplink))]
impl crate::agent::Observer for Observer {
    fn online(&self, link: &status::LinkState) {
        #[cfg(feature = "ssm")]
        let node = link.node.as_deref();
        #[cfg(not(feature = "ssm"))]
        let node = None;
        self.0.online(&link.link, node);
    }

    fn backing_off(&self, wait: std::time::Duration, why: &str) {
        self.0.backing_off(wait, why);
    }
}

#[cfg(not(feature = "serial"))]
pub struct Observer;

#[cfg(not(feature = "serial"))]
impl Observer {
    pub fn new(_config: &Config) -> Observer {
        Observer
    }

    pub fn started(&self, _config: &Config, _state: &Path, _registration: Option<&Registration>) {}

    #[cfg(feature = "guardian")]
    pub fn restarted(&self, _record: &guardian::Record) {}

    #[cfg(uplink)]
    pub fn into_observer(self) -> Option<Box<dyn crate::agent::Observer>> {
        None
    }
}

#[cfg(all(test, feature = "serial", feature = "bootagent"))]
mod tests {
    use super::*;
    use crate::identity::bootagent::BootIdentity;
    use crate::testing::Folder;

    #[test]
    fn a_device_that_only_a_bootagent_server_knows_is_registered_under_that_servers_name() {
        let (folder, config) = (Folder::new(), Config::default());
        let node = || known_node(&config, folder.path(), None);
        assert_eq!(node(), None);
        let mut identity = BootIdentity::load_or_make(folder.path()).unwrap();
        assert_eq!(node(), None);
        identity.registered = true;
        identity.save(folder.path()).unwrap();
        assert_eq!(node().as_ref(), Some(&identity.agentsn));
        identity.node_id = "mi-0123456789abcdef0".to_owned();
        identity.save(folder.path()).unwrap();
        assert_eq!(node().as_ref(), Some(&identity.node_id));
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn an_instance_needs_no_registration() {
        let mut config = Config::default();
        config.identity.metadata_endpoint = Some("http://127.0.0.1:9".to_owned());
        assert_eq!(known_node(&config, Path::new("/nowhere"), None).as_deref(), Some("EC2"));
    }
}

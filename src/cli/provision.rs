//! First boot: one image for a thousand devices carries an activation, and each registers itself.
//!
//! The activation is a file on the image or on its boot partition, or is on the kernel's command
//! line. It is used once: the file is wiped as soon as the registration is durable. One that names
//! a `server` is for the BootAgent protocol (`enrol.rs`); one with both that and an `endpoint`
//! registers the device twice, and is wiped by the second of the two.

#[cfg(feature = "ssm")]
use super::register;
#[cfg(feature = "ssm")]
use crate::config::Config;
#[cfg(feature = "ssm")]
use crate::identity::Registration;
#[cfg(feature = "bootagent")]
use crate::identity::bootagent::BootIdentity;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use stint_wire::json;

/// Where the file may be: on the image, or on a boot partition that any computer can write.
const FILES: [&str; 3] = [
    "/etc/stint/activation.json",
    "/boot/stint/activation.json",
    "/boot/firmware/stint/activation.json",
];

/// The kernel's command line.
const COMMAND_LINE: &str = "/proc/cmdline";

/// An activation as an image carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// Its id.
    pub id: String,
    /// Its code.
    pub code: String,
    /// BootAgent servers, as in the configuration.
    pub server: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    /// Certificate authorities.
    pub ca_file: Option<PathBuf>,
    key_type: Option<String>,
}

impl Activation {
    /// Whether it is meant for the BootAgent protocol. A build without Systems Manager has no
    /// other use for it.
    pub fn is_for_bootagent(&self) -> bool {
        self.server.is_some() || !cfg!(feature = "ssm")
    }

    /// Whether it is meant for Systems Manager.
    pub fn is_for_commands(&self) -> bool {
        cfg!(feature = "ssm") && (self.server.is_none() || self.endpoint.is_some())
    }
}

/// Whether the image carries an activation for Systems Manager.
#[cfg(feature = "ssm")]
pub fn carries_commands() -> bool {
    find().is_some_and(|activation| activation.is_for_commands())
}

/// Registers with the activation that the image carries. Whether it carries one was seen before
/// ([`carries_commands`]); it is looked for anew each time, as somebody may put a better one there.
///
/// # Errors
/// In words. The next try may go well.
#[cfg(feature = "ssm")]
pub fn register(config: &Config, state: &Path) -> Result<Registration, String> {
    // Somebody may have brought one meanwhile.
    if let Ok(registration) = Registration::load(state) {
        return Ok(registration);
    }
    match find().filter(Activation::is_for_commands) {
        Some(activation) => register_with(activation, config, state),
        None => Err("there is no activation that can be read at the moment".to_owned()),
    }
}

#[cfg(feature = "ssm")]
fn register_with(
    activation: Activation,
    config: &Config,
    state: &Path,
) -> Result<Registration, String> {
    let wish = register::Wish {
        endpoint: activation.endpoint,
        region: activation.region,
        activation_id: activation.id,
        activation_code: activation.code,
        ca_file: activation.ca_file,
        key_type: activation.key_type,
        ..register::Wish::default()
    };
    let registration = register::register_device(&wish, config, state)?;
    log::info!("registered as {} at first boot", registration.instance_id);
    registration.record("activation of the image");
    Ok(registration)
}

/// Wipes the activations that the image carried once this device is registered for all that they
/// are meant for. What is on a read-only file system stays and is worth nothing once its places
/// are taken.
pub fn wipe(state: &Path) {
    for path in FILES {
        let kept = fs::read_to_string(path).ok().and_then(|text| parse(&text).ok());
        if kept.is_some_and(|activation| !is_used(&activation, state)) {
            continue;
        }
        match wipe_file(Path::new(path)) {
            Ok(()) => log::info!("{path} was used and is wiped"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("{path} was used and can't be wiped: {error}"),
        }
    }
}

fn is_used(activation: &Activation, state: &Path) -> bool {
    #[cfg(feature = "ssm")]
    if activation.is_for_commands() && !Registration::path(state).exists() {
        return false;
    }
    #[cfg(feature = "bootagent")]
    if activation.is_for_bootagent() {
        return BootIdentity::look(state).is_some_and(|identity| identity.registered);
    }
    // One that no part of this build has a use for.
    let _ = (activation, state);
    true
}

/// Overwrites before it removes: on flash without wear levelling that is all one can do.
fn wipe_file(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let blanks = vec![b' '; length.min(64 * 1024) as usize];
    io::Write::write_all(&mut &file, &blanks)?;
    file.sync_all()?;
    fs::remove_file(path)
}

/// The activation that the image carries, if any.
pub fn find() -> Option<Activation> {
    for path in FILES {
        match fs::read_to_string(path) {
            Ok(text) => match parse(&text) {
                Ok(activation) => return Some(activation),
                Err(error) => log::error!("{path} is no activation: {error}"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::error!("can't read {path}: {error}"),
        }
    }
    from_command_line(&fs::read_to_string(COMMAND_LINE).unwrap_or_default())
}

fn parse(text: &str) -> Result<Activation, String> {
    let root = json::parse(text).map_err(|error| error.to_string())?;
    let mut activation = Activation::default();
    for (key, node) in root.members() {
        let line = node.line;
        let text =
            node.as_str().ok_or_else(|| format!("line {line}: \"{key}\" must be a string"))?;
        let text = text.to_owned();
        match key.as_str() {
            "activationId" => activation.id = text,
            "activationCode" => activation.code = text,
            "server" => activation.server = Some(text),
            "endpoint" => activation.endpoint = Some(text),
            "region" => activation.region = Some(text),
            "caFile" => activation.ca_file = Some(text.into()),
            "keyType" => activation.key_type = Some(text),
            _ => {
                return Err(format!(
                    "line {line}: there is no key \"{key}\"; the keys are activationId, \
                     activationCode, server, endpoint, region, caFile, keyType"
                ));
            }
        }
    }
    if activation.id.is_empty() || activation.code.is_empty() {
        return Err("it needs activationId and activationCode".to_owned());
    }
    Ok(activation)
}

/// `stint.activation_id=… stint.activation_code=… stint.endpoint=… stint.region=…`, or with
/// `stint.server=…` for the BootAgent protocol, for boards
/// that are emulated and for network boot. Anybody on the device can read it.
fn from_command_line(line: &str) -> Option<Activation> {
    let value = |key: &str| {
        let word =
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        word.filter(|word| !word.is_empty()).map(str::to_owned)
    };
    Some(Activation {
        id: value("stint.activation_id")?,
        code: value("stint.activation_code")?,
        server: value("stint.server"),
        endpoint: value("stint.endpoint"),
        region: value("stint.region"),
        ..Activation::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn an_activation_is_read_from_a_file_and_from_the_command_line() {
        let wanted = Activation {
            id: "i".into(),
            code: "c".into(),
            endpoint: Some("http://hub".into()),
            region: Some("r".into()),
            ..Activation::default()
        };
        let text =
            r#"{"activationId":"i","activationCode":"c","endpoint":"http://hub","region":"r"}"#;
        assert_eq!(parse(text).as_ref(), Ok(&wanted));
        let line = "quiet stint.activation_id=i stint.activation_code=c stint.endpoint=http://hub stint.region=r\n";
        assert_eq!(from_command_line(line), Some(wanted));
        assert_eq!(from_command_line("console=ttyS0 stint.activation_id="), None);
    }

    #[test]
    fn an_activation_says_which_protocol_it_is_for() {
        let parse = |more: &str| {
            parse(&format!(r#"{{"activationId":"i","activationCode":"c"{more}}}"#)).unwrap()
        };
        let both = |a: Activation| (a.is_for_commands(), a.is_for_bootagent());
        let ssm = cfg!(feature = "ssm");
        assert_eq!(both(parse("")), (ssm, !ssm));
        assert_eq!(both(parse(r#","server":"https://hub""#)), (false, true));
        let two = both(parse(r#","server":"https://hub","endpoint":"https://hub""#));
        assert_eq!(two, (ssm, true));
        let line = "stint.activation_id=i stint.activation_code=c stint.server=hub:1";
        assert_eq!(from_command_line(line).unwrap().server.as_deref(), Some("hub:1"));
    }

    #[test]
    fn what_is_no_activation_says_why() {
        for (text, wanted) in [
            ("", "line 1"),
            ("{}", "needs activationId"),
            (r#"{"activationId":1}"#, "must be a string"),
            (r#"{"activation":"x"}"#, "there is no key"),
        ] {
            assert!(parse(text).unwrap_err().contains(wanted), "{text}");
        }
    }

    /// The two registrations come in any order, and the first must not take the other's means.
    #[cfg(all(feature = "ssm", feature = "bootagent"))]
    #[test]
    fn an_activation_for_both_protocols_is_used_when_both_have_taken_the_device_in() {
        let activation = |text: &str| {
            parse(&format!(r#"{{"activationId":"i","activationCode":"c"{text}}}"#)).unwrap()
        };
        let (one, other) = (activation(""), activation(r#","server":"https://hub""#));
        let both = activation(r#","server":"https://hub","endpoint":"https://hub""#);
        let folder = Folder::new();
        let state = folder.path();
        let used = || [&one, &other, &both].map(|it| is_used(it, state));
        let mut identity = BootIdentity::load_or_make(state).unwrap();
        assert_eq!(used(), [false, false, false]);
        identity.registered = true;
        identity.save(state).unwrap();
        assert_eq!(used(), [false, true, false]);
        fs::write(Registration::path(state), "{}").unwrap();
        assert_eq!(used(), [true, true, true]);
    }

    #[test]
    fn a_used_activation_is_wiped() {
        let folder = Folder::new();
        let path = folder.path().join("activation.json");
        fs::write(&path, "secret").unwrap();
        wipe_file(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(wipe_file(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

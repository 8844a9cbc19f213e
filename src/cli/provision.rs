//! First boot: one image for a thousand devices carries an activation, and each registers itself.
//!
//! The activation is a file on the image or on its boot partition, or is on the kernel's command
//! line. It is used once: the file is wiped as soon as the registration is durable. One that names
//! a `server` is for the BootAgent protocol (`enrol.rs`); one with both that and an `endpoint`
//! registers the device twice, and is wiped by the second of the two. One that this device wasn't
//! registered with is set aside and not wiped: it may be worth something elsewhere.

#[cfg(feature = "ssm")]
use super::register;
#[cfg(feature = "ssm")]
use crate::config::Config;
#[cfg(feature = "ssm")]
use crate::identity::Registration;
#[cfg(feature = "bootagent")]
use crate::identity::bootagent::BootIdentity;
use crate::sys::{FileError, durable};
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

/// The file in the state folder with the id of the activation that Systems Manager was asked with,
pub const COMMANDS: &str = "activation.ssm";

/// and the one for a BootAgent server.
pub const BOOTAGENT: &str = "activation.bootagent";

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
    find(Activation::is_for_commands).is_some()
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
    match find(Activation::is_for_commands) {
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

/// Which activation this device asks to be registered with, by a protocol. It is noted before the server hears
/// of it, so that after a power cut it is known whose file is of no more use.
///
/// # Errors
/// It can't be written.
pub fn note(state: &Path, protocol: &str, id: &str) -> Result<(), FileError> {
    if is_noted(state, protocol, id) {
        return Ok(());
    }
    durable::write(&state.join(protocol), id.as_bytes())
}

fn is_noted(state: &Path, protocol: &str, id: &str) -> bool {
    fs::read_to_string(state.join(protocol)).is_ok_and(|noted| noted == id)
}

/// Wipes the activations that the image carried once this device is registered for all that they
/// are meant for, and sets those aside that have no part in that. What is on a read-only file
/// system stays and is worth nothing once its places are taken.
pub fn wipe(state: &Path) {
    for path in FILES {
        settle(Path::new(path), state);
    }
}

fn settle(path: &Path, state: &Path) {
    // What can't be read was complained about when it was looked for.
    let Ok(text) = fs::read_to_string(path) else { return };
    let by = |protocol, id: &str| is_noted(state, protocol, id);
    let why = match parse(&text) {
        Ok(activation) if is_needed(&activation, state) => return,
        Ok(Activation { id, .. })
            if by(BOOTAGENT, &id) || (cfg!(feature = "ssm") && by(COMMANDS, &id)) =>
        {
            String::new()
        }
        // One of blanks was just being wiped when the power went.
        Err(_) if text.trim().is_empty() => String::new(),
        Ok(_) => "this device was registered without it".to_owned(),
        Err(error) => error,
    };
    let aside = path.with_extension("json.unused");
    let done = if why.is_empty() {
        durable::wipe(path).map(|()| log::info!("{} was used and is wiped", path.display()))
    } else {
        durable::rename(path, &aside).map(|()| {
            log::warn!(
                "an activation isn't used: {why}. It is {} now; to use it run `stint deregister`, give it \
                 its name back and restart the agent",
                aside.display()
            );
        })
    };
    if let Err(error) = done {
        log::warn!("an activation of no more use stays: {error}");
    }
}

/// Whether it is still to register this device with.
fn is_needed(activation: &Activation, state: &Path) -> bool {
    #[cfg(feature = "ssm")]
    if activation.is_for_commands() && !Registration::path(state).exists() {
        return true;
    }
    #[cfg(feature = "bootagent")]
    if activation.is_for_bootagent() {
        return !BootIdentity::look(state).is_some_and(|identity| identity.registered);
    }
    // One that no part of this build has a use for.
    let _ = (activation, state);
    false
}

/// The first activation that the image carries and that is `wanted`.
pub fn find(wanted: fn(&Activation) -> bool) -> Option<Activation> {
    in_files(&FILES, wanted).or_else(|| {
        from_command_line(&fs::read_to_string(COMMAND_LINE).unwrap_or_default()).filter(wanted)
    })
}

fn in_files(files: &[&str], wanted: fn(&Activation) -> bool) -> Option<Activation> {
    for path in files {
        match fs::read_to_string(path) {
            Ok(text) => match parse(&text) {
                Ok(activation) if wanted(&activation) => return Some(activation),
                Ok(_) => {}
                Err(error) => log::error!("{path} is no activation: {error}"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::error!("can't read {path}: {error}"),
        }
    }
    None
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

    #[test]
    fn an_activation_hides_none_that_is_for_something_else() {
        let folder = Folder::new();
        let write = |name: &str, more: &str| {
            let path = folder.path().join(name);
            let text = format!(r#"{{"activationId":"{name}","activationCode":"c"{more}}}"#);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let bad = write("bad", r#","no":"key""#);
        let boot = write("boot", r#","server":"https://hub""#);
        let other = write("other", r#","region":"r""#);
        let files = ["/none", &bad, &boot, &other];
        let found = |wanted| in_files(&files, wanted).map(|activation| activation.id);
        assert_eq!(found(Activation::is_for_bootagent).as_deref(), Some("boot"));
        let wanted = cfg!(feature = "ssm").then_some("other");
        assert_eq!(found(Activation::is_for_commands).as_deref(), wanted);
    }

    /// The two registrations come in any order, and the first must not take the other's means.
    #[cfg(all(feature = "ssm", feature = "bootagent"))]
    #[test]
    fn an_activation_for_both_protocols_is_needed_until_both_have_taken_the_device_in() {
        let activation = |text: &str| {
            parse(&format!(r#"{{"activationId":"i","activationCode":"c"{text}}}"#)).unwrap()
        };
        let (one, other) = (activation(""), activation(r#","server":"https://hub""#));
        let both = activation(r#","server":"https://hub","endpoint":"https://hub""#);
        let folder = Folder::new();
        let state = folder.path();
        let needed = || [&one, &other, &both].map(|it| is_needed(it, state));
        let mut identity = BootIdentity::load_or_make(state).unwrap();
        assert_eq!(needed(), [true, true, true]);
        identity.registered = true;
        identity.save(state).unwrap();
        assert_eq!(needed(), [true, false, true]);
        fs::write(Registration::path(state), "{}").unwrap();
        assert_eq!(needed(), [false, false, false]);
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn only_the_activation_that_the_device_was_registered_with_is_wiped() {
        let (folder, image) = (Folder::new(), Folder::new());
        let (state, file) = (folder.path(), image.path().join("activation.json"));
        let aside = image.path().join("activation.json.unused");
        let good = r#"{"activationId":"i","activationCode":"c"}"#;
        let settle = |text: &str| {
            fs::write(&file, text).unwrap();
            super::settle(&file, state);
            let there = (file.exists(), fs::read_to_string(&aside).ok());
            let _ = fs::remove_file(&aside);
            there
        };
        assert_eq!(settle(good), (true, None), "it may still be needed");
        fs::write(Registration::path(state), "{}").unwrap();
        assert_eq!(settle(good), (false, Some(good.to_owned())));
        note(state, COMMANDS, "i").unwrap();
        assert_eq!(settle(good), (false, None));
        assert_eq!(settle("      \n"), (false, None));
        // Another one, and what is none, may be worth something.
        for text in [r#"{"activationId":"j","activationCode":"c"}"#, r#"{"activationId":"i","#] {
            assert_eq!(settle(text), (false, Some(text.to_owned())));
        }
        note(state, COMMANDS, "j").unwrap();
        assert_eq!(settle(good), (false, Some(good.to_owned())));
        super::settle(&file, state);
        assert!(!aside.exists());
    }
}

//! The command line of amazon-ssm-agent, for images and scripts that are made for it: Go's flag
//! syntax, one hyphen or two, `-x v` or `-x=v`.

use super::{Exit, complain, finish_run, print, register, run};
use crate::config::{DEFAULT_PATH, DEFAULT_STATE};
use crate::identity::Registration;
use std::path::PathBuf;

/// The name under which this command line is understood.
pub const NAME: &str = "amazon-ssm-agent";

/// Where the original's configuration is; ours comes first.
const PATHS: [&str; 2] = [DEFAULT_PATH, "/etc/amazon/ssm/amazon-ssm-agent.json"];

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    register: bool,
    clear: bool,
    version: bool,
    yes: bool,
    region: Option<String>,
    code: Option<String>,
    id: Option<String>,
    /// Not the original's: where our own files are.
    config: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

/// Does what the original would do for these words.
pub fn main(words: &[String]) -> Exit {
    let flags = match parse(words) {
        Ok(flags) => flags,
        Err(error) => return complain(&format!("{NAME}: {error}"), Exit::Usage),
    };
    if flags.version {
        print(&format!("SSM Agent version: {}", env!("STINT_VERSION")));
        return Exit::Success;
    }
    if !flags.register {
        let wish = run::Wish { config: flags.config, state_dir: flags.state_dir };
        return finish_run(NAME, run::run(&wish, &PATHS));
    }
    match register_or_clear(flags) {
        Ok(()) => Exit::Success,
        Err(error) => complain(&format!("{NAME}: {error}"), Exit::Failure),
    }
}

fn register_or_clear(flags: Flags) -> Result<(), String> {
    let Flags { region, code, id, .. } = flags;
    match (id, code) {
        (None, None) if flags.clear && region.is_none() => {
            let state = flags.state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE));
            Registration::clear(&state).map_err(|error| error.to_string())?;
            print("Registration information has been removed from the instance.");
            Ok(())
        }
        (Some(id), Some(code)) => {
            let wish = register::Wish {
                region,
                activation_id: id,
                activation_code: code,
                yes: flags.yes,
                config: flags.config,
                state_dir: flags.state_dir,
                ..register::Wish::default()
            };
            register::run(&wish, &PATHS)
        }
        _ => Err("-register needs -region, -code and -id, or -clear alone".to_owned()),
    }
}

fn parse(words: &[String]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let flag = flag.ok_or_else(|| format!("{word} is no flag"))?;
        let (name, attached) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let switch = || match attached.as_deref() {
            None | Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            Some(other) => Err(format!("-{name} is true or false, not {other}")),
        };
        match name {
            "register" => flags.register = switch()?,
            "clear" => flags.clear = switch()?,
            "version" => flags.version = switch()?,
            "y" => flags.yes = switch()?,
            "region" | "code" | "id" | "config" | "state-dir" => {
                let value = attached.or_else(|| words.next().cloned());
                let value = value.ok_or_else(|| format!("-{name} needs a value"))?;
                match name {
                    "region" => flags.region = Some(value),
                    "code" => flags.code = Some(value),
                    "id" => flags.id = Some(value),
                    "config" => flags.config = Some(value.into()),
                    _ => flags.state_dir = Some(value.into()),
                }
            }
            _ => {
                return Err(format!(
                    "stint has no flag -{name}; it has -register, -region, -code, -id, -y, -clear, \
                     -version, and its own -config and -state-dir"
                ));
            }
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Flags, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_with_one_hyphen_or_two_and_with_or_without_an_equals_sign() {
        let wanted = Flags {
            register: true,
            yes: true,
            region: Some("r".into()),
            code: Some("c".into()),
            id: Some("i".into()),
            ..Flags::default()
        };
        assert_eq!(typed("-register -y -region r -code c -id i").unwrap(), wanted);
        assert_eq!(typed("--register=true --y -region=r --code=c -id i").unwrap(), wanted);
        assert!(typed("-version").unwrap().version);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (line, wanted) in [
            ("-frobnicate", "no flag -frobnicate"),
            ("-region", "-region needs a value"),
            ("-y=maybe", "-y is true or false, not maybe"),
            ("register", "register is no flag"),
        ] {
            assert!(typed(line).unwrap_err().contains(wanted), "{line}");
        }
    }
}

//! What can be wrong with a configuration, each with its place.

use std::fmt;
use std::io;
use std::path::PathBuf;
use stint_wire::json;

/// Why a configuration can't be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The text is no JSON.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        cause: json::SyntaxError,
    },
    /// A key isn't known.
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
        /// From the top, joined with dots.
        key: String,
        /// The keys that may stand there.
        known: &'static [&'static str],
    },
    /// A value isn't one the key may have.
    BadValue {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
        /// From the top, joined with dots.
        key: String,
        /// What it would have to be.
        wanted: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, cause } => {
                write!(f, "can't read the configuration {}: {cause}", path.display())
            }
            ConfigError::Syntax { path, cause } => write!(f, "{} {cause}", path.display()),
            ConfigError::UnknownKey { path, line, key, known } => write!(
                f,
                "{} line {line}: there is no key \"{key}\"; the keys here are {}",
                path.display(),
                known.join(", ")
            ),
            ConfigError::BadValue { path, line, key, wanted } => {
                write!(f, "{} line {line}: \"{key}\" must be {wanted}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

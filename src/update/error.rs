//! Why there is no update.

use crate::remote::RemoteError;
use crate::sys::FileError;
use std::fmt;
use stint_wire::manifest::ManifestError;

/// Why there is no update. Nothing of what runs has been touched.
#[derive(Debug)]
pub enum UpdateError {
    /// Nobody says where the manifest is.
    NoSource,
    /// The configuration makes no sense: why.
    Setup(String),
    /// Nobody says by which keys it is signed.
    NoKeys,
    /// The manifest, its signatures or the program can't be had.
    Remote(RemoteError),
    /// No key that this device knows has signed the manifest at this URL.
    Unsigned(String),
    /// The manifest makes no sense.
    Manifest(ManifestError),
    /// The manifest is older than one that has been seen: its serial number, and the other's.
    Stale(u64, u64),
    /// The manifest has nothing for this device, which looks for this file.
    NoFile(String),
    /// What was typed is no version.
    NoVersion(String),
    /// The manifest doesn't have this version.
    Unknown(String),
    /// This version isn't to be installed: what the manifest says of it.
    NotActive(String, &'static str),
    /// This version is below another, which runs or has been kept.
    Older(String, String),
    /// There is a version that has yet to show that it is good.
    OnTrial(String),
    /// Another process is at it.
    Busy,
    /// There is no room for it: bytes that are needed, and that are free.
    NoRoom(u64, u64),
    /// The program doesn't run on this device.
    WontRun(String, String),
    /// A file can't be written.
    File(FileError),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateError::NoSource => f.write_str(
                "nobody says where new versions are: name the manifest in the configuration, \
                 \"update\": {\"source\": \"https://…/manifest.json\"}",
            ),
            UpdateError::NoKeys => f.write_str(
                "no release key is known: name it in the configuration, \"update\": {\"keys\": \
                 [\"ed25519:…\"]}",
            ),
            UpdateError::Setup(why) => f.write_str(why),
            UpdateError::Remote(RemoteError::Refused { place, answer })
                if place.ends_with(".json") && answer.ends_with(" 404") =>
            {
                write!(
                    f,
                    "the server offers no versions: {answer} for {place}. A stint-hub offers those \
                     of `stint-hub release add`"
                )
            }
            UpdateError::Remote(cause) => write!(f, "{cause}"),
            UpdateError::Unsigned(url) => {
                write!(f, "{url} isn't signed by a release key that this device knows")
            }
            UpdateError::Manifest(cause) => write!(f, "{cause}"),
            UpdateError::Stale(serial, known) => write!(
                f,
                "the manifest is an old one: its serial number is {serial}, and {known} has been \
                 seen already"
            ),
            UpdateError::NoFile(file) => write!(f, "the manifest has no {file}"),
            UpdateError::NoVersion(text) => {
                write!(f, "{text} is no version: it must be up to four numbers with dots")
            }
            UpdateError::Unknown(version) => write!(f, "the manifest has no version {version}"),
            UpdateError::NotActive(version, status) => {
                write!(f, "version {version} is {status} and isn't installed")
            }
            UpdateError::Older(version, than) => write!(
                f,
                "version {version} is older than {than}; it is installed only with \
                 --allow-downgrade"
            ),
            UpdateError::OnTrial(version) => {
                write!(f, "version {version} is on trial; wait until that is over")
            }
            UpdateError::Busy => f.write_str("another update is under way"),
            UpdateError::NoRoom(needed, free) => write!(
                f,
                "there is no room for the new version: it needs {needed} bytes and the disk has \
                 {free} free"
            ),
            UpdateError::WontRun(version, why) => {
                write!(f, "version {version} doesn't run on this device: {why}")
            }
            UpdateError::File(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for UpdateError {}

impl From<FileError> for UpdateError {
    fn from(cause: FileError) -> UpdateError {
        UpdateError::File(cause)
    }
}

impl From<RemoteError> for UpdateError {
    fn from(cause: RemoteError) -> UpdateError {
        UpdateError::Remote(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_manifest_offers_no_versions_and_the_remedy_is_told() {
        let told = |place: &str, answer: &str| {
            let (place, answer) = (place.to_owned(), answer.to_owned());
            UpdateError::from(RemoteError::Refused { place, answer }).to_string()
        };
        let none = told("http://h/updates/manifest.json", "HTTP status 404");
        assert!(none.contains("offers no versions") && none.contains("stint-hub release add"));
        assert!(!told("http://h/updates/manifest.json", "HTTP status 403").contains("versions"));
        assert!(!told("http://h/updates/1/stint-x", "HTTP status 404").contains("versions"));
    }
}

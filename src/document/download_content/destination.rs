//! Where a download goes, and that it goes nowhere else.

use super::Failure;
use crate::sys::FileError;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The longest file name that Linux takes, bytes.
const MAX_NAME: usize = 255;

/// What `destinationPath` means.
#[derive(Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    is_folder: bool,
}

impl Destination {
    /// An absolute path is itself; any other is among the downloads of the document. What ends in
    /// a slash, is a folder already, or is empty takes files; else it is the file.
    pub fn new(text: &str, downloads: &Path) -> Result<Destination, Failure> {
        let given = Path::new(text);
        if !given.is_absolute() && given.components().any(|part| part == Component::ParentDir) {
            let what = format!(
                "destinationPath {text} must not contain \"..\", unless it is an absolute path"
            );
            return Err(Failure::Inputs(what));
        }
        let path = downloads.join(given);
        let is_folder = text.is_empty() || text.ends_with('/') || path.is_dir();
        Ok(Destination { path, is_folder })
    }

    /// The path of a single file that is called `name` where it comes from. Its folder is made.
    pub fn of_file(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = if self.is_folder { within(&self.path, name)? } else { self.path.clone() };
        make_parent(&path)?;
        Ok(path)
    }

    /// The path of one of many files, by its path where it comes from. Its folder is made.
    pub fn of_part(&self, part: &str) -> Result<PathBuf, Failure> {
        let path = within(&self.path, part)?;
        make_parent(&path)?;
        Ok(path)
    }

    /// The folder that takes many files, which is made.
    pub fn folder(&self) -> Result<&Path, Failure> {
        make(&self.path)?;
        Ok(&self.path)
    }
}

/// A path that somebody else has named, below `folder`: no way up, and none past it.
fn within(folder: &Path, part: &str) -> Result<PathBuf, Failure> {
    let valid = |name: &str| {
        !matches!(name, "" | "." | "..") && !name.contains('\0') && name.len() <= MAX_NAME
    };
    if !part.split('/').all(valid) {
        let what = format!("\"{part}\" can't be the name of a file here");
        return Err(Failure::Inputs(what));
    }
    Ok(folder.join(part))
}

fn make_parent(path: &Path) -> Result<(), FileError> {
    path.parent().map_or(Ok(()), make)
}

/// Not durable: the files are, and their folders with them when they are moved into them.
fn make(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::new("make", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use proptest::prelude::*;

    #[test]
    fn a_destination_is_a_folder_or_the_file_itself() {
        let folder = Folder::new();
        let downloads = folder.path().join("downloads");
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        for (text, wanted) in [
            ("", downloads.join("f")),
            ("a/", downloads.join("a/f")),
            ("a/b", downloads.join("a/b")),
            (&format!("{}/x/", folder.path().display()), folder.path().join("x/f")),
            (&there.display().to_string(), there.join("f")),
            (&format!("{}/../y", there.display()), there.join("../y")),
        ] {
            let destination = Destination::new(text, &downloads).unwrap();
            assert_eq!(destination.of_file("f").unwrap(), wanted, "{text}");
        }
        assert!(Destination::new("a/../../b", &downloads).is_err());
    }

    #[test]
    fn no_name_from_a_server_leads_out_of_the_folder() {
        let folder = Path::new("/d");
        assert_eq!(within(folder, "a/b c").unwrap(), Path::new("/d/a/b c"));
        let long = "x".repeat(256);
        for part in ["", "..", "a/../../b", "/etc/passwd", "a//b", "a/", "./a", "a\0b", &long] {
            assert!(within(folder, part).is_err(), "{part}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_below(part in "[a./\\\\\u{0} -]*") {
            if let Ok(path) = within(Path::new("/d"), &part) {
                let rest = path.strip_prefix("/d").unwrap();
                prop_assert!(rest.components().next().is_some());
                prop_assert!(rest.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}

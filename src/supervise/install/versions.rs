//! The versions of one child on this device: a folder each, and two links that say which runs and
//! which ran before.
//!
//! A folder without its note is no version: it is made whole before it gets the note and its
//! name, and loses the note before it loses anything else.

use super::super::launch::{CURRENT, VERSIONS};
use super::kind::Kind;
use crate::sys::faults::attempt;
use crate::sys::{FileError, durable};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use stint_wire::json::{self, Node, ObjectWriter};

/// The note in the folder of a version.
const NOTE: &str = ".stint.json";

/// Where the next version is made. No version can have this name.
const MAKING: &str = ".new";

const PREVIOUS: &str = "previous";

/// What is known of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The version.
    pub version: String,
    /// The SHA-256 of its package, lower-case hexadecimal.
    pub sha256: String,
    /// What it came as.
    pub kind: Kind,
    /// The name by which the system's package manager knows it; empty for other kinds.
    pub package: String,
    /// The name of the package's file in the folder, for the kinds that the system installs.
    pub file: String,
}

/// The versions of one child.
#[derive(Clone, Debug)]
pub struct Versions(PathBuf);

impl Versions {
    /// Those of the child with this folder. There may be none.
    pub fn of(child_folder: &Path) -> Versions {
        Versions(child_folder.to_owned())
    }

    /// The folder of a version.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(VERSIONS).join(name)
    }

    /// The name of the version that runs.
    pub fn current(&self) -> Option<String> {
        self.link(CURRENT)
    }

    /// The name of the version that ran before.
    pub fn previous(&self) -> Option<String> {
        self.link(PREVIOUS)
    }

    fn link(&self, link: &str) -> Option<String> {
        let name = self.target(link).ok()??;
        // One that can't be read now is there all the same.
        let note = fs::metadata(self.path(&name).join(NOTE));
        note.map_or_else(|error| !is_missing(&error), |_| true).then_some(name)
    }

    /// Where a link leads; `None` if there is none.
    fn target(&self, link: &str) -> Result<Option<String>, FileError> {
        let path = self.0.join(link);
        match fs::read_link(&path) {
            Ok(target) => Ok(target.file_name().and_then(|name| name.to_str()).map(str::to_owned)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(FileError::new("read", &path)(error)),
        }
    }

    /// What is known of a version; `None` if it isn't there whole.
    pub fn note(&self, name: &str) -> Option<Note> {
        // One that is still being made may have its note already.
        if name == MAKING {
            return None;
        }
        let node = json::parse(&fs::read_to_string(self.path(name).join(NOTE)).ok()?).ok()?;
        let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
        Some(Note {
            version: text("version")?,
            sha256: text("sha256")?,
            kind: Kind::parse(&text("kind")?)?,
            package: text("package").unwrap_or_default(),
            file: text("file").unwrap_or_default(),
        })
    }

    /// The version that was made of the package with this checksum.
    pub fn find(&self, sha256: &str) -> Option<String> {
        let names = durable::list(&self.path("")).unwrap_or_default();
        names.into_iter().find(|name| self.note(name).is_some_and(|note| note.sha256 == sha256))
    }

    /// An empty folder to make the next version in.
    ///
    /// # Errors
    /// The step that failed.
    pub fn begin(&self) -> Result<PathBuf, FileError> {
        durable::make_folder(&self.path(""))?;
        let making = self.path(MAKING);
        remove_folder(&making)?;
        durable::make_folder(&making)?;
        Ok(making)
    }

    /// Removes what [`Versions::begin`] has begun, if it wasn't finished.
    ///
    /// # Errors
    /// The step that failed.
    pub fn give_up(&self) -> Result<(), FileError> {
        remove_folder(&self.path(MAKING))
    }

    /// Makes a version of the folder `made`, which is whole. The result is the version's name:
    /// the version itself, or where there is another package of that version, with a part of the
    /// checksum.
    ///
    /// # Errors
    /// The step that failed.
    pub fn finish(&self, made: &Path, note: &Note) -> Result<String, FileError> {
        // Others than root have to read what a child with a user of its own runs, whatever the
        // archive says of its top folder.
        let mode = fs::Permissions::from_mode(0o755);
        attempt("chmod", made, || fs::set_permissions(made, mode))?;
        let file = made.join(NOTE);
        // Whatever the package has put there, and where the note is written first.
        for path in [&file, &made.join(format!("{NOTE}.tmp"))] {
            remove_folder(path).or_else(|_| durable::remove(path))?;
        }
        let text = ObjectWriter::new()
            .string("version", &note.version)
            .string("sha256", &note.sha256)
            .string("kind", note.kind.name())
            .string("package", &note.package)
            .string("file", &note.file)
            .finish();
        durable::write(&file, text.as_bytes())?;
        durable::sync_all(made)?;
        let mut name = note.version.clone();
        if self.note(&name).is_some() {
            name = format!("{name}+{}", note.sha256.get(..8).unwrap_or_default());
        }
        remove_folder(&self.path(&name))?;
        durable::rename(made, &self.path(&name))?;
        Ok(name)
    }

    /// Lets the links say that `current` runs and that `previous` ran before.
    ///
    /// # Errors
    /// The step that failed. Whatever it was, the version that is said to run is the old or the
    /// new one.
    pub fn switch(&self, current: Option<&str>, previous: Option<&str>) -> Result<(), FileError> {
        self.point(PREVIOUS, previous)?;
        self.point(CURRENT, current)
    }

    fn point(&self, link: &str, name: Option<&str>) -> Result<(), FileError> {
        let path = self.0.join(link);
        let Some(name) = name else { return durable::remove(&path) };
        if self.link(link).as_deref() == Some(name) {
            return Ok(());
        }
        let temporary = self.0.join(format!("{link}.tmp"));
        durable::remove(&temporary)?;
        // Relative, so that the state folder can be moved.
        let target = Path::new(VERSIONS).join(name);
        attempt("link", &temporary, || symlink(&target, &temporary))?;
        durable::rename(&temporary, &path)
    }

    /// Removes all versions but these two, and what a killed process has left.
    ///
    /// # Errors
    /// The step that failed.
    pub fn prune(&self) -> Result<(), FileError> {
        // Whatever they are: what is in use is never removed.
        let kept = [self.target(CURRENT)?, self.target(PREVIOUS)?];
        let names = match durable::list(&self.path("")) {
            Err(error) if error.cause.kind() == ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        for name in names {
            if !kept.iter().flatten().any(|kept| *kept == name) {
                self.forget(&name)?;
            }
        }
        Ok(())
    }

    fn forget(&self, name: &str) -> Result<(), FileError> {
        let folder = self.path(name);
        match attempt("remove", &folder, || fs::remove_file(folder.join(NOTE))) {
            Err(error) if !is_missing(&error.cause) => return Err(error),
            _ => {}
        }
        remove_folder(&folder)
    }
}

/// Removes a folder with all that is in it; one that isn't there is fine.
fn remove_folder(path: &Path) -> Result<(), FileError> {
    match attempt("remove", path, || fs::remove_dir_all(path)) {
        Err(error) if !is_missing(&error.cause) => Err(error),
        _ => Ok(()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn note(version: &str, sha256: &str) -> Note {
        Note {
            version: version.into(),
            sha256: sha256.into(),
            kind: Kind::TarGz,
            package: String::new(),
            file: String::new(),
        }
    }

    fn add(versions: &Versions, version: &str, sha256: &str) -> String {
        let made = versions.begin().unwrap();
        fs::write(made.join("agent"), version).unwrap();
        versions.finish(&made, &note(version, sha256)).unwrap()
    }

    #[test]
    fn a_switch_keeps_one_version_to_go_back_to() {
        let folder = Folder::new();
        let versions = Versions::of(folder.path());
        assert_eq!((versions.current(), versions.previous()), (None, None));
        let mut before: Option<String> = None;
        for version in ["1", "2", "3"] {
            let name = add(&versions, version, &format!("{version}{version}"));
            versions.switch(Some(&name), before.as_deref()).unwrap();
            versions.prune().unwrap();
            before = Some(name);
        }
        assert_eq!(versions.current().as_deref(), Some("3"));
        assert_eq!(versions.previous().as_deref(), Some("2"));
        assert_eq!(durable::list(&versions.path("")).unwrap(), ["2", "3"]);
        assert_eq!(fs::read(folder.path().join("current/agent")).unwrap(), b"3");
        versions.switch(Some("2"), None).unwrap();
        versions.prune().unwrap();
        assert_eq!(durable::list(&versions.path("")).unwrap(), ["2"]);
        versions.switch(None, None).unwrap();
        versions.prune().unwrap();
        assert_eq!((versions.current(), versions.find("22")), (None, None));
    }

    #[test]
    fn two_packages_of_one_version_don_t_take_each_other_s_place() {
        let folder = Folder::new();
        let versions = Versions::of(folder.path());
        let first = add(&versions, "1.0", "aaaaaaaaaaaa");
        versions.switch(Some(&first), None).unwrap();
        let second = add(&versions, "1.0", "bbbbbbbbbbbb");
        assert_eq!((first.as_str(), second.as_str()), ("1.0", "1.0+bbbbbbbb"));
        assert_eq!(versions.find("bbbbbbbbbbbb"), Some(second));
        assert_eq!(versions.note("1.0"), Some(note("1.0", "aaaaaaaaaaaa")));
    }

    #[test]
    fn a_half_made_and_a_half_removed_folder_are_no_versions() {
        let folder = Folder::new();
        let versions = Versions::of(folder.path());
        let made = versions.begin().unwrap();
        fs::write(made.join("agent"), "half").unwrap();
        fs::create_dir(versions.path("0.9")).unwrap();
        symlink("versions/0.9", folder.path().join(CURRENT)).unwrap();
        assert_eq!(versions.current(), None);
        // Killed when it had its note and not yet its name.
        let noted = "{\"version\":\"0.9\",\"sha256\":\"cc\",\"kind\":\"tar.gz\"}";
        fs::write(made.join(NOTE), noted).unwrap();
        assert_eq!(versions.find("cc"), None);
        let name = add(&versions, "0.9", "cc");
        assert_eq!((name.as_str(), versions.current().as_deref()), ("0.9", Some("0.9")));
        assert!(!versions.path(MAKING).exists());
    }

    #[test]
    fn all_users_may_read_a_version_whatever_its_archive_says() {
        let folder = Folder::new();
        let versions = Versions::of(folder.path());
        let made = versions.begin().unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o700)).unwrap();
        let name = versions.finish(&made, &note("1", "aa")).unwrap();
        let mode = fs::metadata(versions.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_note_that_the_package_brings_is_not_believed_nor_followed() {
        let folder = Folder::new();
        let versions = Versions::of(folder.path());
        let outside = folder.path().join("outside");
        fs::write(&outside, "old").unwrap();
        for (version, brought) in [("1", NOTE), ("2", ".stint.json.tmp")] {
            let made = versions.begin().unwrap();
            symlink(&outside, made.join(brought)).unwrap();
            let name = versions.finish(&made, &note(version, "dd")).unwrap();
            assert_eq!(versions.note(&name), Some(note(version, "dd")));
            assert_eq!(fs::read(&outside).unwrap(), b"old");
        }
    }
}

//! Where definitions come from: files of the operator and of packages, and jobs.
//!
//! A definition that a job gave is in the child's folder and goes before a file. Of each file's
//! definition the last good text is kept there too, so that a child goes on while its file is
//! being mended.

use super::definition::{Definition, MAX_FILE};
use crate::sys::{FileError, durable};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// In a child's folder: what a job defined.
pub const BY_JOB: &str = "definition.json";

/// In a child's folder: what its file said when it was last good.
pub const BY_FILE: &str = "defined.json";

/// A definition and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub definition: Definition,
    /// The file of the operator; `None`: a job.
    pub file: Option<PathBuf>,
}

/// A file that defines nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, with the line.
    pub what: String,
}

/// Reads the files `*.json` in `folder`, in the order of their names. A folder that isn't there is
/// empty. Of two with the same name the first one counts.
pub fn read_folder(folder: &Path) -> (Vec<Found>, Vec<Problem>) {
    let (mut found, mut problems): (Vec<Found>, Vec<Problem>) = Default::default();
    let names = match durable::list(folder) {
        Ok(names) => names,
        Err(error) if error.cause.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            problems.push(Problem { path: folder.to_owned(), what: error.to_string() });
            Vec::new()
        }
    };
    for name in names.iter().filter(|name| name.ends_with(".json") && !name.starts_with('.')) {
        let path = folder.join(name);
        let earlier = |definition: &Definition| {
            let same = |other: &&Found| other.definition.name == definition.name;
            found.iter().find(same).and_then(|other| other.file.clone())
        };
        match read_file(&path) {
            Ok(definition) => match earlier(&definition) {
                None => found.push(Found { definition, file: Some(path) }),
                Some(other) => {
                    let (name, other) = (definition.name, other.display());
                    let what =
                        format!("{name} is already defined by {other}; this file is ignored");
                    problems.push(Problem { path, what });
                }
            },
            Err(what) => problems.push(Problem { path, what }),
        }
    }
    (found, problems)
}

/// Reads one definition file.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_file(path: &Path) -> Result<Definition, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it is larger than {} KiB", MAX_FILE / 1024));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Definition::parse(&text).map_err(|error| error.to_string())
}

/// Reads the definition that is kept in a child's folder; `None` if there is none.
///
/// # Errors
/// There is one, and it can't be read now or makes no sense: the child may run all the same.
pub fn read_kept(path: &Path) -> Result<Option<Definition>, FileError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => {
            let read = read_file(path).map_err(io::Error::other);
            read.map(Some).map_err(FileError::new("read", path))
        }
    }
}

/// Keeps the text of a file in a child's folder, if it isn't there already.
///
/// # Errors
/// The step that failed.
pub fn keep(file: &Path, folder: &Path) -> Result<(), FileError> {
    let text = fs::read(file).map_err(FileError::new("read", file))?;
    let kept = folder.join(BY_FILE);
    match fs::read(&kept) {
        Ok(old) if old == text => Ok(()),
        _ => durable::write(&kept, &text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_kept_definition_that_cannot_be_read_is_not_taken_for_none() {
        let folder = Folder::new();
        let path = folder.path().join("definition.json");
        assert_eq!(read_kept(&path).unwrap(), None);
        for damaged in ["", "{", "{\"name\": \"a\"}"] {
            fs::write(&path, damaged).unwrap();
            assert!(read_kept(&path).is_err(), "{damaged}");
        }
        fs::write(&path, r#"{"name": "a", "exec": "/bin/a"}"#).unwrap();
        assert_eq!(read_kept(&path).unwrap().unwrap().name, "a");
    }

    #[test]
    fn a_bad_file_and_a_double_name_are_reported_and_the_others_are_read() {
        let folder = Folder::new();
        for (name, text) in [
            ("10-a.json", "{\"name\": \"a\", \"exec\": \"/a\"}"),
            ("20-b.json", "{\"name\": \"b\",\n\"exce\": \"/b\"}"),
            ("30-a.json", "{\"name\": \"a\", \"exec\": \"/other\"}"),
            ("40-c.json", "{\"name\": \"c\", \"exec\": \"/c\"}"),
            ("note.txt", "not for us"),
            (".50-d.json", "nor this"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (found, problems) = read_folder(folder.path());
        let names: Vec<_> = found.iter().map(|found| found.definition.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(found[0].definition.exec, Path::new("/a"));
        assert_eq!(problems.len(), 2);
        assert!(problems[0].path.ends_with("20-b.json"));
        assert!(problems[0].what.starts_with("line 2: there is no member \"exce\""));
        assert!(problems[1].what.contains("10-a.json; this file is ignored"));
        assert_eq!(read_folder(Path::new("/nonexistent/children.d")), Default::default());
    }

    #[test]
    fn a_file_too_large_is_no_definition() {
        let folder = Folder::new();
        fs::write(folder.path().join("a.json"), " ".repeat(17_000)).unwrap();
        let (_, problems) = read_folder(folder.path());
        assert_eq!(problems[0].what, "it is larger than 16 KiB");
    }
}

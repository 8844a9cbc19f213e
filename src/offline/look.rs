//! Which files of the folder are whole: an editor, `cp` or a slow card may still be at it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file is whole if two looks in a row saw it the same.
const SAME: u32 = 1;

/// What can't be read as a document may only be half of one, written slowly: so many looks in a
/// row must have seen it the same before it is taken for what it is.
const SAME_FOR_INVALID: u32 = 5;

/// Names by which editors and copying programs mark what isn't whole yet.
const UNFINISHED: [&str; 7] = ["~", ".tmp", ".new", ".part", ".partial", ".swp", ".swx"];

/// What the looks have seen.
#[derive(Debug, Default)]
pub struct Look {
    seen: Vec<Seen>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    /// Inode, length and time of the last change.
    state: (u64, u64, i64, i64),
    /// So many looks in a row it was the same.
    same: u32,
}

impl Look {
    /// Looks at the folder; gives the files that are whole, by name. `is_valid` says whether a file
    /// can be read as what it should be.
    pub fn at(&mut self, folder: &Path, is_valid: &dyn Fn(&Path) -> bool) -> Vec<String> {
        let before = std::mem::take(&mut self.seen);
        let mut whole = Vec::new();
        for name in crate::sys::durable::list(folder).unwrap_or_default() {
            let path = folder.join(&name);
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() || is_unfinished(&name) {
                continue;
            }
            let state = (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
            let same = before
                .iter()
                .find(|seen| seen.name == name && seen.state == state)
                .map_or(0, |seen| seen.same.saturating_add(1));
            if same >= SAME_FOR_INVALID || same >= SAME && is_valid(&path) {
                whole.push(name.clone());
            }
            self.seen.push(Seen { name, state, same });
        }
        whole
    }

    /// Whether the last look has seen a file, whole or not.
    pub fn has_seen(&self) -> bool {
        !self.seen.is_empty()
    }
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_file_that_still_grows_is_not_taken() {
        let folder = Folder::new();
        let (mut look, path) = (Look::default(), folder.path().join("a.json"));
        for text in ["{", "{\"a\"", "{\"a\":1}"] {
            fs::write(&path, text).unwrap();
            assert!(look.at(folder.path(), &|_| true).is_empty(), "{text}");
        }
        assert_eq!(look.at(folder.path(), &|_| true), ["a.json"]);
    }

    #[test]
    fn half_a_document_has_time_to_become_whole() {
        let folder = Folder::new();
        let mut look = Look::default();
        fs::write(folder.path().join("a.json"), "{").unwrap();
        for turn in 0..5 {
            assert!(look.at(folder.path(), &|_| false).is_empty(), "{turn}");
        }
        assert_eq!(look.at(folder.path(), &|_| false), ["a.json"]);
    }

    #[test]
    fn what_its_name_says_is_unfinished_and_folders_are_passed_over() {
        let folder = Folder::new();
        let mut look = Look::default();
        for name in [".a.json", "a.json~", "a.json.tmp", ".a.json.swp", "a.part"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        fs::create_dir(folder.path().join("submitted")).unwrap();
        for _ in 0..9 {
            assert!(look.at(folder.path(), &|_| true).is_empty());
        }
    }
}

//! Helpers of the unit tests.

use std::path::{Path, PathBuf};

/// A folder of the test's own, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one with a name nobody else has.
    pub fn new() -> Folder {
        let name = crate::sys::random::uuid().unwrap();
        let path = std::env::temp_dir().join(format!("stint-test-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

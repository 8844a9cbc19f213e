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

/// Waits until a process is gone or a zombie: a killed one takes a moment to die.
pub fn wait_for_death(pid: u32) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "it lives: {stat}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

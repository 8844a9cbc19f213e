//! Memory: the C library's allocator, and files that are nowhere else.

use super::check;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;

/// `linux/memfd.h`
const MFD_CLOEXEC: libc::c_uint = 1;

/// A file in memory that is on no disk. Processes of this user can open it while this one holds
/// it.
pub struct MemoryFile(File);

impl MemoryFile {
    /// Makes one with this content, for its user alone.
    ///
    /// # Errors
    /// No memory, or a kernel before Linux 3.17.
    pub fn new(content: &[u8]) -> io::Result<MemoryFile> {
        // SAFETY: the name is a string that ends in zero; the descriptor is new and nobody else's.
        let mut file = unsafe {
            let name = c"stint".as_ptr();
            let descriptor =
                check(libc::syscall(libc::SYS_memfd_create, name, MFD_CLOEXEC) as libc::c_int)?;
            File::from_raw_fd(descriptor)
        };
        // SAFETY: takes integers only. Readable, and executable for those who look.
        check(unsafe { libc::fchmod(file.as_raw_fd(), 0o500) })?;
        file.write_all(content)?;
        Ok(MemoryFile(file))
    }

    /// Its path for other processes. Each opens it for itself, from the beginning.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()))
    }
}

/// Lets all threads share one heap. glibc gives each its own, which costs an agent of three
/// threads some tens of kilobytes; musl has one anyway. To be called before there are threads.
pub fn share_one_heap() {
    // SAFETY: takes integers only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    #[test]
    fn other_processes_read_a_file_that_is_on_no_disk() {
        let file = MemoryFile::new(b"echo $0 | cut -c1-6; echo said").unwrap();
        let output = std::process::Command::new("sh").arg(file.path()).output().unwrap();
        assert_eq!(output.stdout, b"/proc/\nsaid\n");
        let path = file.path();
        let is = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let before = is(&path);
        drop(file);
        // Another test may have opened something else there by now.
        assert_ne!(is(&path), before);
    }
}

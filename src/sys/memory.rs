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

/// How the kernel loaded a part of the program file.
#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Header = libc::Elf32_Phdr;

/// Lets go of the program's own pages that are mapped; what is still needed of them comes back out of the kernel's
/// cache when it is. The beginning needs most of a program once, and a kernel maps sixteen pages around
/// each that is used (decision 0051).
pub fn let_go_of_program() {
    // SAFETY: these take an integer. The headers are those with which the kernel has loaded this program: so
    // many as it says, and mapped for as long as it runs.
    let (page, headers) = unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const Header;
        let count = libc::getauxval(libc::AT_PHNUM) as usize;
        if first.is_null() {
            return;
        }
        (libc::sysconf(libc::_SC_PAGESIZE) as usize, std::slice::from_raw_parts(first, count))
    };
    for (begin, length) in unchanging(headers, headers.as_ptr() as usize, page) {
        // SAFETY: whole pages of the file, which nobody can write to: what comes back is what was there.
        unsafe { libc::madvise(begin as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// The whole pages that are the file's for good, each run of them with its length in bytes. `table` is where the
/// headers are.
fn unchanging(
    headers: &[Header],
    table: usize,
    page: usize,
) -> impl Iterator<Item = (usize, usize)> {
    // The table's own header tells how far from its place in the file all is.
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let base = own.map(|own| table.wrapping_sub(own.p_vaddr as usize));
    headers.iter().filter_map(move |header| {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            return None;
        }
        let first = base?.wrapping_add(header.p_vaddr as usize);
        let end = (first + header.p_filesz as usize) / page * page;
        let begin = first.next_multiple_of(page);
        (begin < end).then(|| (begin, end - begin))
    })
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

    fn header(kind: u32, flags: u32, at: usize, length: usize) -> Header {
        // SAFETY: numbers alone.
        let mut header: Header = unsafe { std::mem::zeroed() };
        (header.p_type, header.p_flags) = (kind, flags);
        (header.p_vaddr, header.p_filesz) = (at as _, length as _);
        header
    }

    #[test]
    fn whole_pages_that_nobody_writes_to_are_let_go_of_and_no_others() {
        let (code, data) = (libc::PF_R | libc::PF_X, libc::PF_R | libc::PF_W);
        let headers = [
            header(libc::PT_PHDR, libc::PF_R, 0x40, 0x200),
            header(libc::PT_LOAD, libc::PF_R, 0, 0x2345),
            header(libc::PT_LOAD, code, 0x3345, 0x3000),
            header(libc::PT_LOAD, code, 0x7100, 0x0eff),
            header(libc::PT_LOAD, data, 0x9000, 0x4000),
            header(libc::PT_GNU_RELRO, libc::PF_R, 0x9000, 0x1000),
        ];
        let found: Vec<_> = unchanging(&headers, 0x7f00_0040, 0x1000).collect();
        assert_eq!(found, [(0x7f00_0000, 0x2000), (0x7f00_4000, 0x2000)]);
        // Without its own header nobody knows where it all is.
        assert_eq!(unchanging(&headers[1..], 0x7f00_0040, 0x1000).count(), 0);
    }

    #[test]
    fn the_program_goes_on_without_the_pages_that_it_has_let_go_of() {
        let word = std::hint::black_box("a constant of the program");
        let_go_of_program();
        assert_eq!(word.len(), 25);
    }
}

//! Control groups as the kernel shows them: where their hierarchies are, and their files.

use super::check;
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `linux/magic.h`, of the unified hierarchy and of the others.
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;

/// No file that is read here is longer; `memory.stat` has about 2 kB.
const LONGEST_FILE: u64 = 64 * 1024;

/// How deep groups below a group are removed. Children seldom make any.
const DEEPEST: usize = 8;

/// A hierarchy of groups that is mounted and can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// Which group is shown there: `/` unless it is a part of the hierarchy.
    pub root: String,
    /// The unified hierarchy, cgroup v2.
    pub unified: bool,
    /// The controllers of an elder hierarchy, as mount options; other options among them.
    pub options: String,
}

impl Mount {
    /// Whether it is an elder hierarchy with this controller.
    pub fn has(&self, controller: &str) -> bool {
        !self.unified && self.options.split(',').any(|option| option == controller)
    }
}

/// All hierarchies that this process can reach. One that another mount covers is left out.
pub fn mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts = parse_mounts(&text);
    mounts.retain(|mount| {
        let magic = if mount.unified { CGROUP2_SUPER_MAGIC } else { CGROUP_SUPER_MAGIC };
        file_system(&mount.point) == Some(magic)
    });
    mounts
}

/// Reads proc_pid_mountinfo(5).
fn parse_mounts(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        let unified = match after.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let root = unescape(before.next()?);
        let point = PathBuf::from(unescape(before.next()?));
        let options = after.nth(1).unwrap_or_default().to_owned();
        Some(Mount { point, root, unified, options })
    };
    text.lines().filter_map(parse).collect()
}

/// The kernel writes blanks in paths as octal numbers.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

/// The magic number of the file system that `path` is on.
fn file_system(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path is a string that ends in zero, and the buffer is as large as statfs fills.
    unsafe {
        let mut facts: libc::statfs = std::mem::zeroed();
        check(libc::statfs(path.as_ptr(), &raw mut facts)).ok()?;
        Some(facts.f_type as u64 & 0xffff_ffff)
    }
}

/// The group of this process in the unified hierarchy, from its root on: `/system.slice/x`.
pub fn own_unified_group() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// The groups of this process, one in each hierarchy that can be seen.
pub fn own_groups() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    mounts().iter().filter_map(|mount| parse_own_group(&text, mount)).collect()
}

/// Reads cgroups(7), "/proc/pid/cgroup".
fn parse_own_group(text: &str, mount: &Mount) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_here = match controllers.split(',').next() {
            None | Some("") => mount.unified,
            Some(controller) => mount.has(controller),
        };
        is_here.then_some(path)
    })?;
    let below = path.strip_prefix(mount.root.trim_end_matches('/'))?;
    Some(mount.point.join(below.trim_start_matches('/')))
}

/// Whether the service manager has given this group away (systemd's `Delegate=`), with all that
/// is below it.
pub fn is_delegated(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    [c"trusted.delegate", c"user.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        // SAFETY: both strings end in zero; at most the buffer's length is written.
        let length = unsafe {
            libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        length == 1 && value == *b"1"
    })
}

/// Gives a group away, as the service manager does; `false` if that isn't permitted.
#[cfg(test)]
pub fn delegate(folder: &Path) -> bool {
    let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
    let (name, value) = (c"trusted.delegate", b"1");
    // SAFETY: both strings end in zero, and the value has the length that is said.
    unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), 1, 0) == 0 }
}

/// Whether the hierarchy that a group is in, or was in, is still mounted.
pub fn can_be_seen(folder: &Path) -> bool {
    let nearest = folder.ancestors().find_map(file_system);
    nearest.is_some_and(|magic| [CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC].contains(&magic))
}

/// Reads a file of a group.
///
/// # Errors
/// There is no such group or file, or no permission.
pub fn read(folder: &Path, file: &str) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(folder.join(file))?.take(LONGEST_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file of a group in one call, as the kernel wants it. A file that isn't there is not
/// made.
///
/// # Errors
/// There is no such group or file, no permission, or the kernel refuses the value.
pub fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(folder.join(file))?;
    file.write(value.as_bytes()).map(drop)
}

/// Makes a group; one that is there is fine. Its parent must be there.
///
/// # Errors
/// What mkdir(2) says.
pub fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Removes a group and those below it; one that isn't there is fine.
///
/// # Errors
/// What rmdir(2) says: there are still processes in it.
pub fn remove(folder: &Path) -> io::Result<()> {
    remove_below(folder, DEEPEST)
}

fn remove_below(folder: &Path, deepest: usize) -> io::Result<()> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    let Err(error) = fs::remove_dir(folder) else { return Ok(()) };
    if deepest == 0 || error.kind() == io::ErrorKind::NotFound {
        return gone(error);
    }
    for below in subgroups(folder) {
        remove_below(&below, deepest - 1)?;
    }
    fs::remove_dir(folder).or_else(gone)
}

/// The groups right below a group.
pub fn subgroups(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// The processes of a group, without those of the groups below it.
pub fn processes(folder: &Path) -> Vec<u32> {
    let text = read(folder, "cgroup.procs").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
}

/// Puts the calling process into groups by their files `cgroup.procs`. To be called between fork
/// and exec: it does only what is safe there. Every file is tried; where the process really is,
/// the parent looks up afterwards.
pub fn enter(files: &[CString]) {
    for file in files {
        // SAFETY: the strings end in zero; open, write and close are async-signal-safe and none
        // of this allocates.
        unsafe {
            let descriptor = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if descriptor >= 0 {
                libc::write(descriptor, c"0".as_ptr().cast(), 1);
                libc::close(descriptor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_kinds_are_found_in_mountinfo() {
        let text = "\
22 1 8:1 / / rw - ext4 /dev/root rw\n\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:5 - cgroup cgroup rw,cpu,cpuacct\n\
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
41 31 0:38 /docker/a\\040b /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 3);
        assert!(mounts[0].has("cpu") && mounts[0].has("cpuacct") && !mounts[0].has("memory"));
        assert!(!mounts[1].has("cpu") && !mounts[1].unified);
        assert_eq!(mounts[2].point, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!((mounts[2].root.as_str(), mounts[2].unified), ("/docker/a b", true));
        let own = "3:name=systemd:/s\n2:cpu,cpuacct:/stint/app\n0::/docker/a b/stint/app\n";
        let groups = ["cpu,cpuacct/stint/app", "systemd/s", "unified/stint/app"];
        for (mount, group) in mounts.iter().zip(groups) {
            let found = parse_own_group(own, mount).unwrap();
            assert_eq!(found, Path::new("/sys/fs/cgroup").join(group));
        }
    }

    #[test]
    fn a_folder_that_is_no_group_is_not_taken_for_one() {
        assert_ne!(file_system(Path::new("/")), Some(CGROUP2_SUPER_MAGIC));
        assert_eq!(file_system(Path::new("/no/such/place")), None);
        assert!(!is_delegated(Path::new("/")));
    }

    #[test]
    fn writing_never_makes_a_file() {
        let folder = crate::testing::Folder::new();
        assert!(write(folder.path(), "cpu.max", "max").is_err());
        assert!(!folder.path().join("cpu.max").exists());
    }
}

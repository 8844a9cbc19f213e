//! Starting a child's process, and finding it again where nobody noted it.
//!
//! The agent may be killed at any moment. Before a start it therefore notes a mark that no other
//! start has, and takes a lock which the new process holds until its program begins. The next
//! agent waits for the lock, and then finds the process by the mark in its environment; or it
//! isn't there, and then it won't come.

use super::definition::Definition;
use super::limits::Group;
use super::record::Record;
use crate::sys::child::{self, Before};
use crate::sys::command::{Command, Stdio};
use crate::sys::process::{self, Identity};
use crate::sys::tree::{self, Process};
use crate::sys::{FileError, faults, fifo, lock, users};
use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The variable with the mark of a start.
pub const MARK: &str = "STINT_START";

/// The FIFO in a child's folder that takes its output.
pub const OUTPUT: &str = "output";

/// The link to the installed version.
pub const CURRENT: &str = "current";

/// The folder of the installed versions.
pub const VERSIONS: &str = "versions";

const LOCK: &str = "starting";

/// Where there is nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Handed on from the agent's own environment.
const INHERITED: [&str; 3] = ["TZ", "LANG", "LD_LIBRARY_PATH"];

/// From fork to the program's beginning it takes milliseconds; a machine that swaps takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the process of a child in `folder`. Its record has the mark, durably.
///
/// # Errors
/// A sentence: the program isn't there, there is no such user.
pub fn start(
    folder: &Path,
    definition: &Definition,
    record: &Record,
    group: &Group,
    socket: Option<&Path>,
) -> Result<Identity, String> {
    let words = |error: FileError| error.to_string();
    let program = program(folder, definition);
    let who = users::find(definition.user.as_deref(), definition.group.as_deref())?;
    let output = folder.join(OUTPUT);
    fifo::make(&output).map_err(words)?;
    if let Some(who) = &who {
        for path in [Some(output.as_path()), socket].into_iter().flatten() {
            let _ = std::os::unix::fs::chown(path, Some(who.uid), Some(who.gid));
        }
        open_way(folder);
    }
    let stdout = fifo::open(&output, true).map_err(words)?;
    let stderr = stdout.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(&program);
    command.args(&definition.args).current_dir("/").env_clear();
    command.env(
        "PATH",
        env::var_os("PATH").filter(|path| !path.is_empty()).as_deref().unwrap_or(OsStr::new(PATH)),
    );
    for name in INHERITED {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    match &who {
        Some(who) => {
            command.env("HOME", &who.home).env("USER", &who.name).env("LOGNAME", &who.name)
        }
        None => command.env("HOME", env::var_os("HOME").as_deref().unwrap_or(OsStr::new("/"))),
    };
    for (name, value) in record.envs.as_ref().unwrap_or(&definition.envs) {
        command.env(name, value);
    }
    if let Some(socket) = socket {
        command.env("BOOTSOCK", socket);
    }
    let (name, value) = group.mark();
    command.env(name, value).env(MARK, &record.mark);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let backstop = group.rlimits();
    let (data, oom_score) = (backstop.data, backstop.oom_score);
    child::prepare(&mut command, Before { groups: group.procs_files(), data, oom_score, who });
    let held = lock::acquire(&folder.join(LOCK)).map_err(words)?;
    faults::point("child starts");
    let started = command.spawn();
    drop(held);
    faults::point("child started");
    let pid = started.map_err(|cause| format!("can't start {}: {cause}", program.display()))?.id();
    // A child that has ended already is a zombie of this process, and is still there.
    Identity::of(pid).ok_or_else(|| format!("process {pid} can't be found in /proc"))
}

/// The program of a child.
fn program(folder: &Path, definition: &Definition) -> PathBuf {
    // An absolute one replaces the folder.
    folder.join(CURRENT).join(&definition.exec)
}

/// A child that isn't its user has to get to its program, which may be below the state folder. The
/// files there are for the agent's user alone all the same.
fn open_way(folder: &Path) {
    let versions = folder.join(VERSIONS);
    for folder in [versions.as_path()].into_iter().chain(folder.ancestors().take(3)) {
        if let Ok(meta) = fs::metadata(folder)
            && meta.permissions().mode() & 0o011 != 0o011
        {
            let _ = fs::set_permissions(
                folder,
                Permissions::from_mode(meta.permissions().mode() | 0o011),
            );
        }
    }
}

/// Waits until a start that a killed agent had begun has come to its end: the program runs, or
/// there is no process.
pub fn settle(folder: &Path) {
    let end = Instant::now() + PATIENCE;
    while lock::is_held(&folder.join(LOCK)) && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The processes of the start that has `mark`, oldest first. One that has overwritten its
/// environment is known by its output.
pub fn find(folder: &Path, mark: &str) -> Vec<Process> {
    let entry = format!("{MARK}={mark}");
    let output = folder.join(OUTPUT);
    let writes = |pid: u32| {
        let to = |number| fs::read_link(format!("/proc/{pid}/fd/{number}"));
        to(1).is_ok_and(|to| to == output) || to(2).is_ok_and(|to| to == output)
    };
    let own = process::own();
    let mut found = Process::all();
    found.retain(|process| {
        let pid = process.identity.pid;
        let alive = !own.contains(&pid) && process.state != b'Z';
        alive && (tree::is_marked(pid, &entry) || writes(pid))
    });
    found.sort_unstable_by_key(|process| (process.identity.started, process.identity.pid));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_start_that_is_under_way_is_waited_for() {
        let folder = Folder::new();
        settle(folder.path());
        let held = lock::acquire(&folder.path().join(LOCK)).unwrap().unwrap();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            drop(held);
        });
        let begin = Instant::now();
        settle(folder.path());
        assert!(begin.elapsed() >= Duration::from_millis(250));
        other.join().unwrap();
    }

    #[test]
    fn a_child_with_a_user_of_its_own_gets_to_its_installed_program() {
        let top = Folder::new();
        let state = top.path().join("state");
        let folder = state.join("children").join("app");
        let versions = folder.join(VERSIONS);
        crate::sys::durable::make_folder(&versions).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&versions), 0o700);
        open_way(&folder);
        for path in [state.as_path(), &state.join("children"), &folder, &versions] {
            assert_eq!(mode(path), 0o711, "{}", path.display());
        }
        // One that has no installed version is nothing out of the ordinary.
        fs::remove_dir(&versions).unwrap();
        open_way(&folder);
        assert!(!versions.exists());
    }

    #[test]
    fn a_process_is_found_by_its_mark_and_one_without_environment_by_its_output() {
        let folder = Folder::new();
        let output = folder.path().join(OUTPUT);
        fifo::make(&output).unwrap();
        let mut marked = Command::new("sleep");
        marked.arg("600").env(MARK, "m-1").stdin(Stdio::null());
        let mut bare = Command::new("sleep");
        bare.arg("600").env_clear().stdout(fifo::open(&output, true).unwrap());
        let mut children = [marked.spawn().unwrap(), bare.spawn().unwrap()];
        let mut pids: Vec<u32> = children.iter().map(crate::sys::command::Child::id).collect();
        let mut found: Vec<u32> =
            find(folder.path(), "m-1").iter().map(|process| process.identity.pid).collect();
        pids.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, pids);
        assert!(find(Path::new("/nonexistent"), "m-2").is_empty());
        for child in &mut children {
            crate::sys::process::signal(child.id(), libc::SIGKILL).unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_lock_of_a_start_is_given_up_when_the_program_begins() {
        let folder = Folder::new();
        let held = lock::acquire(&folder.path().join(LOCK)).unwrap().unwrap();
        // As inheritable as it can be made: what counts is that a child is prepared.
        // It is closed when the program begins, although the process lives on.
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null());
        let mut child = child::prepare(&mut command, Before::default()).spawn().unwrap();
        assert!(held.as_raw_fd() > 2 && File::open(folder.path().join(LOCK)).is_ok());
        drop(held);
        assert!(!lock::is_held(&folder.path().join(LOCK)));
        crate::sys::process::kill_group(child.id()).unwrap();
        child.wait().unwrap();
    }
}

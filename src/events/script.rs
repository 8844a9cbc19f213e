//! Asking the scripts of one event.

use super::Settings;
use crate::sys::command::{Command, Stdio};
use crate::sys::process::{self, Group};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks whether a script has ended.
const LOOK: Duration = Duration::from_millis(50);

/// What a script runs with in `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a script is told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The event.
    pub event: String,
    /// The state before; its first argument.
    pub previous: String,
    /// This node's id; may be empty.
    pub node: String,
    /// Its region.
    pub region: String,
    /// The server's URL.
    pub server: String,
}

/// Runs what each folder has of an event: whether all of it agrees, and what was seen. Nothing
/// there is agreement. Waits for the scripts, each no longer than the limit.
pub fn ask(settings: &Settings, told: &Told) -> (bool, String) {
    let mut seen = Vec::new();
    let mut good = true;
    for folder in &settings.folders {
        let path = folder.join(&told.event);
        let said = match run(&path, folder, settings.limit, told) {
            Ok(None) => continue,
            Ok(Some(fault)) => {
                good = false;
                fault
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => {
                good = false;
                cause.to_string()
            }
        };
        seen.push(format!("{}: {said}", path.display()));
    }
    (good, seen.join("; "))
}

/// Whether only root and the agent's user can change it. Where the agent's user isn't known it is
/// root's alone.
fn is_ours(meta: &fs::Metadata) -> bool {
    let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    (meta.uid() == 0 || meta.uid() == own) && meta.mode() & 0o022 == 0
}

/// Runs one script; what was wrong, if something was.
fn run(path: &Path, folder: &Path, limit: Duration, told: &Told) -> io::Result<Option<String>> {
    let meta = fs::metadata(path)?;
    if !is_ours(&meta) {
        return Ok(Some("others can write to it, so it isn't run".to_owned()));
    }
    if !is_ours(&fs::metadata(folder)?) {
        return Ok(Some("others can write to its folder, so it isn't run".to_owned()));
    }
    if !meta.is_file() || meta.mode() & 0o111 == 0 {
        return Ok(Some("it is no executable file".to_owned()));
    }
    let mut command = Command::new(path);
    command.arg(&told.previous).current_dir("/").env_clear().env("PATH", PATH);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("CS_SSM_AGENT_SCRIPT_DIR", format!("{}/", folder.display()));
    for (name, value) in [
        ("CS_GW_URL", &told.server),
        ("AWS_SSM_INSTANCE_ID", &told.node),
        ("AWS_SSM_REGION_NAME", &told.region),
        ("STINT_EVENT", &told.event),
        ("STINT_PREVIOUS_STATE", &told.previous),
    ] {
        command.env(name, value);
    }
    // A fault of the script is no absence.
    let faulty = |cause: io::Error| io::Error::other(format!("it can't be started: {cause}"));
    let mut child = process::isolate(&mut command, Group::Session).spawn().map_err(faulty)?;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(match (status.code(), status.signal()) {
                (Some(0), _) => None,
                (Some(code), _) => Some(format!("it ended with {code}")),
                (_, signal) => Some(format!("it ended by signal {}", signal.unwrap_or_default())),
            });
        }
        if Instant::now() >= end {
            let _ = process::kill_group(child.id());
            child.wait()?;
            return Ok(Some(format!("it was killed after {} s", limit.as_secs())));
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Folder, wait_for_death};
    use std::os::unix::fs::{PermissionsExt, chown};

    fn put(folder: &Folder, event: &str, text: &str, mode: u32) {
        let path = folder.path().join(event);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn ask_in(folders: &[&Folder], event: &str) -> (bool, String) {
        let folders = folders.iter().map(|folder| folder.path().to_owned()).collect();
        let settings = Settings { folders, limit: Duration::from_secs(1), ..Settings::default() };
        let told = Told { event: event.into(), previous: "draining".into(), ..Told::default() };
        ask(&settings, &told)
    }

    #[test]
    fn an_absent_script_agrees_and_each_that_is_there_must() {
        let (one, other) = (Folder::new(), Folder::new());
        assert_eq!(ask_in(&[&one, &other], "a"), (true, String::new()));
        put(&one, "a", "exit 0", 0o755);
        assert_eq!(ask_in(&[&one, &other], "a"), (true, String::new()));
        put(&other, "a", "exit 3", 0o755);
        let (good, seen) = ask_in(&[&one, &other], "a");
        assert!(!good && seen.ends_with("/a: it ended with 3"), "{seen}");
    }

    #[test]
    fn what_is_not_executable_or_writable_for_others_is_a_failure() {
        let folder = Folder::new();
        put(&folder, "a", "exit 0", 0o644);
        assert!(ask_in(&[&folder], "a").1.ends_with("it is no executable file"));
        put(&folder, "a", "exit 0", 0o777);
        assert!(ask_in(&[&folder], "a").1.ends_with("so it isn't run"));
        put(&folder, "a", "exit 0", 0o755);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ask_in(&[&folder], "a").1.ends_with("its folder, so it isn't run"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(ask_in(&[&folder], "a").0);
    }

    #[test]
    fn what_an_ordinary_user_owns_is_not_run_as_root() {
        let folder = Folder::new();
        put(&folder, "a", "exit 0", 0o755);
        // Only root can give a file away.
        if chown(folder.path().join("a"), Some(12345), None).is_ok() {
            assert!(
                ask_in(&[&folder], "a").1.ends_with("/a: others can write to it, so it isn't run")
            );
            chown(folder.path().join("a"), Some(0), None).unwrap();
            chown(folder.path(), Some(12345), None).unwrap();
            assert!(ask_in(&[&folder], "a").1.ends_with("its folder, so it isn't run"));
        }
    }

    #[test]
    fn a_script_hears_what_it_is_about() {
        let folder = Folder::new();
        let out = folder.path().join("out");
        let text = format!(
            "echo $1 $STINT_EVENT $STINT_PREVIOUS_STATE $CS_SSM_AGENT_SCRIPT_DIR >{}",
            out.display()
        );
        put(&folder, "a", &text, 0o755);
        assert!(ask_in(&[&folder], "a").0);
        let wanted = format!("draining a draining {}/\n", folder.path().display());
        assert_eq!(fs::read_to_string(out).unwrap(), wanted);
    }

    #[test]
    fn a_script_that_takes_too_long_is_killed_with_its_children() {
        let folder = Folder::new();
        let pid = folder.path().join("pid");
        put(&folder, "a", &format!("sleep 60 & echo $! >{}; wait", pid.display()), 0o755);
        let (good, seen) = ask_in(&[&folder], "a");
        assert!(!good && seen.ends_with("it was killed after 1 s"), "{seen}");
        wait_for_death(fs::read_to_string(pid).unwrap().trim().parse().unwrap());
    }
}

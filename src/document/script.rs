//! What the plugins share that run a program: the script's lines, working directory,
//! environment, time limit, and what an exit code means.

use super::exec::{self, ExecError, Exit};
use super::parameter_store;
use super::plugin::{Context, Ended, RESOLVE_LIMIT};
use crate::sys::command::Command;
use crate::sys::faults;
use crate::sys::host::Platform;
use crate::sys::memory::MemoryFile;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stint_wire::json::{Node, Value};
use stint_wire::reply::{Status, limit_stream};

/// The time limit of a step that names none, or one out of range, seconds.
const DEFAULT_LIMIT: u64 = 3600;

/// From 5 seconds to 48 hours, as the original.
const LIMITS: std::ops::RangeInclusive<u64> = 5..=172_800;

/// The code of a program that the agent killed.
const KILLED: i32 = 137;

/// A program that ends so asks for a reboot.
const REBOOT: i32 = 194;

/// What a program inherits of the agent's environment. The original hands on all of it, secrets
/// of its service manager included.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Init systems start daemons with less than this, and scripts expect it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The lines of `runCommand`, each ended.
///
/// # Errors
/// There are none, or they are no strings; the reason is for the step's standard error.
pub fn lines(inputs: &Node) -> Result<String, String> {
    let Some(node) = inputs.get_any_case("runCommand") else {
        return Err("the step has no runCommand".to_owned());
    };
    let one = std::slice::from_ref(node);
    let mut script = String::new();
    for line in node.elements().unwrap_or(one) {
        match line.as_str() {
            Some(text) => script.push_str(text),
            None => return Err(format!("runCommand must hold strings, not {}", line.kind())),
        }
        script.push('\n');
    }
    Ok(script)
}

/// Writes a script to the place that the context has for it, as a file that ends in `extension`;
/// runs the command that `interpreter` makes of its path; removes the file. A script that refers
/// to a secret gets it filled in and is in memory only.
pub fn run(
    inputs: &Node,
    script: &str,
    extension: &str,
    interpreter: impl FnOnce(&Path) -> Command,
    context: &mut Context<'_>,
) -> Ended {
    let patience = context.patience(RESOLVE_LIMIT);
    match parameter_store::reveal(script, context.remote, &patience) {
        Ok(None) => {}
        Ok(Some(secret)) => {
            return match MemoryFile::new(secret.as_bytes()) {
                Ok(file) => {
                    drop(secret);
                    run_program(interpreter(&file.path()), inputs, context)
                }
                Err(cause) => Ended::failed(format!(
                    "failed to run commands: a script with a secret in it must not be on a disk, \
                     and there is no file in memory for it: {cause}"
                )),
            };
        }
        Err(error) => return Ended::unresolved(&error),
    }
    let path = context.script.with_extension(extension);
    let written = faults::attempt("write", &path, || write_private(&path, script.as_bytes()));
    if let Err(error) = written {
        let _ = fs::remove_file(&path);
        return Ended::failed(error.to_string());
    }
    let ended = run_program(interpreter(&path), inputs, context);
    let _ = fs::remove_file(&path);
    ended
}

/// Scripts hold what their documents hold, secrets among it: nobody else may read them.
fn write_private(path: &Path, script: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o700);
    options.open(path)?.write_all(script)
}

/// Runs a program with the working directory, environment and time limit that `inputs` ask for.
/// What the command's environment holds already wins over the step's.
pub fn run_program(mut command: Command, inputs: &Node, context: &mut Context<'_>) -> Ended {
    match working_directory(inputs, context) {
        Ok(directory) => command.current_dir(directory),
        Err(reason) => return Ended::failed(reason),
    };
    set_environment(&mut command, inputs, context);
    let limit = Duration::from_secs(limit(inputs));
    let left = context.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let limit = left.map_or(limit, |left| left.min(limit));
    match exec::run(&mut command, context.folder, limit, context.signals, context.begun) {
        Ok(run) => judge(run),
        Err(ExecError::Spawn(cause)) => {
            let program = command.get_program().to_string_lossy();
            Ended::failed(format!("failed to run commands: can't start {program}: {cause}"))
        }
        Err(ExecError::File(cause)) => Ended::failed(format!("failed to run commands: {cause}")),
    }
}

/// The first of these programs that a folder of the agent's `PATH` holds.
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    find_in(&search_path(), names)
}

fn find_in(folders: &OsStr, names: &[&str]) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let in_every_folder =
        |name: &&str| env::split_paths(folders).map(|folder| folder.join(name)).find(executable);
    names.iter().find_map(in_every_folder)
}

fn search_path() -> OsString {
    env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into())
}

fn working_directory(inputs: &Node, context: &Context<'_>) -> Result<PathBuf, String> {
    let named = inputs.get_any_case("workingDirectory").and_then(Node::as_str).unwrap_or_default();
    let path = Path::new(named);
    if path.is_absolute() {
        return match path.is_dir() {
            true => Ok(path.to_owned()),
            false => Err(format!("workingDirectory {named} does not exist or is no folder")),
        };
    }
    // Also for an empty name: a script runs where the steps before it downloaded to.
    let downloaded = context.downloads.join(path);
    let safe = !named.contains("..") && downloaded.is_dir();
    Ok(if safe { downloaded } else { context.directory.to_owned() })
}

/// `timeoutSeconds`, which may be a number or a string; the default where it is out of range.
pub fn limit(inputs: &Node) -> u64 {
    let text = match inputs.get_any_case("timeoutSeconds").map(|node| &node.value) {
        Some(Value::String(text) | Value::Number(text)) => text.trim(),
        _ => "",
    };
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|seconds| LIMITS.contains(seconds)).unwrap_or(DEFAULT_LIMIT)
}

fn set_environment(command: &mut Command, inputs: &Node, context: &Context<'_>) {
    let own: Vec<(OsString, Option<OsString>)> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(OsStr::to_owned)))
        .collect();
    command.env_clear();
    command.env("PATH", DEFAULT_PATH);
    for name in INHERITED {
        if let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) {
            command.env(name, value);
        }
    }
    let environment = inputs.get_any_case("environment").map(Node::members).unwrap_or_default();
    for (name, value) in environment {
        // What no environment can hold would make the start fail with a riddle.
        let valid = !name.is_empty() && !name.as_bytes().contains(&b'=') && !name.contains('\0');
        if let Some(value) = value.as_str().filter(|value| valid && !value.as_bytes().contains(&0))
        {
            command.env(name, OsStr::from_bytes(value.as_bytes()));
        }
    }
    let platform = Platform::read();
    command.env("SSM_COMMAND_ID", context.command);
    command.env("AWS_SSM_INSTANCE_ID", context.node);
    command.env("AWS_SSM_REGION_NAME", context.region);
    command.env("AWS_SSM_PLATFORM_NAME", platform.name.unwrap_or_default());
    command.env("AWS_SSM_PLATFORM_VERSION", platform.version.unwrap_or_default());
    for (name, value) in own {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// Exit codes as the original reads them.
fn judge(run: exec::Run) -> Ended {
    let (status, code) = match run.exit {
        Exit::Code(0) => (Status::Success, 0),
        Exit::Cancelled => (Status::Cancelled, KILLED),
        Exit::TimedOut | Exit::Code(KILLED) => (Status::TimedOut, KILLED),
        Exit::Code(REBOOT) => (Status::SuccessAndReboot, REBOOT),
        Exit::Code(code) => (Status::Failed, code),
        Exit::Signal(_) => (Status::Failed, -1),
    };
    let remark = match run.exit {
        Exit::Code(code) if status == Status::Failed => {
            format!("failed to run commands: exit status {code}")
        }
        Exit::Signal(signal) => format!("failed to run commands: ended by signal {signal}"),
        _ => String::new(),
    };
    let stderr = limit_stream(&format!("{}{remark}", run.stderr));
    Ended { status, code, stdout: run.stdout, stderr }
}

#[cfg(test)]
mod tests {
    use super::super::plugin::Bench;
    use super::*;
    use crate::testing::Folder;
    use stint_wire::json::parse;

    fn inputs(text: &str) -> Node {
        parse(text).unwrap()
    }

    #[test]
    fn lines_become_a_script_and_anything_else_a_reason() {
        assert_eq!(lines(&inputs(r#"{"runCommand":["a","b"]}"#)).unwrap(), "a\nb\n");
        assert_eq!(lines(&inputs(r#"{"RunCommand":"a"}"#)).unwrap(), "a\n");
        assert!(lines(&inputs("{}")).unwrap_err().contains("no runCommand"));
        assert!(lines(&inputs(r#"{"runCommand":[1]}"#)).unwrap_err().contains("not a number"));
    }

    #[test]
    fn a_time_limit_out_of_range_is_the_default() {
        for (text, wanted) in [
            ("{}", 3600),
            (r#"{"timeoutSeconds":"5"}"#, 5),
            (r#"{"timeoutSeconds":60.9}"#, 60),
            (r#"{"timeoutSeconds":4}"#, 3600),
            (r#"{"timeoutSeconds":"172801"}"#, 3600),
            (r#"{"timeoutSeconds":"soon"}"#, 3600),
            (r#"{"timeoutSeconds":null}"#, 3600),
        ] {
            assert_eq!(limit(&inputs(text)), wanted, "{text}");
        }
    }

    #[test]
    fn a_program_is_found_by_the_first_name_and_only_if_it_can_be_run() {
        let (first, second) = (Folder::new(), Folder::new());
        let folders = env::join_paths([first.path(), second.path()]).unwrap();
        let put = |folder: &Folder, name: &str, mode: u32| {
            fs::write(folder.path().join(name), "").unwrap();
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(folder.path().join(name), permissions).unwrap();
        };
        assert_eq!(find_in(&folders, &["docker", "podman"]), None);
        put(&first, "podman", 0o755);
        assert_eq!(find_in(&folders, &["docker", "podman"]), Some(first.path().join("podman")));
        put(&first, "docker", 0o644);
        put(&second, "docker", 0o755);
        assert_eq!(find_in(&folders, &["docker", "podman"]), Some(second.path().join("docker")));
    }

    #[test]
    fn a_relative_working_directory_is_looked_for_among_the_downloads_only() {
        let bench = Bench::new();
        let downloaded = bench.path().join("downloads/x");
        fs::create_dir_all(&downloaded).unwrap();
        let ask = |named: &str| {
            let inputs = inputs(&format!(r#"{{"workingDirectory":"{named}"}}"#));
            bench.with(|context| working_directory(&inputs, context))
        };
        assert_eq!(ask("x").unwrap(), downloaded);
        assert_eq!(ask("").unwrap(), bench.path().join("downloads/"));
        for named in ["y", "x/../..", ".."] {
            assert_eq!(ask(named).unwrap(), Path::new("/"), "{named}");
        }
        assert_eq!(ask("/tmp").unwrap(), Path::new("/tmp"));
        assert!(ask("/not/there").unwrap_err().contains("/not/there does not exist"));
    }

    #[test]
    fn exit_codes_are_read_as_the_original_reads_them() {
        for (exit, status, code) in [
            (Exit::Code(0), Status::Success, 0),
            (Exit::Code(7), Status::Failed, 7),
            (Exit::Code(137), Status::TimedOut, 137),
            (Exit::Code(168), Status::Failed, 168),
            (Exit::Code(194), Status::SuccessAndReboot, 194),
            (Exit::Signal(11), Status::Failed, -1),
            (Exit::TimedOut, Status::TimedOut, 137),
            (Exit::Cancelled, Status::Cancelled, 137),
        ] {
            let run = exec::Run { exit, stdout: String::new(), stderr: String::new() };
            let ended = judge(run);
            assert_eq!((ended.status, ended.code), (status, code), "{exit:?}");
        }
    }
}

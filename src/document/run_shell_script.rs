//! `aws:runShellScript`: lines of shell, run as one script.

use super::exec::{self, ExecError, Exit};
use super::plugin::{Context, Ended};
use crate::sys::FileError;
use crate::sys::host::Platform;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use stint_wire::json::{Node, Value};
use stint_wire::reply::{Status, limit_stream};

/// The plugin's name.
pub const NAME: &str = "aws:runShellScript";

/// The time limit of a script that names none, or one out of range, seconds.
const DEFAULT_LIMIT: u64 = 3600;

/// From 5 seconds to 48 hours, as the original.
const LIMITS: std::ops::RangeInclusive<u64> = 5..=172_800;

/// The code of a script that the agent killed.
const KILLED: i32 = 137;

/// A script that ends so asks for a reboot.
const REBOOT: i32 = 194;

/// What a script inherits of the agent's environment. The original hands on all of it, secrets
/// of its service manager included.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Init systems start daemons with less than this, and scripts expect it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the script that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let script = match script(inputs) {
        Ok(script) => script,
        Err(reason) => return Ended::failed(reason),
    };
    let directory = match working_directory(inputs, context.downloads) {
        Ok(directory) => directory,
        Err(reason) => return Ended::failed(reason),
    };
    let path = context.script;
    if let Err(cause) = write_script(path, &script) {
        return Ended::failed(FileError::new("write", path)(cause).to_string());
    }
    let ended = run_script(inputs, &script, &directory, context);
    let _ = fs::remove_file(path);
    ended
}

/// Scripts hold what their documents hold, secrets among it: nobody else may read them.
fn write_script(path: &Path, script: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o700);
    options.open(path)?.write_all(script.as_bytes())
}

fn run_script(inputs: &Node, script: &str, directory: &Path, context: &mut Context<'_>) -> Ended {
    let mut command = interpreter(script, context.script);
    command.current_dir(directory);
    set_environment(&mut command, inputs, context);
    let limit = Duration::from_secs(limit(inputs));
    match exec::run(&mut command, context.folder, limit, context.signals, context.begun) {
        Ok(run) => judge(run),
        Err(ExecError::Spawn(cause)) => {
            let program = command.get_program().to_string_lossy();
            Ended::failed(format!("failed to run commands: can't start {program}: {cause}"))
        }
        Err(ExecError::File(cause)) => Ended::failed(format!("failed to run commands: {cause}")),
    }
}

/// The lines of `runCommand`, each ended.
fn script(inputs: &Node) -> Result<String, String> {
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

/// The script's own interpreter, or `sh`. It is named rather than left to the kernel, because
/// state may be on a file system that allows no execution.
fn interpreter(script: &str, path: &Path) -> Command {
    let first = script.lines().next().unwrap_or_default();
    let mut words = first.strip_prefix("#!").unwrap_or_default().trim().splitn(2, [' ', '\t']);
    let mut command = match words.next() {
        Some(program) if !program.is_empty() => Command::new(program),
        _ => Command::new("sh"),
    };
    if let Some(argument) = words.next().map(str::trim).filter(|argument| !argument.is_empty()) {
        command.arg(argument);
    }
    command.arg(path);
    command
}

fn working_directory(inputs: &Node, downloads: &Path) -> Result<PathBuf, String> {
    let named = inputs.get_any_case("workingDirectory").and_then(Node::as_str).unwrap_or_default();
    let path = Path::new(named);
    if path.is_absolute() {
        return match path.is_dir() {
            true => Ok(path.to_owned()),
            false => Err(format!("workingDirectory {named} does not exist or is no folder")),
        };
    }
    let downloaded = downloads.join(path);
    let safe = !named.is_empty() && !named.contains("..") && downloaded.is_dir();
    Ok(if safe { downloaded } else { PathBuf::from("/") })
}

/// `timeoutSeconds` may be a number or a string.
fn limit(inputs: &Node) -> u64 {
    let text = match inputs.get_any_case("timeoutSeconds").map(|node| &node.value) {
        Some(Value::String(text) | Value::Number(text)) => text.trim(),
        _ => "",
    };
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|seconds| LIMITS.contains(seconds)).unwrap_or(DEFAULT_LIMIT)
}

fn set_environment(command: &mut Command, inputs: &Node, context: &Context<'_>) {
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
            command.env(name, std::ffi::OsStr::from_bytes(value.as_bytes()));
        }
    }
    let platform = Platform::read();
    command.env("SSM_COMMAND_ID", context.command);
    command.env("AWS_SSM_INSTANCE_ID", context.node);
    command.env("AWS_SSM_REGION_NAME", context.region);
    command.env("AWS_SSM_PLATFORM_NAME", platform.name.unwrap_or_default());
    command.env("AWS_SSM_PLATFORM_VERSION", platform.version.unwrap_or_default());
}

/// Exit codes as the original reads them.
fn judge(run: exec::Run) -> Ended {
    let (status, code) = match run.exit {
        Exit::Code(0) => (Status::Success, 0),
        Exit::Cancelled => (Status::Cancelled, KILLED),
        Exit::TimedOut | Exit::Code(KILLED) => (Status::TimedOut, KILLED),
        Exit::Code(code) => (Status::Failed, code),
        Exit::Signal(_) => (Status::Failed, -1),
    };
    let remark = match run.exit {
        Exit::Code(REBOOT) => {
            "failed to run commands: exit status 194 asks for a reboot, which this version of \
             stint does not do yet"
                .to_owned()
        }
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
    use super::*;
    use stint_wire::json::parse;

    fn inputs(text: &str) -> Node {
        parse(text).unwrap()
    }

    #[test]
    fn lines_become_a_script_and_anything_else_a_reason() {
        assert_eq!(script(&inputs(r#"{"runCommand":["a","b"]}"#)).unwrap(), "a\nb\n");
        assert_eq!(script(&inputs(r#"{"RunCommand":"a"}"#)).unwrap(), "a\n");
        assert!(script(&inputs("{}")).unwrap_err().contains("no runCommand"));
        assert!(script(&inputs(r#"{"runCommand":[1]}"#)).unwrap_err().contains("not a number"));
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
    fn a_shebang_names_the_interpreter() {
        for (script, wanted) in [
            ("echo\n", vec!["sh", "/s"]),
            ("#!/bin/bash\n", vec!["/bin/bash", "/s"]),
            ("#! /usr/bin/env python3 -u\n", vec!["/usr/bin/env", "python3 -u", "/s"]),
            ("#!\n", vec!["sh", "/s"]),
        ] {
            let command = interpreter(script, Path::new("/s"));
            let mut words = vec![command.get_program().to_str().unwrap()];
            words.extend(command.get_args().map(|word| word.to_str().unwrap()));
            assert_eq!(words, wanted, "{script}");
        }
    }

    #[test]
    fn exit_codes_are_read_as_the_original_reads_them() {
        for (exit, status, code) in [
            (Exit::Code(0), Status::Success, 0),
            (Exit::Code(7), Status::Failed, 7),
            (Exit::Code(137), Status::TimedOut, 137),
            (Exit::Code(168), Status::Failed, 168),
            (Exit::Signal(11), Status::Failed, -1),
            (Exit::TimedOut, Status::TimedOut, 137),
            (Exit::Cancelled, Status::Cancelled, 137),
        ] {
            let run = exec::Run { exit, stdout: String::new(), stderr: String::new() };
            let ended = judge(run);
            assert_eq!((ended.status, ended.code), (status, code), "{exit:?}");
        }
    }

    // A wrong behaviour, asserted until the agent can reboot a device and resume the step.
    #[test]
    fn a_wish_to_reboot_is_a_failure_that_says_so() {
        let run =
            exec::Run { exit: Exit::Code(REBOOT), stdout: String::new(), stderr: "x\n".into() };
        let ended = judge(run);
        assert_eq!(ended.status, Status::Failed);
        assert!(
            ended
                .stderr
                .starts_with("x\nfailed to run commands: exit status 194 asks for a reboot")
        );
    }
}

//! `aws:runPowerShellScript`: lines of PowerShell, where the device has it.

use super::plugin::{Context, Ended};
use super::script;
use crate::sys::command::Command;
use std::path::{Path, PathBuf};
use stint_wire::json::Node;

/// The plugin's name.
pub const NAME: &str = "aws:runPowerShellScript";

/// Where the original looks, in this order; then `PATH` is searched for the second's name.
const PLACES: [&str; 2] = ["/usr/bin/powershell", "/usr/bin/pwsh"];

/// Without it PowerShell takes a file for text in the system's own encoding.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Runs the script that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let lines = match script::lines(inputs) {
        Ok(lines) => lines,
        Err(reason) => return Ended::failed(reason),
    };
    let Some(program) = power_shell() else {
        return Ended::failed(
            "failed to run commands: there is no PowerShell on this device (looked for \
             /usr/bin/powershell, /usr/bin/pwsh and pwsh in PATH); install it, or use \
             aws:runShellScript",
        );
    };
    let interpreter = |path: &Path| command(&program, path);
    let text = format!("{BYTE_ORDER_MARK}{lines}");
    script::run(inputs, &text, "ps1", interpreter, context)
}

fn power_shell() -> Option<PathBuf> {
    let usual = PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    usual.or_else(|| script::find_program(&["pwsh"]))
}

fn command(program: &Path, script: &Path) -> Command {
    let mut command = Command::new(program);
    // PowerShell keeps a profile and a cache in its home; the original gives it this one.
    command.arg("-f").arg(script).env("HOME", "/");
    command
}

#[cfg(test)]
mod tests {
    use super::super::plugin::Bench;
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use stint_wire::json::parse;
    use stint_wire::reply::Status;

    #[test]
    fn power_shell_is_given_a_file_with_a_mark_a_name_it_takes_and_a_home() {
        let bench = Bench::new();
        let stub = bench.path().join("pwsh");
        std::fs::write(&stub, "#!/bin/sh\necho $1 ${2##*.} $HOME $x $TERM\ncat $2\n").unwrap();
        std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        let inputs = parse(r#"{"environment":{"HOME":"/root","x":"y"}}"#).unwrap();
        let text = format!("{BYTE_ORDER_MARK}Write-Output hi\n");
        let ended = bench.with(|context| {
            script::run(&inputs, &text, "ps1", |path| command(&stub, path), context)
        });
        assert_eq!(ended.stdout, "-f ps1 / y\n\u{feff}Write-Output hi\n");
        assert_eq!((ended.status, ended.code), (Status::Success, 0));
    }

    #[test]
    fn without_power_shell_the_step_fails_and_says_what_was_looked_for() {
        if power_shell().is_some() {
            eprintln!("skipped: this machine has PowerShell");
            return;
        }
        let ended = Bench::new()
            .with(|context| run(&parse(r#"{"runCommand":["Write-Output hi"]}"#).unwrap(), context));
        assert_eq!((ended.status, ended.code), (Status::Failed, 1));
        assert!(ended.stderr.contains("no PowerShell on this device"), "{}", ended.stderr);
    }
}

//! `aws:configureDocker`: sees to it that there is a container engine, or that there is none.
//!
//! The original installs and removes Docker with yum. Here the engine belongs to the device's
//! image: what the document wants is either so already, or can't be had this way.

use super::plugin::{Context, Ended};
use super::{docker, script};
use crate::sys::command::Command;
use stint_wire::json::Node;
use stint_wire::reply::Status;

/// The plugin's name.
pub const NAME: &str = "aws:configureDocker";

/// Runs the step that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let action = inputs.get_any_case("action").and_then(Node::as_str).unwrap_or_default();
    match (action, docker::command()) {
        ("Install", Ok(program)) => {
            let mut command = Command::new(program);
            command.arg("--version");
            script::run_program(command, inputs, context)
        }
        ("Install", Err(_)) => Ended::failed(
            "there is no container engine on this device, and stint installs none; put docker or \
             podman into the image, or install it with the device's package manager in \
             aws:runShellScript",
        ),
        ("Uninstall", Ok(program)) => Ended::failed(format!(
            "{} belongs to this device's image, and stint removes nothing from it; use the \
             device's package manager in aws:runShellScript",
            program.display()
        )),
        ("Uninstall", Err(_)) => Ended {
            status: Status::Success,
            code: 0,
            stdout: "There is no container engine on this device.\n".to_owned(),
            stderr: String::new(),
        },
        _ => Ended::failed(format!("action must be Install or Uninstall, not \"{action}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plugin::Bench;
    use super::*;
    use stint_wire::json::parse;

    fn configure(inputs: &str) -> Ended {
        Bench::new().with(|context| run(&parse(inputs).unwrap(), context))
    }

    #[test]
    fn what_is_so_already_succeeds_and_what_cannot_be_had_says_so() {
        let install = configure(r#"{"action":"Install"}"#);
        let uninstall = configure(r#"{"action":"Uninstall"}"#);
        let (so, not_so) = match docker::command() {
            Ok(_) => (install, uninstall),
            Err(_) => (uninstall, install),
        };
        assert_eq!((so.status, so.code), (Status::Success, 0), "{}", so.stderr);
        assert_eq!((not_so.status, not_so.code), (Status::Failed, 1));
        assert!(not_so.stderr.contains("package manager in aws:runShellScript"));
    }

    #[test]
    fn another_action_is_named() {
        for (inputs, named) in [("{}", "\"\""), (r#"{"action":"Upgrade"}"#, "\"Upgrade\"")] {
            let stderr = configure(inputs).stderr;
            assert_eq!(stderr, format!("action must be Install or Uninstall, not {named}"));
        }
    }
}

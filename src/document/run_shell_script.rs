//! `aws:runShellScript`: lines of shell, run as one script.

use super::plugin::{Context, Ended};
use super::script;
use crate::sys::command::Command;
use std::path::Path;
use stint_wire::json::Node;

/// The plugin's name.
pub const NAME: &str = "aws:runShellScript";

/// Runs the script that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    match script::lines(inputs) {
        Ok(lines) => {
            let interpreter = |path: &Path| interpreter(&lines, path);
            script::run(inputs, &lines, "sh", interpreter, context)
        }
        Err(reason) => Ended::failed(reason),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

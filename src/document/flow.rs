//! Which step runs: preconditions, plugins that aren't there, and steps that end the document.

use super::parse::Step;
use super::plugin;
use super::precondition::{self, Verdict};
use stint_wire::json::{Node, Value};
use stint_wire::reply::Status;

/// A script that ends so says: success, and skip the rest.
const EXIT_SUCCESS: i32 = 168;

/// A script that ends so says: failure, and skip the rest.
const EXIT_FAILURE: i32 = 169;

/// What is to be done with a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Run it.
    Run,
    /// It ends as skipped, with the reason.
    Skip(String),
    /// It ends as failed, with the reason.
    Fail(String),
}

/// How far the document has come, as far as that decides about its next steps.
#[derive(Debug, Default)]
pub struct Flow {
    ended_by: Option<String>,
}

impl Flow {
    /// What is to be done with `step`; `last` if none follows.
    pub fn next(&self, step: &Step, last: bool) -> Next {
        let finally = last && control(step, "finallyStep").is_some_and(|word| word == "true");
        if let (Some(name), false) = (&self.ended_by, finally) {
            return Next::Skip(format!(
                "Step {} was skipped because step {name} ended the document.",
                step.name
            ));
        }
        let support = plugin::support(&step.plugin);
        let (mut unrecognised, mut holds) = (None, true);
        if let Some((written, filled)) = &step.precondition {
            match precondition::judge(written, filled) {
                Verdict::Holds => {}
                Verdict::Fails(why) => {
                    holds = false;
                    unrecognised = Some(why);
                }
                Verdict::Unrecognised(why) => unrecognised = Some(why),
            }
        }
        match (support, holds, unrecognised) {
            (_, false, why) => Next::Skip(format!(
                "Step {} was skipped because its precondition is not met: {}.",
                step.name,
                why.unwrap_or_default()
            )),
            (plugin::Support::Unknown, ..) => Next::Fail(format!(
                "Plugin {} of step {} is not known to this agent; update the agent.",
                step.plugin, step.name
            )),
            (plugin::Support::Missing, ..) => Next::Fail(format!(
                "Plugin {} of step {} is not part of this version of stint.",
                step.plugin, step.name
            )),
            (plugin::Support::Refused(reason), ..) => Next::Fail(format!(
                "Plugin {} of step {} makes no sense on this device: {reason}.",
                step.plugin, step.name
            )),
            (plugin::Support::Elsewhere, ..) if step.may_be_skipped => Next::Skip(format!(
                "Step {} was skipped because plugin {} does not exist on this platform.",
                step.name, step.plugin
            )),
            (plugin::Support::Elsewhere, ..) => Next::Fail(format!(
                "Plugin {} of step {} does not exist on this platform.",
                step.plugin, step.name
            )),
            (plugin::Support::Here, _, Some(why)) => Next::Fail(format!(
                "The precondition of step {} can't be understood: {why}.",
                step.name
            )),
            (plugin::Support::Here, ..) => Next::Run,
        }
    }

    /// Takes note of how a step ended, and gives back its status and code as they are reported:
    /// control codes and `onFailure` may turn a failure into a success.
    pub fn ended(&mut self, step: &Step, status: Status, code: i32) -> (Status, i32) {
        let on_failure = control(step, "onFailure").unwrap_or_default();
        let on_success = control(step, "onSuccess").unwrap_or_default();
        let (status, code, ends) = match (status, code) {
            (Status::Failed, EXIT_SUCCESS) => (Status::Success, code, true),
            (Status::Failed, EXIT_FAILURE) => (Status::Failed, code, true),
            (Status::Failed, _) if on_failure == "successAndExit" => {
                (Status::Success, EXIT_SUCCESS, true)
            }
            (Status::Failed, _) => (status, code, on_failure == "exit"),
            // As reported by this function before: an earlier worker ran the step.
            (Status::Success, EXIT_SUCCESS) => (status, code, true),
            (Status::Success, _) => (status, code, on_success == "exit"),
            _ => (status, code, false),
        };
        if ends && self.ended_by.is_none() {
            self.ended_by = Some(step.name.clone());
        }
        (status, code)
    }
}

/// A control word of a step; the original reads them from `inputs`.
fn control(step: &Step, name: &str) -> Option<String> {
    let node = step.inputs.first()?.get_any_case(name)?;
    match &node.value {
        Value::String(word) => Some(word.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => Node::as_str(node).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::Document;
    use super::*;

    const SHELL: &str = "aws:runShellScript";

    fn steps(schema: &str, steps: &[(&str, &str)]) -> Vec<Step> {
        let steps: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(n, (plugin, rest))| format!(r#"{{"name":"s{n}","action":"{plugin}"{rest}}}"#))
            .collect();
        let text = format!(r#"{{"schemaVersion":"{schema}","mainSteps":[{}]}}"#, steps.join(","));
        Document::parse(&text, "{}").unwrap().steps
    }

    fn word(next: Next) -> &'static str {
        match next {
            Next::Run => "run",
            Next::Skip(_) => "skip",
            Next::Fail(_) => "fail",
        }
    }

    #[test]
    fn plugins_and_preconditions_decide_as_in_the_original() {
        let windows = r#","precondition":{"StringEquals":["platformType","Windows"]}"#;
        let linux = r#","precondition":{"StringEquals":["platformType","Linux"]}"#;
        let odd = r#","precondition":{"Odd":[]}"#;
        for (schema, plugin, rest, wanted) in [
            ("2.2", SHELL, "", "run"),
            ("2.0", SHELL, "", "run"),
            ("2.2", "aws:none", "", "fail"),
            ("2.0", "aws:none", "", "fail"),
            ("2.2", "aws:psModule", "", "skip"),
            ("2.0", "aws:psModule", "", "fail"),
            ("2.2", "aws:domainJoin", "", "fail"),
            ("2.0", "aws:domainJoin", "", "fail"),
            ("2.2", "aws:domainJoin", windows, "skip"),
            ("2.2", "aws:cloudWatch", linux, "fail"),
            ("2.2", "aws:cloudWatch", windows, "skip"),
            ("2.2", "aws:softwareInventory", "", "fail"),
            ("2.2", "aws:softwareInventory", windows, "skip"),
            ("2.2", SHELL, windows, "skip"),
            ("2.2", SHELL, linux, "run"),
            ("2.2", SHELL, odd, "fail"),
            ("2.2", "aws:none", linux, "fail"),
            ("2.2", "aws:none", windows, "skip"),
            ("2.2", "aws:psModule", linux, "skip"),
        ] {
            let steps = steps(schema, &[(plugin, rest)]);
            assert_eq!(
                word(Flow::default().next(&steps[0], true)),
                wanted,
                "{schema} {plugin} {rest}"
            );
        }
    }

    #[test]
    fn a_step_can_end_the_document_and_a_final_step_runs_all_the_same() {
        use Status::*;
        for (inputs, ended, reported, second) in [
            ("{}", (Failed, 1), (Failed, 1), "run"),
            ("{}", (Failed, 168), (Success, 168), "skip"),
            ("{}", (Failed, 169), (Failed, 169), "skip"),
            (r#"{"onFailure":"exit"}"#, (Failed, 1), (Failed, 1), "skip"),
            (r#"{"onFailure":"successAndExit"}"#, (Failed, 1), (Success, 168), "skip"),
            (r#"{"onSuccess":"exit"}"#, (Success, 0), (Success, 0), "skip"),
            (r#"{"onSuccess":"exit"}"#, (Failed, 1), (Failed, 1), "run"),
        ] {
            let first = format!(r#","inputs":{inputs}"#);
            let all = steps(
                "2.2",
                &[(SHELL, &first), (SHELL, ""), (SHELL, r#","inputs":{"finallyStep":true}"#)],
            );
            let mut flow = Flow::default();
            assert_eq!(flow.ended(&all[0], ended.0, ended.1), reported, "{inputs}");
            assert_eq!(word(flow.next(&all[1], false)), second, "{inputs} {ended:?}");
            assert_eq!(word(flow.next(&all[2], true)), "run");
        }
    }
}

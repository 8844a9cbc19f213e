//! Where a document runs, by its plugins.

use super::content::Step;

/// The words of the model, in the order in which answers list them.
pub const ALL: [&str; 3] = ["Windows", "Linux", "MacOS"];

/// The platforms of a document with these steps: those on which at least one of them does its
/// work. A document with steps for several platforms keeps them apart by preconditions.
pub fn of(steps: &[Step]) -> Vec<&'static str> {
    ALL.into_iter().filter(|one| steps.iter().any(|s| of_plugin(&s.plugin).contains(one))).collect()
}

fn of_plugin(plugin: &str) -> &'static [&'static str] {
    match plugin {
        "aws:runShellScript" => &["Linux", "MacOS"],
        "aws:configureDocker" | "aws:runDockerAction" | "aws:domainJoin" => &["Windows", "Linux"],
        "stint:configureAgent" | "stint:event" => &["Linux"],
        "aws:applications" | "aws:cloudWatch" | "aws:psModule" | "aws:updateAgent" => &["Windows"],
        _ => &ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_runs_where_one_of_its_steps_does() {
        let platforms = |plugins: &[&str]| {
            let steps: Vec<_> = plugins.iter().map(|p| json!({"action": p, "name": "n"})).collect();
            of(&Content::of(&json!({"mainSteps": steps}).to_string()).steps())
        };
        assert_eq!(platforms(&["aws:runShellScript"]), ["Linux", "MacOS"]);
        assert_eq!(platforms(&["aws:runShellScript", "aws:psModule"]), ALL);
        assert_eq!(platforms(&["aws:runDockerAction"]), ["Windows", "Linux"]);
        assert_eq!(platforms(&["stint:configureAgent"]), ["Linux"]);
        assert_eq!(platforms(&["aws:runDocument"]), ALL);
        assert!(platforms(&[]).is_empty());
    }
}

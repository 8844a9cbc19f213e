//! Run Command as an operator uses it.

mod cancel;
mod invocation;
mod list;
mod send;

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

fn shell(more: Value) -> Value {
    let mut input = json!({
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["uptime"]},
    });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    input
}

/// What the node reports of the only step.
async fn report(bed: &Testbed, command: &str, node: &str, status: &str, code: &str) {
    bed.sql(
        "INSERT INTO invocation_step (command_id, node_id, name, position, plugin, status, code,
           output, stdout, stderr, started_at, finished_at)
         VALUES ($1, $2, 'aws:runShellScript', 0, 'aws:runShellScript', $3, $4,
           'up 3 days', 'up 3 days', 'oops', 1795300001123, 1795300001153)",
        &[command, node, status, code],
    )
    .await;
}

async fn shown(bed: &Testbed, command: &str, node: &str) -> Value {
    let input = json!({"CommandId": command, "InstanceId": node});
    bed.ok("GetCommandInvocation", input).await
}

fn commands(page: &Value) -> Vec<String> {
    let list = page["Commands"].as_array().unwrap();
    list.iter().map(|c| c["CommandId"].as_str().unwrap().to_owned()).collect()
}

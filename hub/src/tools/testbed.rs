//! A hub without network or devices for the tests of operations: a real store in a directory of its own, and a check of every answer and error against the model.

use crate::app::{App, Caller, testing};
use crate::error::ApiError;
use crate::model;
use serde_json::{Value, json};
use stint_wire::{ids, time::Utc};

/// The hub under test.
pub struct Testbed {
    /// What operations are given.
    pub app: App,
    caller: Caller,
    _dir: tempfile::TempDir,
}

impl Testbed {
    /// A new hub with an empty store.
    pub async fn new() -> Testbed {
        let (app, dir) = testing::app().await;
        // No test cuts the power; waiting for the disk would cost half a minute.
        sqlx::query("PRAGMA synchronous = OFF").execute(&app.store.write).await.unwrap();
        let caller = Caller {
            access_key: "AKIATEST".into(),
            region: "eu-central-1".into(),
            endpoint: "https://hub.test".into(),
            login: String::new(),
        };
        Testbed { app, caller, _dir: dir }
    }

    /// The hub alone, and the folder that lives as long as the test holds it.
    pub fn into_parts(self) -> (App, tempfile::TempDir) {
        (self.app, self._dir)
    }

    /// Calls an operation as an operator. The answer and the error code fit the model, or the
    /// test fails here.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        let answer = super::call(&self.app, &self.caller, operation, input).await;
        match &answer {
            Ok(answer) => {
                let faults = model::check_output(operation, answer);
                assert!(faults.is_empty(), "{faults:#?}");
            }
            Err(error) => {
                assert_ne!(error.code, "InternalServerError", "{operation}");
                let known = error.code == "UnknownOperationException"
                    || model::check_error(operation, error.code);
                assert!(known, "{operation} may not answer {}", error.code);
            }
        }
        answer
    }

    /// An operation that has to succeed.
    pub async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// The code of an operation that has to fail.
    pub async fn code(&self, operation: &str, input: Value) -> &'static str {
        self.call(operation, input).await.expect_err("an error").code
    }

    /// Changes the store as a device would have.
    pub async fn sql(&self, statement: &'static str, values: &[&str]) {
        let mut query = sqlx::query(statement);
        for value in values {
            query = match value.parse::<i64>() {
                Ok(number) => query.bind(number),
                Err(_) => query.bind((*value).to_owned()),
            };
        }
        query.execute(&self.app.store.write).await.unwrap();
    }

    /// Registers a node that pinged at `last_ping_at`, with tags. Returns its id.
    pub async fn node(&self, n: u8, tags: &[(&str, &str)]) -> String {
        self.node_seen_at(n, tags, self.app.now()).await
    }

    /// As [`Testbed::node`], last seen at a moment of its own.
    pub async fn node_seen_at(&self, n: u8, tags: &[(&str, &str)], at: Utc) -> String {
        let id = ids::managed_node_id([n; 9]);
        sqlx::query(
            "INSERT INTO node (id, activation_id, name, iam_role, key_type, public_key,
               fingerprint, registered_at, last_ping_at, agent_name, agent_version, computer_name,
               ip_address, platform_type, platform_name, platform_version)
             VALUES ($1, '0c2f2b3e-7a3f-4f29-8a3e-1f0d5e9c7b11', 'edge', 'EdgeRole', 'Ed25519',
               $1, 'f', $2, $2, 'stint', '0.1.0', 'edge-5', '10.0.0.5', 'Linux',
               'Debian GNU/Linux', '12')",
        )
        .bind(&id)
        .bind(at.0 as i64)
        .execute(&self.app.store.write)
        .await
        .unwrap();
        for (key, value) in tags {
            let tag = json!({"Key": key, "Value": value});
            let input = json!({"ResourceType": "ManagedInstance", "ResourceId": id, "Tags": [tag]});
            self.ok("AddTagsToResource", input).await;
        }
        id
    }

    /// The node acknowledges the command.
    pub async fn acknowledge(&self, command: &str, node: &str) {
        let now = self.app.now().0.to_string();
        self.sql(
            "UPDATE invocation
             SET status = 'InProgress', status_details = 'InProgress', acknowledged_at = $3
             WHERE command_id = $1 AND node_id = $2",
            &[command, node, &now],
        )
        .await;
        crate::commands::progressed(&self.app, command).await.unwrap();
    }

    /// The node's terminal reply arrives.
    pub async fn finish(&self, command: &str, node: &str, status: &str, details: &str) {
        let now = self.app.now().0.to_string();
        self.sql(
            "UPDATE invocation SET status = $3, status_details = $4, finished_at = $5
             WHERE command_id = $1 AND node_id = $2",
            &[command, node, status, details, &now],
        )
        .await;
        crate::commands::progressed(&self.app, command).await.unwrap();
    }

    /// Sends AWS-RunShellScript to the nodes and returns the command's id.
    pub async fn command(&self, nodes: &[&String]) -> String {
        let input = json!({
            "DocumentName": "AWS-RunShellScript",
            "InstanceIds": nodes,
            "Parameters": {"commands": ["uptime"]},
        });
        command_id(&self.ok("SendCommand", input).await)
    }

    /// Registers `size` nodes at the site `lab`.
    pub async fn fleet(&self, size: u8) -> Vec<String> {
        let mut nodes = Vec::new();
        for n in 0..size {
            nodes.push(self.node(n, &[("site", "lab")]).await);
        }
        nodes
    }

    /// Sends AWS-RunShellScript to the whole fleet, with a delivery timeout of a minute.
    pub async fn send_to_all(&self, concurrency: &str, errors: &str) -> String {
        let input = json!({
            "DocumentName": "AWS-RunShellScript",
            "Targets": [{"Key": "tag:site", "Values": ["lab"]}],
            "Parameters": {"commands": ["uptime"]},
            "MaxConcurrency": concurrency,
            "MaxErrors": errors,
            "TimeoutSeconds": 60,
        });
        command_id(&self.ok("SendCommand", input).await)
    }

    /// The nodes to which the command has been released and that have not ended it.
    pub async fn out(&self, command: &str) -> Vec<String> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT node_id FROM invocation
             WHERE command_id = $1 AND released_at IS NOT NULL AND finished_at IS NULL
             ORDER BY position",
        )
        .bind(command)
        .fetch_all(&self.app.store.read)
        .await
        .unwrap();
        rows.into_iter().map(|(node,)| node).collect()
    }

    /// What ListCommands says of the command.
    pub async fn shown(&self, command: &str) -> Value {
        self.ok("ListCommands", json!({"CommandId": command})).await["Commands"][0].clone()
    }
}

/// The id in SendCommand's answer.
pub fn command_id(answer: &Value) -> String {
    answer["Command"]["CommandId"].as_str().unwrap().to_owned()
}

//! The part of a SendCommand request that is only kept, shown and passed on.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The rest of a request: kept and shown, and partly sent to nodes. Absent members are null.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Options {
    /// Shown as the caller's region when not given.
    #[serde(rename = "OutputS3Region")]
    pub output_s3_region: Option<String>,
    /// Nodes upload their output there.
    #[serde(rename = "OutputS3BucketName")]
    pub output_s3_bucket_name: Option<String>,
    /// Before the command's id in the names of uploaded objects.
    #[serde(rename = "OutputS3KeyPrefix")]
    pub output_s3_key_prefix: Option<String>,
    /// Kept and shown.
    pub service_role_arn: Option<String>,
    /// Kept and shown.
    pub notification_config: Option<Value>,
    /// Sent to nodes.
    pub cloud_watch_output_config: Option<Value>,
    /// Kept and shown.
    pub alarm_configuration: Option<Value>,
    /// The longest that the document may take on a node, in seconds.
    pub execution_seconds: u64,
}

impl Options {
    /// The longest that the document may take on a node, in milliseconds.
    pub fn execution_ms(&self) -> i64 {
        i64::try_from(self.execution_seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
    }

    /// Where output is uploaded.
    pub fn s3_region<'a>(&'a self, caller: &'a str) -> &'a str {
        self.output_s3_region.as_deref().unwrap_or(caller)
    }

    /// The member as AWS shows it: complete, empty where nothing was given.
    pub fn notification(&self) -> Value {
        let given = |key: &str| self.notification_config.as_ref().and_then(|c| c.get(key)).cloned();
        json!({
            "NotificationArn": given("NotificationArn").unwrap_or_else(|| json!("")),
            "NotificationEvents": given("NotificationEvents").unwrap_or_else(|| json!([])),
            "NotificationType": given("NotificationType").unwrap_or_else(|| json!("")),
        })
    }

    /// The member as AWS shows it: complete, empty where nothing was given.
    pub fn cloud_watch(&self) -> Value {
        let config = self.cloud_watch_output_config.as_ref();
        let given = |key: &str| config.and_then(|c| c.get(key)).cloned();
        json!({
            "CloudWatchLogGroupName": given("CloudWatchLogGroupName").unwrap_or_else(|| json!("")),
            "CloudWatchOutputEnabled": given("CloudWatchOutputEnabled").unwrap_or(Value::Bool(false)),
        })
    }
}

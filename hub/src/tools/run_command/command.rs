//! A command as the store keeps it and as answers show it.

use crate::commands::{Options, Tally, rollup};
use crate::error::{ApiError, ApiResult};
use crate::tools::{present, timestamp};
use serde_json::{Value, json};
use sqlx::FromRow;

/// The columns of [`Command`].
pub const COLUMNS: &str =
    "SELECT id, region, document_name, document_version, comment, parameters, instance_ids,
       targets, max_concurrency, max_errors, timeout_seconds, options, requested_at, expires_at,
       status, target_count
     FROM command";

/// A row of the table `command`.
#[derive(Clone, Debug, FromRow)]
pub struct Command {
    /// A UUID.
    pub id: String,
    /// The region that the caller named.
    pub region: String,
    /// The document.
    pub document_name: String,
    /// The version as the caller named it; `$DEFAULT` when not named.
    pub document_version: String,
    /// For people.
    pub comment: String,
    /// JSON: name to list of values.
    pub parameters: String,
    /// JSON: the nodes named one by one.
    pub instance_ids: String,
    /// JSON: the targets.
    pub targets: String,
    /// A number or a percentage.
    pub max_concurrency: String,
    /// A number or a percentage.
    pub max_errors: String,
    /// The delivery timeout.
    pub timeout_seconds: i64,
    /// JSON: [`Options`].
    pub options: String,
    /// Milliseconds since 1970.
    pub requested_at: i64,
    /// When what has been released is no longer delivered; milliseconds since 1970.
    pub expires_at: i64,
    /// The status when it last changed hands.
    pub status: String,
    /// How many nodes.
    pub target_count: i64,
}

impl Command {
    /// The rest of the request.
    ///
    /// # Errors
    /// `InternalServerError` when the row is damaged.
    pub fn options(&self) -> ApiResult<Options> {
        stored(&self.options)
    }

    /// The command as `Command` of the model.
    ///
    /// # Errors
    /// `InternalServerError` when the row is damaged.
    pub fn answer(&self, tally: &Tally) -> ApiResult<Value> {
        let options = self.options()?;
        let state = rollup(tally, &self.max_errors, self.status == "Cancelling");
        // A command is over when the last node has had time to run it.
        Ok(present(json!({
            "CommandId": self.id,
            "DocumentName": self.document_name,
            "DocumentVersion": self.document_version,
            "Comment": self.comment,
            "ExpiresAfter": timestamp(self.expires_at.saturating_add(options.execution_ms())),
            "Parameters": stored::<Value>(&self.parameters)?,
            "InstanceIds": stored::<Value>(&self.instance_ids)?,
            "Targets": stored::<Value>(&self.targets)?,
            "RequestedDateTime": timestamp(self.requested_at),
            "Status": state.status,
            "StatusDetails": state.details,
            "OutputS3Region": options.s3_region(&self.region),
            "OutputS3BucketName": options.output_s3_bucket_name.as_deref().unwrap_or_default(),
            "OutputS3KeyPrefix": options.output_s3_key_prefix.as_deref().unwrap_or_default(),
            "MaxConcurrency": self.max_concurrency,
            "MaxErrors": self.max_errors,
            "TargetCount": self.target_count,
            "CompletedCount": tally.completed(),
            "ErrorCount": tally.errors(),
            "DeliveryTimedOutCount": tally.delivery_timed_out,
            "ServiceRole": options.service_role_arn.as_deref().unwrap_or_default(),
            "NotificationConfig": options.notification(),
            "CloudWatchOutputConfig": options.cloud_watch(),
            "TimeoutSeconds": self.timeout_seconds,
            "AlarmConfiguration": options.alarm_configuration,
        })))
    }
}

/// JSON that this hub wrote into the store.
///
/// # Errors
/// `InternalServerError` when somebody else did.
pub fn stored<T: serde::de::DeserializeOwned>(text: &str) -> ApiResult<T> {
    serde_json::from_str(text)
        .map_err(|error| ApiError::internal(format!("a damaged row of a command: {error}")))
}

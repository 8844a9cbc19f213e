//! The part of the `ssm` service that only nodes call: registration, credentials, health.

use crate::json::ObjectWriter;
use crate::keys::KeyType;
use crate::md5;
use crate::text::base64;
use crate::time::Utc;
use miniserde::{Deserialize, Serialize};

/// The prefix of `X-Amz-Target`.
pub const TARGET_PREFIX: &str = "AmazonSSM";

/// The service's name in credential scopes and host names.
pub const SERVICE: &str = "ssm";

/// The media type of every request and answer of `ssm` and `ec2messages`.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The body of RegisterManagedInstance, which is sent unsigned.
pub fn register(
    code: &str,
    id: &str,
    fingerprint: &str,
    public_key: &str,
    kind: KeyType,
) -> String {
    ObjectWriter::new()
        .string("ActivationCode", code)
        .string("ActivationId", id)
        .string("Fingerprint", fingerprint)
        .string("PublicKey", public_key)
        .string("PublicKeyType", kind.as_str())
        .finish()
}

/// The answer to RegisterManagedInstance.
#[derive(Debug, Serialize, Deserialize)]
pub struct Registered {
    /// `mi-` and 17 hexadecimal digits.
    #[serde(rename = "InstanceId")]
    pub instance_id: String,
}

/// The body of RequestManagedInstanceRoleToken, which the node's own key signs.
pub fn request_role_token(fingerprint: &str) -> String {
    ObjectWriter::new().string("Fingerprint", fingerprint).finish()
}

/// The answer to RequestManagedInstanceRoleToken. The original needs every member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleToken {
    /// The temporary access key's id.
    #[serde(rename = "AccessKeyId")]
    pub access_key_id: String,
    /// Its secret.
    #[serde(rename = "SecretAccessKey")]
    pub secret_access_key: String,
    /// Sent back as `X-Amz-Security-Token`.
    #[serde(rename = "SessionToken")]
    pub session_token: String,
    /// Seconds since 1970, with a fraction.
    #[serde(rename = "TokenExpirationDate")]
    pub token_expiration_date: f64,
    /// The server wants a new key pair now.
    #[serde(rename = "UpdateKeyPair")]
    pub update_key_pair: bool,
}

/// The body of UpdateManagedInstancePublicKey, which the old key signs.
pub fn update_public_key(public_key: &str, kind: KeyType) -> String {
    ObjectWriter::new()
        .string("NewPublicKey", public_key)
        .string("NewPublicKeyType", kind.as_str())
        .finish()
}

/// The body of DeregisterManagedInstance.
pub fn deregister(node: &str) -> String {
    ObjectWriter::new().string("InstanceId", node).finish()
}

/// The version of the schemas of our own types of inventory.
const SCHEMA_VERSION: &str = "1.0";

/// One type of inventory of a node.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Such as `Custom:StintChildAgent`.
    pub type_name: &'static str,
    /// A JSON array of objects whose values are texts.
    pub content: String,
    /// The server doesn't have it yet, as far as this node knows.
    pub is_new: bool,
}

impl Inventory {
    /// The mark by which the server knows the content.
    pub fn hash(&self) -> String {
        base64(&md5::digest(self.content.as_bytes()))
    }

    /// Whether a refusal with this code says that the server hasn't got the content whose mark it was told.
    pub fn is_unknown(code: &str) -> bool {
        matches!(code, "ItemContentMismatchException" | "InvalidItemContentException")
    }

    /// The body of PutInventory. Of content that the server has it names only the mark.
    pub fn to_json(&self, node: &str, now: Utc) -> String {
        // Without a fraction, as the model wants it.
        let moment = Utc::from_secs(now.secs()).iso().replace(".000Z", "Z");
        let item = ObjectWriter::new()
            .string("TypeName", self.type_name)
            .string("SchemaVersion", SCHEMA_VERSION)
            .string("CaptureTime", &moment)
            .string("ContentHash", &self.hash());
        let item = if self.is_new { item.raw("Content", &self.content) } else { item };
        let items = format!("[{}]", item.finish());
        ObjectWriter::new().string("InstanceId", node).raw("Items", &items).finish()
    }
}

/// What a node says of itself in UpdateInstanceInformation. What it could not find out is left
/// out of the message.
#[derive(Clone, Debug, Default)]
pub struct NodeReport {
    /// `mi-…`
    pub instance_id: String,
    /// The agent's name. AWS accepts only `amazon-ssm-agent`.
    pub agent_name: String,
    /// Dotted, at least 5 characters.
    pub agent_version: String,
    /// The host's name.
    pub computer_name: Option<String>,
    /// The address the node would reach the world from.
    pub ip_address: Option<String>,
    /// NAME of os-release.
    pub platform_name: Option<String>,
    /// VERSION_ID of os-release.
    pub platform_version: Option<String>,
    /// `ec2messages` or `ssmmessages`.
    pub connection_channel: Option<String>,
    /// Not the original's: the mark of this run of the agent, for a hub to tell copies of a device
    /// apart.
    pub run: Option<String>,
    /// Not the original's: a digest of what the device is made of.
    pub hardware: Option<String>,
}

impl NodeReport {
    /// The body of UpdateInstanceInformation.
    pub fn to_json(&self) -> String {
        ObjectWriter::new()
            .string("AgentName", &self.agent_name)
            .string("AgentStatus", "Active")
            .string("AgentVersion", &self.agent_version)
            .string("AvailabilityZone", "")
            .string("AvailabilityZoneId", "")
            .optional("ComputerName", self.computer_name.as_deref())
            .optional("IPAddress", self.ip_address.as_deref())
            .string("InstanceId", &self.instance_id)
            .optional("PlatformName", self.platform_name.as_deref())
            .string("PlatformType", "Linux")
            .optional("PlatformVersion", self.platform_version.as_deref())
            .optional("SSMConnectionChannel", self.connection_channel.as_deref())
            .optional("StintHardware", self.hardware.as_deref())
            .optional("StintRun", self.run.as_deref())
            .finish()
    }
}

/// The answer to UpdateInstanceInformation: empty, but for what a hub has to say.
#[derive(Debug, Default, Deserialize)]
pub struct Heard {
    /// This device is to register as a node of its own.
    #[serde(rename = "StintReidentify")]
    pub reidentify: Option<Reidentify>,
}

/// The activation to register with.
#[derive(Debug, Deserialize)]
pub struct Reidentify {
    /// Its id.
    #[serde(rename = "ActivationId")]
    pub activation_id: String,
    /// Its code.
    #[serde(rename = "ActivationCode")]
    pub activation_code: String,
}

/// The body of an error answer of both JSON services.
#[derive(Debug, Default, Deserialize)]
pub struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    #[serde(rename = "Message")]
    message_capital: Option<String>,
}

impl ErrorBody {
    /// The error's code without its namespace; empty if the body names none.
    pub fn code(&self) -> &str {
        let full = self.kind.as_deref().or(self.code.as_deref()).unwrap_or_default();
        full.rsplit_once('#').map_or(full, |(_, code)| code)
    }

    /// The text meant for people; empty if there is none.
    pub fn message(&self) -> &str {
        self.message.as_deref().or(self.message_capital.as_deref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniserde::json;

    #[test]
    fn inventory_that_the_server_has_is_named_by_its_mark_alone() {
        let content = r#"[{"Name":"a"}]"#.to_owned();
        let mut item = Inventory { type_name: "Custom:A", content, is_new: true };
        let text = item.to_json("mi-1", Utc(1_795_300_000_123));
        let mark = "\"ContentHash\":\"D81pfQeWshJ6qdEfi+CwVA==\"";
        let begin =
            r#"{"InstanceId":"mi-1","Items":[{"TypeName":"Custom:A","SchemaVersion":"1.0","#;
        let time = r#""CaptureTime":"2026-11-21T22:26:40Z","#;
        assert_eq!(text, format!("{begin}{time}{mark},\"Content\":[{{\"Name\":\"a\"}}]}}]}}"));
        item.is_new = false;
        let text = item.to_json("mi-1", Utc(1_795_300_000_123));
        assert_eq!(text, format!("{begin}{time}{mark}}}]}}"));
    }

    #[test]
    fn an_error_is_read_in_every_spelling() {
        for text in [
            r#"{"__type":"InvalidActivation","message":"m"}"#,
            r#"{"__type":"com.amazonaws.ssm#InvalidActivation","Message":"m"}"#,
            r#"{"code":"InvalidActivation","message":"m"}"#,
        ] {
            let body: ErrorBody = json::from_str(text).unwrap();
            assert_eq!((body.code(), body.message()), ("InvalidActivation", "m"), "{text}");
        }
    }

    #[test]
    fn what_a_node_does_not_know_of_itself_is_left_out() {
        let report = NodeReport { instance_id: "mi-1".into(), ..NodeReport::default() };
        assert!(!report.to_json().contains("ComputerName"));
        assert!(report.to_json().contains(r#""PlatformType":"Linux""#));
    }
}

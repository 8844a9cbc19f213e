//! The two filter lists of DescribeInstanceInformation.
//!
//! A node has to match every filter, and one of the values of each.

use crate::error::{ApiError, ApiResult};
use crate::tools::tags::{MANAGED_INSTANCE, Tag};
use serde::Deserialize;
use stint_wire::ids;

/// The source type that AWS gives to nodes of hybrid activations.
pub const SOURCE_TYPE: &str = "AWS::SSM::ManagedInstance";

/// One filter, as the list `Filters` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StringFilter {
    key: String,
    values: Vec<String>,
}

/// One filter, as the older `InstanceInformationFilterList` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegacyFilter {
    key: String,
    value_set: Vec<String>,
}

/// What a filter looks at.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    InstanceIds,
    AgentVersion,
    PingStatus,
    PlatformTypes,
    ActivationIds,
    IamRole,
    ResourceType,
    AssociationStatus,
    SourceIds,
    SourceTypes,
    AnyTag,
    Tag(String),
}

/// A filter that is known to be meaningful.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    key: Key,
    values: Vec<String>,
}

/// What filters look at in a node.
pub struct Subject<'n> {
    /// The node's id.
    pub id: &'n str,
    /// The version that its agent reported.
    pub agent_version: Option<&'n str>,
    /// Online or ConnectionLost.
    pub ping_status: &'n str,
    /// Linux, as a rule.
    pub platform_type: Option<&'n str>,
    /// The activation it registered with.
    pub activation_id: &'n str,
    /// The activation's role.
    pub iam_role: &'n str,
    /// Its tags; may be empty when no filter [`Filter::needs_tags`].
    pub tags: &'n [Tag],
}

/// The filters of a request.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidInstanceInformationFilterValue`, `InvalidInstanceId`, and
/// `ValidationException` when both lists are used.
pub fn parse(
    filters: Option<Vec<StringFilter>>,
    legacy: Option<Vec<LegacyFilter>>,
) -> ApiResult<Vec<Filter>> {
    let (filters, legacy) = (filters.unwrap_or_default(), legacy.unwrap_or_default());
    if !filters.is_empty() && !legacy.is_empty() {
        return Err(ApiError::validation(
            "Filters and InstanceInformationFilterList can't be used together; use Filters.",
        ));
    }
    let pairs = filters.into_iter().map(|f| (f.key, f.values));
    pairs.chain(legacy.into_iter().map(|f| (f.key, f.value_set))).map(one).collect()
}

fn one((key, values): (String, Vec<String>)) -> ApiResult<Filter> {
    let words: (Key, &[&str]) = match key.as_str() {
        "InstanceIds" => (Key::InstanceIds, &[]),
        "AgentVersion" => (Key::AgentVersion, &[]),
        "PingStatus" => (Key::PingStatus, &["Online", "ConnectionLost", "Inactive"]),
        "PlatformTypes" => (Key::PlatformTypes, &["Windows", "Linux", "MacOS"]),
        "ActivationIds" => (Key::ActivationIds, &[]),
        "IamRole" => (Key::IamRole, &[]),
        "ResourceType" => (Key::ResourceType, &["ManagedInstance", "EC2Instance"]),
        "AssociationStatus" => (Key::AssociationStatus, &["Success", "Pending", "Failed"]),
        "SourceIds" => (Key::SourceIds, &[]),
        "SourceTypes" => (Key::SourceTypes, &[]),
        "tag-key" => (Key::AnyTag, &[]),
        other => match other.strip_prefix("tag:") {
            Some(tag) if !tag.is_empty() => (Key::Tag(tag.to_owned()), &[]),
            _ => {
                return Err(ApiError::new(
                    "InvalidFilterKey",
                    format!(
                        "The filter key '{other}' isn't valid. Use InstanceIds, AgentVersion, \
                         PingStatus, PlatformTypes, ActivationIds, IamRole, ResourceType, \
                         AssociationStatus, SourceIds, SourceTypes, tag-key or tag:KEY."
                    ),
                ));
            }
        },
    };
    let (key, words) = words;
    for value in &values {
        if key == Key::InstanceIds && !is_node_id(value) {
            return Err(ApiError::new(
                "InvalidInstanceId",
                format!("'{value}' isn't a managed node's ID."),
            ));
        }
        if !words.is_empty() && !words.contains(&value.as_str()) {
            return Err(ApiError::new(
                "InvalidInstanceInformationFilterValue",
                format!("'{value}' isn't valid here. Use one of {}.", words.join(", ")),
            ));
        }
    }
    Ok(Filter { key, values })
}

/// Managed nodes, and the ids of EC2 instances, which are well formed and never there.
fn is_node_id(id: &str) -> bool {
    let ec2 = id.strip_prefix("i-").is_some_and(|rest| {
        matches!(rest.len(), 8 | 17) && rest.bytes().all(|b| b.is_ascii_hexdigit())
    });
    ids::is_managed_node_id(id) || ec2
}

impl Filter {
    /// Whether the node's tags have to be looked up.
    pub fn needs_tags(&self) -> bool {
        matches!(self.key, Key::AnyTag | Key::Tag(_))
    }

    /// Whether the node passes.
    pub fn matches(&self, node: &Subject<'_>) -> bool {
        let any = |value: &str| self.values.iter().any(|v| v == value);
        match &self.key {
            Key::InstanceIds => any(node.id),
            Key::AgentVersion => node.agent_version.is_some_and(any),
            Key::PingStatus => any(node.ping_status),
            Key::PlatformTypes => node.platform_type.is_some_and(any),
            Key::ActivationIds => any(node.activation_id),
            Key::IamRole => any(node.iam_role),
            Key::ResourceType => any(MANAGED_INSTANCE),
            // No node has an association or a source of its own.
            Key::AssociationStatus | Key::SourceIds => false,
            Key::SourceTypes => any(SOURCE_TYPE),
            Key::AnyTag => node.tags.iter().any(|tag| any(&tag.key)),
            Key::Tag(key) => node.tags.iter().any(|tag| tag.key == *key && any(&tag.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(key: &str, values: &[&str]) -> ApiResult<Filter> {
        one((key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect()))
    }

    #[test]
    fn every_key_selects_what_it_names() {
        let tags = [Tag { key: "site".into(), value: "lab".into() }];
        let node = Subject {
            id: "mi-0123456789abcdef0",
            agent_version: Some("3.3.0.0"),
            ping_status: "Online",
            platform_type: Some("Linux"),
            activation_id: "a",
            iam_role: "EdgeRole",
            tags: &tags,
        };
        for (key, values, expected) in [
            ("InstanceIds", ["mi-0123456789abcdef0", "i-01234567"], true),
            ("InstanceIds", ["mi-0123456789abcdef1", "i-01234567"], false),
            ("AgentVersion", ["3.3.0.0", "x"], true),
            ("PingStatus", ["ConnectionLost", "Inactive"], false),
            ("PingStatus", ["ConnectionLost", "Online"], true),
            ("PlatformTypes", ["Windows", "Linux"], true),
            ("ActivationIds", ["b", "a"], true),
            ("IamRole", ["x", "y"], false),
            ("ResourceType", ["ManagedInstance", "EC2Instance"], true),
            ("ResourceType", ["EC2Instance", "EC2Instance"], false),
            ("AssociationStatus", ["Success", "Failed"], false),
            ("SourceTypes", [SOURCE_TYPE, "x"], true),
            ("SourceIds", ["x", "y"], false),
            ("tag-key", ["role", "site"], true),
            ("tag:site", ["field", "lab"], true),
            ("tag:site", ["field", "LAB"], false),
            ("tag:role", ["lab", ""], false),
        ] {
            assert_eq!(filter(key, &values).unwrap().matches(&node), expected, "{key} {values:?}");
        }
    }

    #[test]
    fn each_bad_filter_has_its_own_code() {
        for (key, value, code) in [
            ("Colour", "red", "InvalidFilterKey"),
            ("tag:", "red", "InvalidFilterKey"),
            ("PingStatus", "online", "InvalidInstanceInformationFilterValue"),
            ("PlatformTypes", "BeOS", "InvalidInstanceInformationFilterValue"),
            ("InstanceIds", "bogus", "InvalidInstanceId"),
        ] {
            assert_eq!(filter(key, &[value]).unwrap_err().code, code, "{key}");
        }
    }
}

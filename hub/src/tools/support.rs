//! Which operations the hub has, and the table of them in `docs/SUPPORT.md`.

use crate::error::ApiError;
use crate::model;
use std::fmt::Write;

/// The supported operations by tool, with what differs from AWS.
const TOOLS: [(&str, &[(&str, &str)]); 8] = [
    (
        "Hybrid activations",
        &[
            (
                "CreateActivation",
                "`RegistrationMetadata` is accepted and ignored; `IamRole` is kept and shown, \
                 and lets nodes read what rules for it allow (docs/SECURITY.md)",
            ),
            ("DescribeActivations", ""),
            ("DeleteActivation", "registered nodes stay registered"),
        ],
    ),
    (
        "Fleet Manager",
        &[
            (
                "DescribeInstanceInformation",
                "tag filters may be combined with others; association members are absent until \
                 associations exist; nodes are registered devices alone, EC2 instances aren't known by \
                 their role",
            ),
            (
                "DeregisterManagedInstance",
                "what the node had not finished ends as `Failed`, `Undeliverable`; nodes may call it for themselves",
            ),
        ],
    ),
    (
        "Tags",
        &[
            ("AddTagsToResource", "`ManagedInstance`, `Document`, `Parameter`"),
            ("ListTagsForResource", "`ManagedInstance`, `Document`, `Parameter`"),
            ("RemoveTagsFromResource", "`ManagedInstance`, `Document`, `Parameter`"),
        ],
    ),
    (
        "Run Command",
        &[
            (
                "SendCommand",
                "targets `tag:KEY`, `tag-key` and `InstanceIds`, resolved when sent; nodes that \
                 are offline get the command when they are back, until the delivery timeout; \
                 `NotificationConfig`, `ServiceRoleArn` and `AlarmConfiguration` are kept and \
                 shown, and cause nothing; `DocumentHashType` is `Sha256`; nodes of the BootAgent \
                 protocol run `Stint-ConfigureAgent` and its like, other documents end there as \
                 `InvalidPlatform`",
            ),
            ("ListCommands", ""),
            ("ListCommandInvocations", ""),
            (
                "GetCommandInvocation",
                "of a document with several steps and without `PluginName`: the status of the \
                 whole, no output",
            ),
            ("CancelCommand", ""),
        ],
    ),
    (
        "Session Manager",
        &[
            (
                "StartSession",
                "who may open what is said by `stint-hub session allow` (docs/SECURITY.md); 16 \
                 open sessions per node; a node needs a control channel; no KMS",
            ),
            ("ResumeSession", "only by the key that opened the session"),
            ("TerminateSession", "one that has ended, or never was, is no error"),
            (
                "DescribeSessions",
                "kept for 400 days; `AccessType` is always `Standard`; `OutputUrl.S3OutputUrl` is the transcript's, in S3 or on the hub",
            ),
            ("GetConnectionStatus", "`connected` while the node holds a control channel"),
        ],
    ),
    (
        "Documents",
        &[
            (
                "CreateDocument",
                "ready at once: `Active`, never `Creating`; types beyond Command, Automation, \
                 Session, Package and ChangeCalendar are checked for their syntax only; \
                 `Attachments` come from the hub's own store, as `hub://FOLDER`",
            ),
            ("UpdateDocument", "documents of schema 1.x can be updated too"),
            ("UpdateDocumentDefaultVersion", ""),
            ("UpdateDocumentMetadata", "change templates only, as AWS has it"),
            ("DeleteDocument", ""),
            ("GetDocument", "managed nodes may read Command, Package and Policy documents"),
            ("DescribeDocument", "`Parameters` have all types, not only those of the model"),
            ("ListDocuments", "`SearchKeyword` looks into names and descriptions"),
            ("ListDocumentVersions", ""),
            ("ListDocumentMetadataHistory", ""),
            ("DescribeDocumentPermission", ""),
            (
                "ModifyDocumentPermission",
                "kept and shown; the hub has one account, so sharing gives nobody anything",
            ),
        ],
    ),
    (
        "Inventory",
        &[
            (
                "PutInventory",
                "nodes may call it for themselves; sub-types and `Context` have no meaning; \
                 `AWS:InstanceInformation` is the hub's own",
            ),
            ("ListInventoryEntries", ""),
            (
                "GetInventory",
                "`Groups` are not supported; one type in `ResultAttributes`; child agents are \
                 `Custom:StintChildAgent` and `Custom:StintChildEvent`; what used a node's key is \
                 `Custom:StintIdentity`, what fails in its agent `Custom:StintModule` and \
                 `Custom:StintRestart`",
            ),
            ("GetInventorySchema", "AWS's own types are there when a node has put them"),
        ],
    ),
    (
        "Parameter Store",
        &[
            (
                "PutParameter",
                "allowed patterns have no look-around; `aws:ec2:image` has to be well formed and is \
                 checked at once; a new version keeps the description, the pattern and the data \
                 type that the request doesn't name; keys are the hub's own, one for each `KeyId`",
            ),
            (
                "GetParameter",
                "nodes may call it within what their role allows (docs/SECURITY.md); the region \
                 of an ARN is any",
            ),
            ("GetParameters", "as GetParameter"),
            (
                "GetParametersByPath",
                "nodes may ask for a path when they may read everything under it",
            ),
            ("GetParameterHistory", ""),
            ("DescribeParameters", "`Shared` finds nothing"),
            ("DeleteParameter", "the name is free again at once"),
            ("DeleteParameters", "as DeleteParameter"),
            ("LabelParameterVersion", ""),
            ("UnlabelParameterVersion", ""),
        ],
    ),
];

/// The names of the supported operations, by tool.
pub fn supported() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().flat_map(|(_, operations)| operations.iter().map(|(name, _)| *name))
}

/// The error for an operation that the hub lacks.
pub fn refusal(operation: &str) -> ApiError {
    let reason = if model::is_operation(operation) {
        "is not supported by stint-hub; docs/SUPPORT.md lists the operations that are"
    } else {
        "is not an operation of AWS Systems Manager"
    };
    ApiError::new("UnknownOperationException", format!("{operation} {reason}."))
}

/// The whole of `docs/SUPPORT.md`.
pub fn markdown() -> String {
    let all = model::operation_names().count();
    let mut out = format!(
        "# What stint-hub supports\n\n\
         <!-- Written by `cargo run -p stint-hub -- operations > docs/SUPPORT.md`; a test compares. -->\n\n\
         {} of the {all} operations of AWS Systems Manager (API version 2014-11-06). Everything else answers\n\
         `UnknownOperationException` and names the operation. Inputs are checked against the service's model as\n\
         AWS does it: required members, types, lengths, patterns, words.\n\n\
         | tool | operation | differences from AWS |\n| --- | --- | --- |\n",
        supported().count(),
    );
    for (tool, operations) in TOOLS {
        for (name, note) in operations {
            let _ = writeln!(out, "| {tool} | {name} | {note} |");
        }
    }
    out.push_str("\n## Not supported yet\n\n");
    let missing: Vec<&str> =
        model::operation_names().filter(|name| !supported().any(|s| s == *name)).collect();
    let _ = writeln!(out, "{}.", missing.join(", "));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_support_table_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SUPPORT.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/SUPPORT.md is stale: cargo run -p stint-hub -- operations > docs/SUPPORT.md"
        );
    }

    #[test]
    fn every_supported_operation_is_one_of_the_service() {
        for name in supported() {
            assert!(model::is_operation(name), "{name}");
            assert!(!model::check_output(name, &serde_json::json!(0)).is_empty());
        }
    }
}

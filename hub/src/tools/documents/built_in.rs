//! The documents that come with the hub.

use super::document::{Document, Draft};
use super::format::Format;
use std::sync::LazyLock;

/// The owner that clients see on documents they did not write, spelt as AWS spells it.
pub const OWNER: &str = "Amazon";

/// When the documents were last changed, in milliseconds since 1970.
const WRITTEN_AT: i64 = 1_795_305_600_000;

macro_rules! documents {
    ($($name:literal),* $(,)?) => {
        vec![$(document($name, include_str!(concat!("../../../documents/", $name, ".json")))),*]
    };
}

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    documents![
        "AWS-ConfigureDocker",
        "AWS-DownloadContent",
        "AWS-RunDockerAction",
        "AWS-RunDocument",
        "AWS-RunPowerShellScript",
        "AWS-RunRemoteScript",
        "AWS-RunShellScript",
        "AWS-StartInteractiveCommand",
        "AWS-StartNonInteractiveCommand",
        "AWS-StartPortForwardingSession",
        "AWS-StartPortForwardingSessionToRemoteHost",
        "AWS-StartSSHSession",
        "AWS-UpdateSSMAgent",
        "SSM-SessionManagerRunShell",
        "Stint-ConfigureAgent",
        "Stint-Event",
        "Stint-GetFile",
        "Stint-PutFile",
    ]
});

/// The preferences of sessions. Operators may have a document of this name in its place.
pub const PREFERENCES: &str = "SSM-SessionManagerRunShell";

/// Whether operators can't have a document of this name.
pub fn is_fixed(name: &str) -> bool {
    name != PREFERENCES && find(name).is_some()
}

/// All documents, by name.
pub fn all() -> &'static [Document] {
    &DOCUMENTS
}

/// The built-in document of this name.
pub fn find(name: &str) -> Option<&'static Document> {
    all().iter().find(|document| document.summary.name == name)
}

fn document(name: &str, text: &str) -> Document {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let session = value.get("sessionType").is_some();
    let mut document = Draft {
        name,
        document_type: if session { "Session" } else { "Command" },
        format: Format::Json,
        text: text.to_owned(),
        value,
        created_at: WRITTEN_AT,
    }
    .document();
    document.summary.built_in = true;
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_document_is_complete_and_in_order() {
        for document in all() {
            let session = document.summary.document_type == "Session";
            assert_eq!(session, document.content.steps().is_empty(), "{}", document.summary.name);
            assert_eq!(session, document.content.value().get("sessionType").is_some());
            assert!(document.summary.description.is_some(), "{}", document.summary.name);
        }
        assert!(all().windows(2).all(|pair| pair[0].summary.name < pair[1].summary.name));
    }
}

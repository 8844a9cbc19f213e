//! The documents that come with the hub.

use super::{Content, platforms};
use crate::error::{ApiError, ApiResult};
use std::sync::LazyLock;
use stint_wire::text;

/// The owner that clients see on documents they did not write, spelt as AWS spells it.
pub const OWNER: &str = "Amazon";

/// A document of the hub's.
pub struct Document {
    /// Its name, the public one.
    pub name: &'static str,
    /// The content as JSON text.
    pub text: &'static str,
    /// The content, parsed.
    pub content: Content,
    /// Its only version.
    pub version: &'static str,
    /// When this version was written, in milliseconds since 1970.
    pub created_at: i64,
    /// Where it runs.
    pub platforms: Vec<&'static str>,
}

/// When the documents were last changed, in milliseconds since 1970.
const WRITTEN_AT: i64 = 1_795_305_600_000;

macro_rules! documents {
    ($($name:literal),* $(,)?) => {
        vec![$(Document::of($name, include_str!(concat!("../../../documents/", $name, ".json")))),*]
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
    ]
});

/// All documents, by name.
pub fn all() -> &'static [Document] {
    &DOCUMENTS
}

/// The document of this name or ARN, in this version.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn find(name: &str, version: Option<&str>) -> ApiResult<&'static Document> {
    let short = name_in_arn(name).unwrap_or(name);
    let Some(document) = all().iter().find(|d| d.name == short) else {
        return Err(ApiError::new(
            "InvalidDocument",
            format!(
                "Document with name {name} does not exist. ListDocuments lists those there are."
            ),
        ));
    };
    match version {
        None | Some("$DEFAULT" | "$LATEST") => Ok(document),
        Some(version) if version == document.version => Ok(document),
        Some(version) => Err(ApiError::new(
            "InvalidDocumentVersion",
            format!(
                "Document {} has no version {version}; its latest is {}.",
                document.name, document.version
            ),
        )),
    }
}

/// `arn:aws:ssm:REGION:ACCOUNT:document/NAME`; the account of public documents is empty.
fn name_in_arn(arn: &str) -> Option<&str> {
    let rest = arn.strip_prefix("arn:")?;
    let resource = rest.splitn(5, ':').last()?;
    resource.strip_prefix("document/")
}

impl Document {
    fn of(name: &'static str, text: &'static str) -> Document {
        let content = Content::of(text);
        let platforms = platforms::of(&content.steps());
        Document { name, text, content, version: "1", created_at: WRITTEN_AT, platforms }
    }

    /// The SHA-256 of the content, as DescribeDocument shows it and SendCommand compares it.
    pub fn hash(&self) -> String {
        text::sha256_hex(self.text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_document_is_complete() {
        for document in all() {
            assert!(!document.content.steps().is_empty(), "{}", document.name);
            assert!(document.content.description().is_some(), "{}", document.name);
        }
    }

    #[test]
    fn a_document_is_found_by_name_or_arn() {
        for name in [
            "AWS-RunShellScript",
            "arn:aws:ssm:eu-central-1::document/AWS-RunShellScript",
            "arn:aws:ssm:eu-central-1:123456789012:document/AWS-RunShellScript",
        ] {
            assert!(find(name, None).is_ok(), "{name}");
        }
        for name in ["aws-runshellscript", "arn:aws:ssm:x", "arn:aws:ssm:x:y:parameter/z", ""] {
            assert_eq!(find(name, None).err().map(|e| e.code), Some("InvalidDocument"), "{name}");
        }
        for version in ["1", "$LATEST", "$DEFAULT"] {
            assert!(find("AWS-RunShellScript", Some(version)).is_ok(), "{version}");
        }
    }
}

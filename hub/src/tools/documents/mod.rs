//! Documents: what a command does, with declared parameters.
//!
//! Never here: running anything. Until operators can write documents of their own, the only ones
//! are built in.

mod built_in;
mod content;
mod list;
mod parameters;
mod platforms;
mod yaml;

pub use built_in::{Document, find};
pub use content::{Content, Step};
pub use list::list;

use crate::error::{ApiError, ApiResult};
use crate::model;
use crate::tools::{present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

/// GetDocument's and DescribeDocument's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    name: String,
    document_version: Option<String>,
    version_name: Option<String>,
    document_format: Option<String>,
}

impl Get {
    fn find(&self) -> ApiResult<&'static Document> {
        if let Some(name) = &self.version_name {
            return Err(ApiError::new(
                "InvalidDocumentVersion",
                format!("{} has no version named '{name}'.", self.name),
            ));
        }
        find(&self.name, self.document_version.as_deref())
    }
}

/// GetDocument: the content, in the format asked for.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`, `ValidationException` for a format that the
/// document can't be shown in.
pub fn get(input: Get) -> ApiResult<Value> {
    let document = input.find()?;
    let format = input.document_format.as_deref().unwrap_or("JSON");
    let content = match format {
        "JSON" => document.text.to_owned(),
        "YAML" => yaml::block(document.content.value()),
        other => {
            return Err(ApiError::validation(format!(
                "A document of type Command can't be shown as {other}; ask for JSON or YAML."
            )));
        }
    };
    Ok(json!({
        "Name": document.name,
        "CreatedDate": timestamp(document.created_at),
        "DocumentVersion": document.version,
        "Status": "Active",
        "Content": content,
        "DocumentType": "Command",
        "DocumentFormat": format,
    }))
}

/// GetDocument as a managed node calls it, for a document that it downloads or runs inside
/// another.
///
/// # Errors
/// Those of [`get`].
pub fn get_for_node(input: &Value) -> ApiResult<Value> {
    model::validate_input("GetDocument", input)?;
    get(crate::tools::parse(input.clone())?)
}

/// DescribeDocument: what the document takes and where it runs.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub fn describe(input: Get) -> ApiResult<Value> {
    let document = input.find()?;
    let parameters: Vec<Value> = document.content.parameters().map(parameter).collect();
    let described = json!({
        "Hash": document.hash(),
        "HashType": "Sha256",
        "Name": document.name,
        "Owner": built_in::OWNER,
        "CreatedDate": timestamp(document.created_at),
        "Status": "Active",
        "DocumentVersion": document.version,
        "Description": document.content.description(),
        "Parameters": parameters,
        "PlatformTypes": document.platforms,
        "DocumentType": "Command",
        "SchemaVersion": document.content.schema_version(),
        "LatestVersion": document.version,
        "DefaultVersion": document.version,
        "DocumentFormat": "JSON",
        "Tags": [],
    });
    Ok(json!({"Document": present(described)}))
}

fn parameter((name, declared): (&String, parameters::Declared)) -> Value {
    let default = declared.default.map(|value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    });
    present(json!({
        "Name": name,
        "Type": declared.kind,
        "Description": declared.description,
        "DefaultValue": default,
    }))
}

#[cfg(test)]
mod tests {
    use crate::tools::testbed::Testbed;
    use serde_json::{Value, json};

    const NAME: &str = "AWS-RunShellScript";

    #[tokio::test]
    async fn the_shell_script_document_is_there_in_json_and_yaml() {
        let bed = Testbed::new().await;
        for name in [NAME, "arn:aws:ssm:us-east-1::document/AWS-RunShellScript"] {
            let json = bed.ok("GetDocument", json!({"Name": name})).await;
            let content: Value = serde_json::from_str(json["Content"].as_str().unwrap()).unwrap();
            assert_eq!(content["schemaVersion"], "1.2");
        }
        let yaml = bed.ok("GetDocument", json!({"Name": NAME, "DocumentFormat": "YAML"})).await;
        assert!(yaml["Content"].as_str().unwrap().starts_with("\"schemaVersion\": \"1.2\"\n"));
    }

    #[tokio::test]
    async fn a_document_is_described_with_its_parameters() {
        let bed = Testbed::new().await;
        let answer = bed.ok("DescribeDocument", json!({"Name": NAME})).await;
        let document = &answer["Document"];
        assert_eq!(document["SchemaVersion"], "1.2");
        let names: Vec<&str> = document["Parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["Name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["commands", "workingDirectory", "executionTimeout"]);
        assert_eq!(document["Parameters"][2]["DefaultValue"], "3600");
    }

    #[tokio::test]
    async fn every_built_in_document_is_shown_and_described() {
        let bed = Testbed::new().await;
        for document in super::built_in::all() {
            bed.ok("GetDocument", json!({"Name": document.name})).await;
            let answer = bed.ok("DescribeDocument", json!({"Name": document.name})).await;
            assert!(!answer["Document"]["PlatformTypes"].as_array().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn each_bad_request_has_its_own_code() {
        let bed = Testbed::new().await;
        for operation in ["GetDocument", "DescribeDocument"] {
            for (input, code) in [
                (json!({"Name": "AWS-Nothing"}), "InvalidDocument"),
                (json!({"Name": "no"}), "ValidationException"),
                (json!({"Name": NAME, "DocumentVersion": "2"}), "InvalidDocumentVersion"),
                (json!({"Name": NAME, "VersionName": "blue"}), "InvalidDocumentVersion"),
                (json!({"Name": NAME, "DocumentVersion": "first"}), "ValidationException"),
            ] {
                assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
            }
        }
        let text = json!({"Name": NAME, "DocumentFormat": "TEXT"});
        assert_eq!(bed.code("GetDocument", text).await, "ValidationException");
    }
}

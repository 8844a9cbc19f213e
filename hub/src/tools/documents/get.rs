//! GetDocument and DescribeDocument.

use super::attachments;
use super::document::Document;
use super::find::Named;
use super::format::Format;
use super::yaml;
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::model;
use crate::tools::tags::{self, DOCUMENT};
use crate::tools::{parse, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

/// The types that nodes may read: what they run, install and collect by. The others are for the
/// hub and its operators.
const FOR_NODES: [&str; 3] = ["Command", "Package", "Policy"];

/// GetDocument's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    #[serde(flatten)]
    named: Named,
    document_format: Option<String>,
}

/// GetDocument: the content in the format asked for, JSON unless it is neither JSON nor YAML.
/// In the format in which it was written it comes as it was written. `endpoint` is the URL under
/// which the caller reached the hub.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`, `ValidationException` for a format that the
/// document can't be shown in.
pub async fn get(app: &App, endpoint: &str, input: Get) -> ApiResult<Value> {
    let document = input.named.find(app).await?;
    answer(app, endpoint, &document, input.document_format.as_deref())
}

/// GetDocument as a managed node calls it, for a document that it downloads or runs inside
/// another.
///
/// # Errors
/// Those of [`get`]; `AccessDeniedException` for a type that is not for nodes.
pub async fn get_for_node(
    app: &App,
    node: &NodeCaller,
    endpoint: &str,
    input: &Value,
) -> ApiResult<Value> {
    model::validate_input("GetDocument", input)?;
    let input: Get = parse(input.clone())?;
    let document = input.named.find(app).await?;
    if !FOR_NODES.contains(&document.summary.document_type.as_str()) {
        return Err(ApiError::access_denied(format!(
            "{} may not read {}: it is of type {}, and managed nodes read {} alone.",
            node.id,
            document.summary.name,
            document.summary.document_type,
            FOR_NODES.join(", ")
        )));
    }
    answer(app, endpoint, &document, input.document_format.as_deref())
}

fn answer(
    app: &App,
    endpoint: &str,
    document: &Document,
    wanted: Option<&str>,
) -> ApiResult<Value> {
    let summary = &document.summary;
    let written = Format::of(Some(&summary.document_format));
    let wanted = match (wanted, written) {
        (None, Format::Text) => Format::Text,
        (wanted, _) => Format::of(wanted),
    };
    let content = match (written, wanted) {
        (written, wanted) if written == wanted => document.text.clone(),
        (Format::Text, _) | (_, Format::Text) => {
            return Err(ApiError::validation(format!(
                "{} is written in {} and can't be shown as {}.",
                summary.name,
                summary.document_format,
                wanted.word()
            )));
        }
        (_, Format::Yaml) => yaml::block(document.content.value()),
        _ => serde_json::to_string_pretty(document.content.value()).map_err(ApiError::internal)?,
    };
    let files = summary.attachments()?;
    let files: Vec<Value> = files
        .iter()
        .map(|file| attachments::content(app, endpoint, file))
        .collect::<ApiResult<_>>()?;
    Ok(present(json!({
        "Name": summary.name,
        "CreatedDate": timestamp(summary.created_at),
        "DisplayName": summary.display_name,
        "VersionName": summary.version_name,
        "DocumentVersion": summary.version.to_string(),
        "Status": "Active",
        "Content": content,
        "DocumentType": summary.document_type,
        "DocumentFormat": wanted.word(),
        "Requires": summary.requires(),
        "AttachmentsContent": if files.is_empty() { Value::Null } else { Value::Array(files) },
        "ReviewStatus": summary.review_status,
    })))
}

/// DescribeDocument: what the document takes and where it runs.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub async fn describe(app: &App, input: Named) -> ApiResult<Value> {
    let document = input.find(app).await?;
    let name = &document.summary.name;
    let tags = json!(tags::of(&app.store.read, DOCUMENT, name).await?);
    Ok(json!({"Document": document.description(app, &tags)?}))
}

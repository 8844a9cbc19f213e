//! A version of a document, built in or an operator's.

use super::attachments::Attachment;
use super::content::Content;
use super::format::Format;
use super::{built_in, platforms};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::{present, timestamp};
use serde_json::{Value, json};
use sqlx::FromRow;
use stint_wire::text::sha256_hex;

/// Everything about a version but its content: a row of `document` and `document_version`.
#[derive(Clone, Debug, FromRow)]
pub struct Summary {
    /// Unique in the account.
    pub name: String,
    /// The model's DocumentType.
    pub document_type: String,
    /// The version that is used when none is named.
    pub default_version: i64,
    /// The highest version there is.
    pub latest_version: i64,
    /// This version, from 1.
    pub version: i64,
    /// The operator's own name for it.
    pub version_name: Option<String>,
    /// For people.
    pub display_name: Option<String>,
    /// The model's DocumentFormat.
    pub document_format: String,
    /// SHA-256 of the content as written, in hexadecimal digits.
    pub hash: String,
    /// For people, out of the content.
    pub description: Option<String>,
    /// Out of the content.
    pub schema_version: Option<String>,
    /// JSON: where it runs.
    pub platforms: String,
    /// The kind of resource that it is for.
    pub target_type: Option<String>,
    /// JSON: the documents it needs.
    pub requires: String,
    /// JSON: [`Attachment`]s.
    pub attachments: String,
    /// Of a change template.
    pub review_status: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// It comes with the hub.
    #[sqlx(skip)]
    pub built_in: bool,
}

/// A version with its content.
#[derive(Clone)]
pub struct Document {
    /// Everything but the content.
    pub summary: Summary,
    /// The content as it was written.
    pub text: String,
    /// The content as JSON text.
    pub json: String,
    /// The content, parsed; without members if it is neither JSON nor YAML.
    pub content: Content,
}

/// What a version is made of.
pub struct Draft<'d> {
    /// The document's name.
    pub name: &'d str,
    /// Its type.
    pub document_type: &'d str,
    /// The format of `text`.
    pub format: Format,
    /// The content as written.
    pub text: String,
    /// The content as a value, null for text.
    pub value: Value,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl Draft<'_> {
    /// The first version of a document, with nothing that its content does not say.
    pub fn document(self) -> Document {
        let json = match self.format {
            Format::Json => self.text.clone(),
            Format::Yaml | Format::Text => self.value.to_string(),
        };
        let content = Content::from(self.value);
        let mut platforms = platforms::of(&content.steps());
        if platforms.is_empty() {
            platforms = platforms::ALL.to_vec();
        }
        let summary = Summary {
            name: self.name.to_owned(),
            document_type: self.document_type.to_owned(),
            default_version: 1,
            latest_version: 1,
            version: 1,
            version_name: None,
            display_name: None,
            document_format: self.format.word().to_owned(),
            hash: sha256_hex(self.text.as_bytes()),
            description: content.description().map(str::to_owned),
            schema_version: content.schema_version().map(str::to_owned),
            platforms: json!(platforms).to_string(),
            target_type: None,
            requires: "[]".to_owned(),
            attachments: "[]".to_owned(),
            review_status: None,
            created_at: self.created_at,
            built_in: false,
        };
        Document { summary, text: self.text, json, content }
    }
}

impl Summary {
    /// Where it runs, in the model's words.
    pub fn platforms(&self) -> Vec<String> {
        serde_json::from_str(&self.platforms).unwrap_or_default()
    }

    /// Who owns it.
    pub fn owner<'o>(&self, app: &'o App) -> &'o str {
        if self.built_in { built_in::OWNER } else { &app.account_id }
    }

    /// The files that belong to it.
    ///
    /// # Errors
    /// `InternalServerError` when the row is damaged.
    pub fn attachments(&self) -> ApiResult<Vec<Attachment>> {
        serde_json::from_str(&self.attachments).map_err(ApiError::internal)
    }

    /// The documents it needs; null if none.
    pub fn requires(&self) -> Value {
        let list: Vec<Value> = serde_json::from_str(&self.requires).unwrap_or_default();
        if list.is_empty() { Value::Null } else { Value::Array(list) }
    }

    /// As `DocumentIdentifier` of the model.
    pub fn identifier(&self, app: &App, tags: &Value) -> Value {
        present(json!({
            "Name": self.name,
            "CreatedDate": timestamp(self.created_at),
            "DisplayName": self.display_name,
            "Owner": self.owner(app),
            "VersionName": self.version_name,
            "PlatformTypes": self.platforms(),
            "DocumentVersion": self.version.to_string(),
            "DocumentType": self.document_type,
            "SchemaVersion": self.schema_version,
            "DocumentFormat": self.document_format,
            "TargetType": self.target_type,
            "Tags": tags,
            "Requires": self.requires(),
            "ReviewStatus": self.review_status,
        }))
    }
}

impl Document {
    /// As `DocumentDescription` of the model, but for what other tables say.
    ///
    /// # Errors
    /// `InternalServerError` when the row is damaged.
    pub fn description(&self, app: &App, tags: &Value) -> ApiResult<Value> {
        let summary = &self.summary;
        let parameters: Vec<Value> = self
            .content
            .parameters()
            .map(|(name, declared)| {
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
            })
            .collect();
        let attachments: Vec<Value> =
            summary.attachments()?.iter().map(|a| json!({"Name": a.name})).collect();
        Ok(present(json!({
            "Hash": summary.hash,
            "HashType": "Sha256",
            "Name": summary.name,
            "DisplayName": summary.display_name,
            "VersionName": summary.version_name,
            "Owner": summary.owner(app),
            "CreatedDate": timestamp(summary.created_at),
            "Status": "Active",
            "DocumentVersion": summary.version.to_string(),
            "Description": summary.description,
            "Parameters": parameters,
            "PlatformTypes": summary.platforms(),
            "DocumentType": summary.document_type,
            "SchemaVersion": summary.schema_version,
            "LatestVersion": summary.latest_version.to_string(),
            "DefaultVersion": summary.default_version.to_string(),
            "DocumentFormat": summary.document_format,
            "TargetType": summary.target_type,
            "Tags": tags,
            "AttachmentsInformation": if attachments.is_empty() { Value::Null } else { json!(attachments) },
            "Requires": summary.requires(),
            "ReviewStatus": summary.review_status,
        })))
    }
}

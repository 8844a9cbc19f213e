//! CreateDocument.

use super::attachments::{self, Source};
use super::check;
use super::document::Draft;
use super::format::Format;
use super::{built_in, table};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::{self, DOCUMENT, Tag};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most documents of an account (AWS's documentation).
const MOST_DOCUMENTS: i64 = 500;

/// What names of operators' documents can't begin with, whatever the case of its letters
/// (AWS's documentation).
const RESERVED: [&str; 3] = ["aws", "amazon", "amzn"];

/// The type whose versions are reviewed before they are used.
pub const CHANGE_TEMPLATE: &str = "Automation.ChangeTemplate";

/// CreateDocument's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    content: String,
    name: String,
    document_type: Option<String>,
    document_format: Option<String>,
    display_name: Option<String>,
    version_name: Option<String>,
    target_type: Option<String>,
    #[serde(default)]
    requires: Vec<Value>,
    #[serde(default)]
    attachments: Vec<Source>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// CreateDocument: checks and stores version 1, which is also the default.
///
/// # Errors
/// Those of [`check::check`] and [`attachments::resolve`]; `DocumentAlreadyExists`,
/// `DocumentLimitExceeded`, `ValidationException` for a reserved name or bad tags.
pub async fn create(app: &App, input: Create) -> ApiResult<Value> {
    let name = input.name.as_str();
    refuse_reserved(name)?;
    tags::check(&input.tags).map_err(ApiError::validation)?;
    let document_type = input.document_type.as_deref().unwrap_or("Command");
    let format = Format::of(input.document_format.as_deref());
    let value = check::check(document_type, format, &input.content)?;
    let files = attachments::resolve(app, &input.attachments, document_type, &value).await?;
    let created_at = app.now().0 as i64;
    let draft = Draft { name, document_type, format, text: input.content, value, created_at };
    let mut document = draft.document();
    let summary = &mut document.summary;
    summary.display_name = input.display_name;
    summary.version_name = input.version_name;
    summary.target_type = input.target_type;
    summary.requires = json!(input.requires).to_string();
    summary.attachments = json!(files).to_string();
    summary.review_status = (document_type == CHANGE_TEMPLATE).then(|| "NOT_REVIEWED".to_owned());

    let mut tx = app.store.begin().await?;
    let (count, same): (i64, i64) =
        sqlx::query_as("SELECT COUNT(*), COUNT(CASE WHEN name = $1 THEN 1 END) FROM document")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
    if same > 0 {
        return Err(ApiError::new(
            "DocumentAlreadyExists",
            format!("Document {name} exists already; UpdateDocument gives it a new version."),
        ));
    }
    if count >= MOST_DOCUMENTS {
        return Err(ApiError::new(
            "DocumentLimitExceeded",
            format!(
                "There are {count} documents; the most is {MOST_DOCUMENTS}. Delete some first."
            ),
        ));
    }
    table::create(&mut tx, &document).await?;
    tags::put(&mut tx, DOCUMENT, name, &input.tags).await?;
    tx.commit().await?;
    Ok(json!({"DocumentDescription": document.description(app, &json!(input.tags))?}))
}

fn refuse_reserved(name: &str) -> ApiResult<()> {
    let lower = name.to_ascii_lowercase();
    match RESERVED.iter().find(|prefix| lower.starts_with(*prefix)) {
        None if !built_in::is_fixed(name) => Ok(()),
        prefix => Err(ApiError::validation(format!(
            "The document name '{name}' begins with {}, which is reserved; choose another name.",
            prefix.unwrap_or(&"a built-in document's name")
        ))),
    }
}

//! From the sources that a request names to files of the attachment store.

use super::{Attachment, Stored};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use crate::tools::documents::find::find;
use serde::Deserialize;
use serde_json::Value;

/// How the store's files are named in requests.
pub const SCHEME: &str = "hub://";

/// The most files of a version (AWS's documentation).
const MOST_FILES: usize = 20;

/// The model's AttachmentsSource.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Source {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
    name: Option<String>,
}

/// The files that the sources name, and that the manifest of a package needs.
///
/// # Errors
/// `ValidationException` for a source that is not in the store; `InvalidDocumentContent` when the
/// files are not those of the manifest.
pub async fn resolve(
    app: &App,
    sources: &[Source],
    document_type: &str,
    content: &Value,
) -> ApiResult<Vec<Attachment>> {
    let mut files: Vec<Attachment> = Vec::new();
    for source in sources {
        let [value] = source.values.as_slice() else {
            return Err(ApiError::validation("Each of Attachments has one of Values."));
        };
        let found = match source.key.as_deref() {
            Some("SourceUrl") => folder(app, value).await?,
            Some("S3FileUrl") => vec![file(app, value).await?],
            Some("AttachmentReference") => vec![reference(app, value).await?],
            _ => return Err(ApiError::validation("Each of Attachments has a Key.")),
        };
        for mut attachment in found {
            if let Some(name) =
                source.name.as_ref().filter(|_| source.key.as_deref() != Some("SourceUrl"))
            {
                attachment.name.clone_from(name);
            }
            if files.iter().any(|f| f.name == attachment.name) {
                return Err(ApiError::validation(format!(
                    "Two of Attachments are called {}; give one another Name.",
                    attachment.name
                )));
            }
            files.push(attachment);
        }
    }
    if files.len() > MOST_FILES {
        return Err(ApiError::validation(format!(
            "The document would have {} attachments; the most is {MOST_FILES}.",
            files.len()
        )));
    }
    if document_type == "Package" {
        manifest(&files, content)?;
    }
    Ok(files)
}

/// Every file that the manifest lists is there, with the content that it tells.
fn manifest(files: &[Attachment], content: &Value) -> ApiResult<()> {
    let listed = content.get("files").and_then(Value::as_object);
    let mut problems = Vec::new();
    for (name, file) in listed.into_iter().flatten() {
        let told = file.pointer("/checksums/sha256").and_then(Value::as_str).unwrap_or_default();
        match files.iter().find(|f| f.name == *name) {
            None => problems.push(format!("files.{name} is not among Attachments")),
            Some(found) if !found.hash.eq_ignore_ascii_case(told) => problems.push(format!(
                "files.{name}.checksums.sha256 is {told}, but the attachment's is {}",
                found.hash
            )),
            Some(_) => {}
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidDocumentContent",
        format!("The document is not valid: {}.", problems.join("; ")),
    ))
}

fn path(url: &str) -> ApiResult<&str> {
    url.strip_prefix(SCHEME).map(|path| path.trim_end_matches('/')).ok_or_else(|| {
        ApiError::validation(format!(
            "The hub can't fetch '{url}'. Put the files into its own store with `stint-hub \
             attachment put`, and name them {SCHEME}FOLDER or {SCHEME}FOLDER/FILE."
        ))
    })
}

fn missing(url: &str) -> ApiError {
    ApiError::validation(format!(
        "There is no '{url}' in the attachment store; `stint-hub attachment list` shows what \
         there is."
    ))
}

/// All files of a folder.
async fn folder(app: &App, url: &str) -> ApiResult<Vec<Attachment>> {
    let prefix = format!("{}/", path(url)?);
    let length = prefix.len() as i64;
    let stored: Vec<Stored> = Select::new("SELECT path, hash, size FROM attachment")
        // Not LIKE, to which '_' means any character.
        .and("substr(path, 1, CAST(? AS INTEGER)) = ?", [Bound::from(length), Bound::from(&prefix)])
        .rows("ORDER BY path", None, &app.store.read)
        .await?;
    let files: Vec<Attachment> = stored
        .into_iter()
        .filter_map(|stored| {
            let name = stored.path.strip_prefix(&prefix)?.to_owned();
            let own = !name.contains('/');
            own.then_some(Attachment { name, hash: stored.hash, size: stored.size })
        })
        .collect();
    if files.is_empty() { Err(missing(url)) } else { Ok(files) }
}

async fn file(app: &App, url: &str) -> ApiResult<Attachment> {
    let path = path(url)?;
    let stored: Option<Stored> =
        sqlx::query_as("SELECT path, hash, size FROM attachment WHERE path = $1")
            .bind(path)
            .fetch_optional(&app.store.read)
            .await?;
    let stored = stored.ok_or_else(|| missing(url))?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Attachment { name, hash: stored.hash, size: stored.size })
}

/// `DOCUMENT/VERSION/FILE` of a document that is there.
async fn reference(app: &App, value: &str) -> ApiResult<Attachment> {
    let bad = || {
        ApiError::validation(format!(
            "The attachment reference '{value}' names no file of a document; write it \
             DOCUMENT/VERSION/FILE."
        ))
    };
    let mut parts = value.rsplitn(3, '/');
    let (Some(name), Some(version), Some(document)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let found = find(app, document, Some(version)).await.map_err(|_| bad())?;
    let files = found.summary.attachments()?;
    files.into_iter().find(|file| file.name == name).ok_or_else(bad)
}

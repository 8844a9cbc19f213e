//! Files that belong to a version of a document.
//!
//! The hub fetches from its own attachment store alone (docs/decisions/0012): operators put files
//! there, documents take them by hash, and whoever may read the document gets links to them.

mod link;
mod promises;
mod sources;
mod store;

pub use link::{checked, link, link_for};
pub use promises::{LINK_MILLIS, Promised, promise};
pub use sources::{SCHEME, Source, resolve};
pub use store::{Stored, blob, copy, delete, keep, list, put, sweep};

use crate::app::App;
use crate::error::ApiResult;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A file of a version.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Unique in the version.
    pub name: String,
    /// SHA-256 in hexadecimal digits.
    pub hash: String,
    /// Bytes.
    pub size: i64,
}

/// As `AttachmentContent` of the model, with a link under the URL by which the caller reached the
/// hub.
///
/// # Errors
/// `InternalServerError` when there is no randomness.
pub fn content(app: &App, endpoint: &str, attachment: &Attachment) -> ApiResult<Value> {
    Ok(json!({
        "Name": attachment.name,
        "Size": attachment.size,
        "Hash": attachment.hash,
        "HashType": "Sha256",
        "Url": format!("{endpoint}{}", link(app, attachment, app.now())?),
    }))
}

//! From the name and version in a request to a document.

use super::built_in;
use super::document::Document;
use super::table::{self, Which};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;

/// The members by which most operations name a version.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// A name or an ARN.
    pub name: String,
    /// A number, `$LATEST` or `$DEFAULT`.
    pub document_version: Option<String>,
    /// The operator's own name for the version.
    pub version_name: Option<String>,
}

impl Named {
    /// The version that is meant.
    ///
    /// # Errors
    /// `InvalidDocument`, `InvalidDocumentVersion`.
    pub async fn find(&self, app: &App) -> ApiResult<Document> {
        let version = self.document_version.as_deref();
        let Some(named) = self.version_name.as_deref() else {
            return find(app, &self.name, version).await;
        };
        let document = select(app, &self.name, Which::Named(named)).await?;
        // Both ways of naming a version have to mean the same one.
        if version.is_some()
            && find(app, &self.name, version).await?.summary.version != document.summary.version
        {
            return Err(ApiError::new(
                "InvalidDocumentVersion",
                format!(
                    "The version named '{named}' of {} is {}; DocumentVersion says another.",
                    self.name, document.summary.version
                ),
            ));
        }
        Ok(document)
    }
}

/// The document of this name or ARN, in this version; the default version if none is named.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`.
pub async fn find(app: &App, name: &str, version: Option<&str>) -> ApiResult<Document> {
    select(app, name, which(name, version)?).await
}

/// The version that a request's word means.
///
/// # Errors
/// `InvalidDocumentVersion` for a number that is no version's.
pub fn which<'w>(name: &str, version: Option<&str>) -> ApiResult<Which<'w>> {
    match version {
        None | Some("$DEFAULT") => Ok(Which::Default),
        Some("$LATEST") => Ok(Which::Latest),
        Some(number) => {
            number.parse().map(Which::Number).map_err(|_| no_version(name, number, None))
        }
    }
}

async fn select(app: &App, name: &str, which: Which<'_>) -> ApiResult<Document> {
    let short = local_name(app, name).ok_or_else(|| unknown(name))?;
    let own = match short {
        built_in::PREFERENCES => table::find(&app.store.read, short, Which::Latest).await?,
        _ => None,
    };
    // What operators have written replaces the preferences that come with the hub.
    let shipped = built_in::find(short).filter(|_| own.is_none());
    let found = match shipped {
        Some(document) => match which {
            Which::Default | Which::Latest | Which::Number(1) => Some(document.clone()),
            _ => None,
        },
        None => table::find(&app.store.read, short, which).await?,
    };
    if let Some(document) = found {
        return Ok(document);
    }
    // Is it the name or the version that is not there?
    let latest = match shipped {
        Some(document) => Some(document.clone()),
        None => table::find(&app.store.read, short, Which::Latest).await?,
    };
    let latest = latest.ok_or_else(|| unknown(name))?.summary.latest_version;
    Err(match which {
        Which::Number(number) => no_version(short, &number.to_string(), Some(latest)),
        Which::Named(version) => no_version(short, &format!("named '{version}'"), Some(latest)),
        Which::Default | Which::Latest => unknown(name),
    })
}

/// The name of a document that the hub may have: of an ARN, if its account is the hub's, or none
/// as in the ARNs of public documents.
fn local_name<'n>(app: &App, name: &'n str) -> Option<&'n str> {
    let Some(arn) = name.strip_prefix("arn:") else { return Some(name) };
    // PARTITION:ssm:REGION:ACCOUNT:document/NAME
    let mut parts = arn.splitn(5, ':');
    let (_partition, service, _region) = (parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let short = resource.strip_prefix("document/")?;
    let ours = account.is_empty() || account == app.account_id || built_in::find(short).is_some();
    (service == "ssm" && ours).then_some(short)
}

/// The error for a name that is no document's.
pub fn unknown(name: &str) -> ApiError {
    ApiError::new(
        "InvalidDocument",
        format!("Document with name {name} does not exist. ListDocuments lists those there are."),
    )
}

fn no_version(name: &str, version: &str, latest: Option<i64>) -> ApiError {
    let latest = latest.map(|n| format!("; its latest is {n}")).unwrap_or_default();
    ApiError::new(
        "InvalidDocumentVersion",
        format!("Document {name} has no version {version}{latest}."),
    )
}

/// Refuses to change what comes with the hub.
///
/// # Errors
/// `code`, for a built-in document.
pub fn refuse_built_in(name: &str, code: &'static str) -> ApiResult<()> {
    match built_in::is_fixed(name) {
        false => Ok(()),
        true => Err(ApiError::new(
            code,
            format!(
                "{name} is owned by {} and can't be changed; create a document of your own from it.",
                built_in::OWNER
            ),
        )),
    }
}

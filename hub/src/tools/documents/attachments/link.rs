//! Links to attachments: whoever has one may fetch the file for a while.

use super::Attachment;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use stint_wire::time::Utc;

/// How long a link is good, in milliseconds: an hour, for a download to begin.
const LIFETIME_MILLIS: u64 = 3_600_000;

/// The path and query of a link to an attachment.
///
/// # Errors
/// `InternalServerError` when there is no randomness.
pub fn link(app: &App, attachment: &Attachment, now: Utc) -> ApiResult<String> {
    let until = Utc(now.0.saturating_add(LIFETIME_MILLIS));
    link_for(app, &attachment.hash, &attachment.name, until)
}

/// As [`link`], to any content of the store, good until a moment of its own.
///
/// # Errors
/// `InternalServerError` when there is no randomness.
pub fn link_for(app: &App, hash: &str, name: &str, until: Utc) -> ApiResult<String> {
    let token = app.seal.seal(&place(hash), &until.0.to_string())?;
    // The signs of base64 that a URL gives a meaning.
    let token = token.replace('+', "-").replace('/', "_").replace('=', "~");
    Ok(format!("/attachments/{hash}/{name}?token={token}"))
}

/// Whether a link's token is good for the content with this hash.
///
/// # Errors
/// `AccessDeniedException` for a token that is none of this hub's, of another file, or old.
pub fn checked(app: &App, hash: &str, token: &str, now: Utc) -> ApiResult<()> {
    let token = token.replace('-', "+").replace('_', "/").replace('~', "=");
    let until = app.seal.open(&place(hash), &token).ok();
    let until = until.and_then(|until| until.parse::<u64>().ok());
    if until.is_some_and(|until| now.0 < until) {
        return Ok(());
    }
    Err(ApiError::access_denied(
        "The link is no good, or no longer. GetDocument of the document gives a new one.",
    ))
}

fn place(hash: &str) -> String {
    format!("attachment/{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use proptest::prelude::*;

    #[tokio::test]
    async fn a_link_is_good_for_its_file_and_its_hour() {
        let (app, _dir) = testing::app().await;
        let attachment = Attachment { name: "a.zip".into(), hash: "0".repeat(64), size: 1 };
        let made = link(&app, &attachment, Utc(5)).unwrap();
        let token = made.split_once("?token=").unwrap().1;
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)));
        let late = Utc(5 + LIFETIME_MILLIS);
        assert!(checked(&app, &attachment.hash, token, Utc(late.0 - 1)).is_ok());
        assert!(checked(&app, &attachment.hash, token, late).is_err());
        assert!(checked(&app, &"1".repeat(64), token, Utc(5)).is_err());
        proptest!(|(token: String)| {
            let refused = checked(&app, &attachment.hash, &token, Utc(5));
            prop_assert_eq!(refused.unwrap_err().code, "AccessDeniedException");
        });
    }
}

//! For `make fuzz`.

use super::{page, s3_sign, s3_text};

/// What servers other than the hub say, and what documents say of them: URLs, redirects, S3's XML,
/// the AWS CLI's credentials file.
pub fn answers(text: &str) {
    let (url, rest) = text.split_once('\n').unwrap_or((text, ""));
    let _ = s3_text::parse_url(url, None);
    let _ = s3_text::parse_url(url, Some(rest));
    let joined = page::join(url, rest);
    let _ = page::bare(&joined);
    for element in ["Key", "NextContinuationToken", "Code"] {
        let _ = s3_text::texts(rest, element).count();
    }
    s3_sign::fuzz(text);
}

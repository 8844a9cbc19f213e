//! A file by HTTP or HTTPS.

use super::super::remote::{Page, Patience, Place};
use super::{Context, Destination, Failure, Source};
use crate::sys::random;
use std::path::PathBuf;
use stint_wire::text::{base64, hex};
use zeroize::Zeroizing;

/// `sourceInfo`: `url`, `authMethod`, `username`, `password`, `allowInsecureDownload`, and our
/// `sha256`.
pub fn download(
    source: &Source<'_>,
    place: &Destination,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let url = source.needed("url")?;
    let sha256 = source.sha256()?;
    let authorization = authorization(source, context, patience)?;
    let path = place.of_file(&name(url)?)?;
    let page = Page {
        url,
        authorization: authorization.as_ref().map(|text| text.as_str()),
        accept: None,
        plain: source.truth("allowInsecureDownload"),
    };
    context.remote.fetch(&page, &Place::new(&path, sha256.as_deref()), patience)?;
    Ok(path)
}

fn authorization(
    source: &Source<'_>,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<Option<Zeroizing<String>>, Failure> {
    match source.text("authMethod") {
        "" | "None" => Ok(None),
        "Basic" => {
            let user = source.secret("username", context, patience)?.unwrap_or_default();
            let password = source.secret("password", context, patience)?.unwrap_or_default();
            if user.contains(':') {
                let what = "a username for Basic authentication must not contain a colon";
                return Err(Failure::Inputs(what.to_owned()));
            }
            Ok(Some(basic(&user, &password)))
        }
        other => Err(Failure::Inputs(format!(
            "authMethod must be None or Basic, not \"{other}\"; Digest is not part of stint"
        ))),
    }
}

/// The header for a user and a password.
pub fn basic(user: &str, password: &str) -> Zeroizing<String> {
    let mut both = Zeroizing::new(String::with_capacity(user.len() + 1 + password.len()));
    both.push_str(user);
    both.push(':');
    both.push_str(password);
    let encoded = Zeroizing::new(base64(both.as_bytes()));
    let mut header = Zeroizing::new(String::with_capacity("Basic ".len() + encoded.len()));
    header.push_str("Basic ");
    header.push_str(&encoded);
    header
}

/// What a file is called in a folder: the last part of its URL, where that is a plain name. (The
/// original always takes `download` and a number.)
fn name(url: &str) -> Result<String, Failure> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.rsplit_once('/').map_or("", |(_, last)| last);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+~".contains(&b);
    if !last.is_empty() && last.bytes().all(plain) && !last.starts_with('.') {
        return Ok(last.to_owned());
    }
    let number = random::bytes::<8>().map_err(|error| Failure::Inputs(error.to_string()))?;
    Ok(format!("download{}", hex(&number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_in_its_url_where_that_is_a_name() {
        assert_eq!(name("https://h/a/firmware-1.0.tar.gz?token=x").unwrap(), "firmware-1.0.tar.gz");
        for url in
            ["https://h", "https://h/", "https://h/a%2Fb", "https://h/.profile", "https://h/.."]
        {
            let name = name(url).unwrap();
            assert!(name.starts_with("download") && name.len() == 24, "{url}: {name}");
        }
    }

    /// The example of RFC 7617.
    #[test]
    fn user_and_password_are_encoded_as_the_standard_has_it() {
        assert_eq!(basic("Aladdin", "open sesame").as_str(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}

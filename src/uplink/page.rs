//! One HTTP request for a page, with its redirects; and what URLs are made of.

use super::endpoint;
use super::fetch::{Rest, Trouble, passing_or_final, unreachable};
use super::http::{self, Http, Response};
use super::source::read_all;
use crate::remote::{Page, RemoteError};

/// More redirects than this are a circle. Browsers follow 20; releases need three.
const MAX_REDIRECTS: usize = 10;

/// A text that is read into memory whole, bytes.
const MAX_TEXT: u64 = 1024 * 1024;

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Asks for a page, or for the rest of it, and follows redirects.
pub fn ask(client: &Http, page: &Page<'_>, rest: Option<&Rest>) -> Result<Response, Trouble> {
    let mut url = page.url.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        check(&url, page.plain)?;
        let range = rest.map(|rest| format!("bytes={}-", rest.from));
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(page.accept.map(|accept| ("accept", accept)));
        // What proves who we are to one host is no other's business.
        let authorization = page.authorization.filter(|_| same_origin(page.url, &url));
        headers.extend(authorization.map(|value| ("authorization", value)));
        headers.extend(range.as_deref().map(|range| ("range", range)));
        headers.extend(rest.map(|rest| ("if-range", rest.validator.as_str())));
        let response =
            client.get(&url, &headers).map_err(|error| unreachable(bare(&url), &error))?;
        let (status, location) = (http::status(&response), http::header(&response, "location"));
        match location {
            Some(location) if REDIRECTS.contains(&status) => url = join(&url, &location),
            _ => return Ok(response),
        }
    }
    let answer = format!("it redirects more than {MAX_REDIRECTS} times");
    Err(RemoteError::Refused { place: bare(page.url).to_owned(), answer }.into())
}

/// Asks for a short text.
pub fn read(client: &Http, page: &Page<'_>) -> Result<String, Trouble> {
    let name = bare(page.url);
    let response = ask(client, page, None)?;
    let status = http::status(&response);
    if status != 200 {
        let answer = format!("HTTP status {status}");
        return Err(passing_or_final(
            status,
            RemoteError::Refused { place: name.to_owned(), answer },
        ));
    }
    let text = read_all(&mut *http::into_reader(response), MAX_TEXT + 1);
    let text = text.map_err(|error| unreachable(name, &http::broken_off(error)))?;
    if text.len() as u64 > MAX_TEXT {
        let place = name.to_owned();
        return Err(RemoteError::TooLarge { place, limit: MAX_TEXT }.into());
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn check(url: &str, plain: bool) -> Result<(), RemoteError> {
    let unusable = |why: &str| Err(RemoteError::Unusable(format!("{}: {why}", bare(url))));
    let is_plain = url.starts_with("http://");
    if !is_plain && !url.starts_with("https://") {
        return unusable("only https:// and http:// can be fetched");
    }
    if endpoint::authority(url).contains('@') {
        let why = "user and password can't stand in the URL; give them as username and password";
        // Not even the error may show them.
        return Err(RemoteError::Unusable(why.to_owned()));
    }
    if endpoint::host(url).is_empty() {
        return unusable("the URL names no host");
    }
    if is_plain && !plain {
        return unusable(
            "this is plain HTTP, which anybody on the way can read and change; use https, or set \
             allowInsecureDownload to true",
        );
    }
    Ok(())
}

/// A URL without its query, which may hold a signature or a token.
pub fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

fn same_origin(a: &str, b: &str) -> bool {
    let origin = |url: &str| {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let authority = endpoint::authority(url).to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(port).unwrap_or(&authority).to_owned();
        (scheme, authority)
    };
    origin(a) == origin(b)
}

/// Where a redirect from `base` leads: `location` may be a URL, or a path of any kind.
pub fn join(base: &str, location: &str) -> String {
    if location.contains("://") && location.split("://").next().is_some_and(is_scheme) {
        return location.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    let authority = endpoint::authority(base);
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}");
    }
    let path = bare(rest.get(authority.len()..).unwrap_or_default());
    if location.starts_with('?') {
        return format!("{scheme}://{authority}{path}{location}");
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{location}")
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_redirect_may_be_of_any_kind() {
        for (location, wanted) in [
            ("https://other/x?y", "https://other/x?y"),
            ("//other/x", "https://other/x"),
            ("/x?next=http://z", "https://host:1/x?next=http://z"),
            ("x", "https://host:1/a/x"),
            ("?x", "https://host:1/a/b?x"),
        ] {
            assert_eq!(join("https://host:1/a/b?q=/1", location), wanted);
        }
        assert_eq!(join("https://host", "x"), "https://host/x");
    }

    #[test]
    fn a_password_goes_to_the_host_that_it_is_for_and_to_no_other() {
        assert!(same_origin("https://a.b/x", "https://A.B:443/y?z"));
        assert!(same_origin("http://a:80", "http://a/"));
        for other in
            ["http://a.b/x", "https://a.b:444/x", "https://a.b.c/x", "https://b/https://a.b"]
        {
            assert!(!same_origin("https://a.b/x", other), "{other}");
        }
    }

    #[test]
    fn a_url_that_is_not_fetched_says_why_and_shows_no_password() {
        let error = |url, plain| check(url, plain).unwrap_err().to_string();
        assert!(error("ftp://a/b", true).contains("only https"));
        assert!(error("http://a/b?token=t", false).contains("http://a/b: this is plain HTTP"));
        assert!(error("https:///x", false).contains("no host"));
        assert!(!error("https://u:secret@h/", true).contains("secret"));
        assert!(check("http://a", true).is_ok());
    }

    proptest! {
        #[test]
        fn no_redirect_makes_the_joiner_panic(base: String, location: String) {
            let _ = join(&base, &location);
            let _ = same_origin(&base, &location);
        }
    }
}

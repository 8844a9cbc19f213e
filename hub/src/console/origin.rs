//! Which page a request comes from, and the cookie that it brings. Pure functions over headers.

use super::logins::LONGEST_MILLIS;

/// The cookie with a log-in's token.
const COOKIE: &str = "stint-console";

/// Whether a request that changes something comes from a page of this hub: the browser's word in
/// `Origin` is one of the hub's own URLs. The origin, if so.
///
/// # Errors
/// What is wrong, for people.
pub fn check<'o>(origin: Option<&'o str>, own: &[&str]) -> Result<&'o str, String> {
    let Some(origin) = origin else {
        return Err("The request has no Origin header, which browsers send.".to_owned());
    };
    let is_own = |url: &&str| origin_of(url).is_some_and(|own| own.eq_ignore_ascii_case(origin));
    if own.iter().any(is_own) {
        return Ok(origin);
    }
    Err(format!(
        "The request comes from a page of another origin than the hub's ({}). If that is the hub \
         behind a proxy, start it with --public-url.",
        own.join(", ")
    ))
}

/// Scheme, host and port of a URL, the port as browsers say it: not if it is the scheme's own.
fn origin_of(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let end = url.get(start..)?.find('/').map_or(url.len(), |at| start + at);
    let origin = url.get(..end).filter(|origin| origin.len() > start)?;
    let port = if url.starts_with("https:") { ":443" } else { ":80" };
    Some(origin.strip_suffix(port).unwrap_or(origin))
}

/// The token in a `Cookie` header; `None` if there is none that could be one.
pub fn token(cookies: Option<&str>) -> Option<&str> {
    let mut pairs = cookies?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE && !value.is_empty()).then_some(value))
}

/// The `Set-Cookie` header that gives a browser its token, or takes it away if there is none. Out of
/// scripts' reach, with no request that another site has caused, and over TLS only if it came so.
pub fn set_cookie(token: Option<&str>, origin: &str) -> String {
    let seconds = token.map_or(0, |_| LONGEST_MILLIS / 1000);
    let secure = if origin.starts_with("https://") { "; Secure" } else { "" };
    let token = token.unwrap_or_default();
    format!("{COOKIE}={token}; Path=/console; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hub_s_own_pages_change_something() {
        let own = ["http://127.0.0.1:7400", "https://hub.example/", "https://proxy.example:443"];
        for (origin, good) in [
            (Some("http://127.0.0.1:7400"), true),
            (Some("https://hub.example"), true),
            (Some("https://HUB.example"), true),
            (Some("https://proxy.example"), true),
            (Some("http://proxy.example"), false),
            (Some("http://hub.example"), false),
            (Some("https://hub.example:444"), false),
            (Some("https://hub.example.evil.example"), false),
            (Some("http://127.0.0.1"), false),
            (Some("https://"), false),
            (Some("null"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(check(origin, &own).is_ok(), good, "{origin:?}");
        }
        // A request without a Host has no URL of the hub.
        assert!(check(Some("http://"), &["http://"]).is_err());
        assert!(check(Some("https://evil.example"), &own).unwrap_err().contains("--public-url"));
    }

    #[test]
    fn a_token_is_found_among_other_cookies() {
        for (header, expected) in [
            (Some("stint-console=abc"), Some("abc")),
            (Some("a=b; stint-console=abc;c=d"), Some("abc")),
            (Some("xstint-console=abc"), None),
            (Some("stint-console="), None),
            (Some("stint-console"), None),
            (None, None),
        ] {
            assert_eq!(token(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_hub_s_pages_alone() {
        let plain = set_cookie(Some("t"), "http://127.0.0.1:7400");
        let all = "stint-console=t; Path=/console; Max-Age=43200; HttpOnly; SameSite=Strict";
        assert_eq!(plain, all);
        assert_eq!(set_cookie(Some("t"), "https://hub.example"), format!("{all}; Secure"));
        assert!(
            set_cookie(None, "http://h").starts_with("stint-console=; Path=/console; Max-Age=0;")
        );
    }
}

//! AWS Signature Version 4: what is signed, and how.
//!
//! One canonical form serves three kinds of request: the operators' and the nodes' HMAC
//! signatures, and the signature with a node's own key under which it asks for credentials
//! (RSASSA-PSS or Ed25519 over the same string to sign).

use crate::text::{hex, sha256_hex};
use crate::time::Utc;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// The algorithm token. amazon-ssm-agent sends it for key signatures too.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is good for: a day, a region and a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`, UTC.
    pub date: String,
    /// The region as the client named it.
    pub region: String,
    /// The service's signing name: `ssm`, `ec2messages`, `ssmmessages`.
    pub service: String,
}

impl Scope {
    /// The scope of a request made at `now`.
    pub fn new(now: Utc, region: &str, service: &str) -> Scope {
        Scope { date: now.date(), region: region.to_owned(), service: service.to_owned() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The parts of an HTTP request that a signature covers.
pub struct Request<'a> {
    /// `POST`, `GET`.
    pub method: &'a str,
    /// The absolute path as sent, already percent-encoded. Systems Manager's is `/`.
    pub path: &'a str,
    /// The query as sent, without the question mark; empty if there is none.
    pub query: &'a str,
    /// The signed headers only: lower-case names, values as sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, without transfer encoding.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The names of the signed headers, sorted, joined with `;`.
    pub fn signed_headers(&self) -> String {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        names.join(";")
    }

    /// The canonical request.
    pub fn canonical(&self) -> String {
        self.canonical_of(&sha256_hex(self.body))
    }

    fn canonical_of(&self, payload_hash: &str) -> String {
        let signed = self.signed_headers();
        let mut out = format!("{}\n{}\n{}\n", self.method, self.path, canonical_query(self.query));
        for name in signed.split(';') {
            let mut values = self.headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v);
            out.push_str(name);
            out.push(':');
            push_folded(&mut out, values.next().unwrap_or_default());
            for value in values {
                out.push(',');
                push_folded(&mut out, value);
            }
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&signed);
        out.push('\n');
        out.push_str(payload_hash);
        out
    }

    /// The string that is signed. `date` is the value of `X-Amz-Date`.
    pub fn string_to_sign(&self, date: &str, scope: &Scope) -> String {
        format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(self.canonical().as_bytes()))
    }

    /// The same for a body that isn't in memory: `payload_hash` is its hexadecimal SHA-256, which
    /// S3 also wants as the header `x-amz-content-sha256`. `self.body` is not looked at. Only for
    /// signing: whoever verifies must hash what has arrived.
    pub fn string_to_sign_for(&self, payload_hash: &str, date: &str, scope: &Scope) -> String {
        let canonical = self.canonical_of(payload_hash);
        format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()))
    }
}

/// Percent-encodes as SigV4 wants it: all but letters, digits and `-._~`, and `/` where
/// `keep_slash`, which is right for the path of an S3 object.
pub fn percent_encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// Trims a header value and makes one space of each run of spaces.
fn push_folded(out: &mut String, value: &str) {
    let mut first = true;
    for word in value.split([' ', '\t']).filter(|word| !word.is_empty()) {
        if !first {
            out.push(' ');
        }
        first = false;
        out.push_str(word);
    }
}

/// Sorts the parameters of a query that is percent-encoded already; a name without `=` gets one.
fn canonical_query(query: &str) -> String {
    let mut parts: Vec<(&str, &str)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .collect();
    parts.sort_unstable();
    let parts: Vec<String> = parts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join("&")
}

/// The hexadecimal HMAC signature of `string_to_sign` under a secret access key. What it makes of the secret on the way
/// is wiped, but for what the HMAC itself leaves on the stack.
pub fn sign(secret: &str, scope: &Scope, string_to_sign: &str) -> String {
    let first = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = Zeroizing::new(mac(first.as_bytes(), scope.date.as_bytes()));
    for part in [scope.region.as_str(), scope.service.as_str(), "aws4_request"] {
        *key = mac(&*key, part.as_bytes());
    }
    hex(&mac(&*key, string_to_sign.as_bytes()))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length, so the error can't happen; an all-zero result would only
    // make a signature that nobody accepts.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The `Authorization` header of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// An access key id, or the managed node's id when the node's own key signs.
    pub access_key: String,
    /// What the signature is good for.
    pub scope: Scope,
    /// Lower-case names in the order given.
    pub signed_headers: Vec<String>,
    /// Hexadecimal for HMAC, base64 for a node's own key.
    pub signature: String,
}

impl Authorization {
    /// Parses the header's value. `None` if it isn't of the form that [`fmt::Display`] writes;
    /// white space after the commas is optional.
    pub fn parse(value: &str) -> Option<Authorization> {
        let fields = value.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=')?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let mut parts = credential?.rsplitn(5, '/');
        (parts.next()? == "aws4_request").then_some(())?;
        let (service, region, date) = (parts.next()?, parts.next()?, parts.next()?);
        let access_key = parts.next()?;
        let all_there = [access_key, date, region, service].iter().all(|part| !part.is_empty());
        all_there.then(|| Authorization {
            access_key: access_key.to_owned(),
            scope: Scope {
                date: date.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
            signed_headers: signed.unwrap_or_default().split(';').map(str::to_owned).collect(),
            signature: signature.unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.access_key,
            self.scope,
            self.signed_headers.join(";"),
            self.signature
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The request and the keys of AWS's published SigV4 test suite, case get-vanilla-query-order.
    #[test]
    fn the_published_test_vector_signs_as_published() {
        let request = Request {
            method: "GET",
            path: "/",
            query: "Param2=value2&Param1=value1",
            headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
            body: b"",
        };
        let now = Utc::parse_amz("20150830T123600Z").unwrap();
        let scope = Scope::new(now, "us-east-1", "service");
        let text = request.string_to_sign(&now.amz(), &scope);
        assert_eq!(
            sign("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope, &text),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn a_path_is_percent_encoded_once_and_keeps_its_slashes() {
        assert_eq!(percent_encode("a/b c$ü~", true), "a/b%20c%24%C3%BC~");
        assert_eq!(percent_encode("a/b=+", false), "a%2Fb%3D%2B");
    }

    #[test]
    fn header_values_are_folded_and_joined() {
        let request = Request {
            method: "POST",
            path: "/",
            query: "",
            headers: &[("b", "  two   words "), ("a", "1"), ("b", "3")],
            body: b"",
        };
        assert_eq!(request.signed_headers(), "a;b");
        assert!(request.canonical().contains("\na:1\nb:two words,3\n\na;b\n"));
    }

    #[test]
    fn an_authorization_with_a_missing_or_doubled_part_is_refused() {
        let good = "AWS4-HMAC-SHA256 Credential=AK/20261122/us-east-1/ssm/aws4_request, \
                    SignedHeaders=host;x-amz-date, Signature=abc=";
        let parsed = Authorization::parse(good).unwrap();
        assert_eq!(parsed.access_key, "AK");
        assert_eq!(parsed.signature, "abc=");
        assert_eq!(Authorization::parse(&parsed.to_string()), Some(parsed));
        for bad in [
            "",
            "Basic abc",
            "AWS4-HMAC-SHA256 Credential=AK/20261122/us-east-1/ssm, SignedHeaders=h, Signature=a",
            "AWS4-HMAC-SHA256 Credential=/20261122/r/ssm/aws4_request, SignedHeaders=h, Signature=a",
            "AWS4-HMAC-SHA256 Credential=A/1/r/s/aws4_request, Signature=a, Signature=b",
            "AWS4-HMAC-SHA256 Credential=A/1/r/s/aws4_request, Other=b",
        ] {
            assert_eq!(Authorization::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(text: String) {
            let _ = Authorization::parse(&text);
            let _ = Authorization::parse(&format!("{ALGORITHM} {text}"));
        }
    }
}

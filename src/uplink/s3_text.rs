//! S3's texts: URLs in all their spellings, and the little of XML that its answers need.

use super::endpoint;
use super::page::bare;
use crate::document::remote::S3Object;

/// What a URL names. At AWS the bucket is the host's first part or the path's; at `server`, the
/// one that the configuration names, it is the path's.
pub fn parse_url(url: &str, server: Option<&str>) -> Option<S3Object> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = endpoint::authority(url);
    let path = bare(rest.get(authority.len()..)?);
    let path = decode(path.strip_prefix('/').unwrap_or(path))?;
    let in_path = |region: Option<String>| {
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        is_bucket(&bucket).then_some(S3Object { bucket, key, region })
    };
    if server.is_some_and(|server| endpoint::authority(server).eq_ignore_ascii_case(authority)) {
        return in_path(None);
    }
    let host = endpoint::host(url).to_ascii_lowercase();
    let domain = endpoint::domains()
        .find(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))?;
    let labels: Vec<&str> = host.strip_suffix(domain)?.trim_end_matches('.').split('.').collect();
    // From the right: a bucket's name may hold the word as well.
    let at = labels.iter().rposition(|label| *label == "s3" || label.starts_with("s3-"))?;
    let (before, after) = (labels.get(..at)?, labels.get(at + 1..)?);
    let region = match (labels.get(at)?, after) {
        (_, [region] | ["dualstack", region]) => Some((*region).to_owned()),
        (&("s3" | "s3-accelerate" | "s3-fips"), []) => None,
        (&"s3-external-1", []) => Some("us-east-1".to_owned()),
        // s3-eu-west-1, as it was spelt once.
        (old, []) => Some(old.strip_prefix("s3-")?.to_owned()),
        _ => return None,
    };
    if before.is_empty() {
        return in_path(region);
    }
    let bucket = before.join(".");
    is_bucket(&bucket).then_some(S3Object { bucket, key: path, region })
}

/// What AWS allows and old buckets have. Nothing else may get into a host name or a path.
fn is_bucket(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (3..=255).contains(&name.len()) && name.bytes().all(valid) && !name.contains("..")
}

/// Percent-decodes; `None` if that gives no UTF-8 or the encoding is broken.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The texts of all elements of that name, in order. Not for elements within such elements.
pub fn texts<'a>(xml: &'a str, element: &str) -> impl Iterator<Item = String> + 'a {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, inside) = rest.split_once(open.as_str())?;
        let (text, after) = inside.split_once(close.as_str())?;
        rest = after;
        Some(unescape(text))
    })
}

fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        rest = after;
        let Some((entity, behind)) = after.split_once(';') else {
            out.push('&');
            continue;
        };
        match character(entity) {
            Some(character) => {
                out.push(character);
                rest = behind;
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn character(entity: &str) -> Option<char> {
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_an_s3_url_names_its_object() {
        for (url, bucket, key, region) in [
            ("https://buc.s3.eu-west-1.amazonaws.com/a/b%20c", "buc", "a/b c", Some("eu-west-1")),
            ("https://s3.eu-west-1.amazonaws.com/buc/a", "buc", "a", Some("eu-west-1")),
            ("https://s3-eu-west-1.amazonaws.com/buc/a", "buc", "a", Some("eu-west-1")),
            ("https://buc.s3.amazonaws.com/a", "buc", "a", None),
            ("https://s3.amazonaws.com/buc", "buc", "", None),
            ("https://s3-external-1.amazonaws.com/buc/a", "buc", "a", Some("us-east-1")),
            (
                "https://my.s3.buc.s3.dualstack.eu-west-1.amazonaws.com/a",
                "my.s3.buc",
                "a",
                Some("eu-west-1"),
            ),
            ("https://buc.s3.cn-north-1.amazonaws.com.cn/a?x=y", "buc", "a", Some("cn-north-1")),
            ("http://nas:9000/buc/a/b/", "buc", "a/b/", None),
        ] {
            let object = parse_url(url, Some("http://nas:9000")).unwrap_or_else(|| panic!("{url}"));
            let found = (object.bucket.as_str(), object.key.as_str(), object.region.as_deref());
            assert_eq!(found, (bucket, key, region), "{url}");
        }
    }

    #[test]
    fn a_url_of_another_host_gets_no_credentials() {
        for url in [
            "https://buc.s3.eu-west-1.amazonaws.com.evil.example/a",
            "https://evilamazonaws.com/buc/a",
            "https://ec2.eu-west-1.amazonaws.com/buc/a",
            "http://nas/buc/a",
            "s3://buc/a",
            "https://s3.amazonaws.com/",
            "https://s3.amazonaws.com/b%2Fc/%ff",
            "",
        ] {
            assert_eq!(parse_url(url, Some("http://nas:9000")), None, "{url}");
        }
    }

    #[test]
    fn keys_are_taken_out_of_a_listing_unescaped() {
        let xml = "<R><Contents><Key>a&amp;b</Key></Contents><Contents><Key>&#x41;&#66;&no;&</Key>\
                   </Contents><Key>cut";
        let keys: Vec<_> = texts(xml, "Key").collect();
        assert_eq!(keys, ["a&b", "AB&no;&"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = parse_url(&text, None);
            let _ = parse_url(&format!("https://{text}.s3.amazonaws.com/{text}"), Some(&text));
            let _ = texts(&format!("<Key>{text}</Key>"), "Key").count();
        }
    }
}

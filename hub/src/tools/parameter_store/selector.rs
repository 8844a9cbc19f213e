//! How a parameter is named where it is read: by name or ARN, with or without a version or label.

use super::name;
use crate::error::{ApiError, ApiResult};

/// Which version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Latest,
    /// `name:3`.
    Version(i64),
    /// `name:prod`.
    Label(String),
}

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The names it may stand for, the likeliest first: the ARN of a name of one level doesn't
    /// tell whether the name has a slash. Never empty.
    pub names: Vec<String>,
    /// The version asked for.
    pub which: Which,
    /// The account in an ARN.
    pub account: Option<String>,
}

impl Reference {
    /// Reads a reference. No ARN has to belong to this hub; see [`Reference::is_of`].
    ///
    /// # Errors
    /// `ValidationException` when it is no reference at all.
    pub fn parse(text: &str) -> ApiResult<Reference> {
        let text = text.trim_matches(' ');
        Reference::read(text).ok_or_else(|| {
            ApiError::validation(format!(
                "'{text}' isn't a parameter's name or ARN. Use a name such as /fleet/port, with \
                 :VERSION or :LABEL after it if it has to be a certain version."
            ))
        })
    }

    fn read(text: &str) -> Option<Reference> {
        let (account, rest) = match text.strip_prefix("arn:") {
            Some(arn) => {
                let (account, resource) = arn_parts(arn)?;
                (Some(account.to_owned()), resource)
            }
            None => (None, text),
        };
        let (path, selector) = match rest.split_once(':') {
            Some((path, selector)) => (path, Some(selector)),
            None => (rest, None),
        };
        let names = match account {
            Some(_) if path.contains('/') => vec![format!("/{path}")],
            Some(_) => vec![path.to_owned(), format!("/{path}")],
            None => vec![path.to_owned()],
        };
        let good = names.iter().all(|name| name::is_well_formed(name));
        good.then_some(())?;
        Some(Reference { names, which: which(selector)?, account })
    }

    /// Whether it may stand for a parameter of this account. The region of an ARN is any: there
    /// is one fleet.
    pub fn is_of(&self, account: &str) -> bool {
        self.account.as_deref().is_none_or(|named| named == account)
    }

    /// The selector as answers repeat it.
    pub fn selector(&self) -> Option<String> {
        match &self.which {
            Which::Latest => None,
            Which::Version(version) => Some(format!(":{version}")),
            Which::Label(label) => Some(format!(":{label}")),
        }
    }
}

/// The account of an ARN without `arn:`, and the name after `parameter/`.
fn arn_parts(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(5, ':');
    let (_partition, service) = (parts.next()?, parts.next()?);
    let (_region, account) = (parts.next()?, parts.next()?);
    let resource = parts.next()?;
    (service == "ssm").then_some(())?;
    Some((account, resource.strip_prefix("parameter/")?))
}

fn which(selector: Option<&str>) -> Option<Which> {
    let Some(text) = selector else { return Some(Which::Latest) };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // No parameter has a version that doesn't fit; asked for, it is simply not there.
        return Some(Which::Version(text.parse().unwrap_or(i64::MAX)));
    }
    is_label(text).then(|| Which::Label(text.to_owned()))
}

/// Whether a text can be a label. None begins with a digit, so that no label looks like a version.
pub fn is_label(text: &str) -> bool {
    let reserved = ["aws", "ssm"]
        .iter()
        .any(|word| text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    (1..=100).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !reserved
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> (Vec<String>, Which) {
        let reference = Reference::parse(text).unwrap();
        (reference.names, reference.which)
    }

    #[test]
    fn a_name_may_carry_a_version_or_a_label_and_may_be_an_arn() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let arn = |rest: &str| format!("arn:aws:ssm:eu-west-1:123456789012:parameter/{rest}");
        let label = |text: &str| Which::Label(text.to_owned());
        for (text, expected) in [
            ("port", (names(&["port"]), Which::Latest)),
            (" /a/b ", (names(&["/a/b"]), Which::Latest)),
            ("/a/b:3", (names(&["/a/b"]), Which::Version(3))),
            ("/a/b:prod-1", (names(&["/a/b"]), label("prod-1"))),
            (&arn("a/b"), (names(&["/a/b"]), Which::Latest)),
            (&arn("a/b:7"), (names(&["/a/b"]), Which::Version(7))),
            (&arn("port:prod"), (names(&["port", "/port"]), label("prod"))),
            ("a:99999999999999999999", (names(&["a"]), Which::Version(i64::MAX))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let of = Reference::parse(&arn("x")).unwrap();
        assert!(of.is_of("123456789012") && !of.is_of("000000000000"));
        assert_eq!(Reference::parse("x:3").unwrap().selector().as_deref(), Some(":3"));
    }

    #[test]
    fn what_can_not_be_a_reference_is_refused() {
        for text in [
            "",
            ":",
            "a:",
            "a:1a",
            "a:b:c",
            "a:awsome",
            "a/b",
            "/a/",
            "a b",
            "{{x}}",
            "arn:aws:ssm:r:1:document/x",
            "arn:aws:s3:r:1:parameter/x",
            "arn:aws:ssm",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_words_that_begin_with_no_digit_and_are_not_reserved() {
        for good in ["prod", "_x", "a.b-c_9", "sm", &"x".repeat(100)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "1prod", "AWSx", "ssm", "a b", "ä", "a/b", &"x".repeat(101)] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String, tail in "[ -~]{0,40}") {
            let _ = Reference::parse(&text);
            let _ = Reference::parse(&format!("arn:aws:ssm:{tail}"));
        }

        #[test]
        fn what_was_put_together_is_taken_apart(
            name in "(/[a-z0-9._-]{1,9}){1,4}", label in "[A-Z_][A-Z.]{0,9}Q", version in 1i64..200,
        ) {
            prop_assume!(is_label(&label));
            let arn = name::arn("r", "1", &name);
            prop_assert_eq!(parse(&format!("{name}:{version}")).1, Which::Version(version));
            prop_assert_eq!(parse(&format!("{arn}:{label}")).1, Which::Label(label));
            prop_assert!(parse(&arn).0.contains(&name));
        }
    }
}

//! What a set of tags has to keep to, beyond the model's lengths and characters.

use serde::{Deserialize, Serialize};

/// The most tags a resource can have (AWS's documentation).
pub const MOST_TAGS: usize = 50;

/// Keys that begin so are the service's own.
const RESERVED_PREFIX: &str = "aws:";

/// A tag.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: String,
    /// Up to 256 characters, perhaps none.
    pub value: String,
}

/// Whether a request may set these tags.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check(tags: &[Tag]) -> Result<(), String> {
    for (at, tag) in tags.iter().enumerate() {
        if tag.key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED_PREFIX)) {
            return Err(format!(
                "The tag key '{}' begins with aws:, which is reserved; choose another key.",
                tag.key
            ));
        }
        if tags.iter().take(at).any(|other| other.key == tag.key) {
            return Err(format!("The tag key '{}' is there twice; name it once.", tag.key));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_repeated_keys_are_refused() {
        let tags = |keys: &[&str]| -> Vec<Tag> {
            keys.iter().map(|k| Tag { key: (*k).to_owned(), value: String::new() }).collect()
        };
        assert_eq!(check(&tags(&["site", "Site", "awsome", "é"])), Ok(()));
        for keys in [["aws:x", "y"], ["AWS:x", "y"], ["site", "site"]] {
            assert!(check(&tags(&keys)).is_err(), "{keys:?}");
        }
    }
}

//! Which nodes a rule is about: `tag:site=berlin`, `tag:site=berlin,bern`.

use crate::tools::tags::Tag;
use std::fmt;

/// One condition: the node has the tag, with one of the values. No tag's value has a comma
/// (botocore's model), so it can separate them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    key: String,
    values: Vec<String>,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Condition, String> {
        // A key may hold an equals sign, but then nobody could tell where it ends.
        let parts = text.strip_prefix("tag:").and_then(|rest| rest.split_once('='));
        match parts {
            Some((key, values)) if !key.is_empty() => Ok(Condition {
                key: key.to_owned(),
                values: values.split(',').map(str::to_owned).collect(),
            }),
            _ => Err(format!(
                "the condition '{text}' is none; write tag:KEY=VALUE, or tag:KEY=VALUE,VALUE"
            )),
        }
    }

    /// Whether a node with these tags fulfils it.
    pub fn holds(&self, tags: &[Tag]) -> bool {
        tags.iter().any(|tag| tag.key == self.key && self.values.contains(&tag.value))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag:{}={}", self.key, self.values.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_node_needs_the_tag_with_one_of_the_values() {
        let tags = [Tag { key: "site".to_owned(), value: "berlin".to_owned() }];
        for (text, expected) in [
            ("tag:site=berlin", true),
            ("tag:site=bern,berlin", true),
            ("tag:site=bern", false),
            ("tag:site=", false),
            ("tag:role=berlin", false),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(&tags), expected, "{text}");
            assert!(!Condition::parse(text).unwrap().holds(&[]), "{text}");
        }
        for bad in ["site=berlin", "tag:site", "tag:=x", ""] {
            assert!(Condition::parse(bad).unwrap_err().contains("tag:KEY=VALUE"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_the_same(text: String, tail: String) {
            for text in [text, format!("tag:{tail}")] {
                if let Ok(condition) = Condition::parse(&text) {
                    prop_assert_eq!(condition.to_string(), text);
                }
            }
        }
    }
}

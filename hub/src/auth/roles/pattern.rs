//! Which parameters a rule is about: `/fleet/port`, `/fleet/*`, `/node/{node}/*`,
//! `/site/{tag:site}/*`, `*`.

use crate::tools::tags::Tag;
use std::fmt;

/// One pattern. A star at its end stands for any rest; `{node}` for the node's own id, and
/// `{tag:KEY}` for the value of its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Node,
    Tag(String),
}

/// A pattern as it is for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    start: String,
    open: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |what: &str| Err(format!("the pattern '{text}' {what}"));
        let (body, open) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        let Some(parts) = parts(body) else {
            return wrong(
                "may hold letters, digits, . - _ and slashes, {node} and {tag:KEY}, and a star at \
                 its end only",
            );
        };
        if body.is_empty() && !open {
            return wrong("is empty");
        }
        if body.contains('/') && !body.starts_with('/') {
            return wrong("needs a slash at its beginning, as every name with slashes has");
        }
        if body.contains("//") || (!open && body.ends_with('/')) {
            return wrong("has a level without a name");
        }
        // The tag's value `a` would open what belongs to `ab`.
        if open && !matches!(parts.last(), None | Some(Part::Text(_))) {
            return wrong("has a star right after a placeholder; put a slash between them");
        }
        // Nor may `a` open what belongs to `a-b`: a tag's value has to end its level.
        let tagged = parts.iter().any(|part| matches!(part, Part::Tag(_)));
        let ends = matches!(parts.last(), Some(Part::Text(text)) if text.starts_with('/'));
        if open && tagged && !ends {
            return wrong("has a star and a tag; put a slash right after the last placeholder");
        }
        Ok(Pattern { text: text.to_owned(), parts, open })
    }

    /// The pattern for one node; `None` when the node lacks a tag, or its value couldn't be one
    /// level of a name.
    pub fn scope(&self, node: &str, tags: &[Tag]) -> Option<Scope> {
        let mut start = String::new();
        for part in &self.parts {
            let piece = match part {
                Part::Text(text) => text,
                Part::Node => node,
                Part::Tag(key) => {
                    let tag = tags.iter().find(|tag| tag.key == *key)?;
                    is_level(&tag.value).then_some(tag.value.as_str())?
                }
            };
            start.push_str(piece);
        }
        Some(Scope { start, open: self.open })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scope {
    /// Whether it has the parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        if self.open { name.starts_with(&self.start) } else { name == self.start }
    }

    /// Whether it has every parameter under a path, which ends with a slash. Names without a
    /// slash are under the root too, and only a star alone has them all.
    pub fn has_all_under(&self, path: &str) -> bool {
        self.open && path.starts_with(&self.start) && (path != "/" || self.start.is_empty())
    }
}

fn parts(body: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some((text, after)) = rest.split_once('{') {
        push_text(&mut parts, text)?;
        let (inner, after) = after.split_once('}')?;
        parts.push(match inner.strip_prefix("tag:") {
            Some(key) if !key.is_empty() && !key.contains('{') => Part::Tag(key.to_owned()),
            None if inner == "node" => Part::Node,
            _ => return None,
        });
        rest = after;
    }
    push_text(&mut parts, rest)?;
    Some(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Option<()> {
    text.bytes().all(|b| is_letter(b) || b == b'/').then_some(())?;
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Some(())
}

/// Anything else in a tag's value could widen a pattern: a slash, a star, nothing at all.
fn is_level(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(is_letter)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: &str = "mi-0123456789abcdef0";

    fn scope(pattern: &str, site: &str) -> Option<Scope> {
        let tags = [Tag { key: "site".to_owned(), value: site.to_owned() }];
        Pattern::parse(pattern).unwrap().scope(NODE, &tags)
    }

    #[test]
    fn a_pattern_has_what_it_says_and_nothing_beside() {
        for (pattern, name, expected) in [
            ("/fleet/*", "/fleet/port", true),
            ("/fleet/*", "/fleet/a/b", true),
            ("/fleet/*", "/fleet", false),
            ("/fleet/*", "/fleeting", false),
            ("/fleet/app-*", "/fleet/app-1", true),
            ("/fleet/port", "/fleet/port", true),
            ("/fleet/port", "/fleet/ports", false),
            ("port", "port", true),
            ("port", "/port", false),
            ("*", "port", true),
            ("*", "/a/b", true),
            ("/node/{node}/*", "/node/mi-0123456789abcdef0/psk", true),
            ("/node/{node}/*", "/node/mi-0123456789abcdef1/psk", false),
            ("/site/{tag:site}/*", "/site/berlin/psk", true),
            ("/site/{tag:site}/*", "/site/bern/psk", false),
        ] {
            assert_eq!(scope(pattern, "berlin").unwrap().has(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_path_is_open_when_all_under_it_is() {
        for (pattern, path, expected) in [
            ("/fleet/*", "/fleet/", true),
            ("/fleet/*", "/fleet/a/", true),
            ("/fleet/a*", "/fleet/", false),
            ("/fleet/*", "/", false),
            ("*", "/", true),
            ("/*", "/", false),
            ("/*", "/fleet/", true),
            ("/fleet/port", "/fleet/port/", false),
        ] {
            assert_eq!(scope(pattern, "x").unwrap().has_all_under(path), expected, "{pattern}");
        }
    }

    #[test]
    fn a_tag_can_not_widen_a_pattern() {
        for value in ["", "*", "a/b", "../x", "a b", "ä"] {
            let scope = scope("/site/{tag:site}/*", value);
            assert!(scope.is_none() || value == "..", "{value}");
        }
        assert!(Pattern::parse("/s/{tag:role}/*").unwrap().scope(NODE, &[]).is_none());
    }

    #[test]
    fn a_tag_s_value_does_not_open_what_belongs_to_a_longer_one() {
        for bad in [
            "/site/{tag:site}-*",
            "/site/{tag:site}.psk*",
            "/site/{tag:site}-{node}-*",
            "/site/{node}/{tag:site}-a/*",
            "{tag:site}-*",
        ] {
            let said = Pattern::parse(bad).unwrap_err();
            assert!(said.contains("put a slash right after the last placeholder"), "{said}");
        }
        for (pattern, own, other) in [
            ("/site/{tag:site}/*", "/site/berlin/psk", "/site/berlin-north/psk"),
            ("/site/{tag:site}/app-*", "/site/berlin/app-1", "/site/berlin-north/app-1"),
            ("/site/{tag:site}-psk", "/site/berlin-psk", "/site/berlin-north-psk"),
        ] {
            let scope = scope(pattern, "berlin").unwrap();
            assert!(scope.has(own) && !scope.has(other), "{pattern}");
        }
        assert!(Pattern::parse("/node/{node}-*").is_ok());
    }

    #[test]
    fn a_mistyped_pattern_is_refused() {
        for bad in [
            "",
            "/a/",
            "a/b",
            "/a//b",
            "/*/b",
            "/a b",
            "/a/{tag:}/x",
            "/a/{host}/x",
            "/a/{node",
            "/a/{node}*",
            "/a/}x",
            "//*",
            "/a/**",
        ] {
            let said = Pattern::parse(bad).unwrap_err();
            assert!(said.contains(&format!("'{bad}'")), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String, site: String) {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
                let _ = pattern.scope(NODE, &[Tag { key: "site".to_owned(), value: site }]);
            }
        }

        #[test]
        fn an_open_path_has_each_of_its_parameters(
            pattern in "(/[ab]{1,2}){0,2}/?[ab]?\\*", path in "/([ab]{1,2}/){0,3}", rest in "[ab/]{1,4}",
        ) {
            if let Ok(Some(scope)) = Pattern::parse(&pattern).map(|p| p.scope(NODE, &[])) {
                let name = format!("{path}{rest}");
                prop_assert!(!scope.has_all_under(&path) || scope.has(&name));
                // Under the root are names without a slash too.
                prop_assert!(!scope.has_all_under("/") || scope.has(&rest));
            }
        }
    }
}

//! `{{ssm:name}}` and `{{ssm-secure:name}}`: values of Parameter Store, filled in right before
//! they are used.
//!
//! The first may stand in every input and takes no secrets. The second is understood where the
//! plugin says so, and its values never touch a disk. What has been filled in isn't looked at
//! again.

use super::limits;
use super::parse::DocumentError;
use super::remote::{PARAMETERS_PER_CALL, Parameter, Patience, Remote, RemoteError};
use std::borrow::Cow;
use std::fmt;
use stint_wire::json::{self, Node, Value};
use zeroize::Zeroizing;

const PLAIN: &str = "ssm:";
const SECURE: &str = "ssm-secure:";

const LIST: &str = "StringList";
const SECRET: &str = "SecureString";

/// Why references can't be filled in.
#[derive(Debug)]
pub enum ReferenceError {
    /// The values can't be had.
    Remote(RemoteError),
    /// Parameter Store has no such parameters, or not for this node.
    Unknown(Vec<String>),
    /// A parameter can't stand where it is wanted.
    Misplaced {
        /// As it was asked for.
        name: String,
        /// What it is, and what to do.
        why: &'static str,
    },
    /// Filled in, the values aren't what the document says of its parameters.
    Unfit(DocumentError),
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReferenceError::Remote(cause) => {
                write!(f, "parameters of Parameter Store can't be read: {cause}")
            }
            ReferenceError::Unknown(names) => write!(
                f,
                "Parameter Store has no {}, or doesn't let this node read it",
                names.join(", ")
            ),
            ReferenceError::Misplaced { name, why } => write!(f, "parameter {name} {why}"),
            ReferenceError::Unfit(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for ReferenceError {}

impl From<RemoteError> for ReferenceError {
    fn from(cause: RemoteError) -> ReferenceError {
        ReferenceError::Remote(cause)
    }
}

/// The nodes with every `{{ssm:name}}` in their values filled in.
///
/// # Errors
/// See [`ReferenceError`].
pub fn resolve<'n>(
    nodes: &'n [Node],
    remote: &dyn Remote,
    patience: &Patience,
) -> Result<Cow<'n, [Node]>, ReferenceError> {
    let mut names = Vec::new();
    nodes.iter().for_each(|node| collect(node, &mut names));
    if names.is_empty() {
        return Ok(Cow::Borrowed(nodes));
    }
    let values = Values::get(&names, false, remote, patience)?;
    nodes.iter().map(|node| values.fill(node)).collect::<Result<Vec<_>, _>>().map(Cow::Owned)
}

/// The text with every `{{ssm-secure:name}}` replaced by its secret. `None` if there is none.
///
/// # Errors
/// See [`ReferenceError`].
pub fn reveal(
    text: &str,
    remote: &dyn Remote,
    patience: &Patience,
) -> Result<Option<Zeroizing<String>>, ReferenceError> {
    let names = names(text, SECURE);
    if names.is_empty() {
        return Ok(None);
    }
    let values = Values::get(&names, true, remote, patience)?;
    let secret = |name: &str| {
        let value = values.value(name)?;
        if value.kind == SECRET {
            return Ok(value.value.as_str());
        }
        let why = "is no SecureString; use {{ssm:…}} for it";
        Err(ReferenceError::Misplaced { name: name.to_owned(), why })
    };
    // Room for all of it at once: a text that grows leaves copies of its beginning in memory.
    let mut room = text.len();
    for (_, _, name) in References::of(text, SECURE) {
        room += secret(name)?.len();
    }
    let mut out = Zeroizing::new(String::with_capacity(room));
    let mut done = 0;
    for (start, end, name) in References::of(text, SECURE) {
        out.push_str(text.get(done..start).unwrap_or_default());
        out.push_str(secret(name)?);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Ok(Some(out))
}

/// Checks the values that a document's parameters have, given ones and defaults, as they will be:
/// references filled in. Values without references need no second look.
///
/// # Errors
/// See [`ReferenceError`].
pub fn check_values(
    document: &str,
    given: &str,
    remote: &dyn Remote,
    patience: &Patience,
) -> Result<(), ReferenceError> {
    // Both have been read before, when the document was.
    let (Ok(document), Ok(given)) = (json::parse(document), json::parse(given)) else {
        return Ok(());
    };
    let declared = document.get_any_case("parameters").map(Node::members).unwrap_or_default();
    let (mut definitions, mut values) = (Vec::new(), Vec::new());
    for (name, definition) in declared {
        let value = given.get(name).or_else(|| definition.get_any_case("default"));
        if let Some(value) = value.filter(|value| limits::is_reference(value)) {
            definitions.push((name, definition));
            // Before references are filled in, as when it is used: what they bring may have quotes.
            values.push(limits::unquoted(definition, value).unwrap_or_else(|| value.clone()));
        }
    }
    let values = resolve(&values, remote, patience)?;
    let mut problems = Vec::new();
    for ((name, definition), value) in definitions.into_iter().zip(values.iter()) {
        // A whole map may be kept there.
        let unquoted = limits::unquoted(definition, value);
        let value = unquoted.as_ref().unwrap_or(value);
        problems.extend(limits::of_value(name, definition, value));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ReferenceError::Unfit(DocumentError::Malformed(problems)))
}

/// Whether a part of the text is a reference that is filled in before the step.
pub fn has_reference(text: &str) -> bool {
    References::of(text, PLAIN).next().is_some()
}

/// Whether the text is one reference to a secret and nothing else.
pub fn is_secret(text: &str) -> bool {
    let text = text.trim();
    References::of(text, SECURE)
        .next()
        .is_some_and(|(start, end, _)| (start, end) == (0, text.len()))
}

/// Values by the names that they were asked for.
struct Values(Vec<(String, Parameter)>);

impl Values {
    fn get(
        names: &[String],
        decrypt: bool,
        remote: &dyn Remote,
        patience: &Patience,
    ) -> Result<Values, ReferenceError> {
        let (mut values, mut unknown) = (Vec::new(), Vec::new());
        for batch in names.chunks(PARAMETERS_PER_CALL) {
            let asked: Vec<&str> = batch.iter().map(String::as_str).collect();
            let found = remote.parameters(&asked, decrypt, patience)?;
            for name in batch {
                // A version and a label may be answered by one parameter.
                match found.iter().find(|parameter| answers(parameter, name)) {
                    Some(parameter) => values.push((name.clone(), parameter.clone())),
                    None => unknown.push(name.clone()),
                }
            }
        }
        if unknown.is_empty() { Ok(Values(values)) } else { Err(ReferenceError::Unknown(unknown)) }
    }

    fn value(&self, name: &str) -> Result<&Parameter, ReferenceError> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or_else(|| ReferenceError::Unknown(vec![name.to_owned()]))
    }

    fn fill(&self, node: &Node) -> Result<Node, ReferenceError> {
        let value = match &node.value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(elements) => {
                let mut filled = Vec::new();
                for element in elements {
                    match self.list(element)? {
                        Some(items) => filled.extend(items),
                        None => filled.push(self.fill(element)?),
                    }
                }
                Value::Array(filled)
            }
            Value::Object(members) => {
                let filled =
                    members.iter().map(|(name, node)| Ok((name.clone(), self.fill(node)?)));
                Value::Object(filled.collect::<Result<_, ReferenceError>>()?)
            }
            other => other.clone(),
        };
        Ok(Node { line: node.line, value })
    }

    /// The elements that an array's element becomes which is one reference to a list.
    fn list(&self, element: &Node) -> Result<Option<Vec<Node>>, ReferenceError> {
        let Some(text) = element.as_str() else { return Ok(None) };
        let Some((start, end, name)) = References::of(text, PLAIN).next() else { return Ok(None) };
        let value = self.value(name)?;
        if (start, end) != (0, text.len()) || value.kind != LIST {
            return Ok(None);
        }
        let node = |item: &str| Node { line: element.line, value: Value::String(item.to_owned()) };
        Ok(Some(value.value.split(',').map(node).collect()))
    }

    fn text(&self, text: &str) -> Result<String, ReferenceError> {
        let (mut out, mut done) = (String::new(), 0);
        for (start, end, name) in References::of(text, PLAIN) {
            let value = self.value(name)?;
            let misplaced = |why| Err(ReferenceError::Misplaced { name: name.to_owned(), why });
            match value.kind.as_str() {
                SECRET => {
                    return misplaced(
                        "is a SecureString, which {{ssm:…}} does not take; use {{ssm-secure:…}} \
                         in a script or as a password",
                    );
                }
                LIST => {
                    return misplaced(
                        "is a StringList, which can only be the whole of an element of a list",
                    );
                }
                _ => {}
            }
            out.push_str(text.get(done..start).unwrap_or_default());
            out.push_str(&value.value);
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(out)
    }
}

/// Whether a parameter is what was asked for by `name`, with its version or label. Servers may
/// leave the selector out of their answer.
fn answers(parameter: &Parameter, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(&parameter.name) else { return false };
    rest == parameter.selector
        || rest.strip_prefix(':').is_some_and(|v| v.parse() == Ok(parameter.version))
}

fn collect(node: &Node, names: &mut Vec<String>) {
    match &node.value {
        Value::String(text) => {
            for name in self::names(text, PLAIN) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, names)),
        Value::Object(members) => members.iter().for_each(|(_, node)| collect(node, names)),
        _ => {}
    }
}

/// The names that a text refers to, each once.
fn names(text: &str, prefix: &'static str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, _, name) in References::of(text, prefix) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The references in a text: where each starts and ends, and the name in it. As the original's
/// pattern has it: two braces, spaces, prefix, a name of letters, digits and `_/.:-`, spaces, two
/// braces.
struct References<'t> {
    text: &'t str,
    prefix: &'static str,
    at: usize,
}

impl<'t> References<'t> {
    fn of(text: &'t str, prefix: &'static str) -> References<'t> {
        References { text, prefix, at: 0 }
    }
}

impl<'t> Iterator for References<'t> {
    type Item = (usize, usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.at + self.text.get(self.at..)?.find("{{")?;
            let inside = self.text.get(start + 2..)?.trim_start_matches(' ');
            let valid = |c: char| c.is_ascii_alphanumeric() || "_/.:-".contains(c);
            if let Some(rest) = inside.strip_prefix(self.prefix) {
                let end = rest.find(|c| !valid(c)).unwrap_or(rest.len());
                let (name, rest) = rest.split_at_checked(end)?;
                if let Some(after) = rest.trim_start_matches(' ').strip_prefix("}}")
                    && !name.is_empty()
                {
                    self.at = self.text.len() - after.len();
                    return Some((start, self.at, name));
                }
            }
            // The second of three braces may begin one.
            self.at = start + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exec::Signals;
    use super::super::remote::{LogStream, Nowhere, Page, Place, S3Object};
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::path::Path;
    use std::time::Duration;
    use stint_wire::json::parse;

    /// A Parameter Store that holds what `store` says and remembers what it was asked.
    #[derive(Default)]
    struct Store(RefCell<Vec<(Vec<String>, bool)>>);

    fn store(name: &str) -> Option<Parameter> {
        let (bare, selector) = name.split_once(':').unwrap_or((name, ""));
        let (kind, value, version) = match bare {
            "/a/text" => ("String", "<{{ssm:/a/list}}>", 3),
            "/a/list" => ("StringList", "x,y z", 1),
            "/a/secret" => ("SecureString", "s3cret", 1),
            bare if bare.starts_with('p') => ("String", bare, 1),
            _ => return None,
        };
        if !["", "3", "prod"].contains(&selector) {
            return None;
        }
        // A label comes back as selector; a version may not.
        let selector = if selector == "prod" { ":prod".to_owned() } else { String::new() };
        let value = Zeroizing::new(value.to_owned());
        Some(Parameter { name: bare.into(), version, selector, kind: kind.into(), value })
    }

    impl Remote for Store {
        fn parameters(
            &self,
            names: &[&str],
            decrypt: bool,
            _: &Patience,
        ) -> Result<Vec<Parameter>, RemoteError> {
            let asked = names.iter().map(|name| (*name).to_owned()).collect();
            self.0.borrow_mut().push((asked, decrypt));
            Ok(names.iter().rev().filter_map(|name| store(name)).collect())
        }

        fn document(&self, n: &str, v: Option<&str>, p: &Patience) -> Result<String, RemoteError> {
            Nowhere.document(n, v, p)
        }

        fn fetch(&self, a: &Page<'_>, b: &Place<'_>, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.fetch(a, b, c)
        }

        fn read(&self, a: &Page<'_>, b: &Patience) -> Result<String, RemoteError> {
            Nowhere.read(a, b)
        }

        fn s3_object(&self, url: &str) -> Result<S3Object, RemoteError> {
            Nowhere.s3_object(url)
        }

        fn s3_list(&self, a: &S3Object, b: &Patience) -> Result<Vec<String>, RemoteError> {
            Nowhere.s3_list(a, b)
        }

        fn s3_get(&self, a: &S3Object, b: &Place<'_>, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.s3_get(a, b, c)
        }

        fn s3_put(&self, a: &S3Object, b: &Path, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.s3_put(a, b, c)
        }

        fn log(&self, a: &LogStream, b: &Path, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.log(a, b, c)
        }

        #[cfg(feature = "session")]
        fn transcript(
            &self,
            a: &str,
            b: &std::path::Path,
            c: &Patience,
        ) -> Result<(), RemoteError> {
            Nowhere.transcript(a, b, c)
        }

        fn github(&self) -> Result<String, RemoteError> {
            Nowhere.github()
        }
    }

    fn patience() -> Patience {
        Patience::new(&Signals::catch().unwrap(), Duration::from_secs(60))
    }

    fn resolved(text: &str) -> Result<String, String> {
        let nodes = [parse(text).unwrap()];
        let result = resolve(&nodes, &Store::default(), &patience());
        result.map(|nodes| nodes[0].to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn references_are_found_as_the_originals_pattern_finds_them() {
        let found = |text: &str| names(text, PLAIN);
        assert_eq!(found("{{ssm:/a/b-c_d.e:5}} {{  ssm:x }}"), ["/a/b-c_d.e:5", "x"]);
        assert_eq!(found("{{{ssm:x}}} {{ssm:x}}"), ["x"]);
        for text in ["{{\tssm:x}}", "{{ssm: x}}", "{{ssm:}}", "{ssm:x}", "{{ssm:x}", "{{ssm:a b}}"]
        {
            assert!(found(text).is_empty(), "{text}");
        }
        assert!(found("{{ssm-secure:x}}").is_empty());
        assert!(!is_secret("a {{ssm-secure:x}}"));
        assert!(is_secret(" {{ ssm-secure:/x }} "));
    }

    #[test]
    fn values_are_filled_in_at_every_depth_and_not_looked_at_again() {
        assert_eq!(
            resolved(r#"{"k":["a {{ ssm:/a/text:3 }}{{ssm:/a/text:prod}}",{"{{ssm:x}}":1}]}"#)
                .unwrap(),
            r#"{"k":["a <{{ssm:/a/list}}><{{ssm:/a/list}}>",{"{{ssm:x}}":1}]}"#
        );
    }

    #[test]
    fn a_list_becomes_elements_of_a_list_and_can_stand_nowhere_else() {
        assert_eq!(resolved(r#"["1","{{ssm:/a/list}}","2"]"#).unwrap(), r#"["1","x","y z","2"]"#);
        for text in [r#""{{ssm:/a/list}}""#, r#"["a {{ssm:/a/list}}"]"#] {
            assert!(resolved(text).unwrap_err().contains("/a/list is a StringList"), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_given_to_whoever_asks_for_text() {
        let error = resolved(r#"["{{ssm:/a/secret}}"]"#).unwrap_err();
        assert!(error.contains("/a/secret is a SecureString"), "{error}");
        assert!(!error.contains("s3cret"));
    }

    #[test]
    fn unknown_names_are_listed_and_a_store_that_cannot_be_asked_says_why() {
        let error = resolved(r#"["{{ssm:no}}{{ssm:/a/text}}{{ssm:/a/text:9}}"]"#).unwrap_err();
        assert_eq!(error, "Parameter Store has no no, /a/text:9, or doesn't let this node read it");
        let nodes = [parse(r#""{{ssm:x}}""#).unwrap()];
        let error = resolve(&nodes, &Nowhere, &patience()).unwrap_err().to_string();
        assert!(error.contains("there is no server to ask"), "{error}");
    }

    #[test]
    fn each_name_is_asked_for_once_and_ten_at_a_time() {
        let text: Vec<String> =
            (0..12).map(|n| format!("{{{{ssm:p{n}}}}}{{{{ssm:p0}}}}")).collect();
        let nodes = [parse(&stint_wire::json::quote(&text.join(" "))).unwrap()];
        let store = Store::default();
        resolve(&nodes, &store, &patience()).unwrap();
        let asked = store.0.borrow();
        assert_eq!(asked.iter().map(|(names, _)| names.len()).collect::<Vec<_>>(), [10, 2]);
        assert!(asked.iter().all(|(_, decrypt)| !decrypt));
        // Nothing to fill in: nobody is asked.
        resolve(&[parse(r#""{{ x }}""#).unwrap()], &Nowhere, &patience()).unwrap();
    }

    #[test]
    fn values_are_judged_as_they_will_be_whether_they_are_given_or_defaults() {
        let document = |default: &str, pattern: &str| {
            format!(
                r#"{{"schemaVersion":"2.2","parameters":{{"p":{{"type":"String","default":"{default}",
                "allowedPattern":"{pattern}"}}}}}}"#
            )
        };
        let check = |document: &str, given: &str| {
            check_values(document, given, &Store::default(), &patience())
                .map_err(|error| error.to_string())
        };
        for (default, given) in [
            ("{{ssm:p1}}", "{}"),
            ("{{ssm:p1}}{{ssm:p2}}", "{}"),
            ("x", r#"{"p":"{{ssm:p1}}"}"#),
            // What is given takes the place of the default.
            ("{{ssm:/a/text}}", r#"{"p":"p"}"#),
        ] {
            assert_eq!(
                check(&document(default, "^[a-z0-9]+$"), given),
                Ok(()),
                "{default} {given}"
            );
            // What stands there without a reference has been judged already.
            let refused = check(&document(default, "^[0-9]+$"), given);
            assert_eq!(refused.is_err(), !given.contains(r#":"p""#), "{default} {given}");
        }
        let refused = check(&document("{{ssm:/a/text}}", "^[a-z]+$"), "{}").unwrap_err();
        assert_eq!(refused, "document line 1: parameter p must match the pattern ^[a-z]+$");
        let secret = check(&document("{{ssm:/a/secret}}", ""), "{}").unwrap_err();
        assert!(secret.contains("is a SecureString") && !secret.contains("s3cret"), "{secret}");
        assert!(check(&document("{{ssm:no}}", ""), "{}").unwrap_err().contains("has no no"));
    }

    #[test]
    fn secrets_are_revealed_where_they_are_meant_to_be() {
        let reveal = |text: &str| {
            reveal(text, &Store::default(), &patience()).map_err(|error| error.to_string())
        };
        let revealed = reveal("a {{ssm-secure:/a/secret}} {{ ssm:/a/text }}").unwrap().unwrap();
        assert_eq!(revealed.as_str(), "a s3cret {{ ssm:/a/text }}");
        assert!(reveal("plain").unwrap().is_none());
        assert!(reveal("{{ssm-secure:/a/text}}").unwrap_err().contains("is no SecureString"));
    }

    proptest! {
        #[test]
        fn references_are_in_order_and_hold_their_names(text in "[{} sm:xä]*") {
            let mut end = 0;
            for (start, after, name) in References::of(&text, PLAIN) {
                prop_assert!(start >= end && after > start);
                prop_assert!(text.get(start..after).unwrap().contains(name));
                end = after;
            }
        }
    }
}

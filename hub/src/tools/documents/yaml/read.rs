//! YAML text to JSON.
//!
//! The parser hands out events; the tree is built here, without recursion and within limits, so
//! that neither deep nesting nor aliases of aliases can hurt the hub. Where a scalar without
//! quotes became a number, a truth value or null, its text is kept beside: a document may want
//! the text.

use super::resolve;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The deepest nesting.
const MOST_DEPTH: usize = 64;

/// The most values, those that aliases repeat counted each time.
const MOST_VALUES: usize = 50_000;

/// The most bytes of texts and keys, those that anchors keep and aliases repeat counted each time;
/// and the most of all pointers in [`Read::plain`].
const MOST_BYTES: usize = 1024 * 1024;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// As a sentence without its full stop.
    pub what: String,
}

/// A YAML document that was read.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// Its value.
    pub value: Value,
    /// By JSON pointer: the text of each scalar without quotes that is no text in `value`.
    pub plain: HashMap<String, String>,
}

/// Reads exactly one YAML document.
///
/// # Errors
/// The first fault: what is no YAML, a second document, a key that is no scalar or there twice,
/// a tag of another schema, or more than the limits.
pub fn read(text: &str) -> Result<Read, Fault> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| fault(*e.marker(), e.info().to_owned()))?;
        builder.take(event).map_err(|what| fault(span.start, what))?;
    }
    let Some(node) = builder.root else {
        return Err(Fault { line: 1, column: 1, what: "there is no content".to_owned() });
    };
    let mut plain = HashMap::new();
    node.texts(&mut String::new(), &mut plain, &mut 0).map_err(|what| Fault {
        line: 1,
        column: 1,
        what,
    })?;
    Ok(Read { value: node.value(), plain })
}

fn fault(at: Marker, what: String) -> Fault {
    Fault { line: at.line(), column: at.col() + 1, what }
}

/// A value whose plain scalars still have their text.
#[derive(Clone, Debug)]
enum Node {
    Plain(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A list or map that is still open, with its anchor.
enum Open {
    List(Vec<Node>, usize),
    Map(OpenMap, usize),
}

#[derive(Default)]
struct OpenMap {
    members: Vec<(String, Node)>,
    names: HashSet<String>,
    /// The key whose value comes next, if it has come.
    key: Option<String>,
    /// That key is YAML 1.1's merge key; in quotes it is a key like any other.
    merges: bool,
    /// What it brings; what is written out wins.
    merged: Vec<(String, Node)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    values: usize,
    bytes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document begins here; a document of Systems Manager is one".into())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar(&text, style, tag)?;
                self.spend(1, node.bytes())?;
                self.add(node, anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor);
                let node = node.ok_or("the alias stands inside of what it names")?;
                // Each alias adds the depth of what it names, and recursion follows.
                if self.open.len() + node.depth() > MOST_DEPTH {
                    return Err(format!("the nesting is deeper than {MOST_DEPTH}"));
                }
                // Before there is a copy: it may be what there is no room for.
                let (values, bytes) = (node.size(), node.bytes());
                self.spend(values, bytes)?;
                match self.anchors.get(&anchor).cloned() {
                    Some(node) => self.add(node, 0),
                    None => Ok(()),
                }
            }
            Event::SequenceStart(anchor, tag) => {
                known(tag, &["seq"])?;
                self.begin(Open::List(Vec::new(), anchor))
            }
            Event::MappingStart(anchor, tag) => {
                known(tag, &["map"])?;
                self.begin(Open::Map(OpenMap::default(), anchor))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    self.spend(1, 0)?;
                    match open {
                        Open::List(items, anchor) => self.add(Node::List(items), anchor),
                        Open::Map(map, anchor) => self.add(map.node(), anchor),
                    }
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MOST_DEPTH {
            return Err(format!("the nesting is deeper than {MOST_DEPTH}"));
        }
        self.open.push(open);
        Ok(())
    }

    /// Counts what comes, or is about to be copied.
    fn spend(&mut self, values: usize, bytes: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(values);
        if self.values > MOST_VALUES {
            return Err(format!("there are more than {MOST_VALUES} values, aliases counted"));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MOST_BYTES {
            return Err(format!(
                "there are more than {MOST_BYTES} bytes of texts and keys, aliases counted"
            ));
        }
        Ok(())
    }

    /// Puts a node in its place.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.spend(node.size(), node.bytes())?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map(map, _)) => map.add(node)?,
        }
        Ok(())
    }
}

impl OpenMap {
    fn add(&mut self, node: Node) -> Result<(), String> {
        let Some(name) = self.key.take() else {
            self.merges = matches!(&node, Node::Plain(name) if name == "<<");
            let (Node::Plain(name) | Node::Text(name)) = node else {
                return Err("a key has to be a text".to_owned());
            };
            if !self.names.insert(name.clone()) {
                return Err(format!("the key '{name}' is there twice"));
            }
            self.key = Some(name);
            return Ok(());
        };
        match node {
            Node::Map(others) if self.merges => self.merged.extend(others),
            node => self.members.push((name, node)),
        }
        Ok(())
    }

    fn node(mut self) -> Node {
        for (name, node) in self.merged {
            if self.names.insert(name.clone()) {
                self.members.push((name, node));
            }
        }
        Node::Map(self.members)
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<Cow<'_, Tag>>) -> Result<Node, String> {
    let tagged = known(tag, &["str", "int", "float", "bool", "null"])?;
    let plain = match tagged.as_deref() {
        Some("str") => false,
        Some(_) => true,
        None => style == ScalarStyle::Plain,
    };
    Ok(if plain { Node::Plain(text.to_owned()) } else { Node::Text(text.to_owned()) })
}

/// The name of a tag of YAML's own schema.
fn known(tag: Option<Cow<'_, Tag>>, names: &[&str]) -> Result<Option<String>, String> {
    match tag {
        None => Ok(None),
        Some(tag) if tag.is_yaml_core_schema() && names.contains(&tag.suffix.as_str()) => {
            Ok(Some(tag.suffix.clone()))
        }
        Some(tag) => Err(format!("the tag {}{} means nothing here", tag.handle, tag.suffix)),
    }
}

impl Node {
    /// How many values it has.
    fn size(&self) -> usize {
        match self {
            Node::Plain(_) | Node::Text(_) => 1,
            Node::List(items) => items.iter().map(Node::size).sum::<usize>() + 1,
            Node::Map(members) => members.iter().map(|(_, n)| n.size()).sum::<usize>() + 1,
        }
    }

    /// How many bytes its texts and keys have.
    fn bytes(&self) -> usize {
        match self {
            Node::Plain(text) | Node::Text(text) => text.len(),
            Node::List(items) => items.iter().map(Node::bytes).sum(),
            Node::Map(members) => members.iter().map(|(name, n)| name.len() + n.bytes()).sum(),
        }
    }

    /// How many lists and maps stand inside each other.
    fn depth(&self) -> usize {
        match self {
            Node::Plain(_) | Node::Text(_) => 0,
            Node::List(items) => items.iter().map(Node::depth).max().unwrap_or_default() + 1,
            Node::Map(members) => {
                members.iter().map(|(_, n)| n.depth()).max().unwrap_or_default() + 1
            }
        }
    }

    fn value(self) -> Value {
        match self {
            Node::Plain(text) => resolve::plain(&text),
            Node::Text(text) => Value::String(text),
            Node::List(items) => Value::Array(items.into_iter().map(Node::value).collect()),
            Node::Map(members) => Value::Object(
                members.into_iter().map(|(name, node)| (name, node.value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Collects texts by pointer; `spent` is the bytes of all pointers, as a long key comes again
    /// in each pointer below it.
    fn texts(
        &self,
        pointer: &mut String,
        out: &mut HashMap<String, String>,
        spent: &mut usize,
    ) -> Result<(), String> {
        let length = pointer.len();
        match self {
            Node::Plain(text) if !resolve::plain(text).is_string() => {
                *spent = spent.saturating_add(length);
                if *spent > MOST_BYTES {
                    return Err("too many numbers, truth values and nulls stand below long keys; \
                                put them in quotes or shorten the keys"
                        .to_owned());
                }
                out.insert(pointer.clone(), text.clone());
            }
            Node::Plain(_) | Node::Text(_) => {}
            Node::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{at}"));
                    item.texts(pointer, out, spent)?;
                    pointer.truncate(length);
                }
            }
            Node::Map(members) => {
                for (name, node) in members {
                    pointer.push('/');
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    node.texts(pointer, out, spent)?;
                    pointer.truncate(length);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_document_as_people_write_them_is_read() {
        let text = "---\n# restart\nschemaVersion: '2.2'\nparameters:\n  unit: {type: String}\n\
                    mainSteps:\n- action: aws:runShellScript\n  name: r\n  inputs:\n    runCommand:\n    \
                    - |\n      if true; then\n        echo \"a: b\" # kept\n      fi\n    - >-\n      one\n      \
                    line\n    - echo {{ unit }}\n    timeoutSeconds: 60\n    workingDirectory:\n";
        let read = read(text).unwrap();
        assert_eq!(
            read.value,
            json!({
                "schemaVersion": "2.2",
                "parameters": {"unit": {"type": "String"}},
                "mainSteps": [{"action": "aws:runShellScript", "name": "r", "inputs": {
                    "runCommand": [
                        "if true; then\n  echo \"a: b\" # kept\nfi\n", "one line", "echo {{ unit }}"
                    ],
                    "timeoutSeconds": 60,
                    "workingDirectory": null,
                }}],
            })
        );
        assert_eq!(read.plain["/mainSteps/0/inputs/timeoutSeconds"], "60");
        assert_eq!(read.plain["/mainSteps/0/inputs/workingDirectory"], "");
        assert_eq!(read.plain.len(), 2);
    }

    #[test]
    fn anchors_merge_keys_and_tags_mean_what_yaml_says() {
        let text = "base: &b {a: 1, b: 2}\nmine:\n  <<: *b\n  b: 3\nlist: [*b, !!str 5, \"6\"]\n\
                    text: {'<<': {c: 1}}\n";
        assert_eq!(
            read(text).unwrap().value,
            json!({"base": {"a": 1, "b": 2}, "mine": {"b": 3, "a": 1},
                   "list": [{"a": 1, "b": 2}, "5", "6"], "text": {"<<": {"c": 1}}})
        );
    }

    #[test]
    fn every_fault_has_its_place() {
        for (text, line, what) in [
            ("a: 1\nb: 2\na: 3\n", 3, "'a' is there twice"),
            ("a: b: c\n", 1, ""),
            ("a: [1\nb: 2\n", 2, ""),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("? [a]\n: 1\n", 1, "has to be a text"),
            ("a:\n  b: !Ref x\n", 2, "!Ref"),
            ("a: &x [*x]\n", 1, "inside of what it names"),
            ("", 1, "no content"),
            ("a: *nowhere\n", 1, ""),
            ("a:\n\tb: 1\n", 2, ""),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!(fault.line, line, "{text:?} {fault:?}");
            assert!(fault.what.contains(what), "{text:?} {fault:?}");
        }
    }

    #[test]
    fn aliases_of_aliases_and_deep_nesting_end_at_the_limits() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        assert!(read(&text).unwrap_err().what.contains("aliases counted"));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep).unwrap_err().what.contains("deeper"), "{:?}", read(&deep));
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for n in 1..20 {
            let (open, close) = ("[".repeat(20), "]".repeat(20));
            chain.push_str(&format!("a{n}: &a{n} {open}*a{}{close}\n", n - 1));
        }
        assert!(read(&chain).unwrap_err().what.contains("deeper"), "{:?}", read(&chain));
        let blocks = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
        assert!(read(&blocks).is_err());
    }

    #[test]
    fn a_long_text_or_key_is_not_repeated_beyond_the_limit() {
        let long = "x".repeat(32 * 1024);
        for text in [
            format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 5000].join(", ")),
            format!("a: &a {{? {long}\n : 'y'}}\nb: [{}]\n", vec!["*a"; 5000].join(", ")),
        ] {
            let fault = read(&text).unwrap_err();
            assert!(fault.what.contains("bytes of texts and keys"), "{fault:?}");
            assert_eq!(fault.line, text.lines().count(), "{fault:?}");
        }
        // Anchors inside each other each keep what is in them.
        let ten = ["*a"; 10].join(", ");
        let anchors = (0..40).map(|n| format!("&b{n} [")).collect::<String>();
        let text = format!("a: &a {long}\nb: {anchors}{ten}{}\n", "]".repeat(40));
        assert!(read(&text).unwrap_err().what.contains("bytes of texts and keys"));
        let numbers = vec!["1"; 10_000].join(", ");
        let fault = read(&format!("? {long}\n: [{numbers}]\n")).unwrap_err();
        assert!(fault.what.contains("below long keys"), "{fault:?}");
        // What people write is far from it.
        let text = format!("a: &a {long}\nb: [*a, *a, *a]\n");
        assert_eq!(read(&text).unwrap().value["b"][2], json!(long));
    }

    #[test]
    fn a_key_of_any_length_is_written_as_one_that_can_be_read() {
        for name in ["k".repeat(1022), "k".repeat(1023), "\u{e}".repeat(170), "\u{e}".repeat(171)] {
            let value = json!({"a": [{&name: {&name: 1, "b": {}}}], &name: [&name]});
            assert_eq!(read(&super::super::block(&value)).unwrap().value, value);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = read(&text);
        }

        #[test]
        fn text_made_of_yaml_s_own_signs_does_not_either(text in "[-:?*&!|>'\"{}\\[\\], \nab0~<#%]{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn what_is_written_is_read_back(name in "[ -~]{0,8}", text: String, number: i32, flag: bool) {
            let value = json!({name: {"text": text, "list": [number, flag, null, {}, [], [[1]]],
                                      "maps": [{"a": {"b": "c"}, "d": [1]}]}});
            prop_assert_eq!(read(&super::super::block(&value)).unwrap().value, value);
        }

        #[test]
        fn a_number_is_the_one_that_is_written(number in prop::num::f64::NORMAL) {
            let value = json!([number]);
            prop_assert_eq!(read(&super::super::block(&value)).unwrap().value, value);
        }
    }
}

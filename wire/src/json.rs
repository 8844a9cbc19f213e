//! JSON that remembers where each value stood, for files that people write, and a writer for
//! objects whose absent members must be left out rather than sent as `null`.
//!
//! miniserde serves the messages whose shape is known; it can name neither the line nor the
//! unknown member, which configuration files and documents need.

use std::fmt;

/// How deep arrays and objects may nest. Documents of the original nest to about 8.
pub const MAX_DEPTH: usize = 64;

/// A value and the line it starts on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Counted from 1.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// A JSON value. Numbers keep their spelling, because parameters are text in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number in its own spelling.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object, its members in the order written. Names are unique.
    Object(Vec<(String, Node)>),
}

/// Why a text is no JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: u32,
    /// What stands there, or is missing.
    pub what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for SyntaxError {}

impl Node {
    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().find(|(member, _)| member == name).map(|(_, node)| node)
    }

    /// The member of that name in any case of letters, as Go's decoder binds it.
    pub fn get_any_case(&self, name: &str) -> Option<&Node> {
        self.get(name).or_else(|| {
            self.members().iter().find(|(m, _)| m.eq_ignore_ascii_case(name)).map(|(_, node)| node)
        })
    }

    /// The members, if this is an object.
    pub fn members(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements, if this is an array.
    pub fn elements(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is an integer from 0 to 2^64-1, written without a fraction.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.value {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The truth, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

impl fmt::Display for Node {
    /// Compact JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Number(text) => f.write_str(text),
            Value::String(text) => f.write_str(&quote(text)),
            Value::Array(elements) => {
                f.write_str("[")?;
                for (at, element) in elements.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    element.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (at, (name, node)) in members.iter().enumerate() {
                    write!(f, "{}{}:{node}", if at == 0 { "" } else { "," }, quote(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                out.push_str("\\u00");
                out.push_str(&crate::text::hex(&[c as u8]));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Writes one object, member by member; absent values are left out.
#[derive(Default)]
pub struct ObjectWriter(String);

impl ObjectWriter {
    /// An object without members.
    pub fn new() -> ObjectWriter {
        ObjectWriter::default()
    }

    /// Adds a string.
    pub fn string(self, name: &str, value: &str) -> ObjectWriter {
        self.raw(name, &quote(value))
    }

    /// Adds a string if there is one.
    pub fn optional(self, name: &str, value: Option<&str>) -> ObjectWriter {
        match value {
            Some(value) => self.string(name, value),
            None => self,
        }
    }

    /// Adds a value that is JSON already: a number, a boolean, an object.
    pub fn raw(mut self, name: &str, json: &str) -> ObjectWriter {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quote(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// The object's text.
    pub fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// Parses one JSON text (RFC 8259). Doubled member names are an error, because nobody who
/// writes one means it.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    parse_as(text, false)
}

/// Parses JSON as people write it by hand: a `#` outside a string begins a comment that ends with
/// its line, a comma may follow the last element, and of doubled member names the last one holds.
///
/// # Errors
/// It isn't even that.
pub fn parse_lenient(text: &str) -> Result<Node, SyntaxError> {
    parse_as(text, true)
}

fn parse_as(text: &str, lenient: bool) -> Result<Node, SyntaxError> {
    let mut parser = Parser { bytes: text.as_bytes(), text, at: 0, line: 1, lenient };
    let node = parser.value(0)?;
    parser.blanks();
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.error("more text after the end of the value")),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    line: u32,
    lenient: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { line: self.line, what }
    }

    fn blanks(&mut self) {
        while let Some(b) = self.peek() {
            match b {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.line += u32::from(b == b'\n');
                    self.at += 1;
                }
                b'#' if self.lenient => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Takes the closing bracket after a comma, where that is let pass.
    fn take_after_comma(&mut self, closing: u8) -> bool {
        self.blanks();
        self.lenient && self.take(closing)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deep"));
        }
        self.blanks();
        let line = self.line;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.error("a value was expected")),
            None => return Err(self.error("the text ends before the value")),
        };
        Ok(Node { line, value })
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, SyntaxError> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.error("a value was expected"));
        }
        self.at = end;
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(self.text.get(start..self.at).unwrap_or_default().to_owned()))
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit was expected")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b >= b' ' && b != b'"' && b != b'\\') {
                self.at += 1;
            }
            // Both ends stand at ASCII characters, so the slice is always there.
            out.push_str(self.text.get(start..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("the text ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.code_unit()?;
                let low_follows = self.bytes.get(self.at..self.at + 2) == Some(b"\\u");
                let code = match high {
                    0xd800..=0xdbff if low_follows => {
                        self.at += 2;
                        match self.code_unit()? {
                            low @ 0xdc00..=0xdfff => {
                                0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff)
                            }
                            _ => 0xfffd,
                        }
                    }
                    code => code,
                };
                // Half a surrogate pair is no character; Go's decoder puts U+FFFD there too.
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.error("an unknown escape in a string")),
        })
    }

    fn code_unit(&mut self) -> Result<u32, SyntaxError> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            return Err(self.error("four hexadecimal digits were expected"));
        };
        self.at += 4;
        Ok(u32::from_str_radix(digits, 16).unwrap_or(0xfffd))
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.error("a comma or a closing bracket was expected"));
            }
            if self.take_after_comma(b']') {
                return Ok(Value::Array(elements));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut members: Vec<(String, Node)> = Vec::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.error("a member name in quotes was expected"));
            }
            let name = self.string()?;
            self.blanks();
            if !self.take(b':') {
                return Err(self.error("a colon was expected"));
            }
            members.push((name, self.value(depth + 1)?));
            self.blanks();
            if self.take(b'}') {
                return self.unique(members);
            }
            if !self.take(b',') {
                return Err(self.error("a comma or a closing brace was expected"));
            }
            if self.take_after_comma(b'}') {
                return self.unique(members);
            }
        }
    }

    /// An object of these members. Of those with one name the last counts, where that is allowed at
    /// all. Sorted and not searched: a stranger's object may have a hundred thousand.
    fn unique(&self, mut members: Vec<(String, Node)>) -> Result<Value, SyntaxError> {
        let mut names: Vec<(&str, usize)> =
            members.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
        names.sort_unstable();
        let twice = names.windows(2).filter_map(|pair| match pair {
            [(one, earlier), (other, later)] if one == other => Some((*earlier, *later)),
            _ => None,
        });
        if self.lenient {
            let mut replaced: Vec<usize> = twice.map(|(earlier, _)| earlier).collect();
            replaced.sort_unstable_by(|one, other| other.cmp(one));
            let mut at = 0;
            members.retain(|_| {
                let stays = replaced.last() != Some(&at);
                if !stays {
                    replaced.pop();
                }
                at += 1;
                stays
            });
        } else if let Some(first) = twice.map(|(_, later)| later).min() {
            let line = members.get(first).map_or(self.line, |(_, node)| node.line);
            return Err(SyntaxError { line, what: "a member stands twice in one object" });
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_value_knows_its_line() {
        let node = parse("{\n \"a\": [1,\n  true],\n \"b\": \"x\"}\n").unwrap();
        assert_eq!(node.get("a").unwrap().line, 2);
        assert_eq!(node.get("a").unwrap().elements().unwrap()[1].line, 3);
        assert_eq!(node.get("b").unwrap().as_str(), Some("x"));
        assert_eq!(node.get_any_case("B").unwrap().line, 4);
    }

    #[test]
    fn escapes_are_read_as_rfc_8259_says() {
        let node = parse(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800x""#).unwrap();
        assert_eq!(node.as_str(), Some("a\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x"));
    }

    #[test]
    fn of_members_with_one_name_the_last_counts_where_that_is_allowed() {
        let text = r#"{"b":1,"a":2,"b":3,"c":4,"a":5,"b":6}"#;
        let node = parse_lenient(text).unwrap();
        assert_eq!(node.to_string(), r#"{"c":4,"a":5,"b":6}"#);
        assert_eq!(parse(text).unwrap_err().what, "a member stands twice in one object");
    }

    /// Searching for doubles would take minutes here.
    #[test]
    fn an_object_of_many_members_is_read_in_time() {
        let members: Vec<String> = (0..200_000).map(|n| format!("\"{n}\":0")).collect();
        let node = parse(&format!("{{{}}}", members.join(","))).unwrap();
        assert_eq!(node.members().len(), 200_000);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("{", 1),
            ("{\n\"a\" 1}", 2),
            ("[1,\n\n]", 3),
            ("[1] x", 1),
            ("01", 1),
            ("-", 1),
            ("1.", 1),
            ("\"\n\"", 1),
            ("\"\\x\"", 1),
            ("\"\\u12g4\"", 1),
            ("tru", 1),
            ("{\"a\":1,\n\"a\":2}", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)).unwrap_err().what, "nested too deep");
    }

    #[test]
    fn comments_and_a_last_comma_pass_where_leniency_is_asked_for() {
        let text = "# head\n{\"a\": [1, 2,], # \"b\": 1\n \"c\": \"#\", \"a\": 3,\n}#end";
        let node = parse_lenient(text).unwrap();
        assert_eq!(node.to_string(), r##"{"c":"#","a":3}"##);
        assert_eq!(node.get("c").unwrap().line, 3);
        assert!(parse(text).is_err());
        for text in ["[1,,]", "[,]", "{,}", "{\"a\":1,,}", "[1] 2", "[1 #]", "#"] {
            assert!(parse_lenient(text).is_err(), "{text}");
        }
    }

    #[test]
    fn absent_members_are_left_out() {
        let text =
            ObjectWriter::new().optional("a", None).string("b", "x\n").raw("c", "1").finish();
        assert_eq!(text, r#"{"b":"x\n","c":1}"#);
        assert_eq!(ObjectWriter::new().finish(), "{}");
    }

    fn value() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| Value::Number(n.to_string())),
            any::<String>().prop_map(Value::String),
        ]
        .prop_map(|value| Node { line: 1, value });
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
            .prop_map(|value| Node { line: 1, value })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_comes_back(node in value()) {
            prop_assert_eq!(parse_lenient(&node.to_string()), Ok(node.clone()));
            prop_assert_eq!(parse(&node.to_string()), Ok(node));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = parse(&text);
            let _ = parse_lenient(&text);
        }
    }
}

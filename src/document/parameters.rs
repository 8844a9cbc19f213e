//! Filling `{{ name }}` in.
//!
//! A string that is one placeholder takes the value with its type, a list included; inside a
//! longer string the value becomes text. What has been filled in isn't looked at again, so a
//! value can't smuggle in another parameter. Placeholders without a parameter stay.

use super::limits;
use super::parse::Problem;
use stint_wire::json::{Node, Value};

/// The parameters of one run, by name: given ones, and defaults for the rest.
pub struct Parameters(Vec<(String, Node)>);

impl Parameters {
    /// From a document's `parameters` and what was given, and what is wrong with either. Given
    /// names that the document doesn't declare are passed over, as the original does. With nothing
    /// to be given yet, as when a document is only checked, parameters without a default are empty.
    pub fn new(declared: Option<&Node>, given: Option<&Node>) -> (Parameters, Vec<Problem>) {
        Parameters::read(declared, given, limits::is_reference)
    }

    /// The same where nobody fills in what refers to Parameter Store, so that every value is judged as
    /// it stands.
    #[cfg(feature = "session")]
    pub fn as_they_stand(
        declared: Option<&Node>,
        given: Option<&Node>,
    ) -> (Parameters, Vec<Problem>) {
        Parameters::read(declared, given, |_| false)
    }

    fn read(
        declared: Option<&Node>,
        given: Option<&Node>,
        is_judged_later: fn(&Node) -> bool,
    ) -> (Parameters, Vec<Problem>) {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (name, definition) in declared.map(Node::members).unwrap_or_default() {
            problems.extend(limits::of_definition(name, definition));
            let line = definition.line;
            let given_value = given.and_then(|given| given.get(name));
            let judge = if given_value.is_some() { limits::of_value } else { limits::of_default };
            match given_value.or_else(|| definition.get_any_case("default")) {
                Some(value) => {
                    let unquoted = limits::unquoted(definition, value);
                    let value = unquoted.as_ref().unwrap_or(value);
                    if !is_judged_later(value) {
                        problems.extend(judge(name, definition, value));
                    }
                    values.push((name.clone(), value.clone()));
                }
                None if given.is_none() => {
                    values.push((name.clone(), Node { line, value: Value::String(String::new()) }));
                }
                None => {
                    let what = format!("parameter {name} has no default and must be given");
                    problems.push(Problem { line, what });
                }
            }
        }
        (Parameters(values), problems)
    }

    /// Whether a parameter of that name is declared.
    pub fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// `node` with every placeholder in its values filled in; names of members stay.
    pub fn fill(&self, node: &Node) -> Node {
        let value = match &node.value {
            Value::String(text) => return self.fill_text(node.line, text),
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|element| self.fill(element)).collect())
            }
            Value::Object(members) => Value::Object(
                members.iter().map(|(name, node)| (name.clone(), self.fill(node))).collect(),
            ),
            other => other.clone(),
        };
        Node { line: node.line, value }
    }

    fn fill_text(&self, line: u32, text: &str) -> Node {
        if let Some((0, end, node)) = self.next_placeholder(text)
            && end == text.len()
        {
            return Node { line, value: node.value.clone() };
        }
        let (mut out, mut rest) = (String::new(), text);
        while let Some((start, end, node)) = self.next_placeholder(rest) {
            out.push_str(rest.get(..start).unwrap_or_default());
            match node.as_str() {
                Some(value) => out.push_str(value),
                None => out.push_str(&node.to_string()),
            }
            rest = rest.get(end..).unwrap_or_default();
        }
        out.push_str(rest);
        Node { line, value: Value::String(out) }
    }

    /// The first placeholder of a known parameter: where it starts and ends, and its value.
    fn next_placeholder(&self, text: &str) -> Option<(usize, usize, &Node)> {
        let mut from = 0;
        loop {
            let start = from + text.get(from..)?.find("{{")?;
            let inside = text.get(start + 2..)?;
            let length = inside.find("}}")?;
            let name = inside.get(..length)?.trim();
            if let Some((_, value)) = self.0.iter().find(|(known, _)| known == name) {
                return Some((start, start + 2 + length + 2, value));
            }
            from = start + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stint_wire::json;

    fn parameters() -> Parameters {
        let declared = r#"{"s":{"type":"String"},"l":{"type":"StringList"},"d":{"default":"std"},"n":{"default":3}}"#;
        let given = r#"{"s":"{{ d }}","l":["a","b"],"undeclared":"x"}"#;
        let (declared, given) = (json::parse(declared).unwrap(), json::parse(given).unwrap());
        Parameters::new(Some(&declared), Some(&given)).0
    }

    fn fill(text: &str) -> String {
        let node = Node { line: 1, value: Value::String(text.into()) };
        parameters().fill(&node).to_string()
    }

    #[test]
    fn a_lone_placeholder_takes_the_value_with_its_type() {
        assert_eq!(fill("{{ l }}"), r#"["a","b"]"#);
        assert_eq!(fill("{{n}}"), "3");
        assert_eq!(fill("{{\td\n}}"), r#""std""#);
    }

    #[test]
    fn maps_may_come_as_their_json_text() {
        let declared = r#"{"m":{"type":"StringMap"},"l":{"type":"MapList"},"s":{"type":"String"}}"#;
        let declared = json::parse(declared).unwrap();
        let given = r#"{"m":"{\"a\":\"b\"}","l":"[{\"a\":\"b\"}]","s":"{}"}"#;
        let (values, problems) =
            Parameters::new(Some(&declared), Some(&json::parse(given).unwrap()));
        assert_eq!(problems, []);
        let node = json::parse(r#"["{{ m }}","{{ l }}","{{ s }}"]"#).unwrap();
        assert_eq!(values.fill(&node).to_string(), r#"[{"a":"b"},[{"a":"b"}],"{}"]"#);
        for given in [r#"{"m":"[]","l":"[]","s":"x"}"#, r#"{"m":"{","l":"[]","s":"x"}"#] {
            let given = json::parse(given).unwrap();
            assert_eq!(Parameters::new(Some(&declared), Some(&given)).1.len(), 1);
        }
    }

    #[test]
    fn inside_text_a_value_becomes_text() {
        assert_eq!(fill("-{{ d }}-{{ n }}-"), r#""-std-3-""#);
        assert_eq!(fill("x {{ l }}"), r#""x [\"a\",\"b\"]""#);
    }

    #[test]
    fn what_was_filled_in_is_not_looked_at_again_and_unknown_names_stay() {
        assert_eq!(fill("{{ s }}"), r#""{{ d }}""#);
        assert_eq!(fill("a{{ s }}b"), r#""a{{ d }}b""#);
        for text in ["{{ undeclared }}", "{{ ssm:x }}", "{{", "{{}}", "}}{{"] {
            assert_eq!(fill(text), json::quote(text));
        }
        assert_eq!(fill("{{ x {{ d }}"), r#""{{ x std""#);
    }

    #[test]
    fn placeholders_are_found_at_every_depth_but_not_in_names() {
        let node = json::parse(r#"{"{{ d }}":[{"a":"{{ d }}"}]}"#).unwrap();
        assert_eq!(parameters().fill(&node).to_string(), r#"{"{{ d }}":[{"a":"std"}]}"#);
    }

    /// Any JSON value, of a few levels.
    fn any_value() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|number| Value::Number(number.to_string())),
            "[{}$ a-z<>&\"ä]{0,12}".prop_map(Value::String),
        ]
        .prop_map(|value| Node { line: 1, value });
        leaf.prop_recursive(3, 24, 4, |inner| {
            let names = "[{} a-z]{1,6}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map(names, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
            .prop_map(|value| Node { line: 1, value })
        })
    }

    fn with(value: Node) -> Parameters {
        Parameters(vec![("p".to_owned(), value)])
    }

    fn text(text: String) -> Node {
        Node { line: 1, value: Value::String(text) }
    }

    proptest! {
        #[test]
        fn text_without_placeholders_stays(text in "[^{]*") {
            prop_assert_eq!(fill(&text), json::quote(&text));
        }

        #[test]
        fn no_text_makes_the_filler_panic(text in "[{} a-zäd]*") {
            fill(&text);
        }

        #[test]
        fn a_lone_placeholder_is_its_value_whatever_that_is(value in any_value(), space in "[ \t\n]{0,3}") {
            let filled = with(value.clone()).fill(&text(format!("{{{{{space}p{space}}}}}")));
            prop_assert_eq!(filled.value, value.value);
        }

        #[test]
        fn text_around_a_placeholder_stays_and_the_value_is_not_looked_into(
            before in "[a-z$}]{1,8}", value in "[{} $p]{0,12}", after in "[a-z$ ]{0,8}",
        ) {
            let filled = with(text(value.clone())).fill(&text(format!("{before}{{{{ p }}}}{after}")));
            prop_assert_eq!(filled.value, Value::String(format!("{before}{value}{after}")));
        }

        #[test]
        fn inside_text_a_value_is_its_json(value in any_value()) {
            let filled = with(value.clone()).fill(&text("x{{p}}".into()));
            let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            prop_assert_eq!(filled.value, Value::String(format!("x{wanted}")));
        }

        #[test]
        fn without_parameters_nothing_changes(node in any_value()) {
            prop_assert_eq!(Parameters(Vec::new()).fill(&node), node);
        }

        #[test]
        fn names_of_members_and_the_number_of_elements_stay(node in any_value()) {
            let filled = with(text("v".into())).fill(&node);
            let names = |node: &Node| -> Vec<String> {
                node.members().iter().map(|(name, _)| name.clone()).collect()
            };
            prop_assert_eq!(names(&filled), names(&node));
            let count = |node: &Node| node.elements().map(<[Node]>::len);
            prop_assert_eq!(count(&filled), count(&node));
        }
    }
}

//! Parameters as they are typed: `name=value,value`, read by the types that the document declares.

use stint_wire::json::{self, Node, ObjectWriter};

/// Turns words of a command line into the JSON object of a job's parameters.
///
/// # Errors
/// A word isn't `name=value`, names a parameter that the document doesn't declare, or its value
/// isn't of the declared kind; in words for people.
pub fn given(words: &[String], declared: Option<&Node>) -> Result<String, String> {
    if let [word] = words
        && word.trim_start().starts_with('{')
    {
        let node = json::parse(word).map_err(|error| format!("the parameters: {error}"))?;
        for (name, _) in node.members() {
            find(name, declared)?;
        }
        return Ok(node.to_string());
    }
    let mut object = ObjectWriter::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("{word}: a parameter is given as name=value"));
        };
        let definition = find(name, declared)?;
        object = object.raw(name, &typed(name, value, definition)?);
    }
    Ok(object.finish())
}

fn find<'a>(name: &str, declared: Option<&'a Node>) -> Result<&'a Node, String> {
    declared.and_then(|declared| declared.get(name)).ok_or_else(|| {
        let known = declared.map(Node::members).unwrap_or_default();
        let known: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        let these = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("the document has no parameter {name}; it has {these}")
    })
}

fn typed(name: &str, value: &str, definition: &Node) -> Result<String, String> {
    let kind = definition.get_any_case("type").and_then(Node::as_str).unwrap_or("String");
    match kind {
        "String" => Ok(json::quote(value)),
        "StringList" if !value.trim_start().starts_with('[') => {
            let items: Vec<_> = value.split(',').map(json::quote).collect();
            Ok(format!("[{}]", items.join(",")))
        }
        _ => {
            let node = json::parse(value);
            let node =
                node.map_err(|error| format!("parameter {name}, {kind} as JSON: {error}"))?;
            Ok(node.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<String, String> {
        let declared = r#"{"s":{"type":"String"},"l":{"type":"StringList"},"n":{"type":"Integer"},
            "b":{"type":"Boolean"},"m":{"type":"StringMap"}}"#;
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        given(&words, Some(&json::parse(declared).unwrap()))
    }

    #[test]
    fn words_become_values_of_the_declared_types() {
        for (word, wanted) in [
            ("s=a,b=c", r#"{"s":"a,b=c"}"#),
            ("s=", r#"{"s":""}"#),
            ("l=a,b", r#"{"l":["a","b"]}"#),
            (r#"l=["a,b"]"#, r#"{"l":["a,b"]}"#),
            ("n=7", r#"{"n":7}"#),
            ("b=true", r#"{"b":true}"#),
            (r#"m={"x":"y"}"#, r#"{"m":{"x":"y"}}"#),
            (r#"{"s":"x"}"#, r#"{"s":"x"}"#),
        ] {
            assert_eq!(read(&[word]).unwrap(), wanted, "{word}");
        }
        assert_eq!(read(&[]).unwrap(), "{}");
        assert_eq!(read(&["s=1", "n=2"]).unwrap(), r#"{"s":"1","n":2}"#);
    }

    #[test]
    fn a_word_that_makes_no_sense_is_refused_with_the_remedy() {
        for (word, wanted) in [
            ("s", "given as name=value"),
            ("t=1", "has no parameter t; it has s, l, n, b, m"),
            ("n=x", "parameter n, Integer as JSON"),
            (r#"{"t":1}"#, "has no parameter t"),
            ("{", "the parameters:"),
        ] {
            let error = read(&[word]).unwrap_err();
            assert!(error.contains(wanted), "{word}: {error}");
        }
    }
}

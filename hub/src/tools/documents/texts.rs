//! Scalars of a YAML document that are texts whatever they look like.
//!
//! `default: 0755`, `allowedValues: [yes, no, 1.10]`, a line of a script that is `true` or empty:
//! the document wants the text as it was written, not the value that YAML makes of it.

use super::yaml::Read;
use serde_json::Value;

/// The value with the texts restored where documents have texts.
pub fn kept(read: Read) -> Value {
    let Read { mut value, plain } = read;
    for (pointer, text) in plain {
        // `~` and `null` say that there is nothing; an empty place says the same of a text.
        let written = !matches!(text.as_str(), "~" | "null" | "Null" | "NULL");
        let places: Vec<&str> = pointer.split('/').skip(1).collect();
        if written
            && wants_text(&places, &value)
            && let Some(place) = value.pointer_mut(&pointer)
        {
            *place = Value::String(text);
        }
    }
    value
}

fn wants_text(places: &[&str], document: &Value) -> bool {
    let kind = |name: &str| document.pointer(&format!("/parameters/{name}/type"))?.as_str();
    match places {
        ["schemaVersion" | "description" | "assumeRole"] => true,
        ["parameters", _, "type" | "description" | "allowedPattern" | "displayType"] => true,
        ["parameters", name, "default"] => kind(name) == Some("String"),
        ["parameters", name, "default", _] => kind(name) == Some("StringList"),
        ["parameters", name, "allowedValues", _] => {
            !matches!(kind(name), Some("Integer" | "Boolean"))
        }
        ["mainSteps", _, "name" | "action" | "description"] => true,
        ["mainSteps", _, "precondition", _, _] => true,
        ["mainSteps", _, "inputs", rest @ ..] | ["runtimeConfig", _, "properties", rest @ ..] => {
            let rest = match rest {
                // Schema 1.x has a list of them, or one.
                [at, rest @ ..] if at.bytes().all(|b| b.is_ascii_digit()) => rest,
                all => all,
            };
            matches!(rest, ["runCommand" | "workingDirectory"] | ["runCommand" | "environment", _])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use serde_json::json;

    #[test]
    fn texts_stay_as_they_were_written_and_numbers_are_numbers() {
        let text = "
schemaVersion: 2.2
description: 1.10
parameters:
  answer: {type: String, default: yes, allowedValues: [yes, no, 1.10, true]}
  mode: {type: String, default: 0755}
  empty: {type: String, default: }
  none: {type: String, default: ~}
  list: {type: StringList, default: [1, on, 2.50]}
  size: {type: Integer, default: 5, allowedValues: [5, 6]}
  flag: {type: Boolean, default: true}
  long: {type: String, minChars: 1}
mainSteps:
- action: aws:runShellScript
  name: 1
  precondition: {StringEquals: ['{{ answer }}', true]}
  inputs:
    timeoutSeconds: 60
    workingDirectory: 7
    environment: {A: 1, B: no}
    runCommand:
    - true
    -
    - 12
";
        let value = Format::Yaml.read(text).unwrap();
        assert_eq!(value["schemaVersion"], "2.2");
        assert_eq!(value["description"], "1.10");
        let parameters = &value["parameters"];
        assert_eq!(parameters["answer"]["default"], "yes");
        assert_eq!(parameters["answer"]["allowedValues"], json!(["yes", "no", "1.10", "true"]));
        assert_eq!(parameters["mode"]["default"], "0755");
        assert_eq!(parameters["empty"]["default"], "");
        assert_eq!(parameters["none"]["default"], json!(null));
        assert_eq!(parameters["list"]["default"], json!(["1", "on", "2.50"]));
        assert_eq!(parameters["size"]["allowedValues"], json!([5, 6]));
        assert_eq!(parameters["flag"]["default"], true);
        assert_eq!(parameters["long"]["minChars"], 1);
        let step = &value["mainSteps"][0];
        assert_eq!(step["name"], "1");
        assert_eq!(step["precondition"]["StringEquals"], json!(["{{ answer }}", "true"]));
        assert_eq!(
            step["inputs"],
            json!({"timeoutSeconds": 60, "workingDirectory": "7",
                   "environment": {"A": "1", "B": "no"}, "runCommand": ["true", "", "12"]})
        );
    }

    #[test]
    fn scripts_of_schema_1_are_texts_too() {
        let text = "
runtimeConfig:
  aws:runShellScript:
    properties:
    - id: 0.aws:runShellScript
      timeoutSeconds: 5
      runCommand: [true, 1]
";
        let value = Format::Yaml.read(text).unwrap();
        let properties = &value["runtimeConfig"]["aws:runShellScript"]["properties"][0];
        assert_eq!(properties["runCommand"], json!(["true", "1"]));
        assert_eq!(properties["timeoutSeconds"], 5);
    }
}

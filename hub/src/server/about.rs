//! What an operator's call was about, for the log: which node, command, document. Names and ids alone; never a
//! value, a parameter of a document, a code or a token.

use serde_json::Value;

/// Members of inputs that name what a call is about.
const GIVEN: [&str; 12] = [
    "ActivationId",
    "CommandId",
    "DocumentName",
    "InstanceId",
    "InstanceIds",
    "Name",
    "Names",
    "Path",
    "ResourceId",
    "SessionId",
    "Target",
    "Targets",
];

/// Members of answers that name what a call has made.
const MADE: [&str; 3] = ["ActivationId", "CommandId", "SessionId"];

/// So much of it is logged, bytes. A command for 50 nodes by id has more: its own record has them all, and what leads there
/// comes first.
const MOST: usize = 400;

/// `member=name` for each that is there, with a space between. The input has to fit the model: what doesn't may have
/// a secret in the wrong place.
pub fn about(input: &Value, answer: &Value) -> String {
    let command = answer.get("Command").unwrap_or(answer);
    let given = GIVEN.iter().map(|name| (name, input.get(name)));
    let made = MADE.iter().filter(|name| input.get(name).is_none());
    let made = made.map(|name| (name, command.get(name)));
    let mut words: Vec<String> = Vec::new();
    for (name, value) in made.chain(given) {
        if let Some(text) = value.and_then(text) {
            words.push(format!("{name}={text}"));
        }
    }
    let mut all = words.join(" ");
    all.truncate(all.floor_char_boundary(MOST));
    all
}

/// A text, texts, or targets: `tag:site=a,b`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().filter_map(text).collect();
            (!texts.is_empty()).then(|| texts.join(","))
        }
        Value::Object(target) => {
            let values = text(target.get("Values")?)?;
            Some(format!("{}={values}", target.get("Key")?.as_str()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_about_what_it_names_and_what_it_made() {
        let input = json!({
            "DocumentName": "AWS-RunShellScript", "InstanceIds": ["mi-1", "mi-2"],
            "Targets": [{"Key": "tag:site", "Values": ["lab", "roof"]}],
            "Parameters": {"commands": ["echo secret"]}, "Comment": "secret",
        });
        let answer = json!({"Command": {"CommandId": "c-1", "Parameters": "secret"}});
        let said = "CommandId=c-1 DocumentName=AWS-RunShellScript InstanceIds=mi-1,mi-2 \
                    Targets=tag:site=lab,roof";
        assert_eq!(about(&input, &answer), said);
        let input = json!({"Target": "mi-1", "Reason": "secret"});
        let answer = json!({"SessionId": "s-1", "TokenValue": "secret", "StreamUrl": "secret"});
        assert_eq!(about(&input, &answer), "SessionId=s-1 Target=mi-1");
        let input = json!({"IamRole": "edge", "DefaultInstanceName": "x"});
        let answer = json!({"ActivationId": "a-1", "ActivationCode": "secret"});
        assert_eq!(about(&input, &answer), "ActivationId=a-1");
        let input = json!({"Name": "/psk", "Value": "secret", "Type": "SecureString"});
        assert_eq!(about(&input, &json!({"Version": 1})), "Name=/psk");
        assert_eq!(
            about(&json!({"CommandId": "c-1"}), &json!({"CommandId": "c-1"})),
            "CommandId=c-1"
        );
    }

    #[test]
    fn it_is_bounded_and_odd_values_are_left_out() {
        let input =
            json!({"InstanceIds": vec!["é".repeat(20); 50], "Name": 7, "Targets": [{}, []]});
        let said = about(&input, &json!({"Command": {"CommandId": "c-1"}}));
        assert!(said.starts_with("CommandId=c-1 InstanceIds=é") && said.len() <= MOST, "{said}");
        assert_eq!(about(&json!({"Name": null, "Targets": [{"Key": "k"}]}), &Value::Null), "");
    }
}

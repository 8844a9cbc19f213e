//! Whether an answer fits its operation's shape.
//!
//! The AWS CLI silently drops what the model does not know and shows a missing member as absent,
//! so a mistake here would stay invisible in tests that only use the CLI. Tests and debug builds
//! check every answer.

use super::shapes::{Kind, MODEL, Model, Shape};
use super::validate::{constraints, has_type};
use serde_json::Value;

/// Codes that every operation may answer, whatever its own list says (AWS's common errors).
#[cfg(test)]
const COMMON_ERRORS: [&str; 6] = [
    "AccessDeniedException",
    "InternalServerError",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "ValidationException",
];

/// Shapes whose rules AWS's own answers break: a new activation has 0 registrations, where the
/// model's minimum is 1, and what was not given in SendCommand comes back as an empty text, where
/// the model has a minimum length or a list of words. Parameter Store's lists of what was not
/// valid are there when they are empty.
const EMPTY_IN_TRUTH: [&str; 7] = [
    "CloudWatchLogGroupName",
    "NotificationType",
    "ParameterLabelList",
    "ParameterNameList",
    "RegistrationsCount",
    "S3BucketName",
    "S3Region",
];

/// Shapes whose words AWS's own answers go beyond: its public documents declare parameters of type
/// StringMap and Boolean, where the model knows String and StringList alone, schema versions have up
/// to three parts, and steps may have names of less than four letters.
const MORE_IN_TRUTH: [&str; 3] =
    ["CommandPluginName", "DocumentParameterType", "DocumentSchemaVersion"];

/// Everything in `answer` that does not fit the output of `operation`, one line each with the
/// member's path. Empty is good. An operation that the model lacks has no rules.
pub fn check_output(operation: &str, answer: &Value) -> Vec<String> {
    let model = &*MODEL;
    let mut faults = Vec::new();
    match model.operations.get(operation).and_then(|o| model.shapes.get(&o.output)) {
        Some(shape) => walk(model, operation, answer, shape, &mut faults),
        None => faults.push(format!("{operation} is not in the model")),
    }
    faults
}

/// Whether `operation` may answer `code`.
#[cfg(test)]
pub fn check_error(operation: &str, code: &str) -> bool {
    COMMON_ERRORS.contains(&code)
        || MODEL.operations.get(operation).is_some_and(|o| o.errors.iter().any(|e| e == code))
}

fn is_empty(value: &Value) -> bool {
    value.as_str() == Some("")
        || value.as_u64() == Some(0)
        || value.as_array().is_some_and(Vec::is_empty)
}

fn walk(model: &Model, path: &str, value: &Value, shape: &Shape, faults: &mut Vec<String>) {
    if !has_type(value, shape.kind) {
        faults.push(format!("{path} is no {:?}: {value}", shape.kind));
        return;
    }
    faults.extend(constraints(value, shape).into_iter().map(|rule| format!("{path}: {rule}")));
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(members)) => {
            for (name, member) in members {
                let known = shape.members.get(name).and_then(Value::as_str);
                match known.and_then(|name| model.shapes.get(name).map(|shape| (name, shape))) {
                    Some((name, _)) if EMPTY_IN_TRUTH.contains(&name) && is_empty(member) => {}
                    Some((name, _)) if MORE_IN_TRUTH.contains(&name) && member.is_string() => {}
                    Some((_, shape)) => {
                        walk(model, &format!("{path}.{name}"), member, shape, faults);
                    }
                    None => faults.push(format!("{path}.{name} is not in the model")),
                }
            }
            for name in shape.required.iter().filter(|name| !members.contains_key(*name)) {
                faults.push(format!("{path}.{name} is missing"));
            }
        }
        (Kind::List, Value::Array(items)) => {
            let Some(member) = shape.member.as_ref().and_then(|m| model.shapes.get(m)) else {
                return;
            };
            for (at, item) in items.iter().enumerate() {
                walk(model, &format!("{path}[{at}]"), item, member, faults);
            }
        }
        (Kind::Map, Value::Object(entries)) => {
            let Some(member) = shape.value.as_ref().and_then(|m| model.shapes.get(m)) else {
                return;
            };
            for (key, item) in entries {
                walk(model, &format!("{path}[{key}]"), item, member, faults);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_that_clients_would_silently_misread_is_found() {
        for (answer, fault) in [
            (json!({"Colour": 1}), "ListCommands.Colour is not in the model"),
            (json!({"Commands": null}), "ListCommands.Commands is no List: null"),
            (
                json!({"Commands": [{"Status": "Done"}]}),
                "ListCommands.Commands[0].Status: Member must satisfy enum value set: [Pending, \
                 InProgress, Success, Cancelled, Failed, TimedOut, Cancelling]",
            ),
            (
                json!({"Commands": [{"RequestedDateTime": "2026-11-22T08:00:00Z"}]}),
                "ListCommands.Commands[0].RequestedDateTime is no Timestamp: \
                 \"2026-11-22T08:00:00Z\"",
            ),
            (
                json!({"Commands": [{"NotificationConfig": {"NotificationEvents": ["Sun"]}}]}),
                "ListCommands.Commands[0].NotificationConfig.NotificationEvents[0]: Member must \
                 satisfy enum value set: [All, InProgress, Success, TimedOut, Cancelled, Failed]",
            ),
        ] {
            assert_eq!(check_output("ListCommands", &answer), [fault]);
        }
        let tags = json!({"TagList": [{"Key": "site"}]});
        assert_eq!(
            check_output("ListTagsForResource", &tags),
            ["ListTagsForResource.TagList[0].Value is missing"]
        );
        assert!(check_output("ListCommands", &json!({"Commands": []})).is_empty());
    }

    #[test]
    fn each_operation_has_its_own_errors_and_the_common_ones() {
        assert!(check_error("SendCommand", "DuplicateInstanceId"));
        assert!(check_error("SendCommand", "ValidationException"));
        assert!(!check_error("SendCommand", "InvalidNextToken"));
    }
}

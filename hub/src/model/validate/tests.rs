//! The words of each refusal, and that nothing a client sends can break the checker.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn refusal(operation: &str, input: Value) -> (String, String) {
    let error = validate_input(operation, &input).expect_err("refused");
    (error.code.to_owned(), error.message)
}

#[test]
fn each_broken_rule_is_told_in_the_words_of_aws() {
    let node = "mi-0123456789abcdef0";
    let command = "4f7c1d0e-5b2a-4c39-9d57-0a6be2f3c811";
    for (operation, input, expected) in [
        (
            "GetCommandInvocation",
            json!({"CommandId": format!("{command}0"), "InstanceId": node}),
            "1 validation error detected: Value '4f7c1d0e-5b2a-4c39-9d57-0a6be2f3c8110' at 'commandId' failed to satisfy constraint: Member must have length less than or equal to 36",
        ),
        (
            "SendCommand",
            json!({"InstanceIds": [node]}),
            "1 validation error detected: Value null at 'documentName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "SendCommand",
            json!({"DocumentName": "a", "InstanceIds": ["bogus"]}),
            "2 validation errors detected: Value '[bogus]' at 'instanceIds' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern: (^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)]; Value 'a' at 'documentName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_\\-.:/]{3,128}$",
        ),
        (
            "SendCommand",
            json!({"DocumentName": "AWS-RunShellScript", "TimeoutSeconds": 29}),
            "1 validation error detected: Value '29' at 'timeoutSeconds' failed to satisfy constraint: Member must have value greater than or equal to 30",
        ),
        (
            "AddTagsToResource",
            json!({"ResourceType": "Toaster", "ResourceId": "x", "Tags": [{"Key": "", "Value": "v"}]}),
            "2 validation errors detected: Value 'Toaster' at 'resourceType' failed to satisfy constraint: Member must satisfy enum value set: [Document, ManagedInstance, MaintenanceWindow, Parameter, PatchBaseline, OpsItem, OpsMetadata, Automation, Association, CloudConnector]; Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "ListCommands",
            json!({"Filters": []}),
            "1 validation error detected: Value '[]' at 'filters' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
    ] {
        assert_eq!(refusal(operation, input), ("ValidationException".into(), expected.into()));
    }
}

#[test]
fn a_wrong_json_type_is_a_serialization_exception_that_names_the_place() {
    for (input, place) in [
        (json!({"CommandId": 7, "InstanceId": "mi-1"}), "NUMBER_VALUE at 'commandId'"),
        (json!([]), "LIST_VALUE at the request"),
        (json!({"CommandId": ["x"], "InstanceId": "mi-1"}), "LIST_VALUE at 'commandId'"),
    ] {
        let (code, message) = refusal("GetCommandInvocation", input);
        assert_eq!(code, "SerializationException");
        assert!(message.contains(place), "{message}");
    }
    let (code, message) = refusal(
        "SendCommand",
        json!({"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": "uptime"}}),
    );
    assert_eq!(code, "SerializationException");
    assert!(message.contains("STRING_VALUE at 'parameters.commands.member'"), "{message}");
}

#[test]
fn unknown_members_and_nulls_are_ignored() {
    let input = json!({"DocumentName": "AWS-RunShellScript", "Comment": null, "Colour": 7});
    assert!(validate_input("SendCommand", &input).is_ok());
}

#[test]
fn a_refused_value_is_repeated_only_in_part() {
    let (_, message) = refusal(
        "SendCommand",
        json!({"DocumentName": "AWS-RunShellScript", "Comment": "é".repeat(100_000)}),
    );
    assert!(message.len() < 1000, "{}", message.len());
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((member_name(), inner), 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn member_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "InstanceIds",
        "Targets",
        "Key",
        "Values",
        "Parameters",
        "Tags",
        "Filters",
        "Comment",
        "DocumentName",
        "NotificationConfig",
        "MaxErrors",
        "TimeoutSeconds",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn no_input_makes_the_checker_panic(input in anything()) {
        for operation in ["SendCommand", "AddTagsToResource", "DescribeInstanceInformation"] {
            let _ = validate_input(operation, &input);
        }
    }
}

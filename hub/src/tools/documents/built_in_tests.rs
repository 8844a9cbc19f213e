//! The documents that come with the hub, as operators see them.

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

const NAME: &str = "AWS-RunShellScript";

#[tokio::test]
async fn the_shell_script_document_is_there_in_json_and_yaml() {
    let bed = Testbed::new().await;
    for name in [NAME, "arn:aws:ssm:us-east-1::document/AWS-RunShellScript"] {
        let json = bed.ok("GetDocument", json!({"Name": name})).await;
        let content: Value = serde_json::from_str(json["Content"].as_str().unwrap()).unwrap();
        assert_eq!(content["schemaVersion"], "1.2");
    }
    let yaml = bed.ok("GetDocument", json!({"Name": NAME, "DocumentFormat": "YAML"})).await;
    assert!(yaml["Content"].as_str().unwrap().starts_with("\"schemaVersion\": \"1.2\"\n"));
}

#[tokio::test]
async fn a_document_is_described_with_its_parameters() {
    let bed = Testbed::new().await;
    let answer = bed.ok("DescribeDocument", json!({"Name": NAME})).await;
    let document = &answer["Document"];
    assert_eq!(document["SchemaVersion"], "1.2");
    let names: Vec<&str> = document["Parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["commands", "workingDirectory", "executionTimeout"]);
    assert_eq!(document["Parameters"][2]["DefaultValue"], "3600");
}

#[tokio::test]
async fn every_built_in_document_is_shown_and_described() {
    let bed = Testbed::new().await;
    for document in super::built_in::all() {
        bed.ok("GetDocument", json!({"Name": document.summary.name})).await;
        let answer = bed.ok("DescribeDocument", json!({"Name": document.summary.name})).await;
        assert!(!answer["Document"]["PlatformTypes"].as_array().unwrap().is_empty());
    }
}

/// The hub wants a pattern to match the whole value and devices search for it, as their originals do.
#[test]
fn the_patterns_of_built_in_documents_mean_the_same_to_the_hub_and_to_devices() {
    let mut count = 0;
    for document in super::built_in::all() {
        let parameters = document.content.value()["parameters"].as_object();
        for (name, declared) in parameters.into_iter().flatten() {
            let Some(pattern) = declared["allowedPattern"].as_str() else { continue };
            let inner = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
            let single = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
            assert!(
                inner.is_some() || single.is_some_and(|text| !text.contains('|')),
                "{}: {name}: {pattern}",
                document.summary.name
            );
            count += 1;
        }
    }
    assert!(count > 10);
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    for operation in ["GetDocument", "DescribeDocument"] {
        for (input, code) in [
            (json!({"Name": "AWS-Nothing"}), "InvalidDocument"),
            (json!({"Name": "no"}), "ValidationException"),
            (json!({"Name": NAME, "DocumentVersion": "2"}), "InvalidDocumentVersion"),
            (json!({"Name": NAME, "VersionName": "blue"}), "InvalidDocumentVersion"),
            (json!({"Name": NAME, "DocumentVersion": "first"}), "ValidationException"),
        ] {
            assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
        }
    }
    let text = json!({"Name": NAME, "DocumentFormat": "TEXT"});
    assert_eq!(bed.code("GetDocument", text).await, "ValidationException");
}

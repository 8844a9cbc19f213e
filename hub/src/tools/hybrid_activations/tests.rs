//! What an operator sees of activations.

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

async fn create(bed: &Testbed, role: &str) -> String {
    let input = json!({"IamRole": role, "DefaultInstanceName": "edge", "Tags": [{"Key": "site", "Value": "lab"}]});
    bed.ok("CreateActivation", input).await["ActivationId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_code_is_shown_once_and_only_its_hash_is_kept() {
    let bed = Testbed::new().await;
    let made = bed.ok("CreateActivation", json!({"IamRole": "EdgeRole"})).await;
    let code = made["ActivationCode"].as_str().unwrap();
    let (hash,): (String,) = sqlx::query_as("SELECT code_hash FROM activation")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    assert_eq!(hash, stint_wire::text::sha256_hex(code.as_bytes()));
    let shown = bed.ok("DescribeActivations", json!({})).await;
    assert!(!shown.to_string().contains(code));
}

#[tokio::test]
async fn an_activation_is_described_with_its_defaults_and_tags() {
    let bed = Testbed::new().await;
    let id = create(&bed, "EdgeRole").await;
    let list = bed.ok("DescribeActivations", json!({})).await;
    let one = &list["ActivationList"][0];
    assert_eq!(one["ActivationId"], json!(id));
    assert_eq!(one["RegistrationLimit"], 1);
    assert_eq!(one["RegistrationsCount"], 0);
    assert_eq!(one["Expired"], false);
    assert_eq!(one["Tags"], json!([{"Key": "site", "Value": "lab"}]));
    let life = one["ExpirationDate"].as_f64().unwrap() - one["CreatedDate"].as_f64().unwrap();
    assert_eq!(life.round(), 86_400.0);
}

#[tokio::test]
async fn activations_are_filtered_and_paged() {
    let bed = Testbed::new().await;
    let mut made = Vec::new();
    for role in ["A", "B", "A", "A", "B"] {
        made.push(create(&bed, role).await);
    }
    let of_a = json!({"Filters": [{"FilterKey": "IamRole", "FilterValues": ["A", "C"]}]});
    assert_eq!(ids(&bed.ok("DescribeActivations", of_a).await).len(), 3);
    let one = json!({"Filters": [{"FilterKey": "ActivationIds", "FilterValues": [made[0]]}, {"FilterKey": "IamRole", "FilterValues": ["B"]}]});
    assert!(ids(&bed.ok("DescribeActivations", one).await).is_empty());

    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let page =
            bed.ok("DescribeActivations", json!({"MaxResults": 2, "NextToken": token})).await;
        seen.extend(ids(&page));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
}

fn ids(page: &Value) -> Vec<String> {
    let list = page["ActivationList"].as_array().unwrap();
    list.iter().map(|a| a["ActivationId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_deleted_activation_is_gone_and_can_not_be_deleted_again() {
    let bed = Testbed::new().await;
    let id = create(&bed, "EdgeRole").await;
    let input = json!({"ActivationId": id});
    assert_eq!(bed.ok("DeleteActivation", input.clone()).await, json!({}));
    assert_eq!(bed.code("DeleteActivation", input).await, "InvalidActivation");
    assert!(ids(&bed.ok("DescribeActivations", json!({})).await).is_empty());
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    let tag = |key: &str| json!({"IamRole": "E", "Tags": [{"Key": key, "Value": "v"}]});
    for (operation, input, code) in [
        ("CreateActivation", json!({}), "ValidationException"),
        (
            "CreateActivation",
            json!({"IamRole": "E", "RegistrationLimit": 1001}),
            "ValidationException",
        ),
        (
            "CreateActivation",
            json!({"IamRole": "E", "RegistrationLimit": 0}),
            "ValidationException",
        ),
        (
            "CreateActivation",
            json!({"IamRole": "E", "RegistrationLimit": "5"}),
            "SerializationException",
        ),
        ("CreateActivation", json!({"IamRole": "E", "ExpirationDate": 1000}), "InvalidParameters"),
        ("CreateActivation", tag("aws:x"), "InvalidParameters"),
        ("DeleteActivation", json!({"ActivationId": "x"}), "ValidationException"),
        ("DescribeActivations", json!({"MaxResults": 51}), "ValidationException"),
        ("DescribeActivations", json!({"NextToken": "garbage"}), "InvalidNextToken"),
        ("DescribeActivations", json!({"Filters": [{"FilterValues": ["x"]}]}), "InvalidFilter"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
}

//! Tags as operators use them.

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

fn of(node: &str) -> Value {
    json!({"ResourceType": "ManagedInstance", "ResourceId": node})
}

fn with(node: &str, member: &str, value: Value) -> Value {
    let mut input = of(node);
    input[member] = value;
    input
}

#[tokio::test]
async fn tags_are_added_replaced_listed_and_removed() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let first = json!([{"Key": "site", "Value": "lab"}, {"Key": "role", "Value": ""}]);
    assert_eq!(bed.ok("AddTagsToResource", with(&node, "Tags", first)).await, json!({}));
    let second = json!([{"Key": "site", "Value": "field"}]);
    bed.ok("AddTagsToResource", with(&node, "Tags", second)).await;
    assert_eq!(
        bed.ok("ListTagsForResource", of(&node)).await,
        json!({"TagList": [{"Key": "role", "Value": ""}, {"Key": "site", "Value": "field"}]})
    );
    let keys = json!(["role", "never-there"]);
    bed.ok("RemoveTagsFromResource", with(&node, "TagKeys", keys)).await;
    let left = bed.ok("ListTagsForResource", of(&node)).await;
    assert_eq!(left["TagList"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_fifty_first_tag_is_refused_and_changes_nothing() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let many = |from: usize, to: usize| -> Value {
        (from..to).map(|n| json!({"Key": format!("k{n}"), "Value": "v"})).collect()
    };
    bed.ok("AddTagsToResource", with(&node, "Tags", many(0, 49))).await;
    let input = with(&node, "Tags", many(49, 51));
    assert_eq!(bed.code("AddTagsToResource", input).await, "TooManyTagsError");
    let left = bed.ok("ListTagsForResource", of(&node)).await;
    assert_eq!(left["TagList"].as_array().unwrap().len(), 49);
    bed.ok("AddTagsToResource", with(&node, "Tags", many(0, 50))).await;
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let tag = |key: &str| json!([{"Key": key, "Value": "v"}]);
    let document = json!({"ResourceType": "Document", "ResourceId": "x", "Tags": tag("k")});
    for (operation, input, code) in [
        ("AddTagsToResource", with("mi-00000000000000000", "Tags", tag("k")), "InvalidResourceId"),
        ("AddTagsToResource", document, "InvalidResourceId"),
        ("AddTagsToResource", with(&node, "Tags", tag("aws:k")), "ValidationException"),
        ("AddTagsToResource", with(&node, "Tags", tag("k&")), "ValidationException"),
        ("AddTagsToResource", of(&node), "ValidationException"),
        ("ListTagsForResource", of("mi-00000000000000000"), "InvalidResourceId"),
        ("RemoveTagsFromResource", with("x", "TagKeys", json!(["k"])), "InvalidResourceId"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
}

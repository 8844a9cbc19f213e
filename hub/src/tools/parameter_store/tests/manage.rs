//! Labels, deletion, tags, and what policies do in time.

use super::*;
use crate::schedule;
use stint_wire::time::Utc;

async fn label(bed: &Testbed, version: i64, labels: &[&str]) -> Value {
    let input = json!({"Name": "/p", "ParameterVersion": version, "Labels": labels});
    bed.ok("LabelParameterVersion", input).await
}

#[tokio::test]
async fn a_label_moves_and_one_that_can_not_be_is_listed() {
    let bed = Testbed::new().await;
    put(&bed, "/p", "one", json!({})).await;
    overwrite(&bed, "/p", "two").await;
    let answer = label(&bed, 1, &["prod", "1st", "awsome", "a b"]).await;
    let invalid = json!(["1st", "awsome", "a b"]);
    assert_eq!(answer, json!({"InvalidLabels": invalid, "ParameterVersion": 1}));
    assert_eq!(value(&bed, "/p:prod").await, "one");
    let latest = bed.ok("LabelParameterVersion", json!({"Name": "/p", "Labels": ["prod"]})).await;
    assert_eq!(latest["ParameterVersion"], 2);
    assert_eq!(value(&bed, "/p:prod").await, "two");
    let unlabel = |version: i64| json!({"Name": "/p", "ParameterVersion": version, "Labels": ["prod", "none"]});
    let elsewhere = bed.ok("UnlabelParameterVersion", unlabel(1)).await;
    assert_eq!(elsewhere, json!({"RemovedLabels": [], "InvalidLabels": ["prod", "none"]}));
    let removed = bed.ok("UnlabelParameterVersion", unlabel(2)).await;
    assert_eq!(removed, json!({"RemovedLabels": ["prod"], "InvalidLabels": ["none"]}));
    assert_eq!(
        bed.code("GetParameter", json!({"Name": "/p:prod"})).await,
        "ParameterVersionNotFound"
    );
}

#[tokio::test]
async fn a_version_has_ten_labels_and_an_eleventh_changes_nothing() {
    let bed = Testbed::new().await;
    put(&bed, "/p", "one", json!({})).await;
    overwrite(&bed, "/p", "two").await;
    let ten: Vec<String> = (0..10).map(|n| format!("l{n}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    label(&bed, 1, &ten).await;
    label(&bed, 1, &ten).await;
    label(&bed, 2, &["other"]).await;
    let eleventh = json!({"Name": "/p", "ParameterVersion": 1, "Labels": ["other"]});
    let code = bed.code("LabelParameterVersion", eleventh).await;
    assert_eq!(code, "ParameterVersionLabelLimitExceeded");
    assert_eq!(value(&bed, "/p:other").await, "two");
    for (name, version, code) in
        [("/p", 9, "ParameterVersionNotFound"), ("/none", 1, "ParameterNotFound")]
    {
        for operation in ["LabelParameterVersion", "UnlabelParameterVersion"] {
            let input = json!({"Name": name, "ParameterVersion": version, "Labels": ["x"]});
            assert_eq!(bed.code(operation, input).await, code, "{operation}");
        }
    }
}

#[tokio::test]
async fn a_deleted_parameter_leaves_nothing_behind() {
    let bed = Testbed::new().await;
    let tags = json!([{"Key": "site", "Value": "lab"}]);
    put(&bed, "/p", "one", json!({"Tags": tags})).await;
    label(&bed, 1, &["prod"]).await;
    let resource = json!({"ResourceType": "Parameter", "ResourceId": "/p"});
    assert_eq!(bed.ok("ListTagsForResource", resource.clone()).await["TagList"], tags);
    bed.ok("DeleteParameter", json!({"Name": " /p "})).await;
    assert_eq!(bed.code("DeleteParameter", json!({"Name": "/p"})).await, "ParameterNotFound");
    assert_eq!(bed.code("ListTagsForResource", resource.clone()).await, "InvalidResourceId");
    put(&bed, "/p", "new", json!({})).await;
    assert_eq!(bed.ok("ListTagsForResource", resource).await["TagList"], json!([]));
    assert_eq!(
        bed.code("GetParameter", json!({"Name": "/p:prod"})).await,
        "ParameterVersionNotFound"
    );
    put(&bed, "q", "x", json!({})).await;
    let several = bed.ok("DeleteParameters", json!({"Names": ["q", "none", "/p", "q"]})).await;
    assert_eq!(several, json!({"DeletedParameters": ["q", "/p"], "InvalidParameters": ["none"]}));
}

#[tokio::test]
async fn a_parameter_expires_and_its_notices_are_finished_before() {
    let bed = Testbed::new().await;
    let (now, hour) = (bed.app.now(), 3_600_000);
    let policy = |kind: &str, attributes: Value| json!({"Type": kind, "Version": "1.0", "Attributes": attributes});
    let policies = json!([
        policy("Expiration", json!({"Timestamp": Utc(now.0 + 72 * hour).iso()})),
        policy("ExpirationNotification", json!({"Before": "1", "Unit": "Days"})),
        policy("NoChangeNotification", json!({"After": "30", "Unit": "Hours"})),
    ]);
    let more = json!({"Tier": "Advanced", "Policies": policies.to_string()});
    put(&bed, "/p", "one", more).await;
    put(&bed, "/q", "stays", json!({})).await;
    let states = async || -> Vec<String> {
        let described = bed.ok("DescribeParameters", json!({})).await;
        let policies = described["Parameters"][0]["Policies"].as_array().unwrap().clone();
        policies.iter().map(|p| p["PolicyStatus"].as_str().unwrap().to_owned()).collect()
    };
    let run = async |hours: u64| {
        schedule::parameters::run(&bed.app, Utc(now.0 + hours * hour)).await.unwrap();
    };
    assert_eq!(states().await, ["Pending", "Pending", "Pending"]);
    run(31).await;
    assert_eq!(states().await, ["Pending", "Pending", "Finished"]);
    // A new version keeps the policies, and the wait for a change begins again.
    overwrite(&bed, "/p", "two").await;
    assert_eq!(states().await, ["Pending", "Pending", "Pending"]);
    run(49).await;
    assert_eq!(states().await, ["Pending", "Finished", "Finished"]);
    run(71).await;
    assert_eq!(value(&bed, "/p").await, "two");
    run(73).await;
    assert_eq!(bed.code("GetParameter", json!({"Name": "/p"})).await, "ParameterNotFound");
    assert_eq!(value(&bed, "/q").await, "stays");
}

#[tokio::test]
async fn an_empty_list_takes_the_policies_away() {
    let bed = Testbed::new().await;
    let after = json!({"After": "1", "Unit": "Days"});
    let policies = json!([{"Type": "NoChangeNotification", "Version": "1.0", "Attributes": after}])
        .to_string();
    put(&bed, "/p", "one", json!({"Tier": "Advanced", "Policies": policies})).await;
    let none = json!({"Name": "/p", "Value": "two", "Overwrite": true, "Policies": "[]"});
    bed.ok("PutParameter", none).await;
    let history = bed.ok("GetParameterHistory", json!({"Name": "/p"})).await;
    assert_eq!(history["Parameters"][0]["Policies"].as_array().unwrap().len(), 1);
    assert_eq!(history["Parameters"][1]["Policies"], json!([]));
    let due: Option<i64> = sqlx::query_scalar("SELECT policy_due_at FROM parameter")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    assert_eq!(due, None);
}

//! GetParameter and GetParameters, of operators and of nodes.

use super::*;
use crate::auth::identity::NodeCaller;
use crate::auth::roles::{self, Rule};
use crate::auth::seal::Seal;
use crate::error::ApiResult;
use crate::nodes;
use stint_wire::time::Utc;

async fn allow(bed: &Testbed, role: &str, name: &str, patterns: &[&str], conditions: &[&str]) {
    let texts = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
    let rule = Rule::parse(role, name, &texts(patterns), &texts(conditions)).unwrap();
    roles::put(&bed.app.store, &rule, Utc(0)).await.unwrap();
}

/// A call of a node, whose answer fits the model.
async fn by_node(bed: &Testbed, node: &str, operation: &str, input: Value) -> ApiResult<Value> {
    let caller = NodeCaller { id: node.to_owned(), region: "eu-west-1".to_owned() };
    let answer = nodes::call(&bed.app, &caller, operation, &input).await?;
    let faults = crate::model::check_output(operation, &answer);
    assert!(faults.is_empty(), "{faults:?}");
    Ok(answer)
}

async fn node_reads(bed: &Testbed, node: &str, name: &str) -> Result<String, String> {
    let input = json!({"Names": [name], "WithDecryption": true});
    let answer = by_node(bed, node, "GetParameters", input).await.map_err(|e| e.to_string())?;
    Ok(answer["Parameters"][0]["Value"].as_str().unwrap_or("not there").to_owned())
}

#[tokio::test]
async fn a_parameter_is_found_by_name_version_label_and_arn() {
    let bed = Testbed::new().await;
    put(&bed, "/edge/port", "80", json!({})).await;
    overwrite(&bed, "/edge/port", "81").await;
    put(&bed, "port", "82", json!({})).await;
    put(&bed, "/slash", "83", json!({})).await;
    bed.sql(
        "INSERT INTO parameter_label (name, label, version) VALUES ('/edge/port', 'prod', 1)",
        &[],
    )
    .await;
    let arn = |rest: &str| format!("arn:aws:ssm:eu-central-1:123456789012:parameter/{rest}");
    for (reference, expected) in [
        ("/edge/port", "81"),
        (" /edge/port ", "81"),
        ("/edge/port:1", "80"),
        ("/edge/port:prod", "80"),
        (&arn("edge/port"), "81"),
        (&arn("edge/port:prod"), "80"),
        (&arn("port"), "82"),
        (&arn("slash"), "83"),
    ] {
        assert_eq!(value(&bed, reference).await, expected, "{reference}");
    }
    let shown = bed.ok("GetParameter", json!({"Name": "/edge/port:prod"})).await;
    assert_eq!(shown["Parameter"]["Selector"], ":prod");
    assert_eq!(shown["Parameter"]["ARN"], json!(arn("edge/port")));
    for (reference, code) in [
        ("/edge/none", "ParameterNotFound"),
        ("/edge/port:7", "ParameterVersionNotFound"),
        ("/edge/port:none", "ParameterVersionNotFound"),
        ("arn:aws:ssm:r:999999999999:parameter/port", "ParameterNotFound"),
        ("/edge/", "ValidationException"),
    ] {
        assert_eq!(bed.code("GetParameter", json!({"Name": reference})).await, code, "{reference}");
    }
}

#[tokio::test]
async fn several_are_answered_by_name_and_those_that_are_not_there_are_listed() {
    let bed = Testbed::new().await;
    put(&bed, "b", "2", json!({})).await;
    put(&bed, "a", "1", json!({"Type": "StringList"})).await;
    let names = json!(["b", "x", "a:1", "a:9", "b", "not a name"]);
    let answer = bed.ok("GetParameters", json!({"Names": names})).await;
    let values: Vec<&str> = answer["Parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["Value"].as_str().unwrap())
        .collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(answer["Parameters"][0]["Selector"], ":1");
    assert_eq!(answer["InvalidParameters"], json!(["x", "a:9", "not a name"]));
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    assert_eq!(bed.code("GetParameters", json!({"Names": eleven})).await, "ValidationException");
}

#[tokio::test]
async fn a_secure_string_is_shown_in_the_clear_only_when_asked() {
    let bed = Testbed::new().await;
    put(&bed, "/psk", "s3cret-1", secure()).await;
    let kept: String = sqlx::query_scalar("SELECT value FROM parameter_version")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    assert!(!kept.contains("s3cret"));
    for input in [json!({"Name": "/psk"}), json!({"Name": "/psk", "WithDecryption": false})] {
        let shown = bed.ok("GetParameter", input).await;
        assert_eq!(shown["Parameter"]["Value"], json!(kept));
    }
    assert_eq!(value(&bed, "/psk").await, "s3cret-1");
}

#[tokio::test]
async fn a_moved_row_and_a_wrong_master_key_are_told() {
    let mut bed = Testbed::new().await;
    put(&bed, "/a", "secret a", secure()).await;
    put(&bed, "/b", "secret b", secure()).await;
    let read = json!({"Name": "/b", "WithDecryption": true});
    let master = std::mem::replace(&mut bed.app.seal, Seal::new([9; 32]));
    let error = bed.call("GetParameter", read.clone()).await.unwrap_err();
    assert_eq!(error.code, "InvalidKeyId");
    assert!(error.message.contains("master key"), "{error}");
    bed.app.seal = master;
    bed.sql(
        "UPDATE parameter_version SET value =
           (SELECT value FROM parameter_version WHERE name = '/a') WHERE name = '/b'",
        &[],
    )
    .await;
    let error = bed.call("GetParameter", read).await.unwrap_err();
    assert_eq!(error.code, "InvalidKeyId");
    assert!(error.message.contains("moved") && error.message.contains("/b"), "{error}");
    assert_eq!(value(&bed, "/a").await, "secret a");
}

#[tokio::test]
async fn a_node_reads_nothing_until_a_rule_of_its_role_allows_it() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[("site", "berlin")]).await;
    put(&bed, "/fleet/psk", "s3cret", secure()).await;
    put(&bed, "/other", "x", json!({})).await;
    // Whether the parameter is there makes no difference.
    for name in ["/fleet/psk", "/fleet/none", "/fleet/psk:1", "/fleet/psk:none"] {
        let refused = node_reads(&bed, &node, name).await.unwrap_err();
        let path = name.split(':').next().unwrap();
        for part in [
            "AccessDeniedException",
            &format!("assumed-role/EdgeRole/{node}"),
            &format!("arn:aws:ssm:eu-west-1:123456789012:parameter{path}"),
        ] {
            assert!(refused.contains(part), "{refused}");
        }
    }
    allow(&bed, "OtherRole", "default", &["/fleet/*"], &[]).await;
    allow(&bed, "EdgeRole", "bern", &["*"], &["tag:site=bern"]).await;
    assert!(node_reads(&bed, &node, "/fleet/psk").await.is_err());
    allow(&bed, "EdgeRole", "default", &["/fleet/*"], &["tag:site=berlin"]).await;
    assert_eq!(node_reads(&bed, &node, "/fleet/psk").await.unwrap(), "s3cret");
    assert_eq!(node_reads(&bed, &node, "/fleet/none").await.unwrap(), "not there");
    assert!(node_reads(&bed, &node, "/other").await.is_err());
    let both = json!({"Names": ["/fleet/psk", "/other"]});
    let code = by_node(&bed, &node, "GetParameters", both).await.unwrap_err().code;
    assert_eq!(code, "AccessDeniedException");
    let tag = json!({"ResourceType": "ManagedInstance", "ResourceId": node, "TagKeys": ["site"]});
    bed.ok("RemoveTagsFromResource", tag).await;
    assert!(node_reads(&bed, &node, "/fleet/psk").await.is_err());
}

#[tokio::test]
async fn one_rule_gives_each_node_and_each_site_its_own() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[("site", "berlin")]).await, bed.node(2, &[]).await);
    allow(&bed, "*", "own", &["/node/{node}/*", "/site/{tag:site}/*"], &[]).await;
    let own = format!("/node/{one}/psk");
    put(&bed, &own, "mine", secure()).await;
    put(&bed, "/site/berlin/broker", "b", json!({})).await;
    assert_eq!(node_reads(&bed, &one, &own).await.unwrap(), "mine");
    assert_eq!(node_reads(&bed, &one, "/site/berlin/broker").await.unwrap(), "b");
    for name in [own.as_str(), "/site/berlin/broker"] {
        assert!(node_reads(&bed, &two, name).await.is_err(), "{name}");
    }
    // What is no name is told as that, and is nothing to refuse.
    assert_eq!(node_reads(&bed, &two, "/site//broker").await.unwrap(), "not there");
}

#[tokio::test]
async fn a_node_can_not_write_list_or_delete() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    allow(&bed, "*", "all", &["*"], &[]).await;
    for operation in [
        "PutParameter",
        "DescribeParameters",
        "GetParameterHistory",
        "DeleteParameter",
        "DeleteParameters",
        "LabelParameterVersion",
        "AddTagsToResource",
    ] {
        let input = json!({"Name": "x", "Value": "y", "Type": "String"});
        let code = by_node(&bed, &node, operation, input).await.unwrap_err().code;
        assert_eq!(code, "AccessDeniedException", "{operation}");
    }
}

//! What nodes may read.

use super::*;
use crate::auth::identity::NodeCaller;
use crate::auth::roles::{self, Rule};
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
    let answer = nodes::call(&bed.app, &caller, operation, &input, "").await?;
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
        "UnlabelParameterVersion",
        "AddTagsToResource",
    ] {
        let input = json!({"Name": "x", "Value": "y", "Type": "String"});
        let code = by_node(&bed, &node, operation, input).await.unwrap_err().code;
        assert_eq!(code, "AccessDeniedException", "{operation}");
    }
}

#[tokio::test]
async fn a_node_may_ask_for_a_path_when_all_under_it_is_its_to_read() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    put(&bed, "/fleet/a/psk", "s3cret", secure()).await;
    put(&bed, "/fleet/b", "x", json!({})).await;
    allow(&bed, "EdgeRole", "default", &["/fleet/a/*", "/fleet/b"], &[]).await;
    let ask = |path: &str| json!({"Path": path, "Recursive": true, "WithDecryption": true});
    let got = by_node(&bed, &node, "GetParametersByPath", ask("/fleet/a")).await.unwrap();
    assert_eq!(got["Parameters"][0]["Value"], "s3cret");
    for path in ["/fleet", "/", "/fleet/b"] {
        let error = by_node(&bed, &node, "GetParametersByPath", ask(path)).await.unwrap_err();
        assert_eq!(error.code, "AccessDeniedException", "{path}");
    }
}

#[tokio::test]
async fn a_node_learns_no_more_by_the_root_s_path_than_by_name() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    put(&bed, "port", "s3cret", secure()).await;
    put(&bed, "/fleet/b", "x", json!({})).await;
    let root = json!({"Path": "/", "Recursive": true, "WithDecryption": true});
    allow(&bed, "EdgeRole", "default", &["/*"], &[]).await;
    assert_eq!(node_reads(&bed, &node, "/fleet/b").await.unwrap(), "x");
    assert!(node_reads(&bed, &node, "port").await.is_err());
    let refused = by_node(&bed, &node, "GetParametersByPath", root.clone()).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    allow(&bed, "EdgeRole", "default", &["*"], &[]).await;
    assert_eq!(node_reads(&bed, &node, "port").await.unwrap(), "s3cret");
    let got = by_node(&bed, &node, "GetParametersByPath", root).await.unwrap();
    assert_eq!(got["Parameters"].as_array().unwrap().len(), 2);
}

//! The fleet as an operator sees it.

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};
use stint_wire::time::Utc;

fn ids(page: &Value) -> Vec<String> {
    let list = page["InstanceInformationList"].as_array().unwrap();
    list.iter().map(|n| n["InstanceId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_node_is_shown_with_all_it_reported() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let list = bed.ok("DescribeInstanceInformation", json!({})).await;
    let one = &list["InstanceInformationList"][0];
    for (member, value) in [
        ("InstanceId", node.as_str()),
        ("PingStatus", "Online"),
        ("PlatformName", "Debian GNU/Linux"),
        ("ResourceType", "ManagedInstance"),
        ("Name", "edge"),
        ("IPAddress", "10.0.0.5"),
        ("SourceType", "AWS::SSM::ManagedInstance"),
    ] {
        assert_eq!(one[member], json!(value), "{member}");
    }
}

#[tokio::test]
async fn a_silent_node_has_lost_its_connection() {
    let bed = Testbed::new().await;
    let here = bed.node(1, &[]).await;
    let gone = bed.node_seen_at(2, &[], Utc(bed.app.now().0 - 3_600_000)).await;
    for (status, node) in [("Online", here), ("ConnectionLost", gone)] {
        let filter = json!({"Filters": [{"Key": "PingStatus", "Values": [status]}]});
        assert_eq!(
            ids(&bed.ok("DescribeInstanceInformation", filter).await),
            std::slice::from_ref(&node)
        );
        let legacy =
            json!({"InstanceInformationFilterList": [{"key": "PingStatus", "valueSet": [status]}]});
        assert_eq!(ids(&bed.ok("DescribeInstanceInformation", legacy).await), [node]);
    }
}

#[tokio::test]
async fn pages_show_every_matching_node_once() {
    let bed = Testbed::new().await;
    let mut lab = Vec::new();
    for n in 0..23 {
        let site = if n % 2 == 0 { "lab" } else { "field" };
        let node = bed.node(n, &[("site", site)]).await;
        if n % 2 == 0 {
            lab.push(node);
        }
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let page = bed
            .ok("DescribeInstanceInformation", json!({"MaxResults": 5, "NextToken": token, "Filters": [{"Key": "tag:site", "Values": ["lab"]}]}))
            .await;
        pages += 1;
        seen.extend(ids(&page));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    lab.sort();
    assert_eq!((seen, pages), (lab, 3));
}

#[tokio::test]
async fn a_deregistered_node_is_gone_and_its_commands_end() {
    let bed = Testbed::new().await;
    let (node, other) = (bed.node(1, &[("site", "lab")]).await, bed.node(2, &[]).await);
    let command = bed.command(&[&node, &other]).await;
    bed.sql("INSERT INTO node_credential (access_key_id, node_id, sealed_secret, token_hash, expires_at) VALUES ('ASIA', $1, 's', 't', 9)", &[&node]).await;
    bed.ok("DeregisterManagedInstance", json!({"InstanceId": node})).await;
    assert_eq!(
        ids(&bed.ok("DescribeInstanceInformation", json!({})).await),
        std::slice::from_ref(&other)
    );
    for table in ["node_credential", "tag"] {
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let (rows,): (i64,) = sqlx::query_as(count).fetch_one(&bed.app.store.read).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let input = json!({"CommandId": command, "InstanceId": node});
    let invocation = bed.ok("GetCommandInvocation", input).await;
    assert_eq!(invocation["StatusDetails"], "Undeliverable");
    bed.finish(&command, &other, "Success", "Success").await;
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    assert_eq!(list["Commands"][0]["Status"], "Success");
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    let both = json!({
        "Filters": [{"Key": "PingStatus", "Values": ["Online"]}],
        "InstanceInformationFilterList": [{"key": "PingStatus", "valueSet": ["Online"]}],
    });
    let describe = "DescribeInstanceInformation";
    for (operation, input, code) in [
        (describe, json!({"MaxResults": 4}), "ValidationException"),
        (describe, json!({"NextToken": "x"}), "InvalidNextToken"),
        (describe, both, "ValidationException"),
        (describe, json!({"Filters": [{"Key": "Colour", "Values": ["x"]}]}), "InvalidFilterKey"),
        (
            "DeregisterManagedInstance",
            json!({"InstanceId": "mi-00000000000000000"}),
            "InvalidInstanceId",
        ),
        ("DeregisterManagedInstance", json!({"InstanceId": "i-01234567"}), "ValidationException"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
}

//! Inventory as operators and nodes use it.

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

fn rack(node: &str, rack: &str, more: Value) -> Value {
    let mut item = json!({
        "TypeName": "Custom:Rack", "SchemaVersion": "1.0", "CaptureTime": "2026-11-22T08:00:00Z",
        "ContentHash": rack, "Content": [{"Rack": rack, "Slot": "1"}, {"Rack": rack, "Slot": "12"}],
    });
    for (name, value) in more.as_object().unwrap() {
        item[name] = value.clone();
    }
    json!({"InstanceId": node, "Items": [item]})
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["Entities"].as_array().unwrap().iter().map(|e| e["Id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_put_is_listed_and_replaced_as_a_whole() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    bed.ok("PutInventory", rack(&node, "R1", json!({}))).await;
    bed.ok("PutInventory", rack(&node, "R7", json!({}))).await;
    let list = json!({"InstanceId": node, "TypeName": "Custom:Rack"});
    let listed = bed.ok("ListInventoryEntries", list.clone()).await;
    assert_eq!(listed["CaptureTime"], "2026-11-22T08:00:00Z");
    assert_eq!(listed["Entries"][1], json!({"Rack": "R7", "Slot": "12"}));

    let later = json!({"Content": null, "CaptureTime": "2026-11-22T09:00:00Z"});
    bed.ok("PutInventory", rack(&node, "R7", later)).await;
    let listed = bed.ok("ListInventoryEntries", list).await;
    assert_eq!(listed["CaptureTime"], "2026-11-22T09:00:00Z");
    assert_eq!(listed["Entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn entries_come_in_pages_and_by_filters() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let entries: Vec<Value> = (0..7).map(|n| json!({"N": n.to_string()})).collect();
    bed.ok("PutInventory", rack(&node, "R", json!({"Content": entries}))).await;
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = bed
            .ok("ListInventoryEntries", json!({"InstanceId": node, "TypeName": "Custom:Rack", "MaxResults": 3, "NextToken": token}))
            .await;
        seen.extend(page["Entries"].as_array().unwrap().clone());
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, entries);
    for (kind, value, count) in [
        ("Equal", "3", 1),
        ("NotEqual", "3", 6),
        ("LessThan", "3", 3),
        ("GreaterThan", "3", 3),
        ("BeginWith", "", 7),
        ("Exists", "true", 7),
        ("Exists", "false", 0),
    ] {
        for key in ["N", "Custom:Rack.N"] {
            let filter = json!([{"Key": key, "Values": [value], "Type": kind}]);
            let input = json!({"InstanceId": node, "TypeName": "Custom:Rack", "Filters": filter});
            let found = bed.ok("ListInventoryEntries", input).await;
            assert_eq!(found["Entries"].as_array().unwrap().len(), count, "{kind} {value}");
        }
    }
}

#[tokio::test]
async fn the_fleet_is_found_by_what_its_nodes_have() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    bed.ok("PutInventory", rack(&one, "R1", json!({}))).await;
    bed.ok("PutInventory", rack(&two, "R2", json!({}))).await;
    let all = bed.ok("GetInventory", json!({})).await;
    assert_eq!(ids(&all).len(), 2);
    let what = &all["Entities"][0]["Data"]["AWS:InstanceInformation"]["Content"][0];
    assert_eq!((&what["PlatformType"], &what["AgentType"]), (&json!("Linux"), &json!("stint")));
    let by = |filters: Value| json!({"Filters": filters, "ResultAttributes": [{"TypeName": "Custom:Rack"}]});
    let rack = |value: &str| json!({"Key": "Custom:Rack.Rack", "Values": [value]});
    let found = bed.ok("GetInventory", by(json!([rack("R2")]))).await;
    assert_eq!(ids(&found), [two.as_str()]);
    assert_eq!(found["Entities"][0]["Data"]["Custom:Rack"]["ContentHash"], "R2");
    let platform = json!({"Key": "AWS:InstanceInformation.PlatformType", "Values": ["Windows"]});
    let none = bed.ok("GetInventory", by(json!([rack("R2"), platform]))).await;
    assert!(ids(&none).is_empty());
    // One entry has to meet all filters on its type.
    let slot = json!({"Key": "Custom:Rack.Slot", "Values": ["2"]});
    assert!(ids(&bed.ok("GetInventory", by(json!([rack("R2"), slot]))).await).is_empty());

    let expression = json!([{"Expression": "Custom:Rack.Rack",
        "Aggregators": [{"Expression": "Custom:Rack.Slot"}]}]);
    let counted = bed.ok("GetInventory", json!({"Aggregators": expression})).await;
    let content = &counted["Entities"][0]["Data"]["Custom:Rack"]["Content"];
    assert_eq!(content.as_array().unwrap().len(), 4);
    assert_eq!(content[0], json!({"Count": "1", "Rack": "R1", "Slot": "1"}));
}

#[tokio::test]
async fn the_whole_fleet_comes_in_pages_even_if_its_nodes_have_much() {
    let bed = Testbed::new().await;
    for n in 0..70 {
        let node = bed.node(n, &[]).await;
        let entries: Vec<Value> = (0..10).map(|_| json!({"A": "x".repeat(3000)})).collect();
        if n % 2 == 0 {
            bed.ok("PutInventory", rack(&node, "R", json!({"Content": entries}))).await;
        }
    }
    let (mut seen, mut pages, mut token) = (Vec::new(), 0, Value::Null);
    loop {
        let wanted = json!([{"TypeName": "Custom:Rack"}]);
        let input = json!({"ResultAttributes": wanted, "MaxResults": 30, "NextToken": token});
        let page = bed.ok("GetInventory", input).await;
        assert!(ids(&page).len() <= 30 && page.to_string().len() < 1_200_000);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        (pages, token) = (pages + 1, page["NextToken"].clone());
        if token.is_null() {
            break;
        }
    }
    seen.dedup();
    assert_eq!((seen.len(), pages), (35, 2));
    let counted = json!([{"Expression": "Custom:Rack.A"}]);
    let counted = bed.ok("GetInventory", json!({"Aggregators": counted})).await;
    assert_eq!(counted["Entities"][0]["Data"]["Custom:Rack"]["Content"][0]["Count"], "350");
}

#[tokio::test]
async fn the_schema_has_the_hubs_types_and_those_that_were_put() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    bed.ok("PutInventory", rack(&node, "R", json!({}))).await;
    let all = bed.ok("GetInventorySchema", json!({})).await;
    let names: Vec<&str> = all["Schemas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["TypeName"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "AWS:InstanceInformation",
            "Custom:Rack",
            "Custom:StintChildAgent",
            "Custom:StintChildEvent",
            "Custom:StintIdentity",
            "Custom:StintModule",
            "Custom:StintRestart"
        ]
    );
    let custom = bed.ok("GetInventorySchema", json!({"TypeName": "Custom:Rack"})).await;
    let attributes =
        json!([{"Name": "Rack", "DataType": "string"}, {"Name": "Slot", "DataType": "string"}]);
    assert_eq!(custom["Schemas"][0]["Attributes"], attributes);
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let nobody = "mi-00000000000000000";
    let big: Vec<Value> = (0..200).map(|_| json!({"A": "x".repeat(4000)})).collect();
    let twice = {
        let mut put = rack(&node, "R", json!({}));
        let item = put["Items"][0].clone();
        put["Items"].as_array_mut().unwrap().push(item);
        put
    };
    let (put, list, get) = ("PutInventory", "ListInventoryEntries", "GetInventory");
    for (operation, input, code) in [
        (put, rack(nobody, "R", json!({})), "InvalidInstanceId"),
        (put, rack(&node, "R", json!({"TypeName": "Custom:"})), "InvalidTypeNameException"),
        (put, rack(&node, "R", json!({"TypeName": "AWS:Nonsense"})), "InvalidTypeNameException"),
        (put, rack(&node, "R", json!({"TypeName": "Rack"})), "ValidationException"),
        (put, rack(&node, "R", json!({"CaptureTime": "today"})), "ValidationException"),
        (put, rack(&node, "R", json!({"Content": null})), "ItemContentMismatchException"),
        (
            put,
            rack(&node, "R", json!({"Content": null, "ContentHash": null})),
            "InvalidItemContentException",
        ),
        (put, rack(&node, "R", json!({"Content": big})), "ItemSizeLimitExceededException"),
        (put, twice, "InvalidItemContentException"),
        (list, json!({"InstanceId": nobody, "TypeName": "Custom:Rack"}), "InvalidInstanceId"),
        (list, json!({"InstanceId": node, "TypeName": "AWS:Nonsense"}), "InvalidTypeNameException"),
        (
            list,
            json!({"InstanceId": node, "TypeName": "Custom:Rack", "NextToken": "x"}),
            "InvalidNextToken",
        ),
        (get, json!({"Filters": [{"Key": "Rack", "Values": ["x"]}]}), "InvalidFilter"),
        (
            get,
            json!({"ResultAttributes": [{"TypeName": "AWS:Nonsense"}]}),
            "InvalidTypeNameException",
        ),
        (get, json!({"Aggregators": [{"Expression": "Rack"}]}), "InvalidAggregatorException"),
        (get, json!({"Aggregators": [{}]}), "InvalidAggregatorException"),
        (get, json!({"NextToken": "x"}), "InvalidNextToken"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
    for n in 0..20 {
        let name = format!("Custom:T{n}");
        bed.ok(put, rack(&node, "R", json!({"TypeName": name}))).await;
    }
    let one_more = rack(&node, "R", json!({"TypeName": "Custom:T20"}));
    assert_eq!(bed.code(put, one_more).await, "CustomSchemaCountLimitExceededException");
    bed.ok(put, rack(&node, "R", json!({"TypeName": "Custom:T3"}))).await;
    bed.ok(put, rack(&node, "R", json!({"TypeName": "Custom:StintChildAgent"}))).await;
}

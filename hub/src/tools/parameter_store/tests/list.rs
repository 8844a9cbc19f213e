//! GetParametersByPath, DescribeParameters, GetParameterHistory.

use super::*;

/// A tree of parameters.
async fn tree(bed: &Testbed) {
    for (name, value) in
        [("/a", "1"), ("/a/x", "2"), ("/a/y/z", "3"), ("/ab/x", "4"), ("root", "5"), ("/a/_b", "6")]
    {
        put(bed, name, value, json!({})).await;
    }
    put(bed, "/a/psk", "s3cret", json!({"Type": "SecureString", "KeyId": "alias/fleet"})).await;
}

/// All pages of an operation, of `size` each.
async fn pages(bed: &Testbed, operation: &str, mut input: Value, size: i64) -> Vec<Value> {
    let mut all = Vec::new();
    input["MaxResults"] = size.into();
    loop {
        let page = bed.ok(operation, input.clone()).await;
        let list = page["Parameters"].as_array().unwrap();
        assert!(list.len() as i64 <= size);
        all.extend(list.clone());
        if page["NextToken"].is_null() {
            return all;
        }
        input["NextToken"] = page["NextToken"].clone();
    }
}

async fn under(bed: &Testbed, path: &str, recursive: bool, filters: Value) -> Vec<String> {
    let input = json!({"Path": path, "Recursive": recursive, "ParameterFilters": filters});
    names(&pages(bed, "GetParametersByPath", input, 2).await)
}

async fn described(bed: &Testbed, filters: Value) -> Vec<String> {
    let input = json!({"ParameterFilters": filters});
    names(&pages(bed, "DescribeParameters", input, 2).await)
}

fn names(list: &[Value]) -> Vec<String> {
    list.iter().map(|p| p["Name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_path_has_its_own_level_or_all_below_it() {
    let bed = Testbed::new().await;
    tree(&bed).await;
    for (path, recursive, expected) in [
        ("/a", false, &["/a/_b", "/a/psk", "/a/x"][..]),
        ("/a/", true, &["/a/_b", "/a/psk", "/a/x", "/a/y/z"]),
        ("/", false, &["/a", "root"]),
        ("/", true, &["/a", "/a/_b", "/a/psk", "/a/x", "/a/y/z", "/ab/x", "root"]),
        ("/a/x", true, &[]),
        ("/none", true, &[]),
    ] {
        assert_eq!(under(&bed, path, recursive, json!([])).await, expected, "{path}");
    }
    let secure = json!([{"Key": "Type", "Values": ["SecureString"]}]);
    assert_eq!(under(&bed, "/", true, secure).await, ["/a/psk"]);
    let of_key = json!([{"Key": "KeyId", "Option": "BeginsWith", "Values": ["alias/f"]}]);
    assert_eq!(under(&bed, "/a", true, of_key).await, ["/a/psk"]);
    let clear = json!({"Path": "/a", "WithDecryption": true});
    let all = pages(&bed, "GetParametersByPath", clear, 10).await;
    assert_eq!(all[1]["Value"], "s3cret");
    let sealed = pages(&bed, "GetParametersByPath", json!({"Path": "/a"}), 10).await;
    assert!(!sealed[1]["Value"].as_str().unwrap().contains("s3cret"));
}

#[tokio::test]
async fn a_label_finds_the_version_that_has_it() {
    let bed = Testbed::new().await;
    tree(&bed).await;
    overwrite(&bed, "/a/x", "new").await;
    for label in ["prod", "stable"] {
        let old = json!({"Name": "/a/x", "ParameterVersion": 1, "Labels": [label]});
        bed.ok("LabelParameterVersion", old).await;
    }
    let filters = json!([{"Key": "Label", "Values": ["prod", "stable"]}]);
    let input = json!({"Path": "/a", "ParameterFilters": filters});
    let found = pages(&bed, "GetParametersByPath", input, 1).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["Version"], &found[0]["Value"]), (&json!(1), &json!("2")));
}

#[tokio::test]
async fn parameters_are_described_by_filter_without_their_values() {
    let bed = Testbed::new().await;
    tree(&bed).await;
    let tags = json!([{"Key": "site", "Value": "lab"}]);
    put(&bed, "big", "5000", json!({"Tier": "Advanced", "Tags": tags, "DataType": "integer"}))
        .await;
    let filter = |key: &str, option: &str, value: &str| json!([{"Key": key, "Option": option, "Values": [value]}]);
    for (filters, expected) in [
        (filter("Name", "BeginsWith", "/a/"), &["/a/_b", "/a/psk", "/a/x", "/a/y/z"][..]),
        (filter("Name", "Contains", "/x"), &["/a/x", "/ab/x"]),
        (filter("Name", "Equals", "root"), &["root"]),
        (filter("Path", "OneLevel", "/ab"), &["/ab/x"]),
        (filter("Type", "Equals", "SecureString"), &["/a/psk"]),
        (filter("KeyId", "Equals", "alias/fleet"), &["/a/psk"]),
        (filter("Tier", "Equals", "Advanced"), &["big"]),
        (filter("DataType", "Equals", "integer"), &["big"]),
        (filter("tag:site", "Equals", "lab"), &["big"]),
        (filter("tag:site", "Equals", "field"), &[]),
    ] {
        assert_eq!(described(&bed, filters.clone()).await, expected, "{filters}");
    }
    let all = pages(&bed, "DescribeParameters", json!({}), 3).await;
    assert_eq!(all.len(), 8);
    assert!(all.iter().all(|p| p.get("Value").is_none() && p.get("ARN").is_some()));
    let legacy = json!({"Filters": [{"Key": "Name", "Values": ["/ab"]}]});
    assert_eq!(names(&pages(&bed, "DescribeParameters", legacy, 3).await), ["/ab/x"]);
    let shared = bed.ok("DescribeParameters", json!({"Shared": true})).await;
    assert_eq!(shared["Parameters"], json!([]));
}

#[tokio::test]
async fn the_history_has_every_version_with_its_labels() {
    let bed = Testbed::new().await;
    put(&bed, "/psk", "s3cret-1", json!({"Type": "SecureString", "Description": "old"})).await;
    let new = json!({"Name": "/psk", "Value": "s3cret-2", "Overwrite": true, "Description": "new"});
    bed.ok("PutParameter", new).await;
    bed.ok("LabelParameterVersion", json!({"Name": "/psk", "Labels": ["prod"]})).await;
    let clear = json!({"Name": "/psk", "WithDecryption": true});
    let all = pages(&bed, "GetParameterHistory", clear, 1).await;
    let shown = |of: &Value| json!([of["Version"], of["Value"], of["Description"], of["Labels"]]);
    assert_eq!(shown(&all[0]), json!([1, "s3cret-1", "old", []]));
    assert_eq!(shown(&all[1]), json!([2, "s3cret-2", "new", ["prod"]]));
    assert_eq!(all[1]["KeyId"], "alias/aws/ssm");
    assert_eq!(all[1]["LastModifiedUser"], "arn:aws:iam::123456789012:user/AKIATEST");
    let sealed = bed.ok("GetParameterHistory", json!({"Name": "/psk"})).await.to_string();
    assert!(!sealed.contains("s3cret"));
}

#[tokio::test]
async fn each_bad_question_has_its_own_code() {
    let bed = Testbed::new().await;
    let (describe, by_path) = ("DescribeParameters", "GetParametersByPath");
    let filter = |key: &str, option: &str| json!([{"Key": key, "Option": option, "Values": ["x"]}]);
    for (operation, input, code) in [
        (by_path, json!({"Path": "a"}), "ValidationException"),
        (by_path, json!({"Path": "/", "MaxResults": 11}), "ValidationException"),
        (by_path, json!({"Path": "/", "NextToken": "x"}), "InvalidNextToken"),
        (
            by_path,
            json!({"Path": "/", "ParameterFilters": filter("Name", "Equals")}),
            "InvalidFilterKey",
        ),
        (
            by_path,
            json!({"Path": "/", "ParameterFilters": filter("Label", "BeginsWith")}),
            "InvalidFilterOption",
        ),
        (describe, json!({"ParameterFilters": filter("Colour", "Equals")}), "ValidationException"),
        (describe, json!({"ParameterFilters": filter("Label", "Equals")}), "InvalidFilterKey"),
        (describe, json!({"ParameterFilters": filter("Type", "Contains")}), "InvalidFilterOption"),
        (describe, json!({"ParameterFilters": filter("Type", "Equals")}), "InvalidFilterValue"),
        (describe, json!({"NextToken": "x"}), "InvalidNextToken"),
        (
            describe,
            json!({"Filters": [{"Key": "Name", "Values": ["x"]}],
                "ParameterFilters": filter("Name", "Equals")}),
            "ValidationException",
        ),
        ("GetParameterHistory", json!({"Name": "none"}), "ParameterNotFound"),
        ("GetParameterHistory", json!({"Name": "none:1"}), "ValidationException"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
    put(&bed, "there", "x", json!({})).await;
    let token = json!({"Name": "there", "NextToken": "x"});
    assert_eq!(bed.code("GetParameterHistory", token).await, "InvalidNextToken");
}

//! PutParameter.

use super::*;

#[tokio::test]
async fn a_new_version_needs_overwrite_and_keeps_what_it_does_not_name() {
    let bed = Testbed::new().await;
    let first = json!({"Description": "port", "AllowedPattern": "[0-9]+", "DataType": "integer"});
    assert_eq!(
        put(&bed, "/edge/port", "80", first).await,
        json!({"Version": 1, "Tier": "Standard"})
    );
    let again = request("/edge/port", "81", json!({}));
    assert_eq!(bed.code("PutParameter", again).await, "ParameterAlreadyExists");
    assert_eq!(overwrite(&bed, "/edge/port", "81").await["Version"], 2);
    assert_eq!(value(&bed, "/edge/port").await, "81");
    let bad = json!({"Name": "/edge/port", "Value": "x", "Overwrite": true});
    assert_eq!(bed.code("PutParameter", bad).await, "ParameterPatternMismatchException");
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    put(&bed, "there", "x", json!({})).await;
    put(&bed, "big", "x", json!({"Tier": "Advanced"})).await;
    let expires = |at: &str| {
        json!([{"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": at}}])
            .to_string()
    };
    let tag = json!([{"Key": "site", "Value": "lab"}]);
    let many: Vec<Value> = (0..51).map(|n| json!({"Key": n.to_string(), "Value": ""})).collect();
    for (name, value, more, code) in [
        ("new", "", json!({}), "ValidationException"),
        ("new", "{{ssm:other}}", json!({}), "ValidationException"),
        ("new", "x", json!({"Type": null}), "ValidationException"),
        ("new", "x", json!({"Type": "Number"}), "ValidationException"),
        ("new", "x", json!({"KeyId": "alias/a"}), "ValidationException"),
        ("new", "x", json!({"Type": "SecureString", "KeyId": "alias/aws/s3"}), "InvalidKeyId"),
        ("new", "x", json!({"Type": "SecureString", "KeyId": "a b"}), "ValidationException"),
        ("new", "x", json!({"AllowedPattern": "["}), "InvalidAllowedPatternException"),
        ("new", "x", json!({"AllowedPattern": "y"}), "ParameterPatternMismatchException"),
        ("new", "xy", json!({"AllowedPattern": "y"}), "ParameterPatternMismatchException"),
        ("new", "x", json!({"DataType": "integer"}), "ValidationException"),
        ("new", "x", json!({"DataType": "colour"}), "ValidationException"),
        ("new", "x", json!({"Tier": "Gold"}), "ValidationException"),
        ("new", "x", json!({"Policies": expires("2099-01-01T00:00:00Z")}), "ValidationException"),
        (
            "new",
            "x",
            json!({"Tier": "Advanced", "Policies": expires("2020-01-01T00:00:00Z")}),
            "InvalidPolicyAttributeException",
        ),
        ("new", "x", json!({"Tags": many}), "ValidationException"),
        ("new", "x", json!({"Description": "x".repeat(1025)}), "ValidationException"),
        ("there", "x", json!({"Overwrite": true, "Tags": tag}), "ValidationException"),
        (
            "there",
            "x",
            json!({"Overwrite": true, "Type": "StringList"}),
            "HierarchyTypeMismatchException",
        ),
        ("big", "x", json!({"Overwrite": true, "Tier": "Standard"}), "ValidationException"),
        ("a/b", "x", json!({}), "ValidationException"),
        ("/aws/x", "x", json!({}), "AccessDeniedException"),
        (
            "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16",
            "x",
            json!({}),
            "HierarchyLevelLimitExceededException",
        ),
    ] {
        let request = request(name, value, more);
        assert_eq!(bed.code("PutParameter", request.clone()).await, code, "{request}");
    }
    // None of them left anything behind.
    assert_eq!(bed.code("GetParameter", json!({"Name": "new"})).await, "ParameterNotFound");
    assert_eq!(value(&bed, "there").await, "x");
}

#[tokio::test]
async fn a_value_has_4_kb_or_8_by_its_tier() {
    let bed = Testbed::new().await;
    for (length, tier, expected) in [
        (4096, "Standard", Some("Standard")),
        (4097, "Standard", None),
        (4097, "Intelligent-Tiering", Some("Advanced")),
        (8192, "Advanced", Some("Advanced")),
        (8193, "Advanced", None),
    ] {
        let name = format!("v{length}-{tier}");
        let request = request(&name, &"x".repeat(length), json!({"Tier": tier}));
        let answer = bed.call("PutParameter", request).await;
        match expected {
            Some(tier) => assert_eq!(answer.unwrap()["Tier"], tier),
            None => assert_eq!(answer.unwrap_err().code, "ValidationException"),
        }
    }
}

#[tokio::test]
async fn the_hundred_newest_versions_are_kept_and_a_label_keeps_the_oldest() {
    let bed = Testbed::new().await;
    put(&bed, "n", "1", json!({})).await;
    for n in 2..=101 {
        overwrite(&bed, "n", &n.to_string()).await;
    }
    let gone = bed.code("GetParameter", json!({"Name": "n:1"})).await;
    assert_eq!(gone, "ParameterVersionNotFound");
    assert_eq!(value(&bed, "n:2").await, "2");
    bed.sql("INSERT INTO parameter_label (name, label, version) VALUES ('n', 'old', 2)", &[]).await;
    let next = json!({"Name": "n", "Value": "102", "Overwrite": true});
    assert_eq!(bed.code("PutParameter", next).await, "ParameterMaxVersionLimitExceeded");
    assert_eq!(value(&bed, "n:old").await, "2");
    assert_eq!(value(&bed, "n").await, "101");
}

#[tokio::test]
async fn standard_parameters_have_a_limit_that_intelligent_tiering_goes_around() {
    let bed = Testbed::new().await;
    bed.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO parameter (name, parameter_type, tier, data_type, latest)
         SELECT 'n' || i, 'String', 'Standard', 'text', 1 FROM n",
        &[],
    )
    .await;
    let over = request("new", "x", json!({}));
    assert_eq!(bed.code("PutParameter", over).await, "ParameterLimitExceeded");
    let around = put(&bed, "new", "x", json!({"Tier": "Intelligent-Tiering"})).await;
    assert_eq!(around["Tier"], "Advanced");
}

#[tokio::test]
async fn changes_at_the_same_time_make_a_version_each() {
    let bed = Testbed::new().await;
    put(&bed, "n", "0", json!({})).await;
    let mut versions: Vec<i64> = Vec::new();
    let (a, b, c, d) = tokio::join!(
        overwrite(&bed, "n", "1"),
        overwrite(&bed, "n", "2"),
        overwrite(&bed, "n", "3"),
        overwrite(&bed, "n", "4"),
    );
    versions.extend([a, b, c, d].iter().map(|answer| answer["Version"].as_i64().unwrap()));
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_secure_string_is_sealed_under_the_key_of_its_key_id() {
    let bed = Testbed::new().await;
    put(&bed, "/a", "s3cret", json!({"Type": "SecureString", "KeyId": "alias/fleet"})).await;
    bed.sql("UPDATE parameter_version SET key_id = 'alias/aws/ssm'", &[]).await;
    let read = json!({"Name": "/a", "WithDecryption": true});
    assert_eq!(bed.code("GetParameter", read).await, "InvalidKeyId");
}

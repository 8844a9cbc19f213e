//! GetParameter and GetParameters.

use super::*;
use crate::auth::seal::Seal;

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

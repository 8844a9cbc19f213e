//! Jobs from command to result.

use super::super::testing::{Device, ENDPOINT, hub};
use crate::app::{App, Caller};
use crate::error::ApiError;
use crate::tools;
use serde_json::{Value, json};

async fn call(app: &App, operation: &str, input: Value) -> Result<Value, ApiError> {
    let caller = Caller {
        access_key: "AKIATEST".into(),
        region: "eu-central-1".into(),
        endpoint: ENDPOINT.into(),
    };
    tools::call(app, &caller, operation, input).await
}

async fn send(app: &App, node: &str, parameters: Value) -> String {
    let input = json!({"DocumentName": "Stint-ConfigureAgent", "InstanceIds": [node],
                       "Parameters": parameters});
    let answer = call(app, "SendCommand", input).await.unwrap();
    answer["Command"]["CommandId"].as_str().unwrap().to_owned()
}

async fn invocation(app: &App, node: &str, command: &str) -> Value {
    let input = json!({"CommandId": command, "InstanceId": node});
    call(app, "GetCommandInvocation", input).await.unwrap()
}

async fn package(app: &App, version: &str, arch: &str) {
    sqlx::query("INSERT INTO package VALUES ('sensor', $1, $2, 'sensor.tar.gz', $3, 4, 1)")
        .bind(version)
        .bind(arch)
        .bind(stint_wire::text::sha256_hex(version.as_bytes()))
        .execute(&app.store.write)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_comes_with_every_report_until_its_result_is_here() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let stop = json!({"Action": ["stop"], "Name": ["sensor"]});
    let command = send(&app, &node, stop).await;
    assert_eq!(invocation(&app, &node, &command).await["Status"], "Pending");
    let first = device.report(&app, json!({})).await;
    let job = &first["jobs"][0];
    let id = job["id"].as_str().unwrap();
    assert_eq!(*job, json!({"id": id, "action": "stop", "name": "sensor"}));
    assert_eq!(invocation(&app, &node, &command).await["Status"], "InProgress");
    assert_eq!(device.report(&app, json!({})).await["jobs"], first["jobs"]);
    device.result(&app, id, 0, "success").await;
    let ended = invocation(&app, &node, &command).await;
    assert_eq!((&ended["Status"], &ended["ResponseCode"]), (&json!("Success"), &json!(0)));
    assert_eq!(ended["StandardOutputContent"], "success");
    assert_eq!(ended["PluginName"], "configureAgent");
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    // A result that is delivered again changes nothing, and is taken.
    device.result(&app, id, 9, "again").await;
    assert_eq!(invocation(&app, &node, &command).await["Status"], "Success");
    device.result(&app, "nobody-knows", 0, "success").await;
}

#[tokio::test]
async fn a_failed_job_fails_its_invocation_with_the_nodes_words() {
    let (app, _dir) = hub().await;
    let (mut device, mut other) = (Device::new(1), Device::new(2));
    let node = device.register(&app).await;
    other.register(&app).await;
    let start = json!({"Action": ["start"], "Name": ["sensor"]});
    let command = send(&app, &node, start).await;
    let answer = device.report(&app, json!({})).await;
    let id = answer["jobs"][0]["id"].as_str().unwrap();
    // A node speaks only of its own jobs.
    other.result(&app, id, 0, "success").await;
    assert_eq!(invocation(&app, &node, &command).await["Status"], "InProgress");
    device.result(&app, id, 7, "there is no child sensor").await;
    let ended = invocation(&app, &node, &command).await;
    assert_eq!((&ended["Status"], &ended["ResponseCode"]), (&json!("Failed"), &json!(7)));
    assert_eq!(ended["StandardErrorContent"], "there is no child sensor");
}

#[tokio::test]
async fn what_is_cancelled_before_it_is_handed_out_never_is() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let stop = || json!({"Action": ["stop"], "Name": ["sensor"]});
    let early = send(&app, &node, stop()).await;
    call(&app, "CancelCommand", json!({"CommandId": early})).await.unwrap();
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    assert_eq!(invocation(&app, &node, &early).await["Status"], "Cancelled");
    let late = send(&app, &node, stop()).await;
    let answer = device.report(&app, json!({})).await;
    call(&app, "CancelCommand", json!({"CommandId": late})).await.unwrap();
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    assert_eq!(invocation(&app, &node, &late).await["StatusDetails"], "Cancelling");
    // The node was quicker, and says how it ended.
    device.result(&app, answer["jobs"][0]["id"].as_str().unwrap(), 0, "success").await;
    assert_eq!(invocation(&app, &node, &late).await["Status"], "Success");
}

#[tokio::test]
async fn a_package_becomes_a_link_and_a_checksum_for_the_nodes_architecture() {
    let (mut app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    for (version, arch) in [("1.9", "armv7"), ("1.10", "armv7"), ("2.0", "x86_64")] {
        package(&app, version, arch).await;
    }
    let install = json!({"Action": ["install"], "Package": ["sensor"],
        "Envs": ["{\"MODE\": \"fast\"}"], "Limits": ["{\"CPU\": \"10%\", \"memory\": \"20M\"}"]});
    send(&app, &node, install.clone()).await;
    let answer = device.report(&app, json!({})).await;
    let job = &answer["jobs"][0];
    let hash = stint_wire::text::sha256_hex(b"1.10");
    assert_eq!(job["checksum"], json!(format!("SHA256:{hash}")));
    let url = job["url"].as_str().unwrap();
    let start = format!("{ENDPOINT}/attachments/{hash}/sensor.tar.gz?token=");
    assert!(url.starts_with(&start), "{url}");
    assert_eq!((&job["name"], &job["version"]), (&json!("sensor"), &json!("1.10")));
    assert_eq!(job["envs"], json!({"MODE": "fast"}));
    assert_eq!(job["limits"], json!({"CPU": "10%", "memory": "20M"}));
    device.result(&app, job["id"].as_str().unwrap(), 0, "success").await;

    app.public_url = Some("https://packages.test/hub".to_owned());
    send(&app, &node, install).await;
    let answer = device.report(&app, json!({})).await;
    let url = answer["jobs"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("https://packages.test/hub/attachments/"), "{url}");
}

#[tokio::test]
async fn a_package_that_the_node_cannot_run_ends_the_command_there() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    package(&app, "1.0", "x86_64").await;
    let install = json!({"Action": ["install"], "Package": ["sensor=1.0"]});
    let command = send(&app, &node, install).await;
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    let ended = invocation(&app, &node, &command).await;
    assert_eq!(ended["Status"], "Failed");
    let why = ended["StandardErrorContent"].as_str().unwrap();
    assert!(why.contains("not for the node's architecture, armv7"), "{why}");
}

#[tokio::test]
async fn what_no_node_could_do_is_refused_when_it_is_sent() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    for (parameters, part) in [
        (json!({"Action": ["fly"]}), "Action"),
        (json!({"Action": ["stop"]}), "name"),
        (json!({"Action": ["install"], "Name": ["a"]}), "Package or with Url"),
        (json!({"Action": ["install"], "Name": ["a"], "Url": ["http://h/a"]}), "Checksum"),
        (json!({"Action": ["install"], "Package": ["sensor"]}), "no package sensor"),
        (json!({"Action": ["config"], "Step": ["59"]}), "Step"),
        (json!({"Action": ["config"], "Name": ["a"], "Limits": ["{\"CPU\": \"much\"}"]}), "limits"),
    ] {
        let input = json!({"DocumentName": "Stint-ConfigureAgent", "InstanceIds": [node],
                           "Parameters": parameters});
        let refused = call(&app, "SendCommand", input).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameters");
        assert!(refused.message.contains(part), "{parameters}: {}", refused.message);
    }
}

#[tokio::test]
async fn other_documents_are_refused_by_id_and_end_at_once_by_tag() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let tag = json!({"ResourceType": "ManagedInstance", "ResourceId": node,
                     "Tags": [{"Key": "site", "Value": "lab"}]});
    call(&app, "AddTagsToResource", tag).await.unwrap();
    let shell = |more: Value| {
        let mut input = json!({"DocumentName": "AWS-RunShellScript",
                               "Parameters": {"commands": ["uptime"]}});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        input
    };
    let refused = call(&app, "SendCommand", shell(json!({"InstanceIds": [node]}))).await;
    assert_eq!(refused.unwrap_err().code, "UnsupportedPlatformType");
    let by_tag = shell(json!({"Targets": [{"Key": "tag:site", "Values": ["lab"]}]}));
    let sent = call(&app, "SendCommand", by_tag).await.unwrap();
    let command = sent["Command"]["CommandId"].as_str().unwrap();
    let ended = invocation(&app, &node, command).await;
    assert_eq!(
        (&ended["Status"], &ended["StatusDetails"]),
        (&json!("Failed"), &json!("InvalidPlatform"))
    );
    assert!(
        ended["StandardErrorContent"].as_str().unwrap().contains("only looks after"),
        "{ended}"
    );
    assert_eq!(sent["Command"]["Status"], "Failed");
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
}

#[tokio::test]
async fn a_node_that_polls_for_messages_too_gets_no_job_here() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let key = device.key.verifying_key().to_bytes();
    let input = json!({
        "ActivationId": crate::nodes::registration::testing::ACTIVATION,
        "ActivationCode": crate::nodes::registration::testing::CODE, "Fingerprint": "f",
        "PublicKey": stint_wire::keys::ed25519_public_key(&key), "PublicKeyType": "Ed25519",
    });
    let answer = crate::nodes::registration::register(&app, &input, app.now()).await.unwrap();
    assert_eq!(answer["InstanceId"], json!(node));
    send(&app, &node, json!({"Action": ["stop"], "Name": ["sensor"]})).await;
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
}

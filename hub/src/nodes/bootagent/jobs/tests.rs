//! Jobs from command to result.

use super::super::testing::{Device, ENDPOINT, NOW, hub, peer};
use super::*;
use crate::app::Caller;
use crate::schedule;
use crate::store::data_dir::DataDir;
use crate::tools::documents::attachments;
use crate::tools::{self, packages};
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};

async fn call(app: &App, operation: &str, input: Value) -> Result<Value, ApiError> {
    let caller = Caller {
        access_key: "AKIATEST".into(),
        region: "eu-central-1".into(),
        endpoint: ENDPOINT.into(),
        login: String::new(),
    };
    tools::call(app, &caller, operation, input).await
}

async fn send(app: &App, node: &str, parameters: Value) -> String {
    let input = json!({"DocumentName": "Stint-ConfigureAgent", "InstanceIds": [node],
                       "Parameters": parameters});
    let answer = call(app, "SendCommand", input).await.unwrap();
    answer["Command"]["CommandId"].as_str().unwrap().to_owned()
}

fn stop() -> Value {
    json!({"Action": ["stop"], "Name": ["sensor"]})
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
    let command = send(&app, &node, stop()).await;
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
async fn what_is_cancelled_is_cancelled_at_once() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let early = send(&app, &node, stop()).await;
    call(&app, "CancelCommand", json!({"CommandId": early})).await.unwrap();
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    assert_eq!(invocation(&app, &node, &early).await["Status"], "Cancelled");
    let late = send(&app, &node, stop()).await;
    let answer = device.report(&app, json!({})).await;
    call(&app, "CancelCommand", json!({"CommandId": late})).await.unwrap();
    assert_eq!(device.report(&app, json!({})).await["jobs"], json!([]));
    assert_eq!(invocation(&app, &node, &late).await["StatusDetails"], "Cancelled");
    let shown = call(&app, "ListCommands", json!({"CommandId": late})).await.unwrap();
    assert_eq!(shown["Commands"][0]["Status"], "Cancelled");
    let untold: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM cancellation")
        .fetch_one(&app.store.read)
        .await
        .unwrap();
    assert_eq!(untold, 0, "there is nobody to tell");
    // The node was quicker: its step says so, and the invocation stays what the operator made it.
    device.result(&app, answer["jobs"][0]["id"].as_str().unwrap(), 0, "done").await;
    let ended = invocation(&app, &node, &late).await;
    assert_eq!((&ended["Status"], &ended["ResponseCode"]), (&json!("Cancelled"), &json!(0)));
    assert_eq!(ended["StandardOutputContent"], "done");
}

#[tokio::test]
async fn what_ends_while_an_answer_is_made_is_not_in_it() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let to = Sender { node: node.clone(), signed: true };
    let request = device.request("/agent/status", &json!({}), *NOW);
    let exchange = Exchange {
        request: &request,
        body: "{}",
        claim: None,
        peer: peer(),
        endpoint: ENDPOINT,
        keys: &[],
        now: *NOW,
    };
    for told_before in [false, true] {
        let command = send(&app, &node, stop()).await;
        let kept = send(&app, &node, stop()).await;
        if told_before {
            assert_eq!(offer(&app, &exchange, &to).await.unwrap().len(), 2);
        }
        let rows = waiting(&app, &node, *NOW).await.unwrap();
        assert_eq!(rows.len(), 2);
        call(&app, "CancelCommand", json!({"CommandId": command})).await.unwrap();
        let jobs = handed(&app, &exchange, &to, rows).await.unwrap();
        assert_eq!(jobs.len(), 1, "told before: {told_before}");
        assert_eq!(invocation(&app, &node, &command).await["Status"], "Cancelled");
        device.result(&app, &jobs[0].id, 0, "success").await;
        assert_eq!(invocation(&app, &node, &kept).await["Status"], "Success");
    }
}

#[tokio::test]
async fn a_job_that_was_told_stays_as_it_was_told() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    package(&app, "1.0", "armv7").await;
    let install = json!({"Action": ["install"], "Package": ["sensor"]});
    let command = send(&app, &node, install).await;
    let first = device.report(&app, json!({})).await;
    for change in [
        "INSERT INTO package VALUES ('sensor', '2.0', 'armv7', 'new.tar.gz', 'x', 4, 1)",
        "UPDATE package SET hash = 'y' WHERE version = '1.0'",
        "DELETE FROM package",
        "UPDATE boot_agent SET arch = 'mips'",
    ] {
        sqlx::query(change).execute(&app.store.write).await.unwrap();
        assert_eq!(device.report(&app, json!({})).await["jobs"], first["jobs"], "{change}");
        assert_eq!(invocation(&app, &node, &command).await["Status"], "InProgress");
    }
    // Nor does a report that began before it was told, and finds no package any more.
    let place = Place { node: &node, endpoint: ENDPOINT, now: *NOW };
    refuse(&app, &command, "no package", &place).await.unwrap();
    assert_eq!(invocation(&app, &node, &command).await["Status"], "InProgress");
    device.result(&app, first["jobs"][0]["id"].as_str().unwrap(), 0, "success").await;
    assert_eq!(invocation(&app, &node, &command).await["Status"], "Success");
}

#[tokio::test]
async fn a_link_that_ends_soon_is_renewed_for_the_same_content() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    package(&app, "1.0", "armv7").await;
    send(&app, &node, json!({"Action": ["install"], "Package": ["sensor"]})).await;
    let first = device.report(&app, json!({})).await;
    sqlx::query("DELETE FROM package").execute(&app.store.write).await.unwrap();
    let token = |answer: &Value| {
        let url = answer["jobs"][0]["url"].as_str().unwrap();
        url.split_once("?token=").unwrap().1.to_owned()
    };
    let hash = stint_wire::text::sha256_hex(b"1.0");
    let good = |answer: &Value, hours: u64| {
        let at = Utc(NOW.0 + hours * 3_600_000);
        attachments::checked(&app, &hash, &token(answer), at).is_ok()
    };
    assert!(good(&first, 23) && !good(&first, 25));
    // Thirteen hours later, as far as the row knows.
    let earlier = "UPDATE boot_job SET link_until = link_until - 46800000";
    sqlx::query(earlier).execute(&app.store.write).await.unwrap();
    let second = device.report(&app, json!({})).await;
    assert_ne!(token(&second), token(&first));
    assert!(good(&second, 23));
    for member in ["id", "action", "name", "version", "checksum"] {
        assert_eq!(second["jobs"][0][member], first["jobs"][0][member]);
    }
    assert_eq!(device.report(&app, json!({})).await["jobs"], second["jobs"]);
}

#[tokio::test]
async fn the_content_of_an_unfinished_job_stays_in_the_store() {
    let (app, outer) = hub().await;
    let dir = DataDir::open(&outer.path().join("data")).unwrap();
    let source = outer.path().join("sensor.tar.gz");
    std::fs::write(&source, "abc").unwrap();
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let place = ("sensor", "1.0", "any");
    let hash = packages::put(&app.store, &dir, &source, place, *NOW).await.unwrap().hash;
    send(&app, &node, json!({"Action": ["install"], "Package": ["sensor"]})).await;
    let answer = device.report(&app, json!({})).await;
    packages::delete(&app.store, "sensor", "1.0", None).await.unwrap();
    let after = |hours: u64| UNIX_EPOCH + Duration::from_millis(NOW.0 + hours * 3_600_000);
    for hours in [2, 23, 25, 1000] {
        assert_eq!(attachments::sweep(&app.store, &dir, after(hours)).await.unwrap(), 0);
    }
    assert!(attachments::blob(&dir, &hash).exists());
    device.result(&app, answer["jobs"][0]["id"].as_str().unwrap(), 0, "success").await;
    // The link itself is still good.
    assert_eq!(attachments::sweep(&app.store, &dir, after(23)).await.unwrap(), 0);
    assert_eq!(attachments::sweep(&app.store, &dir, after(25)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_job_that_no_node_could_read_is_not_sent() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    let envs = json!({"A": "x".repeat(70_000)}).to_string();
    let config = json!({"Action": ["config"], "Name": ["sensor"], "Envs": [envs]});
    let input = json!({"DocumentName": "Stint-ConfigureAgent", "InstanceIds": [node],
                       "Parameters": config});
    let refused = call(&app, "SendCommand", input).await.unwrap_err();
    assert_eq!(refused.code, "InvalidParameters");
    assert!(refused.message.contains("nodes take 65536"), "{}", refused.message);
    // One that came into the store in another way ends there, and the next one is told.
    let large = send(&app, &node, stop()).await;
    sqlx::query("UPDATE command SET parameters = $1")
        .bind(config.to_string())
        .execute(&app.store.write)
        .await
        .unwrap();
    let small = send(&app, &node, stop()).await;
    let answer = device.report(&app, json!({})).await;
    assert_eq!(answer["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(invocation(&app, &node, &small).await["Status"], "InProgress");
    let ended = invocation(&app, &node, &large).await;
    assert_eq!(ended["Status"], "Failed");
    assert!(ended["StandardErrorContent"].as_str().unwrap().contains("nodes take 65536"));
}

#[tokio::test]
async fn a_command_waits_for_two_steps_of_its_node_at_least() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    device.report(&app, json!({"step": 3600})).await;
    let command = send(&app, &node, stop()).await;
    for (seconds, status) in [(7_100, "Pending"), (200, "TimedOut")] {
        sqlx::query("UPDATE invocation SET released_at = released_at - $1")
            .bind(seconds * 1000_i64)
            .execute(&app.store.write)
            .await
            .unwrap();
        schedule::deadlines(&app, app.now()).await.unwrap();
        let waits = waiting(&app, &node, app.now()).await.unwrap().len();
        assert_eq!(waits, usize::from(status == "Pending"));
        assert_eq!(invocation(&app, &node, &command).await["Status"], status);
    }
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

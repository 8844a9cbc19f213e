//! The protocol as nodes see it.

use super::refusal::{MALFORMED, REFUSED, UNKNOWN, UNPROVED};
use super::testing::{Device, NOW, hub, keys, peer, plain};
use crate::app::App;
use crate::auth::server_keys;
use serde_json::{Value, json};
use stint_wire::bootagent::sign;
use stint_wire::time::Utc;

const REGISTER: &str = "/agent/register";
const STATUS: &str = "/agent/status";

async fn count(app: &App, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(&app.store.read).await.unwrap()
}

fn refused(answer: &(u16, Value)) -> i64 {
    let member = if answer.1["errcode"].is_null() { "status" } else { "errcode" };
    assert!(answer.1["message"].is_string(), "{answer:?}");
    answer.1[member].as_i64().unwrap()
}

#[tokio::test]
async fn a_device_registers_once_however_often_it_asks() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let node = device.register(&app).await;
    assert_eq!(device.agentsn, "agent-1");
    let mut again = device.registration();
    for member in ["activationid", "activationcode"] {
        again.as_object_mut().unwrap().remove(member);
    }
    let (_, answer) = device.post(&app, REGISTER, again).await;
    assert_eq!((&answer["nodeid"], &answer["agentsn"]), (&json!(node), &json!("agent-1")));
    assert_eq!(count(&app, "node").await, 1);
    let row: (String, String, String, String) = sqlx::query_as(
        "SELECT agent_name, agent_version, ip_address, b.arch FROM node
         JOIN boot_agent b ON b.node_id = id",
    )
    .fetch_one(&app.store.read)
    .await
    .unwrap();
    assert_eq!(row, ("stint".into(), "0.1.0".into(), "10.1.2.3".into(), "armv7".into()));
}

#[tokio::test]
async fn another_device_with_the_same_id_gets_one_of_its_own() {
    let (app, _dir) = hub().await;
    let (mut one, mut other) = (Device::new(1), Device::new(2));
    let first = one.register(&app).await;
    other.agentsn = one.agentsn.clone();
    let second = other.register(&app).await;
    assert_ne!(first, second);
    assert_ne!(one.agentsn, other.agentsn);
    one.report(&app, json!({})).await;
    other.report(&app, json!({})).await;
}

#[tokio::test]
async fn nobody_registers_without_a_good_activation_and_a_good_signature() {
    let (mut app, _dir) = hub().await;
    let device = Device::new(1);
    let without = |members: &[&str]| {
        let mut body = device.registration();
        for member in members {
            body.as_object_mut().unwrap().remove(*member);
        }
        body
    };
    let with = |member: &str, value: Value| {
        let mut body = device.registration();
        body[member] = value;
        body
    };
    let other = sign::key_text(&Device::new(2).key.verifying_key().to_bytes());
    for (body, errcode) in [
        (without(&["activationid"]), REFUSED),
        (with("activationcode", json!("x".repeat(20))), REFUSED),
        (with("activationid", json!("nonsense")), REFUSED),
        (with("key", json!(other)), UNPROVED),
        (with("key", json!("ed25519:AAAA")), UNPROVED),
        (without(&["key"]), UNPROVED),
        (with("agentsn", json!("agent-2")), UNPROVED),
        (with("agentsn", json!("a b")), MALFORMED),
        (json!([]), MALFORMED),
    ] {
        let answer = device.post(&app, REGISTER, body.clone()).await;
        assert_eq!(refused(&answer), errcode, "{body} {answer:?}");
    }
    let unsigned = device.registration().to_string();
    assert_eq!(refused(&plain(&app, REGISTER, &unsigned, peer()).await), REFUSED);
    app.accept_unsigned_bootagents = true;
    assert_eq!(refused(&plain(&app, REGISTER, &unsigned, peer()).await), UNPROVED);
    assert_eq!(count(&app, "node").await + count(&app, "boot_agent").await, 0);
}

#[tokio::test]
async fn a_report_counts_only_with_the_nodes_own_signature_now_and_once() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let body = json!({"hostname": "edge-1", "agents": []});
    let good = device.request(STATUS, &body, *NOW);
    assert_eq!(device.send(&app, good.clone()).await.0, 200);
    let replayed = device.send(&app, good.clone()).await;
    assert_eq!((replayed.0, refused(&replayed)), (401, UNPROVED));

    let changes: [(&str, &str); 4] = [
        (sign::DATE, &(NOW.secs() + 1).to_string()),
        (sign::NONCE, "00000000000000000000000000000000"),
        (sign::PINS, "0123456789abcdef"),
        (sign::SIGNATURE, "AAAA"),
    ];
    for (header, value) in changes {
        let mut forged = device.request(STATUS, &body, *NOW);
        for (name, old) in &mut forged.headers {
            if name == header {
                *old = value.to_owned();
            }
        }
        let trusting = Device::new(1);
        assert_eq!(refused(&trusting.send(&app, forged).await), UNPROVED, "{header}");
    }
    let mut other_body = device.request(STATUS, &body, *NOW);
    other_body.body = "{}".as_bytes().into();
    assert_eq!(refused(&device.send(&app, other_body).await), UNPROVED);
    let mut other_path = device.request(STATUS, &body, *NOW);
    other_path.path = "/api/v1/agent/status".to_owned();
    assert_eq!(refused(&device.send(&app, other_path).await), UNPROVED);

    for off in [-301_000_i64, 301_000] {
        let at = Utc(NOW.0.saturating_add_signed(off));
        let stale = device.send(&app, device.request(STATUS, &body, at)).await;
        assert_eq!((stale.0, refused(&stale)), (401, sign::STALE));
        assert_eq!(stale.1["date"], json!(NOW.secs()));
    }
    let slow = Utc(NOW.0 - 299_000);
    assert_eq!(device.send(&app, device.request(STATUS, &body, slow)).await.0, 200);

    let stranger = Device::new(9);
    let unknown = stranger.post(&app, STATUS, body).await;
    assert_eq!((unknown.0, refused(&unknown)), (403, UNKNOWN));
}

#[tokio::test]
async fn a_body_is_read_only_after_its_sender_is_believed() {
    let (mut app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    for path in [STATUS, "/agent/job/result"] {
        let mut forged = device.request(path, &json!({}), *NOW);
        forged.body = "no JSON".as_bytes().into();
        assert_eq!(refused(&device.send(&app, forged).await), UNPROVED, "{path}");
        assert_eq!(refused(&plain(&app, path, "no JSON", peer()).await), REFUSED, "{path}");
        let proved = device.post(&app, path, json!("no report")).await;
        assert_eq!(refused(&proved), MALFORMED, "{path}");
    }
    assert_eq!(refused(&plain(&app, REGISTER, "no JSON", peer()).await), REFUSED);
    app.accept_unsigned_bootagents = true;
    assert_eq!(refused(&plain(&app, STATUS, "no JSON", peer()).await), MALFORMED);
}

#[tokio::test]
async fn a_registration_counts_once() {
    let (app, _dir) = hub().await;
    let device = Device::new(1);
    let first = device.request(REGISTER, &device.registration(), *NOW);
    assert_eq!(device.send(&app, first.clone()).await.0, 200);
    let again = device.request(REGISTER, &device.registration(), *NOW);
    assert_eq!(device.send(&app, again.clone()).await.0, 200);
    for replayed in [first, again] {
        let answer = device.send(&app, replayed).await;
        assert_eq!((answer.0, refused(&answer)), (401, UNPROVED));
    }
    // Strangers leave no traces.
    let mut stranger = Device::new(2);
    stranger.agentsn = "stranger".to_owned();
    let mut body = stranger.registration();
    body["activationcode"] = json!("x".repeat(20));
    assert_eq!(refused(&stranger.post(&app, REGISTER, body).await), REFUSED);
    assert_eq!(count(&app, "nonce_seen").await, 2);
}

#[tokio::test]
async fn a_node_that_may_not_have_got_its_keys_keeps_them_from_being_deleted() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let first = sign::key_id(&device.pins[0]);
    server_keys::add(&app.store, &app.seal, Utc(NOW.0 + 1)).await.unwrap();
    let newer = server_keys::list(&app.store).await.unwrap()[0].id.clone();
    // Its registration's answer is lost as far as the hub knows.
    for id in [&first, &newer] {
        assert_eq!(server_keys::depending(&app.store, id).await.unwrap(), 1);
    }
    let answer = device.report(&app, json!({})).await;
    assert_eq!(server_keys::depending(&app.store, &first).await.unwrap(), 1);
    assert_eq!(server_keys::depending(&app.store, &newer).await.unwrap(), 0);
    // It registers again, the first key alone in hand, before it reports what it has got now.
    let (_, _) = device.post(&app, REGISTER, device.registration()).await;
    assert_eq!(server_keys::depending(&app.store, &first).await.unwrap(), 1);
    device.pins = keys(&answer);
    device.report(&app, json!({})).await;
    assert_eq!(server_keys::depending(&app.store, &first).await.unwrap(), 0);
}

#[tokio::test]
async fn founding_agents_are_nodes_only_where_the_operator_says_so() {
    let (mut app, _dir) = hub().await;
    let sample = r#"{
	"hostname": "127.0.0.1",
	"agentsn": "bfdcc18c-b6b9-4725-9c47-37fd93dba5b6"
}"#;
    let report = r#"{"hostname": "127.0.0.1", "version": "bootagent-1.2.4-x86_64", "uptime": 1234,
        "timestamp": 1232, "step": 600, "agents": [{"name": "BasicAgent", "version": "1.2.3",
        "status": "stoped", "uptime": 123,}]}"#;
    let result = r#"[{"id": "x", "errcode": 0, "message": "success"}]"#;
    for (path, body) in [(REGISTER, sample), (STATUS, report), ("/agent/job/result", result)] {
        let answer = plain(&app, path, body, peer()).await;
        assert_eq!((answer.0, refused(&answer)), (403, REFUSED), "{path}");
    }
    app.accept_unsigned_bootagents = true;
    let (_, first) = plain(&app, REGISTER, sample, peer()).await;
    let sn = "bfdcc18c-b6b9-4725-9c47-37fd93dba5b6";
    assert_eq!(first, json!({"status": 0, "agentsn": sn, "tags": ""}));
    assert_eq!(plain(&app, REGISTER, sample, peer()).await.1, first);
    let elsewhere = plain(&app, REGISTER, sample, "192.0.2.8".parse().unwrap()).await.1;
    assert_ne!(elsewhere["agentsn"], json!(sn));
    assert_eq!(count(&app, "node").await, 2);
    assert_eq!(plain(&app, STATUS, report, peer()).await.1, json!({"errcode": 0, "jobs": []}));
    assert_eq!(plain(&app, "/agent/job/result", result, peer()).await.1, json!({"errcode": 0}));

    // Nobody gets at a node that signs without its key.
    let mut device = Device::new(1);
    device.register(&app).await;
    let stolen = json!({"hostname": "edge-1", "agentsn": device.agentsn}).to_string();
    let (_, other) = plain(&app, REGISTER, &stolen, peer()).await;
    assert_ne!(other["agentsn"], json!(device.agentsn));
    assert_eq!(refused(&plain(&app, STATUS, &stolen, peer()).await), UNPROVED);
}

#[tokio::test]
async fn keys_are_handed_over_before_they_are_used() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let old = device.pins.clone();
    assert!(device.report(&app, json!({})).await["serverkeys"].is_null());

    server_keys::add(&app.store, &app.seal, Utc(NOW.0 + 1)).await.unwrap();
    // Signed by the old key, which the device knows, or the report would fail here.
    let answer = device.report(&app, json!({})).await;
    device.pins = keys(&answer);
    assert_eq!(device.pins.len(), 2);
    let old_id = sign::key_id(&old[0]);
    assert_eq!(server_keys::depending(&app.store, &old_id).await.unwrap(), 1);
    assert!(device.report(&app, json!({})).await["serverkeys"].is_null());
    assert_eq!(server_keys::depending(&app.store, &old_id).await.unwrap(), 0);

    server_keys::delete(&app.store, &old_id).await.unwrap();
    let answer = device.report(&app, json!({})).await;
    assert_eq!(keys(&answer).len(), 1);
    device.pins = keys(&answer);
    assert!(device.report(&app, json!({})).await["serverkeys"].is_null());
}

#[tokio::test]
async fn events_are_kept_once_and_never_too_many() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let event = |n: usize| {
        json!({"timestamp": 1000 + n, "localid": n + 1, "category": "exit", "subject": "sensor",
               "extra": "exit:1", "message": "sensor ended"})
    };
    for from in [0, 0, 300, 400] {
        let events: Vec<Value> = (from..from + 300).map(event).collect();
        device.report(&app, json!({"events": events})).await;
    }
    let kept: (i64, i64, i64) =
        sqlx::query_as("SELECT COUNT(*), MIN(local_id), MAX(local_id) FROM child_event")
            .fetch_one(&app.store.read)
            .await
            .unwrap();
    assert_eq!(kept, (500, 201, 700));
}

#[tokio::test]
async fn events_go_in_the_order_in_which_they_came_whatever_the_nodes_clock_says() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let event = |at: u64, n: usize| json!({"timestamp": at, "localid": n, "category": "exit"});
    let early: Vec<Value> = (1..=400).map(|n| event(4_000_000_000, n)).collect();
    device.report(&app, json!({"events": early})).await;
    sqlx::query("UPDATE child_event SET received_at = received_at - 1000")
        .execute(&app.store.write)
        .await
        .unwrap();
    // After a start without a clock: 1970, and the numbers go on.
    let late: Vec<Value> = (401..=700).map(|n| event(5, n)).collect();
    device.report(&app, json!({"events": late})).await;
    let kept: (i64, i64, i64) =
        sqlx::query_as("SELECT COUNT(*), MIN(local_id), MAX(local_id) FROM child_event")
            .fetch_one(&app.store.read)
            .await
            .unwrap();
    assert_eq!(kept, (500, 201, 700));
}

#[tokio::test]
async fn events_of_one_second_without_a_number_are_all_kept_and_once() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    device.register(&app).await;
    let event = |text: &str| json!({"timestamp": 7, "category": "exit", "message": text});
    let events = json!({"events": [event("a"), event("b"), event("a")]});
    for _ in 0..2 {
        device.report(&app, events.clone()).await;
        assert_eq!(count(&app, "child_event").await, 3);
    }
    device.report(&app, json!({"events": [event("c")]})).await;
    assert_eq!(count(&app, "child_event").await, 4);
}

#[tokio::test]
async fn no_nul_of_a_node_reaches_the_store() {
    let (app, _dir) = hub().await;
    let mut device = Device::new(1);
    let mut registration = device.registration();
    registration["hostname"] = json!("ed\0ge");
    registration["ipaddr"] = json!("10.\0");
    let (_, answer) = device.post(&app, REGISTER, registration).await;
    assert_eq!(answer["status"], 0, "{answer}");
    device.pins = keys(&answer);
    let nul = "a\0b";
    let child = json!({"name": nul, "version": nul, "status": "running", "reason": nul});
    let event = json!({"timestamp": 1, "localid": 1, "category": nul, "subject": nul,
                       "extra": nul, "message": nul});
    let report = json!({"hostname": nul, "agents": [child], "events": [event]});
    device.report(&app, report).await;
    device.result(&app, "no\0job", 1, nul).await;
    let texts: (String, String, String, String, String, String) = sqlx::query_as(
        "SELECT n.computer_name, n.ip_address, e.category || e.child || e.reason, e.message,
           i.content, b.agentsn
         FROM node n JOIN child_event e ON e.node_id = n.id
         JOIN inventory_item i ON i.node_id = n.id JOIN boot_agent b ON b.node_id = n.id",
    )
    .fetch_one(&app.store.read)
    .await
    .unwrap();
    assert_eq!((texts.0.as_str(), texts.1.as_str()), ("ab", "10."));
    assert_eq!((texts.2.as_str(), texts.3.as_str()), ("ababab", "ab"));
    assert!(!texts.4.contains("u0000") && texts.4.contains("\"ab\""), "{}", texts.4);
}

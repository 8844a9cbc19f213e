//! Who may call what, by requests signed as clients sign them.

use super::*;
use crate::app::testing;
use crate::auth::node_credentials::LIFETIME_MILLIS;
use crate::auth::operator_keys::{self, AccessKey};
use crate::auth::testing::{Signature, signed, unsigned};
use crate::nodes::registration::testing::{input, register_node};
use ed25519_dalek::SigningKey;
use serde_json::json;
use stint_wire::keys::ed25519_public_key;

const TOKEN: &str = "AmazonSSM.RequestManagedInstanceRoleToken";
const ROTATE: &str = "AmazonSSM.UpdateManagedInstancePublicKey";
const PING: &str = "AmazonSSM.UpdateInstanceInformation";
const POLL: &str = "EC2WindowsMessageDeliveryService.GetMessages";
const FINGERPRINT: &str = r#"{"Fingerprint":"f"}"#;

async fn call(app: &App, request: &Request, now: Utc) -> ApiResult<Value> {
    answer(app, request, "http://127.0.0.1:7400", now).await.result
}

async fn code(app: &App, request: &Request, now: Utc) -> &'static str {
    call(app, request, now).await.unwrap_err().code
}

async fn operator(app: &App) -> AccessKey {
    let key = AccessKey::generate().unwrap();
    operator_keys::put(&app.store, &app.seal, &key, "", Utc(0)).await.unwrap();
    key
}

/// The key of the node that `register_node` registers, or another.
fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn by_key(target: &str, body: &str, node: &str, seed: u8, now: Utc) -> Request {
    signed(target, body, "ssm", &Signature::Key(node, &key(seed)), now)
}

fn new_key(seed: u8) -> String {
    let key = ed25519_public_key(&key(seed).verifying_key().to_bytes());
    json!({"NewPublicKey": key, "NewPublicKeyType": "Ed25519"}).to_string()
}

struct Temporary(String, String, String);

impl Temporary {
    fn of(answer: &Value) -> Temporary {
        let member = |name: &str| answer[name].as_str().unwrap().to_owned();
        Temporary(member("AccessKeyId"), member("SecretAccessKey"), member("SessionToken"))
    }

    fn sign(&self, target: &str, body: &str, service: &str, now: Utc) -> Request {
        let by = Signature::Secret(&self.0, &self.1, Some(&self.2));
        signed(target, body, service, &by, now)
    }
}

#[tokio::test]
async fn a_node_gets_from_its_key_to_a_ping() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let request = by_key(TOKEN, FINGERPRINT, &node, 1, now);
    let answer = call(&app, &request, now).await.unwrap();
    assert_eq!(answer["UpdateKeyPair"], false);
    assert_eq!(
        answer["TokenExpirationDate"].as_f64().unwrap(),
        (now.0 + LIFETIME_MILLIS) as f64 / 1000.0
    );
    let temporary = Temporary::of(&answer);
    let ping = json!({"InstanceId": node}).to_string();
    call(&app, &temporary.sign(PING, &ping, "ssm", now), now).await.unwrap();
    // A retry carries the very same signature.
    assert!(call(&app, &request, now).await.is_ok());
}

#[tokio::test]
async fn temporary_credentials_are_refused_past_their_time_or_changed() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let answer = call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    let good = Temporary::of(&answer);
    let ping = json!({"InstanceId": node}).to_string();
    let end = Utc(now.0 + LIFETIME_MILLIS);
    let late = good.sign(PING, &ping, "ssm", end);
    assert_eq!(code(&app, &late, end).await, "ExpiredTokenException");
    let Temporary(id, secret, token) = good;
    for (changed, expected) in [
        (Temporary(id.clone(), "x".repeat(40), token.clone()), "InvalidSignatureException"),
        (Temporary(id.clone(), secret.clone(), "x".repeat(64)), "UnrecognizedClientException"),
        (
            Temporary("ASIAXXXXXXXXXXXXXXXX".into(), secret.clone(), token),
            "UnrecognizedClientException",
        ),
    ] {
        let request = changed.sign(PING, &ping, "ssm", now);
        assert_eq!(code(&app, &request, now).await, expected);
    }
    let tokenless = signed(PING, &ping, "ssm", &Signature::Secret(&id, &secret, None), now);
    assert_eq!(code(&app, &tokenless, now).await, "UnrecognizedClientException");
}

#[tokio::test]
async fn another_key_and_a_node_that_is_gone_get_no_credentials() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let wrong = by_key(TOKEN, FINGERPRINT, &node, 2, now);
    assert_eq!(code(&app, &wrong, now).await, "InvalidSignatureException");
    let answer = call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    sqlx::query("DELETE FROM node").execute(&app.store.write).await.unwrap();
    let gone = by_key(TOKEN, FINGERPRINT, &node, 1, now);
    assert_eq!(code(&app, &gone, now).await, "AccessDeniedException");
    let ping = json!({"InstanceId": node}).to_string();
    let request = Temporary::of(&answer).sign(PING, &ping, "ssm", now);
    assert_eq!(code(&app, &request, now).await, "UnrecognizedClientException");
}

#[tokio::test]
async fn the_old_key_is_good_until_the_new_one_is_used() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    call(&app, &by_key(ROTATE, &new_key(2), &node, 1, now), now).await.unwrap();
    // The answer was lost: the node still has its old key, and asks again with another.
    call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    call(&app, &by_key(ROTATE, &new_key(3), &node, 1, now), now).await.unwrap();
    let replaced = by_key(TOKEN, FINGERPRINT, &node, 2, now);
    assert_eq!(code(&app, &replaced, now).await, "InvalidSignatureException");
    call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    call(&app, &by_key(TOKEN, FINGERPRINT, &node, 3, now), now).await.unwrap();
    let old = by_key(TOKEN, FINGERPRINT, &node, 1, now);
    assert_eq!(code(&app, &old, now).await, "InvalidSignatureException");
    let unfit =
        by_key(ROTATE, r#"{"NewPublicKey":"bm8=","NewPublicKeyType":"Rsa"}"#, &node, 3, now);
    assert_eq!(code(&app, &unfit, now).await, "ValidationException");
}

#[tokio::test]
async fn a_node_cannot_take_the_key_of_another() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    sqlx::query("UPDATE activation SET registration_limit = 2")
        .execute(&app.store.write)
        .await
        .unwrap();
    let other = unsigned("AmazonSSM.RegisterManagedInstance", &input(2).to_string());
    call(&app, &other, now).await.unwrap();
    let request = by_key(ROTATE, &new_key(2), &node, 1, now);
    assert_eq!(code(&app, &request, now).await, "ValidationException");
}

#[tokio::test]
async fn a_changed_fingerprint_is_noted_and_answered() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let request = by_key(TOKEN, r#"{"Fingerprint":"new"}"#, &node, 1, now);
    assert!(call(&app, &request, now).await.is_ok());
    let kept: String = sqlx::query_scalar("SELECT fingerprint FROM node")
        .fetch_one(&app.store.read)
        .await
        .unwrap();
    assert_eq!(kept, "new");
}

#[tokio::test]
async fn credentials_of_a_node_do_not_pile_up() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let request = by_key(TOKEN, FINGERPRINT, &node, 1, now);
    for _ in 0..20 {
        call(&app, &request, now).await.unwrap();
    }
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node_credential")
        .fetch_one(&app.store.read)
        .await
        .unwrap();
    assert_eq!(kept, 16);
}

#[tokio::test]
async fn operators_and_nodes_keep_to_their_own_operations() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let key = operator(&app).await;
    let by = Signature::Secret(&key.id, &key.secret, None);
    for (target, service) in [(PING, "ssm"), (POLL, "ec2messages")] {
        let request = signed(target, "{}", service, &by, now);
        assert_eq!(code(&app, &request, now).await, "AccessDeniedException", "{target}");
    }
    let answer = call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    let request = Temporary::of(&answer).sign("AmazonSSM.SendCommand", "{}", "ssm", now);
    assert_eq!(code(&app, &request, now).await, "AccessDeniedException");
    let request = Temporary::of(&answer).sign(POLL, "{}", "ssm", now);
    assert_eq!(code(&app, &request, now).await, "InvalidSignatureException");
}

#[tokio::test]
async fn a_node_reads_the_documents_that_its_steps_name() {
    let (app, _dir) = testing::app().await;
    let (node, now) = (register_node(&app).await.id, app.now());
    let answer = call(&app, &by_key(TOKEN, FINGERPRINT, &node, 1, now), now).await.unwrap();
    let temporary = Temporary::of(&answer);
    let get = |body: &str| temporary.sign("AmazonSSM.GetDocument", body, "ssm", now);
    let asked = r#"{"Name": "AWS-RunDocument", "DocumentVersion": "1", "DocumentFormat": "JSON"}"#;
    let document = call(&app, &get(asked), now).await.unwrap();
    let content: Value = serde_json::from_str(document["Content"].as_str().unwrap()).unwrap();
    assert_eq!(content["mainSteps"][1]["action"], "aws:runDocument");
    assert_eq!(code(&app, &get(r#"{"Name": "no-such"}"#), now).await, "InvalidDocument");
    assert_eq!(code(&app, &get("{}"), now).await, "ValidationException");
}

#[tokio::test]
async fn an_operator_s_key_is_refused_from_the_moment_it_is_deleted() {
    let (app, _dir) = testing::app().await;
    let (key, now) = (operator(&app).await, app.now());
    let by = Signature::Secret(&key.id, &key.secret, None);
    let request = signed("AmazonSSM.NoSuchOperation", "{}", "ssm", &by, now);
    assert_eq!(code(&app, &request, now).await, "UnknownOperationException");
    let foreign = Signature::Secret(&key.id, &key.secret, Some("token"));
    let request_with_token = signed("AmazonSSM.NoSuchOperation", "{}", "ssm", &foreign, now);
    assert_eq!(code(&app, &request_with_token, now).await, "UnrecognizedClientException");
    operator_keys::delete(&app.store, &key.id).await.unwrap();
    assert_eq!(code(&app, &request, now).await, "UnrecognizedClientException");
}

#[tokio::test]
async fn malformed_requests_say_what_is_wrong() {
    let (app, _dir) = testing::app().await;
    let (key, now) = (operator(&app).await, app.now());
    for target in ["", "AmazonSSM", "DynamoDB_20120810.ListTables"] {
        let request = unsigned(target, "{}");
        assert_eq!(code(&app, &request, now).await, "UnknownOperationException", "{target}");
    }
    let by = Signature::Secret(&key.id, &key.secret, None);
    for body in ["[]", "{", "\"text\""] {
        let request = signed("AmazonSSM.NoSuchOperation", body, "ssm", &by, now);
        assert_eq!(code(&app, &request, now).await, "SerializationException", "{body}");
    }
    let request = unsigned("AmazonSSM.DescribeActivations", "{}");
    assert_eq!(code(&app, &request, now).await, "MissingAuthenticationTokenException");
}

#[tokio::test]
async fn a_stranger_s_operation_names_reach_no_metric() {
    let (app, _dir) = testing::app().await;
    let request = unsigned("AmazonSSM.MadeUpByAStranger", "{}");
    assert_eq!(answer(&app, &request, "", app.now()).await.operation, "");
}

#[tokio::test]
async fn every_call_of_an_operator_is_noted_with_who_made_it_and_what_it_was_about() {
    let (app, _dir) = testing::app().await;
    let (key, now) = (operator(&app).await, app.now());
    let by = Signature::Secret(&key.id, &key.secret, None);
    let noted = async |operation: &str, body: Value| {
        let target = format!("AmazonSSM.{operation}");
        let request = signed(&target, &body.to_string(), "ssm", &by, now);
        let outcome = answer(&app, &request, "http://127.0.0.1:7400", now).await;
        assert_eq!((outcome.operation.as_str(), &outcome.caller), (operation, &key.id));
        outcome.about
    };
    for operation in tools::support::supported() {
        noted(operation, json!({})).await;
    }
    let put = json!({"Name": "/psk", "Value": "secret", "Type": "SecureString"});
    assert_eq!(noted("PutParameter", put).await.as_deref(), Some("Name=/psk"));
    let gone = json!({"InstanceId": "mi-0123456789abcdef0"});
    let about = noted("DeregisterManagedInstance", gone).await;
    assert_eq!(about.as_deref(), Some("InstanceId=mi-0123456789abcdef0"));
    // What doesn't fit may be a secret in the wrong place.
    assert_eq!(noted("PutParameter", json!({"Name": ["secret"], "Value": "x"})).await, None);
    assert_eq!(noted("LaunchRocket", json!({"Name": "secret"})).await, None);
}

/// A thousand nodes hold a thousand of these. Inline, the largest operation's room would be in each, 6 kB.
#[tokio::test]
async fn a_request_that_waits_is_small() {
    let (app, _dir) = testing::app().await;
    let request = unsigned("AmazonSSM.ListCommands", "{}");
    let bytes = size_of_val(&answer(&app, &request, "", app.now()));
    assert!(bytes < 1536, "{bytes} bytes");
}

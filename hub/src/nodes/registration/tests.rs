//! Activations that are good, used up, expired, mismatched, and asked twice.

use super::testing::{ACTIVATION, activation, input};
use super::*;
use crate::app::testing;

async fn message(app: &App, input: &Value, now: u64) -> String {
    let error = register(app, input, Utc(now)).await.unwrap_err();
    assert_eq!(error.code, REFUSED);
    error.message
}

#[tokio::test]
async fn a_node_inherits_name_role_and_tags_of_its_activation() {
    let (app, _dir) = testing::app().await;
    activation(&app, 1, 100).await;
    sqlx::query("INSERT INTO tag VALUES ('Activation', $1, 'site', 'north')")
        .bind(ACTIVATION)
        .execute(&app.store.write)
        .await
        .unwrap();
    let answer = register(&app, &input(1), Utc(50)).await.unwrap();
    let id = answer["InstanceId"].as_str().unwrap();
    assert!(ids::is_managed_node_id(id));
    let row: (String, String, i64) =
        sqlx::query_as("SELECT name, iam_role, registered_at FROM node WHERE id = $1")
            .bind(id)
            .fetch_one(&app.store.read)
            .await
            .unwrap();
    assert_eq!(row, ("router".to_owned(), "role".to_owned(), 50));
    let tag: (String, String) =
        sqlx::query_as("SELECT tag_key, tag_value FROM tag WHERE resource_id = $1")
            .bind(id)
            .fetch_one(&app.store.read)
            .await
            .unwrap();
    assert_eq!(tag, ("site".to_owned(), "north".to_owned()));
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_gets_the_same_id_and_counts_once() {
    let (app, _dir) = testing::app().await;
    activation(&app, 2, 100).await;
    let first = register(&app, &input(1), Utc(1)).await.unwrap();
    assert_eq!(register(&app, &input(1), Utc(1)).await.unwrap(), first);
    assert_ne!(register(&app, &input(2), Utc(1)).await.unwrap(), first);
    assert!(message(&app, &input(3), 1).await.contains("2 of 2 registrations are used"));
    assert_eq!(register(&app, &input(1), Utc(1000)).await.unwrap(), first);
}

#[tokio::test]
async fn an_unknown_a_mismatched_and_an_expired_activation_are_refused() {
    let (app, _dir) = testing::app().await;
    assert!(message(&app, &input(1), 1).await.contains("don't match"));
    activation(&app, 1, 100).await;
    let mut wrong = input(1);
    wrong["ActivationCode"] = json!("abcdefghijABCDEFGHIj");
    assert!(message(&app, &wrong, 1).await.contains("don't match"));
    assert!(message(&app, &input(1), 100).await.contains("expired at 1970-01-01T00:00:00.100Z"));
    assert!(register(&app, &input(1), Utc(99)).await.is_ok());
}

#[tokio::test]
async fn a_malformed_request_names_the_member() {
    let (app, _dir) = testing::app().await;
    for (member, value, reason) in [
        ("ActivationId", json!("short"), "activationId"),
        ("ActivationCode", json!("short"), "activationCode"),
        ("Fingerprint", json!(""), "fingerprint"),
        ("PublicKey", json!("bm8="), "SubjectPublicKeyInfo"),
        ("PublicKeyType", json!("Dsa"), "Rsa or Ed25519"),
        ("PublicKeyType", Value::Null, "publicKeyType"),
    ] {
        let mut bad = input(1);
        bad[member] = value;
        let error = register(&app, &bad, Utc(1)).await.unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(reason), "{}", error.message);
    }
}

#[tokio::test]
async fn the_captured_registration_of_the_real_agent_is_answered() {
    use crate::auth::request::testing::parse;
    let (app, _dir) = testing::app().await;
    activation(&app, 1, 100).await;
    let text = include_str!("../../../../tests/fixtures/amazon-ssm-agent/register.http");
    let captured: Value = serde_json::from_slice(&parse(text).body).unwrap();
    assert!(register(&app, &captured, Utc(1)).await.unwrap()["InstanceId"].is_string());
}

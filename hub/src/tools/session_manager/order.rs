//! What a node is told of a session: its document and the values of its parameters.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::documents::{self, Document, MOST_IDLE_MINUTES, MOST_MINUTES, minutes};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use stint_wire::transcript::{WANTED, YES};

/// The document of a session without one, which holds everybody's preferences, too.
pub const PREFERENCES: &str = "SSM-SessionManagerRunShell";

/// After how many idle minutes a session ends when nothing says (AWS's documentation).
const IDLE_MINUTES: i64 = 20;

/// The keys of a document's `inputs` that belong together begin so: those about each place where transcripts may go,
/// about the user, about what a shell is told first, and about the key by which a session is encrypted. A document
/// speaks of all of one matter or of none.
const MATTERS: [&str; 6] = ["s3", "cloudWatch", "hubTranscript", "runAs", "shellProfile", "kmsKey"];

/// The session document of this name; without one the preferences.
///
/// # Errors
/// `InvalidDocument`, also for a document of another type.
pub async fn document(app: &App, name: Option<&str>) -> ApiResult<Document> {
    let document = documents::find(app, name.unwrap_or(PREFERENCES), None).await?;
    let summary = &document.summary;
    if summary.document_type == "Session" {
        return Ok(document);
    }
    Err(ApiError::new(
        "InvalidDocument",
        format!(
            "{} is a document of type {}; StartSession takes documents of type Session.",
            summary.name, summary.document_type
        ),
    ))
}

/// The values of all parameters as nodes read them: what was given, else the defaults. A value is a
/// text, as nodes fill it into texts.
///
/// # Errors
/// `ValidationException` for what the document doesn't allow.
pub fn parameters(
    document: &Document,
    given: &BTreeMap<String, Vec<String>>,
) -> ApiResult<Map<String, Value>> {
    document.content.check(given).map_err(ApiError::validation)?;
    let mut values = Map::new();
    for (name, declared) in document.content.parameters() {
        let value = match given.get(name).map(Vec::as_slice) {
            Some([one]) => json!(one),
            Some(several) => json!(several),
            None => declared.default.unwrap_or_default(),
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Idle and longest seconds of a session: what its document says, else what the preferences say;
/// the longest is 0 for no limit.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn limits(app: &App, document: &Document) -> ApiResult<(i64, i64)> {
    let preferences = documents::find(app, PREFERENCES, None).await?;
    let said = |name: &str, most: i64| {
        [document, &preferences]
            .into_iter()
            .find_map(|document| minutes(input(document.content.value(), name)?, most))
    };
    let idle = said("idleSessionTimeout", MOST_IDLE_MINUTES).unwrap_or(IDLE_MINUTES);
    let longest = said("maxSessionDuration", MOST_MINUTES).unwrap_or_default();
    Ok((idle * 60, longest * 60))
}

/// The document as the node is told it: about matters of which it says nothing, it says what the preferences say.
/// So no document is a way around them by itself: a node that can't encrypt refuses the session. Ports have neither
/// programs nor a transcript, and are never encrypted once more.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn content(app: &App, document: &Document) -> ApiResult<Value> {
    let preferences = documents::find(app, PREFERENCES, None).await?;
    let mut content = document.content.value().clone();
    if content.get("sessionType").and_then(Value::as_str) != Some("Port") {
        merge(&mut content, preferences.content.value());
    }
    Ok(content)
}

fn merge(content: &mut Value, preferences: &Value) {
    let Some(said) = preferences.get("inputs").and_then(Value::as_object) else { return };
    let own = content.get("inputs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut inputs = own.clone();
    for matter in MATTERS {
        // Nodes read names in any case.
        let is_of_it = |name: &str| {
            name.get(..matter.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(matter))
        };
        if own.keys().any(|name| is_of_it(name)) {
            continue;
        }
        let of_it = said.iter().filter(|(name, _)| is_of_it(name));
        inputs.extend(of_it.map(|(name, value)| (name.clone(), value.clone())));
    }
    if let Some(content) = content.as_object_mut().filter(|_| !inputs.is_empty()) {
        content.insert("inputs".to_owned(), Value::Object(inputs));
    }
}

/// What a document says under this name, which nodes read in any case.
fn input<'c>(content: &'c Value, wanted: &str) -> Option<&'c Value> {
    let inputs = content.get("inputs").and_then(Value::as_object)?;
    inputs.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, said)| said)
}

/// Whether a node that is told this hands the hub what the session prints, or may: what a parameter says the node
/// finds out.
pub fn has_transcript(content: &Value) -> bool {
    if content.get("sessionType").and_then(Value::as_str) == Some("Port") {
        return false;
    }
    match input(content, WANTED) {
        Some(Value::Bool(said)) => *said,
        Some(Value::Number(said)) => said.as_u64() == Some(1),
        Some(Value::String(said)) => YES.contains(&said.as_str()) || said.contains("{{"),
        _ => false,
    }
}

/// Where in S3 a node that is told this puts what the session prints; empty for nowhere, and where only the node
/// knows it.
pub fn output_url(app: &App, region: &str, session: &str, content: &Value) -> String {
    let said = |name| input(content, name).and_then(Value::as_str).unwrap_or_default();
    let (bucket, prefix) = (said("s3BucketName"), said("s3KeyPrefix"));
    let is_port = content.get("sessionType").and_then(Value::as_str) == Some("Port");
    if bucket.is_empty() || is_port || [bucket, prefix].iter().any(|text| text.contains("{{")) {
        return String::new();
    }
    let own = format!("https://s3.{region}.amazonaws.com");
    let server = app.s3_server.as_deref().unwrap_or(&own);
    let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    format!("{server}/{bucket}/{prefix}{slash}{session}.log")
}

/// The text of the order.
pub fn text(
    document: &Document,
    content: &Value,
    session: &str,
    values: Map<String, Value>,
    owner: &str,
) -> String {
    json!({
        "DocumentName": document.summary.name,
        "DocumentContent": content,
        "SessionId": session,
        "Parameters": values,
        "RunAsUser": "",
        "SessionOwner": owner,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_speak_for_a_document_that_says_nothing_of_a_matter() {
        let preferences = json!({"inputs": {"s3BucketName": "b", "s3KeyPrefix": "p",
            "cloudWatchLogGroupName": "g", "hubTranscriptEnabled": true, "runAsEnabled": true,
            "runAsDefaultUser": "operator", "shellProfile": {"linux": "cd /srv"},
            "kmsKeyId": "k"}});
        let told = |inputs: Value| {
            let mut content = json!({"sessionType": "InteractiveCommands"});
            if !inputs.is_null() {
                content["inputs"] = inputs;
            }
            merge(&mut content, &preferences);
            content["inputs"].clone()
        };
        let all = json!({"s3BucketName": "b", "s3KeyPrefix": "p", "cloudWatchLogGroupName": "g",
            "hubTranscriptEnabled": true, "runAsEnabled": true, "runAsDefaultUser": "operator",
            "shellProfile": {"linux": "cd /srv"}, "kmsKeyId": "k"});
        assert_eq!(told(json!(null)), all);
        let own = json!({"s3BucketName": "", "hubTranscriptEnabled": false, "x": 1,
            "RunAsEnabled": false, "shellProfile": {}, "KmsKeyId": ""});
        let mut wanted = own.clone();
        wanted["cloudWatchLogGroupName"] = json!("g");
        assert_eq!(told(own), wanted);
        let mut content = json!({"sessionType": "InteractiveCommands"});
        merge(&mut content, &json!({"inputs": {"idleSessionTimeout": "5"}}));
        assert_eq!(content, json!({"sessionType": "InteractiveCommands"}));
    }

    #[tokio::test]
    async fn the_place_in_s3_is_the_node_s_own_layout() {
        let (mut app, _dir) = crate::app::testing::app().await;
        let shell = |bucket: &str, prefix: &str| {
            json!({"sessionType": "Standard_Stream",
                   "inputs": {"s3BucketName": bucket, "s3KeyPrefix": prefix}})
        };
        let url = |app: &App, content: &Value| output_url(app, "eu-west-1", "s-1", content);
        assert_eq!(url(&app, &shell("", "p")), "");
        assert_eq!(url(&app, &shell("{{ b }}", "")), "");
        let port = json!({"sessionType": "Port", "inputs": {"s3BucketName": "b"}});
        assert_eq!(url(&app, &port), "");
        assert_eq!(url(&app, &shell("b", "")), "https://s3.eu-west-1.amazonaws.com/b/s-1.log");
        app.s3_server = Some("http://s3.lan:9".to_owned());
        let spelt = json!({"inputs": {"S3BucketName": "b", "S3KEYPREFIX": "p"}});
        assert_eq!(url(&app, &spelt), "http://s3.lan:9/b/p/s-1.log");
        for prefix in ["p", "p/"] {
            assert_eq!(url(&app, &shell("b", prefix)), "http://s3.lan:9/b/p/s-1.log");
        }
    }

    #[test]
    fn a_transcript_is_wanted_by_a_word_or_a_truth_and_never_of_a_port() {
        let wanted = |kind: &str, said: Value| {
            has_transcript(&json!({"sessionType": kind, "inputs": {"hubTranscriptEnabled": said}}))
        };
        assert!(wanted("Standard_Stream", json!(true)) && wanted("X", json!("true")));
        assert!(!wanted("Standard_Stream", json!(false)) && !wanted("Port", json!(true)));
        assert!(!wanted("Standard_Stream", json!("")) && !has_transcript(&json!({})));
        // As the device reads it.
        assert!(wanted("Standard_Stream", json!("True")) && wanted("Standard_Stream", json!(1)));
        assert!(!wanted("Standard_Stream", json!("yes")) && wanted("X", json!("{{ keep }}")));
        assert!(has_transcript(&json!({"inputs": {"HubTranscriptEnabled": true}})));
    }
}

use crate::app::App;
use crate::sessions;
use crate::tools::testbed::Testbed;
use serde_json::{Value, json};
use std::time::Duration;
use stint_wire::time::Utc;

async fn started(bed: &Testbed, node: &str, more: Value) -> String {
    let _channel = bed.app.wakeups.channel(node);
    let mut input = json!({"Target": node});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = bed.ok("StartSession", input).await;
    answer["SessionId"].as_str().unwrap().to_owned()
}

async fn order(app: &App, id: &str) -> Value {
    let session = sessions::find(app, id).await.unwrap().unwrap();
    serde_json::from_str(&session.content).unwrap()
}

#[tokio::test]
async fn a_session_needs_a_connected_node_and_a_document_for_sessions() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    assert_eq!(bed.code("StartSession", json!({"Target": node})).await, "TargetNotConnected");
    let _channel = bed.app.wakeups.channel(&node);
    for (more, code) in [
        (json!({"Target": node, "DocumentName": "AWS-RunShellScript"}), "InvalidDocument"),
        (json!({"Target": node, "DocumentName": "No-Such"}), "InvalidDocument"),
        (
            json!({"Target": node, "DocumentName": "AWS-StartSSHSession",
                   "Parameters": {"portNumber": ["99999"]}}),
            "ValidationException",
        ),
        (
            json!({"Target": node, "DocumentName": "AWS-StartInteractiveCommand"}),
            "ValidationException",
        ),
        (json!({"Target": node, "Parameters": {"x": ["1"]}}), "ValidationException"),
    ] {
        assert_eq!(bed.code("StartSession", more.clone()).await, code, "{more}");
    }
    let answer = bed.ok("StartSession", json!({"Target": node})).await;
    let id = answer["SessionId"].as_str().unwrap();
    assert!(id.starts_with("AKIATEST-") && id.len() == "AKIATEST-".len() + 17, "{id}");
    let url = format!("wss://hub.test/v1/data-channel/{id}?role=publish_subscribe");
    assert_eq!(answer["StreamUrl"], url);
}

#[tokio::test]
async fn a_node_is_told_the_document_and_every_parameter_as_one_text() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let more = json!({"DocumentName": "AWS-StartPortForwardingSession",
                      "Parameters": {"portNumber": ["8080"]}});
    let order = order(&bed.app, &started(&bed, &node, more).await).await;
    assert_eq!(order["Parameters"], json!({"portNumber": "8080", "localPortNumber": "0"}));
    assert_eq!(order["DocumentContent"]["sessionType"], "Port");
    assert_eq!(order["DocumentContent"]["schemaVersion"], "1.0");
    assert_eq!(order["SessionOwner"], "arn:aws:iam::123456789012:user/AKIATEST");
}

#[tokio::test]
async fn an_operator_s_own_preferences_replace_those_that_come_with_the_hub() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let name = "SSM-SessionManagerRunShell";
    let limits = async |id: String| -> (i64, i64) {
        sqlx::query_as("SELECT idle_seconds, longest_seconds FROM session WHERE id = $1")
            .bind(id)
            .fetch_one(&bed.app.store.read)
            .await
            .unwrap()
    };
    assert_eq!(limits(started(&bed, &node, json!({})).await).await, (1200, 0));
    let own = json!({"schemaVersion": "1.0", "sessionType": "Standard_Stream",
        "inputs": {"IdleSessionTimeout": "5", "maxSessionDuration": "60", "runAsEnabled": true}});
    let create = json!({"Name": name, "Content": own.to_string(), "DocumentType": "Session"});
    let typo = json!({"Name": name, "DocumentType": "Session",
        "Content": own.to_string().replace("runAsEnabled", "runAsEnabledd")});
    assert_eq!(bed.code("CreateDocument", typo).await, "InvalidDocumentContent");
    bed.ok("CreateDocument", create).await;
    for more in [json!({}), json!({"DocumentName": "AWS-StartSSHSession"})] {
        let id = started(&bed, &node, more).await;
        assert_eq!(limits(id).await, (300, 3600));
    }
    let listed = json!({"Filters": [{"Key": "Name", "Values": [name]}]});
    let listed = bed.ok("ListDocuments", listed).await;
    let listed = listed["DocumentIdentifiers"].as_array().unwrap();
    assert!(listed.len() == 1 && listed[0]["Owner"] == "123456789012", "{listed:?}");
    bed.ok("DeleteDocument", json!({"Name": name})).await;
    assert_eq!(
        bed.ok("DescribeDocument", json!({"Name": name})).await["Document"]["Owner"],
        "Amazon"
    );
}

#[tokio::test]
async fn a_key_that_the_preferences_want_is_told_with_every_document_but_ports() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let own = json!({"schemaVersion": "1.0", "sessionType": "Standard_Stream",
        "inputs": {"kmsKeyId": "alias/k"}});
    let create = json!({"Name": "SSM-SessionManagerRunShell", "Content": own.to_string(),
        "DocumentType": "Session"});
    bed.ok("CreateDocument", create).await;
    let line = json!({"command": ["sh"]});
    let port = json!({"portNumber": ["22"]});
    for (document, parameters, key) in [
        ("SSM-SessionManagerRunShell", json!({}), json!("alias/k")),
        ("AWS-StartInteractiveCommand", line.clone(), json!("alias/k")),
        ("AWS-StartNonInteractiveCommand", line, json!("alias/k")),
        ("AWS-StartSSHSession", port, json!(null)),
    ] {
        let more = json!({"DocumentName": document, "Parameters": parameters});
        let order = order(&bed.app, &started(&bed, &node, more).await).await;
        assert_eq!(order["DocumentContent"]["inputs"]["kmsKeyId"], key, "{document}");
    }
}

#[tokio::test]
async fn a_client_s_token_is_good_once_and_for_a_minute() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let id = started(&bed, &node, json!({})).await;
    let token = |answer: &Value| answer["TokenValue"].as_str().unwrap().to_owned();
    let resume = json!({"SessionId": id});
    let first = token(&bed.ok("ResumeSession", resume.clone()).await);
    let second = token(&bed.ok("ResumeSession", resume.clone()).await);
    let now = bed.app.now();
    for (token, at, good) in [
        (&first, now, false),
        (&second, Utc(now.0 + 120_000), false),
        (&String::new(), now, false),
        (&second, now, true),
        (&second, now, false),
    ] {
        assert_eq!(sessions::use_token(&bed.app, &id, token, at).await.unwrap(), good);
    }
}

#[tokio::test]
async fn a_terminated_session_is_history_and_can_not_be_resumed() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let id = started(&bed, &node, json!({"Reason": "repair"})).await;
    let active = bed.ok("DescribeSessions", json!({"State": "Active"})).await;
    assert_eq!(active["Sessions"][0]["Status"], "Connecting");
    for _ in 0..2 {
        let answer = bed.ok("TerminateSession", json!({"SessionId": id})).await;
        assert_eq!(answer["SessionId"], id);
    }
    assert_eq!(bed.code("ResumeSession", json!({"SessionId": id})).await, "DoesNotExistException");
    let active = bed.ok("DescribeSessions", json!({"State": "Active"})).await;
    assert_eq!(active["Sessions"], json!([]));
    let past = bed.ok("DescribeSessions", json!({"State": "History"})).await;
    let past = &past["Sessions"][0];
    assert_eq!((&past["Status"], &past["Reason"]), (&json!("Terminated"), &json!("repair")));
    assert!(past["EndDate"].is_number());
    bed.ok("TerminateSession", json!({"SessionId": "never-was"})).await;
}

#[tokio::test]
async fn sessions_are_found_by_each_filter_and_paged() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    let first = started(&bed, &one, json!({})).await;
    started(&bed, &two, json!({})).await;
    started(&bed, &two, json!({})).await;
    for (key, value, count) in [
        ("Target", one.as_str(), 1),
        ("SessionId", &first, 1),
        ("Owner", "arn:aws:iam::123456789012:user/AKIATEST", 3),
        ("Owner", "other", 0),
        ("Status", "Connecting", 3),
        ("Status", "Connected", 0),
        ("InvokedAfter", "2020-01-01T00:00:00Z", 3),
        ("InvokedBefore", "2020-01-01T00:00:00Z", 0),
        ("AccessType", "JustInTime", 0),
    ] {
        let input = json!({"State": "Active", "Filters": [{"key": key, "value": value}]});
        let found = bed.ok("DescribeSessions", input).await;
        assert_eq!(found["Sessions"].as_array().unwrap().len(), count, "{key} {value}");
    }
    let bad = json!({"State": "Active", "Filters": [{"key": "InvokedAfter", "value": "soon"}]});
    assert_eq!(bed.code("DescribeSessions", bad).await, "ValidationException");
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let input = json!({"State": "Active", "MaxResults": 2, "NextToken": token});
        let page = bed.ok("DescribeSessions", input).await;
        for session in page["Sessions"].as_array().unwrap() {
            seen.push(session["SessionId"].clone());
        }
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_node_has_so_many_sessions_and_no_more() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let _channel = bed.app.wakeups.channel(&node);
    // Also of those that come at once.
    let wanted = (0..sessions::limits::PER_NODE + 4)
        .map(|_| bed.call("StartSession", json!({"Target": node})));
    let answers = futures_util::future::join_all(wanted).await;
    let (kept, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((kept.len() as i64, refused.len()), (sessions::limits::PER_NODE, 4));
    assert_eq!(bed.code("StartSession", json!({"Target": node})).await, "ThrottlingException");
}

#[tokio::test]
async fn a_session_that_the_node_does_not_start_fails_and_an_idle_one_ends() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let key = "INSERT INTO access_key (id, sealed_secret, description, created_at)
               VALUES ('AKIATEST', '', '', 1)";
    bed.sql(key, &[]).await;
    let (silent, idle) =
        (started(&bed, &node, json!({})).await, started(&bed, &node, json!({})).await);
    let now = bed.app.now();
    sessions::told_start(&bed.app, &idle, now).await.unwrap();
    sessions::joined(&bed.app, &idle, now).await.unwrap();
    sessions::set_status(&bed.app, &idle, "Connected").await.unwrap();
    for at in [now, Utc(now.0 + 39_000)] {
        // It may have been told again since.
        sessions::told_start(&bed.app, &silent, at).await.unwrap();
    }
    sessions::enforce(&bed.app, Utc(now.0 + 40_000)).await.unwrap();
    let status = async |id: &str| sessions::find(&bed.app, id).await.unwrap().unwrap().status;
    assert_eq!((status(&silent).await, status(&idle).await), ("Failed".into(), "Connected".into()));
    sessions::told_end(&bed.app, &silent, now).await.unwrap();
    sessions::enforce(&bed.app, Utc(now.0 + 1_260_000)).await.unwrap();
    assert_eq!(status(&idle).await, "Terminating");
    let closing = async |at: u64| {
        let now = Utc(now.0 + at);
        sessions::closing(&bed.app, &node, now).await.unwrap().into_iter().map(|it| it.id)
    };
    assert!(closing(1_260_000).await.eq([idle.clone()]));
    sessions::enforce(&bed.app, Utc(now.0 + 1_300_000)).await.unwrap();
    assert_eq!(status(&idle).await, "Terminated");
    let order = sessions::find(&bed.app, &idle).await.unwrap().unwrap().content;
    assert_eq!(order, "{}", "its parameters are still there");
    // The node was away all the time; when it comes back, its shell is still there.
    assert!(closing(1_400_000).await.eq([idle.clone()]));
    assert_eq!(closing(3 * 24 * 3_600_000).await.count(), 0);
    sessions::told_end(&bed.app, &idle, now).await.unwrap();
    assert_eq!(closing(1_400_000).await.count(), 0);
}

#[tokio::test]
async fn a_session_that_the_database_will_not_end_holds_up_no_other() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let key = "INSERT INTO access_key (id, sealed_secret, description, created_at)
               VALUES ('AKIATEST', '', '', 1)";
    bed.sql(key, &[]).await;
    let first = started(&bed, &node, json!({"Reason": "stuck"})).await;
    let other = started(&bed, &node, json!({})).await;
    let trigger = "CREATE TRIGGER stuck BEFORE UPDATE ON session WHEN NEW.reason = 'stuck'
                   BEGIN SELECT RAISE(ABORT, 'not now'); END";
    bed.sql(trigger, &[]).await;
    let late = Utc(bed.app.now().0 + 480_000);
    assert!(sessions::enforce(&bed.app, late).await.is_err(), "nobody hears of it");
    let status = async |id: &str| sessions::find(&bed.app, id).await.unwrap().unwrap().status;
    assert_eq!(
        (status(&first).await, status(&other).await),
        ("Connecting".into(), "Failed".into())
    );
    bed.sql("DROP TRIGGER stuck", &[]).await;
    sessions::enforce(&bed.app, late).await.unwrap();
    assert_eq!(status(&first).await, "Failed");
}

#[tokio::test]
async fn a_session_behind_one_that_does_not_start_has_its_own_time_from_its_turn_on() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let key = "INSERT INTO access_key (id, sealed_secret, description, created_at)
               VALUES ('AKIATEST', '', '', 1)";
    bed.sql(key, &[]).await;
    let stuck = started(&bed, &node, json!({})).await;
    let now = bed.app.now();
    sessions::told_start(&bed.app, &stuck, now).await.unwrap();
    let status = async |id: &str| sessions::find(&bed.app, id).await.unwrap().unwrap().status;
    let later = started(&bed, &node, json!({})).await;
    let channel = bed.app.wakeups.channel(&node);
    let at = |millis: u64| Utc(now.0 + millis);
    sessions::enforce(&bed.app, at(40_000)).await.unwrap();
    assert_eq!(
        (status(&stuck).await, status(&later).await),
        ("Failed".into(), "Connecting".into())
    );
    // The channel hears that it is the next one's turn.
    tokio::time::timeout(Duration::from_secs(10), channel.rung()).await.unwrap();
    let next = sessions::next_to_start(&bed.app, &node).await.unwrap().unwrap();
    assert_eq!(next.id, later);
    sessions::told_start(&bed.app, &later, at(40_000)).await.unwrap();
    sessions::enforce(&bed.app, at(69_000)).await.unwrap();
    assert_eq!(status(&later).await, "Connecting");
    sessions::enforce(&bed.app, at(70_000)).await.unwrap();
    assert_eq!(status(&later).await, "Failed");
}

#[tokio::test]
async fn what_a_node_is_to_be_told_is_found_without_reading_the_history() {
    let bed = Testbed::new().await;
    let plan: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sessions::CLOSING)))
            .bind("mi-1")
            .bind(1_i64)
            .fetch_all(&bed.app.store.read)
            .await
            .unwrap();
    assert!(plan[0].3.contains("session_untold"), "{plan:?}");
}

#[tokio::test]
async fn a_node_is_connected_while_it_holds_a_channel() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let input = json!({"Target": node});
    assert_eq!(bed.ok("GetConnectionStatus", input.clone()).await["Status"], "notconnected");
    let _channel = bed.app.wakeups.channel(&node);
    assert_eq!(bed.ok("GetConnectionStatus", input).await["Status"], "connected");
}

#[tokio::test]
async fn a_session_is_not_resumed_when_no_rule_allows_it_any_more() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let id = started(&bed, &node, json!({})).await;
    let input = json!({"SessionId": id});
    assert_eq!(bed.ok("ResumeSession", input.clone()).await["SessionId"], id);
    let rule = "INSERT INTO session_rule (access_key, name, documents, conditions, updated_at)
                VALUES ('AKIAOTHER', 'r', '[\"*\"]', '[]', 1)";
    bed.sql(rule, &[]).await;
    assert_eq!(bed.code("ResumeSession", input).await, "AccessDeniedException");
}

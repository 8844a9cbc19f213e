use super::*;
use crate::auth::operator_keys::AccessKey;
use crate::auth::seal::Seal;
use crate::store::data_dir::DataDir;
use crate::tools::testbed::Testbed;
use axum::body::Body;
use std::sync::Arc;
use stint_wire::time::Utc;
use tower_service::Service;

const KEY: &str = "AKIAOPERATOR";
const SECRET: &str = "a-secret-of-forty-characters-or-less";
const HUB: &str = "http://hub.test:7400";

/// A hub with one operator, and nodes.
struct Bed {
    site: Site,
    node: String,
    _dir: tempfile::TempDir,
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

async fn bed() -> Bed {
    let testbed = Testbed::new().await;
    let node = testbed.node(1, &[]).await;
    let (app, _dir) = testbed.into_parts();
    let key = AccessKey { id: KEY.to_owned(), secret: SECRET.to_owned().into() };
    operator_keys::put(&app.store, &app.seal, &key, "", app.now()).await.unwrap();
    let data = DataDir::open(&_dir.path().join("data")).unwrap();
    Bed { site: Site { app: Arc::new(app), public_metrics: false, data }, node, _dir }
}

impl Bed {
    async fn ask(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        request = request.header("host", "hub.test:7400");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let mut router = super::super::routes::router(self.site.clone());
        let answer = router.call(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn post(&self, path: &str, cookie: &str, body: &Value) -> Answer {
        let headers = [("origin", HUB), ("content-type", "application/json"), ("cookie", cookie)];
        self.ask("POST", path, &headers, &body.to_string()).await
    }

    async fn log_in(&self, secret: &str) -> Answer {
        self.log_in_again(secret, "").await
    }

    async fn log_in_again(&self, secret: &str, cookie: &str) -> Answer {
        self.post("/console/login", cookie, &json!({"accessKey": KEY, "secret": secret})).await
    }

    /// A session that a browser has opened.
    async fn open(&self, cookie: &str) -> String {
        let start = json!({"Target": self.node});
        let started = self.post("/console/call/StartSession", cookie, &start).await.json();
        started["SessionId"].as_str().unwrap().to_owned()
    }

    /// The same hub after it was started again.
    async fn restarted(self) -> Bed {
        let (app, dir) = (&self.site.app, self._dir.path());
        app.store.close().await;
        let store = crate::store::sqlite::open(&dir.join("hub.db")).await.unwrap();
        let app = Arc::new(App::new(store, Seal::new([7; 32]), app.account_id.clone()));
        Bed { site: Site { app, ..self.site }, ..self }
    }

    async fn who(&self, cookie: &str) -> u16 {
        self.ask("GET", "/console/login", &[("cookie", cookie)], "").await.status
    }

    async fn status(&self, session: &str) -> String {
        crate::sessions::find(&self.site.app, session).await.unwrap().unwrap().status
    }
}

#[tokio::test]
async fn who_is_logged_in_opens_resumes_and_ends_sessions_as_the_api_does() {
    let bed = bed().await;
    let cookie = bed.log_in(SECRET).await.cookie();
    let _channel = bed.site.app.wakeups.channel(&bed.node);
    let start = json!({"Target": bed.node, "Reason": "ticket 7"});
    let started = bed.post("/console/call/StartSession", &cookie, &start).await.json();
    let id = started["SessionId"].as_str().unwrap().to_owned();
    let url = format!("ws://hub.test:7400/v1/data-channel/{id}?role=publish_subscribe");
    assert_eq!(started["StreamUrl"], url);
    let kept = crate::sessions::find(&bed.site.app, &id).await.unwrap().unwrap();
    assert_eq!((kept.access_key.as_str(), kept.reason.as_str()), (KEY, "ticket 7"));
    let named = json!({"SessionId": id});
    let again = bed.post("/console/call/ResumeSession", &cookie, &named).await;
    assert!(again.json()["TokenValue"].is_string() && again.header("cache-control") == "no-store");
    let ended = bed.post("/console/call/TerminateSession", &cookie, &named).await;
    assert_eq!((ended.status, bed.status(&id).await.as_str()), (200, "Terminated"));
    let wrong = bed.post("/console/call/StartSession", &cookie, &json!({"Target": ""})).await;
    assert_eq!(wrong.json()["__type"], "ValidationException");
    for operation in ["SendCommand", "GetParameter", "startsession", "x"] {
        let path = format!("/console/call/{operation}");
        let answer = bed.post(&path, &cookie, &json!({})).await;
        assert_eq!(answer.json()["__type"], "UnknownOperationException", "{operation}");
    }
}

#[tokio::test]
async fn a_rule_that_forbids_the_node_forbids_it_to_a_browser() {
    let bed = bed().await;
    let cookie = bed.log_in(SECRET).await.cookie();
    let _channel = bed.site.app.wakeups.channel(&bed.node);
    let rule = "INSERT INTO session_rule (access_key, name, documents, conditions, updated_at)
                VALUES ('AKIAOTHER', 'r', '[\"*\"]', '[]', 1)";
    sqlx::query(rule).execute(&bed.site.app.store.write).await.unwrap();
    let start = json!({"Target": bed.node});
    let refused = bed.post("/console/call/StartSession", &cookie, &start).await;
    assert_eq!(refused.json()["__type"], "AccessDeniedException");
}

#[tokio::test]
async fn a_wrong_secret_opens_nothing_and_many_have_to_wait() {
    let bed = bed().await;
    for secret in ["", "wrong", "A-secret-of-forty-characters-or-less"] {
        let refused = bed.log_in(secret).await;
        assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{secret}");
    }
    let unknown = json!({"accessKey": "AKIANOBODY", "secret": ""});
    let unknown = bed.post("/console/login", "", &unknown).await;
    assert_eq!(unknown.body, bed.log_in("wrong").await.body);
    assert_eq!(bed.log_in(SECRET).await.status, 200);
    let mut last = bed.log_in("wrong").await;
    for _ in 0..20 {
        last = bed.log_in("wrong").await;
    }
    assert_eq!(last.status, 429);
    assert!((1..=900).contains(&last.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(bed.log_in(SECRET).await.status, 429, "the right one has to wait as well");
}

#[tokio::test]
async fn a_log_in_ends_with_its_sessions_and_its_key() {
    let bed = bed().await;
    let first = bed.log_in(SECRET).await;
    assert_eq!(first.json(), json!({"accessKey": KEY}));
    let attributes = first.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
        assert!(attributes.contains(attribute), "{attributes}");
    }
    let cookie = first.cookie();
    assert_eq!(bed.who(&cookie).await, 200);
    let _channel = bed.site.app.wakeups.channel(&bed.node);
    let own = bed.open(&cookie).await;
    let other_cookie = bed.log_in(SECRET).await.cookie();
    let other = bed.open(&other_cookie).await;
    let out = bed.post("/console/logout", &cookie, &json!({})).await;
    assert!(out.status == 200 && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(bed.who(&cookie).await, 401);
    assert_eq!(bed.status(&own).await, "Terminated");
    assert_eq!(bed.status(&other).await, "Connecting");
    // The other one's key gets another secret, and then is deleted.
    let app = &bed.site.app;
    for secret in ["another-secret", SECRET] {
        let key = AccessKey { id: KEY.to_owned(), secret: secret.to_owned().into() };
        operator_keys::put(&app.store, &app.seal, &key, "", app.now()).await.unwrap();
        assert_eq!(bed.who(&other_cookie).await, 401, "{secret}");
    }
    let third = bed.log_in(SECRET).await.cookie();
    operator_keys::delete(&app.store, KEY).await.unwrap();
    assert_eq!(bed.who(&third).await, 401);
}

#[tokio::test]
async fn a_log_in_that_another_takes_the_place_of_ends_with_its_sessions() {
    let bed = bed().await;
    let _channel = bed.site.app.wakeups.channel(&bed.node);
    let cookie = bed.log_in(SECRET).await.cookie();
    let session = bed.open(&cookie).await;
    assert_eq!(bed.log_in_again("wrong", &cookie).await.status, 403);
    assert_eq!(bed.status(&session).await, "Connecting", "nobody has logged in");
    let newer = bed.log_in_again(SECRET, &cookie).await.cookie();
    assert_eq!((bed.who(&cookie).await, bed.who(&newer).await), (401, 200));
    assert_eq!(bed.status(&session).await, "Terminated");
}

#[tokio::test]
async fn a_log_in_that_runs_out_ends_its_sessions_and_no_others() {
    let bed = bed().await;
    let app = &bed.site.app;
    let _channel = app.wakeups.channel(&bed.node);
    let at = |millis: u64| Utc(app.now().0 + millis);
    let cookie = bed.log_in(SECRET).await.cookie();
    let [own, resumed] = [bed.open(&cookie).await, bed.open(&cookie).await];
    // It ends with the browser that has it now.
    let other = bed.log_in(SECRET).await.cookie();
    let named = json!({"SessionId": resumed});
    assert_eq!(bed.post("/console/call/ResumeSession", &other, &named).await.status, 200);
    let mut used = 0;
    while used < logins::LONGEST_MILLIS - logins::IDLE_MILLIS / 2 {
        used += logins::IDLE_MILLIS / 2;
        let token = other.split_once('=').unwrap().1;
        assert!(logins::of(app, token, at(used)).await.unwrap().is_some());
        logins::end_sessions(app, at(used)).await.unwrap();
        let idle = used >= logins::IDLE_MILLIS;
        assert_eq!(bed.status(&own).await, if idle { "Terminated" } else { "Connecting" });
        assert_eq!(bed.status(&resumed).await, "Connecting", "{used}");
    }
    logins::end_sessions(app, at(logins::LONGEST_MILLIS)).await.unwrap();
    assert_eq!(bed.status(&resumed).await, "Terminated");
    let ended = crate::sessions::find(app, &resumed).await.unwrap().unwrap();
    assert_eq!(ended.details, "The log-in of the session's browser has ended.");
}

#[tokio::test]
async fn a_log_in_outlives_the_hub_s_process_and_its_sessions_end_with_it_all_the_same() {
    let bed = bed().await;
    let channel = bed.site.app.wakeups.channel(&bed.node);
    let [stays, runs_out] = [bed.log_in(SECRET).await.cookie(), bed.log_in(SECRET).await.cookie()];
    let [kept, lost] = [bed.open(&stays).await, bed.open(&runs_out).await];
    drop(channel);
    let bed = bed.restarted().await;
    let app = &bed.site.app;
    assert_eq!((bed.who(&stays).await, bed.status(&kept).await.as_str()), (200, "Connecting"));
    assert_eq!(bed.post("/console/logout", &stays, &json!({})).await.status, 200);
    assert_eq!(bed.status(&kept).await, "Terminated");
    assert_eq!(bed.status(&lost).await, "Connecting");
    logins::end_sessions(app, Utc(app.now().0 + logins::IDLE_MILLIS)).await.unwrap();
    assert_eq!(bed.status(&lost).await, "Terminated");
}

#[tokio::test]
async fn nothing_is_changed_by_a_page_of_another_site_or_without_a_log_in() {
    let bed = bed().await;
    let cookie = bed.log_in(SECRET).await.cookie();
    let body = json!({"accessKey": KEY, "secret": SECRET}).to_string();
    let json_type = ("content-type", "application/json");
    for (path, origin, kind, status) in [
        ("/console/login", Some("https://evil.example"), json_type, 403),
        ("/console/login", None, json_type, 403),
        ("/console/login", Some(HUB), ("content-type", "text/plain"), 400),
        ("/console/logout", Some("http://hub.test"), json_type, 403),
        ("/console/call/StartSession", Some("null"), json_type, 403),
        ("/console/call/StartSession", Some(HUB), ("content-type", "text/plain"), 400),
    ] {
        let mut headers = vec![kind, ("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = bed.ask("POST", path, &headers, &body).await;
        assert_eq!(answer.status, status, "{path} {origin:?} {}", answer.body);
        assert_eq!(answer.header("set-cookie"), "", "{path}");
    }
    assert_eq!(bed.who(&cookie).await, 200, "still logged in");
    let start = json!({"Target": bed.node});
    assert_eq!(bed.post("/console/call/StartSession", "", &start).await.status, 401);
    assert_eq!(bed.ask("GET", "/console/nodes", &[], "").await.status, 401);
    let list = bed.ask("GET", "/console/nodes", &[("cookie", &cookie)], "").await;
    assert_eq!(list.json(), json!({"nodes": [], "count": 0}));
}

#[tokio::test]
async fn a_page_is_shut_to_other_sites_and_to_scripts_that_are_not_the_hub_s() {
    let bed = bed().await;
    for path in ["/console", "/console/", "/console/sessions/mi-1", "/console/files/app.js"] {
        let answer = bed.ask("GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let tag = answer.header("etag");
        if !tag.is_empty() {
            let known = bed.ask("GET", path, &[("if-none-match", tag)], "").await;
            assert_eq!((known.status, known.body.as_str()), (304, ""));
        }
    }
    assert_eq!(bed.ask("GET", "/console/files/nothing.js", &[], "").await.status, 404);
    assert_eq!(bed.ask("DELETE", "/console/login", &[], "").await.status, 404);
}

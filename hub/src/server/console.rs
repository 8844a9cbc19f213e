//! The web pages: files for browsers, the log-in, and calls in the name of who is logged in.
//!
//! Never here: what a call may do. It goes to [`tools`], as a signed one does.

use super::routes::{self, Peer, Site, endpoint, not_found, read};
use super::{answer, rpc};
use crate::app::{App, Caller};
use crate::auth::operator_keys;
use crate::auth::request::Request;
use crate::console::{files, logins, nodes, origin};
use crate::error::{ApiError, ApiResult};
use crate::tools;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;
use zeroize::Zeroizing;

/// Bytes of a call's body: a few names and a reason.
const BODY_LIMIT: usize = 16 * 1024;

/// What a page may call. All else needs a signature.
const CALLS: [&str; 3] = ["StartSession", "ResumeSession", "TerminateSession"];

/// The region of a browser's calls. It appears in ARNs that no page shows.
const REGION: &str = "us-east-1";

/// What a browser is told with everything. Nothing is loaded but from this hub, nothing runs that is
/// not a file of its own, and no other site's page has one of these in it. The terminal writes its
/// colours as styles, so those alone may stand in the page.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// All of it.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/console", get(page).fallback(not_found))
        .route("/console/", get(page).fallback(not_found))
        .route("/console/sessions/{node}", get(page).fallback(not_found))
        .route("/console/files/{name}", get(file).fallback(not_found))
        .route("/console/login", get(who).post(login).fallback(not_found))
        .route("/console/logout", post(logout).fallback(not_found))
        .route("/console/nodes", get(list).fallback(not_found))
        .route("/console/call/{operation}", post(call).fallback(not_found))
}

async fn page() -> Response {
    let kind = "text/html; charset=utf-8";
    let page = answer::with_type(StatusCode::OK, kind, files::page(), &answer::request_id());
    finished(page, "no-store")
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = files::find(&name) else { return finished(not_found().await, "no-store") };
    let (tag, id) = (file.tag(), answer::request_id());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = match known {
        true => answer::with_type(StatusCode::NOT_MODIFIED, file.kind, "", &id),
        false => answer::with_type(StatusCode::OK, file.kind, file.content, &id),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    // Another hub may have another file of this name.
    finished(response, "no-cache")
}

fn finished(mut response: Response, cache: &'static str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// One request of a page.
struct Visit<'v> {
    app: &'v App,
    request: Request,
    peer: Option<Peer>,
    endpoint: String,
}

impl<'v> Visit<'v> {
    async fn new(app: &'v App, request: axum::extract::Request) -> ApiResult<Visit<'v>> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().copied();
        let body = read(body, BODY_LIMIT).await?;
        let request = Request::new(&parts, &body);
        let endpoint = endpoint(&request, peer);
        Ok(Visit { app, request, peer, endpoint })
    }

    fn address(&self) -> IpAddr {
        self.peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
    }

    fn token(&self) -> Option<&str> {
        origin::token(self.request.header("cookie"))
    }

    /// The page's origin, of a request that changes something.
    fn origin(&self) -> ApiResult<&str> {
        let own: Vec<&str> =
            [self.endpoint.as_str()].into_iter().chain(self.app.public_url.as_deref()).collect();
        origin::check(self.request.header("origin"), &own).map_err(|what| ApiError {
            status: StatusCode::FORBIDDEN,
            ..ApiError::access_denied(what)
        })
    }

    /// The body. No form of another site's page can send this type.
    fn json(&self) -> ApiResult<Value> {
        let kind = self.request.header("content-type").unwrap_or_default();
        if kind.split(';').next() != Some("application/json") {
            let what = "The request's Content-Type is not application/json.";
            return Err(ApiError::new("SerializationException", what));
        }
        match serde_json::from_slice(&self.request.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(ApiError::new("SerializationException", "The body is no JSON object.")),
        }
    }

    /// Who is logged in, if the key is still there with the secret that was shown.
    async fn caller(&self) -> ApiResult<Caller> {
        let app = self.app;
        let Some(token) = self.token() else { return Err(nobody()) };
        let login = logins::of(app, token, app.now()).await?.ok_or_else(nobody)?;
        let secret = operator_keys::secret(&app.store, &app.seal, &login.access_key).await?;
        if !secret.is_some_and(|secret| login.is_by(token, &secret)) {
            logins::close(app, token).await?;
            logins::end_sessions(app, app.now()).await?;
            return Err(nobody());
        }
        Ok(Caller {
            access_key: login.access_key,
            region: REGION.to_owned(),
            endpoint: self.endpoint.clone(),
            login: login.id,
        })
    }
}

fn nobody() -> ApiError {
    ApiError {
        status: StatusCode::UNAUTHORIZED,
        ..ApiError::new("UnrecognizedClientException", "Nobody is logged in; log in first.")
    }
}

/// What became of a request, and a cookie to set.
struct Done {
    outcome: rpc::Outcome,
    cookie: Option<String>,
    /// After how many seconds to try again.
    wait: Option<u64>,
}

impl Done {
    fn of(operation: &str, caller: &str, result: ApiResult<Value>) -> Done {
        Done { outcome: rpc::Outcome::of(operation, caller, result), cookie: None, wait: None }
    }
}

/// Logs and counts as for any call, and answers.
fn answered(app: &App, started: Instant, peer: Option<Peer>, done: &Done) -> Response {
    let (outcome, request_id) = (&done.outcome, answer::request_id());
    let code = outcome.result.as_ref().err().map_or("OK", |error| error.code);
    app.metrics.count(&outcome.operation, code, started.elapsed());
    routes::log(outcome, code, started.elapsed(), &request_id, peer);
    let mut response = match &outcome.result {
        Ok(output) => answer::success(output, &request_id),
        Err(error) => answer::failure(error, &request_id),
    };
    let wait = done.wait.map(|seconds| seconds.to_string());
    for (name, text) in [(header::SET_COOKIE, &done.cookie), (header::RETRY_AFTER, &wait)] {
        if let Some(value) = text.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    finished(response, "no-store")
}

/// What a log-in shows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    access_key: String,
    secret: String,
}

async fn login(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let done = match Visit::new(&site.app, request).await {
        Ok(visit) => log_in(&visit).await,
        Err(error) => Done::of("ConsoleLogin", "", Err(error)),
    };
    answered(&site.app, started, peer, &done)
}

async fn log_in(visit: &Visit<'_>) -> Done {
    let refused = |error| Done::of("ConsoleLogin", "", Err(error));
    let (app, now, address) = (visit.app, visit.app.now(), visit.address());
    let shown = async {
        let origin = visit.origin()?;
        let shown: Shown = serde_json::from_value(visit.json()?)
            .map_err(|_| ApiError::validation("A log-in has an accessKey and a secret."))?;
        Ok((origin, shown))
    };
    let (origin, shown) = match shown.await {
        Ok(shown) => shown,
        Err(error) => return refused(error),
    };
    let given = Zeroizing::new(shown.secret);
    if let Err(seconds) = app.console.throttle.by_address(address, now) {
        return too_many(seconds);
    }
    let known = match operator_keys::secret(&app.store, &app.seal, &shown.access_key).await {
        Ok(known) => known,
        Err(error) => return refused(error.into()),
    };
    // An unknown key is compared with nothing that anybody could have typed, in the same time.
    let is_known = known.is_some();
    let secret = known.unwrap_or_default();
    let good = logins::matches(&given, &secret);
    if !is_known || !good {
        // What isn't a key may be a secret in the wrong field, so it is in no log.
        let tried = if is_known { shown.access_key.as_str() } else { "unknown" };
        tracing::warn!(tried, peer = %address, "log-in refused");
        return refused(ApiError {
            status: StatusCode::FORBIDDEN,
            ..ApiError::access_denied("The access key id or the secret is wrong.")
        });
    }
    app.console.throttle.forgive(address);
    let opened = async {
        if let Some(older) = visit.token() {
            logins::close(app, older).await?;
            logins::end_sessions(app, now).await?;
        }
        logins::open(app, &shown.access_key, &secret, now).await
    };
    match opened.await {
        Err(error) => refused(error),
        Ok(token) => {
            let result = Ok(json!({"accessKey": shown.access_key}));
            let done = Done::of("ConsoleLogin", &shown.access_key, result);
            Done { cookie: Some(origin::set_cookie(Some(&token), origin)), ..done }
        }
    }
}

fn too_many(seconds: u64) -> Done {
    let error = ApiError {
        status: StatusCode::TOO_MANY_REQUESTS,
        ..ApiError::new(
            "ThrottlingException",
            format!("There were too many failed log-ins; try again in {seconds} s."),
        )
    };
    Done { wait: Some(seconds), ..Done::of("ConsoleLogin", "", Err(error)) }
}

/// Who is logged in. Terminals ask now and then while somebody types, which keeps the log-in.
async fn who(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let result = async {
        let visit = Visit::new(&site.app, request).await?;
        Ok(json!({"accessKey": visit.caller().await?.access_key}))
    };
    quietly(result.await)
}

async fn list(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let result = async {
        let visit = Visit::new(&site.app, request).await?;
        visit.caller().await?;
        nodes::reachable(&site.app).await
    };
    quietly(result.await)
}

/// The answer to a page that only looks.
fn quietly(result: ApiResult<Value>) -> Response {
    let id = answer::request_id();
    let response = match result {
        Ok(output) => answer::success(&output, &id),
        Err(error) => answer::failure(&error, &id),
    };
    finished(response, "no-store")
}

/// Ends a log-in, with the sessions that were opened with it.
async fn logout(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let app = site.app.as_ref();
    let (mut caller, mut ended) = (String::new(), Ok(()));
    let result = async {
        let visit = Visit::new(app, request).await?;
        let origin = visit.origin()?;
        if let Some(token) = visit.token()
            && let Some(access_key) = logins::close(app, token).await?
        {
            caller = access_key;
            ended = logins::end_sessions(app, app.now()).await;
        }
        Ok(origin::set_cookie(None, origin))
    };
    let (result, cookie) = match result.await {
        Ok(cookie) => (ended.map(|()| json!({})), Some(cookie)),
        Err(error) => (Err(error), None),
    };
    let done = Done { cookie, ..Done::of("ConsoleLogout", &caller, result) };
    answered(app, started, peer, &done)
}

/// An operation of the API, in the name of who is logged in.
async fn call(
    State(site): State<Site>,
    Path(operation): Path<String>,
    request: axum::extract::Request,
) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let (mut named, mut who, mut given) = ("", String::new(), Value::Null);
    let result = async {
        let visit = Visit::new(&site.app, request).await?;
        visit.origin()?;
        let caller = visit.caller().await?;
        who.clone_from(&caller.access_key);
        let Some(operation) = CALLS.into_iter().find(|known| *known == operation) else {
            return Err(ApiError::new(
                "UnknownOperationException",
                format!("A page may call {} only.", CALLS.join(", ")),
            ));
        };
        named = operation;
        given = visit.json()?;
        tools::call(&site.app, &caller, operation, given.clone()).await
    };
    let result = result.await;
    let mut done = Done::of(named, &who, result);
    done.outcome = done.outcome.about(&given);
    answered(&site.app, started, peer, &done)
}

#[cfg(test)]
mod tests;

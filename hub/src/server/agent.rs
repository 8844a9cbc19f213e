//! POST of the BootAgent protocol's paths.

use super::routes::{Peer, Site, endpoint, read};
use super::{AGENT_BODY_LIMIT, REGISTRATION_LIMIT, answer};
use crate::auth::request::Request;
use crate::nodes::bootagent::{self, Reply};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use stint_wire::bootagent::{REGISTER, sign};

/// Answers one exchange. The nodes close the connection after it, as the protocol has it.
pub async fn post(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let app = site.app;
    let request_id = answer::request_id();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let limit = match parts.uri.path().ends_with(REGISTER) {
        true => REGISTRATION_LIMIT,
        false => AGENT_BODY_LIMIT,
    };
    let body = match read(body, limit).await {
        Ok(body) => body,
        Err(error) => return answer::failure(&error, &request_id),
    };
    let request = Request::new(&parts, &body);
    drop((parts, body));
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
    let named = request.header("host").is_some_and(|host| !host.is_empty());
    let endpoint = if named { endpoint(&request, peer) } else { String::new() };
    let reply =
        bootagent::answer(&app, &request, address.to_canonical(), &endpoint, app.now()).await;
    let elapsed = started.elapsed();
    app.metrics.count(reply.operation, reply.code, elapsed);
    log(&reply, elapsed, &request_id, peer);
    let mut response = answer::with_type(reply.status, "application/json", reply.body, &request_id);
    for (name, value) in reply
        .signature
        .into_iter()
        .flat_map(|(key, signature)| [(sign::KEY, key), (sign::SIGNATURE, signature)])
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// One line a call. Reports are too many for the default level.
fn log(reply: &Reply, elapsed: Duration, request_id: &str, peer: Option<Peer>) {
    let peer = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let ms = elapsed.as_millis() as u64;
    let Reply { operation, node, code, reason, .. } = reply;
    match *code {
        "OK" if *operation == "BootAgentStatus" => {
            tracing::debug!(operation, node, code, ms, request_id, peer, "call");
        }
        "OK" => tracing::info!(operation, node, code, ms, request_id, peer, "call"),
        _ => tracing::warn!(operation, code, ms, request_id, peer, reason, "call refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::store::data_dir::DataDir;
    use axum::body::Body;
    use axum::http::Request as HttpRequest;
    use std::sync::Arc;
    use stint_wire::bootagent::STATUS;

    async fn posted(site: &Site, path: &str, host: Option<&str>, size: usize) -> (u16, String) {
        let mut request = HttpRequest::post(path);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(Body::from(" ".repeat(size))).unwrap();
        let answer = post(State(site.clone()), request).await;
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn site(public_url: Option<&str>) -> (Site, tempfile::TempDir) {
        let (mut app, dir) = testing::app().await;
        app.accept_unsigned_bootagents = true;
        app.public_url = public_url.map(str::to_owned);
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        (Site { app: Arc::new(app), public_metrics: false, data }, dir)
    }

    #[tokio::test]
    async fn a_body_has_an_honest_size_for_its_path() {
        let (site, _dir) = site(None).await;
        for (path, limit) in [
            (REGISTER, REGISTRATION_LIMIT),
            ("/api/v1/agent/register", REGISTRATION_LIMIT),
            (STATUS, AGENT_BODY_LIMIT),
            ("/agent/job/result", AGENT_BODY_LIMIT),
        ] {
            assert_eq!(posted(&site, path, Some("hub"), limit).await.0, 400, "{path}");
            let (status, body) = posted(&site, path, Some("hub"), limit + 1).await;
            assert_eq!(status, 413, "{path}");
            assert!(body.contains(&format!("larger than {limit} bytes")), "{body}");
        }
    }

    #[tokio::test]
    async fn without_a_host_there_is_no_link_and_that_is_said() {
        for host in [None, Some("")] {
            let (unnamed, _dir) = site(None).await;
            let (status, body) = posted(&unnamed, STATUS, host, 2).await;
            assert_eq!(status, 400);
            assert!(body.contains("Host") && body.contains("--public-url"), "{body}");
            let (named, _dir) = site(Some("https://hub.test")).await;
            let (_, body) = posted(&named, STATUS, host, 2).await;
            assert!(!body.contains("Host"), "{body}");
        }
    }
}

//! POST of the BootAgent protocol's paths.

use super::answer;
use super::routes::{Peer, Site, endpoint, read};
use crate::auth::request::Request;
use crate::nodes::bootagent::{self, Reply};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use stint_wire::bootagent::sign;

/// Answers one exchange. The nodes close the connection after it, as the protocol has it.
pub async fn post(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let app = site.app;
    let request_id = answer::request_id();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let body = match read(body).await {
        Ok(body) => body,
        Err(error) => return answer::failure(&error, &request_id),
    };
    let request = Request::new(&parts, &body);
    drop((parts, body));
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
    let endpoint = endpoint(&request, peer);
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

//! Requests signed as clients sign them.

use super::request::Request;
use ed25519_dalek::{Signer, SigningKey};
use stint_wire::sigv4::{self, Authorization, Scope};
use stint_wire::text::base64;
use stint_wire::time::Utc;

/// Who signs, and with what.
pub enum Signature<'a> {
    /// An access key's id, its secret, and the session token if it has one.
    Secret(&'a str, &'a str, Option<&'a str>),
    /// A node's id and its own key.
    Key(&'a str, &'a SigningKey),
}

/// A request to `service` with this target and body, made at `now`.
pub fn signed(target: &str, body: &str, service: &str, by: &Signature, now: Utc) -> Request {
    let mut request = unsigned(target, body);
    let mut add = |name: &str, value: &str| {
        request.headers.push((name.to_owned(), value.to_owned()));
    };
    add("x-amz-date", &now.amz());
    if let Signature::Secret(_, _, Some(token)) = by {
        add("x-amz-security-token", token);
    }
    let scope = Scope::new(now, "eu-west-1", service);
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let to_sign = sigv4::Request {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: &request.body,
    };
    let text = to_sign.string_to_sign(&now.amz(), &scope);
    let (access_key, signature) = match by {
        Signature::Secret(id, secret, _) => (*id, sigv4::sign(secret, &scope, &text)),
        Signature::Key(node, key) => (*node, base64(&key.sign(text.as_bytes()).to_bytes())),
    };
    let authorization = Authorization {
        access_key: access_key.to_owned(),
        scope,
        signed_headers: to_sign.signed_headers().split(';').map(str::to_owned).collect(),
        signature,
    };
    request.headers.push(("authorization".to_owned(), authorization.to_string()));
    request
}

/// A request without a signature.
pub fn unsigned(target: &str, body: &str) -> Request {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![
            header("host", "127.0.0.1:7400"),
            header("content-type", stint_wire::ssm::CONTENT_TYPE),
            header("x-amz-target", target),
        ],
        body: body.to_owned().into(),
    }
}

//! A hub with server keys, and devices that sign.

use super::{Reply, answer};
use crate::app::{App, testing};
use crate::auth::request::Request;
use crate::auth::server_keys;
use crate::nodes::registration::testing::{ACTIVATION, CODE, activation};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use stint_wire::bootagent::sign::{self, AnswerText, RequestText};
use stint_wire::text;
use stint_wire::time::Utc;

/// The hub's time in these tests, unless they say otherwise: about that by which commands are
/// sent.
pub static NOW: LazyLock<Utc> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Utc(since.as_millis() as u64)
});

pub const ENDPOINT: &str = "http://hub.test:7400";

/// A hub with one server key and an activation for three.
pub async fn hub() -> (App, tempfile::TempDir) {
    let (mut app, dir) = testing::app().await;
    app.accept_unsigned_bootagents = false;
    sqlx::query("PRAGMA synchronous = OFF").execute(&app.store.write).await.unwrap();
    server_keys::ensure(&app.store, &app.seal, *NOW).await.unwrap();
    activation(&app, 3, i64::MAX).await;
    (app, dir)
}

pub fn peer() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// A device with a key.
pub struct Device {
    pub key: SigningKey,
    pub agentsn: String,
    pub pins: Vec<[u8; 32]>,
    nonce: Cell<u64>,
}

impl Device {
    pub fn new(seed: u8) -> Device {
        Device {
            key: SigningKey::from_bytes(&[seed; 32]),
            agentsn: format!("agent-{seed}"),
            pins: Vec::new(),
            nonce: Cell::new(u64::from(seed) << 32),
        }
    }

    /// The request as it goes over the line.
    pub fn request(&self, path: &str, body: &Value, at: Utc) -> Request {
        self.nonce.set(self.nonce.get() + 1);
        let (body, date) = (body.to_string(), at.secs().to_string());
        let (nonce, pins) = (format!("{:032x}", self.nonce.get()), sign::key_ids(&self.pins));
        let message = RequestText {
            method: "POST",
            path,
            agentsn: &self.agentsn,
            date: &date,
            nonce: &nonce,
            pins: &pins,
            body: body.as_bytes(),
        }
        .to_sign();
        let signature = text::base64(&self.key.sign(message.as_bytes()).to_bytes());
        let headers = [
            (sign::AGENT, self.agentsn.clone()),
            (sign::DATE, date),
            (sign::NONCE, nonce),
            (sign::PINS, pins),
            (sign::SIGNATURE, signature),
        ];
        Request {
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            body: body.into_bytes().into(),
        }
    }

    /// Sends a request; the answer is signed by a key that the device trusts, or by any if it
    /// trusts none yet, or the test fails here.
    pub async fn post(&self, app: &App, path: &str, body: Value) -> (u16, Value) {
        self.send(app, self.request(path, &body, *NOW)).await
    }

    pub async fn send(&self, app: &App, request: Request) -> (u16, Value) {
        let reply = answer(app, &request, peer(), ENDPOINT, *NOW).await;
        let (id, signature) = reply.signature.clone().expect("a signed answer");
        let keys = server_keys::list(&app.store).await.unwrap();
        let key = keys.iter().find(|key| key.id == id).unwrap();
        let key = sign::parse_key(&key.public_key).unwrap();
        assert!(self.pins.is_empty() || self.pins.contains(&key), "signed by an unknown key");
        let message = AnswerText {
            status: reply.status.as_u16(),
            path: &request.path,
            agentsn: &self.agentsn,
            nonce: request.header(sign::NONCE).unwrap(),
            body: reply.body.as_bytes(),
        }
        .to_sign();
        let signature = Signature::from_slice(&text::from_base64(&signature).unwrap()).unwrap();
        VerifyingKey::from_bytes(&key)
            .unwrap()
            .verify_strict(message.as_bytes(), &signature)
            .unwrap();
        said(&reply)
    }

    /// The body of a registration.
    pub fn registration(&self) -> Value {
        json!({
            "hostname": "edge-1", "agentsn": self.agentsn, "ipaddr": "10.1.2.3",
            "version": "stint-0.1.0-armv7", "feature": 1,
            "key": sign::key_text(&self.key.verifying_key().to_bytes()),
            "activationid": ACTIVATION, "activationcode": CODE,
        })
    }

    /// Registers, adopts what the hub says, and answers the node's id.
    pub async fn register(&mut self, app: &App) -> String {
        let (status, answer) = self.post(app, "/agent/register", self.registration()).await;
        assert_eq!((status, &answer["status"]), (200, &json!(0)), "{answer}");
        self.agentsn = answer["agentsn"].as_str().unwrap().to_owned();
        self.pins = keys(&answer);
        answer["nodeid"].as_str().unwrap().to_owned()
    }

    /// Sends a report with `more` members; the answer.
    pub async fn report(&self, app: &App, more: Value) -> Value {
        let mut report = json!({
            "hostname": "edge-1", "version": "stint-0.1.0-armv7", "uptime": 5, "timestamp": 1,
            "step": 600, "agents": [], "agentsn": self.agentsn, "feature": 1,
        });
        for (name, value) in more.as_object().unwrap() {
            report[name] = value.clone();
        }
        let (status, answer) = self.post(app, "/agent/status", report).await;
        assert_eq!((status, &answer["errcode"]), (200, &json!(0)), "{answer}");
        answer
    }

    /// Delivers one result.
    pub async fn result(&self, app: &App, id: &str, errcode: i64, message: &str) {
        let body = json!([{"id": id, "errcode": errcode, "message": message}]);
        let (status, answer) = self.post(app, "/agent/job/result", body).await;
        assert_eq!((status, answer), (200, json!({"errcode": 0})));
    }
}

/// The keys in an answer.
pub fn keys(answer: &Value) -> Vec<[u8; 32]> {
    let list = answer["serverkeys"].as_array().unwrap().iter();
    list.map(|key| sign::parse_key(key.as_str().unwrap()).unwrap()).collect()
}

/// A request without a signature.
pub async fn plain(app: &App, path: &str, body: &str, from: IpAddr) -> (u16, Value) {
    let request = Request {
        method: "POST".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec().into(),
    };
    let reply = answer(app, &request, from, ENDPOINT, *NOW).await;
    assert!(reply.signature.is_none());
    said(&reply)
}

fn said(reply: &Reply) -> (u16, Value) {
    (reply.status.as_u16(), serde_json::from_str(&reply.body).unwrap())
}

//! One exchange: whose it is, who answers, and the signature on the answer.

use super::refusal::{FAULT, MALFORMED, REFUSED, Refusal, UNPROVED};
use super::{nonces, register, result, status};
use crate::app::App;
use crate::auth::request::Request;
use crate::auth::server_keys::{self, Stored};
use crate::error::ApiError;
use axum::http::StatusCode;
use std::net::IpAddr;
use stint_wire::bootagent::sign::{self, AnswerText, RequestText};
use stint_wire::bootagent::{is_agentsn, register as register_text, status as status_text};
use stint_wire::text;
use stint_wire::time::Utc;

/// Hexadecimal digits of a nonce.
const NONCE_LENGTH: usize = 32;

/// The longest header `Stint-Pins`: as many ids as a node keeps, with commas.
const PINS_LENGTH: usize = sign::MAX_KEYS * 17;

/// What goes back, and what the log and the metrics are told.
pub struct Reply {
    /// The status of the HTTP answer.
    pub status: StatusCode,
    /// JSON.
    pub body: String,
    /// The id of the server's key and the signature; nothing for a node that doesn't sign.
    pub signature: Option<(String, String)>,
    /// The operation's name.
    pub operation: &'static str,
    /// The node's id; empty if nobody knows it.
    pub node: String,
    /// `OK`, or why not in a word.
    pub code: &'static str,
    /// Why not, in a sentence; for the log.
    pub reason: String,
}

/// What a request says of its sender, not yet proved.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'r> {
    /// The agent's id.
    pub agentsn: &'r str,
    /// 32 random digits.
    pub nonce: &'r str,
    /// The server keys that it trusts.
    pub pins: &'r str,
    date: &'r str,
    signature: &'r str,
}

/// A request with all that is around it.
pub struct Exchange<'r> {
    /// The request.
    pub request: &'r Request,
    /// Its body.
    pub body: &'r str,
    /// Its headers, if it is a signed one.
    pub claim: Option<Claim<'r>>,
    /// The client's address.
    pub peer: IpAddr,
    /// The URL under which the hub was reached; empty if the hub has one of its own and the
    /// request has none.
    pub endpoint: &'r str,
    /// The server's keys, the newest first.
    pub keys: &'r [Stored],
    /// The time.
    pub now: Utc,
}

/// What an operation has to say: the node, and the body of the answer.
pub struct Said {
    /// The node's id.
    pub node: String,
    /// JSON.
    pub body: String,
}

/// The operations, by their path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Register,
    Status,
    Result,
}

/// Answers a POST to one of the protocol's paths, the last parts of which say which one.
pub async fn answer(app: &App, request: &Request, peer: IpAddr, endpoint: &str, now: Utc) -> Reply {
    let operation = match request.path.rsplit('/').next() {
        Some("register") => Operation::Register,
        Some("status") => Operation::Status,
        _ => Operation::Result,
    };
    let (node, keys, outcome) = match server_keys::list(&app.store).await {
        Err(error) => (String::new(), Vec::new(), Err(ApiError::internal(error).into())),
        Ok(keys) => match perform(app, operation, request, peer, endpoint, &keys, now).await {
            Ok(said) => (said.node, keys, Ok(said.body)),
            Err(refusal) => (String::new(), keys, Err(refusal)),
        },
    };
    let (status, body, code, reason) = match outcome {
        Ok(body) => (StatusCode::OK, body, "OK", String::new()),
        Err(refusal) => {
            let code = refusal.code();
            (refusal.status, refused(operation, &refusal), code, refusal.message)
        }
    };
    let reply = Reply {
        status,
        body,
        signature: None,
        operation: match operation {
            Operation::Register => "BootAgentRegister",
            Operation::Status => "BootAgentStatus",
            Operation::Result => "BootAgentJobResult",
        },
        node,
        code,
        reason,
    };
    signed(app, request, reply, &keys)
}

async fn perform(
    app: &App,
    operation: Operation,
    request: &Request,
    peer: IpAddr,
    endpoint: &str,
    keys: &[Stored],
    now: Utc,
) -> Result<Said, Refusal> {
    let claim = claim(request)?;
    // Before anybody looks into the body: strangers don't choose how much work it is.
    if claim.is_none() && !app.accept_unsigned_bootagents {
        return Err(only_signed());
    }
    if endpoint.is_empty() && app.public_url.is_none() {
        return Err(Refusal::new(
            MALFORMED,
            "The request has no Host header, so links would lead nowhere; send one, or start the \
             hub with --public-url.",
        ));
    }
    let body = std::str::from_utf8(&request.body)
        .map_err(|_| Refusal::new(MALFORMED, "The body is no UTF-8 text."))?;
    let exchange = Exchange { request, body, claim, peer, endpoint, keys, now };
    match operation {
        Operation::Register => register::answer(app, &exchange).await,
        Operation::Status => status::answer(app, &exchange).await,
        Operation::Result => result::answer(app, &exchange).await,
    }
}

/// The headers of a signed request; `None` for one without.
fn claim(request: &Request) -> Result<Option<Claim<'_>>, Refusal> {
    let header = |name| request.header(name).unwrap_or_default();
    let Some(agentsn) = request.header(sign::AGENT) else {
        return match request.header(sign::SIGNATURE) {
            None => Ok(None),
            Some(_) => Err(Refusal::new(UNPROVED, "The header Stint-Agent is missing.")),
        };
    };
    let claim = Claim {
        agentsn,
        nonce: header(sign::NONCE),
        pins: header(sign::PINS),
        date: header(sign::DATE),
        signature: header(sign::SIGNATURE),
    };
    let nonce = claim.nonce.len() == NONCE_LENGTH
        && claim.nonce.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let wrong = if !is_agentsn(agentsn) {
        "Stint-Agent is no agent's id"
    } else if !nonce {
        "Stint-Nonce has to be 32 lower-case hexadecimal digits"
    } else if claim.pins.len() > PINS_LENGTH {
        "Stint-Pins has more keys than a node keeps"
    } else {
        return Ok(Some(claim));
    };
    Err(Refusal::new(UNPROVED, format!("{wrong}.")))
}

impl Claim<'_> {
    /// Whether the key made the signature over this request, not long ago.
    ///
    /// # Errors
    /// The answer to a request that is not the node's, or too old.
    pub fn prove(&self, key: &[u8; 32], request: &Request, now: Utc) -> Result<(), Refusal> {
        let message = RequestText {
            method: &request.method,
            path: &request.path,
            agentsn: self.agentsn,
            date: self.date,
            nonce: self.nonce,
            pins: self.pins,
            body: &request.body,
        }
        .to_sign();
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).ok().filter(|key| !key.is_weak());
        let signature = text::from_base64(self.signature)
            .and_then(|bytes| ed25519_dalek::Signature::from_slice(&bytes).ok());
        let proved = key
            .zip(signature)
            .is_some_and(|(key, made)| key.verify_strict(message.as_bytes(), &made).is_ok());
        if !proved {
            return Err(Refusal::new(
                UNPROVED,
                "The signature is not the one that this agent's key makes of the request.",
            ));
        }
        let fresh =
            self.date.parse::<u64>().is_ok_and(|date| date.abs_diff(now.secs()) <= sign::MAX_AGE);
        if fresh { Ok(()) } else { Err(Refusal::stale(now)) }
    }

    /// That the request has not been here before. To be asked of a proved request only, so that
    /// strangers can't fill the table.
    ///
    /// # Errors
    /// The answer to a request that has been here, or to a node that asks too often.
    pub async fn first_time(&self, app: &App, node: &str, now: Utc) -> Result<(), Refusal> {
        nonces::first_time(app, node, self.nonce, now).await
    }
}

fn refused(operation: Operation, refusal: &Refusal) -> String {
    let (message, date) = (Some(refusal.message.clone()), refusal.date);
    match operation {
        Operation::Register => register_text::Answer {
            status: refusal.errcode,
            message,
            date,
            ..register_text::Answer::default()
        }
        .write(),
        Operation::Status | Operation::Result => status_text::Answer {
            errcode: refusal.errcode,
            message,
            date,
            ..status_text::Answer::default()
        }
        .write(),
    }
}

/// Signs the answer to a request that has the headers for it: also an error, so that a node can
/// believe it.
fn signed(app: &App, request: &Request, mut reply: Reply, keys: &[Stored]) -> Reply {
    let Ok(Some(claim)) = claim(request) else { return reply };
    let Some(key) = server_keys::choose(keys, claim.pins) else { return reply };
    let message = AnswerText {
        status: reply.status.as_u16(),
        path: &request.path,
        agentsn: claim.agentsn,
        nonce: claim.nonce,
        body: reply.body.as_bytes(),
    }
    .to_sign();
    match key.sign(&app.seal, message.as_bytes()) {
        Ok(signature) => reply.signature = Some((key.id.clone(), signature)),
        Err(error) => {
            tracing::error!(%error, "an answer can't be signed");
            reply.status = StatusCode::INTERNAL_SERVER_ERROR;
            let refusal = Refusal::new(FAULT, "The answer could not be signed.");
            reply.body = refused(Operation::Status, &refusal);
        }
    }
    reply
}

/// The answer to a founding agent of a hub that takes none.
fn only_signed() -> Refusal {
    Refusal::new(
        REFUSED,
        "This hub takes only agents that sign; `stint-hub serve --accept-unsigned-bootagents` \
         would take others too.",
    )
}

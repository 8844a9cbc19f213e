//! One exchange: sign, send, verify, and only then read; at the next server if one fails.

use super::super::http::{Call, Http};
use super::super::{UplinkError, endpoint};
use super::trust::{Proof, Trust, Worth, judge};
use super::{BootAgent, refused};
use crate::sys::random;
use std::time::Duration;
use stint_wire::bootagent::{REGISTER, sign, status};
use stint_wire::text;
use stint_wire::time::Utc;

/// The time limit of one exchange.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer, bytes: fifty jobs with their definitions fit in it.
const MAX_ANSWER: u64 = 256 * 1024;

/// The HTTP status for a body that is too large.
const TOO_LARGE: u16 = 413;

/// An answer that is believed.
pub struct Heard {
    /// How far.
    pub worth: Worth,
    /// The body, of an HTTP status that means success.
    pub body: String,
}

impl BootAgent {
    /// Sends `body` to the first server that takes it.
    pub(super) fn exchange(
        &mut self,
        operation: &'static str,
        path: &'static str,
        body: &str,
    ) -> Result<Heard, UplinkError> {
        let (mut last, mut lost) = (None, false);
        let servers = self.round.order();
        for server in &servers {
            match self.ask(server, operation, path, body, &mut lost) {
                Ok(heard) => {
                    self.round.answered(server);
                    return Ok(heard);
                }
                Err(error) => {
                    if servers.len() > 1 {
                        log::warn!("{server}: {error}");
                    }
                    last = Some(error);
                }
            }
        }
        self.round.failed();
        if lost {
            self.forget_registration();
        }
        Err(last.unwrap_or_else(|| UplinkError::Local("there is no server to ask".to_owned())))
    }

    fn ask(
        &mut self,
        server: &str,
        operation: &'static str,
        path: &'static str,
        body: &str,
        lost: &mut bool,
    ) -> Result<Heard, UplinkError> {
        let url = endpoint::allowed(server.to_owned(), &self.config).map_err(local)?;
        let ca_file = self.config.ca_file.as_deref().or(self.identity.ca_file.as_deref());
        // Made for each exchange: an agent that has nothing to say holds no authorities in memory.
        let http = Http::new(ca_file, &[&url]).map_err(local)?;
        let signed = self.clock.now();
        match self.once(&http, &url, operation, path, body)? {
            Outcome::Heard(heard) => Ok(heard),
            Outcome::Stale(date) if self.clock.learn(Utc::from_secs(date), signed) => {
                match self.once(&http, &url, operation, path, body)? {
                    Outcome::Heard(heard) => Ok(heard),
                    _ => Err(refused(operation, sign::STALE, None)),
                }
            }
            Outcome::Stale(_) => Err(refused(operation, sign::STALE, None)),
            Outcome::Refused { worth, code, message } => {
                // Only where a server that is trusted says so.
                *lost |= code == sign::UNKNOWN && worth == Worth::Signed;
                Err(refused(operation, code, message))
            }
        }
    }

    fn once(
        &self,
        http: &Http,
        url: &str,
        operation: &'static str,
        path: &'static str,
        body: &str,
    ) -> Result<Outcome, UplinkError> {
        let configured = self.config.bootagent.server_key;
        let keys = match (self.identity.pins.as_slice(), &configured) {
            ([], Some(key)) => std::slice::from_ref(key),
            (pins, _) => pins,
        };
        let agentsn = self.identity.agentsn.as_str();
        let date = self.clock.now().secs().to_string();
        let nonce = text::hex(&random::bytes::<16>().map_err(local)?);
        let pins = sign::key_ids(keys);
        let request = sign::RequestText {
            method: "POST",
            path,
            agentsn,
            date: &date,
            nonce: &nonce,
            pins: &pins,
            body: body.as_bytes(),
        };
        let signature = self.identity.key.sign(&request.to_sign()).map_err(local)?;
        let call = Call {
            url: &format!("{url}{path}"),
            headers: &[
                ("content-type", "application/json"),
                ("connection", "close"),
                (sign::AGENT, agentsn),
                (sign::DATE, &date),
                (sign::NONCE, &nonce),
                (sign::PINS, &pins),
                (sign::SIGNATURE, &signature),
            ],
            body: body.as_bytes(),
            wanted: &[sign::KEY, sign::SIGNATURE],
            patience: PATIENCE,
            limit: MAX_ANSWER,
        };
        let answer = http
            .call(&call)
            .map_err(|cause| UplinkError::Unreachable { endpoint: url.to_owned(), cause })?;
        let trust = Trust {
            keys,
            first_contact: keys.is_empty() && path == REGISTER,
            unsigned: self.config.bootagent.accept_unsigned,
        };
        let [key, signature] = [0, 1].map(|at| answer.wanted.get(at).and_then(Option::as_deref));
        let proof = Proof { key, signature };
        let body = answer.body.as_bytes();
        let said = sign::AnswerText { status: answer.status, path, agentsn, nonce: &nonce, body };
        let good = (200..300).contains(&answer.status);
        let judged = judge(&trust, &proof, &said);
        if answer.status == TOO_LARGE {
            return Err(UplinkError::TooLarge { operation, is_certain: judged.is_ok() });
        }
        let worth = match judged {
            Ok(worth) => worth,
            // Most likely a proxy's or a captive portal's.
            Err(_) if !good && key.is_none() => {
                let code = String::new();
                return Err(UplinkError::Trouble { operation, status: answer.status, code });
            }
            Err(what) => return Err(UplinkError::Untrusted { operation, what }),
        };
        if good {
            return Ok(Outcome::Heard(Heard { worth, body: answer.body }));
        }
        // The three answers have these members in common.
        let said = status::Answer::read(&answer.body).unwrap_or_default();
        match (said.errcode, said.date) {
            (sign::STALE, Some(date)) => Ok(Outcome::Stale(date)),
            (0, _) => {
                let code = said.message.unwrap_or_default();
                Err(UplinkError::Trouble { operation, status: answer.status, code })
            }
            (code, _) => Ok(Outcome::Refused { worth, code, message: said.message }),
        }
    }
}

enum Outcome {
    Heard(Heard),
    /// The request's time is too far from the server's, which is this.
    Stale(u64),
    Refused {
        worth: Worth,
        code: i64,
        message: Option<String>,
    },
}

fn local(error: impl ToString) -> UplinkError {
    UplinkError::Local(error.to_string())
}

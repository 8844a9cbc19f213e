//! One signed call, and what its failure means.

use super::super::UplinkError;
use super::super::endpoint::{self, Service};
use super::super::http::Answer;
use super::Ssm;
use super::credentials::Credentials;
use crate::identity::Registration;
use miniserde::json;
use std::time::Duration;
use stint_wire::sigv4::{self, Authorization, Request, Scope};
use stint_wire::ssm::{CONTENT_TYPE, ErrorBody};
use stint_wire::time::Utc;

/// How often one call is made in all: once, once more with fresh credentials, and once more with
/// the right time.
const ATTEMPTS: usize = 3;

/// Codes that say the temporary credentials are no good any more.
const STALE_CREDENTIALS: [&str; 4] =
    ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException"];

/// Codes under which a server complains of the clock, too.
const STALE_SIGNATURE: [&str; 3] =
    ["InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"];

/// Codes by which a server asks to be spared.
const THROTTLES: [&str; 4] =
    ["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"];

/// With what a call is signed.
pub enum Signer<'a> {
    /// The node's own key: credentials, key rotation.
    Node(&'a Registration),
    /// Temporary credentials: everything else.
    Temporary(&'a Credentials),
}

impl Ssm {
    /// Calls an operation with temporary credentials, which are fetched or renewed on the way.
    pub fn call(
        &self,
        service: Service,
        operation: &'static str,
        body: &str,
        patience: Duration,
    ) -> Result<String, UplinkError> {
        let mut send = |credentials: &Credentials| {
            self.send(service, operation, body, patience, &Signer::Temporary(credentials))
        };
        self.with_credentials(operation, &mut send, verdict).map(|answer| answer.body)
    }

    /// Sends a request with temporary credentials, and again with others or with another time if `judge`
    /// finds that these are out of date.
    pub fn with_credentials(
        &self,
        operation: &'static str,
        send: &mut dyn FnMut(&Credentials) -> Result<Answer, UplinkError>,
        judge: fn(&'static str, &Answer) -> Result<(), UplinkError>,
    ) -> Result<Answer, UplinkError> {
        let mut renewed = false;
        for _ in 0..ATTEMPTS {
            let credentials = self.credentials()?;
            let signed = self.clock.now();
            let answer = send(&credentials)?;
            match judge(operation, &answer) {
                Ok(()) => return Ok(answer),
                Err(UplinkError::Refused { code, .. })
                    if self.is_clock_mended(&code, answer.date, signed) => {}
                Err(UplinkError::Refused { code, .. })
                    if !renewed && STALE_CREDENTIALS.contains(&code.as_str()) =>
                {
                    renewed = true;
                    self.keeper.forget(&credentials);
                }
                Err(error) => return Err(error),
            }
        }
        Err(UplinkError::BadAnswer { operation, what: "the server refuses every signature" })
    }

    /// Calls an operation of the `ssm` service with the node's own key.
    pub fn call_with_node_key(
        &self,
        node: &Registration,
        operation: &'static str,
        body: &str,
    ) -> Result<String, UplinkError> {
        let signer = Signer::Node(node);
        for _ in 0..ATTEMPTS {
            let signed = self.clock.now();
            let answer = self.send(Service::Ssm, operation, body, super::CALL_TIMEOUT, &signer)?;
            match verdict(operation, &answer) {
                Ok(()) => return Ok(answer.body),
                Err(UplinkError::Refused { code, .. })
                    if self.is_clock_mended(&code, answer.date, signed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(UplinkError::BadAnswer { operation, what: "the server refuses every signature" })
    }

    fn is_clock_mended(&self, code: &str, date: Option<Utc>, signed: Utc) -> bool {
        STALE_SIGNATURE.contains(&code) && date.is_some_and(|date| self.clock.learn(date, signed))
    }

    fn send(
        &self,
        service: Service,
        operation: &'static str,
        body: &str,
        patience: Duration,
        signer: &Signer<'_>,
    ) -> Result<Answer, UplinkError> {
        let url = &self.way(service);
        let target = format!("{}.{operation}", service.target_prefix());
        let now = self.clock.now();
        let date = now.amz();
        let mut headers = vec![
            ("content-type", CONTENT_TYPE),
            ("host", endpoint::authority(url)),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        if let Signer::Temporary(credentials) = signer {
            headers.push(("x-amz-security-token", credentials.session_token.as_str()));
        }
        let request = Request {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        let authorization = self.authorization(&request, service, (now, &date), signer)?;
        headers.push(("authorization", authorization.as_str()));
        let answer = self.http.post(url, &headers, body.as_bytes(), patience);
        self.came(url, answer.as_ref().map_or(0, |answer| answer.status));
        answer.map_err(|cause| UplinkError::Unreachable { endpoint: url.to_owned(), cause })
    }

    /// The value of the header `authorization`.
    pub fn authorization(
        &self,
        request: &Request<'_>,
        service: Service,
        (now, date): (Utc, &str),
        signer: &Signer<'_>,
    ) -> Result<String, UplinkError> {
        let scope = Scope::new(now, &self.region, service.name());
        let text = request.string_to_sign(date, &scope);
        let (access_key, signature) = match signer {
            Signer::Node(node) => {
                let signature = node.key.sign(&text);
                let signature = signature.map_err(|e| UplinkError::Local(e.to_string()))?;
                (&node.instance_id, signature)
            }
            Signer::Temporary(credentials) => {
                (&credentials.access_key, sigv4::sign(&credentials.secret, &scope, &text))
            }
        };
        let signed_headers = request.signed_headers().split(';').map(str::to_owned).collect();
        let access_key = access_key.to_owned();
        Ok(Authorization { access_key, scope, signed_headers, signature }.to_string())
    }
}

/// What an answer means.
pub fn verdict(operation: &'static str, answer: &Answer) -> Result<(), UplinkError> {
    // A page of the Web comes with any status.
    if (300..400).contains(&answer.status) || answer.body.trim_start().starts_with('<') {
        return match answer.status {
            500.. => {
                let code = String::new();
                Err(UplinkError::Trouble { operation, status: answer.status, code })
            }
            _ => Err(UplinkError::Portal { operation }),
        };
    }
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let body: Option<ErrorBody> = json::from_str(&answer.body).ok();
    let code = body.as_ref().map(ErrorBody::code).unwrap_or_default().to_owned();
    match (answer.status, body) {
        (400..500, _) if THROTTLES.contains(&code.as_str()) => {
            Err(UplinkError::Trouble { operation, status: answer.status, code })
        }
        (400..500, Some(body)) if !code.is_empty() => {
            Err(UplinkError::Refused { operation, code, message: body.message().to_owned() })
        }
        (500.., _) => Err(UplinkError::Trouble { operation, status: answer.status, code }),
        // A redirect or an error page: somebody between here and the server speaks.
        _ => Err(UplinkError::BadAnswer {
            operation,
            what: "it isn't from a Systems Manager server",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> Result<(), UplinkError> {
        verdict("Op", &Answer { status, date: None, wanted: Vec::new(), body: body.to_owned() })
    }

    #[test]
    fn an_answer_is_judged_by_status_and_code() {
        assert!(judge(200, "").is_ok());
        assert!(matches!(judge(400, r#"{"__type":"InvalidActivation","message":"m"}"#),
            Err(UplinkError::Refused { code, message, .. }) if code == "InvalidActivation" && message == "m"));
        assert!(matches!(
            judge(400, r#"{"__type":"ThrottlingException"}"#),
            Err(UplinkError::Trouble { status: 400, .. })
        ));
        assert!(matches!(judge(503, "<html>"), Err(UplinkError::Trouble { status: 503, .. })));
        for (status, body) in [(302, ""), (403, "<html>portal</html>"), (200, "\n<!DOCTYPE html>")]
        {
            assert!(matches!(judge(status, body), Err(UplinkError::Portal { .. })), "{status}");
        }
        assert!(matches!(judge(404, "{}"), Err(UplinkError::BadAnswer { .. })));
    }
}

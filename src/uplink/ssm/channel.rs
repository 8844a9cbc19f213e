//! Channels of the message gateway: a POST, signed, that is answered with a token; a websocket, signed as
//! well; the token in its first frame (facts in `docs/PROTOCOL.md`, "The control channel").

use super::super::UplinkError;
use super::super::endpoint::{self, Service};
use super::super::http::{Answer, Call};
use super::super::websocket::{self, Broken, Opcode, WebSocket};
use super::call::{Signer, verdict};
use super::credentials::Credentials;
use super::{CALL_TIMEOUT, Ssm};
use std::io::ErrorKind;
use stint_wire::mgs::{MAX_MESSAGE, open};
use stint_wire::sigv4::{self, Request};
use stint_wire::websocket::Fault;

/// An answer with a token is a few hundred bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// What the XML of an error says if this node is to keep to polling.
const DENIED: &str = "AccessDeniedException";

/// What servers say of a session that is over, in XML or JSON.
const TERMINATED: &str = "Session is already terminated";

/// A channel to be opened.
struct Wanted<'a> {
    operation: &'static str,
    path: String,
    query: &'static str,
    /// The body of the POST, from a request's id.
    body: fn(&str) -> String,
    /// The first frame, from a request's id and the token.
    first: &'a dyn Fn(&str, &str) -> String,
}

impl Ssm {
    /// Opens this node's control channel, and waits for that.
    ///
    /// # Errors
    /// See [`UplinkError`]. [`UplinkError::Trouble`] also for a websocket that somebody in between doesn't
    /// let pass.
    pub fn open_control_channel(&self) -> Result<WebSocket, UplinkError> {
        self.open_channel(&Wanted {
            operation: "CreateControlChannel",
            path: open::control_path(&self.node().instance_id),
            query: open::CONTROL_QUERY,
            body: open::create_control,
            first: &|id, token| open::open_control(id, token, env!("STINT_VERSION")),
        })
    }

    /// Opens the data channel of a session, and waits for that. Opened again, it goes on where it was.
    ///
    /// # Errors
    /// As above.
    #[cfg(feature = "session")]
    pub fn open_data_channel(&self, session: &str) -> Result<WebSocket, UplinkError> {
        let node = self.node();
        self.open_channel(&Wanted {
            operation: "CreateDataChannel",
            path: open::data_path(session),
            query: open::DATA_QUERY,
            body: open::create_data,
            first: &|id, token| open::open_data(id, token, &node.instance_id),
        })
    }

    fn open_channel(&self, wanted: &Wanted<'_>) -> Result<WebSocket, UplinkError> {
        let operation = wanted.operation;
        let url = self.way(Service::SsmMessages);
        let unreachable = |cause| UplinkError::Unreachable { endpoint: url.clone(), cause };
        let body = (wanted.body)(&self.request_id()?);
        let address = format!("{url}{}", wanted.path);
        let mut post = |credentials: &Credentials| {
            let headers = self.signed("POST", &url, wanted, &body, credentials)?;
            let answer = self.http.call(&Call {
                url: &address,
                headers: &pairs(&headers),
                body: body.as_bytes(),
                wanted: &[],
                patience: CALL_TIMEOUT,
                limit: MAX_ANSWER,
            });
            self.came(&url, answer.as_ref().map_or(0, |answer| answer.status));
            answer.map_err(unreachable)
        };
        let answer = self.with_credentials(operation, &mut post, judge)?;
        let token = open::token(&answer.body);
        let token = token.ok_or(UplinkError::BadAnswer { operation, what: "it has no token" })?;
        let headers = self.signed("GET", &url, wanted, "", &*self.credentials()?)?;
        let socket = WebSocket::open(
            &self.http,
            &websocket::Request {
                url: &url,
                target: &format!("{}?{}", wanted.path, wanted.query),
                headers: &pairs(&headers),
                limit: MAX_MESSAGE,
                patience: CALL_TIMEOUT,
            },
        );
        let mut socket = socket.map_err(|broken| {
            self.channel_was(&url, false);
            in_words(operation, broken)
        })?;
        let first = (wanted.first)(&self.request_id()?, &token);
        let sent = socket.send(Opcode::Text, first.as_bytes());
        sent.map_err(|broken| in_words(operation, broken))?;
        Ok(socket)
    }

    /// The headers of a signed request, but for `host`, which every request has.
    fn signed(
        &self,
        method: &str,
        url: &str,
        wanted: &Wanted<'_>,
        body: &str,
        credentials: &Credentials,
    ) -> Result<Vec<(&'static str, String)>, UplinkError> {
        let now = self.clock.now();
        let date = now.amz();
        let token = credentials.session_token.as_str();
        let mut headers = vec![
            ("host", endpoint::authority(url)),
            ("x-amz-date", &date),
            ("x-amz-security-token", token),
        ];
        let posts = method == "POST";
        if posts {
            headers.push(("content-type", "application/json"));
        }
        let request = Request {
            method,
            // Encoded once more, as for every service but S3.
            path: &sigv4::percent_encode(&wanted.path, true),
            query: if posts { "" } else { wanted.query },
            headers: &headers,
            body: body.as_bytes(),
        };
        let signer = Signer::Temporary(credentials);
        let authorization =
            self.authorization(&request, Service::SsmMessages, (now, &date), &signer)?;
        let mut own = vec![
            ("x-amz-date", date.clone()),
            ("x-amz-security-token", token.to_owned()),
            ("authorization", authorization),
        ];
        if posts {
            own.push(("content-type", "application/json".to_owned()));
        }
        Ok(own)
    }
}

fn pairs<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// What the answer to the POST means. It is XML if all is well, and often if not.
fn judge(operation: &'static str, answer: &Answer) -> Result<(), UplinkError> {
    if answer.status == open::CREATED {
        return Ok(());
    }
    if answer.body.contains(DENIED) {
        let (code, message) = (DENIED.to_owned(), "no channel for this node".to_owned());
        return Err(UplinkError::Refused { operation, code, message });
    }
    if answer.body.contains(TERMINATED) {
        let (code, message) = ("DoesNotExistException".to_owned(), TERMINATED.to_owned());
        return Err(UplinkError::Refused { operation, code, message });
    }
    verdict(operation, answer)?;
    Err(UplinkError::BadAnswer { operation, what: "it isn't the one to a new channel" })
}

/// What it means that there is no websocket though the server has given a token for one: most often somebody in
/// between eats them.
fn in_words(operation: &'static str, broken: Broken) -> UplinkError {
    let what = match broken {
        Broken::Fault(Fault::Status(status)) => {
            let code = "to its websocket".to_owned();
            return UplinkError::Trouble { operation, status, code };
        }
        Broken::Fault(_) => "what answers to its websocket is none",
        Broken::Io(cause) if cause.kind() == ErrorKind::TimedOut => "its websocket isn't answered",
        _ => "the connection ends where its websocket should begin",
    };
    UplinkError::BadAnswer { operation, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Result<(), UplinkError> {
        judge("Op", &Answer { status, date: None, wanted: Vec::new(), body: body.to_owned() })
    }

    #[test]
    fn only_201_is_a_channel_and_a_denial_is_told_from_trouble() {
        assert_eq!(of(201, "<a/>"), Ok(()));
        assert!(matches!(of(200, "{}"), Err(UplinkError::BadAnswer { .. })));
        for (status, body) in [
            (403, "<AccessDeniedException><Message>no</Message></AccessDeniedException>"),
            (400, r#"{"__type":"AccessDeniedException"}"#),
        ] {
            assert!(of(status, body).is_err_and(|error| error.is_rejection_of_the_node()));
        }
        let over = "<DoesNotExistException><Message>Session is already terminated, or never was.\
                    </Message></DoesNotExistException>";
        assert!(of(404, over).is_err_and(|error| matches!(error, UplinkError::Refused { .. })));
        assert!(matches!(of(503, ""), Err(UplinkError::Trouble { status: 503, .. })));
        assert!(matches!(of(404, ""), Err(UplinkError::BadAnswer { .. })));
        assert!(matches!(of(200, "<html>"), Err(UplinkError::Portal { .. })));
    }
}

//! Payloads on data channels: acknowledgements, the handshake, and the small ones.

use super::{MessageId, PayloadError, may, must, number, parse};
use crate::json::{Node, ObjectWriter, Value, quote};

/// What stream data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PayloadType {
    /// Bytes of a terminal or a connection, both ways.
    Output = 1,
    /// Declared, and used by nobody.
    Error = 2,
    /// [`Size`] of the client's terminal.
    Size = 3,
    /// Declared, and used by nobody.
    Parameter = 4,
    /// [`HandshakeRequest`].
    HandshakeRequest = 5,
    /// [`HandshakeResponse`].
    HandshakeResponse = 6,
    /// [`HandshakeComplete`].
    HandshakeComplete = 7,
    /// A test of the key, from the agent.
    EncChallengeRequest = 8,
    /// And its answer.
    EncChallengeResponse = 9,
    /// [`Flag`].
    Flag = 10,
    /// What a command has written to its standard error.
    StdErr = 11,
    /// [`exit_code`].
    ExitCode = 12,
}

impl PayloadType {
    /// Of a number on the wire.
    pub fn of(number: u32) -> Option<PayloadType> {
        use PayloadType::*;
        let all = [
            Output,
            Error,
            Size,
            Parameter,
            HandshakeRequest,
            HandshakeResponse,
            HandshakeComplete,
            EncChallengeRequest,
            EncChallengeResponse,
            Flag,
            StdErr,
            ExitCode,
        ];
        all.into_iter().find(|it| *it as u32 == number)
    }
}

/// `acknowledge`: one message of stream data has come. Receivers go by the sequence number alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// The message's type.
    pub kind: String,
    /// Its id.
    pub id: MessageId,
    /// Its sequence number.
    pub sequence: i64,
}

impl Acknowledge {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or has no sequence number.
    pub fn read(payload: &[u8]) -> Result<Acknowledge, PayloadError> {
        const SEQUENCE: &str = "AcknowledgedMessageSequenceNumber";
        let node = parse(payload)?;
        let sequence = i64::try_from(number(&node, SEQUENCE)?);
        Ok(Acknowledge {
            kind: may(&node, "AcknowledgedMessageType"),
            id: MessageId::parse(&may(&node, "AcknowledgedMessageId")).unwrap_or_default(),
            sequence: sequence.map_err(|_| PayloadError::Member(SEQUENCE))?,
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("AcknowledgedMessageType", &self.kind)
            .string("AcknowledgedMessageId", &self.id.to_string())
            .raw("AcknowledgedMessageSequenceNumber", &self.sequence.to_string())
            .raw("IsSequentialMessage", "true")
            .finish()
    }
}

/// The size of the client's terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub columns: u16,
    /// Its height.
    pub rows: u16,
}

impl Size {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or no size of a terminal.
    pub fn read(payload: &[u8]) -> Result<Size, PayloadError> {
        let node = parse(payload)?;
        let of = |name| u16::try_from(number(&node, name)?).map_err(|_| PayloadError::Member(name));
        Ok(Size { columns: of("cols")?, rows: of("rows")? })
    }

    /// Writes it.
    pub fn write(self) -> String {
        ObjectWriter::new()
            .raw("cols", &self.columns.to_string())
            .raw("rows", &self.rows.to_string())
            .finish()
    }
}

/// What the two ends of a stream tell each other beside it: a number of 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Flag {
    /// From the client: close the connection to the port.
    DisconnectToPort = 1,
    /// From the client: the session is over.
    TerminateSession = 2,
    /// From the agent: the port can't be reached.
    ConnectToPortError = 3,
}

impl Flag {
    /// Reads it; `None` for one that nobody knows.
    pub fn read(payload: &[u8]) -> Option<Flag> {
        let number = u32::from_be_bytes(payload.try_into().ok()?);
        let all = [Flag::DisconnectToPort, Flag::TerminateSession, Flag::ConnectToPortError];
        all.into_iter().find(|flag| *flag as u32 == number)
    }

    /// Writes it.
    pub fn write(self) -> [u8; 4] {
        (self as u32).to_be_bytes()
    }
}

/// The payload of [`PayloadType::ExitCode`].
pub fn exit_code(code: i32) -> String {
    format!("EXIT_CODE: {code}")
}

/// `agent_session_state`: `Connected`, or `Terminating` when the agent's side has ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The word.
    pub state: String,
    /// The session's id.
    pub session_id: String,
}

impl SessionState {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or says no state.
    pub fn read(payload: &[u8]) -> Result<SessionState, PayloadError> {
        let node = parse(payload)?;
        let state = must(&node, "SessionState")?;
        Ok(SessionState { state, session_id: may(&node, "SessionId") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .raw("SchemaVersion", "1")
            .string("SessionState", &self.state)
            .string("SessionId", &self.session_id)
            .finish()
    }
}

/// The name of the action that says what session this is.
const SESSION_TYPE: &str = "SessionType";

/// What the agent asks of the client before some sessions. Encryption by KMS is nothing that is asked
/// here.
#[derive(Clone, Debug, PartialEq)]
pub struct HandshakeRequest {
    /// The agent's version: four numbers, by which clients decide what they can do.
    pub agent_version: String,
    /// The session's type.
    pub session_type: String,
    /// The document's properties, for ports; `None` is written as `null`.
    pub properties: Option<Node>,
}

impl HandshakeRequest {
    /// Reads it. Actions other than that of the session's type are passed over.
    ///
    /// # Errors
    /// It isn't JSON, or doesn't say the session's type.
    pub fn read(payload: &[u8]) -> Result<HandshakeRequest, PayloadError> {
        let node = parse(payload)?;
        let actions = node.get_any_case("RequestedClientActions").and_then(Node::elements);
        let mut actions = actions.unwrap_or_default().iter();
        let action = actions.find(|it| may(it, "ActionType") == SESSION_TYPE);
        let parameters = action.and_then(|it| it.get_any_case("ActionParameters"));
        let parameters = parameters.ok_or(PayloadError::Member("RequestedClientActions"))?;
        let properties = parameters.get_any_case("Properties");
        Ok(HandshakeRequest {
            agent_version: may(&node, "AgentVersion"),
            session_type: must(parameters, SESSION_TYPE)?,
            properties: properties.filter(|it| it.value != Value::Null).cloned(),
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        let properties = self.properties.as_ref().map_or("null".to_owned(), Node::to_string);
        let parameters = ObjectWriter::new()
            .string(SESSION_TYPE, &self.session_type)
            .raw("Properties", &properties)
            .finish();
        let action = ObjectWriter::new()
            .string("ActionType", SESSION_TYPE)
            .raw("ActionParameters", &parameters)
            .finish();
        ObjectWriter::new()
            .string("AgentVersion", &self.agent_version)
            .raw("RequestedClientActions", &format!("[{action}]"))
            .finish()
    }
}

/// The status of an action that the client has done.
pub const ACTION_DONE: u64 = 1;

/// What a client has done of what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it was.
    pub kind: String,
    /// 1 done, 2 failed, 3 unknown to the client.
    pub status: u64,
    /// What came of it; `None` is written as `null`.
    pub result: Option<Node>,
    /// Why it failed.
    pub error: String,
}

/// The client's answer to a [`HandshakeRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct HandshakeResponse {
    /// The client's version.
    pub client_version: String,
    /// What it has done.
    pub actions: Vec<Action>,
}

impl HandshakeResponse {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or lacks what was done.
    pub fn read(payload: &[u8]) -> Result<HandshakeResponse, PayloadError> {
        const ACTIONS: &str = "ProcessedClientActions";
        let node = parse(payload)?;
        let actions = node.get_any_case(ACTIONS).and_then(Node::elements);
        let action = |node: &Node| {
            let result = node.get_any_case("ActionResult").filter(|it| it.value != Value::Null);
            Ok(Action {
                kind: must(node, "ActionType")?,
                status: number(node, "ActionStatus")?,
                result: result.cloned(),
                error: may(node, "Error"),
            })
        };
        let actions = actions.ok_or(PayloadError::Member(ACTIONS))?.iter().map(action);
        Ok(HandshakeResponse {
            client_version: may(&node, "ClientVersion"),
            actions: actions.collect::<Result<_, _>>()?,
        })
    }

    /// The first action that wasn't done.
    pub fn failed(&self) -> Option<&Action> {
        self.actions.iter().find(|action| action.status != ACTION_DONE)
    }

    /// Writes it.
    pub fn write(&self) -> String {
        let action = |action: &Action| {
            let result = action.result.as_ref().map_or("null".to_owned(), Node::to_string);
            ObjectWriter::new()
                .string("ActionType", &action.kind)
                .raw("ActionStatus", &action.status.to_string())
                .raw("ActionResult", &result)
                .string("Error", &action.error)
                .finish()
        };
        let actions: Vec<String> = self.actions.iter().map(action).collect();
        ObjectWriter::new()
            .string("ClientVersion", &self.client_version)
            .raw("ProcessedClientActions", &format!("[{}]", actions.join(",")))
            .raw("Errors", "null")
            .finish()
    }
}

/// The end of the handshake, from the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeComplete {
    /// How long it took, nanoseconds.
    pub nanoseconds: u64,
    /// What the client is to show.
    pub message: String,
}

impl HandshakeComplete {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON.
    pub fn read(payload: &[u8]) -> Result<HandshakeComplete, PayloadError> {
        let node = parse(payload)?;
        let nanoseconds = node.get_any_case("HandshakeTimeToComplete").and_then(Node::as_u64);
        let nanoseconds = nanoseconds.unwrap_or_default();
        Ok(HandshakeComplete { nanoseconds, message: may(&node, "CustomerMessage") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        format!(
            "{{\"HandshakeTimeToComplete\":{},\"CustomerMessage\":{}}}",
            self.nanoseconds,
            quote(&self.message)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;

    #[test]
    fn a_handshake_without_properties_says_null_and_a_failed_action_is_found() {
        let request = HandshakeRequest {
            agent_version: "3.3.0.0".into(),
            session_type: "NonInteractiveCommands".into(),
            properties: None,
        };
        let text = request.write();
        assert!(text.ends_with(r#""Properties":null}}]}"#), "{text}");
        assert_eq!(HandshakeRequest::read(text.as_bytes()), Ok(request));
        let answer = br#"{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"a","ActionStatus":1},{"ActionType":"b","ActionStatus":3,"Error":"no"}]}"#;
        let answer = HandshakeResponse::read(answer).unwrap();
        assert_eq!(answer.failed().map(|action| action.error.as_str()), Some("no"));
        assert!(HandshakeRequest::read(br#"{"RequestedClientActions":[]}"#).is_err());
        assert!(HandshakeResponse::read(b"{}").is_err());
    }

    #[test]
    fn small_payloads_out_of_range_are_refused() {
        assert!(Size::read(br#"{"cols":65536,"rows":1}"#).is_err());
        assert!(Acknowledge::read(br#"{"AcknowledgedMessageSequenceNumber":-1}"#).is_err());
        assert_eq!([Flag::read(&[0, 0, 0, 4]), Flag::read(&[2])], [None, None]);
        assert_eq!((PayloadType::of(0), PayloadType::of(13)), (None, None));
        assert_eq!(PayloadType::of(11), Some(PayloadType::StdErr));
        assert_eq!(exit_code(7), "EXIT_CODE: 7");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(
            text: String, id: [u8; 16], sequence in 0..i64::MAX, columns: u16, rows: u16, status: u64,
        ) {
            let acknowledge = Acknowledge { kind: text.clone(), id: MessageId(id), sequence };
            prop_assert_eq!(Acknowledge::read(acknowledge.write().as_bytes()), Ok(acknowledge));
            let size = Size { columns, rows };
            prop_assert_eq!(Size::read(size.write().as_bytes()), Ok(size));
            let done = HandshakeComplete { nanoseconds: status, message: text.clone() };
            prop_assert_eq!(HandshakeComplete::read(done.write().as_bytes()), Ok(done));
            let result = json::parse("{\"a\":[1,null]}").ok();
            let action = Action { kind: "a".into(), status, result, error: text.clone() };
            let answer = HandshakeResponse { client_version: text, actions: vec![action] };
            prop_assert_eq!(HandshakeResponse::read(answer.write().as_bytes()), Ok(answer));
        }

        #[test]
        fn no_payload_makes_a_reader_panic(text: String) {
            let text = text.as_bytes();
            let _ = (Acknowledge::read(text), Size::read(text), Flag::read(text));
            let _ = (HandshakeRequest::read(text), HandshakeResponse::read(text));
            let _ = (HandshakeComplete::read(text), SessionState::read(text));
        }
    }
}

//! How a channel begins: a POST that is answered with a token, a websocket, and a text frame with the
//! token in it.

use super::{PayloadError, SCHEMA, may, must, parse};
use crate::json::ObjectWriter;
use crate::sigv4;

/// The path of a node's control channel.
pub fn control_path(node: &str) -> String {
    format!("/v1/control-channel/{}", sigv4::percent_encode(node, false))
}

/// The path of a session's data channel.
pub fn data_path(session: &str) -> String {
    format!("/v1/data-channel/{}", sigv4::percent_encode(session, false))
}

/// The query of the control channel's websocket.
pub const CONTROL_QUERY: &str = "role=subscribe&stream=input";

/// The query of the agent's websocket to a data channel.
pub const DATA_QUERY: &str = "role=publish_subscribe";

/// The status of the answer to the POST. Any other is a refusal, 200 too.
pub const CREATED: u16 = 201;

/// The body of CreateControlChannel.
pub fn create_control(request_id: &str) -> String {
    ObjectWriter::new()
        .string("MessageSchemaVersion", SCHEMA)
        .string("RequestId", request_id)
        .finish()
}

/// The body of CreateDataChannel. The original's client id is always empty.
pub fn create_data(request_id: &str) -> String {
    ObjectWriter::new()
        .string("MessageSchemaVersion", SCHEMA)
        .string("RequestId", request_id)
        .string("ClientId", "")
        .finish()
}

/// The answer to either, which is XML: any root, any namespace. `operation` is the call's name.
pub fn created(operation: &str, token: &str) -> String {
    let mut escaped = String::with_capacity(token.len());
    for c in token.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    format!(
        "<{operation}Response><MessageSchemaVersion>{SCHEMA}</MessageSchemaVersion>\
         <TokenValue>{escaped}</TokenValue></{operation}Response>"
    )
}

/// The token in that answer; `None` if there is none, or an empty one.
pub fn token(answer: &str) -> Option<String> {
    let (before, rest) = answer.split_once("TokenValue>")?;
    let prefix = before.rsplit('<').next().unwrap_or_default();
    let is_element = prefix.is_empty() || (prefix.ends_with(':') && !prefix.contains('>'));
    let raw = rest.split('<').next().unwrap_or_default().trim();
    if !is_element || raw.is_empty() {
        return None;
    }
    let plain = raw.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&apos;", "'").replace("&amp;", "&"))
}

/// The first frame of an agent on its control channel.
pub fn open_control(request_id: &str, token: &str, version: &str) -> String {
    ObjectWriter::new()
        .raw("Cookie", "null")
        .string("MessageSchemaVersion", SCHEMA)
        .string("RequestId", request_id)
        .string("TokenValue", token)
        .string("AgentVersion", version)
        .string("PlatformType", "linux")
        .finish()
}

/// The first frame of an agent on a data channel.
pub fn open_data(request_id: &str, token: &str, node: &str) -> String {
    ObjectWriter::new()
        .string("MessageSchemaVersion", SCHEMA)
        .string("RequestId", request_id)
        .string("TokenValue", token)
        .string("ClientInstanceId", node)
        .string("ClientId", "")
        .finish()
}

/// The first frame on a channel, as a server reads it: from an agent, or from a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// What the POST, or StartSession, was answered with.
    pub token: String,
    /// The agent's version, on a control channel.
    pub agent_version: String,
    /// The node's id: of an agent on a data channel alone.
    pub node: String,
    /// A client's own id.
    pub client_id: String,
    /// A client's version, if it says so.
    pub client_version: String,
}

impl Open {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or has no token.
    pub fn read(text: &[u8]) -> Result<Open, PayloadError> {
        let node = parse(text)?;
        Ok(Open {
            token: must(&node, "TokenValue")?,
            agent_version: may(&node, "AgentVersion"),
            node: may(&node, "ClientInstanceId"),
            client_id: may(&node, "ClientId"),
            client_version: may(&node, "ClientVersion"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_and_first_frames_are_the_ones_the_original_sends() {
        assert_eq!(create_control("r"), r#"{"MessageSchemaVersion":"1.0","RequestId":"r"}"#);
        assert_eq!(
            create_data("r"),
            r#"{"MessageSchemaVersion":"1.0","RequestId":"r","ClientId":""}"#
        );
        assert_eq!(
            open_control("r", "t", "3.3.0.0"),
            r#"{"Cookie":null,"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"t","AgentVersion":"3.3.0.0","PlatformType":"linux"}"#
        );
        assert_eq!(
            open_data("r", "t", "mi-1"),
            r#"{"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"t","ClientInstanceId":"mi-1","ClientId":""}"#
        );
        assert_eq!(control_path("mi-1"), "/v1/control-channel/mi-1");
        assert_eq!(data_path("a@b-1"), "/v1/data-channel/a%40b-1");
    }

    #[test]
    fn the_token_is_found_in_any_root_and_namespace() {
        let plain = "<CreateControlChannelResponse><MessageSchemaVersion>1.0</MessageSchemaVersion>\
                     <TokenValue>T</TokenValue></CreateControlChannelResponse>";
        assert_eq!(created("CreateControlChannel", "T"), plain);
        assert_eq!(token(plain).as_deref(), Some("T"));
        assert_eq!(
            token("<a:b xmlns:a='x'><a:TokenValue> T </a:TokenValue>").as_deref(),
            Some("T")
        );
        for text in ["", "<TokenValue></TokenValue>", "<NoTokenValue>x</NoTokenValue>", "{}"] {
            assert_eq!(token(text), None, "{text}");
        }
    }

    #[test]
    fn a_server_tells_an_agent_from_a_client() {
        let agent = Open::read(open_data("r", "t", "mi-1").as_bytes()).unwrap();
        assert_eq!((agent.token.as_str(), agent.node.as_str()), ("t", "mi-1"));
        let client = Open::read(br#"{"TokenValue":"t","ClientId":"c"}"#).unwrap();
        assert_eq!((client.node.as_str(), client.client_id.as_str()), ("", "c"));
        assert_eq!(Open::read(b"{}"), Err(PayloadError::Member("TokenValue")));
    }

    proptest! {
        #[test]
        fn a_token_comes_back_as_it_was(text in "[!-~]{1,64}") {
            prop_assert_eq!(token(&created("CreateDataChannel", &text)), Some(text));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = (token(&text), Open::read(text.as_bytes()));
        }
    }
}

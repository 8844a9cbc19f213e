//! The first message on every channel: text, with the token that the channel was created with.

use axum::extract::ws::{Message, WebSocket};
use serde::Deserialize;
use std::time::Duration;

/// How long a peer may take for it after the upgrade.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of it: a token and a few short members.
const LIMIT: usize = 4096;

/// What a peer says when it opens a channel. A name that the hub doesn't use is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Opening {
    /// The token. Everything else is as trustworthy as its sender.
    pub token_value: String,
    /// The agent's version, on a control channel.
    pub agent_version: String,
    /// The client's version, on a data channel.
    pub client_version: String,
}

/// Waits for it, and answers pings meanwhile. `None` if the peer sends something else first, or
/// nothing in time.
pub async fn read(socket: &mut WebSocket) -> Option<Opening> {
    let first = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => break Some(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break None,
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, first).await.ok().flatten()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Opening> {
    if text.len() > LIMIT {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_original_and_of_the_plugin_are_read() {
        let agent = r#"{"Cookie":null,"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"T",
                        "AgentVersion":"3.3.0.0","PlatformType":"linux"}"#;
        let read = parse(agent).unwrap();
        assert_eq!((read.token_value.as_str(), read.agent_version.as_str()), ("T", "3.3.0.0"));
        let plugin = r#"{"TokenValue":"T","ClientId":"c","ClientVersion":"1.2.0.0"}"#;
        assert_eq!(parse(plugin).unwrap().client_version, "1.2.0.0");
        assert_eq!(parse("{}").unwrap().token_value, "");
        assert!(parse("7").is_none() && parse("").is_none());
        assert!(parse(&format!(r#"{{"TokenValue":"{}"}}"#, "x".repeat(LIMIT))).is_none());
    }
}

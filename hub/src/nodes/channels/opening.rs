//! The first message on every channel: text, with the token that the channel was created with.

use axum::extract::ws::{Message, WebSocket};
use std::time::Duration;
use stint_wire::mgs::open::Open;

/// How long a peer may take for it after the upgrade.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of it: a token and a few short members.
const LIMIT: usize = 4096;

/// Waits for it, and answers pings meanwhile. `None` if the peer sends something else first, or
/// nothing in time. Everything in it but the token is as trustworthy as its sender.
pub async fn read(socket: &mut WebSocket) -> Option<Open> {
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
    if text.len() > LIMIT {
        return None;
    }
    Open::read(text.as_bytes()).ok()
}

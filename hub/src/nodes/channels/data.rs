//! One end of a session: a websocket that takes what waits for it, and hands on what it says.

use super::opening;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::sessions::relay::{Relay, Side, Taker};
use crate::sessions::{self, End, Session};
use crate::{auth::channel_token, random};
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use channel_token::Purpose;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use stint_wire::mgs::message::kind;
use stint_wire::mgs::sessions::ChannelClosed;
use stint_wire::mgs::stream::SessionState;
use stint_wire::mgs::{self, MessageId};
use stint_wire::time::Utc;
use tokio::time::timeout;

/// How long messages that are sent together may take to leave. A client that takes nothing for so long is gone.
const SEND_PATIENCE: Duration = Duration::from_secs(60);

/// Bytes after which nothing more is sent together with them: a slow line has them through in its time.
const TOGETHER: usize = 32 * 1024;

/// How long an end may stay that knows of the session's end, and how long an agent may be silent whose last
/// output is waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long an agent may stay that has ended the session itself. It waits for its last acknowledgements, and
/// what it said last is read as fast as the client takes it.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// A session type that takes a pause for its end.
const NEVER_PAUSED: &str = "NonInteractiveCommands";

/// Serves one end of a session. The agent's upgrade was signed by the session's node.
pub async fn serve(app: &App, session: &Session, side: Side, mut socket: WebSocket) {
    let id = session.id.as_str();
    match admitted(app, session, side, &mut socket).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(session = id, node = session.node_id, "no good token for a session");
            return;
        }
        Err(error) => {
            tracing::error!(session = id, %error, "session");
            return;
        }
    }
    let relay = app.sessions.join(id);
    let number = relay.sit(side);
    let end = Channel { app, session, side, relay: &relay };
    if let Err(error) = end.run(number, socket).await {
        tracing::error!(session = id, %error, "session");
    }
}

async fn admitted(
    app: &App,
    session: &Session,
    side: Side,
    socket: &mut WebSocket,
) -> ApiResult<bool> {
    let Some(opening) = opening::read(socket).await else { return Ok(false) };
    let (token, now) = (opening.token.as_str(), app.now());
    match side {
        Side::Client => sessions::use_token(app, &session.id, token, now).await,
        Side::Agent => {
            let purpose = Purpose::Agent(&session.id, &session.node_id);
            Ok(channel_token::accepts(&app.seal, purpose, token, now))
        }
    }
}

struct Channel<'c> {
    app: &'c App,
    session: &'c Session,
    side: Side,
    relay: &'c Relay,
}

impl Channel<'_> {
    async fn run(&self, number: u64, socket: WebSocket) -> ApiResult<()> {
        let done = self.stay(number, socket).await;
        if self.relay.leave(self.side, number) {
            self.went().await?;
        }
        done
    }

    /// From coming to hanging up, or being sent away.
    async fn stay(&self, number: u64, socket: WebSocket) -> ApiResult<()> {
        let (app, id) = (self.app, self.session.id.as_str());
        // It may have ended since the upgrade was asked for.
        let still = sessions::find(app, id).await?;
        let over = still.filter(|s| s.ended_at.is_some() || s.end_wanted_at.is_some());
        if let Some(over) = over {
            let output = over.details;
            self.relay.end(sessions::relay::Ending { output, tells_agent: true });
        }
        self.came().await?;
        let (sink, stream) = socket.split();
        tokio::select! {
            () = self.write(sink) => {}
            done = self.read(stream) => done?,
            () = self.relay.replaced(self.side, number) => {}
            () = app.wakeups.closing() => {}
        }
        Ok(())
    }

    /// This end has come, perhaps again.
    async fn came(&self) -> ApiResult<()> {
        let (app, id) = (self.app, self.session.id.as_str());
        if self.side == Side::Agent {
            sessions::joined(app, id, app.now()).await?;
            // The next session of the node may start.
            app.wakeups.ring(&self.session.node_id);
        } else if self.pauses() {
            self.relay.tell_agent(self.message(kind::START_PUBLICATION, b"")?);
        }
        self.note_status().await
    }

    async fn went(&self) -> ApiResult<()> {
        sessions::flush(self.app, &self.session.id).await?;
        let goes_on = self.relay.has(Side::Agent) && !self.relay.has_ended();
        // Where the hub stops, both ends go at once and come again to the next.
        let goes_on = goes_on && !self.app.wakeups.is_closing();
        if self.side == Side::Client && self.pauses() && goes_on {
            self.relay.tell_agent(self.message(kind::PAUSE_PUBLICATION, b"")?);
        }
        self.note_status().await
    }

    /// The status as operators see it.
    async fn note_status(&self) -> ApiResult<()> {
        let relay = self.relay;
        let status = match (relay.has(Side::Agent), relay.has(Side::Client)) {
            (true, true) => "Connected",
            // The first time that an end is missing it is still to come.
            _ if !relay.had(Side::Agent) || !relay.had(Side::Client) => "Connecting",
            _ => "Disconnected",
        };
        sessions::set_status(self.app, &self.session.id, status).await
    }

    fn pauses(&self) -> bool {
        let content: Value = serde_json::from_str(&self.session.content).unwrap_or_default();
        let kind = content.pointer("/DocumentContent/sessionType").and_then(Value::as_str);
        kind != Some(NEVER_PAUSED)
    }

    fn message(&self, kind: &str, payload: &[u8]) -> ApiResult<Vec<u8>> {
        let id = MessageId::new(random::bytes().map_err(ApiError::internal)?);
        Ok(mgs::Message::new(kind, id, self.app.now(), payload).write())
    }

    /// Sends what waits for this end, until the session ends or the line takes nothing.
    async fn write(&self, mut sink: SplitSink<WebSocket, Message>) {
        let mut inbox = self.relay.inbox(self.side).taker().await;
        if self.side == Side::Agent {
            for ack in self.relay.kept_acks() {
                if !send(&mut sink, ack).await {
                    return;
                }
            }
        }
        let ending = loop {
            tokio::select! {
                // What was on its way comes before the end.
                biased;
                bytes = inbox.recv() => {
                    let Some(bytes) = bytes else { return };
                    if !send_with_more(&mut sink, bytes, &mut inbox).await {
                        return;
                    }
                }
                ending = self.relay.ended() => break ending,
            }
        };
        match self.side {
            _ if ending.tells_agent => {}
            Side::Agent => {
                // It is going by itself, and waits for acknowledgements until then.
                let rest = async {
                    while let Some(bytes) = inbox.recv().await {
                        if !send(&mut sink, bytes).await {
                            return;
                        }
                    }
                };
                drop(timeout(LAST_WORDS, rest).await);
                return;
            }
            Side::Client => {
                if !self.write_last_output(&mut inbox, &mut sink).await {
                    return;
                }
            }
        }
        if let Ok(last) = closed(self.session, &ending.output, self.app.now())
            && send(&mut sink, last.into()).await
        {
            drop(timeout(SEND_PATIENCE, sink.send(Message::Close(None))).await);
            // What the other end has said until now is still read.
            tokio::time::sleep(FAREWELL).await;
        }
    }

    /// Sends a client the rest of what the agent has said before it went. Some of it may still be on its way here
    /// when the end is known. `false`: the line takes nothing.
    async fn write_last_output(
        &self,
        inbox: &mut Taker<'_>,
        sink: &mut SplitSink<WebSocket, Message>,
    ) -> bool {
        loop {
            let more = async {
                tokio::select! {
                    biased;
                    bytes = inbox.recv() => bytes,
                    () = self.relay.silent(Side::Agent) => None,
                }
            };
            let Ok(Some(bytes)) = timeout(FAREWELL, more).await else { break };
            if !send(sink, bytes).await {
                return false;
            }
        }
        // What came between the last look and the agent's last word.
        while let Some(bytes) = inbox.try_recv() {
            if !send(sink, bytes).await {
                return false;
            }
        }
        true
    }

    /// Hands on what this end says, until it hangs up.
    async fn read(&self, mut stream: SplitStream<WebSocket>) -> ApiResult<()> {
        while let Some(Ok(message)) = stream.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => Bytes::from(text),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => break,
            };
            let Ok(parsed) = mgs::Message::parse(&bytes) else { continue };
            if self.side == Side::Agent && parsed.kind == kind::AGENT_SESSION_STATE {
                self.agent_said(parsed.payload).await?;
            } else {
                self.relay.carry(self.side, &bytes, &parsed, self.app.now()).await;
            }
        }
        Ok(())
    }

    /// The agent says where the session stands. `Terminating` is its own, normal end.
    async fn agent_said(&self, payload: &[u8]) -> ApiResult<()> {
        if SessionState::read(payload).is_ok_and(|said| said.state == "Terminating") {
            let (app, id) = (self.app, self.session.id.as_str());
            self.relay.has_said_all(Side::Agent);
            let ending = sessions::relay::Ending { output: String::new(), tells_agent: false };
            self.relay.end(ending);
            sessions::end(app, id, &End { details: "" }, app.now()).await?;
            // It knows.
            sessions::told_end(app, id, app.now()).await?;
        }
        Ok(())
    }
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, bytes: Bytes) -> bool {
    matches!(timeout(SEND_PATIENCE, sink.send(Message::Binary(bytes))).await, Ok(Ok(())))
}

/// Sends a message together with those that wait behind it: writing each by itself costs more than carrying it.
async fn send_with_more(
    sink: &mut SplitSink<WebSocket, Message>,
    first: Bytes,
    inbox: &mut Taker<'_>,
) -> bool {
    let (mut next, mut length) = (Some(first), 0);
    // On a slow line each has its own time.
    while let Some(bytes) = next {
        length += bytes.len();
        if !matches!(timeout(SEND_PATIENCE, sink.feed(Message::Binary(bytes))).await, Ok(Ok(()))) {
            return false;
        }
        next = if length < TOGETHER { inbox.try_recv() } else { None };
    }
    matches!(timeout(SEND_PATIENCE, sink.flush()).await, Ok(Ok(())))
}

/// The message that tells either end that a session is to end, or has.
///
/// # Errors
/// When there is no randomness.
pub fn closed(session: &Session, output: &str, now: Utc) -> ApiResult<Vec<u8>> {
    let id = MessageId::new(random::bytes().map_err(ApiError::internal)?);
    let payload = ChannelClosed {
        message_id: id.to_string(),
        destination: session.node_id.clone(),
        session_id: session.id.clone(),
        created: now,
        output: output.to_owned(),
    }
    .write();
    Ok(mgs::Message::new(kind::CHANNEL_CLOSED, id, now, payload.as_bytes()).write())
}

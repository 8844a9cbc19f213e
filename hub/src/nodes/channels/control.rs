//! A node's control channel, from its first message to its end.
//!
//! The task looks into the store and sends what is there, one message at a time: the next follows
//! when the node has acknowledged the last, so that commands arrive in the order in which they
//! were asked for. What isn't acknowledged comes again.

use super::{data, opening};
use crate::app::App;
use crate::auth::channel_token::{self, Purpose};
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::nodes::messages::{self, Begun, Look};
use crate::nodes::wakeups::Line;
use crate::{random, sessions};
use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use std::time::Duration;
use stint_wire::mgs::jobs::{AgentJob, AgentJobAck, AgentJobReply, AgentJobReplyAck, Taken};
use stint_wire::mgs::message::kind;
use stint_wire::mgs::sessions::{InteractiveShell, TaskAcknowledge, TaskComplete};
use stint_wire::mgs::{self, MessageId};
use stint_wire::text::head;
use stint_wire::time::Utc;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a job is waited for before it is sent again. Agents acknowledge at once, but drop what
/// comes while they start.
const RESEND: Duration = Duration::from_secs(2);

/// Bytes that a slow line carries in a second: so much longer are jobs waited for that are large. A
/// copy of one that is still on its way would only keep the line from the rest.
const SLOW_LINE: u64 = 2000;

/// How often a job is sent before others go ahead of it.
const PATIENT_SENDS: u32 = 3;

/// How long a job rests that isn't acknowledged, or that the agent doesn't want now.
const REST: Duration = Duration::from_secs(30);

/// How long the start of a session is waited for before it is sent again: the agent makes a process
/// and a connection first.
const SESSION_RESEND: Duration = Duration::from_secs(5);

/// Bytes kept of why a session failed: the model's limit.
const DETAILS_LIMIT: usize = 1024;

/// How long an agent may be silent. It pings every 54 s, so two pings are missing.
const SILENCE: Duration = Duration::from_secs(130);

/// How long it may be silent while a job waits for its acknowledgement: so soon a half-open
/// channel is found out, and the node's polls get the job.
const SILENCE_WITH_JOB: Duration = Duration::from_secs(20);

/// How long a message may take to leave. Only a line that takes nothing needs longer.
const SEND_PATIENCE: Duration = Duration::from_secs(20);

/// Why a channel ended, for the log.
type End = &'static str;

/// Serves the channel of a node that has signed the upgrade. `endpoint` is the URL under which
/// it reached the hub.
pub async fn serve(app: &App, node: &NodeCaller, endpoint: &str, mut socket: WebSocket) {
    let Some(opening) = opening::read(&mut socket).await else {
        tracing::warn!(node = node.id, "a control channel was not opened with a token");
        return;
    };
    let purpose = Purpose::Control(&node.id);
    if !channel_token::accepts(&app.seal, purpose, &opening.token, app.now()) {
        tracing::warn!(node = node.id, "a control channel was opened with no good token");
        return;
    }
    tracing::info!(node = node.id, agent = opening.agent_version, "control channel opened");
    let end = match (Channel { app, node, endpoint, socket, job: None, told: None }.run().await) {
        Ok(end) => end,
        Err(error) => {
            tracing::error!(node = node.id, %error, "control channel failed");
            "the hub failed"
        }
    };
    tracing::info!(node = node.id, end, "control channel closed");
}

/// A job on its way.
struct Job {
    id: String,
    sends: u32,
    /// When it was sent first.
    first: Instant,
    /// How long it may take to get there.
    transit: Duration,
    /// When it is sent again, or rests.
    until: Instant,
    /// No longer waited for.
    rests: bool,
}

struct Channel<'c> {
    app: &'c App,
    node: &'c NodeCaller,
    endpoint: &'c str,
    socket: WebSocket,
    job: Option<Job>,
    /// The session whose start was sent last, and when it is sent again.
    told: Option<(String, Instant)>,
}

impl Channel<'_> {
    async fn run(&mut self) -> ApiResult<End> {
        let (app, node) = (self.app, self.node);
        let line = app.wakeups.channel(&node.id);
        if let Some(_turn) = line.turn().await {
            messages::offer_again(app, &node.id, app.now()).await?;
        }
        let mut heard = Instant::now();
        loop {
            if line.is_over() {
                // The node hears it at once instead of at its next ping.
                drop(timeout(SEND_PATIENCE, self.socket.send(Message::Close(None))).await);
                return Ok("the hub ended it");
            }
            // Boxed, as is what is done with a message: an idle channel holds no room for either.
            let look_again = match Box::pin(self.hand_out(&line)).await? {
                Handed::LookAgain(at) => at,
                Handed::Lost => return Ok("nothing can be sent"),
            };
            // Until there may be something new in the store.
            loop {
                let silent = self.silent(heard);
                tokio::select! {
                    () = line.rung() => break,
                    () = sleep_until(look_again.unwrap_or(silent).min(silent)) => {
                        if Instant::now() >= silent {
                            return Ok("the node is silent");
                        }
                        break;
                    }
                    message = self.socket.recv() => {
                        heard = Instant::now();
                        match Box::pin(self.take(message)).await? {
                            Took::Nothing => {}
                            Took::Ack => break,
                            Took::End(end) => return Ok(end),
                        }
                    }
                }
            }
        }
    }

    /// Until when the node has to say something, which it did last at `heard`. An idle channel was heard a
    /// while ago, so that for its answer to a job it has time from the job's sending on.
    fn silent(&self, heard: Instant) -> Instant {
        match self.job.as_ref().filter(|_| self.is_unanswered()) {
            Some(job) => {
                (heard.max(job.first) + SILENCE_WITH_JOB + job.transit).min(heard + SILENCE)
            }
            None => heard + SILENCE,
        }
    }

    /// Whether a job is out of which the node should have spoken.
    fn is_unanswered(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.rests && job.sends > 0)
    }

    /// Sends what is there.
    async fn hand_out(&mut self, line: &Line<'_>) -> ApiResult<Handed> {
        match (self.hand_jobs(line).await?, self.hand_sessions().await?) {
            (Handed::LookAgain(one), Handed::LookAgain(two)) => {
                Ok(Handed::LookAgain(one.into_iter().chain(two).min()))
            }
            _ => Ok(Handed::Lost),
        }
    }

    /// Sends ends of sessions, and the start of the oldest that the node hasn't joined.
    async fn hand_sessions(&mut self) -> ApiResult<Handed> {
        let app = self.app;
        for session in sessions::closing(app, &self.node.id, app.now()).await? {
            let message = data::closed(&session, &session.details, app.now())?;
            if !self.send_whole(message).await? {
                return Ok(Handed::Lost);
            }
            sessions::told_end(app, &session.id, app.now()).await?;
        }
        let Some(session) = sessions::next_to_start(app, &self.node.id).await? else {
            return Ok(Handed::LookAgain(None));
        };
        let instant = Instant::now();
        let told = self.told.as_ref().filter(|(id, again)| *id == session.id && instant < *again);
        if let Some((_, again)) = told {
            return Ok(Handed::LookAgain(Some(*again)));
        }
        let words = InteractiveShell { content: session.content, task_id: session.id.clone() };
        if !self.send(kind::INTERACTIVE_SHELL, &words.write()).await? {
            return Ok(Handed::Lost);
        }
        if session.offered_at.is_none() {
            sessions::told_start(app, &session.id, app.now()).await?;
        }
        let again = instant + SESSION_RESEND;
        self.told = Some((session.id, again));
        Ok(Handed::LookAgain(Some(again)))
    }

    /// Sends commands and cancellations, up to the first job that isn't acknowledged.
    async fn hand_jobs(&mut self, line: &Line<'_>) -> ApiResult<Handed> {
        loop {
            let instant = Instant::now();
            if let Some(job) = self.job.as_ref().filter(|job| !job.rests && instant < job.until) {
                return Ok(Handed::LookAgain(Some(job.until)));
            }
            let sends = self.job.as_ref().map_or(0, |job| job.sends);
            let rests = self.is_unanswered() && sends + 1 >= PATIENT_SENDS;
            let visibility = if rests { REST } else { RESEND * (sends + 1) };
            let now = self.app.now();
            let look = Look {
                node: &self.node.id,
                endpoint: self.endpoint,
                now,
                visibility_millis: visibility.as_millis() as u64,
                most: 1,
                late_only: false,
            };
            // What was taken for a channel that is over would be hidden, and what comes behind it go ahead.
            let Some(turn) = line.turn().await else { return Ok(Handed::LookAgain(None)) };
            let (message, hiding) = match messages::begin(self.app, &look).await? {
                Begun::Messages(messages, hiding) => (messages.into_iter().next(), hiding),
                Begun::NothingUntil(next) => {
                    let wait = next.map(|at| at.0.saturating_sub(now.0));
                    return Ok(Handed::LookAgain(
                        wait.map(|millis| instant + Duration::from_millis(millis)),
                    ));
                }
            };
            let Some(message) = message else { return Ok(Handed::LookAgain(None)) };
            let member = |name: &str| {
                message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            // What a poll would have carried.
            let job = AgentJob {
                content: member("Payload"),
                job_id: member("MessageId"),
                topic: member("Topic"),
            };
            let payload = job.write();
            let transit = Duration::from_secs(payload.len() as u64 / SLOW_LINE);
            let again = self.job.take().filter(|last| last.id == job.job_id);
            self.job = Some(Job {
                id: job.job_id,
                sends: again.as_ref().map_or(0, |job| job.sends) + 1,
                first: again.map_or(instant, |job| job.first),
                transit,
                until: instant + visibility + transit,
                rests,
            });
            // The node has it while the disk still works: that takes as long as all the rest.
            let hidden = async { hiding.settle().await.map(|()| drop(turn)) };
            let (hidden, sent) = tokio::join!(hidden, self.send(kind::AGENT_JOB, &payload));
            hidden?;
            if !sent? {
                return Ok(Handed::Lost);
            }
        }
    }

    /// `false` if the line takes nothing any more.
    async fn send(&mut self, kind: &str, payload: &str) -> ApiResult<bool> {
        let id = MessageId::new(random::bytes().map_err(ApiError::internal)?);
        let message = mgs::Message::new(kind, id, self.app.now(), payload.as_bytes()).write();
        self.send_whole(message).await
    }

    async fn send_whole(&mut self, message: Vec<u8>) -> ApiResult<bool> {
        let sent = self.socket.send(Message::Binary(message.into()));
        Ok(matches!(timeout(SEND_PATIENCE, sent).await, Ok(Ok(()))))
    }

    async fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> ApiResult<Took> {
        let bytes = match message {
            None => return Ok(Took::End("the node hung up")),
            Some(Err(error)) => {
                tracing::debug!(node = self.node.id, %error, "control channel");
                return Ok(Took::End("the connection broke"));
            }
            Some(Ok(Message::Close(_))) => return Ok(Took::End("the node closed it")),
            Some(Ok(Message::Pong(_))) => return Ok(Took::Nothing),
            Some(Ok(Message::Ping(_))) => return still_registered(self.app, self.node).await,
            // Peers may send a message as text; what it is made of is the same.
            Some(Ok(Message::Text(text))) => axum::body::Bytes::from(text),
            Some(Ok(Message::Binary(bytes))) => bytes,
        };
        let Ok(frame) = mgs::Message::parse(&bytes) else {
            tracing::warn!(node = self.node.id, "an unreadable message on a control channel");
            return Ok(Took::Nothing);
        };
        match frame.kind {
            kind::AGENT_JOB_ACK => self.acknowledged(frame.payload).await,
            kind::AGENT_JOB_REPLY => self.reply(frame.id, frame.payload).await,
            kind::AGENT_TASK_COMPLETE => self.session_over(frame.id, frame.payload).await,
            // Telemetry of the original, and what a later agent may say.
            _ => Ok(Took::Nothing),
        }
    }

    async fn acknowledged(&mut self, payload: &[u8]) -> ApiResult<Took> {
        let (app, node) = (self.app, self.node);
        let ack = match AgentJobAck::read(payload) {
            Ok(ack) => ack,
            Err(error) => {
                tracing::warn!(node = node.id, %error, "an unreadable acknowledgement");
                return Ok(Took::Nothing);
            }
        };
        let input = json!({"MessageId": ack.job_id, "FailureType": ack.code.name()});
        let taken = ack.code.taken();
        let done = match taken {
            Taken::Yes => messages::acknowledge(app, node, &input).await.map(drop),
            Taken::Never => messages::fail(app, node, &input).await.map(drop),
            Taken::Later => {
                let until = Utc(app.now().0 + REST.as_millis() as u64);
                messages::rest(app, node, &ack.job_id, until).await
            }
        };
        if let Some(job) = self.job.as_mut().filter(|job| job.id == ack.job_id) {
            match taken {
                // Nothing overtakes it, and nobody waits for an answer.
                Taken::Later => (job.until, job.sends) = (Instant::now() + REST, 0),
                _ => self.job = None,
            }
        }
        self.settled(done, "acknowledgement")?;
        Ok(Took::Ack)
    }

    /// A reply is acknowledged when it is in the store, or never can be.
    async fn reply(&mut self, id: MessageId, payload: &[u8]) -> ApiResult<Took> {
        let job_id = match AgentJobReply::read(payload) {
            Ok(AgentJobReply { job_id, content, .. }) => {
                let id = id.to_string();
                let input = json!({"MessageId": job_id, "ReplyId": id, "Payload": content});
                let done = messages::send_reply(self.app, self.node, &input).await;
                self.settled(done.map(drop), "reply")?;
                job_id
            }
            Err(error) => {
                tracing::warn!(node = self.node.id, %error, "an unreadable reply");
                String::new()
            }
        };
        let ack = AgentJobReplyAck { job_id, acknowledged: id };
        if !self.send(kind::AGENT_JOB_REPLY_ACK, &ack.write()).await? {
            return Ok(Took::End("nothing can be sent"));
        }
        Ok(Took::Nothing)
    }

    /// A session of the node is over. It says so until it is acknowledged; what can't be read, or is
    /// another's, is passed over.
    async fn session_over(&mut self, id: MessageId, payload: &[u8]) -> ApiResult<Took> {
        let Ok(over) = TaskComplete::read(payload) else { return Ok(Took::Nothing) };
        let known = sessions::find(self.app, &over.session_id).await?;
        if known.is_some_and(|session| session.node_id == self.node.id) {
            let status = if over.status == "Failed" { "Failed" } else { "Terminated" };
            let details = head(&over.output, DETAILS_LIMIT);
            let (app, id, now) = (self.app, over.session_id.as_str(), self.app.now());
            sessions::over(app, id, status, details, false, now).await?;
            sessions::told_end(app, id, now).await?;
        }
        let ack = TaskAcknowledge { message_id: id, session_id: over.session_id };
        if !self.send(kind::AGENT_TASK_ACKNOWLEDGE, &ack.write()).await? {
            return Ok(Took::End("nothing can be sent"));
        }
        // The next session may start.
        Ok(Took::Ack)
    }

    /// A refusal is final, and the node can't be told; a fault of the hub ends the channel, and
    /// the node says it again on the next.
    fn settled(&self, done: ApiResult<()>, what: &str) -> ApiResult<()> {
        match done {
            Err(error) if error.status.is_server_error() => Err(error),
            Err(error) => {
                let code = error.code;
                tracing::warn!(node = self.node.id, code, what, "refused on a control channel");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

enum Handed {
    /// Nothing more to send until then, or until the bell rings.
    LookAgain(Option<Instant>),
    /// The line takes nothing.
    Lost,
}

enum Took {
    Nothing,
    /// A job was answered, so the next may go.
    Ack,
    End(End),
}

/// A node may be deregistered by another process than this one.
async fn still_registered(app: &App, node: &NodeCaller) -> ApiResult<Took> {
    let known: Option<String> = sqlx::query_scalar("SELECT id FROM node WHERE id = $1")
        .bind(&node.id)
        .fetch_optional(&app.store.read)
        .await?;
    Ok(known.map_or(Took::End("the node is not registered"), |_| Took::Nothing))
}

//! Replies that come at the same time share a transaction: the disk is waited for once for all of them, and
//! what follows for a command is decided once.
//!
//! Whoever has the turn takes all that wait along. A request whose client hangs up is dropped in the middle; then
//! what it had taken along waits again, for the next in turn.

use super::reply::{self, Said};
use crate::app::App;
use crate::commands;
use crate::error::{ApiError, ApiResult};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

/// Replies in one transaction at most: everybody else who writes waits for its end.
const MOST: usize = 64;

/// The replies that wait, and whose turn it is.
#[derive(Default)]
pub struct Together {
    waiting: Mutex<Vec<Waiting>>,
    turn: AsyncMutex<()>,
    transactions: AtomicU64,
}

struct Waiting {
    said: Said,
    done: oneshot::Sender<ApiResult<()>>,
}

/// What was taken along. What is left of it when it is dropped waits again.
struct Batch<'t> {
    taken: Vec<Waiting>,
    from: &'t Together,
}

impl Together {
    /// How many transactions there were.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those whose clients have gone make room: they will say it again.
    fn put(&self, one: Waiting) {
        let mut waiting = self.lock();
        waiting.retain(|one| !one.done.is_closed());
        waiting.push(one);
    }

    fn take(&self) -> Batch<'_> {
        let mut waiting = self.lock();
        let most = waiting.len().min(MOST);
        Batch { taken: waiting.drain(..most).collect(), from: self }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.from.lock().extend(self.taken.drain(..));
    }
}

/// Keeps what a node has said. A reply that was seen before changes nothing.
///
/// # Errors
/// `InvalidMessageIdException` for a command that doesn't exist, `InternalServerError` when the store fails.
pub async fn keep(app: &App, said: Said) -> ApiResult<()> {
    let (done, mut told) = oneshot::channel();
    app.replies.put(Waiting { said, done });
    loop {
        let turn = tokio::select! {
            biased;
            told = &mut told => return told.map_err(ApiError::internal)?,
            turn = app.replies.turn.lock() => turn,
        };
        // The one before may have taken it along.
        if let Ok(result) = told.try_recv() {
            return result;
        }
        carry_out(app).await?;
        drop(turn);
    }
}

/// Takes a turn.
async fn carry_out(app: &App) -> ApiResult<()> {
    let tx = app.store.begin().await?;
    // Now, so that it is all who came while others wrote.
    let mut batch = app.replies.take();
    let mut results = Vec::with_capacity(batch.taken.len());
    if let Err(error) = write(app, tx, &batch.taken, &mut results).await {
        results.clear();
        if let [_] = batch.taken.as_slice() {
            results.push(Err(error));
        } else {
            // One of them must not keep the others from being stored.
            for one in &batch.taken {
                let tx = app.store.begin().await?;
                let mut result = Vec::with_capacity(1);
                let done = write(app, tx, std::slice::from_ref(one), &mut result).await;
                results.push(done.and(result.pop().unwrap_or(Ok(()))));
            }
        }
    }
    for (waiting, result) in batch.taken.drain(..).zip(results) {
        // Whoever has gone in between doesn't want to know.
        drop(waiting.done.send(result));
    }
    Ok(())
}

/// Writes replies, and what follows from them. A result of each: a refusal has written nothing.
async fn write(
    app: &App,
    mut tx: sqlx::Transaction<'static, sqlx::Any>,
    batch: &[Waiting],
    results: &mut Vec<ApiResult<()>>,
) -> ApiResult<()> {
    let now = app.now();
    let mut moved = BTreeSet::new();
    for Waiting { said, .. } in batch {
        results.push(match reply::merge(&mut tx, said, now).await {
            Ok(true) => {
                moved.insert(said.command.as_str());
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) if error.status.is_server_error() => return Err(error),
            Err(error) => Err(error),
        });
    }
    let mut released = Released { app, nodes: Vec::new() };
    for command in moved {
        released.nodes.extend(commands::advance(&mut tx, command, now).await?);
    }
    tx.commit().await?;
    app.replies.transactions.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Nodes whose turn it is with a command. They are told at its end: also when the client whose turn this was hangs up
/// during the commit, which is carried out all the same. One ring too many does no harm.
struct Released<'a> {
    app: &'a App,
    nodes: Vec<String>,
}

impl Drop for Released<'_> {
    fn drop(&mut self) {
        for node in &self.nodes {
            self.app.wakeups.ring(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identity::NodeCaller;
    use crate::nodes::messages::send_reply;
    use crate::nodes::messages::testing::{command, hub, state};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn reply(node: &NodeCaller, command: &str) -> Value {
        json!({
            "MessageId": stint_wire::ids::message_id(command, &node.id),
            "ReplyId": "00000000-0000-0000-0000-000000000001".to_owned() + command,
            "Payload": json!({"documentStatus": "Success"}).to_string(),
        })
    }

    /// Waits until so many replies wait for the writer.
    async fn until_waiting(app: &App, count: usize) {
        while app.replies.lock().len() < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn replies_that_wait_for_the_writer_share_a_transaction_and_each_has_its_answer() {
        let (app, node, _dir) = hub().await;
        let (app, node) = (Arc::new(app), Arc::new(node));
        let names: Vec<String> = (0..20).map(|n| format!("c-{n}")).collect();
        for name in &names {
            command(&app, &node, name, 1).await;
        }
        let others = app.store.begin().await.unwrap();
        let send = |command: &str| {
            let (app, node, reply) = (app.clone(), node.clone(), reply(&node, command));
            tokio::spawn(async move { send_reply(&app, &node, &reply).await })
        };
        let refused = send("unknown");
        let kept: Vec<_> = names.iter().map(|name| send(name)).collect();
        until_waiting(&app, names.len() + 1).await;
        drop(others);
        assert_eq!(refused.await.unwrap().unwrap_err().code, "InvalidMessageIdException");
        for (name, kept) in names.iter().zip(kept) {
            assert!(kept.await.unwrap().is_ok(), "{name}");
            assert_eq!(state(&app, name).await.0, "Success");
        }
        assert_eq!(app.replies.transactions(), 1);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_in_its_turn_loses_nobody_s_reply() {
        let (app, node, _dir) = hub().await;
        for name in ["c-1", "c-2"] {
            command(&app, &node, name, 1).await;
        }
        let (first, second) = (reply(&node, "c-1"), reply(&node, "c-2"));
        let others = app.store.begin().await.unwrap();
        let mut gone = Box::pin(send_reply(&app, &node, &first));
        let stays = send_reply(&app, &node, &second);
        let hang_up = async {
            tokio::select! {
                _ = &mut gone => unreachable!("the writer is busy"),
                () = until_waiting(&app, 2) => {}
            }
            drop(gone);
            drop(others);
        };
        let (result, ()) = tokio::join!(stays, hang_up);
        assert!(result.is_ok());
        assert_eq!(state(&app, "c-2").await.0, "Success");
    }

    #[test]
    fn what_was_taken_along_and_not_done_waits_again() {
        let together = Together::default();
        for _ in 0..MOST + 1 {
            let (done, _) = oneshot::channel();
            together.lock().push(Waiting { said: Said::default(), done });
        }
        let batch = together.take();
        assert_eq!((batch.taken.len(), together.lock().len()), (MOST, 1));
        drop(batch);
        assert_eq!(together.lock().len(), MOST + 1);
    }
}

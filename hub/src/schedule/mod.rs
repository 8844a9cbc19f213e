//! Everything driven by time rather than by a request.
//!
//! Never here: a wire format, or a decision that reads the clock. The decisions are functions of
//! rows and `now`; this folder's tasks carry them out.

pub mod parameters;
mod prune;
mod timeouts;

#[cfg(test)]
pub use timeouts::run as deadlines;

use crate::app::App;
use crate::commands::progressed;
use crate::console::logins;
use crate::error::ApiResult;
use crate::nodes::bootagent;
use crate::sessions;
use crate::store::data_dir::DataDir;
use crate::tools::documents::attachments;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{MissedTickBehavior, interval};

/// How often deadlines are looked at. Delivery timeouts and the expiration of
/// parameters are told in seconds.
const DEADLINES_EVERY: Duration = Duration::from_secs(1);

/// How often every unfinished command is looked at: for what no event announces, such as a node
/// that holds a place of the rate control for too long, and after a crash of the hub between a
/// reply and its consequences.
const REVIEW_EVERY: Duration = Duration::from_secs(60);

/// How often old rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Runs until cancelled by dropping. A failure of the store is logged and tried again.
pub async fn run(app: Arc<App>, dir: DataDir) {
    let [mut deadlines, mut policies, mut limits, mut review, mut prune] =
        [DEADLINES_EVERY, DEADLINES_EVERY, DEADLINES_EVERY, REVIEW_EVERY, PRUNE_EVERY].map(
            |every| {
                let mut timer = interval(every);
                timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
                timer
            },
        );
    loop {
        let (what, done) = tokio::select! {
            _ = deadlines.tick() => ("deadlines", timeouts::run(&app, app.now()).await),
            _ = policies.tick() => ("policies", parameters::run(&app, app.now()).await),
            _ = limits.tick() => ("sessions", due_sessions(&app).await),
            _ = review.tick() => ("review", every_minute(&app).await),
            _ = prune.tick() => ("prune", old(&app, &dir).await),
        };
        if let Err(error) = done {
            tracing::warn!(what, %error, "the schedule could not do its work, and will try again");
        }
    }
}

/// Deletes old rows, and the contents of attachments that no row names any more.
async fn old(app: &App, dir: &DataDir) -> ApiResult<()> {
    prune::run(app, app.now()).await?;
    let gone = attachments::sweep(&app.store, dir, SystemTime::now()).await?;
    if gone > 0 {
        tracing::info!(gone, "removed contents of attachments that nothing names any more");
    }
    Ok(())
}

/// Ends the sessions that are due by their own limits, or by their browser's log-in. If one of these can't be done, the
/// other is all the same.
async fn due_sessions(app: &App) -> ApiResult<()> {
    let by_login = logins::end_sessions(app, app.now()).await;
    by_login.and(sessions::enforce(app, app.now()).await)
}

async fn every_minute(app: &App) -> ApiResult<()> {
    bootagent::forget_old_nonces(app, app.now()).await?;
    review_all(app).await
}

/// Looks at every command that has not ended.
async fn review_all(app: &App) -> ApiResult<()> {
    let open: Vec<(String,)> = sqlx::query_as(
        "SELECT id FROM command WHERE status IN ('Pending', 'InProgress', 'Cancelling')
         ORDER BY requested_at",
    )
    .fetch_all(&app.store.read)
    .await?;
    for (command,) in open {
        progressed(app, &command).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

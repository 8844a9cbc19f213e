//! Everything driven by time or by progress rather than by a request.

use crate::app::App;
use crate::error::ApiResult;
use std::sync::Arc;

/// Runs until cancelled by dropping.
pub async fn run(_app: Arc<App>) {
    std::future::pending::<()>().await
}

/// Recomputes a command after one of its invocations has moved.
///
/// # Errors
/// Those of the database.
pub async fn progressed(_app: &App, _command_id: &str) -> ApiResult<()> {
    Ok(())
}

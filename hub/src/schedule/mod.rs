//! Everything driven by time or by progress rather than by a request.

use crate::app::App;
use std::sync::Arc;

/// Runs until cancelled by dropping.
pub async fn run(_app: Arc<App>) {
    std::future::pending::<()>().await
}

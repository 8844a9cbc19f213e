//! The system's clock. Intervals are measured with [`std::time::Instant`] instead.

use std::time::{SystemTime, UNIX_EPOCH};
use stint_wire::time::Utc;

/// What the system takes for the time. It may be wrong by decades: boards without a clock
/// battery boot in 1970.
pub fn system() -> Utc {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Utc(since.as_millis() as u64)
}

//! In the place of the audit log, in a build without one: nothing is recorded.

/// Does nothing.
pub fn record(_event: &str, _who: &str, _what: &[(&str, &str)]) {}

/// Does nothing.
#[cfg(feature = "update")]
pub fn updates(_known: &crate::update::State, _who: &str) {}

/// Nobody asks.
pub fn person() -> String {
    String::new()
}

//! Where log lines go: to standard error, as text or as JSON.

use clap::ValueEnum;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// The form of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The environment variable with the level, or a filter in the syntax of tracing-subscriber.
const FILTER_VARIABLE: &str = "STINT_HUB_LOG";

/// Starts logging; the level is `info` unless `STINT_HUB_LOG` says otherwise.
pub fn start(format: Format) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
}

//! The log goes to standard error, where every init system picks it up.

use crate::sys::descriptors;
use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// simple_logger, kept from dying with its reader: its `eprintln!` panics when standard error is
/// a pipe that nobody reads any more, and a daemon outlives its log collector.
struct Guarded(SimpleLogger);

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !descriptors::standard_error_is_broken() {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Starts logging at `level`. Libraries speak up only for warnings: below that ureq would write
/// the wire's content, credentials included.
pub fn start(level: LevelFilter) {
    let own = SimpleLogger::new()
        .with_level(level.min(LevelFilter::Warn))
        .with_module_level("stint", level);
    log::set_max_level(level);
    let _ = log::set_boxed_logger(Box::new(Guarded(own)));
}

//! The log: to standard error, where every init system picks it up, or to where the configuration
//! says. A line that can't get there goes to standard error.

#[cfg(feature = "logs")]
mod file;
#[cfg(feature = "logs")]
mod syslog;

use crate::config::Config;
#[cfg(feature = "logs")]
use crate::config::LogTo;
use crate::sys::descriptors;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
#[cfg(feature = "logs")]
use std::sync::{Mutex, PoisonError};

/// simple_logger, kept from dying with its reader: its `eprintln!` panics when standard error is
/// a pipe that nobody reads any more, and a daemon outlives its log collector.
struct Guarded {
    stderr: SimpleLogger,
    #[cfg(feature = "logs")]
    other: Option<Mutex<Other>>,
}

/// What isn't standard error.
#[cfg(feature = "logs")]
enum Other {
    Syslog(syslog::Syslog),
    File(file::LogFile),
}

impl Log for Guarded {
    /// Libraries speak up only for warnings: below that ureq would write the wire's content,
    /// credentials included.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_own = metadata.target().starts_with("stint");
        metadata.level() <= log::max_level() && (is_own || metadata.level() <= Level::Warn)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        #[cfg(feature = "logs")]
        if let Some(other) = &self.other
            && other.lock().unwrap_or_else(PoisonError::into_inner).write(record)
        {
            return;
        }
        if !descriptors::standard_error_is_broken() {
            self.stderr.log(record);
        }
    }

    fn flush(&self) {
        self.stderr.flush();
    }
}

#[cfg(feature = "logs")]
impl Other {
    /// Whether the line is where it belongs, or doesn't belong anywhere.
    fn write(&mut self, record: &Record<'_>) -> bool {
        match self {
            Other::Syslog(syslog) => syslog.write(record),
            Other::File(file) => file.write(record),
        }
    }
}

/// What was said, on one line: nobody who can get a word into an error makes lines of his own.
#[cfg(feature = "logs")]
fn one_line(record: &Record<'_>) -> String {
    let mut line = record.args().to_string();
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        line = line.replace(|letter: char| letter.is_control(), " ");
    }
    line
}

/// Starts logging at `level`, to standard error.
pub fn start(level: LevelFilter) {
    begin(Guarded {
        stderr: SimpleLogger::new(),
        #[cfg(feature = "logs")]
        other: None,
    });
    set(level);
}

/// Starts logging as the configuration says: so loud, and to there.
pub fn start_as(config: &Config) {
    #[cfg(feature = "logs")]
    {
        let to = &config.logs;
        let other = match to.to {
            LogTo::Stderr => None,
            LogTo::Syslog => Some(Other::Syslog(syslog::Syslog::new(&to.socket))),
            LogTo::File => Some(Other::File(file::LogFile::new(&to.file, to.bytes, to.files))),
        };
        begin(Guarded { stderr: SimpleLogger::new(), other: other.map(Mutex::new) });
        set(config.log_level);
    }
    #[cfg(not(feature = "logs"))]
    start(config.log_level);
}

fn begin(logger: Guarded) {
    let _ = log::set_boxed_logger(Box::new(logger));
}

fn set(level: LevelFilter) {
    log::set_max_level(level);
}

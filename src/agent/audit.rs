//! The task that hands the audit log's new records to the hub.

use super::Shared;
use super::backoff::Backoff;
use super::modules::Ended;
use super::news::News;
use crate::audit;
use crate::reactor::after;
use crate::sys::{FileError, durable};
use crate::uplink::UplinkError;
#[cfg(feature = "ssm")]
use crate::uplink::budget::{self, Pressure};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::audit::MAX_LINES;

/// From a new record on, more are waited for before they are sent.
const LOOK: Duration = Duration::from_secs(30);

/// Where the kernel doesn't tell of records. They wait on the disk meanwhile, and nothing is lost.
const SELDOM: Duration = Duration::from_secs(600);

/// A server that doesn't know the operation is no hub, or an old one: it is asked again so late.
const AGAIN: Duration = Duration::from_secs(6 * 3600);

/// The number of the last record that the hub has, in the log's folder.
const SENT: &str = "sent";

/// Sends for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let folder = audit::folder(&shared.state);
    let mut backoff = Backoff::default();
    loop {
        let before = length(&folder);
        #[cfg(feature = "ssm")]
        if budget::pressure() >= Pressure::Saving {
            after(LOOK).await;
            continue;
        }
        let wait = match send(&shared, &folder).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => {
                backoff.succeeded();
                // The look itself stirs the folder, so only what comes after it is waited for.
                let news = News::of(&folder);
                if length(&folder) == before {
                    news.wait(Duration::ZERO, SELDOM).await;
                }
                LOOK
            }
            Err(Problem::Uplink(error @ UplinkError::Refused { .. }))
                if !error.is_rejection_of_the_node() =>
            {
                log::error!("the server doesn't take the audit log: {error}");
                AGAIN
            }
            Err(Problem::Uplink(error)) => {
                let wait = backoff.failed(error.is_rejection_of_the_node());
                log::warn!("the audit log can't be sent, again in {} s: {error}", wait.as_secs());
                wait
            }
            Err(Problem::File(error)) => return Err(error.to_string()),
        };
        after(wait).await;
    }
}

/// Bytes of the log's younger file.
fn length(folder: &Path) -> Option<u64> {
    fs::metadata(folder.join("log")).ok().map(|meta| meta.len())
}

enum Problem {
    File(FileError),
    Uplink(UplinkError),
}

/// Sends what is new; whether there may be more.
async fn send(shared: &Shared, folder: &Path) -> Result<bool, Problem> {
    let path = folder.join(SENT);
    let sent = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let lines = audit::lines_after(folder, sent.unwrap_or(0), MAX_LINES).map_err(Problem::File)?;
    if lines.is_empty() {
        return Ok(false);
    }
    let last = lines.iter().rev().find_map(|line| stint_wire::audit::read(line));
    let last = last.map(|record| record.number);
    let more = is_onward(lines.len(), sent, last);
    shared.talk(move |uplink| uplink.put_audit(&lines)).await.map_err(Problem::Uplink)?;
    if let Some(last) = last {
        durable::write(&path, last.to_string().as_bytes()).map_err(Problem::File)?;
    }
    Ok(more)
}

/// Whether the next lines may follow at once: these were as many as go into a call, and the next
/// call's are others. Lines that can't be read move nothing on, and would be sent without end.
fn is_onward(lines: usize, sent: Option<u64>, last: Option<u64>) -> bool {
    lines == MAX_LINES && last > sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_follows_at_once_unless_it_has_other_lines() {
        assert!(is_onward(MAX_LINES, None, Some(100)) && is_onward(MAX_LINES, Some(5), Some(105)));
        assert!(!is_onward(MAX_LINES - 1, None, Some(99)));
        for (sent, last) in [(None, None), (Some(5), None), (Some(5), Some(5)), (Some(5), Some(1))]
        {
            assert!(!is_onward(MAX_LINES, sent, last), "{sent:?} {last:?}");
        }
    }
}

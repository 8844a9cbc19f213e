//! Texts of nodes as the hub keeps and logs them: cut to a length, and without the character NUL,
//! which PostgreSQL keeps in no text. Everything that is read goes through here once.

use stint_wire::bootagent::register::Request;
use stint_wire::bootagent::status::Report;
use stint_wire::bootagent::{Child, Event, JobResult};
use stint_wire::text::head;

/// Bytes kept of each thing a node says of itself.
const NODE: usize = 256;

/// Bytes kept of a text about a child or an event.
const TEXT: usize = 1024;

/// Bytes kept of a result's message: what GetCommandInvocation shows of standard output.
const MESSAGE: usize = 24_000;

/// Bytes of a node's words in a line of the log.
const LOGGED: usize = 256;

/// The start of a text that is as long as a line of the log allows.
pub fn logged(text: &str) -> &str {
    head(text, LOGGED)
}

/// A registration as it is kept. `agentsn` stays as it is: a wrong one is refused.
pub fn of_registration(mut request: Request) -> Request {
    keep(&mut request.hostname, NODE);
    for text in [&mut request.ipaddr, &mut request.version].into_iter().flatten() {
        keep(text, NODE);
    }
    if let Some((id, code)) = &mut request.activation {
        keep(id, NODE);
        keep(code, NODE);
    }
    request
}

/// A report as it is kept.
pub fn of_report(mut report: Report) -> Report {
    for text in [&mut report.hostname, &mut report.version, &mut report.agentsn] {
        keep(text, NODE);
    }
    for Child { name, version, reason, .. } in &mut report.agents {
        for text in [name, version, reason] {
            keep(text, TEXT);
        }
    }
    for Event { category, subject, extra, message, .. } in &mut report.events {
        for text in [category, subject, extra, message] {
            keep(text, TEXT);
        }
    }
    report
}

/// Results as they are kept.
pub fn of_results(mut results: Vec<JobResult>) -> Vec<JobResult> {
    for JobResult { id, message, .. } in &mut results {
        keep(id, NODE);
        keep(message, MESSAGE);
    }
    results
}

fn keep(text: &mut String, limit: usize) {
    text.retain(|c| c != '\0');
    let kept = head(text, limit).len();
    text.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(text: &str) -> Event {
        Event {
            timestamp: 1,
            local_id: 1,
            category: text.to_owned(),
            subject: text.to_owned(),
            extra: text.to_owned(),
            message: text.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_kept_is_long_or_has_a_nul(text: String, times in 1..2000_usize) {
            let text = format!("{text}\0").repeat(times);
            let good = |kept: &str, limit| !kept.contains('\0') && kept.len() <= limit;
            let report = of_report(Report {
                hostname: text.clone(),
                version: text.clone(),
                agentsn: text.clone(),
                events: vec![event(&text)],
                ..Report::default()
            });
            let event = &report.events[0];
            for kept in [&report.hostname, &report.version, &report.agentsn] {
                prop_assert!(good(kept, NODE));
            }
            for kept in [&event.category, &event.subject, &event.extra, &event.message] {
                prop_assert!(good(kept, TEXT));
            }
            let result = JobResult { id: text.clone(), errcode: 0, message: text.clone() };
            let kept = &of_results(vec![result])[0];
            prop_assert!(good(&kept.id, NODE) && good(&kept.message, MESSAGE));
            prop_assert!(logged(&kept.message).len() <= LOGGED);
            let kept = of_registration(Request {
                hostname: text.clone(),
                ipaddr: Some(text.clone()),
                version: Some(text.clone()),
                activation: Some((text.clone(), text)),
                ..Request::default()
            });
            let (id, code) = kept.activation.unwrap();
            for kept in [kept.hostname, kept.ipaddr.unwrap(), kept.version.unwrap(), id, code] {
                prop_assert!(good(&kept, NODE));
            }
        }
    }
}

//! `stint status`.

use super::{Exit, Status, complain, print};
use crate::agent::status::{self, Snapshot};
use crate::config::{self, DEFAULT_PATH};
use crate::identity::{Registration, RegistrationError};
use crate::spool::{Counts, Outbox, Spool};
use crate::sys::clock;
use stint_wire::json::ObjectWriter;

/// Shows what there is to know without asking the server; healthy or not is the exit code.
pub fn run(wish: &Status) -> Exit {
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        Err(error) => return complain(&format!("stint: {error}"), Exit::Failure),
    };
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    let (registration, problem) = match Registration::load(state) {
        Ok(registration) => (Some(registration), None),
        Err(RegistrationError::Missing(_)) => (None, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let report = Report {
        registration,
        problem,
        daemon: status::look(state, &config.status_dir(state)),
        counts: Spool::count(state),
        outbox: Outbox::count(state),
    };
    let healthy = report.registration.is_some()
        && report
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.is_healthy(clock::system(), config.health_interval));
    print(&if wish.json { report.json() } else { report.text() });
    if healthy { Exit::Success } else { Exit::Failure }
}

struct Report {
    registration: Option<Registration>,
    problem: Option<String>,
    daemon: Option<Snapshot>,
    counts: Counts,
    outbox: usize,
}

impl Report {
    fn json(&self) -> String {
        let registration = self.registration.as_ref();
        let daemon = self.daemon.as_ref();
        let jobs = ObjectWriter::new()
            .raw("pending", &self.counts.pending.to_string())
            .raw("running", &self.counts.running.to_string())
            .raw("completed", &self.counts.completed.to_string())
            .raw("outbox", &self.outbox.to_string())
            .finish();
        let number = |number: Option<u64>| number.map_or("null".to_owned(), |n| n.to_string());
        let text = |text: Option<&str>| text.map_or("null".to_owned(), stint_wire::json::quote);
        let error = self.problem.as_deref().or(daemon.and_then(|d| d.last_error.as_deref()));
        ObjectWriter::new()
            .raw("registered", &registration.is_some().to_string())
            .raw("instanceId", &text(registration.map(|r| r.instance_id.as_str())))
            .raw("region", &text(registration.map(|r| r.region.as_str())))
            .raw("endpoint", &text(registration.and_then(|r| r.endpoint.as_deref())))
            .raw("running", &daemon.is_some().to_string())
            .raw("pid", &number(daemon.map(|d| u64::from(d.pid))))
            .raw("online", &daemon.is_some_and(|d| d.online).to_string())
            .raw("lastPing", &text(daemon.and_then(|d| d.last_ping.as_deref())))
            .raw("link", &text(daemon.map(|d| d.link.as_str())))
            .raw("backoffSeconds", &number(daemon.and_then(|d| d.backoff_seconds)))
            .raw("lastError", &text(error))
            .raw("jobs", &jobs)
            .finish()
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        let server = |r: &Registration| r.endpoint.clone().unwrap_or_else(|| "AWS".to_owned());
        lines.push(match (&self.registration, &self.problem) {
            (Some(r), _) => {
                format!("registered   {} in {} with {}", r.instance_id, r.region, server(r))
            }
            (None, Some(problem)) => format!("registered   no: {problem}"),
            (None, None) => "registered   no; run `stint register`".to_owned(),
        });
        match &self.daemon {
            None => lines.push("agent        not running; start it with `stint run`".to_owned()),
            Some(daemon) => {
                lines.push(format!("agent        running as process {}", daemon.pid));
                let word = if daemon.online { "online" } else { "not online" };
                lines.push(format!("link         {} {word}", daemon.link));
                let heard = daemon.last_ping.as_deref().unwrap_or("never");
                lines.push(format!("last ping    {heard}"));
                if let Some(seconds) = daemon.backoff_seconds {
                    lines.push(format!("next try     within {seconds} s"));
                }
                if let Some(error) = &daemon.last_error {
                    lines.push(format!("last error   {error}"));
                }
            }
        }
        let Counts { pending, running, completed } = self.counts;
        lines.push(format!(
            "jobs         {pending} waiting, {running} running, {completed} ended, {} to report",
            self.outbox
        ));
        lines.join("\n")
    }
}

//! Counts in the text format of Prometheus.

use crate::app::App;
use crate::error::ApiResult;
use crate::nodes::sightings::is_cloned;
use crate::nodes::troubles;
use crate::tools::fleet_manager::presence::ping_status;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stint_wire::time::Utc;

/// Upper bounds of the latency histogram, seconds. Polls end up in the last ones.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 20.0];

/// Stands for operations whose caller proved nothing, or that don't exist.
const NO_OPERATION: &str = "none";

/// The categories of child agents' events that have a count of their own.
const EVENTS: [&str; 9] = [
    "exit",
    "limit",
    "fatal",
    "recovered",
    "install",
    "rollback",
    "uninstall",
    "dropped",
    "health",
];

/// What this process has counted since it started.
#[derive(Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(String, &'static str), u64>,
    latency: BTreeMap<String, Histogram>,
    jobs: BTreeMap<&'static str, u64>,
    events: BTreeMap<&'static str, u64>,
    clones: u64,
}

#[derive(Clone, Copy, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.seconds += seconds;
    }
}

impl Metrics {
    /// Counts one call. `code` is `OK` or the error's.
    pub fn count(&self, operation: &str, code: &'static str, elapsed: Duration) {
        let known = !operation.is_empty() && code != "UnknownOperationException";
        let operation = if known { operation } else { NO_OPERATION };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((operation.to_owned(), code)).or_default() += 1;
        let latency = counts.latency.entry(operation.to_owned()).or_default();
        latency.observe(elapsed.as_secs_f64());
    }

    /// Counts a job for child agents that a node was handed for the first time.
    pub fn job_handed_out(&self) {
        self.job("handed_out");
    }

    /// Counts a job for child agents that has ended.
    pub fn job_ended(&self, well: bool) {
        self.job(if well { "success" } else { "failed" });
    }

    fn job(&self, what: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.jobs.entry(what).or_default() += 1;
    }

    /// Counts what happened to child agents, by category.
    pub fn child_events(&self, categories: Vec<String>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for category in categories {
            // Nodes choose the words, and must not fill the metrics with them.
            let known = EVENTS.into_iter().find(|known| *known == category);
            *counts.events.entry(known.unwrap_or("other")).or_default() += 1;
        }
    }

    /// Counts a node whose key two devices were found to use.
    pub fn clone_found(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clones += 1;
    }

    /// Everything, with what the store and the open polls say at this moment.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn text(&self, app: &App) -> ApiResult<String> {
        let nodes: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(
            "SELECT n.id, n.last_ping_at, b.step FROM node n
             LEFT JOIN boot_agent b ON b.node_id = n.id AND b.only_this = 1",
        )
        .fetch_all(&app.store.read)
        .await?;
        let now = app.now();
        let online = nodes.iter().filter(|(id, ping, step)| {
            let ping = ping.map(|at| Utc(at.unsigned_abs()));
            ping_status(ping, *step, app.wakeups.is_connected(id), now) == "Online"
        });
        let online = online.count() as u64;
        let returns: Vec<(i64, Option<i64>)> =
            sqlx::query_as("SELECT returns, returned_at FROM node WHERE returns > 0")
                .fetch_all(&app.store.read)
                .await?;
        let cloned = returns.iter().filter(|(returns, at)| is_cloned(*returns, *at, now)).count();
        let failing = troubles::failing(&app.store.read).await?.len() as u64;
        let commands: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, COUNT(*) FROM command GROUP BY status ORDER BY status")
                .fetch_all(&app.store.read)
                .await?;
        let mut out = self.counted();
        gauge(&mut out, "stint_hub_nodes", "Registered nodes.", &[("", nodes.len() as u64)]);
        gauge(&mut out, "stint_hub_nodes_online", "Nodes that ping or poll.", &[("", online)]);
        let help = "Nodes whose key two devices use.";
        gauge(&mut out, "stint_hub_nodes_cloned", help, &[("", cloned as u64)]);
        let help = "Nodes with a module of the agent that fails.";
        gauge(&mut out, "stint_hub_nodes_failing", help, &[("", failing)]);
        let polls = app.wakeups.open_polls() as u64;
        gauge(&mut out, "stint_hub_open_polls", "Nodes with a poll open.", &[("", polls)]);
        let channels = app.wakeups.open_channels() as u64;
        let help = "Nodes with a control channel.";
        gauge(&mut out, "stint_hub_control_channels", help, &[("", channels)]);
        let commands: Vec<(String, u64)> = commands
            .into_iter()
            .map(|(status, count)| (format!("{{status=\"{status}\"}}"), count as u64))
            .collect();
        let commands: Vec<(&str, u64)> = commands.iter().map(|(l, n)| (l.as_str(), *n)).collect();
        let help = "Transactions that kept replies; those that come together share one.";
        let name = "stint_hub_reply_transactions_total";
        describe(&mut out, name, "counter", help);
        sample(&mut out, name, "", &app.replies.transactions());
        gauge(&mut out, "stint_hub_commands", "Commands by status.", &commands);
        Ok(out)
    }

    fn counted(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        describe(&mut out, "stint_hub_requests_total", "counter", "Calls by operation and code.");
        for ((operation, code), count) in &counts.requests {
            let labels = format!("{{operation=\"{operation}\",code=\"{code}\"}}");
            sample(&mut out, "stint_hub_requests_total", &labels, count);
        }
        let name = "stint_hub_request_seconds";
        describe(&mut out, name, "histogram", "Time from the request's head to its answer.");
        for (operation, latency) in &counts.latency {
            for (bucket, bound) in latency.buckets.iter().zip(BUCKETS) {
                let labels = format!("_bucket{{operation=\"{operation}\",le=\"{bound}\"}}");
                sample(&mut out, name, &labels, bucket);
            }
            let labels = format!("_bucket{{operation=\"{operation}\",le=\"+Inf\"}}");
            sample(&mut out, name, &labels, &latency.count);
            let labels = format!("_sum{{operation=\"{operation}\"}}");
            sample(&mut out, name, &labels, &latency.seconds);
            let labels = format!("_count{{operation=\"{operation}\"}}");
            sample(&mut out, name, &labels, &latency.count);
        }
        let name = "stint_hub_clones_found_total";
        describe(&mut out, name, "counter", "How often a key was found to be used by two devices.");
        sample(&mut out, name, "", &counts.clones);
        let jobs =
            [("stint_hub_child_jobs_total", "Jobs for child agents.", "state", &counts.jobs)];
        let events =
            ("stint_hub_child_events_total", "Child agents' events.", "category", &counts.events);
        for (name, help, label, counts) in jobs.into_iter().chain([events]) {
            describe(&mut out, name, "counter", help);
            for (word, count) in counts {
                sample(&mut out, name, &format!("{{{label}=\"{word}\"}}"), count);
            }
        }
        out
    }
}

fn gauge(out: &mut String, name: &str, help: &str, samples: &[(&str, u64)]) {
    describe(out, name, "gauge", help);
    for (labels, value) in samples {
        sample(out, name, labels, value);
    }
}

fn describe(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string can't fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn sample(out: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(out, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[tokio::test]
    async fn calls_are_counted_by_operation_code_and_time() {
        let (app, _dir) = testing::app().await;
        app.metrics.count("SendReply", "OK", Duration::from_millis(2));
        app.metrics.count("SendReply", "OK", Duration::from_secs(30));
        app.metrics.count("Bogus", "UnknownOperationException", Duration::ZERO);
        let _poll = app.wakeups.bell("mi-1");
        let text = app.metrics.text(&app).await.unwrap();
        for line in [
            "stint_hub_requests_total{operation=\"SendReply\",code=\"OK\"} 2",
            "stint_hub_requests_total{operation=\"none\",code=\"UnknownOperationException\"} 1",
            "stint_hub_request_seconds_bucket{operation=\"SendReply\",le=\"0.001\"} 0",
            "stint_hub_request_seconds_bucket{operation=\"SendReply\",le=\"0.0025\"} 1",
            "stint_hub_request_seconds_bucket{operation=\"SendReply\",le=\"+Inf\"} 2",
            "stint_hub_request_seconds_sum{operation=\"SendReply\"} 30.002",
            "stint_hub_open_polls 1",
            "stint_hub_nodes 0",
            "stint_hub_nodes_online 0",
            "stint_hub_nodes_cloned 0",
            "stint_hub_nodes_failing 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("Bogus"));
        app.metrics.job_handed_out();
        app.metrics.job_ended(false);
        app.metrics.child_events(vec!["fatal".into(), "fatal".into(), "x\"} 1".into()]);
        let text = app.metrics.text(&app).await.unwrap();
        for line in [
            "stint_hub_child_jobs_total{state=\"handed_out\"} 1",
            "stint_hub_child_jobs_total{state=\"failed\"} 1",
            "stint_hub_child_events_total{category=\"fatal\"} 2",
            "stint_hub_child_events_total{category=\"other\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}

//! `stint status`.

use super::{Exit, Status, complain, print};
#[cfg(feature = "guardian")]
use crate::agent::modules::{ModuleState, State};
use crate::agent::status::{self, LinkState, Snapshot};
use crate::config::{self, DEFAULT_PATH};
#[cfg(feature = "guardian")]
use crate::guardian;
#[cfg(feature = "bootagent")]
use crate::identity::bootagent::BootIdentity;
#[cfg(feature = "ssm")]
use crate::identity::hardware::Hardware;
use crate::identity::{self, Registration, RegistrationError};
use crate::spool::{Counts, Outbox, Spool};
#[cfg(feature = "supervise")]
use crate::supervise::status::{self as children, Overview};
use crate::sys::clock;
use stint_wire::json::ObjectWriter;

/// Shows what there is to know without asking the server; healthy or not is the exit code.
pub fn run(wish: &Status) -> Exit {
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        Err(error) => return complain(&format!("stint: {error}"), Exit::Failure),
    };
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    let (registration, problem) = match identity::registration(state) {
        Ok(registration) => (Some(registration), None),
        Err(RegistrationError::Missing(_)) => (None, None),
        Err(error) => (None, Some(error.to_string())),
    };
    #[cfg(feature = "ssm")]
    let hardware = registration.as_ref().and_then(|registration: &Registration| {
        Some(Hardware::read().change_since(&registration.hardware)?.words())
    });
    let report = Report {
        #[cfg(feature = "ssm")]
        state: state.to_owned(),
        registration,
        problem,
        daemon: status::look(state, &config.status_dir(state)),
        counts: Spool::count(state),
        #[cfg(feature = "session")]
        sessions: crate::session::count(&config.status_dir(state)),
        outbox: Outbox::count(state),
        #[cfg(feature = "bootagent")]
        bootagent: BootIdentity::look(state),
        #[cfg(feature = "guardian")]
        guardian: guardian::Record::look(state),
        #[cfg(feature = "guardian")]
        is_guarded: guardian::is_on(state),
        #[cfg(feature = "supervise")]
        children: children::look(state, &config.supervise.definitions),
        #[cfg(feature = "ssm")]
        hardware,
        #[cfg(feature = "ssm")]
        budget: crate::uplink::budget::Shown::look(state),
        #[cfg(feature = "update")]
        update: crate::update::shown::Shown::look(state),
    };
    print(&if wish.json { report.json() } else { report.text() });
    if report.is_healthy() { Exit::Success } else { Exit::Failure }
}

struct Report {
    #[cfg(feature = "ssm")]
    state: std::path::PathBuf,
    registration: Option<Registration>,
    problem: Option<String>,
    daemon: Option<Snapshot>,
    counts: Counts,
    #[cfg(feature = "session")]
    sessions: usize,
    outbox: usize,
    #[cfg(feature = "bootagent")]
    bootagent: Option<BootIdentity>,
    #[cfg(feature = "guardian")]
    guardian: guardian::Record,
    #[cfg(feature = "guardian")]
    is_guarded: bool,
    #[cfg(feature = "supervise")]
    children: Overview,
    /// What has become of the device since it was registered, in words.
    #[cfg(feature = "ssm")]
    hardware: Option<String>,
    #[cfg(feature = "ssm")]
    budget: Option<crate::uplink::budget::Shown>,
    #[cfg(feature = "update")]
    update: crate::update::shown::Shown,
}

impl Report {
    fn is_healthy(&self) -> bool {
        let now = clock::since_boot().as_secs();
        self.problem.is_none() && self.daemon.as_ref().is_some_and(|daemon| daemon.is_healthy(now))
    }

    /// The id of an EC2 instance that needs no registration, as the daemon knows it.
    #[cfg(feature = "ssm")]
    fn instance(&self) -> Option<&str> {
        let links = self.daemon.iter().flat_map(|daemon| &daemon.links);
        let mut nodes = links.filter_map(|link| link.node.as_deref());
        nodes.find(|node| node.starts_with("i-"))
    }

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
        // The first link stands for all where there is room for one.
        let link = daemon.and_then(|daemon| daemon.links.first());
        let error = self.problem.as_deref().or(link.and_then(|link| link.last_error.as_deref()));
        let links = daemon.map_or_else(String::new, |daemon| {
            let links: Vec<String> = daemon.links.iter().map(LinkState::write).collect();
            links.join(",")
        });
        let online =
            daemon.is_some_and(|d| !d.links.is_empty() && d.links.iter().all(|l| l.online));
        let node = registration.map(|r| r.instance_id.as_str());
        #[cfg(feature = "ssm")]
        let node = self.instance().or(node);
        let out = ObjectWriter::new()
            .raw("registered", &self.is_registered().to_string())
            .raw("instanceId", &text(node))
            .raw("region", &text(registration.map(|r| r.region.as_str())))
            .raw("endpoint", &text(registration.and_then(|r| r.endpoint.as_deref())))
            .raw("bootagent", &self.bootagent_json())
            .raw("running", &daemon.is_some().to_string())
            .raw("pid", &number(daemon.map(|d| u64::from(d.pid))))
            .raw("online", &online.to_string())
            .raw("lastPing", &text(link.and_then(|link| link.last_ping.as_deref())))
            .raw("link", &text(link.map(|link| link.link.as_str())))
            .raw("backoffSeconds", &number(link.and_then(|link| link.backoff_seconds)))
            .raw("lastError", &text(error))
            .raw("links", &format!("[{links}]"))
            .raw("jobs", &jobs);
        #[cfg(feature = "session")]
        let out = out.raw("sessions", &self.sessions.to_string());
        #[cfg(feature = "guardian")]
        let out = out.raw("guardian", &self.guardian.json(self.is_guarded));
        #[cfg(feature = "guardian")]
        let out = out.raw("modules", &daemon.map_or("[]".to_owned(), Snapshot::modules_json));
        #[cfg(feature = "supervise")]
        let out = out
            .raw("children", &self.children.children_json())
            .raw("problems", &self.children.problems_json());
        #[cfg(feature = "update")]
        let out = out.raw("update", &self.update.json());
        // The set `tiny` has no bytes to spare for what its other members imply.
        #[cfg(feature = "ssm")]
        let out = out
            .raw("hardwareChange", &text(self.hardware.as_deref()))
            .raw("network", &self.budget.as_ref().map_or("null".to_owned(), |budget| budget.json()))
            .raw("healthy", &self.is_healthy().to_string())
            .string("version", env!("STINT_VERSION"))
            .string("stateDir", &self.state.to_string_lossy());
        out.finish()
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        let server = |r: &Registration| r.endpoint.clone().unwrap_or_else(|| "AWS".to_owned());
        #[cfg(feature = "ssm")]
        lines.extend(self.instance().map(|id| format!("instance     {id} of EC2")));
        #[cfg(feature = "ssm")]
        let is_instance = !lines.is_empty();
        #[cfg(not(feature = "ssm"))]
        let is_instance = false;
        match (&self.registration, &self.problem) {
            _ if is_instance => {}
            (Some(r), _) => lines.push(format!(
                "registered   {} in {} with {}",
                r.instance_id,
                r.region,
                server(r)
            )),
            (None, Some(problem)) => lines.push(format!("registered   no: {problem}")),
            (None, None) if self.is_registered() => {}
            (None, None) => lines.push("registered   no; run `stint register`".to_owned()),
        }
        #[cfg(feature = "ssm")]
        lines.extend(self.hardware.as_ref().map(|change| format!("hardware     {change}")));
        lines.extend(self.bootagent_text());
        match &self.daemon {
            None => lines.push("agent        not running; start it with `stint run`".to_owned()),
            Some(daemon) => {
                lines.push(format!("agent        running as process {}", daemon.pid));
                for link in &daemon.links {
                    let word = if link.online { "online" } else { "not online" };
                    let line = format!("link         {} {word}", link.link);
                    #[cfg(feature = "ssm")]
                    let line = match &link.server {
                        Some(server) => format!("{line} at {server}"),
                        None => line,
                    };
                    lines.push(line);
                    let heard = link.last_ping.as_deref().unwrap_or("never");
                    lines.push(format!("last ping    {heard}"));
                    if let Some(seconds) = link.backoff_seconds {
                        lines.push(format!("next try     within {seconds} s"));
                    }
                    if let Some(error) = &link.last_error {
                        let kind = link.error_kind.as_deref().unwrap_or("other");
                        lines.push(format!("last error   ({kind}) {error}"));
                    }
                }
            }
        }
        #[cfg(feature = "guardian")]
        if let Some(last) = self.guardian.last.last() {
            let (count, reason, time) = (self.guardian.count, &last.reason, &last.time);
            lines.push(format!("restarts     {count}, the last at {time}: {reason}"));
        }
        #[cfg(feature = "guardian")]
        if let Some(daemon) = &self.daemon {
            lines.extend(modules_text(&daemon.modules));
        }
        let Counts { pending, running, completed } = self.counts;
        lines.push(format!(
            "jobs         {pending} waiting, {running} running, {completed} ended, {} to report",
            self.outbox
        ));
        #[cfg(feature = "session")]
        if self.sessions > 0 {
            lines.push(format!("sessions     {} open", self.sessions));
        }
        #[cfg(feature = "ssm")]
        lines.extend(self.budget.as_ref().map(|budget| budget.text()));
        #[cfg(feature = "supervise")]
        lines.extend(self.children.text());
        #[cfg(feature = "update")]
        lines.extend(self.update.text());
        lines.join("\n")
    }

    #[cfg(feature = "bootagent")]
    fn is_registered(&self) -> bool {
        self.registration.is_some() || self.bootagent.as_ref().is_some_and(|b| b.registered)
    }

    #[cfg(not(feature = "bootagent"))]
    fn is_registered(&self) -> bool {
        self.registration.is_some()
    }

    #[cfg(feature = "bootagent")]
    fn bootagent_json(&self) -> String {
        let Some(identity) = &self.bootagent else { return "null".to_owned() };
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        ObjectWriter::new()
            .raw("registered", &identity.registered.to_string())
            .string("agentsn", &identity.agentsn)
            .optional("instanceId", text(&identity.node_id).as_deref())
            .optional("tags", text(&identity.tags).as_deref())
            .optional("svrlist", text(&identity.pushed).as_deref())
            .finish()
    }

    #[cfg(not(feature = "bootagent"))]
    fn bootagent_json(&self) -> String {
        "null".to_owned()
    }

    #[cfg(feature = "bootagent")]
    fn bootagent_text(&self) -> Option<String> {
        let identity = self.bootagent.as_ref()?;
        let node = match identity.node_id.as_str() {
            "" => String::new(),
            id => format!(", node {id}"),
        };
        let word = if identity.registered { "" } else { ", not registered yet" };
        Some(format!("bootagent    agent {}{node}{word}", identity.agentsn))
    }

    #[cfg(not(feature = "bootagent"))]
    fn bootagent_text(&self) -> Option<String> {
        None
    }
}

/// Those that run in one line, and the others with what is wrong with them.
#[cfg(feature = "guardian")]
fn modules_text(modules: &[ModuleState]) -> Vec<String> {
    let (running, others): (Vec<_>, Vec<_>) =
        modules.iter().partition(|module| module.state == State::Running);
    let names: Vec<&str> = running.iter().map(|module| module.name.as_str()).collect();
    let mut lines = vec![format!("modules      {} running", names.join(", "))];
    for ModuleState { name, state, since, restarts, last_error } in others {
        let word = state.word();
        let why = last_error.as_deref().map_or_else(String::new, |why| format!(": {why}"));
        lines.push(format!("module       {name} {word} since {since}, restarts {restarts}{why}"));
    }
    lines
}

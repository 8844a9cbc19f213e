//! What `stint status` shows of the children, from what is on disk.

use super::definitions::{self, BY_FILE, BY_JOB};
use super::record::Record;
use super::{CHILDREN, OWN, child, queue};
use crate::sys::tree::Process;
use crate::sys::{clock, durable, host};
use std::path::Path;
use stint_wire::bootagent::ChildStatus;
use stint_wire::json::ObjectWriter;

/// The children of a state folder.
#[derive(Debug, Default)]
pub struct Overview {
    /// By name.
    pub children: Vec<Line>,
    /// Definition files that are ignored: the path and the reason.
    pub problems: Vec<String>,
    /// Events that the server hasn't got.
    pub events: usize,
    /// Results that the server hasn't got.
    pub results: usize,
}

/// One child.
#[derive(Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
    /// Its state.
    pub status: ChildStatus,
    /// Its process.
    pub pid: Option<u32>,
    /// Seconds since its start.
    pub uptime: u64,
    /// Why it isn't running.
    pub reason: String,
    /// Seconds until its next start.
    pub next_start: Option<u64>,
}

/// Whether there is any child: one that is defined by a file, or that a job has brought.
pub fn has_children(state: &Path, definitions: &Path) -> bool {
    let is_definition = |name: &String| name.ends_with(".json");
    durable::list(definitions).unwrap_or_default().iter().any(is_definition)
        || !durable::list(&state.join(CHILDREN)).unwrap_or_default().is_empty()
}

/// Looks at a state folder, and at the operator's definitions.
pub fn look(state: &Path, definitions: &Path) -> Overview {
    let names = durable::list(&state.join(CHILDREN)).unwrap_or_default();
    let (_, problems) = definitions::read_folder(definitions);
    let problem =
        |problem: definitions::Problem| format!("{}: {}", problem.path.display(), problem.what);
    Overview {
        children: names.iter().filter_map(|name| line(state, name)).collect(),
        problems: problems.into_iter().map(problem).collect(),
        events: queue::count(&state.join(OWN).join("events")),
        results: queue::count(&state.join(OWN).join("results")),
    }
}

fn line(state: &Path, name: &str) -> Option<Line> {
    let folder = child::folder(state, name);
    let record = Record::load(&folder).ok().flatten()?;
    let now = clock::since_boot();
    let this_boot = record.boot == host::boot_id();
    let alive = |run: &crate::sys::process::Identity| {
        Process::of(run.pid).is_some_and(|found| found.identity == *run && found.state != b'Z')
    };
    let run = record.run.filter(|run| this_boot && alive(run));
    let defined = || {
        let read = |file| definitions::read_file(&folder.join(file)).ok();
        read(BY_JOB).or_else(|| read(BY_FILE)).map(|definition| definition.version)
    };
    let version = Some(record.version).filter(|version| !version.is_empty()).or_else(defined);
    Some(Line {
        name: name.to_owned(),
        version: version.unwrap_or_default(),
        status: record.status,
        pid: run.map(|run| run.pid),
        uptime: run.map_or(0, |run| now.saturating_sub(child::started(run)).as_secs()),
        reason: record.reason,
        next_start: record.due.filter(|_| this_boot).map(|due| due.saturating_sub(now).as_secs()),
    })
}

impl Overview {
    /// The JSON array of the children.
    pub fn children_json(&self) -> String {
        let object = |line: &Line| {
            let mut out = ObjectWriter::new()
                .string("name", &line.name)
                .string("version", &line.version)
                .string("status", line.status.as_str())
                .raw("uptime", &line.uptime.to_string())
                .string("reason", &line.reason);
            let numbers = [("pid", line.pid.map(u64::from)), ("nextStart", line.next_start)];
            for (name, number) in numbers {
                if let Some(number) = number {
                    out = out.raw(name, &number.to_string());
                }
            }
            out.finish()
        };
        array(self.children.iter().map(object))
    }

    /// The JSON array of the problems.
    pub fn problems_json(&self) -> String {
        array(self.problems.iter().map(|problem| stint_wire::json::quote(problem)))
    }

    /// Lines for people.
    pub fn text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Line { name, version, status, pid, uptime, reason, next_start } in &self.children {
            let mut line = format!("child        {name} {version}").trim_end().to_owned();
            line.push_str(&format!(" {}", status.as_str()));
            if let Some(pid) = pid {
                line.push_str(&format!(" as process {pid} for {uptime} s"));
            }
            if !reason.is_empty() {
                line.push_str(&format!(" ({reason})"));
            }
            if let Some(seconds) = next_start {
                line.push_str(&format!(", next start in {seconds} s"));
            }
            lines.push(line);
        }
        lines.extend(self.problems.iter().map(|problem| format!("ignored      {problem}")));
        if self.events + self.results > 0 {
            lines.push(format!("to report    {} events, {} results", self.events, self.results));
        }
        lines
    }
}

fn array(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

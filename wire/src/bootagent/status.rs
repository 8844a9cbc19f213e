//! `POST /agent/status` and `POST /agent/job/result`: how the node is, what it is to do, and what
//! became of that.

use super::job::Job;
use super::register::{read_keys, write_keys};
use super::report::{Child, ChildStatus, Enforcement, Event, JobResult};
use super::text::{body, code, member, number, text, verdict, words};
use crate::json::{Node, ObjectWriter, SyntaxError};

/// A status report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The host's name.
    pub hostname: String,
    /// `stint-0.1.0-armv7`
    pub version: String,
    /// How long the agent's process has run, seconds.
    pub uptime: u64,
    /// Unix seconds, as far as the node knows.
    pub timestamp: u64,
    /// The time between two reports, seconds, that is in force.
    pub step: u64,
    /// The child agents.
    pub agents: Vec<Child>,
    /// The agent's id. The founding page hasn't it; a server goes by the host's name then.
    pub agentsn: String,
    /// What the agent can do: bit 0, limits by control groups.
    pub feature: u32,
    /// The node's clock has been set by nobody, so `timestamp` may be far off.
    pub unsynced: bool,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// What the server says to a status report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 if all is well.
    pub errcode: i64,
    /// What is to be done. A job that can't be read is the result to report on it.
    pub jobs: Vec<Result<Job, JobResult>>,
    /// The server's public keys, newest first, where the node trusts others.
    pub serverkeys: Option<Vec<[u8; 32]>>,
    /// What went wrong, for people.
    pub message: Option<String>,
    /// The server's time, Unix seconds, where the request's was too far off.
    pub date: Option<u64>,
}

impl Report {
    /// The body. The first members are the founding page's, in its order.
    pub fn write(&self) -> String {
        let out = ObjectWriter::new()
            .string("hostname", &self.hostname)
            .string("version", &self.version)
            .raw("uptime", &self.uptime.to_string())
            .raw("timestamp", &self.timestamp.to_string())
            .raw("step", &self.step.to_string())
            .raw("agents", &array(self.agents.iter().map(write_child)))
            .optional("agentsn", Some(self.agentsn.as_str()).filter(|id| !id.is_empty()))
            .raw("feature", &self.feature.to_string());
        let out = if self.unsynced { out.raw("unsynced", "true") } else { out };
        match self.events.is_empty() {
            true => out.finish(),
            false => out.raw("events", &array(self.events.iter().map(Event::write))).finish(),
        }
    }

    /// Reads the body; what is missing is empty or 0, and children without name or with a status
    /// that nobody knows are left out.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(content: &str) -> Result<Report, SyntaxError> {
        let node = body(content, false)?;
        Ok(Report {
            hostname: text(&node, "hostname"),
            version: text(&node, "version"),
            uptime: number(&node, "uptime").unwrap_or_default(),
            timestamp: number(&node, "timestamp").unwrap_or_default(),
            step: number(&node, "step").unwrap_or_default(),
            agents: elements(&node, "agents").filter_map(read_child).collect(),
            agentsn: text(&node, "agentsn"),
            feature: number(&node, "feature").unwrap_or_default(),
            unsynced: node.get("unsynced").and_then(Node::as_bool).unwrap_or_default(),
            events: elements(&node, "events").filter_map(Event::read).collect(),
        })
    }
}

impl Answer {
    /// The body. Results among the jobs are no server's to send, and are left out.
    pub fn write(&self) -> String {
        let out = ObjectWriter::new().raw("errcode", &self.errcode.to_string());
        let jobs = array(self.jobs.iter().flatten().map(Job::write));
        let out = out.raw("jobs", &jobs).optional("message", self.message.as_deref());
        let out = match &self.serverkeys {
            Some(keys) => out.raw("serverkeys", &write_keys(keys)),
            None => out,
        };
        match self.date {
            Some(date) => out.raw("date", &date.to_string()).finish(),
            None => out.finish(),
        }
    }

    /// Reads the body. One bad job doesn't hide the others.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(content: &str) -> Result<Answer, SyntaxError> {
        let node = body(content, false)?;
        let jobs = if node.get("jobs").is_some() { "jobs" } else { "tasks" };
        Ok(Answer {
            errcode: verdict(&node),
            jobs: elements(&node, jobs).filter_map(Job::read).collect(),
            serverkeys: read_keys(&node),
            message: member(&node, &["message"]).and_then(words),
            date: number(&node, "date"),
        })
    }
}

impl Event {
    /// The event as one object of a report. Also the form in which a node keeps it on its disk.
    pub fn write(&self) -> String {
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ObjectWriter::new()
            .raw("timestamp", &self.timestamp.to_string())
            .string("category", &self.category)
            .optional("subject", optional(&self.subject).as_deref())
            .optional("extra", optional(&self.extra).as_deref())
            .string("message", &self.message)
            .raw("localid", &self.local_id.to_string())
            .finish()
    }

    /// Reads what [`Event::write`] writes; `None` if it has no category.
    pub fn read(node: &Node) -> Option<Event> {
        let category = text(node, "category");
        (!category.is_empty()).then(|| Event {
            timestamp: number(node, "timestamp").unwrap_or_default(),
            local_id: number(node, "localid").unwrap_or_default(),
            category,
            subject: text(node, "subject"),
            extra: text(node, "extra"),
            message: text(node, "message"),
        })
    }
}

impl JobResult {
    /// The result as one object. Also the form in which a node keeps it on its disk.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("id", &self.id)
            .raw("errcode", &self.errcode.to_string())
            .string("message", &self.message)
            .finish()
    }

    /// Reads what [`JobResult::write`] writes; `None` if it names no job.
    pub fn read(node: &Node) -> Option<JobResult> {
        let id = text(node, "id");
        (!id.is_empty()).then(|| JobResult {
            id,
            errcode: i32::try_from(code(node, &["errcode"])).unwrap_or(-1),
            message: text(node, "message"),
        })
    }
}

/// The body that delivers results.
pub fn write_results(results: &[JobResult]) -> String {
    array(results.iter().map(JobResult::write))
}

/// Reads it; an element without an id is left out.
///
/// # Errors
/// It is no JSON array.
pub fn read_results(content: &str) -> Result<Vec<JobResult>, SyntaxError> {
    let node = body(content, true)?;
    Ok(node.elements().unwrap_or_default().iter().filter_map(JobResult::read).collect())
}

fn write_child(child: &Child) -> String {
    let out = ObjectWriter::new()
        .string("name", &child.name)
        .string("version", &child.version)
        .string("status", child.status.as_str())
        .raw("uptime", &child.uptime.to_string())
        .optional("reason", Some(child.reason.as_str()).filter(|reason| !reason.is_empty()));
    let out = match child.next_start {
        Some(seconds) => out.raw("next_start", &seconds.to_string()),
        None => out,
    };
    let resource = [("cpu", child.cpu.map(percent)), ("rss", child.memory.map(|n| n.to_string()))];
    let word = |enforced: Option<Enforcement>| enforced.map(|e| format!("\"{}\"", e.as_str()));
    let enforced = [("CPU", word(child.cpu_enforced)), ("memory", word(child.memory_enforced))];
    let out = nested(out, "resource", resource);
    nested(out, "enforced", enforced).finish()
}

/// Adds an object of those members that are there, unless none is.
fn nested(out: ObjectWriter, name: &str, members: [(&str, Option<String>); 2]) -> ObjectWriter {
    let mut inner = None;
    for (name, json) in members {
        if let Some(json) = json {
            inner = Some(inner.unwrap_or_else(ObjectWriter::new).raw(name, &json));
        }
    }
    match inner {
        Some(inner) => out.raw(name, &inner.finish()),
        None => out,
    }
}

fn read_child(node: &Node) -> Option<Child> {
    let name = text(node, "name");
    let status = ChildStatus::parse(&text(node, "status"))?;
    let part = |object: &str, name: &str| Some(text(node.get(object)?, name));
    let enforced = |name| part("enforced", name).as_deref().and_then(Enforcement::parse);
    (!name.is_empty()).then(|| Child {
        name,
        version: text(node, "version"),
        status,
        uptime: number(node, "uptime").unwrap_or_default(),
        reason: text(node, "reason"),
        next_start: number(node, "next_start"),
        cpu: part("resource", "cpu").as_deref().and_then(hundredths),
        memory: part("resource", "rss").and_then(|bytes| bytes.parse().ok()),
        cpu_enforced: enforced("CPU"),
        memory_enforced: enforced("memory"),
    })
}

/// Hundredths of a percent as percent: 1250 is `12.5`.
fn percent(hundredths: u32) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hundredths(percent: &str) -> Option<u32> {
    let (whole, part) = percent.split_once('.').unwrap_or((percent, ""));
    let digits: String = part.chars().chain("00".chars()).take(2).collect();
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(digits.parse().ok()?)
}

fn elements<'n>(node: &'n Node, name: &str) -> impl Iterator<Item = &'n Node> {
    node.get(name).and_then(Node::elements).unwrap_or_default().iter()
}

fn array(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<String> = elements.collect();
    format!("[{}]", elements.join(","))
}

#[cfg(test)]
mod tests {
    use super::super::job::{Action, Limits};
    use super::super::report::UNREADABLE;
    use super::*;
    use proptest::prelude::*;

    /// As printed on the founding page, with its comments and its commas.
    const SAMPLE: &str = include_str!("samples/status.txt");
    const SAMPLE_ANSWER: &str = include_str!("samples/status_answer.txt");
    const SAMPLE_RESULTS: &str = include_str!("samples/results.txt");

    fn child() -> Child {
        Child {
            name: "BasicAgent".into(),
            version: "1.2.3".into(),
            status: ChildStatus::Stopped,
            uptime: 123,
            reason: String::new(),
            next_start: None,
            cpu: None,
            memory: None,
            cpu_enforced: None,
            memory_enforced: None,
        }
    }

    #[test]
    fn a_code_that_cannot_be_read_is_no_success() {
        for (code, wanted) in [
            ("0", 0),
            ("null", 0),
            ("\"7\"", 7),
            ("4294967295", -1),
            ("1.0", -1),
            ("true", -1),
            ("\"E42\"", -1),
            ("[]", -1),
        ] {
            let text = format!("[{{\"id\":\"a\",\"errcode\":{code}}}]");
            assert_eq!(read_results(&text).unwrap()[0].errcode, wanted, "{code}");
            let answer = Answer::read(&format!("{{\"errcode\":{code}}}")).unwrap();
            assert_eq!(answer.errcode == 0, wanted == 0, "{code}");
        }
        assert_eq!(read_results(r#"[{"id":"a"}]"#).unwrap()[0].errcode, 0);
    }

    #[test]
    fn the_printed_report_is_read_and_written_in_its_order() {
        let report = Report::read(SAMPLE).unwrap();
        let wanted = Report {
            hostname: "127.0.0.1".into(),
            version: "bootagent-1.2.4-x86_64".into(),
            uptime: 1234,
            timestamp: 1232,
            step: 600,
            agents: vec![child()],
            ..Report::default()
        };
        assert_eq!(report, wanted);
        assert_eq!(
            report.write(),
            r#"{"hostname":"127.0.0.1","version":"bootagent-1.2.4-x86_64","uptime":1234,"#
                .to_owned()
                + r#""timestamp":1232,"step":600,"agents":[{"name":"BasicAgent","version":"1.2.3","#
                + r#""status":"stoped","uptime":123}],"feature":0}"#
        );
    }

    #[test]
    fn the_printed_answer_brings_two_jobs() {
        let answer = Answer::read(SAMPLE_ANSWER).unwrap();
        assert_eq!((answer.errcode, answer.jobs.len()), (2, 2));
        let install = answer.jobs[0].clone().unwrap();
        assert_eq!(install.id, "ddc8a9b9-55bd-4ddd-b53d-47095ee19466");
        assert_eq!((install.action, install.name.as_str()), (Action::Install, "BasicAgent"));
        assert_eq!(
            install.url.as_deref(),
            Some("ftp://server:port/BasicAgent/BasicAgent-1.5.6..rpm")
        );
        assert!(install.checksum.unwrap().starts_with("SHA256:4a34b8d7"));
        let path = ("PATH".to_owned(), "/usr/bin;/usr/local/bin".to_owned());
        assert_eq!(install.envs, Some(vec![path]));
        let limits = Limits { cpu: Some(1000), memory: Some(20 << 20), ..Limits::default() };
        assert_eq!(install.limits, Some(limits));
        let config = answer.jobs[1].clone().unwrap();
        assert_eq!((config.action, config.name.as_str()), (Action::Config, ""));
        assert_eq!(config.server_list.as_deref(), Some("192.168.9.1:1234,"));
        assert_eq!(config.step, Some(1200));
    }

    #[test]
    fn the_printed_results_come_back_as_printed() {
        let results = read_results(SAMPLE_RESULTS).unwrap();
        let wanted = JobResult {
            id: "ddc8a9b9-55bd-4ddd-b53d-47095ee19466".into(),
            errcode: 0,
            message: "success".into(),
        };
        assert_eq!(results, [wanted]);
        let squeezed: String = SAMPLE_RESULTS.split_whitespace().collect();
        assert_eq!(write_results(&results), squeezed);
    }

    #[test]
    fn an_answer_says_status_or_errcode_or_nothing() {
        for (text, wanted) in [
            ("{}", 0),
            (r#"{"status":3}"#, 3),
            (r#"{"errcode":0,"status":3}"#, 0),
            (r#"{"errcode":"7"}"#, 7),
            (
                r#"{"errcode":-1 # why not
            }"#,
                -1,
            ),
        ] {
            assert_eq!(Answer::read(text).unwrap().errcode, wanted, "{text}");
        }
    }

    #[test]
    fn a_bad_job_never_hides_its_neighbours() {
        let text = r#"{"errcode":0,"jobs":[{"id":"1","action":"dance","name":"a"}, 5, {"id":"x"},
            {"id":"2","action":"stop","name":"a","whatever":{}}]}"#;
        let jobs = Answer::read(text).unwrap().jobs;
        let [Err(bad), Ok(good)] = jobs.as_slice() else { panic!("{jobs:?}") };
        assert_eq!((bad.id.as_str(), bad.errcode), ("1", UNREADABLE));
        assert_eq!((good.id.as_str(), good.action), ("2", Action::Stop));
    }

    #[test]
    fn usage_is_written_in_percent() {
        for (hundredths_of, text) in [(0, "0"), (5, "0.05"), (1250, "12.5"), (10_000, "100")] {
            assert_eq!(percent(hundredths_of), text);
            assert_eq!(hundredths(text), Some(hundredths_of));
        }
    }

    fn any_child() -> impl Strategy<Value = Child> {
        use ChildStatus::*;
        use Enforcement::*;
        let enforced =
            || prop::option::of(prop::sample::select(vec![None, Polled, Relative, Hard]));
        let status = prop::sample::select(vec![Stopped, Running, Fatal, Killed]);
        (
            ".{1,9}",
            ".{0,9}",
            status,
            any::<(u64, Option<u64>)>(),
            ".{0,9}",
            any::<(Option<u32>, Option<u64>)>(),
            enforced(),
            enforced(),
        )
            .prop_map(
                |(name, version, status, times, reason, usage, cpu_enforced, memory_enforced)| {
                    Child {
                        name,
                        version,
                        status,
                        reason,
                        cpu_enforced,
                        memory_enforced,
                        uptime: times.0,
                        next_start: times.1,
                        cpu: usage.0,
                        memory: usage.1,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn a_report_comes_back(
            texts: (String, String, String),
            times: (u64, u64, u64),
            feature: u32,
            unsynced: bool,
            agents in prop::collection::vec(any_child(), 0..4),
            events in prop::collection::vec((any::<(u64, u64)>(), ".{1,9}", ".{0,9}", ".{0,9}", ".{0,9}"), 0..4),
        ) {
            let events = events.into_iter().map(|((timestamp, local_id), category, subject, extra, message)| {
                Event { timestamp, local_id, category, subject, extra, message }
            }).collect();
            let (hostname, version, agentsn) = texts;
            let (uptime, timestamp, step) = times;
            let report = Report { hostname, version, uptime, timestamp, step, agents, agentsn, feature, unsynced, events };
            prop_assert_eq!(Report::read(&report.write()), Ok(report));
        }

        #[test]
        fn results_come_back(results in prop::collection::vec((".{1,9}", any::<i32>(), any::<String>()), 0..4)) {
            let results: Vec<_> = results.into_iter().map(|(id, errcode, message)| JobResult { id, errcode, message }).collect();
            prop_assert_eq!(read_results(&write_results(&results)), Ok(results));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = (Report::read(&text), Answer::read(&text), read_results(&text));
        }
    }
}

//! What a node tells its server.

/// The state of a child. The spellings are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// `stoped`: on purpose, or because it ended well.
    Stopped,
    /// `running`
    Running,
    /// `fatal`: given up after too many failures in a row.
    Fatal,
    /// `killed`: it died against our will, and waits for its next start.
    Killed,
}

impl ChildStatus {
    /// The protocol's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            ChildStatus::Stopped => "stoped",
            ChildStatus::Running => "running",
            ChildStatus::Fatal => "fatal",
            ChildStatus::Killed => "killed",
        }
    }

    /// Reads the protocol's spelling, and the dictionary's.
    pub fn parse(word: &str) -> Option<ChildStatus> {
        Some(match word {
            "stoped" | "stopped" => ChildStatus::Stopped,
            "running" => ChildStatus::Running,
            "fatal" => ChildStatus::Fatal,
            "killed" => ChildStatus::Killed,
            _ => return None,
        })
    }
}

/// How far a limit really holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enforcement {
    /// Nothing is limited, or nothing can be.
    None,
    /// Looked at from time to time; a child over it is stopped or slowed after the fact.
    Polled,
    /// A share beside other children, no ceiling.
    Relative,
    /// The kernel keeps it.
    Hard,
}

impl Enforcement {
    /// The word in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Enforcement::None => "none",
            Enforcement::Polled => "polled",
            Enforcement::Relative => "relative",
            Enforcement::Hard => "hard",
        }
    }

    /// Reads the word of a report.
    pub fn parse(word: &str) -> Option<Enforcement> {
        use Enforcement::{Hard, None as Nothing, Polled, Relative};
        [Nothing, Polled, Relative, Hard].into_iter().find(|known| known.as_str() == word)
    }
}

/// One child as the status report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its unique name.
    pub name: String,
    /// Its version; empty if nobody knows.
    pub version: String,
    /// Its state.
    pub status: ChildStatus,
    /// Seconds since its start; 0 unless it is running.
    pub uptime: u64,
    /// Why it isn't running, or isn't healthy: `exit:1`, `signal:11`, `oom`, `limit:cpu`,
    /// `limit:memory`, `health`, `spawn: …`; empty if there is nothing to say.
    pub reason: String,
    /// Seconds until its next start, if one is planned.
    pub next_start: Option<u64>,
    /// Of one core, hundredths of a percent, since the last report; `None` if unknown.
    pub cpu: Option<u32>,
    /// Bytes; `None` if unknown.
    pub memory: Option<u64>,
    /// How the limit of CPU holds; `None` if there is no limit.
    pub cpu_enforced: Option<Enforcement>,
    /// How the limit of memory holds; `None` if there is no limit.
    pub memory_enforced: Option<Enforcement>,
}

/// Something that happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unix seconds.
    pub timestamp: u64,
    /// Together with the agent's own id this tells it from every other: rises by one, also over
    /// restarts.
    pub local_id: u64,
    /// `exit`, `limit`, `fatal`, `recovered`, `install`, `rollback`, `uninstall`, `dropped`, `health`.
    pub category: String,
    /// The child's name.
    pub subject: String,
    /// The short reason, as in [`Child::reason`].
    pub extra: String,
    /// The sentence for people.
    pub message: String,
}

/// The `errcode` of a job that the node couldn't read.
pub const UNREADABLE: i32 = 2;

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResult {
    /// The job's id.
    pub id: String,
    /// 0 if it went well.
    pub errcode: i32,
    /// `success`, or what went wrong.
    pub message: String,
}

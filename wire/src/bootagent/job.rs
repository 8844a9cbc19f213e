//! What a server wants done.

/// What is to be done with a child agent, or with the agent's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put it on the device and start it; one that is there is upgraded.
    Install,
    /// Replace it; one that isn't there is installed.
    Upgrade,
    /// Stop it and take it off the device; one that isn't there is no error.
    Uninstall,
    /// Start it, also out of `fatal` and `killed`.
    Start,
    /// Stop it on purpose.
    Stop,
    /// Stop it and start it.
    Restart,
    /// Change the settings of the child `name`, or without a name the agent's own.
    Config,
}

impl Action {
    /// Every action and its word.
    pub(super) const ALL: [(Action, &str); 7] = [
        (Action::Install, "install"),
        (Action::Upgrade, "upgrade"),
        (Action::Uninstall, "uninstall"),
        (Action::Start, "start"),
        (Action::Stop, "stop"),
        (Action::Restart, "restart"),
        (Action::Config, "config"),
    ];

    /// The protocol's word.
    pub fn as_str(self) -> &'static str {
        Action::ALL.into_iter().find(|(action, _)| *action == self).map_or("", |(_, word)| word)
    }

    /// Reads the protocol's word, in any case of letters.
    pub fn parse(word: &str) -> Option<Action> {
        let mut all = Action::ALL.into_iter();
        all.find(|(_, known)| known.eq_ignore_ascii_case(word)).map(|(action, _)| action)
    }
}

/// Limits of one child, over all its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Hundredths of a percent of one core: `"10%"` is 1,000. `None`: no limit.
    pub cpu: Option<u32>,
    /// Bytes. `None`: no limit.
    pub memory: Option<u64>,
    /// CPU shares beside other children where the ceiling isn't wanted: 1 to 10,000, 100 is usual.
    pub cpu_weight: Option<u32>,
    /// Processes and threads. `None`: no limit.
    pub processes: Option<u32>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The server's id, which the result repeats. At most 127 bytes.
    pub id: String,
    /// What to do.
    pub action: Action,
    /// The child; empty for the agent's own settings.
    pub name: String,
    /// The version wanted; without it, what the package or its file name says.
    pub version: Option<String>,
    /// Where the package is.
    pub url: Option<String>,
    /// `SHA256:` and 64 hexadecimal digits.
    pub checksum: Option<String>,
    /// The child's environment. `None`: as it was; empty: none of its own.
    pub envs: Option<Vec<(String, String)>>,
    /// The child's limits. `None`: as they were; all members `None`: none.
    pub limits: Option<Limits>,
    /// The child's definition, an object as in a definition file, in its own spelling.
    pub definition: Option<String>,
    /// Go on with an uninstallation where stopping or the package's own script fails.
    pub force: bool,
    /// Servers to be tried before the configured ones: `host:port,host:port`.
    pub server_list: Option<String>,
    /// The time between two reports, seconds.
    pub step: Option<u64>,
}

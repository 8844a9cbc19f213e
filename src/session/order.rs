//! What session is wanted: the content of `interactive_shell`, with the document's parameters
//! filled in.

use super::words;
use crate::document::Parameters;
use stint_wire::json::{Node, Value};
use stint_wire::mgs::sessions::{self, SessionOrder};
use stint_wire::transcript::{WANTED, YES};

/// The only version of session documents.
const SCHEMA: &str = "1.0";

/// Ids longer than this are refused, bytes. The service's are 96 at most.
const MAX_ID: usize = 128;

/// A prefix of output lines is this long at most, bytes.
const MAX_PREFIX: usize = 30;

/// One session.
#[derive(Debug, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// As whom its programs run.
    pub run_as: RunAs,
    /// Where its transcript goes.
    pub destination: Destination,
}

/// The types of sessions.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// A login shell, and what is typed there first.
    Shell(String),
    /// A command on a terminal, for a shell to run.
    Interactive(String),
    /// A program without a terminal.
    Command(Program),
    /// Connections to a port.
    Port(Target),
}

/// A program without a terminal.
#[derive(Debug, Default, PartialEq)]
pub struct Program {
    /// Its name and arguments.
    pub words: Vec<String>,
    /// Whether standard error comes apart, and the exit code at the end.
    pub separate: bool,
    /// What lines of standard output and of standard error begin with.
    pub prefixes: [String; 2],
}

/// Where a port is.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// Empty: this device.
    pub host: String,
    /// Its number.
    pub port: u16,
    /// Whether clients make connections of their own, and may do so again and again; otherwise the one
    /// connection is the session.
    pub forwards: bool,
    /// What the client is told of it.
    pub properties: Node,
}

/// As whom the document and the account want programs to run.
#[derive(Debug, Default, PartialEq)]
pub struct RunAs {
    /// As the agent itself.
    pub elevated: bool,
    /// As this user; empty if nobody is named.
    pub user: String,
}

/// Where the transcript goes, as the session document says; empty: nowhere.
#[derive(Debug, Default, PartialEq)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// What its keys begin with.
    pub prefix: String,
    /// The group of CloudWatch Logs.
    pub group: String,
    /// Whether the hub that this node has for its server keeps it.
    pub hub: bool,
}

/// Whether a session's id is one that may name a folder.
pub fn is_fit_for_a_name(id: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+=,".contains(&byte);
    !id.is_empty() && id.len() <= MAX_ID && !id.starts_with('.') && id.bytes().all(good)
}

impl Order {
    /// Reads the content of `interactive_shell`.
    ///
    /// # Errors
    /// In words for the operator: what is wrong with the document or its parameters, or what this
    /// agent has no use for.
    pub fn read(content: &str) -> Result<Order, String> {
        let order = SessionOrder::read(content).map_err(|error| error.to_string())?;
        if !is_fit_for_a_name(&order.session_id) {
            return Err("the session's id has characters that it must not have".to_owned());
        }
        let document = &order.document;
        let version = text(document, "schemaVersion");
        if version != SCHEMA {
            return Err(format!("schemaVersion of a session document is 1.0, not \"{version}\""));
        }
        let given = order.parameters.members().iter().map(|(name, value)| {
            let value = Value::String(sessions::parameter(value));
            (name.clone(), Node { line: 1, value })
        });
        let given = Node { line: 1, value: Value::Object(given.collect()) };
        let declared = document.get_any_case("parameters");
        let (parameters, problems) = Parameters::as_they_stand(declared, Some(&given));
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem.what);
        }
        let filled = |name| document.get_any_case(name).map(|node| parameters.fill(node));
        let (inputs, properties) = (filled("inputs"), filled("properties"));
        let nothing = Node { line: 1, value: Value::Object(Vec::new()) };
        let inputs = inputs.unwrap_or_else(|| nothing.clone());
        let properties = properties.unwrap_or(nothing);
        let here = properties.get_any_case("linux").unwrap_or(&properties);
        let kind = match text(document, "sessionType").as_str() {
            "Standard_Stream" => Kind::Shell(
                inputs.get_any_case("shellProfile").map_or(String::new(), |it| text(it, "linux")),
            ),
            "InteractiveCommands" => Kind::Interactive(commands(here, "InteractiveCommands")?),
            "NonInteractiveCommands" => {
                let line = commands(here, "NonInteractiveCommands")?;
                let prefix = |name| prefix(here, name);
                Kind::Command(Program {
                    words: words::split(&line)?,
                    separate: truth(here, "separateOutputStream"),
                    prefixes: [prefix("stdOutSeparatorPrefix")?, prefix("stdErrSeparatorPrefix")?],
                })
            }
            "Port" => Kind::Port(target(properties.clone())?),
            other => {
                let known = "Standard_Stream, InteractiveCommands, NonInteractiveCommands and Port";
                return Err(format!(
                    "this agent knows no sessionType \"{other}\"; it knows {known}"
                ));
            }
        };
        // What is no text is no key, but somebody wants one.
        let key = inputs.get_any_case("kmsKeyId").filter(|key| match &key.value {
            Value::String(key) => !key.is_empty(),
            Value::Null => false,
            _ => true,
        });
        if !matches!(kind, Kind::Port(_)) && key.is_some() {
            return Err("the session document wants the session encrypted with a KMS key, which \
                        this agent can't; take kmsKeyId out of it (the channel is TLS anyway)"
                .to_owned());
        }
        let mut run_as = RunAs { elevated: truth(here, "runAsElevated"), user: String::new() };
        if truth(&inputs, "runAsEnabled") {
            run_as.user = text(&inputs, "runAsDefaultUser");
            if !order.run_as_user.trim().is_empty() {
                run_as.user = order.run_as_user;
            }
            if run_as.user.is_empty() && !run_as.elevated {
                return Err("the session document has runAsEnabled, and nobody says as whom".into());
            }
        }
        let destination = Destination {
            bucket: text(&inputs, "s3BucketName"),
            prefix: text(&inputs, "s3KeyPrefix"),
            group: text(&inputs, "cloudWatchLogGroupName"),
            hub: truth(&inputs, WANTED),
        };
        Ok(Order { id: order.session_id, kind, run_as, destination })
    }

    /// The type's name on the wire.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Shell(_) => "Standard_Stream",
            Kind::Interactive(_) => "InteractiveCommands",
            Kind::Command(_) => "NonInteractiveCommands",
            Kind::Port(_) => "Port",
        }
    }
}

/// A string or a number; empty if it is missing.
fn text(node: &Node, name: &str) -> String {
    match node.get_any_case(name).map(|node| &node.value) {
        Some(Value::String(text) | Value::Number(text)) => text.clone(),
        _ => String::new(),
    }
}

/// `true`, or a string that says so in one of the ways that Go takes.
fn truth(node: &Node, name: &str) -> bool {
    let said = text(node, name);
    node.get_any_case(name).and_then(Node::as_bool).unwrap_or(YES.contains(&said.as_str()))
}

fn commands(properties: &Node, kind: &str) -> Result<String, String> {
    let commands = text(properties, "commands");
    if commands.trim().is_empty() {
        return Err(format!("Commands cannot be empty for session type {kind}"));
    }
    Ok(commands)
}

fn prefix(properties: &Node, name: &str) -> Result<String, String> {
    // Written as in a document: a line's end is a backslash and a letter there.
    let prefix = text(properties, name);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"\r\n_:-".contains(&byte);
    if prefix.len() > MAX_PREFIX || !prefix.bytes().all(good) {
        return Err(format!("{name} may hold 30 letters, digits, line ends, and _ : - at most"));
    }
    Ok(prefix)
}

fn target(properties: Node) -> Result<Target, String> {
    let port = text(&properties, "portNumber");
    Ok(Target {
        host: text(&properties, "host"),
        port: port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            format!("portNumber must be a number from 1 to 65535, not \"{port}\"")
        })?,
        forwards: text(&properties, "type") == "LocalPortForwarding",
        properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(document: &str, parameters: &str, user: &str) -> Result<Order, String> {
        Order::read(&format!(
            r#"{{"DocumentContent":{document},"SessionId":"a-1","Parameters":{parameters},"RunAsUser":"{user}"}}"#
        ))
    }

    fn of(document: &str) -> Result<Order, String> {
        with(document, "{}", "")
    }

    #[test]
    fn a_shell_has_its_profile_user_and_destination() {
        let order = with(
            r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"runAsEnabled":"true",
                "runAsDefaultUser":"web","s3BucketName":"b","hubTranscriptEnabled":true,"shellProfile":{"linux":"cd {{ d }}"}},
                "parameters":{"d":{"type":"String","default":"/tmp"}}}"#,
            r#"{"d":["/srv"]}"#,
            "",
        );
        let order = order.unwrap();
        assert_eq!(order.kind, Kind::Shell("cd /srv".to_owned()));
        assert_eq!((order.run_as.user.as_str(), order.destination.bucket.as_str()), ("web", "b"));
        assert!(order.destination.hub);
        let document = r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream",
            "inputs":{"runAsEnabled":true,"runAsDefaultUser":"web"}}"#;
        assert_eq!(with(document, "{}", "ann").unwrap().run_as.user, "ann");
        let document = r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream"}"#;
        let order = with(document, "{}", "ann").unwrap();
        assert_eq!((order.run_as, order.destination), (RunAs::default(), Destination::default()));
    }

    #[test]
    fn a_reference_that_nobody_fills_in_gets_around_no_limit() {
        let document = r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream",
            "inputs":{"shellProfile":{"linux":"ping {{ host }}"}},
            "parameters":{"host":{"type":"String","allowedPattern":"^[a-z.]+$"}}}"#;
        assert!(with(document, r#"{"host":["a.b"]}"#, "").is_ok());
        let refused = with(document, r#"{"host":["x; reboot # {{ssm:y}}"]}"#, "").unwrap_err();
        assert!(refused.contains("must match the pattern"), "{refused}");
    }

    #[test]
    fn commands_and_ports_are_read_from_the_properties() {
        let document = r#"{"schemaVersion":"1.0","sessionType":"NonInteractiveCommands","properties":{"linux":
            {"commands":"echo '{{c}}'","runAsElevated":true,"separateOutputStream":"true","stdErrSeparatorPrefix":"E:"}},
            "parameters":{"c":{"type":"String"}}}"#;
        let order = with(document, r#"{"c":"a b"}"#, "").unwrap();
        let Kind::Command(program) = order.kind else { panic!() };
        assert_eq!(program.words, ["echo", "a b"]);
        assert!(order.run_as.elevated && program.separate);
        assert_eq!(program.prefixes, ["", "E:"]);
        let document = r#"{"schemaVersion":"1.0","sessionType":"Port","properties":
            {"portNumber":"{{ p }}","type":"LocalPortForwarding","host":"db"},"parameters":{"p":{"type":"String","default":"80"}}}"#;
        let Kind::Port(target) = of(document).unwrap().kind else { panic!() };
        assert_eq!((target.host.as_str(), target.port, target.forwards), ("db", 80, true));
    }

    #[test]
    fn what_can_t_be_done_is_named() {
        let bad = |document: &str| of(document).unwrap_err();
        assert!(bad(r#"{"schemaVersion":"2.2"}"#).contains("schemaVersion"));
        assert!(bad(r#"{"schemaVersion":"1.0","sessionType":"X"}"#).contains("\"X\""));
        let document = r#"{"schemaVersion":"1.0","sessionType":"InteractiveCommands"}"#;
        assert_eq!(bad(document), "Commands cannot be empty for session type InteractiveCommands");
        let document =
            r#"{"schemaVersion":"1.0","sessionType":"Port","properties":{"portNumber":"x"}}"#;
        assert!(bad(document).contains("portNumber"));
        let with_key = |key| {
            of(&format!(
                r#"{{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{{"kmsKeyId":{key}}}}}"#
            ))
        };
        for key in [r#""k""#, "true", "1", r#"["k"]"#] {
            assert!(with_key(key).unwrap_err().contains("kmsKeyId"), "{key}");
        }
        assert!(with_key(r#""""#).is_ok() && with_key("null").is_ok());
        let document = r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"runAsEnabled":true}}"#;
        assert!(bad(document).contains("runAsEnabled"));
        let document = r#"{"schemaVersion":"1.0","sessionType":"Standard_Stream","parameters":{"a":{"type":"String"}}}"#;
        assert!(bad(document).contains("parameter a"));
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        for id in ["alice-0a1b2c3d4e5f60718", "a@b.example-1", "A_1+=,"] {
            assert!(is_fit_for_a_name(id), "{id}");
        }
        for id in ["", ".", "..", ".x", "a/b", "a b", "a\0", "ä", &"a".repeat(129)] {
            assert!(!is_fit_for_a_name(id), "{id}");
        }
    }
}

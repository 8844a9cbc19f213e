//! The command line: what was typed into one call of one function, and its result into an exit
//! code.
//!
//! Never here: logic. Under the name `amazon-ssm-agent` the original's own flags are understood.

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "documents")]
mod check_document;
#[cfg(feature = "ssm")]
mod deregister;
#[cfg(feature = "ssm")]
mod diagnose;
#[cfg(feature = "bootagent")]
mod enrol;
#[cfg(feature = "logs")]
mod log_level;
mod logger;
#[cfg(feature = "ssm")]
mod original;
#[cfg(uplink)]
mod provision;
#[cfg(feature = "ssm")]
mod register;
mod run;
#[cfg(feature = "documents")]
mod run_document;
#[cfg(feature = "offline")]
mod send_offline;
#[cfg(feature = "session")]
mod session;
mod status;
#[cfg(all(uplink, feature = "update"))]
mod update;

use crate::board::BOARD;
use crate::config::{Config, DEFAULT_PATH};
use crate::sys::start;
#[cfg(feature = "documents")]
use crate::worker;
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// What ends the program, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All went well.
    Success = 0,
    /// It didn't; standard error says why. For `status`: the node is not healthy.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// For `update --check`: there is a new version.
    Newer = 10,
    /// For `run`: the device has to be set up first.
    #[cfg(feature = "guardian")]
    Setup = crate::guardian::SETUP as isize,
    /// For `run-document`: a step asks for a reboot, after which the document is to be run again.
    Reboot = 194,
}

/// Run a small Linux device as a managed node of AWS Systems Manager or of stint-hub.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    #[cfg(uplink)]
    Register(Register),
    #[cfg(feature = "ssm")]
    Deregister(Deregister),
    Run(Run),
    #[cfg(feature = "documents")]
    RunDocument(RunDocument),
    #[cfg(feature = "documents")]
    CheckDocument(CheckDocument),
    #[cfg(feature = "offline")]
    SendOffline(SendOffline),
    Status(Status),
    #[cfg(feature = "ssm")]
    Diagnose(Diagnose),
    #[cfg(all(uplink, feature = "update"))]
    Update(Update),
    #[cfg(feature = "audit")]
    Audit(Audit),
    #[cfg(feature = "logs")]
    LogLevel(LogLevel),
    Version(Version),
}

/// Register this device with an activation.
#[cfg(uplink)]
#[derive(FromArgs)]
#[argh(subcommand, name = "register")]
struct Register {
    /// the server's URL; without it, AWS
    #[cfg(feature = "ssm")]
    #[argh(option)]
    endpoint: Option<String>,
    /// the region, such as eu-west-1
    #[cfg(feature = "ssm")]
    #[argh(option)]
    region: Option<String>,
    /// servers of the BootAgent protocol instead, host:port or https://host:port, several with commas
    #[cfg(feature = "bootagent")]
    #[argh(option)]
    server: Option<String>,
    /// the BootAgent server's public key, ed25519:…
    #[cfg(feature = "bootagent")]
    #[argh(option)]
    server_key: Option<String>,
    /// the activation's id, from `aws ssm create-activation`
    #[argh(option)]
    activation_id: Option<String>,
    /// the activation's code
    #[argh(option)]
    activation_code: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[argh(option)]
    ca_file: Option<PathBuf>,
    /// ed25519 or rsa; rsa where the server is AWS
    #[cfg(feature = "ssm")]
    #[argh(option)]
    key_type: Option<String>,
    /// replace an earlier registration without asking
    #[argh(switch, short = 'y')]
    yes: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Part this device from its server, and wipe its registration and keys.
#[cfg(feature = "ssm")]
#[derive(FromArgs)]
#[argh(subcommand, name = "deregister")]
struct Deregister {
    /// only wipe, without telling the server
    #[argh(switch)]
    local: bool,
    /// don't ask
    #[argh(switch, short = 'y')]
    yes: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Run the agent in the foreground until SIGTERM.
#[derive(FromArgs)]
#[argh(subcommand, name = "run")]
struct Run {
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Run a Command document (JSON) on this device, without a server; exit 0 if it succeeds.
#[cfg(feature = "documents")]
#[derive(FromArgs)]
#[argh(subcommand, name = "run-document")]
struct RunDocument {
    /// the document
    #[argh(positional)]
    file: PathBuf,
    /// name=value, a list as name=a,b; or one JSON object
    #[argh(option)]
    parameters: Vec<String>,
    /// more parameters
    #[argh(positional)]
    more: Vec<String>,
    /// print the outcome as JSON
    #[argh(switch)]
    json: bool,
    /// the configuration, for steps that need the network (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of the registration, for the same (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Tell all that is wrong with a Command document (JSON), each with its line; exit 0 if nothing is.
#[cfg(feature = "documents")]
#[derive(FromArgs)]
#[argh(subcommand, name = "check-document")]
struct CheckDocument {
    /// the document
    #[argh(positional)]
    file: PathBuf,
}

/// Hand a Command document (JSON) to the agent of this device, without a server; print its id.
#[cfg(feature = "offline")]
#[derive(FromArgs)]
#[argh(subcommand, name = "send-offline")]
struct SendOffline {
    /// the document
    #[argh(positional)]
    file: PathBuf,
    /// name=value, a list as name=a,b; or one JSON object
    #[argh(option)]
    parameters: Vec<String>,
    /// more parameters
    #[argh(positional)]
    more: Vec<String>,
    /// wait for its end and print its output; exit 0 if it succeeds
    #[argh(switch)]
    wait: bool,
    /// with --wait: print what became of it as JSON
    #[argh(switch)]
    json: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Show registration, connection and jobs; exit 0 if the node is healthy.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
struct Status {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Look for a new version of this agent, or install it; exit 10 if there is one to be installed.
#[cfg(all(uplink, feature = "update"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "update")]
struct Update {
    /// only look
    #[argh(switch)]
    check: bool,
    /// install it, and wait until it has been kept or taken back
    #[argh(switch)]
    apply: bool,
    /// install it without waiting, and only if the one that runs is deprecated
    #[argh(switch)]
    automatic: bool,
    /// this version instead of the highest that is active
    #[argh(option)]
    version: Option<String>,
    /// also one below that which runs
    #[argh(switch)]
    allow_downgrade: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Check what the agent needs, from the configuration to the server; exit 0 if nothing fails.
#[cfg(feature = "ssm")]
#[derive(FromArgs)]
#[argh(subcommand, name = "diagnose")]
struct Diagnose {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Show the audit log: who wanted what of this device.
#[cfg(feature = "audit")]
#[derive(FromArgs)]
#[argh(subcommand, name = "audit")]
struct Audit {
    /// check instead that nothing in it was changed; exit 1 if something was
    #[argh(switch)]
    verify: bool,
    /// print each record as JSON
    #[argh(switch)]
    json: bool,
    /// only so many records, the latest
    #[argh(option)]
    last: Option<usize>,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Let the running agent log more or less, until it starts again.
#[cfg(feature = "logs")]
#[derive(FromArgs)]
#[argh(subcommand, name = "log-level")]
struct LogLevel {
    /// off, error, warn, info or debug
    #[argh(positional)]
    level: String,
    /// the configuration (default: /etc/stint/agent.json)
    #[argh(option)]
    config: Option<PathBuf>,
    /// the folder of registration and jobs (default: /var/lib/stint)
    #[argh(option)]
    state_dir: Option<PathBuf>,
}

/// Print the version.
#[derive(FromArgs)]
#[argh(subcommand, name = "version")]
struct Version {}

/// Reads the command line, does what it says, and tells how it went.
#[cfg_attr(any(test, fuzzing), allow(dead_code))]
pub fn main() -> u8 {
    let words = start::words();
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let exit = route(Path::new(&program), &words);
    #[cfg(feature = "ssm")]
    crate::uplink::budget::settle();
    exit as u8
}

#[cfg(feature = "ssm")]
fn route(program: &Path, words: &[String]) -> Exit {
    let is_original = program.file_name().is_some_and(|name| name == original::NAME);
    // A worker that has been started under that name is still a worker.
    let is_worker = words
        .first()
        .is_some_and(|word| ["worker", "install-package", "session"].contains(&word.as_str()));
    if is_original && !is_worker { original::main(words) } else { dispatch(words) }
}

#[cfg(not(feature = "ssm"))]
fn route(_program: &Path, words: &[String]) -> Exit {
    dispatch(words)
}

fn dispatch(words: &[String]) -> Exit {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    #[cfg(any(feature = "documents", feature = "supervise"))]
    if let Some(exit) = words.split_first().and_then(|(word, rest)| carry_out(word, rest)) {
        return exit;
    }
    #[cfg(feature = "ssm")]
    let words = match words.as_slice() {
        ["--version" | "-V"] => vec!["version"],
        _ => words,
    };
    let arguments = match Arguments::from_args(&["stint"], &words) {
        Ok(arguments) => arguments,
        Err(early) if early.status.is_ok() => {
            print(early.output.trim_end());
            return Exit::Success;
        }
        Err(early) => return complain(early.output.trim_end(), Exit::Usage),
    };
    match arguments.command {
        #[cfg(uplink)]
        Command::Register(arguments) => arguments.run(),
        #[cfg(feature = "ssm")]
        Command::Deregister(arguments) => {
            let Deregister { local, yes, config, state_dir } = arguments;
            let wish = deregister::Wish { local, yes, config, state_dir };
            finish(deregister::run(&wish, &[DEFAULT_PATH]))
        }
        Command::Run(arguments) => {
            let wish = run::Wish { config: arguments.config, state_dir: arguments.state_dir };
            finish_run("stint", run::run(&wish, &[DEFAULT_PATH]))
        }
        #[cfg(feature = "documents")]
        Command::RunDocument(arguments) => run_document::run(&arguments.into()),
        #[cfg(feature = "documents")]
        Command::CheckDocument(arguments) => check_document::run(&arguments.file),
        #[cfg(feature = "offline")]
        Command::SendOffline(arguments) => send_offline::run(arguments),
        Command::Status(arguments) => status::run(&arguments),
        #[cfg(all(uplink, feature = "update"))]
        Command::Update(arguments) => update::run(&arguments),
        #[cfg(feature = "ssm")]
        Command::Diagnose(arguments) => diagnose::run(&arguments),
        #[cfg(feature = "audit")]
        Command::Audit(arguments) => audit::run(&arguments),
        #[cfg(feature = "logs")]
        Command::LogLevel(arguments) => log_level::run(&arguments),
        Command::Version(_) => {
            print(&format!("stint {} for {}", env!("STINT_VERSION"), BOARD.description));
            Exit::Success
        }
    }
}

/// What the agent starts itself as: `worker` for one job, `session` for one session or the transcripts that are left,
/// `install-package` for one package of a child agent. None of it is for people, so it isn't in the help.
#[cfg(any(feature = "documents", feature = "supervise"))]
fn carry_out(word: &str, rest: &[&str]) -> Option<Exit> {
    let folder = rest.first().filter(|word| !word.starts_with("--")).map(Path::new);
    #[cfg(feature = "documents")]
    let option = |name: &str| {
        let at = rest.iter().position(|word| *word == name)?;
        rest.get(at + 1).map(Path::new)
    };
    Some(finish(match (word, folder) {
        #[cfg(feature = "supervise")]
        ("install-package", Some(folder)) => crate::supervise::install::work(folder),
        #[cfg(feature = "session")]
        ("session", folder) => {
            // The agent always names it; without it somebody has only looked.
            let state = option("--state-dir")?;
            session::run(folder, option("--config"), state)
        }
        #[cfg(feature = "documents")]
        ("worker", Some(folder)) => {
            let state = option("--state-dir");
            let remote = worker::remote(option("--config"), state);
            let means =
                worker::Means { scripts: option("--scripts"), remote: remote.as_ref(), state };
            let result = worker::work(folder, &means, &mut std::io::stdout());
            result.map_err(|error| error.to_string())
        }
        _ => return None,
    }))
}

/// From now on what this process does is recorded, where the configuration wants that.
#[cfg_attr(not(feature = "audit"), allow(unused_variables))]
fn open_audit(config: &Config, state: &Path) {
    #[cfg(feature = "audit")]
    if config.audit.enabled {
        crate::audit::open(state, config.audit.bytes);
    }
}

fn finish(result: Result<(), String>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(error) => complain(&format!("stint: {error}"), Exit::Failure),
    }
}

fn finish_run(program: &str, result: Result<(), run::Failure>) -> Exit {
    let Err(failure) = result else { return Exit::Success };
    #[cfg(feature = "guardian")]
    let exit = if failure.is_setup { Exit::Setup } else { Exit::Failure };
    #[cfg(not(feature = "guardian"))]
    let exit = Exit::Failure;
    complain(&format!("{program}: {}", failure.text), exit)
}

/// Prints a line. Unlike `println!` it doesn't panic when the reader has gone.
fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &str, exit: Exit) -> Exit {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
    exit
}

#[cfg(uplink)]
impl Register {
    fn run(self) -> Exit {
        #[cfg(feature = "bootagent")]
        if let Some(servers) = self.server {
            use crate::identity::bootagent::Activation;
            let activation = self.activation_id.zip(self.activation_code);
            let wish = enrol::Wish {
                servers,
                activation: activation.map(|(id, code)| Activation { id, code }),
                server_key: self.server_key,
                ca_file: self.ca_file,
                yes: self.yes,
                config: self.config,
                state_dir: self.state_dir,
            };
            return finish(enrol::run(&wish, &[DEFAULT_PATH]));
        }
        #[cfg(not(feature = "ssm"))]
        return complain("stint: register needs --server", Exit::Usage);
        #[cfg(feature = "ssm")]
        match (self.activation_id, self.activation_code) {
            (Some(activation_id), Some(activation_code)) => {
                let wish = register::Wish {
                    endpoint: self.endpoint,
                    region: self.region,
                    activation_id,
                    activation_code,
                    ca_file: self.ca_file,
                    key_type: self.key_type,
                    yes: self.yes,
                    config: self.config,
                    state_dir: self.state_dir,
                };
                finish(register::run(&wish, &[DEFAULT_PATH]))
            }
            _ => {
                complain("stint: register needs --activation-id and --activation-code", Exit::Usage)
            }
        }
    }
}

#[cfg(feature = "documents")]
impl From<RunDocument> for run_document::Wish {
    fn from(arguments: RunDocument) -> run_document::Wish {
        let RunDocument { file, mut parameters, more, json, config, state_dir } = arguments;
        parameters.extend(more);
        run_document::Wish { file, parameters, json, config, state_dir }
    }
}

//! `stint run-document`: a document on this device, without a server.

use super::{Exit, complain, print};
use crate::document;
use crate::spool::{Job, JobFolder, Outcome};
use crate::sys::{clock, durable, random};
use crate::worker;
use miniserde::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use stint_wire::reply::Status;

/// What was typed.
pub struct Wish {
    /// The document.
    pub file: PathBuf,
    /// `name=value`, or one JSON object.
    pub parameters: Vec<String>,
    /// Print the outcome as JSON when all is over, instead of each step as it ends.
    pub json: bool,
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Runs the document and prints what became of it. Anything but success is a failure.
pub fn run(wish: &Wish) -> Exit {
    match try_to_run(wish) {
        Ok(outcome) if outcome.status == Status::Success.as_str() => Exit::Success,
        Ok(outcome) if outcome.asks_for_reboot() => Exit::Reboot,
        Ok(_) => Exit::Failure,
        Err(error) => complain(&format!("stint: {error}"), Exit::Failure),
    }
}

fn try_to_run(wish: &Wish) -> Result<Outcome, String> {
    let text = read(&wish.file)?;
    let document = stint_wire::json::parse(&text)
        .map_err(|error| format!("{}: {error}", wish.file.display()))?;
    let parameters = document::given(&wish.parameters, document.get_any_case("parameters"))?;
    let id = random::uuid().map_err(|error| error.to_string())?;
    let job = Job {
        receipt: String::new(),
        created: clock::system().iso(),
        node: String::new(),
        region: String::new(),
        document_name: wish.file.display().to_string(),
        document: text,
        parameters,
        output: None,
        id: id.clone(),
    };
    let folder = Scratch::new(&std::env::temp_dir().join(format!("stint-{id}")))?;
    let job_folder = JobFolder::with(&folder.0, &job).map_err(|error| error.to_string())?;
    let mut bell = Printer { folder: &job_folder, printed: 0, quiet: wish.json };
    let remote = worker::remote(wish.config.as_deref(), wish.state_dir.as_deref());
    let state = wish.state_dir.as_deref();
    let means = worker::Means { scripts: None, remote: remote.as_ref(), state };
    worker::work(&folder.0, &means, &mut bell).map_err(|error| error.to_string())?;
    let outcome = job_folder.outcome();
    bell.steps(&outcome);
    if wish.json {
        print(&json::to_string(&outcome));
    } else {
        if !outcome.trace.is_empty() {
            complain(&outcome.trace, Exit::Failure);
        }
        print(&format!("document: {}", outcome.status));
    }
    Ok(outcome)
}

/// The text of a document's file.
pub fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))
}

/// A folder for one run.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: &Path) -> Result<Scratch, String> {
        durable::make_folder(path).map_err(|error| error.to_string())?;
        Ok(Scratch(path.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The worker's doorbell: prints the steps that are over each time it rings.
struct Printer<'a> {
    folder: &'a JobFolder,
    printed: usize,
    quiet: bool,
}

impl Printer<'_> {
    fn steps(&mut self, outcome: &Outcome) {
        for step in outcome.steps.iter().skip(self.printed).filter(|_| !self.quiet) {
            let _ = io::stdout().write_all(step.stdout.as_bytes());
            let _ = io::stderr().write_all(step.stderr.as_bytes());
            if !step.stderr.is_empty() && !step.stderr.ends_with('\n') {
                let _ = io::stderr().write_all(b"\n");
            }
            let gap = if step.stdout.is_empty() || step.stdout.ends_with('\n') { "" } else { "\n" };
            let (name, plugin, status) = (&step.name, &step.plugin, &step.status);
            print(&format!("{gap}step {name} ({plugin}): {status}, exit code {}", step.code));
        }
        self.printed = outcome.steps.len();
    }
}

impl Write for Printer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.steps(&self.folder.outcome());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

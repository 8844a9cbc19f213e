//! Documents that come without a server: dropped into a folder by a person, an image or a script.
//!
//! `<state>/local/` takes them; what has been taken is in `submitted/`, what is no document in
//! `invalid/`, each as `<file>.<id>`, and what became of a document is `completed/<id>`, in the
//! words of a reply to a server. The original's OfflineService does the same in `localcommands/`.
//! Unlike there all of it is bounded, and a document that a power cut meets is taken all the same,
//! once.
//!
//! Never here: running anything; a document becomes a job like any other.

mod look;

pub use look::Look;

use crate::spool::{Job, MAX_JOB, Report, Retention};
use crate::sys::reserve::Reserve;
use crate::sys::{FileError, clock, durable, random};
use crate::uplink::reply;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use stint_wire::ids;
use stint_wire::json::{self, Node, Value};
use stint_wire::reply::Status;

/// In the place of a server's receipt: a job that came from the folder, and of which no server
/// hears.
pub const RECEIPT: &str = "offline";

/// What replies call the agent.
const AGENT: &str = "stint";

/// The folders below the one that documents are dropped in.
const PARTS: [&str; 3] = ["submitted", "completed", "invalid"];

/// Of a file's name so much is kept before the id, bytes; a name may have 255.
const MAX_NAME: usize = 200;

/// Files in `invalid/` that are kept for somebody to look at.
const MAX_INVALID: usize = 16;

/// While so many documents aren't over, no more are taken.
pub const MAX_UNFINISHED: usize = 64;

/// What is kept of documents that are over, unless the configuration says otherwise: 64 documents,
/// and 1 MiB of what became of them.
pub const KEEP: Retention = Retention { bytes: 1024 * 1024, jobs: 64 };

/// The folder of one state folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    reserve: Reserve,
    keep: Retention,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in `submitted/`, under this id.
    Submitted(String),
    /// It is in `invalid/`, for this reason.
    Invalid(String),
}

impl Folder {
    /// The folder below a state folder; it is not looked into.
    pub fn of(state: &Path, keep: Retention) -> Folder {
        let reserve = Reserve::of(&state.join("spool"));
        Folder { root: state.join("local"), reserve, keep }
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// One can't be made.
    pub fn open(&self) -> Result<(), FileError> {
        for name in PARTS {
            durable::make_folder(&self.root.join(name))?;
            durable::sweep(&self.root.join(name))?;
        }
        Ok(())
    }

    /// Whether there is a folder at all.
    pub fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// Where documents are dropped.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The first of the folders that another than the agent's user can put something in, or that
    /// is no folder: whatever is there is run as that user. Those that aren't there yet are well. `any_owner` for
    /// one who can't know which user that is.
    ///
    /// # Errors
    /// One can't be looked at.
    pub fn exposed(&self, any_owner: bool) -> Result<Option<PathBuf>, FileError> {
        let own = own_user();
        let parts = PARTS.iter().map(|name| self.root.join(name));
        for path in std::iter::once(self.root.clone()).chain(parts) {
            match fs::symlink_metadata(&path) {
                Ok(meta)
                    if meta.is_dir()
                        && (any_owner || own == Some(meta.uid()))
                        && meta.mode() & 0o022 == 0 => {}
                Ok(_) => return Ok(Some(path)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(FileError::new("look at", &path)(cause)),
            }
        }
        Ok(None)
    }

    /// Refuses to go by folders that are [exposed](Folder::exposed), in words.
    ///
    /// # Errors
    /// Which one, and what to do.
    pub fn check(&self, any_owner: bool) -> Result<(), String> {
        match self.exposed(any_owner) {
            Ok(None) => Ok(()),
            Ok(Some(path)) => Err(format!(
                "{} must be a folder of the agent's user that nobody else can write to; give it to that user, and \
                 run `chmod 700` on it",
                path.display()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Moves a file of the folder to where it belongs. One that is named `<uuid>.json`, as `stint
    /// send-offline` names them, has that id, if nothing else has.
    ///
    /// # Errors
    /// It can't be read or moved now; it is still there.
    pub fn take(&self, name: &str) -> Result<Taken, FileError> {
        let path = self.root.join(name);
        let fault = read(&path)?.err();
        let named = name.strip_suffix(".json").filter(|stem| ids::is_uuid(stem));
        let id = match named.filter(|id| self.submitted(id).is_none()) {
            Some(id) => id.to_owned(),
            None => random::uuid().map_err(FileError::new("name", &path))?,
        };
        let kept = format!("{}.{id}", stint_wire::text::head(name, MAX_NAME));
        let folder = if fault.is_some() { "invalid" } else { "submitted" };
        durable::rename(&path, &self.root.join(folder).join(&kept))?;
        Ok(match fault {
            None => Taken::Submitted(id),
            Some(fault) => {
                prune_invalid(&self.root.join(folder), &kept);
                Taken::Invalid(fault)
            }
        })
    }

    /// The files in `submitted/` whose documents aren't over.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn unfinished(&self) -> Result<Vec<String>, FileError> {
        let mut files = durable::list(&self.root.join("submitted"))?;
        files.retain(|file| {
            let status = file.rsplit_once('.').map(|(_, id)| self.status(id));
            status.is_some_and(|status| !status.is_some_and(|status| is_over(&status)))
        });
        Ok(files)
    }

    /// The document of a file in `submitted/`, as a job for this node in this region, unless it
    /// can't be read, which is logged. One that has been accepted before is recognised by its id.
    pub fn job(&self, file: &str, node: &str, region: &str) -> Option<Job> {
        let (name, id) = file.rsplit_once('.')?;
        match read(&self.root.join("submitted").join(file)) {
            Ok(Ok(document)) => {
                return Some(Job {
                    id: id.to_owned(),
                    receipt: RECEIPT.to_owned(),
                    created: clock::system().iso(),
                    node: node.to_owned(),
                    region: region.to_owned(),
                    document_name: name.to_owned(),
                    document,
                    parameters: "{}".to_owned(),
                    output: None,
                });
            }
            Ok(Err(fault)) => log::error!("{name} in {}: {fault}", self.root.display()),
            Err(error) => log::error!("{error}"),
        }
        None
    }

    /// The file in `submitted/` with this id.
    pub fn submitted(&self, id: &str) -> Option<String> {
        self.find("submitted", id)
    }

    /// The file in `invalid/` with this id.
    pub fn invalid(&self, id: &str) -> Option<String> {
        self.find("invalid", id)
    }

    fn find(&self, folder: &str, id: &str) -> Option<String> {
        let files = durable::list(&self.root.join(folder)).unwrap_or_default();
        let mut found = files.into_iter();
        found.find(|file| file.rsplit_once('.').is_some_and(|(_, of)| of == id))
    }

    /// Writes down what became of a document, or how far it has come.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn report(&self, report: &Report) -> Result<(), FileError> {
        let completed = self.root.join("completed");
        let text = reply::whole(report, AGENT, clock::system());
        let path = completed.join(&report.job);
        self.reserve.spend(|| durable::write(&path, text.as_bytes()))?;
        if report.outcome.complete {
            // Of what is forgotten first goes the document, which without its end would be taken
            // for one that isn't over.
            for id in surplus(&completed, &report.job, self.keep) {
                if let Some(file) = self.submitted(&id) {
                    durable::remove(&self.root.join("submitted").join(file))?;
                }
                durable::remove(&completed.join(id))?;
            }
        }
        Ok(())
    }

    /// The text of `completed/<id>`.
    pub fn outcome(&self, id: &str) -> Option<String> {
        fs::read_to_string(self.root.join("completed").join(id)).ok()
    }

    fn status(&self, id: &str) -> Option<String> {
        let reply = json::parse(&self.outcome(id)?).ok()?;
        reply.get("documentStatus").and_then(Node::as_str).map(str::to_owned)
    }
}

/// Whether nothing more will happen to a document with this status.
pub fn is_over(status: &str) -> bool {
    !matches!(Status::parse(status), Some(Status::InProgress | Status::SuccessAndReboot) | None)
}

/// Whether a file can be read as a document.
pub fn is_document(path: &Path) -> bool {
    matches!(read(path), Ok(Ok(_)))
}

/// The user that this process runs as, if the system says.
fn own_user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|own| own.uid())
}

/// The document in a file, or why it is none.
fn read(path: &Path) -> Result<Result<String, String>, FileError> {
    let meta = fs::symlink_metadata(path).map_err(FileError::new("look at", path))?;
    if !meta.is_file() {
        return Ok(Err("it is no file".to_owned()));
    }
    if meta.uid() != 0 && own_user() != Some(meta.uid()) {
        return Ok(Err(format!("it belongs to user {}", meta.uid())));
    }
    if meta.mode() & 0o022 != 0 {
        return Ok(Err("others than its owner can write to it".to_owned()));
    }
    if meta.nlink() != 1 {
        return Ok(Err("it has other names (hard links)".to_owned()));
    }
    if meta.len() > MAX_JOB as u64 {
        return Ok(Err(format!("it is larger than {MAX_JOB} bytes")));
    }
    Ok(match fs::read_to_string(path) {
        Ok(text) => document(&text).map(|()| text),
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => Err("it is no text".into()),
        Err(cause) => return Err(FileError::new("read", path)(cause)),
    })
}

/// Whether a text can be a document: what exactly is wrong with one its job tells.
fn document(text: &str) -> Result<(), String> {
    match json::parse(text) {
        Ok(Node { value: Value::Object(_), .. }) => Ok(()),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

/// The files of a folder that are more than may be kept, the oldest. `latest` is the youngest,
/// whatever its date says: clocks start in 1970.
fn surplus(folder: &Path, latest: &str, keep: Retention) -> Vec<String> {
    let names = durable::list(folder).unwrap_or_default().into_iter();
    let mut aged: Vec<_> = names
        .filter_map(|name| {
            let meta = fs::symlink_metadata(folder.join(&name)).ok()?;
            Some((name == latest, clock::of_file(&meta), meta.len(), name))
        })
        .collect();
    aged.sort_unstable();
    let (mut bytes, mut count) = (0, 0);
    aged.reverse();
    aged.retain(|(_, _, size, _)| {
        (bytes, count) = (bytes + size, count + 1);
        count > 1 && (count > keep.jobs || bytes > keep.bytes)
    });
    aged.into_iter().map(|(_, _, _, name)| name).collect()
}

fn prune_invalid(folder: &Path, latest: &str) {
    let keep = Retention { bytes: u64::MAX, jobs: MAX_INVALID };
    for name in surplus(folder, latest, keep) {
        let path = folder.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
}

#[cfg(test)]
mod tests;

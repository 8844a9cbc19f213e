//! A step's output beyond the report: its files go to S3 and to CloudWatch Logs, if the job wants
//! that. Whatever comes of it, the step has ended as it has ended; what didn't work is a note at
//! the end of its standard error.

use crate::document::Step;
use crate::document::remote::{LogStream, Patience, Remote, RemoteError, S3Object};
use crate::spool::{Job, StepOutcome, Uploaded};
use crate::sys::FileError;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::reply::{STREAM_LIMIT, limit_stream};

/// What the files of one step may take on their way in all. The next step waits for it.
const TIME: Duration = Duration::from_secs(60);

/// A text that was cut to [`STREAM_LIMIT`] may be this much shorter, bytes: cuts respect
/// characters.
const CUT_SLACK: usize = 8;

const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// What is to be done with the output of one step that has run.
pub struct Delivery {
    bucket: Option<Uploaded>,
    plugin: String,
    group: Option<String>,
    /// What the names of log streams begin with.
    stream: String,
    folder: PathBuf,
    /// What the plugin said, whole or cut.
    texts: [String; 2],
}

impl Delivery {
    /// For the step with that result and folder; `None` if the job wants nothing delivered.
    pub fn of(job: &Job, step: &Step, result: &StepOutcome, folder: PathBuf) -> Option<Delivery> {
        let to = job.output.as_ref()?;
        let name = step_name(step);
        let wanted = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let no_colon = |text: &str| text.replace(':', "");
        let bucket = wanted(&to.bucket).map(|bucket| Uploaded {
            bucket,
            prefix: join(&[&to.prefix, &job.id, &job.node]),
            step: no_colon(&name),
        });
        Some(Delivery {
            bucket,
            plugin: no_colon(&step.plugin),
            group: wanted(&to.log_group),
            stream: join(&[&job.id, &job.node, &name.replace([':', '*'], "-")]),
            folder,
            texts: [result.stdout.clone(), result.stderr.clone()],
        })
    }

    /// What the result says until the delivery is over: where the output is, and that it isn't
    /// there yet. Whoever is interrupted leaves no lie behind.
    pub fn announce(&self, result: &mut StepOutcome) {
        result.uploaded.clone_from(&self.bucket);
        let mut notes = Vec::new();
        if self.bucket.is_some() {
            notes.push("stint: the output was not uploaded: the device was interrupted".to_owned());
        }
        if self.group.is_some() {
            let note =
                "stint: the output was not sent to CloudWatch Logs: the device was interrupted";
            notes.push(note.to_owned());
        }
        result.stderr = self.with_notes(&notes);
    }

    /// Sends what there is, and says in the result what couldn't be sent.
    pub fn carry_out(&self, remote: &dyn Remote, result: &mut StepOutcome) {
        let mut notes = Vec::new();
        let patience = Patience::of_time(TIME);
        for (name, said) in STREAMS.into_iter().zip(&self.texts) {
            let path = self.folder.join(name);
            match complete(&path, said) {
                Ok(true) => self.send(remote, name, &path, &patience, &mut notes),
                Ok(false) => {}
                Err(error) => notes.push(format!("stint: the output can't be sent: {error}")),
            }
        }
        notes.dedup();
        result.stderr = self.with_notes(&notes);
    }

    fn send(
        &self,
        remote: &dyn Remote,
        name: &str,
        path: &Path,
        patience: &Patience,
        notes: &mut Vec<String>,
    ) {
        if let Some(to) = &self.bucket {
            let key = join(&[&to.prefix, &self.plugin, &to.step, name]);
            let object = S3Object { bucket: to.bucket.clone(), key, region: None };
            if let Err(error) = remote.s3_put(&object, path, patience) {
                notes.push(format!("stint: the output was not uploaded: {}", sentence(&error)));
            }
        }
        if let Some(group) = &self.group {
            let stream = LogStream { group: group.clone(), name: join(&[&self.stream, name]) };
            if let Err(error) = remote.log(&stream, path, patience) {
                let error = sentence(&error);
                notes.push(format!("stint: the output was not sent to CloudWatch Logs: {error}"));
            }
        }
    }

    fn with_notes(&self, notes: &[String]) -> String {
        let [_, stderr] = &self.texts;
        let mut text = stderr.clone();
        for note in notes {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            let _ = writeln!(text, "{note}");
        }
        limit_stream(&text)
    }
}

fn sentence(error: &RemoteError) -> String {
    match error {
        RemoteError::Stopped(_) => format!("it took longer than {} s", TIME.as_secs()),
        other => other.to_string(),
    }
}

/// The step's part of keys: its name; in schema 1, where that is the plugin's, the `id` of its
/// inputs. The original takes a step for one of schema 1 by that sameness, too.
fn step_name(step: &Step) -> String {
    if step.name != step.plugin {
        return step.name.clone();
    }
    let id = step.inputs.first().and_then(|inputs| inputs.get_any_case("id")?.as_str());
    id.unwrap_or_default().to_owned()
}

/// The parts that aren't empty, with slashes between them.
fn join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// Makes the file of a stream hold all that the step said. What the plugin itself had to say, why
/// it failed for one, is in the text alone; what a long stream said is in the file alone. False
/// if there is nothing at all.
fn complete(path: &Path, said: &str) -> Result<bool, FileError> {
    let length = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(FileError::new("read", path)(error)),
    };
    let whole = said.len() + CUT_SLACK < STREAM_LIMIT && length < STREAM_LIMIT as u64;
    // Bytes that are no UTF-8 are better off in the file.
    if whole && said.len() as u64 > length && fs::read(path).map_or(true, |bytes| is_text(&bytes)) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).map_err(FileError::new("open", path))?;
        file.write_all(said.as_bytes()).map_err(FileError::new("write", path))?;
        return Ok(true);
    }
    Ok(length > 0)
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests;

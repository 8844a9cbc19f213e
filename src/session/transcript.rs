//! What a session printed, on disk: up to a limit, whole up to its last byte even if the session is
//! killed, and never a reason for it to stop. Beside it stands where it is to go, so that whoever
//! comes later can send it.

use super::order::Destination;
use crate::document::remote::{LogStream, Remote, S3Object};
use crate::patience::Patience;
use crate::sys::{clock, durable, lock};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::json::{self, Node, ObjectWriter};

/// The folder below the state folder.
const FOLDER: &str = "transcripts";

/// Those that can't be sent are kept, so many at most, and the newest ones of so many bytes together.
const KEPT: usize = 16;
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

/// What sending one may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A transcript that is being written. It is locked meanwhile.
pub struct Transcript {
    file: File,
    /// Bytes that it may still take.
    left: u64,
}

impl Transcript {
    /// Begins the transcript of a session, of `limit` bytes at most. `None`: there is nowhere to send
    /// it, or no room on disk for it; the session goes on without.
    pub fn begin(state: &Path, id: &str, to: &Destination, limit: u64) -> Option<Transcript> {
        if to.is_nowhere() {
            return None;
        }
        let begin = || -> Result<File, String> {
            let folder = state.join(FOLDER);
            durable::make_folder(&folder).map_err(|error| error.to_string())?;
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            let path = folder.join(id).with_added("log");
            let file = options.open(&path).map_err(|error| error.to_string())?;
            if !lock::take(&file).map_err(|error| error.to_string())? {
                return Err("another writes or sends it".to_owned());
            }
            let written = durable::write(&folder.join(id).with_added("to"), to.note(id).as_bytes());
            if let Err(error) = written {
                // Nobody would ever look for it. It is still locked, so it isn't another's.
                if file.metadata().is_ok_and(|it| it.len() == 0) {
                    let _ = fs::remove_file(&path);
                }
                return Err(error.to_string());
            }
            Ok(file)
        };
        match begin() {
            Ok(file) => Some(Transcript { file, left: limit }),
            Err(error) => {
                log::warn!("session {id} has no transcript: {error}");
                None
            }
        }
    }

    /// Adds what was printed.
    pub fn add(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let bytes = bytes.get(..fits).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        self.left -= fits as u64;
        let ended = self.left == 0;
        let written = self.file.write_all(bytes);
        let written = written.and_then(|()| match ended {
            true => self.file.write_all(b"\n[stint: the transcript ends here; it is full]\n"),
            false => Ok(()),
        });
        if written.is_err() {
            // Most often the disk is full. What is there is kept, and is without a gap.
            self.left = 0;
        }
    }

    /// Makes it durable.
    pub fn end(self) {
        let _ = self.file.sync_data();
    }
}

/// `x.y` and an extension after all of it.
trait WithAdded {
    fn with_added(&self, extension: &str) -> PathBuf;
}

impl WithAdded for PathBuf {
    fn with_added(&self, extension: &str) -> PathBuf {
        let mut name = self.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    }
}

/// Whether there are transcripts of sessions that are over.
pub fn are_waiting(state: &Path) -> bool {
    !waiting(state).is_empty()
}

/// Where the notes of transcripts are that nobody writes any more, oldest first.
fn waiting(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state.join(FOLDER)).into_iter().flatten().flatten();
    let notes = entries.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|it| it == "to") && !lock::is_held(&path.with_extension("log"))
    });
    let mut notes: Vec<_> =
        notes.map(|path| (fs::metadata(&path).ok().map(|it| clock::of_file(&it)), path)).collect();
    notes.sort_unstable();
    notes.into_iter().map(|(_, path)| path).collect()
}

/// Sends the transcripts of sessions that are over. Those that can't be sent are kept for the next time,
/// some of them. One process at a time does that for all: it holds a lock on the folder, which takes no room on a full
/// disk, and looks again when it has given that back, as what ended meanwhile was left to it.
///
/// # Errors
/// What the last one that couldn't be sent met, in words.
pub fn deliver(state: &Path, remote: &dyn Remote) -> Result<(), String> {
    deliver_by(state, &mut |note| send(note, remote))
}

/// See [`deliver`]; `send` sends what a note stands for.
fn deliver_by(
    state: &Path,
    send: &mut dyn FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let mut result = Ok(());
    let (mut tried, mut kept) = (Vec::new(), Vec::new());
    while waiting(state).iter().any(|note| !tried.contains(note)) {
        let folder = File::open(state.join(FOLDER)).map_err(|error| error.to_string())?;
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            break;
        }
        for note in waiting(state) {
            if tried.contains(&note) {
                continue;
            }
            tried.push(note.clone());
            // A session that has the same id doesn't begin to write it now.
            let log = OpenOptions::new().append(true).open(note.with_extension("log"));
            if log.as_ref().is_ok_and(|log| !lock::take(log).unwrap_or(true)) {
                continue;
            }
            match send(&note) {
                Ok(()) => forget(&note),
                Err(error) => {
                    log::warn!("the transcript {} can't be sent: {error}", note.display());
                    result = Err(error);
                    kept.push(note);
                }
            }
        }
        give_up(&mut kept);
    }
    result
}

/// Leaves as many as are kept, the newest.
fn give_up(kept: &mut Vec<PathBuf>) {
    let (mut count, mut bytes) = (0, 0);
    for note in kept.iter().rev().take(KEPT) {
        bytes += fs::metadata(note.with_extension("log")).map_or(0, |log| log.len());
        if bytes > KEPT_BYTES && count > 0 {
            break;
        }
        count += 1;
    }
    let superfluous = kept.len().saturating_sub(count);
    for note in kept.drain(..superfluous) {
        log::warn!("the transcript {} is given up: there are too many", note.display());
        forget(&note);
    }
}

fn forget(note: &Path) {
    let _ = fs::remove_file(note.with_extension("log"));
    let _ = fs::remove_file(note);
}

/// Sends one to each place where it isn't yet; the note then says where it still is to go.
fn send(note: &Path, remote: &dyn Remote) -> Result<(), String> {
    let log = note.with_extension("log");
    let text = match fs::read_to_string(note) {
        // One that isn't UTF-8 is damaged, and reads as an empty one.
        Err(error) if !is_for_good(&error) => return Err(error.to_string()),
        text => text.unwrap_or_default(),
    };
    let Some((session, mut to)) = Destination::read(&text) else { return Ok(()) };
    match fs::metadata(&log) {
        Err(error) if !is_for_good(&error) => return Err(error.to_string()),
        Ok(log) if log.len() > 0 => {}
        _ => return Ok(()),
    }
    let mut result = Ok(());
    if to.hub {
        match remote.transcript(&session, &log, &Patience::of_time(PATIENCE)) {
            Ok(()) => to.hub = false,
            Err(error) => result = Err(error),
        }
    }
    if !to.bucket.is_empty() {
        let slash = if to.prefix.is_empty() || to.prefix.ends_with('/') { "" } else { "/" };
        let key = format!("{}{slash}{session}.log", to.prefix);
        let object = S3Object { bucket: to.bucket.clone(), key, region: None };
        match remote.s3_put(&object, &log, &Patience::of_time(PATIENCE)) {
            Ok(()) => to.bucket.clear(),
            Err(error) => result = Err(error),
        }
    }
    if !to.group.is_empty() {
        let stream = LogStream { group: to.group.clone(), name: session.clone() };
        match remote.log(&stream, &log, &Patience::of_time(PATIENCE)) {
            Ok(()) => to.group.clear(),
            Err(error) => result = Err(error),
        }
    }
    let left = to.note(&session);
    if result.is_err() && left != text {
        // Without room for it, it is sent there once more.
        let _ = durable::write(note, left.as_bytes());
    }
    result.map_err(|error| error.to_string())
}

/// Whether there is no such file, or it is no text: of any other error the next try may hear nothing more.
fn is_for_good(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData)
}

impl Destination {
    fn is_nowhere(&self) -> bool {
        self.bucket.is_empty() && self.group.is_empty() && !self.hub
    }

    /// As it stands beside a transcript.
    pub(super) fn note(&self, session: &str) -> String {
        ObjectWriter::new()
            .string("session", session)
            .string("bucket", &self.bucket)
            .string("prefix", &self.prefix)
            .string("group", &self.group)
            .raw("hub", if self.hub { "true" } else { "false" })
            .finish()
    }

    /// Reads a note: the session, and where its transcript is to go.
    pub(super) fn read(note: &str) -> Option<(String, Destination)> {
        let note = json::parse(note).ok()?;
        let text = |name| note.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
        let hub = note.get("hub").and_then(Node::as_bool).unwrap_or_default();
        let (bucket, prefix, group) = (text("bucket"), text("prefix"), text("group"));
        Some((text("session"), Destination { bucket, prefix, group, hub }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::remote::{Nowhere, Page, Parameter, Place, RemoteError};
    use crate::testing::Folder;
    use std::cell::RefCell;

    fn destination() -> Destination {
        Destination { bucket: "b".into(), prefix: "p".into(), ..Destination::default() }
    }

    #[test]
    fn a_transcript_is_whole_up_to_its_limit_and_says_that_it_is_full() {
        let state = Folder::new();
        let mut transcript = Transcript::begin(state.path(), "a.b-1", &destination(), 10).unwrap();
        for piece in [&b"0123"[..], b"4567", b"89abc", b"def"] {
            transcript.add(piece);
        }
        assert!(!are_waiting(state.path()), "it is being written");
        transcript.end();
        let text = fs::read_to_string(state.path().join("transcripts/a.b-1.log")).unwrap();
        assert_eq!(text, "0123456789\n[stint: the transcript ends here; it is full]\n");
    }

    #[test]
    fn each_is_sent_once_by_one_process_for_all() {
        let state = Folder::new();
        let write = |id: &str| {
            Transcript::begin(state.path(), id, &destination(), 10).unwrap().add(b"x");
        };
        write("s-1");
        let mut sent = Vec::new();
        let delivered = deliver_by(state.path(), &mut |note| {
            if sent.is_empty() {
                assert!(Transcript::begin(state.path(), "s-1", &destination(), 10).is_none());
                // Another ends meanwhile, and its process leaves both to this one.
                write("s-2");
                let other = deliver_by(state.path(), &mut |note| panic!("{}", note.display()));
                assert_eq!(other, Ok(()));
            }
            sent.push(note.file_stem().unwrap().to_owned());
            Ok(())
        });
        assert_eq!(delivered, Ok(()));
        assert_eq!(sent, ["s-1", "s-2"]);
        assert!(!are_waiting(state.path()));
    }

    #[test]
    fn one_that_can_not_be_noted_leaves_nothing_behind() {
        let state = Folder::new();
        let folder = state.path().join(FOLDER);
        fs::create_dir_all(folder.join("s-1.to")).unwrap();
        assert!(Transcript::begin(state.path(), "s-1", &destination(), 10).is_none());
        assert!(!folder.join("s-1.log").exists());
        fs::write(folder.join("s-1.log"), "of a session before").unwrap();
        assert!(Transcript::begin(state.path(), "s-1", &destination(), 10).is_none());
        assert!(folder.join("s-1.log").exists());
    }

    #[test]
    fn one_that_can_t_be_sent_is_kept_and_an_empty_one_is_not() {
        let state = Folder::new();
        let mut transcript = Transcript::begin(state.path(), "s-1", &destination(), 10).unwrap();
        transcript.add(b"x");
        drop(transcript);
        drop(Transcript::begin(state.path(), "s-2", &destination(), 10).unwrap());
        assert!(deliver(state.path(), &Nowhere).is_err());
        let left = waiting(state.path());
        assert_eq!(left, [state.path().join("transcripts/s-1.to")]);
        for number in 0..KEPT {
            let id = format!("t-{number}");
            let mut more = Transcript::begin(state.path(), &id, &destination(), 10).unwrap();
            more.add(b"y");
        }
        assert!(deliver(state.path(), &Nowhere).is_err());
        assert_eq!(waiting(state.path()).len(), KEPT);
        for number in 0..3 {
            let id = format!("u-{number}");
            let mut large = Transcript::begin(state.path(), &id, &destination(), u64::MAX).unwrap();
            large.add(&vec![b'z'; KEPT_BYTES as usize / 2]);
        }
        assert!(deliver(state.path(), &Nowhere).is_err());
        let left = ["u-1.to", "u-2.to"].map(|name| state.path().join("transcripts").join(name));
        assert_eq!(waiting(state.path()), left);
        let nowhere = Destination { prefix: "p".into(), ..Destination::default() };
        assert!(Transcript::begin(state.path(), "s", &nowhere, 10).is_none());
    }

    #[test]
    fn one_that_can_not_be_read_now_is_kept_and_a_damaged_one_is_not() {
        let state = Folder::new();
        let hub = OnlyHub(RefCell::default());
        let to = Destination { hub: true, ..Destination::default() };
        for id in ["s-1", "s-2", "s-3", "s-4"] {
            Transcript::begin(state.path(), id, &to, 10).unwrap().add(b"x");
        }
        let folder = state.path().join(FOLDER);
        let [note, log] = ["s-1.to", "s-2.log"].map(|name| folder.join(name));
        // Errors that are neither the file's absence nor its content, as a failing disk has them.
        let text = fs::read(&note).unwrap();
        fs::remove_file(&note).unwrap();
        fs::create_dir(&note).unwrap();
        fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink(&log, &log).unwrap();
        fs::write(folder.join("s-3.to"), b"{\xff").unwrap();
        assert!(deliver(state.path(), &hub).is_err());
        assert_eq!(*hub.0.borrow(), ["s-4 x"]);
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, ["s-1.log", "s-1.to", "s-2.log", "s-2.to"]);
        fs::remove_dir(&note).unwrap();
        fs::write(&note, text).unwrap();
        assert!(deliver(state.path(), &hub).is_err());
        assert_eq!(*hub.0.borrow(), ["s-4 x", "s-1 x"]);
    }

    /// A hub that takes transcripts, and nothing else.
    struct OnlyHub(RefCell<Vec<String>>);

    impl Remote for OnlyHub {
        fn transcript(&self, id: &str, log: &Path, _: &Patience) -> Result<(), RemoteError> {
            self.0.borrow_mut().push(format!("{id} {}", fs::read_to_string(log).unwrap()));
            Ok(())
        }

        fn s3_put(&self, a: &S3Object, b: &Path, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.s3_put(a, b, c)
        }

        fn parameters(
            &self,
            a: &[&str],
            b: bool,
            c: &Patience,
        ) -> Result<Vec<Parameter>, RemoteError> {
            Nowhere.parameters(a, b, c)
        }

        fn document(&self, a: &str, b: Option<&str>, c: &Patience) -> Result<String, RemoteError> {
            Nowhere.document(a, b, c)
        }

        fn fetch(&self, a: &Page<'_>, b: &Place<'_>, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.fetch(a, b, c)
        }

        fn read(&self, a: &Page<'_>, b: &Patience) -> Result<String, RemoteError> {
            Nowhere.read(a, b)
        }

        fn s3_object(&self, a: &str) -> Result<S3Object, RemoteError> {
            Nowhere.s3_object(a)
        }

        fn s3_list(&self, a: &S3Object, b: &Patience) -> Result<Vec<String>, RemoteError> {
            Nowhere.s3_list(a, b)
        }

        fn s3_get(&self, a: &S3Object, b: &Place<'_>, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.s3_get(a, b, c)
        }

        fn log(&self, a: &LogStream, b: &Path, c: &Patience) -> Result<(), RemoteError> {
            Nowhere.log(a, b, c)
        }

        fn github(&self) -> Result<String, RemoteError> {
            Nowhere.github()
        }
    }

    #[test]
    fn a_place_that_has_it_does_not_get_it_again_for_the_sake_of_one_that_has_not() {
        let state = Folder::new();
        let hub = OnlyHub(RefCell::default());
        let both = Destination { hub: true, ..destination() };
        let mut transcript = Transcript::begin(state.path(), "s-1", &both, 10).unwrap();
        transcript.add(b"x");
        drop(transcript);
        assert!(deliver(state.path(), &hub).is_err());
        assert!(deliver(state.path(), &hub).is_err());
        assert_eq!(*hub.0.borrow(), ["s-1 x"]);
        let note = fs::read_to_string(state.path().join("transcripts/s-1.to")).unwrap();
        assert_eq!(Destination::read(&note), Some(("s-1".to_owned(), destination())));
        let only = Destination { hub: true, ..Destination::default() };
        let mut transcript = Transcript::begin(state.path(), "s-2", &only, 10).unwrap();
        transcript.add(b"y");
        drop(transcript);
        assert!(deliver(state.path(), &hub).is_err());
        assert_eq!(waiting(state.path()), [state.path().join("transcripts/s-1.to")]);
        assert_eq!(*hub.0.borrow(), ["s-1 x", "s-2 y"]);
    }
}

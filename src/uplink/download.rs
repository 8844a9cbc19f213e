//! A download, whatever it comes by: piece by piece into a part file, taken up where it broke,
//! checked, and only then in its place.

use super::source::Source;
use crate::patience::{Patience, Stop};
use crate::remote::{Place, RemoteError};
use crate::sys::part::Part;
use crate::sys::{FileError, durable, host};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use stint_wire::json::{self, ObjectWriter};
use stint_wire::text::Sha256Sum;

/// One read, bytes.
const CHUNK: usize = 16 * 1024;

/// The pauses between tries that bring nothing new. Whoever gets further begins again with the
/// first.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
];

/// What is fetched has the mode that the original gives it.
const MODE: u32 = 0o700;

/// The note beside a part file that outlives its process, which tells whose beginning it is.
const NOTE: &str = ".stint-from";

/// A note larger than this isn't one, bytes.
const MAX_NOTE: u64 = 16 * 1024;

/// The rest of a file that is wanted.
pub struct Rest {
    /// From this byte.
    pub from: u64,
    /// If the file is still the one of which the server said this: an `ETag`, a time.
    pub validator: String,
}

/// A file on its way.
pub struct Answer<'a> {
    /// With which byte it begins: 0 or that of [`Rest`]. `None`: the server can't give the rest.
    pub from: Option<u64>,
    /// How the server tells this file from the next of that name, if it does.
    pub validator: Option<String>,
    /// Bytes that are to come, if the server says so.
    pub length: Option<u64>,
    /// The bytes.
    pub reader: Box<dyn Source + 'a>,
    /// What it means, in words, when they break off.
    pub in_words: fn(io::Error) -> String,
}

/// Why a try failed.
pub enum Trouble {
    /// The next may do better.
    Passing(RemoteError),
    /// No other would.
    Final(RemoteError),
}

impl Trouble {
    /// What happened, whether it passes or not.
    pub fn into_error(self) -> RemoteError {
        match self {
            Trouble::Passing(error) | Trouble::Final(error) => error,
        }
    }
}

impl From<RemoteError> for Trouble {
    fn from(error: RemoteError) -> Trouble {
        Trouble::Final(error)
    }
}

/// Gets a file into its place by as many of `attempt`, each of which calls [`Download::attempt`],
/// as it takes. `name` is what errors call it.
///
/// # Errors
/// See [`RemoteError`]. Nothing is left then; but where the place says so, what came before a
/// connection broke is, for the next try.
pub fn download(
    name: &str,
    place: &Place<'_>,
    patience: &Patience,
    attempt: &mut dyn FnMut(&mut Download<'_>) -> Result<(), Trouble>,
) -> Result<(), RemoteError> {
    let mut download = Download::begin(name, place)?;
    loop {
        let mut best = download.part.length();
        let result = again(patience, &mut || {
            if download.is_whole() {
                return (Ok(()), false);
            }
            let result = attempt(&mut download);
            let progress = download.part.length() > best;
            best = best.max(download.part.length());
            (result, progress)
        });
        match result.and_then(|()| download.check()) {
            Ok(()) => return download.keep(),
            // A power cut may have torn what an earlier process had written. Once more, then.
            Err(RemoteError::Checksum { .. }) if download.taken_up => {
                download.discard().map_err(RemoteError::File)?;
            }
            Err(error) => {
                let lasting =
                    matches!(error, RemoteError::Unreachable { .. } | RemoteError::Stopped(_));
                #[cfg(feature = "ssm")]
                let lasting = lasting || matches!(error, RemoteError::Budget { .. });
                download.give_up(lasting);
                return Err(error);
            }
        }
    }
}

/// Repeats `attempt` while its troubles pass, with pauses. It also says whether it got further
/// than all before.
///
/// # Errors
/// A final one, the last passing one, or that the patience is over.
pub fn again<T>(
    patience: &Patience,
    attempt: &mut dyn FnMut() -> (Result<T, Trouble>, bool),
) -> Result<T, RemoteError> {
    let mut pauses = PAUSES.iter();
    loop {
        stop(patience)?;
        let error = match attempt() {
            (Ok(done), _) => return Ok(done),
            (Err(Trouble::Final(error)), _) => {
                stop(patience)?;
                return Err(error);
            }
            (Err(Trouble::Passing(error)), progress) => {
                if progress {
                    pauses = PAUSES.iter();
                }
                error
            }
        };
        stop(patience)?;
        match pauses.next() {
            Some(pause) => rest(patience, *pause),
            None => return Err(error),
        }
    }
}

fn stop(patience: &Patience) -> Result<(), RemoteError> {
    patience.over().map_or(Ok(()), |why: Stop| Err(RemoteError::Stopped(why)))
}

fn rest(patience: &Patience, pause: Duration) {
    let glance = Duration::from_millis(100);
    let mut left = pause.min(patience.left());
    while !left.is_zero() && patience.over().is_none() {
        thread::sleep(left.min(glance));
        left = left.saturating_sub(glance);
    }
}

/// A file on its way into its place.
pub struct Download<'a> {
    name: &'a str,
    place: &'a Place<'a>,
    part: Part,
    sum: Sha256Sum,
    validator: Option<String>,
    /// An earlier process has got a part of it.
    taken_up: bool,
}

impl<'a> Download<'a> {
    fn begin(name: &'a str, place: &'a Place<'a>) -> Result<Download<'a>, RemoteError> {
        let part = match place.resume {
            Some(_) => Part::resume(place.path)?,
            None => Part::begin(place.path)?,
        };
        let sum = Sha256Sum::default();
        let mut download = Download { name, place, part, sum, validator: None, taken_up: false };
        if download.part.length() > 0 {
            download.take_up()?;
        }
        Ok(download)
    }

    /// Goes on with what an earlier process has left, if it is a beginning of the same.
    fn take_up(&mut self) -> Result<(), FileError> {
        self.validator = self.noted();
        if self.validator.is_none() {
            return self.part.restart();
        }
        self.taken_up = true;
        let sum = &mut self.sum;
        self.part.read(&mut |bytes| sum.add(bytes))
    }

    /// Makes one try.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn attempt<'b>(
        &mut self,
        patience: &Patience,
        ask: &mut dyn FnMut(Option<&Rest>) -> Result<Answer<'b>, Trouble>,
    ) -> Result<(), Trouble> {
        let rest = self
            .validator
            .clone()
            .filter(|_| self.part.length() > 0)
            .map(|validator| Rest { from: self.part.length(), validator });
        let answer = ask(rest.as_ref())?;
        match (answer.from, &rest) {
            (Some(from), Some(rest)) if from == rest.from => {}
            (Some(0), _) => self.restart(&answer).map_err(RemoteError::File)?,
            // The rest isn't to be had, so the next try is for all of it.
            _ => {
                self.validator = None;
                return Err(Trouble::Passing(self.broken("the server loses its place")));
            }
        }
        self.take(answer, patience)
    }

    fn restart(&mut self, answer: &Answer<'_>) -> Result<(), FileError> {
        self.discard()?;
        self.validator = answer.validator.clone();
        let (Some(what), Some(validator)) = (self.place.resume, &self.validator) else {
            return Ok(());
        };
        let note = ObjectWriter::new().string("what", what).string("validator", validator);
        durable::write(&self.note(), note.finish().as_bytes())
    }

    fn take(&mut self, answer: Answer<'_>, patience: &Patience) -> Result<(), Trouble> {
        let expected = answer.length;
        let room = self.place.limit - self.part.length().min(self.place.limit);
        if expected.is_some_and(|length| length > room) {
            return Err(self.too_large());
        }
        if let Some(needed) = expected
            && let Some(free) = host::free_bytes(self.place.path)
            && needed > free
        {
            let place = self.name.to_owned();
            return Err(RemoteError::NoRoom { place, needed, free }.into());
        }
        let Answer { mut reader, in_words, .. } = answer;
        let (mut chunk, mut taken) = ([0; CHUNK], 0);
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(Trouble::Passing(self.broken(&in_words(error)))),
            };
            taken += count as u64;
            if taken > room {
                return Err(self.too_large());
            }
            let bytes = chunk.get(..count).unwrap_or_default();
            self.part.add(bytes).map_err(RemoteError::File)?;
            self.sum.add(bytes);
            // Bytes that come one by one never let the connection time out.
            stop(patience)?;
        }
        if expected.is_some_and(|length| length != taken) {
            return Err(Trouble::Passing(self.broken("the connection broke")));
        }
        Ok(())
    }

    /// Whether an earlier process has got all of it.
    fn is_whole(&self) -> bool {
        self.taken_up && self.place.sha256.is_some_and(|wanted| wanted == self.sum())
    }

    fn check(&self) -> Result<(), RemoteError> {
        let found = self.sum();
        if self.place.sha256.is_some_and(|wanted| wanted != found) {
            return Err(RemoteError::Checksum { place: self.name.to_owned(), found });
        }
        Ok(())
    }

    fn sum(&self) -> String {
        self.sum.clone().finish()
    }

    fn discard(&mut self) -> Result<(), FileError> {
        if self.part.length() > 0 {
            self.part.restart()?;
        }
        (self.sum, self.validator, self.taken_up) = (Sha256Sum::default(), None, false);
        Ok(())
    }

    fn keep(self) -> Result<(), RemoteError> {
        let note = self.place.resume.map(|_| self.note());
        self.part.keep(MODE)?;
        // A note without its part says nothing, so a crash in between does no harm.
        note.map_or(Ok(()), |note| Ok(durable::remove(&note)?))
    }

    fn give_up(self, lasting: bool) {
        if self.place.resume.is_some() && !lasting {
            let _ = fs::remove_file(self.note());
            self.part.remove();
        }
    }

    fn note(&self) -> PathBuf {
        let mut name = OsString::from(self.place.path.as_os_str());
        name.push(NOTE);
        PathBuf::from(name)
    }

    /// The validator of what an earlier process has begun, if it was the same.
    fn noted(&self) -> Option<String> {
        let note = self.note();
        fs::metadata(&note).ok().filter(|meta| meta.len() <= MAX_NOTE)?;
        let note = json::parse(&fs::read_to_string(note).ok()?).ok()?;
        note.get("what")?.as_str().filter(|what| self.place.resume == Some(what))?;
        note.get("validator")?.as_str().map(str::to_owned)
    }

    fn broken(&self, cause: &str) -> RemoteError {
        RemoteError::Unreachable { place: self.name.to_owned(), cause: cause.to_owned() }
    }

    fn too_large(&self) -> Trouble {
        RemoteError::TooLarge { place: self.name.to_owned(), limit: self.place.limit }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::path::Path;
    use stint_wire::text::sha256_hex;

    const BODY: &[u8] = b"0123456789";

    fn patience() -> Patience {
        Patience::of_time(Duration::from_secs(60))
    }

    /// A server that sends `count` bytes of `body` and breaks off; notes from where it was asked.
    fn send<'b>(body: &'b [u8], tag: &str, count: usize, rest: Option<&Rest>) -> Answer<'b> {
        let from = rest.filter(|rest| rest.validator == tag).map_or(0, |rest| rest.from);
        let to_come = body.get(from as usize..).unwrap();
        Answer {
            from: Some(from),
            validator: Some(tag.to_owned()),
            length: Some(to_come.len() as u64),
            reader: Box::new(std::io::Read::take(to_come, count as u64)),
            in_words: |error| error.to_string(),
        }
    }

    fn place<'a>(path: &'a Path, sha256: &'a str) -> Place<'a> {
        Place { resume: Some("the file"), ..Place::new(path, Some(sha256)) }
    }

    /// What a process that is killed after `count` bytes leaves.
    fn killed(place: &Place<'_>, count: usize) {
        let mut download = Download::begin("f", place).unwrap();
        let broke = download.attempt(&patience(), &mut |rest| Ok(send(BODY, "t", count, rest)));
        assert!(matches!(broke, Err(Trouble::Passing(_))));
    }

    #[test]
    fn a_download_goes_on_where_an_earlier_process_was_killed() {
        let folder = Folder::new();
        let (path, sum) = (folder.path().join("f"), sha256_hex(BODY));
        let place = place(&path, &sum);
        killed(&place, 4);
        let mut asked = Vec::new();
        download("f", &place, &patience(), &mut |download| {
            download.attempt(&patience(), &mut |rest| {
                asked.push(rest.map_or(0, |rest| rest.from));
                Ok(send(BODY, "t", 100, rest))
            })
        })
        .unwrap();
        assert_eq!((asked, fs::read(&path).unwrap()), (vec![4], BODY.to_vec()));
        assert_eq!(durable::list(folder.path()).unwrap(), ["f"]);
    }

    #[test]
    fn what_was_whole_when_its_process_was_killed_is_not_fetched_again() {
        let folder = Folder::new();
        let (path, sum) = (folder.path().join("f"), sha256_hex(BODY));
        let place = place(&path, &sum);
        let mut all = Download::begin("f", &place).unwrap();
        assert!(all.attempt(&patience(), &mut |rest| Ok(send(BODY, "t", 100, rest))).is_ok());
        drop(all);
        download("f", &place, &patience(), &mut |_| panic!("asked again")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), BODY);
    }

    #[test]
    fn the_beginning_of_another_file_is_not_gone_on_with() {
        let folder = Folder::new();
        let (path, other) = (folder.path().join("f"), b"another file");
        let sum = sha256_hex(other);
        killed(&place(&path, &sum), 4);
        let place = Place { resume: Some("another"), ..place(&path, &sum) };
        download("f", &place, &patience(), &mut |download| {
            download.attempt(&patience(), &mut |rest| {
                assert!(rest.is_none());
                Ok(send(other, "t", 100, rest))
            })
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), other);
    }

    #[test]
    fn a_beginning_torn_by_a_power_cut_costs_one_more_download_and_no_failure() {
        let folder = Folder::new();
        let (path, sum) = (folder.path().join("f"), sha256_hex(BODY));
        let place = place(&path, &sum);
        killed(&place, 4);
        fs::write(folder.path().join("f.stint-part"), [0; 4]).unwrap();
        let mut asked = Vec::new();
        download("f", &place, &patience(), &mut |download| {
            download.attempt(&patience(), &mut |rest| {
                asked.push(rest.map_or(0, |rest| rest.from));
                Ok(send(BODY, "t", 100, rest))
            })
        })
        .unwrap();
        assert_eq!((asked, fs::read(&path).unwrap()), (vec![4, 0], BODY.to_vec()));
    }

    #[test]
    fn a_wrong_checksum_and_a_file_that_is_too_large_leave_nothing() {
        let folder = Folder::new();
        let (path, sum) = (folder.path().join("f"), sha256_hex(b"wanted"));
        let run = |limit| {
            let place = Place { limit, ..place(&path, &sum) };
            let result = download("f", &place, &patience(), &mut |download| {
                download.attempt(&patience(), &mut |rest| Ok(send(BODY, "t", 100, rest)))
            });
            assert!(durable::list(folder.path()).unwrap().is_empty());
            result.unwrap_err()
        };
        assert!(matches!(run(10), RemoteError::Checksum { .. }));
        assert!(matches!(run(9), RemoteError::TooLarge { limit: 9, .. }));
    }

    #[test]
    fn a_file_for_which_there_is_no_room_is_refused_before_its_first_byte() {
        let folder = Folder::new();
        let path = folder.path().join("f");
        let place = Place { limit: u64::MAX, ..Place::new(&path, None) };
        let error = download("f", &place, &patience(), &mut |download| {
            download.attempt(&patience(), &mut |rest| {
                let answer = send(BODY, "t", 100, rest);
                Ok(Answer { length: Some(u64::MAX / 2), ..answer })
            })
        })
        .unwrap_err();
        assert!(error.to_string().contains("KiB free"), "{error}");
    }
}

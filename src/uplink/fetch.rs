//! A download: piece by piece into a part file, taken up where it broke, checked, and only then in
//! its place.

use super::client::Client;
use super::http::Http;
use super::tls;
use crate::document::remote::{Patience, Place, RemoteError, Stop};
use crate::sys::part::Part;
use std::io::Read;
use std::thread;
use std::time::Duration;
use stint_wire::text::Sha256Sum;
use ureq::Body;
use ureq::http::Response;

/// The largest file, bytes: a gateway's firmware is smaller, and a server that sends without end
/// must not fill a disk.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

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

/// Statuses under 500 that pass: time-out, too early, too many requests.
const PASSING: [u16; 3] = [408, 425, 429];

/// The rest of a file that is wanted.
pub struct Rest {
    /// From this byte.
    pub from: u64,
    /// If the file still has this `ETag` or `Last-Modified`.
    pub validator: String,
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

/// Makes one request for a file, or for the rest of it.
pub type Ask<'a> = dyn FnMut(&Http, Option<&Rest>) -> Result<Response<Body>, Trouble> + 'a;

/// Gets what `ask` asks for into its place. `name` is what errors call it.
///
/// # Errors
/// See [`RemoteError`]; nothing is left then.
pub fn fetch(
    client: &Client,
    name: &str,
    place: &Place<'_>,
    patience: &Patience,
    ask: &mut Ask<'_>,
) -> Result<(), RemoteError> {
    let part = Part::begin(place.path)?;
    let mut download = Download { name, part, sum: Sha256Sum::default(), validator: None };
    let mut best = 0;
    again(patience, &mut || {
        let result = client.run(patience, &mut |http| download.attempt(http, patience, ask));
        let progress = download.part.length() > best;
        best = best.max(download.part.length());
        (result, progress)
    })?;
    let found = download.sum.finish();
    if place.sha256.is_some_and(|wanted| wanted != found) {
        return Err(RemoteError::Checksum { place: name.to_owned(), found });
    }
    Ok(download.part.keep(MODE)?)
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

struct Download<'a> {
    name: &'a str,
    part: Part,
    sum: Sha256Sum,
    validator: Option<String>,
}

impl Download<'_> {
    fn attempt(
        &mut self,
        http: &Http,
        patience: &Patience,
        ask: &mut Ask<'_>,
    ) -> Result<(), Trouble> {
        let rest = self
            .validator
            .clone()
            .filter(|_| self.part.length() > 0)
            .map(|validator| Rest { from: self.part.length(), validator });
        let response = ask(http, rest.as_ref())?;
        match (response.status().as_u16(), &rest) {
            (206, Some(rest)) if begins_at(&response, rest.from) => {}
            (200, _) => self.restart(&response)?,
            // The rest isn't to be had, so the next try is for all of it.
            (206 | 416, Some(_)) => {
                self.validator = None;
                return Err(Trouble::Passing(self.broken("the server loses its place")));
            }
            (status, _) => {
                let answer = format!("HTTP status {status}");
                let error = RemoteError::Refused { place: self.name.to_owned(), answer };
                return Err(passing_or_final(status, error));
            }
        }
        self.take(response, patience)
    }

    fn restart(&mut self, response: &Response<Body>) -> Result<(), Trouble> {
        if self.part.length() > 0 {
            self.part.restart().map_err(RemoteError::File)?;
        }
        self.sum = Sha256Sum::default();
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        // A weak tag says that two files are alike, not that their bytes are.
        self.validator =
            header("etag").filter(|tag| !tag.starts_with("W/")).or_else(|| header("last-modified"));
        Ok(())
    }

    fn take(&mut self, response: Response<Body>, patience: &Patience) -> Result<(), Trouble> {
        let expected = response.body().content_length();
        let room = MAX_FILE - self.part.length().min(MAX_FILE);
        if expected.is_some_and(|length| length > room) {
            return Err(self.too_large());
        }
        let (mut reader, mut taken) = (response.into_body().into_reader(), 0);
        let mut chunk = [0; CHUNK];
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    let cause = tls::in_words(&ureq::Error::Io(error));
                    return Err(Trouble::Passing(self.broken(&cause)));
                }
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

    fn broken(&self, cause: &str) -> RemoteError {
        RemoteError::Unreachable { place: self.name.to_owned(), cause: cause.to_owned() }
    }

    fn too_large(&self) -> Trouble {
        RemoteError::TooLarge { place: self.name.to_owned(), limit: MAX_FILE }.into()
    }
}

/// Whether another try may do better after this status.
pub fn passing_or_final(status: u16, error: RemoteError) -> Trouble {
    if status >= 500 || PASSING.contains(&status) {
        Trouble::Passing(error)
    } else {
        Trouble::Final(error)
    }
}

/// No answer: what ureq says, and that the next try may do better.
pub fn unreachable(name: &str, error: &ureq::Error) -> Trouble {
    let error = RemoteError::Unreachable { place: name.to_owned(), cause: tls::in_words(error) };
    Trouble::Passing(error)
}

fn begins_at(response: &Response<Body>, from: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
    first.is_some_and(|first| first.parse() == Ok(from))
}

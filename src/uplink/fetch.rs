//! Downloads by HTTP: what an answer's status and headers mean for a file that may be half here.

use super::client::Client;
use super::download::{Answer, download};
pub use super::download::{Rest, Trouble, again};
use super::http::{self, Http, HttpError, Response};
use super::tls;
use crate::patience::Patience;
use crate::remote::{Place, RemoteError};
use std::io;

/// Statuses under 500 that pass: time-out, too early, too many requests.
const PASSING: [u16; 3] = [408, 425, 429];

/// Makes one request for a file, or for the rest of it.
pub type Ask<'a> = dyn FnMut(&Http, Option<&Rest>) -> Result<Response, Trouble> + 'a;

/// Gets what `ask` asks for into its place. `name` is what errors call it.
///
/// # Errors
/// See [`download`].
pub fn fetch(
    client: &Client,
    name: &str,
    place: &Place<'_>,
    patience: &Patience,
    ask: &mut Ask<'_>,
) -> Result<(), RemoteError> {
    download(name, place, patience, &mut |download| {
        client.run(patience, &mut |http| {
            #[cfg(feature = "ssm")]
            super::budget::admit(None)?;
            download.attempt(patience, &mut |rest| read(name, ask(http, rest)?, rest))
        })
    })
}

fn read(name: &str, response: Response, rest: Option<&Rest>) -> Result<Answer<'static>, Trouble> {
    let header = |name| http::header(&response, name);
    let from = match (http::status(&response), rest) {
        (200, _) => Some(0),
        (206, Some(rest)) => Some(rest.from).filter(|from| begins_at(&response, *from)),
        (416, Some(_)) => None,
        (status, _) => {
            let answer = format!("HTTP status {status}");
            let error = RemoteError::Refused { place: name.to_owned(), answer };
            return Err(passing_or_final(status, error));
        }
    };
    #[cfg(feature = "ssm")]
    super::budget::admit(http::content_length(&response))?;
    Ok(Answer {
        from,
        // A weak tag says that two files are alike, not that their bytes are.
        validator: header("etag")
            .filter(|tag| !tag.starts_with("W/"))
            .or_else(|| header("last-modified")),
        length: http::content_length(&response),
        #[cfg(feature = "ssm")]
        reader: Box::new(super::budget::Bounded {
            source: http::into_reader(response),
            counts: false,
        }),
        #[cfg(not(feature = "ssm"))]
        reader: http::into_reader(response),
        in_words: broken,
    })
}

fn broken(error: io::Error) -> String {
    tls::in_words(&http::broken_off(error))
}

/// Whether another try may do better after this status.
pub fn passing_or_final(status: u16, error: RemoteError) -> Trouble {
    if status >= 500 || PASSING.contains(&status) {
        Trouble::Passing(error)
    } else {
        Trouble::Final(error)
    }
}

/// No answer: what the client says, and that the next try may do better.
pub fn unreachable(name: &str, error: &HttpError) -> Trouble {
    let error = RemoteError::Unreachable { place: name.to_owned(), cause: tls::in_words(error) };
    Trouble::Passing(error)
}

fn begins_at(response: &Response, from: u64) -> bool {
    let range = http::header(response, "content-range");
    let first = range.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
    first.is_some_and(|first| first.parse() == Ok(from))
}

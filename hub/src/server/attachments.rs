//! GET of an attachment by a link out of GetDocument.
//!
//! The token in the link is the permission; there is no signature, as there is none on the links
//! to S3 that AWS answers with. A part of a file may be asked for, so that a download over a bad
//! line can go on where it broke off.

use super::answer;
use super::routes::Site;
use crate::error::ApiError;
use crate::tools::documents::attachments;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};

/// Bytes read and sent at a time.
const CHUNK: usize = 64 * 1024;

/// Answers a link.
pub async fn get(
    State(site): State<Site>,
    Path((hash, _name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
    let id = answer::request_id();
    if let Err(mut error) = attachments::checked(&site.app, &hash, token, site.app.now()) {
        error.status = StatusCode::FORBIDDEN;
        tracing::warn!(request_id = id, "attachment refused");
        return answer::failure(&error, &id);
    }
    let path = attachments::blob(&site.data, &hash);
    match serve(&Named { path: &path, tag: &hash }, &headers).await {
        Ok(response) => {
            tracing::info!(hash, request_id = id, "attachment");
            response
        }
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            tracing::error!(hash, %error, request_id = id, "attachment can't be read");
            let failure = if missing {
                ApiError {
                    status: StatusCode::NOT_FOUND,
                    ..ApiError::new("NotFound", "The attachment is not in the store any more.")
                }
            } else {
                ApiError::internal(error)
            };
            answer::failure(&failure, &id)
        }
    }
}

/// A file, and what tells it from every other that has been in its place.
pub struct Named<'a> {
    /// Where it is.
    pub path: &'a std::path::Path,
    /// Its `ETag`, without the quotes.
    pub tag: &'a str,
}

/// Answers with a file, or the part of it that the headers ask for.
///
/// # Errors
/// The file can't be read.
pub async fn serve(named: &Named<'_>, headers: &HeaderMap) -> io::Result<Response> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{}\"", named.tag);
    // A part of another file than the one that the client began with is of no use.
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = text(header::RANGE).filter(|_| same);
    let mut file = File::open(named.path).await?;
    let size = file.metadata().await?.len();
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    let part = part(range, size);
    let told = match part {
        Part::Whole => None,
        Part::From(from, to) => {
            Some((StatusCode::PARTIAL_CONTENT, format!("bytes {from}-{to}/{size}")))
        }
        Part::Outside => Some((StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{size}"))),
    };
    if let Some((status, text)) = told {
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(header::CONTENT_RANGE, text);
        }
        *response.status_mut() = status;
    }
    let (from, left) = match part {
        Part::Whole => (0, size),
        Part::From(from, to) => (from, to - from + 1),
        Part::Outside => return Ok(response),
    };
    file.seek(SeekFrom::Start(from)).await?;
    *response.body_mut() = Body::new(Rest { file, left, chunk: vec![0; CHUNK] });
    Ok(response)
}

/// What of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// The first and the last byte.
    From(u64, u64),
    Outside,
}

/// Reads a Range header. One that is not understood, or names several parts, means the whole, as
/// RFC 9110 allows.
fn part(range: Option<&str>, size: u64) -> Part {
    let Some(text) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((from, to)) = text.split_once('-') else { return Part::Whole };
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), _) if from >= size => Part::Outside,
        (Ok(from), Ok(to)) if to >= from => Part::From(from, to.min(size - 1)),
        (Ok(from), Err(_)) if to.is_empty() => Part::From(from, size - 1),
        // The last bytes.
        (Err(_), Ok(0)) if from.is_empty() => Part::Outside,
        (Err(_), Ok(last)) if from.is_empty() && size > 0 => {
            Part::From(size - last.min(size), size - 1)
        }
        _ => Part::Whole,
    }
}

/// The rest of a file as a body.
struct Rest {
    file: File,
    left: u64,
    chunk: Vec<u8>,
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let most = usize::try_from(this.left).unwrap_or(CHUNK).min(CHUNK);
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut buffer = ReadBuf::new(this.chunk.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut this.file).poll_read(context, &mut buffer))?;
        let bytes = Bytes::copy_from_slice(buffer.filled());
        if bytes.is_empty() {
            // Shorter than it said: the client must not take it for whole.
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_a_file_are_understood() {
        for (range, expected) in [
            (None, Part::Whole),
            (Some("bytes=0-"), Part::From(0, 9)),
            (Some("bytes=4-6"), Part::From(4, 6)),
            (Some("bytes=4-99"), Part::From(4, 9)),
            (Some("bytes=-3"), Part::From(7, 9)),
            (Some("bytes=-99"), Part::From(0, 9)),
            (Some("bytes=10-"), Part::Outside),
            (Some("bytes=-0"), Part::Outside),
            (Some("bytes=6-4"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("lines=1-2"), Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Outside);
        assert_eq!(part(Some("bytes=-5"), 0), Part::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_never_outside_of_the_file(range: String, from: u64, to: u64, size: u64) {
            for range in [range, format!("bytes={from}-{to}"), format!("bytes=-{to}")] {
                if let Part::From(from, to) = part(Some(&range), size) {
                    prop_assert!(from <= to && to < size, "{}", range);
                }
            }
        }
    }
}

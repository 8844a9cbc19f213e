//! A request as signatures see it.

use axum::body::Bytes;
use axum::http::request::Parts;

/// Method, target, headers and body, all as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`
    pub method: String,
    /// The path, percent-encoded as sent.
    pub path: String,
    /// The query without its question mark; empty if there is none.
    pub query: String,
    /// Lower-case names, values verbatim. A value that is no UTF-8 is left out: no client signs
    /// one, and a signature over it fails as it should.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer encoding.
    pub body: Bytes,
}

impl Request {
    /// Copies what HTTP delivered.
    pub fn new(parts: &Parts, body: &[u8]) -> Request {
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        };
        Request {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.iter().filter_map(header).collect(),
            body: Bytes::copy_from_slice(body),
        }
    }

    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Requests out of text, as the captures of the real agent are kept.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// Reads one raw HTTP/1.1 request whose body is plain or chunked.
    pub fn parse(text: &str) -> Request {
        let (head, body) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let mut target = lines.next().unwrap().split(' ');
        let method = target.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if chunked { dechunk(body) } else { body.trim_end_matches('\n').to_owned() };
        Request { method, path: "/".to_owned(), query: String::new(), headers, body: body.into() }
    }

    fn dechunk(text: &str) -> String {
        let mut lines = text.lines();
        let mut body = String::new();
        while let Some(size) = lines.next().map(|line| usize::from_str_radix(line, 16).unwrap()) {
            if size == 0 {
                break;
            }
            let chunk = lines.next().unwrap();
            assert_eq!(chunk.len(), size);
            body.push_str(chunk);
        }
        body
    }
}

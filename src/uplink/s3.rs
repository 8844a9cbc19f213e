//! S3 by SigV4: AWS's, or a server that speaks like it.

use super::clock::Clock;
use super::endpoint;
use super::fetch::{Rest, Trouble, passing_or_final, unreachable};
use super::http::Http;
use super::s3_sign::{self, Access, EMPTY};
use super::s3_text;
use crate::document::remote::{RemoteError, S3Object};
use crate::sys::FileError;
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use stint_wire::sigv4::percent_encode;
use stint_wire::text::Sha256Sum;
use stint_wire::time::Utc;
use ureq::Body;
use ureq::http::Response;

/// An answer in XML, bytes. A page of 1000 keys of 1 KiB fits in it.
const MAX_XML: u64 = 2 * 1024 * 1024;

/// More objects than this are no download but a backup.
const MAX_KEYS: usize = 10_000;

/// One request, one for another region, one with the right time, one without a signature.
const ATTEMPTS: usize = 4;

/// The region that answers for buckets nobody has named a region of.
const FIRST_REGION: &str = "us-east-1";

/// A way to S3.
pub struct S3 {
    /// The server that holds all buckets; AWS, if there is none.
    pub endpoint: Option<String>,
    /// The region of buckets that nobody has named a region of.
    pub region: Option<String>,
    /// With what requests are signed. Without it they aren't, which is fine for public objects.
    pub access: RefCell<Option<Access>>,
    /// The time by which they are.
    pub clock: Clock,
    /// Regions that buckets turned out to be in.
    pub regions: RefCell<Vec<(String, String)>>,
}

/// What is asked of S3.
struct Request<'a> {
    method: &'a str,
    object: &'a S3Object,
    /// Percent-encoded already.
    query: String,
    headers: Vec<(&'static str, String)>,
    file: Option<&'a Path>,
    payload_hash: String,
}

impl S3 {
    /// Asks for an object, or for the rest of it.
    pub fn get(
        &self,
        http: &Http,
        object: &S3Object,
        rest: Option<&Rest>,
    ) -> Result<Response<Body>, Trouble> {
        let mut headers = Vec::new();
        if let Some(rest) = rest {
            headers.push(("range", format!("bytes={}-", rest.from)));
            headers.push(("if-range", rest.validator.clone()));
        }
        self.send(http, &Request { headers, ..Request::get(object, String::new()) })
    }

    /// Lists the keys of a bucket that begin with the object's, sorted.
    pub fn list(&self, http: &Http, prefix: &S3Object) -> Result<Vec<String>, Trouble> {
        let bucket = S3Object { key: String::new(), ..prefix.clone() };
        let (mut keys, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query = format!("list-type=2&prefix={}", percent_encode(&prefix.key, false));
            if let Some(token) = &token {
                query = format!("continuation-token={}&{query}", percent_encode(token, false));
            }
            let mut response = self.send(http, &Request::get(&bucket, query))?;
            let text = response.body_mut().with_config().limit(MAX_XML).lossy_utf8(true);
            let text = text.read_to_string().map_err(|error| unreachable(&name(prefix), &error))?;
            keys.extend(s3_text::texts(&text, "Key"));
            if keys.len() > MAX_KEYS {
                let why = format!("{} holds more than {MAX_KEYS} objects", name(prefix));
                return Err(RemoteError::Unusable(why).into());
            }
            token = s3_text::texts(&text, "NextContinuationToken").next();
            if token.is_none() {
                keys.sort_unstable();
                return Ok(keys);
            }
        }
    }

    /// Puts a file that the bucket's owner may read.
    pub fn put(&self, http: &Http, object: &S3Object, file: &Path) -> Result<(), Trouble> {
        let headers = vec![
            ("content-type", "text/plain".to_owned()),
            ("x-amz-acl", "bucket-owner-full-control".to_owned()),
        ];
        let payload_hash = digest(file).map_err(RemoteError::File)?;
        let (method, query) = ("PUT", String::new());
        let file = Some(file);
        let request = Request { method, object, query, headers, file, payload_hash };
        self.send(http, &request).map(drop)
    }

    fn send(&self, http: &Http, request: &Request<'_>) -> Result<Response<Body>, Trouble> {
        let name = name(request.object);
        let (mut signed, mut refusal) = (true, None);
        for _ in 0..ATTEMPTS {
            let region = self.region_of(request.object);
            let access = self.access.borrow();
            let access = access.as_ref().filter(|_| signed);
            let at = self.clock.now();
            let response = self.once(http, request, &region, access)?;
            let status = response.status().as_u16();
            if (200..300).contains(&status) || status == 416 {
                return Ok(response);
            }
            let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
            let other = header("x-amz-bucket-region").filter(|other| *other != region);
            let date = header("date").and_then(|date| Utc::parse_http(&date));
            let (code, error) = refused(&name, response);
            if let Some(other) = other.filter(|_| self.endpoint.is_none()) {
                self.regions.borrow_mut().push((request.object.bucket.clone(), other));
            } else if code == "RequestTimeTooSkewed"
                && date.is_some_and(|d| self.clock.learn(d, at))
            {
                // Once more, with the right time.
            } else if status == 403 && access.is_some() && request.method == "GET" {
                // Public objects are everybody's, a node of another account included.
                signed = false;
                refusal = Some(error);
            } else {
                return Err(passing_or_final(status, refusal.unwrap_or(error)));
            }
        }
        let answer = "it sends us in a circle".to_owned();
        Err(RemoteError::Refused { place: name, answer }.into())
    }

    fn once(
        &self,
        http: &Http,
        request: &Request<'_>,
        region: &str,
        access: Option<&Access>,
    ) -> Result<Response<Body>, Trouble> {
        let (base, path) = self.address(request.object, region);
        let mut headers = request.headers.clone();
        if let Some(access) = access {
            headers = s3_sign::sign(
                &s3_sign::Parts {
                    service: s3_sign::SERVICE,
                    method: request.method,
                    host: endpoint::authority(&base),
                    path: &path,
                    query: &request.query,
                    payload_hash: &request.payload_hash,
                },
                headers,
                access,
                region,
                self.clock.now(),
            );
        }
        let mark = if request.query.is_empty() { "" } else { "?" };
        let url = format!("{base}{path}{mark}{}", request.query);
        let agent = http.agent_for(&base);
        let file = match request.file {
            None => None,
            Some(file) => {
                let open = File::open(file).map_err(FileError::new("open", file));
                Some(open.map_err(RemoteError::File)?)
            }
        };
        // A certificate is looked at before anything of the file is sent.
        let answer = http.in_time(&base, &mut || match &file {
            None => headers.iter().fold(agent.get(&url), |r, (n, v)| r.header(*n, v)).call(),
            Some(file) => {
                headers.iter().fold(agent.put(&url), |r, (n, v)| r.header(*n, v)).send(file)
            }
        });
        answer.map_err(|error| unreachable(&name(request.object), &error))
    }

    fn region_of(&self, object: &S3Object) -> String {
        let known = self.regions.borrow();
        let known = known.iter().rev().find(|(bucket, _)| *bucket == object.bucket);
        let said = known.map(|(_, region)| region).or(object.region.as_ref());
        said.or(self.region.as_ref()).map_or(FIRST_REGION, String::as_str).to_owned()
    }

    /// Where an object is: the server and the path there, encoded.
    fn address(&self, object: &S3Object, region: &str) -> (String, String) {
        let (bucket, key) = (&object.bucket, percent_encode(&object.key, true));
        let with_bucket = |key: &str| match key {
            "" => format!("/{bucket}"),
            key => format!("/{bucket}/{key}"),
        };
        match &self.endpoint {
            Some(endpoint) => (endpoint.clone(), with_bucket(&key)),
            None => {
                let host = format!("s3.{region}.{}", endpoint::domain(region));
                // A certificate's star stands for one label.
                if bucket.contains('.') {
                    (format!("https://{host}"), with_bucket(&key))
                } else {
                    (format!("https://{bucket}.{host}"), format!("/{key}"))
                }
            }
        }
    }
}

impl Request<'_> {
    fn get(object: &S3Object, query: String) -> Request<'_> {
        let (method, payload_hash) = ("GET", EMPTY.to_owned());
        Request { method, object, query, headers: Vec::new(), file: None, payload_hash }
    }
}

/// What errors call an object.
pub fn name(object: &S3Object) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

fn refused(name: &str, mut response: Response<Body>) -> (String, RemoteError) {
    let status = response.status();
    let text = response.body_mut().with_config().limit(MAX_XML).lossy_utf8(true).read_to_string();
    let text = text.unwrap_or_default();
    let part = |tag| s3_text::texts(&text, tag).next();
    let code = part("Code").unwrap_or_default();
    let answer = match part("Message") {
        Some(message) => format!("{code}: {message}"),
        None => format!("HTTP status {}", status.as_u16()),
    };
    (code, RemoteError::Refused { place: name.to_owned(), answer })
}

fn digest(path: &Path) -> Result<String, FileError> {
    let mut file = File::open(path).map_err(FileError::new("open", path))?;
    let (mut sum, mut chunk) = (Sha256Sum::default(), [0; 8192]);
    loop {
        match file.read(&mut chunk).map_err(FileError::new("read", path))? {
            0 => return Ok(sum.finish()),
            count => sum.add(chunk.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: Option<&str>) -> S3 {
        S3 {
            endpoint: endpoint.map(str::to_owned),
            region: Some("eu-west-1".to_owned()),
            access: RefCell::default(),
            clock: Clock::default(),
            regions: RefCell::default(),
        }
    }

    #[test]
    fn a_bucket_is_a_host_at_aws_and_a_folder_elsewhere() {
        let object = |bucket: &str, key: &str| S3Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            region: None,
        };
        for (endpoint, bucket, key, region, base, path) in [
            (None, "b", "k 1", "eu-west-1", "https://b.s3.eu-west-1.amazonaws.com", "/k%201"),
            (None, "b", "", "cn-north-1", "https://b.s3.cn-north-1.amazonaws.com.cn", "/"),
            (None, "b.c", "k", "eu-west-1", "https://s3.eu-west-1.amazonaws.com", "/b.c/k"),
            (Some("http://h:9"), "b", "a/b", "eu-west-1", "http://h:9", "/b/a/b"),
            (Some("http://h:9"), "b", "", "eu-west-1", "http://h:9", "/b"),
        ] {
            let found = s3(endpoint).address(&object(bucket, key), region);
            assert_eq!(found, (base.to_owned(), path.to_owned()));
        }
    }

    #[test]
    fn the_region_is_what_the_bucket_says_then_the_url_then_the_node() {
        let s3 = s3(None);
        let mut object = S3Object { bucket: "b".to_owned(), key: String::new(), region: None };
        assert_eq!(s3.region_of(&object), "eu-west-1");
        object.region = Some("eu-north-1".to_owned());
        assert_eq!(s3.region_of(&object), "eu-north-1");
        s3.regions.borrow_mut().push(("b".to_owned(), "ap-south-1".to_owned()));
        assert_eq!(s3.region_of(&object), "ap-south-1");
    }
}

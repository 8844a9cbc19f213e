//! In place of `http.rs` in a build without Systems Manager: one exchange per connection, no pool
//! and no proxies, which is a sixth of this program less (decision 0023). Whoever uses one of the
//! two doesn't see which it is.

use super::endpoint;
use super::source::{self, read_all};
use super::tls::{self, Authority, CaError, Tls};
use super::{NoAnswer, Obstacle};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
#[cfg(feature = "tls")]
use stint_wire::time::Utc;

/// A connection that isn't there in this time won't come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that sends or takes nothing for this long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Status line and headers, bytes.
const MAX_HEAD: u64 = 8 * 1024;

/// The agent's name in `User-Agent`.
const USER_AGENT: &str = concat!("stint/", env!("STINT_VERSION"));

/// Why there is no answer.
pub type HttpError = io::Error;

/// A connection, in TLS or not.
pub trait Stream: source::Source + Send {
    /// Sends all of it.
    ///
    /// # Errors
    /// The connection breaks.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl<S: Read + Write + Send> Stream for S {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }
}

/// The connection, to be read by lines, too.
struct Incoming(Box<dyn Stream>);

impl Read for Incoming {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

/// The client.
pub struct Http {
    tls: Tls,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    current: Option<TcpStream>,
}

/// A request with a body.
pub struct Call<'a> {
    /// Where to, with its path.
    pub url: &'a str,
    /// Its headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a [u8],
    /// The answer's headers that are of interest.
    pub wanted: &'a [&'a str],
    /// How long the whole answer may take.
    pub patience: Duration,
    /// How large it may be, bytes.
    pub limit: u64,
}

/// What a server answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The values of the wanted headers, in their order.
    pub wanted: Vec<Option<String>>,
    /// The body.
    pub body: String,
}

/// An answer whose body is still to be read.
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Http {
    /// A client for these servers that trusts the certificate authorities of `ca_file`, or else
    /// the system's, which are read only if one of the servers needs them.
    ///
    /// # Errors
    /// The file named is unreadable or holds no certificate.
    pub fn new(ca_file: Option<&Path>, endpoints: &[&str]) -> Result<Http, CaError> {
        let https = endpoints.iter().any(|url| url.starts_with("https://"));
        let roots = match ca_file {
            Some(path) => tls::authorities(path)?,
            None if https => tls::system_authorities(),
            None => Vec::new(),
        };
        Ok(Http::trusting(roots))
    }

    /// A client that trusts these certificate authorities.
    pub fn trusting(roots: Vec<Authority>) -> Http {
        Http { tls: Tls::trusting(roots), state: Mutex::default() }
    }

    /// Makes what is under way fail, and every request from now on.
    pub fn shutdown(&self) {
        let mut state = self.state();
        state.stopped = true;
        if let Some(stream) = &state.current {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// There is no answer, in words for people.
    pub fn call(&self, call: &Call<'_>) -> Result<Answer, NoAnswer> {
        let answer = || {
            let deadline = Some(Instant::now() + call.patience);
            let mut response =
                self.in_time("POST", call.url, call.headers, Some(call.body), deadline)?;
            let body = read_all(&mut response.body, call.limit + 1)?;
            if body.len() as u64 > call.limit {
                return Err(broken("the answer is too large"));
            }
            let wanted = call.wanted.iter().map(|name| header(&response, name)).collect();
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Answer { status: response.status, wanted, body })
        };
        answer().map_err(|error| NoAnswer {
            obstacle: Obstacle::of_io(&error),
            words: tls::in_words(&error),
        })
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// There is no answer.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, HttpError> {
        self.in_time("GET", url, headers, None, None)
    }

    /// Sends a request; once more if the server's certificate is of another time than this device,
    /// and the server can say the time.
    fn in_time(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        deadline: Option<Instant>,
    ) -> Result<Response, HttpError> {
        let said = self.send(method, url, headers, body, deadline);
        #[cfg(not(feature = "tls"))]
        return said;
        #[cfg(feature = "tls")]
        {
            let mut said = said;
            if said.as_ref().is_err_and(tls::is_about_time) && self.is_time_learned(url) {
                said = self.send(method, url, headers, body, deadline);
            }
            let taken = said.as_ref().ok().filter(|said| said.status / 100 == 2);
            if let Some(date) = taken.and_then(date).filter(|_| url.starts_with("https://"))
                && tls::time::heard(date)
            {
                self.is_time_learned(url);
            }
            said
        }
    }

    /// Asks a server for the time, and nothing else. True if this device is wiser now.
    #[cfg(feature = "tls")]
    fn is_time_learned(&self, url: &str) -> bool {
        if !tls::time::may_be_asked() {
            return false;
        }
        let asking = Http { tls: self.tls.asking_for_the_time(), state: Mutex::default() };
        let root = format!("https://{}/", endpoint::authority(url));
        let answer = asking.send("HEAD", &root, &[], None, Some(Instant::now() + CONNECT_TIMEOUT));
        let time = answer.as_ref().ok().and_then(date).filter(|time| *time >= tls::time::lower());
        let time = time.filter(|time| asking.tls.holds_at(endpoint::host(url), *time));
        time.map(tls::time::adopt).is_some()
    }

    fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        deadline: Option<Instant>,
    ) -> Result<Response, HttpError> {
        // Nothing in it may end the line that it stands in.
        if url.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(broken("there is a blank in the URL"));
        }
        let authority = endpoint::authority(url);
        let path = url.split_once(authority).map_or("", |(_, path)| path);
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut request = format!("{method} {slash}{path} HTTP/1.1\r\nhost: {authority}\r\n");
        let own = [("user-agent", USER_AGENT), ("connection", "close")];
        for (name, value) in own.iter().chain(headers) {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(body) = body {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body.unwrap_or_default());

        let socket = self.connect(url)?;
        let timed = Timed { socket: socket.try_clone()?, deadline };
        timed.set()?;
        let mut stream: Box<dyn Stream> = match url.starts_with("https://") {
            true => self.tls.wrap(socket, endpoint::host(url))?,
            false => Box::new(socket),
        };
        stream.send(&request)?;
        Response::read(BufReader::new(Incoming(stream)), timed)
    }

    fn connect(&self, url: &str) -> Result<TcpStream, HttpError> {
        let usual = if url.starts_with("https://") { 443 } else { 80 };
        let port =
            endpoint::authority(url).rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let addresses = (endpoint::host(url), port.unwrap_or(usual)).to_socket_addrs()?;
        let mut last = broken("the server's name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    let mut state = self.state();
                    if state.stopped {
                        return Err(broken("it was stopped"));
                    }
                    state.current = Some(stream.try_clone()?);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time limits of a connection.
struct Timed {
    socket: TcpStream,
    deadline: Option<Instant>,
}

impl Timed {
    /// Sets the limit of the next read.
    fn set(&self) -> io::Result<()> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.unwrap_or(SILENCE).min(SILENCE);
        if limit.is_zero() {
            return Err(broken("the answer takes too long"));
        }
        self.socket.set_read_timeout(Some(limit))?;
        self.socket.set_write_timeout(Some(limit))
    }
}

/// How much of a body is to come.
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// So many bytes of a chunk, and then more chunks.
    Chunk(u64),
    /// Until the connection ends.
    ToTheEnd,
}

/// A body on its way.
struct Body {
    stream: BufReader<Incoming>,
    timed: Timed,
    left: Left,
}

impl Response {
    fn read(mut stream: BufReader<Incoming>, timed: Timed) -> Result<Response, HttpError> {
        let mut head = (&mut stream).take(MAX_HEAD);
        let (status, headers) = loop {
            timed.set()?;
            let line = read_line(&mut head)?;
            let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
            let status: u16 = status.ok_or_else(|| broken("what answers there isn't HTTP"))?;
            let mut headers = Vec::new();
            loop {
                let line = read_line(&mut head)?;
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            // "Continue" and its like come before the answer.
            if status >= 200 {
                break (status, headers);
            }
        };
        let left = Left::ToTheEnd;
        let mut response = Response { status, headers, body: Body { stream, timed, left } };
        let chunked = header(&response, "transfer-encoding");
        if chunked.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            response.body.left = Left::Chunk(0);
            response.body.next_chunk()?;
        } else if let Some(length) = content_length(&response) {
            response.body.left = Left::Bytes(length);
        } else if matches!(status, 204 | 304) {
            response.body.left = Left::Bytes(0);
        }
        Ok(response)
    }
}

/// One line without its end.
fn read_line(stream: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(broken("the connection broke, or the answer's head is too long"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

impl Body {
    /// Reads the size of the next chunk; after the last one there is nothing left.
    fn next_chunk(&mut self) -> Result<(), HttpError> {
        let mut head = (&mut self.stream).take(MAX_HEAD);
        let line = read_line(&mut head)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        // A sign would be taken for a part of the number.
        let size = u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        let size = size.ok_or_else(|| broken("the answer's chunks make no sense"))?;
        // What follows the last chunk is of no interest, and the connection ends with it.
        self.left = if size == 0 { Left::Bytes(0) } else { Left::Chunk(size) };
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.timed.set()?;
        let (Left::Bytes(left) | Left::Chunk(left)) = self.left else {
            return self.stream.read(to);
        };
        let most = to.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.stream.read(to.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let left = left - count as u64;
        match self.left {
            Left::Chunk(_) if left == 0 => {
                if !read_line(&mut (&mut self.stream).take(2))?.is_empty() {
                    return Err(broken("the answer's chunks make no sense"));
                }
                self.next_chunk()?;
            }
            Left::Chunk(_) => self.left = Left::Chunk(left),
            _ => self.left = Left::Bytes(left),
        }
        Ok(count)
    }
}

/// The status of an answer.
pub fn status(response: &Response) -> u16 {
    response.status
}

/// A header of an answer.
pub fn header(response: &Response, name: &str) -> Option<String> {
    let mut all = response.headers.iter();
    all.find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// How long the body is, if the server says so.
pub fn content_length(response: &Response) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}

/// The body, to be read.
pub fn into_reader(response: Response) -> Box<dyn source::Source> {
    Box::new(response.body)
}

/// When the server sent the answer, by its own clock.
#[cfg(feature = "tls")]
fn date(response: &Response) -> Option<Utc> {
    header(response, "date").as_deref().and_then(Utc::parse_http)
}

/// What it means that reading a body failed.
pub fn broken_off(error: io::Error) -> HttpError {
    error
}

fn broken(what: &'static str) -> HttpError {
    HttpError::other(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server that says this to one client, whatever it asks; and what it was asked.
    fn say(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(byte[0]);
            }
            if asked.starts_with(b"POST") {
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let _ = stream.write_all(answer);
            String::from_utf8(asked).unwrap()
        });
        (url, server)
    }

    fn call(answer: &'static [u8]) -> Result<Answer, NoAnswer> {
        let (url, server) = say(answer);
        let call = Call {
            url: &format!("{url}/agent/status"),
            headers: &[("stint-agent", "a")],
            body: b"1",
            wanted: &["stint-key", "date"],
            patience: Duration::from_secs(20),
            limit: 10,
        };
        let said = Http::trusting(Vec::new()).call(&call);
        let asked = server.join().unwrap();
        assert!(asked.starts_with("POST /agent/status HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
        assert!(asked.contains("connection: close\r\nstint-agent: a\r\ncontent-length: 1\r\n"));
        said
    }

    #[test]
    fn an_answer_may_be_framed_in_any_way() {
        for answer in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nStint-Key: k\r\n\r\nhello, and more".as_slice(),
            b"HTTP/1.0 200 OK\nstint-key: k\n\nhello",
            b"HTTP/1.1 200 OK\r\nStint-Key:k\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nstint-key: k\r\n\r\nhello",
        ] {
            let said = call(answer).unwrap();
            assert_eq!((said.status, said.body.as_str()), (200, "hello"));
            assert_eq!(said.wanted, [Some("k".to_owned()), None]);
        }
        assert_eq!(call(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, "");
    }

    #[test]
    fn a_broken_answer_is_none() {
        for (answer, wanted) in [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".as_slice(), ""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789", "too large"),
            (b"HTTP/1.1 200 OK\r\n\r\n01234567890123456789", "too large"),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\nx",
                "chunks make no sense",
            ),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz\r\n", "broke"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nx", ""),
            (b"SSH-2.0-OpenSSH\r\n", "isn't HTTP"),
            (b"HTTP/1.1 2\r\n\r\n", "isn't HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: y", "connection broke"),
            (b"", "connection broke"),
        ] {
            let error = call(answer).err().unwrap();
            assert!(error.words.contains(wanted), "{}", error.words);
        }
        let endless: &'static [u8] =
            format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(9000)).leak().as_bytes();
        assert!(call(endless).err().unwrap().words.contains("head is too long"));
    }

    #[test]
    fn a_page_is_read_piece_by_piece_and_can_be_given_up() {
        let (url, server) =
            say(b"HTTP/1.1 206 Part\r\nContent-Length: 4\r\nETag: \"e\"\r\n\r\nrest");
        let http = Http::trusting(Vec::new());
        let response = http.get(&format!("{url}/a?b=c#d"), &[("range", "bytes=1-")]).unwrap();
        assert_eq!((status(&response), content_length(&response)), (206, Some(4)));
        assert_eq!(header(&response, "etag").as_deref(), Some("\"e\""));
        assert_eq!(read_all(&mut *into_reader(response), 9).unwrap(), b"rest");
        assert!(server.join().unwrap().starts_with("GET /a?b=c HTTP/1.1\r\n"));
        http.shutdown();
        let (url, _server) = say(b"");
        assert!(http.get(&url, &[]).err().unwrap().to_string().contains("stopped"));
        assert!(http.get("http://h/a b", &[]).is_err());
    }

    #[test]
    fn a_silent_server_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let patience = Duration::from_millis(200);
        let call = Call { url: &url, headers: &[], body: b"", wanted: &[], patience, limit: 1 };
        assert!(Http::trusting(Vec::new()).call(&call).is_err());
    }
}

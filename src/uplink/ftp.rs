//! FTP, as far as a download needs it (RFC 959, RFC 2428, RFC 3659): anonymous, passive, binary,
//! from the byte that is wanted.
//!
//! Nothing protects what comes by it: only a file whose checksum is known may. What a server says
//! is bounded and never believed where it could lead elsewhere: the data come from the host that
//! was asked.

#[cfg(feature = "ssm")]
use super::budget;
use super::download::{Answer, Rest, Trouble};
use super::endpoint;
use crate::patience::Patience;
use crate::remote::RemoteError;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const PORT: u16 = 21;

/// A connection that isn't there in this time won't come.
const CONNECT: Duration = Duration::from_secs(10);

/// A server that says nothing for this long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Between two looks whether the wait is over.
const GLANCE: Duration = Duration::from_millis(500);

/// The longest line of a reply, bytes.
const MAX_LINE: u64 = 1024;

/// The most lines of a reply. Greetings have a dozen.
const MAX_LINES: usize = 100;

/// A file on an FTP server.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    name: String,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    /// Reads `ftp://host[:port]/path`. The path begins where an anonymous user begins.
    ///
    /// # Errors
    /// It is none, or names a user.
    pub fn parse(url: &str) -> Result<Target, RemoteError> {
        let unusable = |why: &str| Err(RemoteError::Unusable(why.to_owned()));
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = endpoint::authority(url);
        if authority.contains('@') {
            return unusable("an FTP URL can't name a user: packages are fetched as anonymous");
        }
        let host = endpoint::host(url);
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port = port.map_or(Some(PORT), |(_, port)| port.parse().ok());
        let path = rest.get(authority.len()..).unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = decoded(path.split(";type=").next().unwrap_or(path));
        match (port, path) {
            (Some(port), Some(path)) if !host.is_empty() && !path.is_empty() => {
                let name = url.to_owned();
                Ok(Target { name, host: host.to_owned(), port, path })
            }
            _ => unusable("an FTP URL is ftp://host:port/path, without control characters"),
        }
    }
}

/// Percent signs undone. `None`: it would hold something that ends a line.
fn decoded(path: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        };
        out.push(byte);
    }
    let out = String::from_utf8(out).ok()?;
    (!out.contains(|c: char| c.is_ascii_control())).then_some(out)
}

/// Asks for a file, or for the rest of it.
///
/// # Errors
/// What the server says, or that it says nothing.
pub fn get(
    target: &Target,
    rest: Option<&Rest>,
    patience: &Patience,
) -> Result<Answer<'static>, Trouble> {
    let broken = |cause: io::Error| {
        Trouble::Passing(RemoteError::Unreachable {
            place: target.name.clone(),
            cause: cause.to_string(),
        })
    };
    let mut session = Session::open(target, patience).map_err(broken)?;
    let refused = |reply: Reply| {
        let error = RemoteError::Refused { place: target.name.clone(), answer: reply.text };
        // RFC 959: 4yz passes, 5yz doesn't.
        if reply.code < 500 { Trouble::Passing(error) } else { Trouble::Final(error) }
    };
    let mut wanted = |command: &str, good: &[u16]| {
        let reply = session.ask(command).map_err(broken)?;
        if good.contains(&reply.code) { Ok(reply) } else { Err(refused(reply)) }
    };
    wanted("", &[220])?;
    if wanted("USER anonymous", &[230, 331])?.code == 331 {
        wanted("PASS stint@", &[230, 202])?;
    }
    wanted("TYPE I", &[200])?;
    let path = &target.path;
    let length = session.fact("SIZE", path).map_err(broken)?;
    let time = session.fact("MDTM", path).map_err(broken)?;
    let length: Option<u64> = length.and_then(|text| text.parse().ok());
    // Without a size nobody could tell a whole file from the beginning of one.
    let validator = length.map(|length| format!("{length} {}", time.unwrap_or_default()));
    let mut from = 0;
    if let Some(rest) = rest.filter(|rest| Some(&rest.validator) == validator.as_ref())
        && session.ask(&format!("REST {}", rest.from)).map_err(broken)?.code == 350
    {
        from = rest.from;
    }
    let data = session.data_connection(patience).map_err(broken)?;
    let reply = session.ask(&format!("RETR {path}")).map_err(broken)?;
    if !matches!(reply.code, 125 | 150) {
        return Err(refused(reply));
    }
    Ok(Answer {
        from: Some(from),
        validator,
        length: length.map(|length| length.saturating_sub(from)),
        #[cfg(feature = "ssm")]
        reader: Box::new(budget::Bounded {
            source: Box::new(Data { data, session, ended: false }),
            counts: true,
        }),
        #[cfg(not(feature = "ssm"))]
        reader: Box::new(Data { data, session, ended: false }),
        in_words: |error| error.to_string(),
    })
}

/// One reply of a server.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    code: u16,
    /// The last line, with the code.
    text: String,
}

/// The connection on which commands go and replies come.
struct Session {
    address: IpAddr,
    input: BufReader<Patient>,
}

impl Session {
    fn open(target: &Target, patience: &Patience) -> io::Result<Session> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in (target.host.as_str(), target.port).to_socket_addrs()? {
            match Patient::connect(address, patience) {
                Ok(stream) => {
                    return Ok(Session { address: address.ip(), input: BufReader::new(stream) });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends a command, if there is one, and waits for its reply.
    fn ask(&mut self, command: &str) -> io::Result<Reply> {
        if !command.is_empty() {
            let line = format!("{command}\r\n");
            self.input.get_mut().stream.write_all(line.as_bytes())?;
        }
        read_reply(&mut self.input)
    }

    /// What the server knows of a file; `None` if it doesn't know, or doesn't know the command.
    fn fact(&mut self, command: &str, path: &str) -> io::Result<Option<String>> {
        let reply = self.ask(&format!("{command} {path}"))?;
        let fact = reply.text.get(4..).map(|text| text.trim().to_owned());
        Ok(fact.filter(|_| reply.code == 213))
    }

    /// Opens the connection on which data come.
    fn data_connection(&mut self, patience: &Patience) -> io::Result<Patient> {
        let reply = self.ask("EPSV")?;
        let port = if reply.code == 229 {
            extended_port(&reply.text)
        } else {
            let reply = self.ask("PASV")?;
            // The address in it is often that of a network behind a router, and could be anybody's.
            passive_port(&reply.text).filter(|_| reply.code == 227)
        };
        let port = port.ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidData, "the server knows neither EPSV nor PASV")
        })?;
        Patient::connect(SocketAddr::new(self.address, port), patience)
    }
}

/// The bytes of a file, and at their end the server's word that they are all.
struct Data {
    data: Patient,
    session: Session,
    ended: bool,
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if self.ended { 0 } else { self.data.read(buffer)? };
        if count == 0 && !self.ended {
            self.ended = true;
            let reply = self.session.ask("")?;
            if !matches!(reply.code, 226 | 250) {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, reply.text));
            }
        }
        Ok(count)
    }
}

/// A connection that is given up after a silence, and when the wait is over.
struct Patient {
    stream: TcpStream,
    patience: Patience,
}

impl Patient {
    fn connect(address: SocketAddr, patience: &Patience) -> io::Result<Patient> {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(CONNECT))?;
        Ok(Patient { stream, patience: patience.clone() })
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match self.stream.read(buffer) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if begun.elapsed() > SILENCE || self.patience.over().is_some() {
                        let why = "the server says nothing any more";
                        return Err(io::Error::new(ErrorKind::TimedOut, why));
                    }
                }
                result => return result,
            }
        }
    }
}

/// Reads one reply, which may have many lines: `123-…` up to `123 …`.
fn read_reply(input: &mut dyn BufRead) -> io::Result<Reply> {
    let wrong = |what| Err(io::Error::new(ErrorKind::InvalidData, what));
    let mut first = None;
    for _ in 0..MAX_LINES {
        let line = read_line(input)?;
        let code = line.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
        let code = code.and_then(|code| code.parse().ok());
        let is_last = line.get(3..4).is_none_or(|after| after == " ");
        match (first, code) {
            (None, None) => return wrong("what answers there speaks no FTP"),
            (None, Some(code)) if is_last => return Ok(Reply { code, text: line }),
            (None, Some(code)) => first = Some(code),
            (Some(begun), Some(code)) if is_last && code == begun => {
                return Ok(Reply { code, text: line });
            }
            _ => {}
        }
    }
    wrong("the server's reply has no end")
}

fn read_line(input: &mut dyn BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        let what = "the server's reply breaks off, or is longer than a line may be";
        return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

/// The port in `229 … (|||6446|)`; any character may be the bar.
fn extended_port(text: &str) -> Option<u16> {
    let inside = text.split_once('(')?.1;
    let bar = inside.chars().next()?;
    let mut parts = inside.split(bar);
    let port = parts.nth(3)?.parse().ok()?;
    parts.next()?;
    Some(port).filter(|port| *port != 0)
}

/// The port in `227 … (h1,h2,h3,h4,p1,p2)`; the parentheses are missing at times.
fn passive_port(text: &str) -> Option<u16> {
    let text = text.get(4..)?;
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let numbers = text.get(from..)?.split(|c: char| !c.is_ascii_digit() && c != ',').next()?;
    let numbers: Option<Vec<u8>> = numbers.split(',').map(|number| number.parse().ok()).collect();
    match numbers?.as_slice() {
        [_, _, _, _, high, low] => {
            Some(u16::from_be_bytes([*high, *low])).filter(|port| *port != 0)
        }
        _ => None,
    }
}

/// For `make fuzz`.
#[cfg(fuzzing)]
pub fn fuzz(text: &str) {
    if let Ok(target) = Target::parse(text) {
        assert!(!target.path.contains(|c: char| c.is_ascii_control()));
    }
    if let Ok(reply) = read_reply(&mut text.as_bytes()) {
        let _ = (extended_port(&reply.text), passive_port(&reply.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(text: &[u8]) -> io::Result<Reply> {
        read_reply(&mut &*text)
    }

    #[test]
    fn a_url_names_host_port_and_path() {
        let target = |url| Target::parse(url).map(|it| (it.host, it.port, it.path));
        let wanted = |host: &str, port, path: &str| (host.to_owned(), port, path.to_owned());
        assert_eq!(target("ftp://h/a/b%20c.rpm;type=i").unwrap(), wanted("h", 21, "a/b c.rpm"));
        assert_eq!(target("ftp://[::1]:2121/%2Fa").unwrap(), wanted("::1", 2121, "/a"));
        for bad in [
            "ftp://h",
            "ftp://h/",
            "ftp:///x",
            "ftp://h:x/y",
            "ftp://h/a%0d%0aDELE b",
            "ftp://h/%",
            "ftp://h/%zz",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
        let error = target("ftp://me:secret@h/x").unwrap_err().to_string();
        assert!(error.contains("can't name a user") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_reply_of_many_lines_ends_with_its_own_code() {
        let text =
            b"220-hello\r\n 220 not yet\r\n221 nor this\r\n220-\r\n220 ready\r\n331 next\r\n";
        assert_eq!(reply(text).unwrap(), Reply { code: 220, text: "220 ready".into() });
        assert_eq!(reply(b"200\n").unwrap().code, 200);
        for bad in [b"HTTP/1.1 400\r\n".as_slice(), b"", b"220 half", b"220-a\r\n", b"22\r\n"] {
            assert!(reply(bad).is_err());
        }
        assert!(reply(&[b"220-a\r\n".as_slice(); MAX_LINES + 1].concat()).is_err());
        assert!(reply(&[b'2'; 5000]).is_err());
    }

    #[test]
    fn ports_are_found_in_both_spellings() {
        assert_eq!(extended_port("229 Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port("229 ok (!!!21!)"), Some(21));
        assert_eq!(extended_port("229 ok (|||65536|)"), None);
        assert_eq!(extended_port("229 ok (|||6446"), None);
        assert_eq!(passive_port("227 Entering Passive Mode (10,0,0,1,4,1)."), Some(1025));
        assert_eq!(passive_port("227 ok 127,0,0,1,0,21"), Some(21));
        assert_eq!(passive_port("227 (1,2,3,4,5)"), None);
        assert_eq!(passive_port("227 (1,2,3,4,256,1)"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_says_makes_the_reader_panic(bytes: Vec<u8>, text: String) {
            let _ = reply(&bytes);
            let _ = extended_port(&text);
            let _ = passive_port(&text);
            let _ = Target::parse(&text);
        }

        #[test]
        fn every_port_comes_back(port in 1u16..) {
            let [high, low] = port.to_be_bytes();
            prop_assert_eq!(passive_port(&format!("227 ok (1,2,3,4,{high},{low})")), Some(port));
            prop_assert_eq!(extended_port(&format!("229 ok (|||{port}|)")), Some(port));
        }

        #[test]
        fn no_path_sends_a_second_command(path: String) {
            let target = Target::parse(&format!("ftp://h/{path}"));
            prop_assert!(target.is_err() || !target.unwrap().path.contains(['\r', '\n', '\0']));
        }
    }
}

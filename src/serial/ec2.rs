//! On an EC2-style instance: the three lines by which amazon-ssm-agent shows itself in the
//! instance's console output, where scripts look for them.

use crate::sys::host::Platform;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use stint_wire::time::Utc;

/// Where the original writes, in this order.
const DEVICES: [&str; 2] = ["/dev/ttyS0", "/dev/hvc0"];

/// The original's speed.
pub const BAUD: u32 = 115_200;

/// The instance metadata service. The variable of AWS's own programs names another one.
const ENDPOINT: &str = "http://169.254.169.254";
const ENDPOINT_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// AWS's own programs don't ask either when this is `true`.
const DISABLED_VARIABLE: &str = "AWS_EC2_METADATA_DISABLED";

/// The service is on the same host as the instance.
const PATIENCE: Duration = Duration::from_secs(1);

/// The consoles of an instance.
pub fn devices() -> Vec<PathBuf> {
    DEVICES.iter().map(PathBuf::from).collect()
}

/// Whether this is an instance whose metadata service answers. Machines that don't look like one
/// are not made to ask an address that isn't there.
pub fn has_metadata() -> bool {
    let named = env::var(ENDPOINT_VARIABLE).ok();
    let disabled = env::var(DISABLED_VARIABLE).is_ok_and(|word| word.eq_ignore_ascii_case("true"));
    if disabled || (named.is_none() && !looks_like_an_instance()) {
        return false;
    }
    answers(named.as_deref().unwrap_or(ENDPOINT))
}

fn looks_like_an_instance() -> bool {
    let starts = |path: &str, with: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.to_ascii_lowercase().starts_with(with))
    };
    starts("/sys/class/dmi/id/sys_vendor", "amazon ec2") || starts("/sys/hypervisor/uuid", "ec2")
}

/// Asks for a session token as IMDSv2 wants it; any answer of success will do.
fn answers(endpoint: &str) -> bool {
    let authority = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let address = match authority.parse::<SocketAddr>() {
        Ok(address) => Some(address),
        Err(_) => (authority, 80).to_socket_addrs().ok().and_then(|mut found| found.next()),
    };
    let ask = |address| {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!(
            "PUT /latest/api/token HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\n\
             X-aws-ec2-metadata-token-ttl-seconds: 60\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        std::io::Result::Ok(status)
    };
    address.is_some_and(|address| ask(address).is_ok_and(|status| status.ends_with(b" 200")))
}

/// The original's lines.
pub fn lines(now: Utc, platform: &Platform) -> String {
    let iso = now.iso();
    let (date, time) = iso.split_once('T').unwrap_or_default();
    let stamp = format!("{} {}Z", date.replace('-', "/"), time.split('.').next().unwrap_or(time));
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let version = env!("STINT_VERSION");
    format!(
        "{stamp}: Amazon SSM Agent v{version} is running\n{stamp}: OsProductName: {}\n\
         {stamp}: OsVersion: {}\n",
        word(&platform.name),
        word(&platform.version)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn the_lines_are_the_originals() {
        let platform =
            Platform { name: Some("Debian GNU/Linux".into()), version: Some("12".into()) };
        let text = lines(Utc(1_795_335_599_123), &platform);
        let version = env!("STINT_VERSION");
        let wanted = format!(
            "2026/11/22 08:19:59Z: Amazon SSM Agent v{version} is running\n\
             2026/11/22 08:19:59Z: OsProductName: Debian GNU/Linux\n\
             2026/11/22 08:19:59Z: OsVersion: 12\n"
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn metadata_is_there_if_it_hands_out_a_token_and_not_if_it_refuses_or_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            for status in ["200 OK", "403 Forbidden"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let count = stream.read(&mut request).unwrap();
                assert!(request[..count].starts_with(b"PUT /latest/api/token HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\nt");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(answers(&endpoint));
        assert!(!answers(&endpoint));
        server.join().unwrap();
        assert!(!answers(&endpoint));
        assert!(!answers("http://not an address"));
    }
}

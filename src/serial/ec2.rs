//! On an EC2-style instance: the three lines by which amazon-ssm-agent shows itself in the
//! instance's console output, where scripts look for them.

use super::State;
use crate::sys::clock;
use crate::sys::host::Platform;
use crate::uplink::ssm::instance::Instance;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use stint_wire::time::Utc;

/// Where the original writes, in this order.
const DEVICES: [&str; 2] = ["/dev/ttyS0", "/dev/hvc0"];

/// The original's speed.
const BAUD: u32 = 115_200;

/// The original tries so often: an instance's network and its ports may come up after the agent.
const TRIES: u32 = 10;

/// Between two tries.
pub const PAUSE: Duration = Duration::from_secs(5);

/// The consoles of an instance.
pub fn devices() -> Vec<PathBuf> {
    DEVICES.iter().map(PathBuf::from).collect()
}

/// Writes the lines to the first of the devices that opens, as soon as the instance's metadata service answers.
/// Waits for it.
pub fn greet(instance: &Instance, devices: &[PathBuf], pause: Duration) {
    let mut complaint = None;
    for tried in 0..TRIES {
        if tried > 0 {
            thread::sleep(pause);
        }
        if instance.answers() {
            let mut console = State::Closed { devices: devices.to_owned(), baud: BAUD };
            match console.say(&lines(clock::system(), &Platform::read())) {
                Ok(()) => return,
                Err(error) => complaint = Some(error),
            }
        }
    }
    if let Some(complaint) = complaint {
        log::warn!("{complaint}");
    }
}

/// The original's lines.
fn lines(now: Utc, platform: &Platform) -> String {
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
    use crate::config::Identity;
    use crate::sys::serial::testing::Pty;
    use std::io::{Read, Write};
    use std::net::TcpListener;

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

    /// A metadata service that answers with these, one after the other, and the instance that asks it.
    fn service(statuses: &'static [&'static str]) -> (thread::JoinHandle<()>, Instance) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let identity = Identity { metadata_endpoint: Some(endpoint), ..Identity::default() };
        let server = thread::spawn(move || {
            for status in statuses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 2048];
                let count = stream.read(&mut request).unwrap();
                assert!(request[..count].starts_with(b"PUT /latest/api/token HTTP/1.1\r\n"));
                let end = "Content-Length: 1\r\nConnection: close\r\n\r\nt";
                stream.write_all(format!("HTTP/1.1 {status}\r\n{end}").as_bytes()).unwrap();
            }
        });
        (server, Instance::wanted(&identity, false).unwrap())
    }

    #[test]
    fn an_instance_is_greeted_once_as_soon_as_its_metadata_service_answers() {
        let pty = Pty::new();
        let (server, instance) = service(&["503 Not Yet", "403 Forbidden", "200 OK"]);
        greet(&instance, &["/dev/none".into(), pty.device().into()], Duration::ZERO);
        server.join().unwrap();
        let text = pty.read(|text| text.matches('\n').count() == 3);
        let version = env!("STINT_VERSION");
        let first = format!("Z: Amazon SSM Agent v{version} is running\r\n");
        assert!(text.contains(&first) && text.contains("Z: OsProductName: "), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn a_port_that_comes_late_is_tried_again_and_a_service_that_is_not_there_is_given_up() {
        let all = &["200 OK"; TRIES as usize];
        let (server, instance) = service(all);
        // Each try asks anew; the service ends when it was asked so often.
        greet(&instance, &["/dev/none".into()], Duration::ZERO);
        server.join().unwrap();
        let pty = Pty::new();
        greet(&instance, &[pty.device().into()], Duration::ZERO);
        assert!(pty.is_silent());
    }
}

//! The way to each server, step by step: the first that fails tells where to look.

use super::{Check, Mark};
use crate::config::Config;
#[cfg(feature = "bootagent")]
use crate::identity::bootagent::BootIdentity;
#[cfg(feature = "bootagent")]
use crate::uplink::bootagent;
use crate::uplink::endpoint;
use crate::uplink::http::{self, Answer, Http};
use crate::uplink::ssm::{Ssm, verdict};
use crate::uplink::{Obstacle, UplinkError};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// How long one address is waited for.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// A clock that is further off than this makes servers refuse signatures, milliseconds.
const SKEW: u64 = 4 * 60 * 1000;

/// `uplink` is the way to Systems Manager, if this device is a node of it.
pub fn checks(config: &Config, state: &Path, uplink: Option<&Ssm>) -> Vec<Check> {
    let mut checks = Vec::new();
    match uplink {
        Some(uplink) => commands(config, uplink, &mut checks),
        None => {
            checks.push(Check::skip("endpoint", "there is no server of Systems Manager to ask"))
        }
    }
    #[cfg(feature = "bootagent")]
    for url in bootagent::servers_of(config, BootIdentity::look(state).as_ref()) {
        if let Some(check) = lookup(&url, &mut checks) {
            checks.push(check);
        }
    }
    #[cfg(not(feature = "bootagent"))]
    let _ = state;
    checks
}

/// The servers of Systems Manager.
fn commands(config: &Config, uplink: &Ssm, checks: &mut Vec<Check>) {
    for url in uplink.urls() {
        let for_channels = uplink.is_for_channels(&url);
        if for_channels && !config.control_channel {
            continue;
        }
        match lookup(&url, checks) {
            Some(fault) => checks.push(fault),
            None => answer(uplink.http(), &url, for_channels, checks),
        }
    }
    let reached = one_answers(checks, &uplink.servers());
    checks.push(match reached {
        true => credentials(uplink),
        false => Check::skip("credentials", "the server can't be reached"),
    });
}

/// Whether one of these servers answers, which is all that a node needs: that others don't is no failure then.
fn one_answers(checks: &mut [Check], servers: &[String]) -> bool {
    let theirs = |check: &Check| check.target.as_ref().is_some_and(|it| servers.contains(it));
    let good = |check: &Check| matches!(check.mark, Mark::Pass | Mark::Warn);
    let found = checks.iter().any(|it| it.name == "endpoint" && good(it) && theirs(it));
    for check in checks.iter_mut().filter(|it| found && it.mark == Mark::Fail && theirs(it)) {
        check.mark = Mark::Warn;
    }
    found
}

/// Name and connection; what failed, if something did.
fn lookup(url: &str, checks: &mut Vec<Check>) -> Option<Check> {
    if let Some((host, port)) = http::proxy_for(url) {
        let target = format!("{host}:{port}");
        let evidence = format!("{target} is the proxy, which looks the name up");
        checks.push(Check::skip("dns", &evidence).of(url));
        let is_it = |it: &&Check| it.name == "proxy" && it.target.as_ref() == Some(&target);
        let known = checks.iter().find(is_it).map(|it| it.mark);
        let mark = known.unwrap_or_else(|| {
            let check = proxy(&host, port).of(&target);
            let mark = check.mark;
            checks.push(check);
            mark
        });
        let skipped = Check::skip("endpoint", "the proxy can't be reached").of(url);
        return (mark == Mark::Fail).then_some(skipped);
    }
    let port = if url.starts_with("https://") { 443 } else { 80 };
    let authority = endpoint::authority(url);
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(port);
    let found = match addresses(endpoint::host(url), port) {
        Ok(found) => found,
        Err(error) => return Some(no_name("dns", &error).of(url)),
    };
    let names: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    checks.push(Check::pass("dns", names.join(", ")).of(url));
    let check = connection("tcp", &found).of(url);
    if check.mark == Mark::Fail {
        return Some(check);
    }
    checks.push(check);
    None
}

/// The proxy itself.
fn proxy(host: &str, port: u16) -> Check {
    match addresses(host, port) {
        Ok(found) => connection("proxy", &found),
        Err(error) => no_name("proxy", &error),
    }
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

fn no_name(name: &'static str, error: &io::Error) -> Check {
    let remedy = "look at /etc/resolv.conf: is a name server there, and can it be reached?";
    Check::new(name, Mark::Fail, error.to_string(), remedy)
}

/// Whether one of the addresses takes connections.
fn connection(name: &'static str, found: &[SocketAddr]) -> Check {
    let mut last = "it has no address".to_owned();
    for address in found {
        match TcpStream::connect_timeout(address, CONNECT) {
            Ok(_) => return Check::pass(name, format!("{address} takes connections")),
            Err(error) => last = error.to_string(),
        }
    }
    let remedy = "is it up, is there a route, does a firewall let the port through?";
    Check::new(name, Mark::Fail, last, remedy)
}

/// Encryption, and who answers.
fn answer(http: &Http, url: &str, for_channels: bool, checks: &mut Vec<Check>) {
    let encrypted = url.starts_with("https://");
    let headers = [("content-type", stint_wire::ssm::CONTENT_TYPE), ("x-amz-target", "AmazonSSM.")];
    let answer = match http.post(url, &headers, b"{}", ANSWER) {
        Ok(answer) => answer,
        Err(error) => {
            let (name, remedy) = match encrypted {
                _ if error.obstacle == Obstacle::Proxy => (
                    "proxy",
                    "is its password right, and may this device go to that host and port?",
                ),
                true if error.obstacle == Obstacle::Certificate => {
                    ("tls", "is the clock right, and the server's authority in `caFile`?")
                }
                true => ("tls", "is it the server's port, and does nobody answer in its place?"),
                false => ("endpoint", "is it a Systems Manager server, and well?"),
            };
            checks.push(Check::new(name, Mark::Fail, error.words, remedy).of(url));
            return;
        }
    };
    checks.push(match encrypted {
        true => Check::pass("tls", "the server's certificate is trusted".to_owned()).of(url),
        false => Check::skip("tls", "plain HTTP").of(url),
    });
    checks.push(judge(&answer, for_channels).of(url));
    if let Some(skew) = answer.date.map(|date| date.0.abs_diff(crate::sys::clock::system().0))
        && skew > SKEW
    {
        let evidence = format!("the server's clock differs by {} s", skew / 1000);
        let remedy = "start a time service; the agent goes by the server's clock meanwhile";
        checks.push(Check::new("clock", Mark::Warn, evidence, remedy).of(url));
    }
}

/// A server of ours refuses what isn't signed, in words that others don't have. The service of channels has other words,
/// and what isn't a page for people passes for it.
fn judge(answer: &Answer, for_channels: bool) -> Check {
    match verdict("diagnose", answer) {
        Err(UplinkError::Refused { .. }) => {
            Check::pass("endpoint", "a Systems Manager server answers".to_owned())
        }
        Err(UplinkError::BadAnswer { .. }) if for_channels => {
            Check::pass("endpoint", format!("it answers with HTTP {}", answer.status))
        }
        Err(UplinkError::Trouble { status, .. }) => {
            let evidence = format!("it answers with HTTP {status}");
            Check::new("endpoint", Mark::Warn, evidence, "the server has trouble of its own: wait")
        }
        // What isn't signed is never granted.
        Ok(()) | Err(_) => {
            let evidence = format!("HTTP {}, and not from a Systems Manager server", answer.status);
            let remedy = "a captive portal or a proxy answers in its place, or the URL is wrong";
            Check::new("endpoint", Mark::Fail, evidence, remedy)
        }
    }
}

fn credentials(uplink: &Ssm) -> Check {
    match uplink.try_credentials() {
        Ok(()) => Check::pass("credentials", "this node has credentials for the server".to_owned()),
        Err(error) => {
            let remedy = match error.is_rejection_of_the_node() {
                true => "it doesn't know this node any more, or by another key: register it anew",
                false => "wait, and look at the server's log",
            };
            Check::new("credentials", Mark::Fail, error.to_string(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_told_by_the_answer() {
        let ask = |status, body: &str| {
            let body = body.to_owned();
            let answer = Answer { status, date: None, wanted: Vec::new(), body };
            (judge(&answer, false).mark, judge(&answer, true).mark)
        };
        assert_eq!(
            ask(400, r#"{"__type":"MissingAuthenticationToken"}"#),
            (Mark::Pass, Mark::Pass)
        );
        // Who has no code for it says so in a message alone.
        assert_eq!(ask(403, r#"{"message":"Missing Token"}"#), (Mark::Fail, Mark::Pass));
        assert_eq!(ask(200, "<html>please log in</html>"), (Mark::Fail, Mark::Fail));
        assert_eq!(ask(302, ""), (Mark::Fail, Mark::Fail));
        assert_eq!(ask(404, "<html>"), (Mark::Fail, Mark::Fail));
        assert_eq!(ask(503, ""), (Mark::Warn, Mark::Warn));
    }

    #[test]
    fn a_failed_connection_is_told_without_the_place_that_the_check_names() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let check = connection("tcp", &[gone]);
        assert_eq!(check.mark, Mark::Fail);
        assert!(!check.evidence.contains("127.0.0.1"), "{}", check.evidence);
    }

    #[test]
    fn of_several_servers_one_that_answers_is_enough() {
        let dead = || Check::new("tcp", Mark::Fail, "refused".to_owned(), "").of("a");
        let well = || Check::pass("endpoint", "it answers".to_owned()).of("b");
        let judge = |mut checks: Vec<Check>, servers: &[&str]| {
            let servers: Vec<String> = servers.iter().map(|url| (*url).to_owned()).collect();
            (one_answers(&mut checks, &servers), checks.remove(0).mark)
        };
        assert_eq!(judge(vec![dead(), well()], &["a", "b"]), (true, Mark::Warn));
        assert_eq!(judge(vec![dead(), well()], &["a"]), (false, Mark::Fail));
        // One that stands for nobody else, such as that of channels.
        assert_eq!(judge(vec![dead(), well()], &["b"]), (true, Mark::Fail));
    }
}

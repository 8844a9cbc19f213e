//! The way to each server, step by step: the first that fails tells where to look.

use super::{Check, Mark};
use crate::config::Config;
use crate::identity::Registration;
use crate::uplink::UplinkError;
use crate::uplink::endpoint::{self, Service};
use crate::uplink::http::{Answer, Http};
use crate::uplink::ssm::{Ssm, verdict};
use std::env;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// How long one address is waited for.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// Where ureq looks for a proxy.
const PROXIES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// A clock that is further off than this makes servers refuse signatures, milliseconds.
const SKEW: u64 = 4 * 60 * 1000;

pub fn checks(config: &Config, state: &Path, registration: Option<Registration>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(registration) = registration {
        let before = checks.len();
        commands(config, &registration, &mut checks);
        let reached = checks.iter().skip(before).all(|check| check.mark != Mark::Fail);
        checks.push(if reached {
            credentials(config, state, registration)
        } else {
            Check::skip("credentials", "the server can't be reached")
        });
    } else {
        checks.push(Check::skip("endpoint", "this device isn't registered with Systems Manager"));
    }
    #[cfg(feature = "bootagent")]
    for url in &config.bootagent.servers {
        if let Some(check) = lookup(config, url, &mut checks) {
            checks.push(check);
        }
    }
    checks
}

/// The servers of Systems Manager.
fn commands(config: &Config, registration: &Registration, checks: &mut Vec<Check>) {
    let registered = registration.endpoint.as_deref();
    let mut urls: Vec<String> = Vec::new();
    for service in [Service::Ssm, Service::Ec2Messages] {
        match endpoint::resolve(service, &registration.region, config, registered) {
            Ok(url) if !urls.contains(&url) => urls.push(url),
            Ok(_) => {}
            Err(error) => {
                let remedy = "name another URL, or allow this one in the configuration";
                checks.push(Check::new("endpoint", Mark::Fail, error.to_string(), remedy));
            }
        }
    }
    let ca_file = config.ca_file.as_deref().or(registration.ca_file.as_deref());
    let all: Vec<&str> = urls.iter().map(String::as_str).collect();
    let http = match Http::new(ca_file, &all) {
        Ok(http) => http,
        Err(error) => {
            let remedy = "put the server's certificate authority there, as PEM";
            checks.push(Check::new("tls", Mark::Fail, error.to_string(), remedy));
            return;
        }
    };
    for url in &urls {
        match lookup(config, url, checks) {
            Some(fault) => checks.push(fault),
            None => answer(&http, url, checks),
        }
    }
}

/// Name and connection; what failed, if something did.
fn lookup(config: &Config, url: &str, checks: &mut Vec<Check>) -> Option<Check> {
    let named = config.proxy.as_ref().map(|_| "the configuration");
    let proxy = named.or_else(|| PROXIES.into_iter().find(|name| env::var_os(name).is_some()));
    if let Some(proxy) = proxy
        && !endpoint::is_loopback(url)
    {
        let evidence = format!("{proxy} names a proxy, which looks the name up");
        checks.push(Check::skip("dns", &evidence).of(url));
        return None;
    }
    let port = if url.starts_with("https://") { 443 } else { 80 };
    let authority = endpoint::authority(url);
    let host = endpoint::host(url);
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(port);
    let found: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            let remedy = "look at /etc/resolv.conf: is a name server there, and can it be reached?";
            return Some(Check::new("dns", Mark::Fail, error.to_string(), remedy).of(url));
        }
    };
    let names: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    checks.push(Check::pass("dns", names.join(", ")).of(url));
    let mut last = "it has no address".to_owned();
    for address in &found {
        match TcpStream::connect_timeout(address, CONNECT) {
            Ok(_) => {
                checks.push(Check::pass("tcp", format!("{address} takes connections")).of(url));
                return None;
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    let remedy = "is the server up, is there a route, does a firewall let the port through?";
    Some(Check::new("tcp", Mark::Fail, last, remedy).of(url))
}

/// Encryption, and who answers.
fn answer(http: &Http, url: &str, checks: &mut Vec<Check>) {
    let encrypted = url.starts_with("https://");
    let headers = [("content-type", stint_wire::ssm::CONTENT_TYPE), ("x-amz-target", "AmazonSSM.")];
    let answer = match http.post(url, &headers, b"{}", ANSWER) {
        Ok(answer) => answer,
        Err(error) => {
            let (name, remedy) = match encrypted {
                true => ("tls", "is the clock right, and the server's authority in `caFile`?"),
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
    checks.push(judge(&answer).of(url));
    if let Some(skew) = answer.date.map(|date| date.0.abs_diff(crate::sys::clock::system().0))
        && skew > SKEW
    {
        let evidence = format!("the server's clock differs by {} s", skew / 1000);
        let remedy = "start a time service; the agent goes by the server's clock meanwhile";
        checks.push(Check::new("clock", Mark::Warn, evidence, remedy).of(url));
    }
}

/// A server of ours refuses what isn't signed, in words that others don't have.
fn judge(answer: &Answer) -> Check {
    match verdict("diagnose", answer) {
        Err(UplinkError::Refused { .. }) => {
            Check::pass("endpoint", "a Systems Manager server answers".to_owned())
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

fn credentials(config: &Config, state: &Path, registration: Registration) -> Check {
    let uplink = match Ssm::new(config, state, registration) {
        Ok(uplink) => uplink,
        Err(error) => return Check::new("credentials", Mark::Fail, error.to_string(), ""),
    };
    match uplink.credentials() {
        Ok(_) => Check::pass("credentials", "the server gives this node credentials".to_owned()),
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
            judge(&Answer { status, date: None, wanted: Vec::new(), body }).mark
        };
        assert_eq!(ask(400, r#"{"__type":"MissingAuthenticationToken"}"#), Mark::Pass);
        assert_eq!(ask(200, "<html>please log in</html>"), Mark::Fail);
        assert_eq!(ask(302, ""), Mark::Fail);
        assert_eq!(ask(404, "<html>"), Mark::Fail);
        assert_eq!(ask(503, ""), Mark::Warn);
    }
}

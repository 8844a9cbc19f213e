//! HTTP for uplinks: one client, small buffers, bounded answers.

use super::endpoint;
use super::resolver::OnThisThread;
use super::socket::{Sockets, Taker, Wire};
use super::source::{Source, read_all};
use super::tls::{self, Authority, CaError, Tls};
use super::{NoAnswer, Obstacle};
use crate::config;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stint_wire::time::Utc;
use ureq::config::{Config, ConfigBuilder};
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Body, Proxy};
use zeroize::Zeroizing;

/// Why there is no answer.
pub type HttpError = ureq::Error;

/// An answer whose body is still to be read.
pub type Response = ureq::http::Response<Body>;

/// An answer larger than this isn't one of ours, bytes. Ten commands of 64 KiB fit in it.
const MAX_ANSWER: u64 = 1024 * 1024;

/// ureq's own 128 KiB each way would be a third of the agent's memory.
const INPUT_BUFFER: usize = 8 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;
const MAX_HEADERS: usize = 8 * 1024;

/// One connection for the poll and one for everything else.
const IDLE_CONNECTIONS: usize = 2;

/// Longer than the pause between two polls, shorter than what middleboxes forget after.
const IDLE_AGE: Duration = Duration::from_secs(30);

/// A connection that isn't there in this time won't come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that sends or takes nothing for this long has gone. Longer than the longest poll.
const SILENCE: Duration = Duration::from_secs(60);

/// The agent's name in `User-Agent`.
const USER_AGENT: &str = concat!("stint/", env!("STINT_VERSION"));

/// The proxy that the configuration names. It is the same for all clients of a process.
static PROXY: OnceLock<Proxy> = OnceLock::new();

/// Goes by this proxy from now on, instead of the environment's.
///
/// # Errors
/// Its URL makes no sense.
pub fn go_by(wish: &config::Proxy) -> Result<(), String> {
    let bad = |_| "proxy.url in the configuration is no URL of a proxy".to_owned();
    let parsed = Proxy::new(&wish.url).map_err(bad)?;
    let proxy = Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    let proxy = parsed.username().into_iter().fold(proxy, |proxy, user| proxy.username(user));
    let proxy = parsed.password().into_iter().fold(proxy, |proxy, word| proxy.password(word));
    let proxy = wish.no_proxy.iter().fold(proxy, |proxy, host| proxy.no_proxy(host));
    let _ = PROXY.set(proxy.build().map_err(bad)?);
    Ok(())
}

/// The proxy on the way to this URL, if there is one: its host and port.
pub fn proxy_for(url: &str) -> Option<(String, u16)> {
    let config = if endpoint::is_loopback(url) { direct() } else { proxied() };
    let proxy =
        config.proxy().filter(|proxy| url.parse().is_ok_and(|uri| !proxy.is_no_proxy(&uri)))?;
    Some((proxy.host().to_owned(), proxy.port()))
}

/// The host of the proxy for what isn't on this machine; empty if there is none.
pub fn proxy_name() -> String {
    proxied().proxy().map_or_else(String::new, |proxy| proxy.host().to_owned())
}

/// The client. Shared by all threads that talk to a server.
pub struct Http {
    direct: Agent,
    proxied: Agent,
    sockets: Sockets,
    tls: Tls,
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
    /// The `Date` header, if it can be read.
    pub date: Option<Utc>,
    /// The values of the wanted headers, in their order.
    pub wanted: Vec<Option<String>>,
    /// The body.
    pub body: String,
}

impl Http {
    /// A client for these servers that trusts the certificate authorities of `ca_file`, or else
    /// the system's. The system's take 400 kB of memory, so they are read only if one of the
    /// servers needs them.
    ///
    /// # Errors
    /// The file named is unreadable or holds no certificate. A system without any is no error;
    /// https then fails with its own words.
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
        Http::over(Tls::trusting(roots))
    }

    fn over(tls: Tls) -> Http {
        let sockets = Sockets::default();
        Http {
            direct: agent(direct(), tls.clone(), sockets.clone()),
            proxied: agent(proxied(), tls.clone(), sockets.clone()),
            sockets,
            tls,
        }
    }

    /// A connection to the server of this URL, as requests would have it: through the proxy, if there is
    /// one, and not yet in TLS.
    ///
    /// # Errors
    /// There is none.
    pub fn connect(&self, url: &str) -> Result<Arc<Wire>, NoAnswer> {
        let taker = Taker::new(endpoint::authority(url));
        let config = if endpoint::is_loopback(url) { direct() } else { proxied() };
        let failed = agent(config, self.tls.clone(), self.sockets.with(&taker)).get(url).call();
        match (taker.taken(), failed) {
            (Some(wire), _) => Ok(wire),
            (None, Err(error)) => Err(no_answer(error)),
            (None, Ok(_)) => Err(no_answer(HttpError::ConnectionFailed)),
        }
    }

    /// The address of this device on its way to the server, or to the proxy, that it has connected to last; `None` before that.
    pub fn own_address(&self) -> Option<IpAddr> {
        self.sockets.own_address()
    }

    /// What puts such a connection into TLS.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The client that uses no proxy, for what is on the same host.
    pub fn direct(&self) -> &Agent {
        &self.direct
    }

    /// The client for this URL.
    pub fn agent_for(&self, url: &str) -> &Agent {
        // A proxy for the way out is never right for the way to this machine.
        if endpoint::is_loopback(url) { &self.direct } else { &self.proxied }
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// There is no answer.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, HttpError> {
        self.in_time(url, &mut || {
            let request = self.agent_for(url).get(url);
            headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value))
                .call()
        })
    }

    /// Sends a request; once more if the server's certificate is of another time than this device,
    /// and the server can say the time.
    ///
    /// # Errors
    /// What `send` says.
    pub fn in_time(
        &self,
        url: &str,
        send: &mut dyn FnMut() -> Result<Response, HttpError>,
    ) -> Result<Response, HttpError> {
        let mut said = send();
        if said.as_ref().is_err_and(tls::is_about_time) && self.is_time_learned(url) {
            said = send();
        }
        let taken = said.as_ref().ok().filter(|said| said.status().is_success());
        if let Some(date) = taken.and_then(date).filter(|_| url.starts_with("https://"))
            && tls::time::heard(date)
        {
            self.is_time_learned(url);
        }
        said
    }

    /// Asks a server for the time, and nothing else. True if this device is wiser now.
    fn is_time_learned(&self, url: &str) -> bool {
        if !tls::time::may_be_asked() {
            return false;
        }
        let asking = Http::over(self.tls.asking_for_the_time());
        let root = format!("https://{}/", endpoint::authority(url));
        let answer = asking.agent_for(url).head(&root).call();
        let time = answer.as_ref().ok().and_then(date).filter(|time| *time >= tls::time::lower());
        let time = time.filter(|time| asking.tls.holds_at(endpoint::host(url), *time));
        time.map(tls::time::adopt).is_some()
    }

    /// Makes everything under way fail, and every request from now on.
    pub fn shutdown(&self) {
        self.direct.clone().shutdown();
        self.proxied.clone().shutdown();
    }

    /// Sends `body` to a server's root and waits for the whole answer, at most `patience`.
    ///
    /// # Errors
    /// There is no answer, in words for people.
    pub fn post(
        &self,
        endpoint: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        self.call(&Call {
            url: &format!("{endpoint}/"),
            headers,
            body,
            wanted: &[],
            patience,
            limit: MAX_ANSWER,
        })
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// There is no answer, in words for people.
    pub fn call(&self, call: &Call<'_>) -> Result<Answer, NoAnswer> {
        let mut send = || {
            let mut request = self.agent_for(call.url).post(call.url);
            for (name, value) in call.headers {
                request = request.header(*name, *value);
            }
            request.config().timeout_global(Some(call.patience)).build().send(call.body)
        };
        let said = self.in_time(call.url, &mut send);
        let response = said.map_err(no_answer)?;
        let date = date(&response);
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wanted = call.wanted.iter().map(|name| text(name).map(str::to_owned)).collect();
        let status = status(&response);
        let body = read_all(&mut *into_reader(response), call.limit + 1);
        // Answers may hold credentials; whoever gets the text wipes that.
        let body = Zeroizing::new(body.map_err(|error| no_answer(broken_off(error)))?);
        if body.len() as u64 > call.limit {
            return Err(no_answer(HttpError::BodyExceedsLimit(call.limit)));
        }
        Ok(Answer { status, date, wanted, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// What it means that there is no answer.
pub fn no_answer(error: HttpError) -> NoAnswer {
    let obstacle = match &error {
        ureq::Error::HostNotFound => Obstacle::Name,
        ureq::Error::Timeout(_) => Obstacle::Silence,
        ureq::Error::ConnectProxyFailed(_) => Obstacle::Proxy,
        ureq::Error::Io(_) if tls::is_about_the_certificate(&error) => Obstacle::Certificate,
        ureq::Error::Io(cause) => Obstacle::of_io(cause),
        _ => Obstacle::Broken,
    };
    NoAnswer { obstacle, words: tls::in_words(&error) }
}

/// The status of an answer.
pub fn status(response: &Response) -> u16 {
    response.status().as_u16()
}

/// A header of an answer.
pub fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// How long the body is, if the server says so.
pub fn content_length(response: &Response) -> Option<u64> {
    response.body().content_length()
}

/// The body, to be read.
pub fn into_reader(response: Response) -> Box<dyn Source> {
    Box::new(response.into_body().into_reader())
}

/// What it means that reading a body failed.
pub fn broken_off(error: std::io::Error) -> HttpError {
    error.into()
}

/// When the server sent the answer, by its own clock.
fn date(response: &Response) -> Option<Utc> {
    header(response, "date").as_deref().and_then(Utc::parse_http)
}

fn settings() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(USER_AGENT)
        .max_redirects(0)
        .input_buffer_size(INPUT_BUFFER)
        .output_buffer_size(OUTPUT_BUFFER)
        .max_response_header_size(MAX_HEADERS)
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(IDLE_AGE)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE))
}

fn direct() -> Config {
    settings().proxy(None).build()
}

fn proxied() -> Config {
    match PROXY.get() {
        Some(proxy) => settings().proxy(Some(proxy.clone())).build(),
        None => settings().build(),
    }
}

fn agent(config: Config, tls: Tls, sockets: Sockets) -> Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(sockets);
    Agent::with_parts(config, connector.chain(tls), OnThisThread)
}

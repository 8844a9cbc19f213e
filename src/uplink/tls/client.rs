//! Whom a connection trusts, and its beginning.

use super::super::clock::certain;
use super::verifier::Verifier;
use super::{Authority, cryptography};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stint_wire::time::Utc;

/// The time by which rustls counts the age of what it keeps of a server. Its own is the standard library's
/// (`sys::clock`).
struct Time;

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(certain().0)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("certain")
    }
}

/// Puts a connection to an https server into TLS.
#[derive(Clone)]
pub struct Tls {
    config: Result<Arc<ClientConfig>, rustls::Error>,
    roots: Arc<RootCertStore>,
    /// The chain of the last server, where the time is asked for.
    chain: Option<Arc<Mutex<Vec<Authority>>>>,
}

impl Tls {
    /// One that trusts these certificate authorities alone.
    pub fn trusting(roots: Vec<Authority>) -> Tls {
        let mut store = RootCertStore::empty();
        // One that rustls can't read is no reason to trust none.
        store.add_parsable_certificates(roots);
        Tls::new(Arc::new(store), None)
    }

    fn new(roots: Arc<RootCertStore>, chain: Option<Arc<Mutex<Vec<Authority>>>>) -> Tls {
        let verifier = Verifier { roots: roots.clone(), asks_for_the_time: chain.is_some() };
        let provider = Arc::new(cryptography());
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Time))
            .with_protocol_versions(rustls::ALL_VERSIONS);
        let config = builder.map(|builder| {
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
            Arc::new(builder.with_no_client_auth())
        });
        Tls { config, roots, chain }
    }

    /// One that trusts the same authorities and may be used for nothing but to ask a server for
    /// the time: its certificate may be of another time than ours.
    pub fn asking_for_the_time(&self) -> Tls {
        Tls::new(self.roots.clone(), Some(Arc::default()))
    }

    /// Whether the server that was asked shows a certificate that is valid at the time it says.
    pub fn holds_at(&self, host: &str, time: Utc) -> bool {
        let Some(chain) = &self.chain else { return false };
        let chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        let verifier = Verifier { roots: self.roots.clone(), asks_for_the_time: false };
        match (chain.split_first(), ServerName::try_from(host)) {
            (Some((server, others)), Ok(name)) => {
                verifier.judge(server, others, &name, time).is_ok()
            }
            _ => false,
        }
    }

    /// The state of a new connection to the host of that name or address.
    pub(in super::super) fn begin(&self, host: &str) -> io::Result<ClientConnection> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::Error::other("the host's name is none that TLS knows"))?;
        let connection = self.config.clone().and_then(|config| ClientConnection::new(config, name));
        connection.map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
    }

    /// The handshake is over.
    pub(in super::super) fn begun(&self, connection: &ClientConnection) {
        if let (Some(kept), Some(chain)) = (&self.chain, connection.peer_certificates()) {
            let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        }
    }

    /// Puts a connection into TLS.
    ///
    /// # Errors
    /// The handshake fails.
    #[cfg(not(feature = "ssm"))]
    pub fn wrap(
        &self,
        mut socket: std::net::TcpStream,
        host: &str,
    ) -> io::Result<Box<dyn super::super::http::Stream>> {
        let mut tls = self.begin(host)?;
        tls.complete_io(&mut socket)?;
        self.begun(&tls);
        Ok(Box::new(rustls::StreamOwned::new(tls, socket)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustls_asks_the_agent_for_the_time_and_not_the_standard_library() {
        let tls = Tls::trusting(Vec::new());
        for tls in [tls.asking_for_the_time(), tls] {
            let config = tls.config.unwrap();
            assert_eq!(format!("{:?}", config.time_provider), "certain");
            let said = config.time_provider.current_time().unwrap();
            assert!(certain().secs() - said.as_secs() < 60);
        }
    }
}

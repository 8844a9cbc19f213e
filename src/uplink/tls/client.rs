//! Whom a connection trusts, and its beginning.

use super::{Authority, cryptography};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Puts a connection to an https server into TLS.
#[derive(Clone)]
pub struct Tls(Result<Arc<ClientConfig>, rustls::Error>);

impl Tls {
    /// One that trusts these certificate authorities alone.
    pub fn trusting(roots: Vec<Authority>) -> Tls {
        let mut store = RootCertStore::empty();
        // One that rustls can't read is no reason to trust none.
        store.add_parsable_certificates(roots);
        let builder = ClientConfig::builder_with_provider(Arc::new(cryptography()))
            .with_protocol_versions(rustls::ALL_VERSIONS);
        Tls(builder
            .map(|builder| Arc::new(builder.with_root_certificates(store).with_no_client_auth())))
    }

    /// The state of a new connection to the host of that name or address.
    pub(super) fn begin(&self, host: &str) -> io::Result<ClientConnection> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::Error::other("the host's name is none that TLS knows"))?;
        let connection = self.0.clone().and_then(|config| ClientConnection::new(config, name));
        connection.map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
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
        Ok(Box::new(rustls::StreamOwned::new(tls, socket)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

//! ureq's connections in rustls.
//!
//! ureq has such a connector itself, which brings TLS 1.2 and rustls's log lines with it, whether
//! wanted or not (decision 0028).

use super::cryptography;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// Puts a connection to an https server into TLS.
#[derive(Clone)]
pub struct Tls(Result<Arc<ClientConfig>, rustls::Error>);

impl Tls {
    /// One that trusts these certificate authorities alone.
    pub fn trusting(roots: Vec<CertificateDer<'static>>) -> Tls {
        let mut store = RootCertStore::empty();
        // One that rustls can't read is no reason to trust none.
        store.add_parsable_certificates(roots);
        let builder = ClientConfig::builder_with_provider(Arc::new(cryptography()))
            .with_protocol_versions(rustls::ALL_VERSIONS);
        Tls(builder
            .map(|builder| Arc::new(builder.with_root_certificates(store).with_no_client_auth())))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Encrypted>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        // What a proxy hands out may be encrypted already: on the way to the proxy.
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        // A literal IPv6 address stands in brackets there.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|_| Error::Tls("the host's name is none that TLS knows"))?;
        let connection = self.0.clone().and_then(|config| ClientConnection::new(config, name));
        let mut tls = connection.map_err(refused)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        tls.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(Encrypted { buffers, stream: StreamOwned::new(tls, socket) })))
    }
}

fn refused(cause: rustls::Error) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// A connection in TLS.
pub struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

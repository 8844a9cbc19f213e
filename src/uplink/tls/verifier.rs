//! Judges a server's certificate, at the time that is certain here and not at the system's.

use super::super::clock::earliest;
use super::{ALGORITHMS, time};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use stint_wire::time::Utc;

/// No chain has more certificates that begin one after the other.
const CHAIN: usize = 8;

/// Trusts these authorities.
#[derive(Debug)]
pub struct Verifier {
    /// The authorities.
    pub roots: Arc<RootCertStore>,
    /// Whether the time is what is asked for: the chain may be of any time from the lower bound on.
    pub asks_for_the_time: bool,
}

impl Verifier {
    /// Whether the chain, the server's own certificate first, is good for `name` at `time`.
    pub fn judge(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        time: Utc,
    ) -> Result<(), Error> {
        let server = ParsedCertificate::try_from(server)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time.secs()));
        let all = ALGORITHMS.all;
        verify_server_cert_signed_by_trust_anchor(&server, &self.roots, others, time, all)?;
        verify_server_name(&server, name)
    }

    /// The same at the first time since the lower bound at which the whole chain is valid.
    fn judge_at_its_time(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let mut at = time::lower().max(earliest());
        for _ in 0..CHAIN {
            match self.judge(server, others, name, at) {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) if not_before.as_secs() > at.secs() => {
                    at = Utc::from_secs(not_before.as_secs())
                }
                decided => return decided,
            }
        }
        Err(CertificateError::NotValidYet.into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _system_time: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.asks_for_the_time {
            true => self.judge_at_its_time(server, others, name)?,
            false => self.judge(server, others, name, time::now())?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

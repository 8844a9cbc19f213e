//! TLS: whom to trust, with which cryptography, and what a failed handshake means.

use rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{CertificateError, SignatureScheme};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stint_wire::time::Utc;
use ureq::tls::{Certificate, PemItem};
use webpki::ring as algs;

/// Where distributions keep their certificate authorities: Debian and OpenWrt, Alpine, Fedora,
/// openSUSE.
const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Why a certificate authority file is of no use.
#[derive(Debug)]
pub enum CaError {
    /// It can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is no certificate in it.
    Empty(PathBuf),
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaError::Unreadable { path, cause } => {
                write!(f, "can't read the CA file {}: {cause}", path.display())
            }
            CaError::Empty(path) => {
                write!(f, "there is no certificate in {}; it must be a PEM file", path.display())
            }
        }
    }
}

impl std::error::Error for CaError {}

/// The certificate authorities of a PEM file.
///
/// # Errors
/// It is unreadable or holds no certificate.
pub fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, CaError> {
    let pem =
        fs::read(path).map_err(|cause| CaError::Unreadable { path: path.to_owned(), cause })?;
    // One bad entry in a bundle of a hundred is no reason to trust none.
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { Err(CaError::Empty(path.to_owned())) } else { Ok(certificates) }
}

/// The system's certificate authorities; none where it has none.
pub fn system_authorities() -> Vec<Certificate<'static>> {
    let found = SYSTEM_CA_FILES.iter().find_map(|path| authorities(Path::new(path)).ok());
    found.unwrap_or_default()
}

/// ring, without what would sign as a TLS client, as nodes prove who they are inside the requests
/// (25 kB), and without Ed25519 certificates, which no public authority issues (10 kB).
pub fn cryptography() -> CryptoProvider {
    CryptoProvider {
        key_provider: &NoClientKeys,
        signature_verification_algorithms: ALGORITHMS,
        ..ring::default_provider()
    }
}

/// rustls's own list for ring but for Ed25519.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algs::ECDSA_P256_SHA256,
        algs::ECDSA_P256_SHA384,
        algs::ECDSA_P384_SHA256,
        algs::ECDSA_P384_SHA384,
        algs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algs::RSA_PKCS1_2048_8192_SHA256,
        algs::RSA_PKCS1_2048_8192_SHA384,
        algs::RSA_PKCS1_2048_8192_SHA512,
        algs::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        algs::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        algs::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        // TLS 1.2 doesn't say the curve with the hash, so each has both.
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[algs::ECDSA_P384_SHA384, algs::ECDSA_P256_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algs::ECDSA_P256_SHA256, algs::ECDSA_P384_SHA256],
        ),
        (SignatureScheme::RSA_PSS_SHA512, &[algs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algs::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algs::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algs::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

/// Loads no key.
#[derive(Debug)]
struct NoClientKeys;

impl KeyProvider for NoClientKeys {
    fn load_private_key(
        &self,
        _key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("stint has no TLS client certificates".to_owned()))
    }
}

/// Why there is no answer, in words for people.
///
/// rustls would name most of its reasons by their `Debug` text, which release builds don't have
/// (docs/BUILDING.md); and a name like `UnknownIssuer` says nothing about the remedy.
pub fn in_words(error: &ureq::Error) -> String {
    let cause = match error {
        ureq::Error::Rustls(cause) => Some(cause),
        ureq::Error::Io(cause) => cause.get_ref().and_then(|cause| cause.downcast_ref()),
        _ => None,
    };
    cause.map_or_else(|| error.to_string(), handshake_in_words)
}

fn handshake_in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate_in_words(reason),
        rustls::Error::InvalidMessage(_) => {
            "what answers there doesn't speak TLS; is it an http port or a captive portal?"
                .to_owned()
        }
        rustls::Error::PeerIncompatible(_) => {
            "the server has no TLS version or cipher in common with this agent".to_owned()
        }
        rustls::Error::PeerMisbehaved(_) => "the server breaks the rules of TLS".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            format!("the server ended the handshake with TLS alert {}", u8::from(*alert))
        }
        other => other.to_string(),
    }
}

fn certificate_in_words(reason: &CertificateError) -> String {
    use CertificateError::*;
    let day = |time: &rustls::pki_types::UnixTime| Utc::from_secs(time.as_secs()).iso();
    let what = match reason {
        UnknownIssuer => {
            return "the server's certificate is signed by an authority that isn't trusted here; \
                    give the authority with `stint register --ca-file` or as caFile in the \
                    configuration"
                .to_owned();
        }
        ExpiredContext { time, not_after } => {
            format!("expired at {}; this device's clock says {}", day(not_after), day(time))
        }
        NotValidYetContext { time, not_before } => {
            format!("is valid from {}; this device's clock says {}", day(not_before), day(time))
        }
        NotValidForNameContext { expected, .. } => {
            format!("is not for the name {}", expected.to_str())
        }
        Expired => "has expired".to_owned(),
        NotValidYet => "is not valid yet".to_owned(),
        NotValidForName => "is for another name".to_owned(),
        Revoked => "has been revoked".to_owned(),
        BadEncoding => "can't be read".to_owned(),
        BadSignature => "has a wrong signature".to_owned(),
        InvalidPurpose | InvalidPurposeContext { .. } => "is not one for servers".to_owned(),
        _ => "can't be verified".to_owned(),
    };
    format!("the server's certificate {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::io;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_refused_certificate_names_what_is_wrong_with_it_and_the_remedy() {
        let name = ServerName::try_from("hub.example").unwrap();
        for (reason, wanted) in [
            (CertificateError::UnknownIssuer, "--ca-file"),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(86_400) },
                "is valid from 1970-01-02T00:00:00.000Z; this device's clock says 1970-01-01",
            ),
            (
                CertificateError::ExpiredContext { time: at(86_400), not_after: at(0) },
                "expired at 1970-01-01",
            ),
            (
                CertificateError::NotValidForNameContext { expected: name, presented: vec![] },
                "is not for the name hub.example",
            ),
            (CertificateError::UnhandledCriticalExtension, "can't be verified"),
        ] {
            let error = rustls::Error::InvalidCertificate(reason);
            // ureq hands an error of the handshake on in this wrapping.
            let error = ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error));
            let words = in_words(&error);
            assert!(words.contains(wanted), "{words}");
        }
    }

    #[test]
    fn a_port_without_tls_is_told_from_a_bad_certificate() {
        let error = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(in_words(&ureq::Error::Rustls(error)).contains("doesn't speak TLS"));
        let error = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert!(in_words(&ureq::Error::Rustls(error)).contains("alert 40"));
        assert_eq!(in_words(&ureq::Error::HostNotFound), ureq::Error::HostNotFound.to_string());
    }
}

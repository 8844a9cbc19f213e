//! TLS: whom to trust, with which cryptography, and what a failed handshake means.

mod client;
#[cfg(feature = "ssm")]
mod connector;
mod pem;
pub mod time;
mod verifier;
mod words;

pub use client::Tls;
#[cfg(feature = "ssm")]
pub use words::is_about_the_certificate;
pub use words::{in_words, is_about_time};

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use webpki::ring as algs;

/// Where distributions keep their certificate authorities: Debian and OpenWrt, Alpine, Fedora,
/// openSUSE.
const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Whether this build can speak TLS.
pub const BUILT_IN: bool = true;

/// A certificate authority.
pub type Authority = CertificateDer<'static>;

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
pub fn authorities(path: &Path) -> Result<Vec<Authority>, CaError> {
    let pem =
        fs::read(path).map_err(|cause| CaError::Unreadable { path: path.to_owned(), cause })?;
    let certificates = pem::certificates(&String::from_utf8_lossy(&pem));
    if certificates.is_empty() { Err(CaError::Empty(path.to_owned())) } else { Ok(certificates) }
}

/// The system's certificate authorities; none where it has none.
pub fn system_authorities() -> Vec<Authority> {
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

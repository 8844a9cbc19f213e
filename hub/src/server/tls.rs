//! The server's certificate: from files that somebody else renews, or the hub's own.

use super::self_signed;
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use stint_wire::time::Utc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// How often the certificate is looked at again. ACME clients renew weeks before the end.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(3600);

/// Where the certificate comes from.
pub enum Source {
    /// PEM files, a certificate chain and its key.
    Files {
        /// The chain, the server's certificate first.
        cert: PathBuf,
        /// PKCS#8, PKCS#1 or SEC1.
        key: PathBuf,
    },
    /// Made by the hub's own authority.
    SelfSigned {
        /// The data directory, which holds the authority.
        dir: DataDir,
        /// Names and addresses that clients will dial.
        names: Vec<String>,
    },
}

/// The certificate in use, renewed while the hub runs.
pub struct Tls {
    source: Source,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Loads the certificate, making it if it is the hub's own.
    ///
    /// # Errors
    /// When a file is missing, unreadable or doesn't fit the other.
    pub fn load(source: Source, now: Utc) -> Result<Tls, StartError> {
        let current = RwLock::new(Arc::new(source.config(now)?));
        Ok(Tls { source, current })
    }

    /// What new connections use.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the source again. What can't be loaded now leaves the old certificate in use.
    pub fn reload(&self, now: Utc) {
        match self.source.config(now) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
            }
            Err(error) => tracing::error!(%error, "can't renew the server's certificate"),
        }
    }
}

impl Source {
    fn config(&self, now: Utc) -> Result<ServerConfig, StartError> {
        match self {
            Source::Files { cert, key } => from_files(cert, key),
            Source::SelfSigned { dir, names } => {
                let files = self_signed::ensure(dir, names, now)?;
                from_files(&files.cert, &files.key)
            }
        }
    }
}

fn from_files(cert: &Path, key: &Path) -> Result<ServerConfig, StartError> {
    let bad = |path: &Path, what: String| {
        StartError::new(
            format!("can't use {}: {what}", path.display()),
            "name a PEM certificate chain with --tls-cert and its key with --tls-key",
        )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| bad(cert, e.to_string()))?;
    if chain.is_empty() {
        return Err(bad(cert, "there is no certificate in it".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, e.to_string()))?;
    let unusable = |e: rustls::Error| bad(cert, e.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A device that comes back resumes with a fraction of the traffic; tickets need no memory
    // here.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_refused_by_name() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let names = ["localhost".to_owned()];
        let files = self_signed::ensure(&dir, &names, Utc(1_795_335_599_123)).unwrap();
        assert!(from_files(&files.cert, &files.key).is_ok());
        let swapped = from_files(&files.key, &files.cert).err().unwrap().to_string();
        assert!(swapped.contains("server-key.pem"), "{swapped}");
        let other = from_files(&files.cert, &dir.file(self_signed::CA_KEY)).err().unwrap();
        assert!(other.to_string().contains("server.pem"), "{other}");
        let missing = from_files(Path::new("/nonexistent.pem"), &files.key).err().unwrap();
        assert!(missing.to_string().contains("/nonexistent.pem"), "{missing}");
    }
}

//! In place of `tls/` in a build without TLS: nobody is trusted, and https is refused before
//! anything is sent ([`super::endpoint::allowed`]).

use std::fmt;
use std::path::Path;
use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

/// Whether this build can speak TLS.
pub const BUILT_IN: bool = false;

/// A certificate authority. There is none.
#[derive(Clone)]
pub enum Authority {}

/// Hands connections on as they are.
#[derive(Clone, Debug)]
pub struct Tls;

impl Tls {
    /// Trusts nobody.
    pub fn trusting(_roots: Vec<Authority>) -> Tls {
        Tls
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = In;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<In>, Error> {
        // A redirect may lead there.
        if details.needs_tls() { Err(Error::TlsRequired) } else { Ok(chained) }
    }
}

/// Why a certificate authority file is of no use. It isn't looked at.
#[derive(Debug)]
pub enum CaError {}

impl fmt::Display for CaError {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for CaError {}

/// None: without TLS nobody shows a certificate.
///
/// # Errors
/// None.
pub fn authorities(_path: &Path) -> Result<Vec<Authority>, CaError> {
    Ok(Vec::new())
}

/// None.
pub fn system_authorities() -> Vec<Authority> {
    Vec::new()
}

/// Why there is no answer, in words for people.
pub fn in_words(error: &Error) -> String {
    match error {
        Error::TlsRequired => "it needs TLS, which this stint was built without".to_owned(),
        error => error.to_string(),
    }
}

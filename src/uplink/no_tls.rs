//! In place of `tls/` in a build without TLS: nobody is trusted, and https is refused before
//! anything is sent ([`super::endpoint::allowed`]).

use super::http::Stream;
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::path::Path;

/// Whether this build can speak TLS.
pub const BUILT_IN: bool = false;

/// A certificate authority. There is none.
#[derive(Clone)]
pub enum Authority {}

/// Makes no connection secure.
#[derive(Clone, Debug)]
pub struct Tls;

impl Tls {
    /// Trusts nobody.
    pub fn trusting(_roots: Vec<Authority>) -> Tls {
        Tls
    }

    /// Refuses: a redirect may lead here.
    ///
    /// # Errors
    /// Always.
    pub fn wrap(&self, _socket: TcpStream, _host: &str) -> io::Result<Box<dyn Stream>> {
        Err(io::Error::other("it needs TLS, which this stint was built without"))
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
pub fn in_words(error: &io::Error) -> String {
    error.to_string()
}

//! Where the agent's own new versions come from: texts that are read whole, and a program.

use super::client::Client;
use super::fetch::{Trouble, again, fetch};
use super::{endpoint, page};
use crate::config::Config;
use crate::patience::Patience;
use crate::remote::{Page, Place, RemoteError};
use std::path::PathBuf;

/// The way to them.
pub struct Releases {
    client: Client,
    plain: bool,
}

impl Releases {
    /// As the configuration has it, with the certificate authorities of `ca_file` besides the
    /// system's.
    pub fn new(config: &Config, ca_file: Option<PathBuf>) -> Releases {
        Releases { client: Client::new(ca_file), plain: config.allow_plain_http }
    }

    /// Gets a short text.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn text(&self, url: &str, patience: &Patience) -> Result<String, RemoteError> {
        let page = self.page(url)?;
        again(patience, &mut || {
            let read: Result<String, Trouble> =
                self.client.run(patience, &mut |http| page::read(http, &page));
            (read, false)
        })
    }

    /// Gets a file into its place.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn file(
        &self,
        url: &str,
        place: &Place<'_>,
        patience: &Patience,
    ) -> Result<(), RemoteError> {
        let page = self.page(url)?;
        fetch(&self.client, page::bare(url), place, patience, &mut |http, rest| {
            page::ask(http, &page, rest)
        })
    }

    fn page<'a>(&self, url: &'a str) -> Result<Page<'a>, RemoteError> {
        let plain = url.starts_with("http://");
        if plain && !self.plain && !endpoint::is_loopback(url) {
            let refused = endpoint::UrlRefused::PlainHttp(page::bare(url).to_owned());
            return Err(RemoteError::Unusable(refused.to_string()));
        }
        Ok(Page { url, authorization: None, accept: None, plain })
    }
}

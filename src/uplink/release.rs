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

    /// Gets a short text from the first of these places that can be reached; which one that was, and the text.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn text<'a>(
        &self,
        urls: &'a [String],
        patience: &Patience,
    ) -> Result<(&'a str, String), RemoteError> {
        let pages = urls.iter().map(|url| self.page(url)).collect::<Result<Vec<_>, _>>()?;
        again(patience, &mut || {
            let nobody = RemoteError::NoServer("there is nobody to ask".to_owned());
            let mut said = Err(Trouble::Final(nobody));
            for page in &pages {
                let read: Result<String, Trouble> =
                    self.client.run(patience, &mut |http| page::read(http, page));
                said = read.map(|text| (page.url, text));
                if !matches!(said, Err(Trouble::Passing(_))) {
                    break;
                }
            }
            (said, false)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_place_that_is_gone_is_passed_over_and_one_that_says_no_is_not() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = server.local_addr().unwrap();
        let answers = thread::spawn(move || {
            for answer in
                ["200 OK\r\ncontent-length: 2\r\n\r\nhi", "404 No\r\ncontent-length: 0\r\n\r\n"]
            {
                let (mut client, _) = server.accept().unwrap();
                let _ = client.read(&mut [0; 4096]).unwrap();
                write!(client, "HTTP/1.1 {answer}").unwrap();
            }
        });
        let releases = Releases::new(&Config::default(), None);
        let patience = Patience::of_time(Duration::from_secs(60));
        let urls = [gone, there].map(|at| format!("http://{at}/manifest.json"));
        let (url, text) = releases.text(&urls, &patience).unwrap();
        assert_eq!((url, text.as_str()), (urls[1].as_str(), "hi"));
        let urls = [there, gone].map(|at| format!("http://{at}/manifest.json"));
        let refused = releases.text(&urls, &patience).unwrap_err().to_string();
        assert!(refused.contains("404"), "{refused}");
        answers.join().unwrap();
    }
}

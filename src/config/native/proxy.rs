//! The object `proxy`: the way out, where there is no other.

use super::super::{ConfigError, Proxy};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["url", "noProxy"];

/// Reads the object.
pub fn read(reader: &Reader<'_>, node: &Node) -> Result<Proxy, ConfigError> {
    let mut proxy = Proxy { url: String::new(), no_proxy: Vec::new() };
    let wanted = "a proxy's URL, such as \"http://user:password@proxy.example:3128\"";
    for (name, node) in reader.members("proxy", node, KEYS)? {
        if name == "url" {
            proxy.url = reader.text("proxy.url", node, wanted, is_proxy)?;
        } else {
            proxy.no_proxy = reader.words("proxy.noProxy", node)?;
        }
    }
    match proxy.url.is_empty() {
        true => Err(reader.bad("proxy.url", node, wanted)),
        false => Ok(proxy),
    }
}

fn is_proxy(url: &str) -> bool {
    let place = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let host = place.rsplit('@').next().unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && !place.contains(['/', '?', '#', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    fn parse(text: &str) -> Result<Option<Proxy>, String> {
        let root = json::parse(text).map_err(|error| error.to_string())?;
        let config = super::super::read(Path::new("agent.json"), &root);
        config.map(|config| config.proxy).map_err(|error| error.to_string())
    }

    #[test]
    fn a_proxy_has_a_url_and_hosts_that_it_is_not_for() {
        let url = "http://me:a%20b@proxy:3128";
        let read = parse(&format!(
            r#"{{"proxy": {{"url": "{url}", "noProxy": ["hub.example", "*.lan"]}}}}"#
        ));
        let no_proxy = vec!["hub.example".to_owned(), "*.lan".to_owned()];
        assert_eq!(read.unwrap(), Some(Proxy { url: url.to_owned(), no_proxy }));
        assert_eq!(parse("{}").unwrap(), None);
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_password() {
        for url in ["https://p", "p:3128", "http://", "http://me:secret@", "http://me:secret@p/x"] {
            let error = parse(&format!(r#"{{"proxy": {{"url": "{url}"}}}}"#)).unwrap_err();
            assert!(error.contains("\"proxy.url\" must be a proxy's URL"), "{error}");
            assert!(!error.contains("secret"));
        }
        assert!(parse(r#"{"proxy": {}}"#).unwrap_err().contains("proxy.url"));
        assert!(parse(r#"{"proxy": {"user": "x"}}"#).unwrap_err().contains("proxy.user"));
    }
}

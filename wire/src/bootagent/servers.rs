//! Lists of servers: `host:port,host`, the founding page's spelling, with or without a scheme.

/// The longest list, servers. A node that has to try more on one report would be at it for minutes.
pub const MAX_SERVERS: usize = 16;

/// The URLs of a list, each a scheme and a host with its port if one is named. Empty entries are
/// dropped; without a scheme it is plain HTTP, or HTTPS if `tls`.
///
/// # Errors
/// The entry that is no server, or the whole list if it is too long.
pub fn parse(list: &str, tls: bool) -> Result<Vec<String>, String> {
    let mut servers = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (scheme, rest) = match entry.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some(_) => return Err(entry.to_owned()),
            None => (if tls { "https" } else { "http" }, entry),
        };
        let host = rest.trim_end_matches('/');
        if !is_host(host) || servers.len() == MAX_SERVERS {
            return Err(entry.to_owned());
        }
        servers.push(format!("{scheme}://{host}"));
    }
    Ok(servers)
}

/// `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let in_brackets = text.starts_with('[');
    let valid = |b: u8| {
        let plain = b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if in_brackets { b == b':' || b == b'.' || b.is_ascii_hexdigit() } else { plain }
    };
    let port = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    port && (1..=253).contains(&host.len()) && host.bytes().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_the_founding_page_becomes_urls() {
        let parse = |list| parse(list, false).unwrap();
        assert_eq!(parse("192.168.9.1:1234,"), ["http://192.168.9.1:1234"]);
        assert_eq!(
            parse(" a:1, https://b/ ,http://[fe80::1]:2,,[::1]"),
            ["http://a:1", "https://b", "http://[fe80::1]:2", "http://[::1]"]
        );
        assert_eq!(parse(","), Vec::<String>::new());
        assert_eq!(super::parse("a", true).unwrap(), ["https://a"]);
    }

    #[test]
    fn what_is_no_server_is_named() {
        for list in
            ["a:0", "a:65536", "a:", "a b", "ftp://a", "a/b", "http://", "[::1", "[::1]x", "a:+1"]
        {
            assert_eq!(parse(&format!("ok,{list}"), false).unwrap_err(), list);
        }
        assert_eq!(parse(&"a,".repeat(17), false).unwrap_err(), "a");
    }

    proptest! {
        #[test]
        fn what_was_read_reads_the_same(list in "[a-z0-9:,./\\[\\]-]{0,40}", tls: bool) {
            if let Ok(servers) = parse(&list, tls) {
                prop_assert_eq!(parse(&servers.join(","), !tls), Ok(servers));
            }
        }
    }
}

//! Where each service is.

use super::tls;
use crate::config::{Config, Endpoints};
use std::fmt;
#[cfg(feature = "bootagent")]
use std::net::ToSocketAddrs;

/// The services of Systems Manager that a node talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Registration, credentials, health.
    Ssm,
    /// Commands by polling.
    Ec2Messages,
    /// Commands and sessions by websocket.
    SsmMessages,
    /// What only a hub answers; at the same place as `Ssm`.
    #[cfg(any(feature = "audit", feature = "session"))]
    Hub,
}

impl Service {
    /// The name in host names and credential scopes.
    pub fn name(self) -> &'static str {
        match self {
            Service::Ssm => stint_wire::ssm::SERVICE,
            Service::Ec2Messages => stint_wire::ec2messages::SERVICE,
            Service::SsmMessages => stint_wire::mgs::SERVICE,
            #[cfg(any(feature = "audit", feature = "session"))]
            Service::Hub => stint_wire::ssm::SERVICE,
        }
    }

    /// The prefix of `X-Amz-Target`, which `SsmMessages` doesn't know.
    pub fn target_prefix(self) -> &'static str {
        match self {
            Service::Ssm => stint_wire::ssm::TARGET_PREFIX,
            Service::Ec2Messages => stint_wire::ec2messages::TARGET_PREFIX,
            Service::SsmMessages => "",
            #[cfg(any(feature = "audit", feature = "session"))]
            Service::Hub => stint_wire::audit::TARGET_PREFIX,
        }
    }
}

/// Why no request goes to a URL.
#[derive(Debug, PartialEq, Eq)]
pub enum UrlRefused {
    /// It is plain HTTP and leads off this machine, which nobody has allowed.
    PlainHttp(String),
    /// It is https, and this build can't speak it.
    NoTls(String),
}

impl fmt::Display for UrlRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlRefused::PlainHttp(url) => write!(
                f,
                "{url} is plain HTTP and not on this machine; use https, or say \
                 \"allowPlainHttp\": true in the configuration"
            ),
            UrlRefused::NoTls(url) => write!(
                f,
                "{url} needs TLS, which this stint was built without (its feature is \"tls\")"
            ),
        }
    }
}

impl std::error::Error for UrlRefused {}

/// The domain of all other regions' hosts.
const MAIN_DOMAIN: &str = "amazonaws.com";

/// Prefixes of regions whose hosts are in a domain of their own.
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-de-", "amazonaws.eu"),
];

/// The URL of a service, without a trailing slash: the configuration's, else the one given when
/// registering, else AWS's.
///
/// # Errors
/// See [`UrlRefused`].
pub fn resolve(
    service: Service,
    region: &str,
    config: &Config,
    registered: Option<&str>,
) -> Result<String, UrlRefused> {
    let Endpoints { all, ssm, ec2messages, ssmmessages, .. } = &config.endpoints;
    let own = match service {
        Service::Ssm => ssm,
        Service::Ec2Messages => ec2messages,
        Service::SsmMessages => ssmmessages,
        #[cfg(any(feature = "audit", feature = "session"))]
        Service::Hub => ssm,
    };
    let url = match own.as_deref().or(all.as_deref()).or(registered) {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => aws(service, region),
    };
    allowed(url, config)
}

/// The URL, if the configuration lets requests go there.
///
/// # Errors
/// See [`UrlRefused`].
pub fn allowed(url: String, config: &Config) -> Result<String, UrlRefused> {
    if url.starts_with("http://") && !is_loopback(&url) && !config.allow_plain_http {
        return Err(UrlRefused::PlainHttp(url));
    }
    if url.starts_with("https://") && !tls::BUILT_IN {
        return Err(UrlRefused::NoTls(url));
    }
    Ok(url)
}

fn aws(service: Service, region: &str) -> String {
    at_aws(service.name(), region)
}

/// The URL of a service at AWS.
pub fn at_aws(service: &str, region: &str) -> String {
    format!("https://{service}.{region}.{}", domain(region))
}

/// The domain of a region's hosts.
pub fn domain(region: &str) -> &'static str {
    let own = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix));
    own.map_or(MAIN_DOMAIN, |(_, domain)| domain)
}

/// All domains in which AWS has hosts.
pub fn domains() -> impl Iterator<Item = &'static str> {
    std::iter::once(MAIN_DOMAIN).chain(DOMAINS.iter().map(|(_, domain)| *domain))
}

/// Whether a URL's host is one of AWS's.
pub fn is_at_aws(url: &str) -> bool {
    let host = host(url).trim_end_matches('.').to_ascii_lowercase();
    let below = |domain| host.strip_suffix(domain).is_some_and(|rest: &str| rest.ends_with('.'));
    domains().any(|domain| host == domain || below(domain))
}

/// The host and port of a URL, as the `Host` header has them.
pub fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// The host of a URL, without port and brackets.
pub fn host(url: &str) -> &str {
    let authority = authority(url);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// The first address of a URL's host. A name is looked up.
#[cfg(feature = "bootagent")]
pub fn peer(url: &str) -> Option<std::net::IpAddr> {
    let mut found = (host(url), 0).to_socket_addrs().ok()?;
    found.next().map(|address| address.ip())
}

/// Whether a URL's host is this machine, by its spelling: no name is looked up.
pub fn is_loopback(url: &str) -> bool {
    let host = host(url);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(all(test, not(feature = "tls")))]
mod tests_without_tls {
    use super::*;

    #[test]
    fn https_is_refused_with_the_reason() {
        let refused = allowed("https://hub".to_owned(), &Config::default()).unwrap_err();
        let wanted = "https://hub needs TLS, which this stint was built without";
        assert!(refused.to_string().starts_with(wanted), "{refused}");
        assert!(allowed("http://127.0.0.1:1".to_owned(), &Config::default()).is_ok());
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_where_the_nearest_word_says() {
        let mut config = Config::default();
        let url = |config: &Config, registered| {
            resolve(Service::Ssm, "eu-west-1", config, registered).unwrap()
        };
        assert_eq!(url(&config, None), "https://ssm.eu-west-1.amazonaws.com");
        assert_eq!(url(&config, Some("https://hub/")), "https://hub");
        config.endpoints.all = Some("https://all".into());
        assert_eq!(url(&config, Some("https://hub")), "https://all");
        config.endpoints.ssm = Some("https://own".into());
        assert_eq!(url(&config, Some("https://hub")), "https://own");
        assert_eq!(
            resolve(Service::Ec2Messages, "eu-west-1", &config, None).unwrap(),
            "https://all"
        );
        assert_eq!(
            aws(Service::Ec2Messages, "cn-north-1"),
            "https://ec2messages.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(aws(Service::Ssm, "us-isob-east-1"), "https://ssm.us-isob-east-1.sc2s.sgov.gov");
    }

    #[test]
    fn plain_http_leaves_the_machine_only_when_allowed() {
        let mut config = Config::default();
        let ask = |config: &Config, url| resolve(Service::Ssm, "r", config, Some(url));
        for url in
            ["http://127.0.0.1:7400", "http://[::1]:7400", "http://localhost", "http://127.8.8.8"]
        {
            assert!(ask(&config, url).is_ok(), "{url}");
        }
        for url in
            ["http://10.0.0.1", "http://localhost.evil.example", "http://127.0.0.1.nip.io:80"]
        {
            assert!(ask(&config, url).unwrap_err().to_string().contains("allowPlainHttp"), "{url}");
        }
        config.allow_plain_http = true;
        assert!(ask(&config, "http://10.0.0.1").is_ok());
    }

    #[test]
    fn every_domain_of_aws_is_known_and_no_other() {
        for region in
            ["eu-west-1", "cn-north-1", "us-isob-east-1", "us-iso-east-1", "eusc-de-east-1"]
        {
            assert!(is_at_aws(&aws(Service::Ssm, region)), "{region}");
        }
        assert!(domains().all(|domain| is_at_aws(&format!("https://S3.{domain}.:443/x"))));
        for other in ["https://hub", "https://ssm.amazonaws.com.example", "https://xamazonaws.com"]
        {
            assert!(!is_at_aws(other), "{other}");
        }
    }

    #[test]
    fn a_host_is_found_in_every_kind_of_url() {
        assert_eq!(host("https://hub.example:7400"), "hub.example");
        assert_eq!(host("http://[::1]:7400"), "::1");
        assert_eq!(authority("http://[::1]:7400/x"), "[::1]:7400");
    }
}

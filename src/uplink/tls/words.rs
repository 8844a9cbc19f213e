//! What a failed request means, in words for people.

use super::super::http::{self, HttpError};
use rustls::{AlertDescription, CertificateError};
use std::io;
use stint_wire::time::Utc;

#[cfg(feature = "tls12")]
const NOTHING_IN_COMMON: &str = "the server has no TLS version or cipher in common with this agent";

#[cfg(not(feature = "tls12"))]
const NOTHING_IN_COMMON: &str = "the server doesn't speak TLS 1.3, and this agent was built without \
                                 TLS 1.2 (feature tls12)";

/// Why there is no answer, in words for people.
///
/// rustls would name most of its reasons by their `Debug` text, which release builds don't have
/// (docs/BUILDING.md); and a name like `UnknownIssuer` says nothing about the remedy.
#[cfg(feature = "ssm")]
pub fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(cause) => io_in_words(cause),
        ureq::Error::Timeout(_) => "no answer came in time".to_owned(),
        ureq::Error::ConnectProxyFailed(why) => {
            let proxy = http::proxy_name();
            match why.contains("407") {
                true => format!("the proxy {proxy} wants another user or password (HTTP 407)"),
                false => format!("the proxy {proxy} lets nothing through: {why}"),
            }
        }
        _ => error.to_string(),
    }
}

/// The same of a build without ureq.
#[cfg(not(feature = "ssm"))]
pub fn in_words(error: &io::Error) -> String {
    io_in_words(error)
}

/// Whether the server's certificate is good but for the time.
pub fn is_about_time(error: &HttpError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    #[cfg(feature = "ssm")]
    let HttpError::Io(error) = error else { return false };
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(
        cause,
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        ))
    )
}

/// Whether the server's certificate is what is wrong.
#[cfg(feature = "ssm")]
pub fn is_about_the_certificate(error: &HttpError) -> bool {
    let HttpError::Io(error) = error else { return false };
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

fn io_in_words(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.map_or_else(|| error.to_string(), handshake_in_words)
}

fn handshake_in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate_in_words(reason),
        rustls::Error::InvalidMessage(_) => {
            "what answers there doesn't speak TLS; is it an http port or a captive portal?"
                .to_owned()
        }
        rustls::Error::PeerIncompatible(_) => NOTHING_IN_COMMON.to_owned(),
        rustls::Error::PeerMisbehaved(_) => "the server breaks the rules of TLS".to_owned(),
        // What servers of TLS 1.2 answer to one who wants 1.3.
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            NOTHING_IN_COMMON.to_owned()
        }
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
            format!("expired at {}; this device takes it to be {}", day(not_after), day(time))
        }
        NotValidYetContext { time, not_before } => {
            format!("is valid from {}; this device takes it to be {}", day(not_before), day(time))
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
    use std::time::Duration;

    /// As the connector hands an error of the handshake on.
    fn wrapped(error: rustls::Error) -> crate::uplink::http::HttpError {
        crate::uplink::http::broken_off(io::Error::new(io::ErrorKind::InvalidData, error))
    }

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
                "is valid from 1970-01-02T00:00:00.000Z; this device takes it to be 1970-01-01",
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
            let words = in_words(&wrapped(error));
            assert!(words.contains(wanted), "{words}");
        }
    }

    #[test]
    fn a_port_without_tls_is_told_from_a_bad_certificate() {
        let error = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(in_words(&wrapped(error)).contains("doesn't speak TLS"));
        let error = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert!(in_words(&wrapped(error)).contains("alert 40"));
        let other = crate::uplink::http::broken_off(io::Error::other("no such host"));
        assert!(in_words(&other).contains("no such host"));
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn silence_and_a_proxys_no_are_told_in_our_words() {
        let said = |error: ureq::Error| in_words(&error);
        assert_eq!(said(ureq::Error::Timeout(ureq::Timeout::Global)), "no answer came in time");
        let no = |status| said(ureq::Error::ConnectProxyFailed(format!("it said {status}")));
        assert!(no(407).contains("another user or password") && no(407).contains("407"));
        assert!(no(403).contains("lets nothing through: it said 403"));
    }
}

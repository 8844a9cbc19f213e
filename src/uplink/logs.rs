//! CloudWatch Logs: a file's text as the events of a log stream.

use super::UplinkError;
use super::client::Client;
use super::clock::Clock;
use super::endpoint;
use super::fetch::{Trouble, again};
use super::http::Http;
use super::s3_sign::{self, Access, Parts};
use super::ssm::{trouble, verdict};
use crate::document::remote::{LogStream, Patience, RemoteError};
use crate::sys::FileError;
use std::fs;
use std::path::Path;
use stint_wire::json::{self, Node, ObjectWriter};
use stint_wire::text::{head, sha256_hex};

/// The service's name in host names and credential scopes.
pub const SERVICE: &str = "logs";

/// The prefix of `X-Amz-Target`.
const TARGET_PREFIX: &str = "Logs_20140328";

/// The most that one event holds, bytes. The service takes 256 KiB; the original makes them this
/// long.
const EVENT_LIMIT: usize = 200_000;

/// Codes that say that there is nothing to make: it is there, somebody else makes it, or only
/// others may make it and may have done so.
const NOTHING_TO_MAKE: [&str; 4] = [
    "ResourceAlreadyExistsException",
    "OperationAbortedException",
    "AccessDeniedException",
    "AccessDenied",
];

/// Codes under which a server complains of the clock.
const STALE_SIGNATURE: [&str; 3] =
    ["InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"];

/// The way to CloudWatch Logs.
pub struct Logs<'a> {
    /// The server's URL.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// With what they are signed.
    pub access: Access,
    /// The time by which they are.
    pub clock: Clock,
    /// The way there.
    pub client: &'a Client,
}

impl Logs<'_> {
    /// Adds the text of a file to a stream; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// See [`RemoteError`]. A part of the text may have been added.
    pub fn add(
        &self,
        stream: &LogStream,
        file: &Path,
        patience: &Patience,
    ) -> Result<(), RemoteError> {
        let bytes = fs::read(file).map_err(FileError::new("read", file))?;
        let text = String::from_utf8_lossy(&bytes);
        let group = ObjectWriter::new().string("logGroupName", &stream.group);
        let made = self.call("CreateLogGroup", &group.finish(), patience);
        forgive(made)?;
        let named = || {
            let group = ObjectWriter::new().string("logGroupName", &stream.group);
            group.string("logStreamName", &stream.name)
        };
        forgive(self.call("CreateLogStream", &named().finish(), patience))?;
        for event in events(&text) {
            let time = self.clock.now().0.to_string();
            let event = ObjectWriter::new().raw("timestamp", &time).string("message", event);
            let body = named().raw("logEvents", &format!("[{}]", event.finish())).finish();
            let answer = self.call("PutLogEvents", &body, patience)?;
            let answer = json::parse(&answer).ok();
            let rejected = answer.as_ref().and_then(|node| node.get("rejectedLogEventsInfo"));
            if rejected.is_some_and(|node| !Node::members(node).is_empty()) {
                let answer = "the service rejects the events; is the device's clock right?";
                return Err(refused("PutLogEvents", answer));
            }
        }
        Ok(())
    }

    fn call(
        &self,
        operation: &'static str,
        body: &str,
        patience: &Patience,
    ) -> Result<String, RemoteError> {
        again(patience, &mut || {
            let once = &mut |http: &Http| self.once(http, operation, body, patience);
            (self.client.run(patience, once), false)
        })
    }

    fn once(
        &self,
        http: &Http,
        operation: &'static str,
        body: &str,
        patience: &Patience,
    ) -> Result<String, Trouble> {
        let parts = Parts {
            service: SERVICE,
            method: "POST",
            host: endpoint::authority(&self.endpoint),
            path: "/",
            query: "",
            payload_hash: &sha256_hex(body.as_bytes()),
        };
        let headers = vec![
            ("content-type", stint_wire::ssm::CONTENT_TYPE.to_owned()),
            ("x-amz-target", format!("{TARGET_PREFIX}.{operation}")),
        ];
        let now = self.clock.now();
        let headers = s3_sign::sign(&parts, headers, &self.access, &self.region, now);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http
            .post(&self.endpoint, &headers, body.as_bytes(), patience.left())
            .map_err(|cause| UplinkError::Unreachable { endpoint: self.endpoint.clone(), cause })
            .map_err(trouble)?;
        match verdict(operation, &answer) {
            Ok(()) => Ok(answer.body),
            Err(UplinkError::Refused { code, .. })
                if STALE_SIGNATURE.contains(&code.as_str())
                    && answer.date.is_some_and(|date| self.clock.learn(date, now)) =>
            {
                Err(Trouble::Passing(refused(operation, &code)))
            }
            Err(error) => Err(trouble(error)),
        }
    }
}

fn refused(operation: &str, answer: &str) -> RemoteError {
    RemoteError::Refused { place: operation.to_owned(), answer: answer.to_owned() }
}

fn forgive(made: Result<String, RemoteError>) -> Result<(), RemoteError> {
    match made {
        Err(RemoteError::Refused { answer, .. })
            if NOTHING_TO_MAKE.iter().any(|code| answer.starts_with(code)) =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The text in events: cut after a line's end where there is one, and nowhere inside a character.
fn events(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let most = head(rest, EVENT_LIMIT);
        let cut = match most.rfind('\n') {
            Some(end) if most.len() < rest.len() => end + 1,
            _ => most.len(),
        };
        let (event, after) = rest.split_at_checked(cut)?;
        rest = after;
        (!event.is_empty()).then_some(event)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_end_with_lines_where_they_can() {
        assert_eq!(events("").count(), 0);
        assert_eq!(events("a\nb").collect::<Vec<_>>(), ["a\nb"]);
        let line = format!("{}\n", "x".repeat(149_999));
        let text = line.repeat(3);
        assert_eq!(events(&text).collect::<Vec<_>>(), [line.as_str(); 3]);
        let long = "ä".repeat(EVENT_LIMIT);
        assert!(events(&long).all(|event| event.len() == EVENT_LIMIT));
    }

    #[test]
    fn what_is_there_already_needs_no_making() {
        let refusal = |code: &str| Err(refused("CreateLogGroup", code));
        assert!(forgive(refusal("ResourceAlreadyExistsException: it is there")).is_ok());
        assert!(forgive(refusal("LimitExceededException: no more")).is_err());
    }

    proptest! {
        #[test]
        fn the_events_are_the_text(text in "[a-zäöü\n]{0,40}", times in 1..20_000usize) {
            let text = text.repeat(times);
            prop_assert_eq!(events(&text).collect::<String>(), text.clone());
            prop_assert!(events(&text).all(|event| event.len() <= EVENT_LIMIT));
        }
    }
}

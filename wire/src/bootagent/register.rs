//! `POST /agent/register`: the node names itself, and the server may name it otherwise.

use super::sign::{MAX_KEYS, key_text, parse_key};
use super::text::{body, member, number, text, verdict, words};
use crate::json::{Node, ObjectWriter, SyntaxError, quote};

/// A node that introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The host's name.
    pub hostname: String,
    /// The id that the node has given itself, or was given.
    pub agentsn: String,
    /// The address from which it talks to the server.
    pub ipaddr: Option<String>,
    /// As in a status report.
    pub version: Option<String>,
    /// As in a status report.
    pub feature: Option<u32>,
    /// Its public key, Ed25519.
    pub key: Option<[u8; 32]>,
    /// The activation's id and code, until it has been registered.
    pub activation: Option<(String, String)>,
}

/// What the server says to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 if the node is registered.
    pub status: i64,
    /// The id by which the node goes from now on; without one it keeps its own.
    pub agentsn: Option<String>,
    /// `name=value,name`; see [`tags`].
    pub tags: Option<String>,
    /// The node's id in Systems Manager, `mi-…`, where the server has such.
    pub nodeid: Option<String>,
    /// The server's public keys, newest first; empty if it doesn't sign.
    pub serverkeys: Vec<[u8; 32]>,
    /// Why it was refused.
    pub message: Option<String>,
    /// The server's time, Unix seconds, where the request's was too far off.
    pub date: Option<u64>,
}

impl Request {
    /// The body.
    pub fn write(&self) -> String {
        let out = ObjectWriter::new()
            .string("hostname", &self.hostname)
            .string("agentsn", &self.agentsn)
            .optional("ipaddr", self.ipaddr.as_deref())
            .optional("version", self.version.as_deref());
        let out = match self.feature {
            Some(feature) => out.raw("feature", &feature.to_string()),
            None => out,
        };
        let out = out.optional("key", self.key.as_ref().map(key_text).as_deref());
        let (id, code) = self.activation.as_ref().map(|(id, code)| (id, code)).unzip();
        out.optional("activationid", id.map(String::as_str))
            .optional("activationcode", code.map(String::as_str))
            .finish()
    }

    /// Reads the body; what is missing is empty.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(content: &str) -> Result<Request, SyntaxError> {
        let node = body(content, false)?;
        let optional = |name: &str| member(&node, &[name]).and_then(words);
        Ok(Request {
            hostname: text(&node, "hostname"),
            agentsn: text(&node, "agentsn"),
            ipaddr: optional("ipaddr"),
            version: optional("version"),
            feature: number(&node, "feature"),
            key: optional("key").as_deref().and_then(parse_key),
            activation: optional("activationid").zip(optional("activationcode")),
        })
    }
}

impl Answer {
    /// The body.
    pub fn write(&self) -> String {
        let out = ObjectWriter::new()
            .raw("status", &self.status.to_string())
            .optional("agentsn", self.agentsn.as_deref())
            .optional("tags", self.tags.as_deref())
            .optional("nodeid", self.nodeid.as_deref());
        let out = match self.serverkeys.is_empty() {
            true => out,
            false => out.raw("serverkeys", &write_keys(&self.serverkeys)),
        };
        let out = out.optional("message", self.message.as_deref());
        match self.date {
            Some(date) => out.raw("date", &date.to_string()).finish(),
            None => out.finish(),
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(content: &str) -> Result<Answer, SyntaxError> {
        let node = body(content, false)?;
        let optional = |name: &str| member(&node, &[name]).and_then(words);
        Ok(Answer {
            status: verdict(&node),
            agentsn: optional("agentsn").filter(|id| !id.is_empty()),
            tags: optional("tags"),
            nodeid: optional("nodeid"),
            serverkeys: read_keys(&node).unwrap_or_default(),
            message: optional("message"),
            date: number(&node, "date"),
        })
    }
}

/// The tags of an answer; one without `=` has an empty value.
pub fn tags(text: &str) -> Vec<(String, String)> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    items.map(pair).filter(|(name, _)| !name.is_empty()).collect()
}

/// An array of public keys.
pub(super) fn write_keys(keys: &[[u8; 32]]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| quote(&key_text(key))).collect();
    format!("[{}]", keys.join(","))
}

/// The member `serverkeys`. `None` if it isn't there or there is no key in it; one that isn't
/// Ed25519 is left out.
pub(super) fn read_keys(node: &Node) -> Option<Vec<[u8; 32]>> {
    let keys = node.get("serverkeys")?.elements()?.iter();
    let keys: Vec<_> = keys.filter_map(|key| parse_key(key.as_str()?)).take(MAX_KEYS).collect();
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As printed on the founding page.
    const SAMPLE: &str = r#"{
	"hostname": "127.0.0.1",
	"agentsn": "bfdcc18c-b6b9-4725-9c47-37fd93dba5b6"
}"#;
    const SAMPLE_ANSWER: &str = r#"{
	"status": 0,
	"agentsn": "dcb886e9-04ed-41bb-9c12-4d2de12cd59b",  # 如果上层判断有冲突，则执行AgentSN
	"tags": "service=ecs,component"
}"#;

    #[test]
    fn the_samples_are_read_and_written() {
        let request = Request::read(SAMPLE).unwrap();
        assert_eq!(request.agentsn, "bfdcc18c-b6b9-4725-9c47-37fd93dba5b6");
        assert_eq!(
            request.write(),
            r#"{"hostname":"127.0.0.1","agentsn":"bfdcc18c-b6b9-4725-9c47-37fd93dba5b6"}"#
        );
        let answer = Answer::read(SAMPLE_ANSWER).unwrap();
        assert_eq!(answer.status, 0);
        assert_eq!(answer.agentsn.as_deref(), Some("dcb886e9-04ed-41bb-9c12-4d2de12cd59b"));
        let wanted = [("service".to_owned(), "ecs".to_owned()), ("component".into(), "".into())];
        assert_eq!(tags(answer.tags.as_deref().unwrap()), wanted);
        assert_eq!(
            answer.write(),
            r#"{"status":0,"agentsn":"dcb886e9-04ed-41bb-9c12-4d2de12cd59b","tags":"service=ecs,component"}"#
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "1", "<html>", "{\"a\":"] {
            assert!(Request::read(text).is_err() && Answer::read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_request_comes_back(
            names: (String, String),
            more: (Option<String>, Option<String>, Option<u32>),
            key: Option<[u8; 32]>,
            activation: Option<(String, String)>,
        ) {
            let (hostname, agentsn) = names;
            let (ipaddr, version, feature) = more;
            let request = Request { hostname, agentsn, ipaddr, version, feature, key, activation };
            prop_assert_eq!(Request::read(&request.write()), Ok(request));
        }

        #[test]
        fn an_answer_comes_back(
            status: i32,
            agentsn in prop::option::of(".{1,20}"),
            texts: (Option<String>, Option<String>, Option<String>),
            serverkeys in prop::collection::vec(any::<[u8; 32]>(), 0..MAX_KEYS),
            date: Option<u64>,
        ) {
            let (tags, nodeid, message) = texts;
            let status = i64::from(status);
            let answer = Answer { status, agentsn, tags, nodeid, serverkeys, message, date };
            prop_assert_eq!(Answer::read(&answer.write()), Ok(answer));
        }
    }
}

//! What documents refer to and the server holds: parameters and other documents.

use super::super::UplinkError;
use super::super::endpoint::Service;
use super::super::fetch::{Trouble, again};
use super::super::s3_sign::Access;
use super::{CALL_TIMEOUT, NAME_FOR_AWS, Ssm};
use crate::document::remote::{Parameter, Patience, RemoteError};
use miniserde::{Deserialize, json};
use std::path::PathBuf;
use stint_wire::json::{ObjectWriter, quote};
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "Parameters")]
    parameters: Option<Vec<Stored>>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Value")]
    value: String,
    #[serde(rename = "Version")]
    version: Option<u64>,
    #[serde(rename = "Selector")]
    selector: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Content")]
    content: Option<String>,
}

impl Ssm {
    /// GetParameters.
    pub fn parameters(
        &self,
        names: &[&str],
        decrypt: bool,
        patience: &Patience,
    ) -> Result<Vec<Parameter>, RemoteError> {
        let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let body = ObjectWriter::new()
            .raw("Names", &format!("[{}]", quoted.join(",")))
            .raw("WithDecryption", if decrypt { "true" } else { "false" })
            .finish();
        let answer = Zeroizing::new(self.ask("GetParameters", &body, patience)?);
        let answer: Parameters = json::from_str(&answer).map_err(|_| no_sense("GetParameters"))?;
        let parameter = |stored: Stored| Parameter {
            name: stored.name,
            version: stored.version.unwrap_or_default(),
            selector: stored.selector.unwrap_or_default(),
            kind: stored.kind,
            value: Zeroizing::new(stored.value),
        };
        Ok(answer.parameters.unwrap_or_default().into_iter().map(parameter).collect())
    }

    /// GetDocument.
    pub fn document(
        &self,
        name: &str,
        version: Option<&str>,
        patience: &Patience,
    ) -> Result<String, RemoteError> {
        let body = ObjectWriter::new()
            .string("Name", name)
            .optional("DocumentVersion", version)
            // Others may be stored; this one every agent reads.
            .string("DocumentFormat", "JSON")
            .finish();
        let answer = self.ask("GetDocument", &body, patience)?;
        let answer: Document = json::from_str(&answer).map_err(|_| no_sense("GetDocument"))?;
        answer.content.ok_or_else(|| no_sense("GetDocument"))
    }

    /// The temporary credentials, for another service of the same provider.
    pub fn access(&self) -> Result<Access, UplinkError> {
        let credentials = self.credentials()?;
        Ok(Access {
            key: credentials.access_key.clone(),
            secret: credentials.secret.clone(),
            token: Some(credentials.session_token.clone()),
        })
    }

    /// This node's region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The certificate authorities named when registering.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.ca_file.clone()
    }

    /// Whether this node's server is AWS, so that its credentials are good for S3 there.
    pub fn is_aws(&self) -> bool {
        self.agent_name == NAME_FOR_AWS
    }

    fn ask(
        &self,
        operation: &'static str,
        body: &str,
        patience: &Patience,
    ) -> Result<String, RemoteError> {
        again(patience, &mut || {
            let limit = CALL_TIMEOUT.min(patience.left());
            let answer = self.call(Service::Ssm, operation, body, limit);
            (answer.map_err(trouble), false)
        })
    }
}

/// An answer that can't be read.
pub(super) fn no_sense(operation: &str) -> RemoteError {
    let answer = "the answer makes no sense".to_owned();
    RemoteError::Refused { place: operation.to_owned(), answer }
}

/// What an uplink's error means to a step.
pub fn trouble(error: UplinkError) -> Trouble {
    match error {
        UplinkError::Unreachable { endpoint, cause } => {
            Trouble::Passing(RemoteError::Unreachable { place: endpoint, cause: cause.words })
        }
        UplinkError::Trouble { operation, status, code } => {
            Trouble::Passing(RemoteError::Refused {
                place: operation.to_owned(),
                answer: format!("HTTP status {status} {code}"),
            })
        }
        UplinkError::Refused { operation, code, message } => Trouble::Final(RemoteError::Refused {
            place: operation.to_owned(),
            answer: format!("{code}: {message}"),
        }),
        UplinkError::BadAnswer { operation, what } | UplinkError::Untrusted { operation, what } => {
            Trouble::Final(RemoteError::Refused {
                place: operation.to_owned(),
                answer: what.to_owned(),
            })
        }
        UplinkError::Portal { operation } => Trouble::Passing(RemoteError::Refused {
            place: operation.to_owned(),
            answer: "a web page, of a captive portal perhaps".to_owned(),
        }),
        UplinkError::TooLarge { operation, .. } => Trouble::Final(RemoteError::Refused {
            place: operation.to_owned(),
            answer: "HTTP status 413".to_owned(),
        }),
        UplinkError::Local(cause) => Trouble::Final(RemoteError::NoServer(cause)),
    }
}

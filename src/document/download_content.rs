//! `aws:downloadContent`: files from somewhere into a folder of this device.
//!
//! Each file is in its place when it is whole, and not before; each has the mode 0700, as the
//! original gives it.

mod destination;
mod git;
mod github;
mod http;
mod s3;
mod ssm_document;

use super::parameter_store::{self, ReferenceError};
use super::plugin::{Context, Ended};
use super::remote::{Patience, RemoteError};
use super::script;
use crate::sys::FileError;
use destination::Destination;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use stint_wire::json::{self, Node, Value};
use stint_wire::reply::Status;
use zeroize::Zeroizing;

/// The plugin's name.
pub const NAME: &str = "aws:downloadContent";

/// The source types, in the original's spelling, which is exact.
const SOURCES: [&str; 5] = ["Git", "GitHub", "HTTP", "S3", "SSMDocument"];

/// Fetches what `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    match download(inputs, context) {
        Ok(place) => Ended {
            status: Status::Success,
            code: 0,
            stdout: format!("Content downloaded to {}\n", place.display()),
            stderr: String::new(),
        },
        Err(Failure::Remote(error)) => Ended::without(&error),
        Err(Failure::Reference(error)) => Ended::unresolved(&error),
        Err(Failure::Program(ended)) => *ended,
        Err(other) => Ended::failed(other.to_string()),
    }
}

/// Why nothing was downloaded.
#[derive(Debug)]
enum Failure {
    /// The inputs make no sense.
    Inputs(String),
    /// It can't be had.
    Remote(RemoteError),
    /// A user, password or token can't be had.
    Reference(ReferenceError),
    /// It can't be put into its place.
    File(FileError),
    /// A program that should have fetched it failed.
    Program(Box<Ended>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Inputs(what) => f.write_str(what),
            Failure::Remote(cause) => write!(f, "{cause}"),
            Failure::Reference(cause) => write!(f, "{cause}"),
            Failure::File(cause) => write!(f, "{cause}"),
            Failure::Program(ended) => f.write_str(&ended.stderr),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(cause: RemoteError) -> Failure {
        Failure::Remote(cause)
    }
}

impl From<ReferenceError> for Failure {
    fn from(cause: ReferenceError) -> Failure {
        Failure::Reference(cause)
    }
}

impl From<FileError> for Failure {
    fn from(cause: FileError) -> Failure {
        Failure::File(cause)
    }
}

fn download(inputs: &Node, context: &mut Context<'_>) -> Result<PathBuf, Failure> {
    let text = |name| inputs.get_any_case(name).and_then(Node::as_str).unwrap_or_default();
    let kind = text("sourceType");
    if !SOURCES.contains(&kind) {
        let known = SOURCES.join(", ");
        return Err(Failure::Inputs(format!("sourceType must be one of {known}, not \"{kind}\"")));
    }
    let source = Source { kind, info: info(inputs)? };
    let place = Destination::new(text("destinationPath"), context.downloads)?;
    let patience = context.patience(Duration::from_secs(script::limit(inputs)));
    match kind {
        "HTTP" => http::download(&source, &place, context, &patience),
        "S3" => s3::download(&source, &place, context, &patience),
        "SSMDocument" => ssm_document::download(&source, &place, context, &patience),
        "GitHub" => github::download(&source, &place, context, &patience),
        _ => git::download(&source, &place, context, &patience),
    }
}

/// `sourceInfo`: an object, or the JSON text of one.
fn info(inputs: &Node) -> Result<Node, Failure> {
    let node = inputs.get_any_case("sourceInfo");
    let wrong = |why: String| Err(Failure::Inputs(format!("sourceInfo must be an object{why}")));
    let parsed = match node.map(|node| &node.value) {
        Some(Value::String(text)) => match json::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => return wrong(format!(" or its JSON text, and this is none: {error}")),
        },
        Some(value) => Node { line: 1, value: value.clone() },
        None => return wrong(", and there is none".to_owned()),
    };
    match parsed.value {
        Value::Object(_) => Ok(parsed),
        _ => wrong(format!(", not {}", parsed.kind())),
    }
}

/// What `sourceInfo` says.
struct Source<'a> {
    kind: &'a str,
    info: Node,
}

impl Source<'_> {
    /// A text; empty where there is none.
    fn text(&self, name: &str) -> &str {
        self.info.get_any_case(name).and_then(Node::as_str).unwrap_or_default()
    }

    /// A text that must be there.
    fn needed(&self, name: &str) -> Result<&str, Failure> {
        let text = self.text(name);
        if text.is_empty() {
            let what = format!("sourceInfo needs {name} for the source type {}", self.kind);
            return Err(Failure::Inputs(what));
        }
        Ok(text)
    }

    /// A truth, as the original takes it: a boolean or its text.
    fn truth(&self, name: &str) -> bool {
        let node = self.info.get_any_case(name);
        let word =
            node.and_then(Node::as_str).is_some_and(|word| word.eq_ignore_ascii_case("true"));
        word || node.and_then(Node::as_bool).unwrap_or(false)
    }

    /// A text in which references to secrets are replaced by them; `None` where there is none.
    fn secret(
        &self,
        name: &str,
        context: &Context<'_>,
        patience: &Patience,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        let text = self.text(name);
        let revealed = parameter_store::reveal(text, context.remote, patience)?;
        Ok(revealed.or_else(|| Some(Zeroizing::new(text.to_owned())).filter(|t| !t.is_empty())))
    }

    /// The SHA-256 that a file must have, if the document says one.
    fn sha256(&self) -> Result<Option<String>, Failure> {
        let text = self.text("sha256").to_ascii_lowercase();
        let valid = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.is_empty() {
            true => Ok(None),
            false if valid => Ok(Some(text)),
            false => {
                let what = "sha256 in sourceInfo must be 64 hexadecimal digits";
                Err(Failure::Inputs(what.to_owned()))
            }
        }
    }

    /// `getOptions`: `branch:…` or `commitID:…`, or nothing.
    fn revision(&self) -> Result<Revision<'_>, Failure> {
        let options = self.text("getOptions").trim();
        let (kind, name) = options.split_once(':').unwrap_or((options, ""));
        let (kind, name) = (kind.trim(), name.trim());
        match kind {
            "" => Ok(Revision::Default),
            // A name that begins so would be an option to git.
            "branch" if !name.is_empty() && !name.starts_with('-') => Ok(Revision::Branch(name)),
            "commitID" if is_commit(name) => Ok(Revision::Commit(name)),
            _ => {
                let what = "getOptions must be branch:NAME or commitID:SHA";
                Err(Failure::Inputs(format!("{what}, not \"{options}\"")))
            }
        }
    }
}

fn is_commit(name: &str) -> bool {
    (4..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Which state of a repository is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revision<'a> {
    /// The repository's default branch. (The original takes `master`.)
    Default,
    /// A branch or a tag.
    Branch(&'a str),
    /// A commit.
    Commit(&'a str),
}

#[cfg(test)]
mod tests {
    use super::super::plugin::Bench;
    use super::*;

    fn failed(inputs: &str) -> String {
        let ended = Bench::new().with(|context| run(&json::parse(inputs).unwrap(), context));
        assert_eq!(ended.status, Status::Failed);
        ended.stderr
    }

    #[test]
    fn inputs_that_make_no_sense_are_refused_with_the_remedy() {
        for (inputs, wanted) in [
            ("{}", "sourceType must be one of Git, GitHub, HTTP, S3, SSMDocument, not \"\""),
            (r#"{"sourceType":"http"}"#, "not \"http\""),
            (r#"{"sourceType":"HTTP"}"#, "sourceInfo must be an object, and there is none"),
            (r#"{"sourceType":"HTTP","sourceInfo":"{"}"#, "its JSON text, and this is none"),
            (r#"{"sourceType":"HTTP","sourceInfo":[]}"#, "not an array"),
            (r#"{"sourceType":"HTTP","sourceInfo":{}}"#, "needs url for the source type HTTP"),
            (
                r#"{"sourceType":"HTTP","sourceInfo":"{\"url\":\"https://h/x\",\"sha256\":\"ab\"}"}"#,
                "64 hexadecimal digits",
            ),
            (r#"{"sourceType":"S3","sourceInfo":{}}"#, "needs path for the source type S3"),
            (r#"{"sourceType":"SSMDocument","sourceInfo":{}}"#, "needs name"),
            (r#"{"sourceType":"GitHub","sourceInfo":{"owner":"o"}}"#, "needs repository"),
            (r#"{"sourceType":"Git","sourceInfo":{}}"#, "needs repository"),
            (
                r#"{"sourceType":"HTTP","destinationPath":"../x","sourceInfo":{"url":"https://h"}}"#,
                "destinationPath ../x",
            ),
        ] {
            let error = failed(inputs);
            assert!(error.contains(wanted), "{inputs}: {error}");
        }
    }

    #[test]
    fn a_revision_is_a_branch_or_a_commit_and_never_an_option() {
        let revision = |options: &str| {
            let info = json::parse(&format!(r#"{{"getOptions":"{options}"}}"#)).unwrap();
            let source = Source { kind: "Git", info };
            source.revision().map(|revision| format!("{revision:?}")).ok()
        };
        assert_eq!(revision("").as_deref(), Some("Default"));
        assert_eq!(revision("branch: main").as_deref(), Some("Branch(\"main\")"));
        assert_eq!(revision("commitID:0123abcd").as_deref(), Some("Commit(\"0123abcd\")"));
        for wrong in ["main", "branch:", "branch:--upload-pack=x", "commitID:HEAD", "tag:x"] {
            assert_eq!(revision(wrong), None, "{wrong}");
        }
    }
}

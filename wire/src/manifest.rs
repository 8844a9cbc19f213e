//! The list of an agent's versions: which there are, where their files are, and which are to be
//! used. Its form is that of amazon-ssm-agent's `ssm-agent-manifest.json`, with additions that the
//! original passes over.
//!
//! A manifest is worth nothing without a signature by a release key over its exact bytes; they are
//! in a file of their own beside it ([`signatures`]) and are verified by whoever holds the keys.

use crate::bootagent::sign;
use crate::json::{self, Node};
use crate::text;
use std::fmt;

/// The package of this agent; a package without a name counts as it.
pub const PACKAGE: &str = "stint";

/// The manifest's file.
pub const FILE: &str = "manifest.json";

/// What is added to the manifest's URL to get that of its signatures.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// Where a file is if the manifest doesn't say so: beside it, in a folder for each version.
pub const DEFAULT_URI: &str = "{PackageVersion}/{FileName}";

/// More signatures than this nobody needs: the key in use, its successor, and room for a mistake.
pub const MAX_SIGNATURES: usize = 8;

/// So many revoked release keys a device remembers, for ever; it passes over more.
pub const MAX_REVOKED: usize = 32;

/// A version: up to four numbers. Those that are missing are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 4]);

impl Version {
    /// Reads `1.2`, `1.2.3` or `3.2.582.0`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = [0; 4];
        let mut places = numbers.iter_mut();
        for part in text.split('.') {
            let digits = (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            *places.next()? = part.parse().ok().filter(|_| digits)?;
        }
        Some(Version(numbers))
    }
}

/// What is to be done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may be installed.
    Active,
    /// It isn't installed any more; where it runs it stays.
    Inactive,
    /// Where it runs it is to be replaced.
    Deprecated,
}

impl Status {
    /// As the manifest spells it; a word that nobody knows is `None`.
    pub fn parse(text: &str) -> Option<Status> {
        [Status::Active, Status::Inactive, Status::Deprecated]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// As the manifest spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "Active",
            Status::Inactive => "Inactive",
            Status::Deprecated => "Deprecated",
        }
    }
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// For comparing.
    pub version: Version,
    /// As the manifest spells it, for people and for URLs.
    pub name: String,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Bytes, if the manifest says so.
    pub size: Option<u64>,
    /// What is to be done with it.
    pub status: Status,
}

/// What a manifest says of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Grows with every change of the manifest, so that an old one can't be passed off as new.
    pub serial: u64,
    /// Where files are, with holes in braces; may be relative to the manifest.
    pub uri_format: String,
    /// Release keys that are good as well from now on.
    pub next_keys: Vec<[u8; 32]>,
    /// Release keys that are never good again.
    pub revoked_keys: Vec<[u8; 32]>,
    /// The versions of the file that was asked for, in the manifest's order. Those with a status
    /// that nobody knows are left out.
    pub releases: Vec<Release>,
}

/// What is wrong with a manifest.
#[derive(Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// It is no JSON: the line, and why.
    Syntax(u32, &'static str),
    /// A member is missing or isn't what it should be: the line, the member, what it should be.
    Member(u32, &'static str, &'static str),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Syntax(line, what) => {
                write!(f, "the manifest is no JSON: line {line}: {what}")
            }
            ManifestError::Member(line, member, wanted) => {
                write!(f, "the manifest's line {line}: \"{member}\" must be {wanted}")
            }
        }
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads what a manifest says of the file called `file`. Members and statuses that nobody
    /// knows are passed over; a file that isn't there has no releases.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str, file: &str) -> Result<Manifest, ManifestError> {
        let root =
            json::parse(text).map_err(|error| ManifestError::Syntax(error.line, error.what))?;
        let schema = member(&root, "SchemaVersion").and_then(Node::as_str).unwrap_or_default();
        if schema.split('.').next() != Some("1") {
            return Err(ManifestError::Member(root.line, "SchemaVersion", "\"1.0\""));
        }
        let mut manifest = Manifest {
            serial: member(&root, "Serial").and_then(Node::as_u64).unwrap_or_default(),
            uri_format: DEFAULT_URI.to_owned(),
            ..Manifest::default()
        };
        if let Some(format) = member(&root, "UriFormat") {
            let wanted = "a URL with {PackageVersion} and {FileName}";
            let format = format.as_str().filter(|format| !format.is_empty());
            manifest.uri_format =
                format.ok_or(ManifestError::Member(root.line, "UriFormat", wanted))?.to_owned();
        }
        manifest.next_keys = keys(&root, "NextKeys")?;
        manifest.revoked_keys = keys(&root, "RevokedKeys")?;
        for package in list(&root, "Packages", true)? {
            let name = member(package, "Name").and_then(Node::as_str).unwrap_or(PACKAGE);
            if name != PACKAGE {
                continue;
            }
            for entry in list(package, "Files", true)? {
                if member(entry, "Name").and_then(Node::as_str) != Some(file) {
                    continue;
                }
                for version in list(entry, "AvailableVersions", true)? {
                    manifest.releases.extend(release(version)?);
                }
            }
        }
        Ok(manifest)
    }

    /// The URL of a file of this manifest, which was found at `url`.
    pub fn uri(&self, url: &str, version: &str, file: &str) -> String {
        let path = self
            .uri_format
            .replace("{PackageName}", PACKAGE)
            .replace("{PackageVersion}", version)
            .replace("{FileName}", file);
        if path.contains("://") {
            return path;
        }
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let folder = url.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{}", path.trim_start_matches('/'))
    }

    /// What is to be done with `version`; `None` if the manifest doesn't know it.
    pub fn status_of(&self, version: Version) -> Option<Status> {
        self.releases.iter().find(|release| release.version == version).map(|found| found.status)
    }

    /// The highest version that may be installed and that `is_good`.
    pub fn newest(&self, is_good: impl Fn(&Release) -> bool) -> Option<&Release> {
        let eligible = self.releases.iter().filter(|release| release.status == Status::Active);
        eligible.filter(|release| is_good(release)).max_by_key(|release| release.version)
    }
}

fn release(node: &Node) -> Result<Option<Release>, ManifestError> {
    let status = match member(node, "Status") {
        None => Some(Status::Active),
        Some(status) => status.as_str().and_then(Status::parse),
    };
    let Some(status) = status else { return Ok(None) };
    let text = |name| member(node, name).and_then(Node::as_str).unwrap_or_default();
    let name = text("Version").to_owned();
    let wanted = "up to four numbers with dots";
    let version =
        Version::parse(&name).ok_or(ManifestError::Member(node.line, "Version", wanted))?;
    // The seed spells it CheckSum, the original's own list Checksum.
    let sha256 = text("CheckSum").to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ManifestError::Member(node.line, "CheckSum", "a SHA-256 in hexadecimal"));
    }
    let size = member(node, "Size").and_then(Node::as_u64);
    Ok(Some(Release { version, name, sha256, size, status }))
}

fn keys(root: &Node, name: &'static str) -> Result<Vec<[u8; 32]>, ManifestError> {
    let wanted = "a list of keys, \"ed25519:\" and 44 characters of base64";
    let read = |key: &Node| {
        let read = key.as_str().and_then(sign::parse_key);
        read.ok_or(ManifestError::Member(key.line, name, wanted))
    };
    list(root, name, false)?.iter().map(read).collect()
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get_any_case(name)
}

fn list<'a>(
    node: &'a Node,
    name: &'static str,
    required: bool,
) -> Result<&'a [Node], ManifestError> {
    match member(node, name) {
        None if !required => Ok(&[]),
        Some(list) => list.elements().ok_or(ManifestError::Member(list.line, name, "a list")),
        None => Err(ManifestError::Member(node.line, name, "a list")),
    }
}

/// The signatures of a manifest: a line for each key, its id (see [`sign::key_id`]) and the
/// signature in base64. Lines that can't be read are passed over.
pub fn signatures(text: &str) -> Vec<(&str, [u8; 64])> {
    let read = |line: &'_ str| {
        let (_, signature) = line.split_once(' ')?;
        text::from_base64(signature.trim())?.try_into().ok()
    };
    let id = |line: &'_ str| line.split(' ').next().unwrap_or_default().len();
    text.lines()
        .filter_map(|line| Some((line.get(..id(line))?, read(line)?)))
        .take(MAX_SIGNATURES)
        .collect()
}

/// A line of [`signatures`].
pub fn signature_line(key: &[u8; 32], signature: &[u8; 64]) -> String {
    format!("{} {}\n", sign::key_id(key), text::base64(signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUM: &str = "84fc818a7e21068c47412ddd18d3748a04a16b8f8836a259191920f854c4edc7";

    fn seed() -> String {
        format!(
            r#"{{"SchemaVersion": "1.0", "Packages": [{{"Files": [
            {{"Name": "amazon-ssm-agent-linux-amd64.tar.gz", "AvailableVersions": [
            {{"CheckSum": "{SUM}", "Version": "1.1.0.0", "Status": "Foo"}},
            {{"CheckSum": "{SUM}", "Version": "2.0.805.0", "Status": "Inactive"}},
            {{"CheckSum": "{SUM}", "Version": "2.0.822.0", "Status": "Deprecated"}},
            {{"Checksum": "{SUM}", "Version": "2.0.9.0"}},
            {{"CheckSum": "{SUM}", "Version": "10.0", "Status": "Active", "Size": 7, "X": 1}}]}},
            {{"Name": "other", "AvailableVersions": 3}}]}}]}}"#
        )
    }

    #[test]
    fn the_manifest_of_the_original_is_read_and_unknown_statuses_are_passed_over() {
        let manifest = Manifest::parse(&seed(), "amazon-ssm-agent-linux-amd64.tar.gz").unwrap();
        let names: Vec<&str> = manifest.releases.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["2.0.805.0", "2.0.822.0", "2.0.9.0", "10.0"]);
        let status = |text| manifest.status_of(Version::parse(text).unwrap());
        assert_eq!(status("2.0.822"), Some(Status::Deprecated));
        assert_eq!(status("2.0.9.0"), Some(Status::Active));
        assert_eq!(status("1.1.0.0"), None);
        assert_eq!(manifest.newest(|_| true).unwrap().name, "10.0");
        assert_eq!(manifest.newest(|r| r.size.is_none()).unwrap().name, "2.0.9.0");
        assert!(Manifest::parse(&seed(), "else").unwrap().releases.is_empty());
    }

    #[test]
    fn a_file_is_beside_its_manifest_unless_that_says_otherwise() {
        let beside = Manifest { uri_format: DEFAULT_URI.into(), ..Manifest::default() };
        assert_eq!(beside.uri("https://h/u/manifest.json?a=/", "1.2", "f"), "https://h/u/1.2/f");
        let elsewhere = Manifest {
            uri_format: "https://s3/{PackageName}/{PackageVersion}/{FileName}".into(),
            ..Manifest::default()
        };
        assert_eq!(elsewhere.uri("https://h/m", "1.2", "f"), "https://s3/stint/1.2/f");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let release = |member: &str| {
            format!(
                "{{\"SchemaVersion\": \"1.0\", \"Packages\": [{{\"Files\": [{{\"Name\": \"f\", \
                 \"AvailableVersions\": [\n{{{member}}}]}}]}}]}}"
            )
        };
        for (text, wanted) in [
            ("{".to_owned(), "no JSON"),
            ("{}".to_owned(), "\"SchemaVersion\" must be \"1.0\""),
            (r#"{"SchemaVersion": "2.0", "Packages": []}"#.to_owned(), "\"SchemaVersion\""),
            (r#"{"SchemaVersion": "1.0"}"#.to_owned(), "\"Packages\" must be a list"),
            (release("\"Version\": \"x\""), "line 2: \"Version\" must be up to four"),
            (release("\"Version\": \"1.0\""), "line 2: \"CheckSum\" must be a SHA-256"),
            (
                r#"{"SchemaVersion": "1.0", "Packages": [], "NextKeys": ["k"]}"#.to_owned(),
                "\"NextKeys\"",
            ),
            (
                r#"{"SchemaVersion": "1.0", "Packages": [], "RevokedKeys": [7]}"#.to_owned(),
                "\"RevokedKeys\" must be a list of keys",
            ),
        ] {
            let error = Manifest::parse(&text, "f").unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("2.0.9") < version("2.0.822.0") && version("1.10") > version("1.9.9.9"));
        assert_eq!(version("0.1"), version("0.1.0.0"));
        for text in ["", "1.", ".1", "1.2.3.4.5", "1.a", "1.-2", "+1", "1.0000000001"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_manifest_makes_the_parser_panic(text: String, cut in 0usize..900) {
            let _ = Manifest::parse(&text, "f");
            let whole = seed();
            if let Some(half) = whole.get(..cut.min(whole.len() - 1)) {
                prop_assert!(Manifest::parse(half, "f").is_err());
            }
        }

        #[test]
        fn signatures_come_back_and_rubbish_between_them_is_passed_over(
            keys in prop::collection::vec(any::<[u8; 32]>(), 0..5),
            rubbish in "[^\n]{0,40}",
        ) {
            let signature = |key: &[u8; 32]| [key[0]; 64];
            let mut text = String::new();
            for key in &keys {
                text.push_str(&signature_line(key, &signature(key)));
                text.push_str(&format!("x {rubbish}!\n"));
            }
            let ids: Vec<String> = keys.iter().map(sign::key_id).collect();
            let wanted: Vec<(&str, [u8; 64])> =
                ids.iter().zip(&keys).map(|(id, key)| (id.as_str(), signature(key))).collect();
            prop_assert_eq!(signatures(&text), wanted);
        }

        #[test]
        fn versions_keep_the_order_of_their_numbers(a: [u16; 4], b: [u16; 4]) {
            let text = |v: [u16; 4]| v.map(|n| n.to_string()).join(".");
            let read = |v| Version::parse(&text(v)).unwrap();
            prop_assert_eq!(read(a).cmp(&read(b)), a.cmp(&b));
        }
    }
}

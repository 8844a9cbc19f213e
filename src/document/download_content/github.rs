//! Files of a repository, by GitHub's interface for contents.

use super::super::parameter_store;
use super::super::remote::{Page, Patience, Place, Remote};
use super::{Context, Destination, Failure, Revision, Source};
use std::path::PathBuf;
use stint_wire::json::{self, Node};
use stint_wire::sigv4::percent_encode;
use zeroize::Zeroizing;

/// What describes files and folders.
const DESCRIPTION: &str = "application/vnd.github+json";

/// What is a file's bytes.
const BYTES: &str = "application/vnd.github.raw+json";

/// A repository with more files and folders is for Git. GitHub answers 5000 requests an hour.
const MAX_FILES: usize = 2_000;

/// GitHub's interface lists so many entries of a folder and leaves the rest out without a word.
const MAX_LISTED: usize = 1_000;

/// Folders in folders.
const MAX_DEPTH: usize = 32;

/// A repository's files at one revision.
pub struct Repository<'a> {
    remote: &'a dyn Remote,
    patience: &'a Patience,
    /// `https://api.github.com/repos/OWNER/NAME/contents`
    contents: String,
    /// `?ref=…`, or nothing.
    query: String,
    authorization: Option<Zeroizing<String>>,
}

/// `sourceInfo`: `owner`, `repository`, `path`, `getOptions`, `tokenInfo`.
pub fn download(
    source: &Source<'_>,
    place: &Destination,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let (owner, name) = (source.needed("owner")?, source.needed("repository")?);
    let token = source.text("tokenInfo");
    if !token.is_empty() && !parameter_store::is_secret(token) {
        let what =
            "tokenInfo must be {{ ssm-secure:NAME }}, so that the token stands in no document";
        return Err(Failure::Inputs(what.to_owned()));
    }
    let token = source.secret("tokenInfo", context, patience)?;
    let authorization = token.map(|token| Zeroizing::new(format!("Bearer {}", token.as_str())));
    let revision = source.revision()?;
    Repository::new((owner, name), revision, authorization, context.remote, patience)?
        .get(source.text("path").trim_matches('/'), place)
}

/// One entry of a folder.
struct Entry {
    path: String,
    kind: String,
}

impl<'a> Repository<'a> {
    /// The repository of an owner and a name.
    pub fn new(
        (owner, name): (&str, &str),
        revision: Revision<'_>,
        authorization: Option<Zeroizing<String>>,
        remote: &'a dyn Remote,
        patience: &'a Patience,
    ) -> Result<Repository<'a>, Failure> {
        let base = remote.github()?;
        let (owner, name) = (percent_encode(owner, false), percent_encode(name, false));
        let contents = format!("{base}/repos/{owner}/{name}/contents");
        let query = match revision {
            Revision::Default => String::new(),
            Revision::Branch(name) | Revision::Commit(name) => {
                format!("?ref={}", percent_encode(name, false))
            }
        };
        Ok(Repository { remote, patience, contents, query, authorization })
    }

    /// Gets a file, or all files of a folder. The empty path is all of the repository.
    pub fn get(&self, path: &str, place: &Destination) -> Result<PathBuf, Failure> {
        let url = self.url(path);
        let text = self.remote.read(&self.page(&url, DESCRIPTION), self.patience)?;
        let node = json::parse(&text).map_err(|error| self.nonsense(&error.to_string()))?;
        let Some(entries) = node.elements() else {
            let entry = entry(&node).ok_or_else(|| self.nonsense("it describes no file"))?;
            let name = path.rsplit('/').next().unwrap_or_default();
            let file = place.of_file(name)?;
            self.file(&entry, file.clone())?;
            return Ok(file);
        };
        let folder = place.folder()?.to_owned();
        let mut left = MAX_FILES;
        self.folder(path, entries, place, (&mut left, MAX_DEPTH))?;
        Ok(folder)
    }

    fn folder(
        &self,
        root: &str,
        entries: &[Node],
        place: &Destination,
        (left, depth): (&mut usize, usize),
    ) -> Result<(), Failure> {
        if entries.len() >= MAX_LISTED {
            return Err(self.too_much("has too many files in one folder"));
        }
        for node in entries {
            let entry = entry(node).ok_or_else(|| self.nonsense("it describes no file"))?;
            *left = left.checked_sub(1).ok_or_else(|| self.too_much("has too many files"))?;
            if entry.kind == "dir" {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(self.too_much("nests folders too deep"));
                };
                let url = self.url(&entry.path);
                let page = self.page(&url, DESCRIPTION);
                let text = self.remote.read(&page, self.patience)?;
                let inner = json::parse(&text).map_err(|e| self.nonsense(&e.to_string()))?;
                let inner = inner.elements().unwrap_or_default();
                self.folder(root, inner, place, (left, depth))?;
                continue;
            }
            let part = entry.path.strip_prefix(root).unwrap_or(&entry.path);
            let file = place.of_part(part.strip_prefix('/').unwrap_or(part))?;
            self.file(&entry, file)?;
        }
        Ok(())
    }

    fn file(&self, entry: &Entry, path: PathBuf) -> Result<(), Failure> {
        if entry.kind != "file" {
            let what = format!("{} is a {}, which only Git can fetch", entry.path, entry.kind);
            return Err(Failure::Inputs(what));
        }
        let url = self.url(&entry.path);
        let place = Place::new(&path, None);
        Ok(self.remote.fetch(&self.page(&url, BYTES), &place, self.patience)?)
    }

    fn url(&self, path: &str) -> String {
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{}{slash}{}{}", self.contents, percent_encode(path, true), self.query)
    }

    fn page<'p>(&'p self, url: &'p str, accept: &'static str) -> Page<'p> {
        Page {
            url,
            authorization: self.authorization.as_ref().map(|text| text.as_str()),
            accept: Some(accept),
            // The configuration has the last word on where the interface is.
            plain: self.contents.starts_with("http://"),
        }
    }

    fn nonsense(&self, why: &str) -> Failure {
        Failure::Inputs(format!("the answer of {} makes no sense: {why}", self.contents))
    }

    fn too_much(&self, why: &str) -> Failure {
        Failure::Inputs(format!("{} {why} for this way; use the source type Git", self.contents))
    }
}

fn entry(node: &Node) -> Option<Entry> {
    let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
    Some(Entry { path: text("path")?, kind: text("type")? })
}

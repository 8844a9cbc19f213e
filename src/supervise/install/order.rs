//! What the daemon wants of an `install-package` process, and what becomes of it: two files in
//! the child's folder `incoming`.

use crate::remote::Sources;
use crate::sys::{FileError, doorbell, durable};
use std::fs;
use std::path::{Path, PathBuf};
use stint_wire::json::{self, Node, ObjectWriter};

/// The folder of a child in which its packages arrive.
const INCOMING: &str = "incoming";

const ORDER: &str = "order.json";
const OUTCOME: &str = "outcome.json";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Fetch a package, verify it, and make a folder of `versions` of it. Nothing that runs is
    /// touched.
    Prepare,
    /// Give the package in a folder of `versions` to the system's package manager.
    Apply,
    /// Let the system's package manager remove it.
    Remove,
}

const ACTS: [(Act, &str); 3] =
    [(Act::Prepare, "prepare"), (Act::Apply, "apply"), (Act::Remove, "remove")];

/// An order to an `install-package` process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub act: Act,
    /// The job for which it is done: another one with the same wish is another order.
    pub job: String,
    /// The child.
    pub child: String,
    /// Where its package is; for [`Act::Prepare`].
    pub url: String,
    /// `SHA256:` and 64 digits; for [`Act::Prepare`].
    pub checksum: String,
    /// The version wanted; for [`Act::Prepare`]. Without it the package says.
    pub version: Option<String>,
    /// The name of a folder of `versions`; for the others.
    pub folder: String,
    /// The largest package, bytes; for [`Act::Prepare`].
    pub max_package: u64,
    /// From where it may come.
    pub sources: Sources,
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went wrong, in words for the operator; empty if nothing did.
    pub error: String,
    /// The folder of `versions` that is ready.
    pub folder: String,
}

impl Order {
    /// Writes it into the folder of its child, durably, in the place of an earlier one and of its
    /// outcome. What an earlier one has fetched stays, for a download to go on with.
    ///
    /// # Errors
    /// The step that failed.
    pub fn put(&self, child_folder: &Path) -> Result<PathBuf, FileError> {
        let folder = child_folder.join(INCOMING);
        durable::make_folder(&folder)?;
        durable::remove(&folder.join(OUTCOME))?;
        durable::write(&folder.join(ORDER), self.write().as_bytes())?;
        Ok(folder)
    }

    /// The folder in which exactly this order is, so that it needn't be begun again.
    pub fn find(child_folder: &Path, order: &Order) -> Option<PathBuf> {
        let folder = child_folder.join(INCOMING);
        (Order::read(&folder)? == *order).then_some(folder)
    }

    /// Forgets the order in the folder of a child. What has been fetched of its package stays,
    /// where it may be of use for the next try.
    ///
    /// # Errors
    /// The step that failed.
    pub fn forget(child_folder: &Path) -> Result<(), FileError> {
        let folder = child_folder.join(INCOMING);
        if !folder.exists() {
            return Ok(());
        }
        // The outcome last: without an order it says nothing.
        durable::remove(&folder.join(ORDER))?;
        durable::remove(&folder.join(OUTCOME))
    }

    /// Removes the folders of a child that isn't there, as far as nothing is in them.
    pub fn leave(child_folder: &Path) {
        let incoming = child_folder.join(INCOMING);
        // The doorbell is made anew for each order.
        let _ = fs::remove_file(incoming.join(doorbell::NAME));
        for folder in [&incoming, &child_folder.join("versions"), child_folder] {
            let _ = fs::remove_dir(folder);
        }
    }

    /// The order in the folder of a process, if there is one that can be read.
    pub fn read(folder: &Path) -> Option<Order> {
        let node = json::parse(&fs::read_to_string(folder.join(ORDER)).ok()?).ok()?;
        let word = text(&node, "act");
        let number = node.get("maxPackage").and_then(Node::as_u64);
        let flag = |name| node.get(name).and_then(Node::as_bool).unwrap_or_default();
        let path = |name| Some(text(&node, name)).filter(|it| !it.is_empty()).map(PathBuf::from);
        Some(Order {
            act: ACTS.iter().find(|(_, name)| *name == word)?.0,
            job: text(&node, "job"),
            child: text(&node, "child"),
            url: text(&node, "url"),
            checksum: text(&node, "checksum"),
            version: node.get("version").and_then(Node::as_str).map(str::to_owned),
            folder: text(&node, "folder"),
            max_package: number.unwrap_or_default(),
            sources: Sources {
                ftp: flag("ftp"),
                plain_http: flag("plainHttp"),
                ca_file: path("caFile"),
                folder: path("packages"),
                #[cfg(feature = "ssm")]
                config: path("config"),
            },
        })
    }

    fn write(&self) -> String {
        let act = ACTS.iter().find(|(act, _)| *act == self.act).map_or("", |(_, name)| name);
        let path =
            |path: &Option<PathBuf>| path.as_ref().map(|it| it.to_string_lossy().into_owned());
        let flag = |flag: bool| if flag { "true" } else { "false" };
        let order = ObjectWriter::new()
            .string("act", act)
            .string("job", &self.job)
            .string("child", &self.child)
            .string("url", &self.url)
            .string("checksum", &self.checksum)
            .optional("version", self.version.as_deref())
            .string("folder", &self.folder)
            .raw("maxPackage", &self.max_package.to_string())
            .raw("ftp", flag(self.sources.ftp))
            .raw("plainHttp", flag(self.sources.plain_http))
            .optional("caFile", path(&self.sources.ca_file).as_deref())
            .optional("packages", path(&self.sources.folder).as_deref());
        #[cfg(feature = "ssm")]
        let order = order.optional("config", path(&self.sources.config).as_deref());
        order.finish()
    }
}

impl Outcome {
    /// What became of the order in the folder of a child; `None` as long as nobody knows.
    pub fn of(child_folder: &Path) -> Option<Outcome> {
        let path = child_folder.join(INCOMING).join(OUTCOME);
        let node = json::parse(&fs::read_to_string(path).ok()?).ok()?;
        Some(Outcome { error: text(&node, "error"), folder: text(&node, "folder") })
    }

    /// Writes it into the folder of its process, durably.
    ///
    /// # Errors
    /// The step that failed.
    pub fn put(&self, folder: &Path) -> Result<(), FileError> {
        let text = ObjectWriter::new().string("error", &self.error).string("folder", &self.folder);
        durable::write(&folder.join(OUTCOME), text.finish().as_bytes())
    }
}

fn text(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn an_order_and_its_outcome_come_back_as_they_went() {
        let folder = Folder::new();
        let order = Order {
            act: Act::Apply,
            job: "install 1".into(),
            child: "a".into(),
            url: "https://h/\"a\".deb".into(),
            checksum: "SHA256:00".into(),
            version: Some("1".into()),
            folder: "1".into(),
            max_package: 7,
            sources: Sources {
                ftp: true,
                plain_http: true,
                ca_file: Some("/ca.pem".into()),
                folder: Some("/media".into()),
                #[cfg(feature = "ssm")]
                config: Some("/stint.json".into()),
            },
        };
        let incoming = order.put(folder.path()).unwrap();
        assert_eq!(Order::read(&incoming), Some(order.clone()));
        assert_eq!(Outcome::of(folder.path()), None);
        let outcome = Outcome { error: "no".into(), folder: "1".into() };
        outcome.put(&incoming).unwrap();
        assert_eq!(Outcome::of(folder.path()), Some(outcome));
        order.put(folder.path()).unwrap();
        assert_eq!(Outcome::of(folder.path()), None);
    }
}

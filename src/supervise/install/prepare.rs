//! Making a version of a package: it is fetched, verified, and then unpacked or put away.

use super::file_name;
use super::kind::{self, Kind};
use super::listing;
use super::order::Order;
use super::system::{self, Described};
use super::tool::{self, InstallError};
use super::versions::{Note, Versions};
use crate::patience::Patience;
use crate::remote::Place;
use crate::sys::{FileError, durable, host};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use stint_wire::bootagent::is_version;
use stint_wire::json::{self, Node};

/// The package's file while it is looked at.
const PACKAGE: &str = "package";

/// The definition that a package brings, at its top.
pub const DEFINITION: &str = "agent.json";

/// A larger one is none, bytes.
const MAX_DEFINITION: u64 = 16 * 1024;

/// What stays free when a package has been unpacked, bytes: results have to be written.
const SPARE: u64 = 256 * 1024;

/// Characters of the checksum that stand for a version where nobody tells one.
const STAND_IN: usize = 12;

/// Makes a version of the package that is ordered. The result is its folder's name. One that is
/// there already, of a package with this checksum, isn't made again.
///
/// # Errors
/// See [`InstallError`]. No version has changed then, and none is new.
pub fn prepare(order: &Order, folder: &Path, patience: &Patience) -> Result<String, InstallError> {
    let sha256 = checksum(&order.checksum)?;
    let child_folder = folder.parent().unwrap_or(folder);
    let versions = Versions::of(child_folder);
    if let Some(name) = versions.find(&sha256) {
        return Ok(name);
    }
    let package = folder.join(PACKAGE);
    fetch(order, &package, &sha256, patience)?;
    let making = Making { order, sha256, versions, package: &package, folder, patience };
    let result = making.make();
    if !matches!(result, Err(InstallError::Stopped(_))) {
        durable::remove(&package)?;
        making.versions.give_up()?;
    }
    result
}

/// The digits of a checksum, in lower case.
///
/// # Errors
/// There is none, or none by which a package could be trusted.
pub fn checksum(text: &str) -> Result<String, InstallError> {
    let refused = |why: &str| Err(InstallError::Refused(why.to_owned()));
    if text.is_empty() {
        return refused(
            "the job has no checksum; a package is installed only with \"SHA256:\" and its 64 \
             hexadecimal digits",
        );
    }
    let (algorithm, digits) = text.split_once(':').unwrap_or(("", text));
    if !algorithm.eq_ignore_ascii_case("SHA256") && !algorithm.eq_ignore_ascii_case("SHA-256") {
        return refused("the checksum must be \"SHA256:\" and 64 hexadecimal digits");
    }
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return refused("the checksum's SHA-256 must have 64 hexadecimal digits");
    }
    Ok(digits.to_ascii_lowercase())
}

fn fetch(
    order: &Order,
    package: &Path,
    sha256: &str,
    patience: &Patience,
) -> Result<(), InstallError> {
    // Verified by a process that was killed behind it; nobody else puts anything there.
    if package.exists() && sum(package)? == sha256 {
        return Ok(());
    }
    let resume = format!("{} {sha256}", order.url);
    let place = Place {
        path: package,
        sha256: Some(sha256),
        limit: order.max_package,
        resume: Some(&resume),
    };
    #[cfg(uplink)]
    return Ok(crate::uplink::package::get(&order.url, &place, &order.sources, patience)?);
    #[cfg(not(uplink))]
    {
        let _ = (place, patience);
        let why = "this stint was built without an uplink, so it can't download packages";
        Err(InstallError::Refused(why.to_owned()))
    }
}

fn sum(path: &Path) -> Result<String, FileError> {
    let failed = |cause| FileError::new("read", path)(cause);
    let mut file = File::open(path).map_err(failed)?;
    let mut sum = stint_wire::text::Sha256Sum::default();
    let mut chunk = [0; 16 * 1024];
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(sum.finish()),
            count => sum.add(chunk.get(..count).unwrap_or_default()),
        }
    }
}

struct Making<'a> {
    order: &'a Order,
    sha256: String,
    versions: Versions,
    package: &'a Path,
    folder: &'a Path,
    patience: &'a Patience,
}

impl Making<'_> {
    fn make(&self) -> Result<String, InstallError> {
        let file = file_name::of(&self.order.url);
        let mut head = Vec::new();
        let opened = File::open(self.package).map_err(FileError::new("open", self.package))?;
        opened
            .take(kind::HEAD as u64)
            .read_to_end(&mut head)
            .map_err(FileError::new("read", self.package))?;
        let kind = Kind::of(&head, file_name::ending(file)).ok_or_else(|| {
            self.refused(
                "is no package: neither a program nor a .tar.gz, .tar.xz, .deb, .ipk, .apk or .rpm",
            )
        })?;
        let names = match head.starts_with(b"\x1f\x8b") {
            true => self.tar("-tzf")?,
            false => String::new(),
        };
        let kind = if kind == Kind::TarGz { Kind::of_entries(&names) } else { kind };
        let made = self.versions.begin()?;
        let (described, kept) = match kind {
            Kind::Program => {
                let place = made.join(&self.order.child);
                self.put(&place, 0o755)?;
                (Described::default(), String::new())
            }
            Kind::TarGz | Kind::TarXz => {
                self.unpack(kind, names, &made)?;
                (self.described_inside(&made), String::new())
            }
            _ => {
                let described =
                    system::describe(kind, self.package, &names, self.folder, self.patience)?;
                let kept = format!("package.{}", kind.name());
                self.put(&made.join(&kept), 0o600)?;
                (described, kept)
            }
        };
        let package = match described.package {
            name if name.is_empty() && system::is_for(kind) => self.order.child.clone(),
            name => name,
        };
        let version = [
            self.order.version.as_deref(),
            Some(described.version.as_str()),
            file_name::version(file),
            self.sha256.get(..STAND_IN),
        ];
        let version = version.into_iter().flatten().find(|version| is_version(version));
        let note = Note {
            version: version.unwrap_or("0").to_owned(),
            sha256: self.sha256.clone(),
            kind,
            package,
            file: kept,
        };
        Ok(self.versions.finish(&made, &note)?)
    }

    /// A copy, as the package's own file is needed until the version is whole.
    fn put(&self, place: &Path, mode: u32) -> Result<(), FileError> {
        let copy = || fs::copy(self.package, place);
        crate::sys::faults::attempt("copy", place, copy)?;
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place, mode).map_err(FileError::new("chmod", place))
    }

    fn tar(&self, how: &'static str) -> Result<String, InstallError> {
        let package = self.package.to_string_lossy();
        tool::run("tar", &[how, package.as_ref()], self.folder, self.patience)
    }

    fn unpack(&self, kind: Kind, names: String, made: &Path) -> Result<(), InstallError> {
        let (names, lines, unpack) = match kind {
            Kind::TarXz => (self.tar("-tJf")?, self.tar("-tvJf")?, "-xJf"),
            _ => (names, self.tar("-tvzf")?, "-xzf"),
        };
        let size = listing::check(&names, &lines).map_err(|why| self.refused(&why))?;
        let needed = size.saturating_add(SPARE);
        if let Some(free) = host::free_bytes(made)
            && needed > free
        {
            let (needed, free) = (needed.div_ceil(1024), free / 1024);
            let why = format!("takes {needed} KiB unpacked, and the disk has {free} KiB free");
            return Err(self.refused(&why));
        }
        let (package, goal) = (self.package.to_string_lossy(), made.to_string_lossy());
        // `-o`: as the agent's own, not as the user of that number who has packed it.
        let words = [unpack, package.as_ref(), "-o", "-C", goal.as_ref()];
        tool::run("tar", &words, self.folder, self.patience)?;
        lift(made, &self.order.child)?;
        Ok(())
    }

    /// What the definition in an unpacked package says of its version.
    fn described_inside(&self, made: &Path) -> Described {
        let version = definition(made).and_then(|text| {
            let node = json::parse(&text).ok()?;
            node.get("version").and_then(Node::as_str).map(str::to_owned)
        });
        Described { version: version.unwrap_or_default(), ..Described::default() }
    }

    fn refused(&self, why: &str) -> InstallError {
        InstallError::Refused(format!("{} {why}", file_name::of(&self.order.url)))
    }
}

/// The definition that the package in a folder brings, if it does.
pub fn definition(folder: &Path) -> Option<String> {
    let path = folder.join(DEFINITION);
    // A link could lead anywhere.
    let meta = fs::symlink_metadata(&path).ok()?;
    let fits = meta.is_file() && meta.len() <= MAX_DEFINITION;
    fits.then(|| fs::read_to_string(path).ok()).flatten()
}

/// Many archives hold one folder, `name-version`, with all the rest in it: its content is what is
/// meant.
fn lift(made: &Path, child: &str) -> Result<(), FileError> {
    let names = durable::list(made)?;
    let [name] = names.as_slice() else { return Ok(()) };
    let inner = made.join(name);
    let is_folder = fs::symlink_metadata(&inner).is_ok_and(|meta| meta.is_dir());
    let is_its = name.to_ascii_lowercase().starts_with(&child.to_ascii_lowercase());
    if !is_folder || !(is_its || inner.join(DEFINITION).is_file()) {
        return Ok(());
    }
    // A name that none of its files can have.
    let aside: PathBuf = made.join(".stint.lifted");
    durable::rename(&inner, &aside)?;
    for name in fs::read_dir(&aside).map_err(FileError::new("read", &aside))?.flatten() {
        durable::rename(&name.path(), &made.join(name.file_name()))?;
    }
    fs::remove_dir(&aside).map_err(FileError::new("remove", &aside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_checksum_is_sha_256_or_the_package_is_refused() {
        let digits = "AB".repeat(32);
        for good in [format!("SHA256:{digits}"), format!("sha-256:{digits}")] {
            assert_eq!(checksum(&good).unwrap(), "ab".repeat(32));
        }
        for (bad, wanted) in [
            (String::new(), "no checksum"),
            (format!("MD5:{digits}"), "must be \"SHA256:\""),
            (digits.clone(), "must be \"SHA256:\""),
            ("SHA256:abc".to_owned(), "64"),
            (format!("SHA256:{}", "xy".repeat(32)), "64"),
        ] {
            let error = checksum(&bad).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn the_one_folder_of_an_archive_is_what_is_meant_if_it_bears_the_childs_name() {
        let folder = Folder::new();
        let top = folder.path();
        fs::create_dir_all(top.join("Agent-1.0/bin")).unwrap();
        fs::write(top.join("Agent-1.0/agent.json"), "{}").unwrap();
        lift(top, "agent").unwrap();
        assert_eq!(durable::list(top).unwrap(), ["agent.json", "bin"]);
        lift(top, "agent").unwrap();
        fs::remove_file(top.join("agent.json")).unwrap();
        lift(top, "agent").unwrap();
        assert_eq!(durable::list(top).unwrap(), ["bin"]);
    }
}

//! The system's own package managers, as data.

use super::kind::Kind;
use super::tool::{self, InstallError};
use crate::patience::Patience;
use std::path::Path;

/// How one package manager is spoken to. That the package is the right one is known by its
/// checksum, so that no manager need ask for a signature of its own; and an older version is
/// installed where the server wants it.
struct Manager {
    kind: Kind,
    what: &'static str,
    program: &'static str,
    install: &'static [&'static str],
    remove: &'static [&'static str],
}

const MANAGERS: [Manager; 4] = [
    Manager {
        kind: Kind::Deb,
        what: "a .deb",
        program: "dpkg",
        install: &["--force-confdef", "--force-confold", "--install"],
        remove: &["--remove"],
    },
    Manager {
        kind: Kind::Ipk,
        what: "an .ipk",
        program: "opkg",
        install: &["install", "--force-downgrade", "--force-reinstall"],
        remove: &["remove"],
    },
    Manager {
        kind: Kind::Apk,
        what: "an .apk",
        program: "apk",
        install: &["add", "--allow-untrusted"],
        remove: &["del"],
    },
    Manager {
        kind: Kind::Rpm,
        what: "an .rpm",
        program: "rpm",
        install: &["--upgrade", "--oldpackage", "--replacepkgs", "--nosignature"],
        remove: &["--erase"],
    },
];

/// What a package says of itself. Empty where it doesn't.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its name for the package manager.
    pub package: String,
    /// Its version.
    pub version: String,
}

/// Whether packages of this kind are for the system's package manager.
pub fn is_for(kind: Kind) -> bool {
    MANAGERS.iter().any(|manager| manager.kind == kind)
}

/// Reads what a package says of itself. `names` is the listing of one that is a gzipped archive.
///
/// # Errors
/// This device can't install such packages, or this one is damaged.
pub fn describe(
    kind: Kind,
    package: &Path,
    names: &str,
    folder: &Path,
    patience: &Patience,
) -> Result<Described, InstallError> {
    let manager = of(kind)?;
    let file = package.to_string_lossy();
    let run = |program, words: &[&str]| tool::run(program, words, folder, patience);
    let entry = |name| names.lines().find(|it| it.trim_start_matches("./") == name).unwrap_or(name);
    match kind {
        Kind::Deb => {
            let said = run("dpkg-deb", &["--field", &file, "Package", "Version"])?;
            Ok(Described::from(&said, ": ", "Package", "Version"))
        }
        Kind::Rpm => {
            let form = "Name: %{NAME}\nVersion: %{VERSION}-%{RELEASE}\n";
            let said = run(
                manager.program,
                &["--query", "--package", "--nosignature", "--queryformat", form, &file],
            )?;
            Ok(Described::from(&said, ": ", "Name", "Version"))
        }
        Kind::Ipk if !names.is_empty() => {
            let inner = folder.to_string_lossy();
            let control = entry("control.tar.gz");
            run("tar", &["-xzf", &file, "-C", &inner, control])?;
            let control = folder.join(control.trim_start_matches("./"));
            let control = control.to_string_lossy();
            let inside = run("tar", &["-tzf", &control])?;
            let name = inside.lines().find(|it| it.trim_start_matches("./") == "control");
            let said = run("tar", &["-xzOf", &control, name.unwrap_or("control")]);
            let _ = std::fs::remove_file(&*control);
            Ok(Described::from(&said?, ": ", "Package", "Version"))
        }
        Kind::Apk if !names.is_empty() => {
            let said = run("tar", &["-xzOf", &file, entry(".PKGINFO")])?;
            Ok(Described::from(&said, " = ", "pkgname", "pkgver"))
        }
        // The others can be read by their manager alone, once they are installed.
        _ => Ok(Described::default()),
    }
}

/// Installs a package.
///
/// # Errors
/// The manager's own words.
pub fn install(
    kind: Kind,
    package: &Path,
    folder: &Path,
    patience: &Patience,
) -> Result<(), InstallError> {
    let manager = of(kind)?;
    let file = package.to_string_lossy();
    let words = [manager.install, &[file.as_ref()]].concat();
    tool::run(manager.program, &words, folder, patience).map(drop)
}

/// Removes a package by its name.
///
/// # Errors
/// The manager's own words.
pub fn remove(
    kind: Kind,
    package: &str,
    folder: &Path,
    patience: &Patience,
) -> Result<(), InstallError> {
    let manager = of(kind)?;
    let words = [manager.remove, &[package]].concat();
    tool::run(manager.program, &words, folder, patience).map(drop)
}

fn of(kind: Kind) -> Result<&'static Manager, InstallError> {
    let found = MANAGERS.iter().find(|manager| manager.kind == kind);
    let manager = found
        .ok_or_else(|| InstallError::Refused("no package manager installs this".to_owned()))?;
    if !tool::exists(manager.program) {
        return Err(InstallError::Missing { program: manager.program, what: manager.what });
    }
    Ok(manager)
}

impl Described {
    fn from(said: &str, between: &str, package: &str, version: &str) -> Described {
        let value = |name: &str| {
            let line = said.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(between));
            line.unwrap_or_default().trim().to_owned()
        };
        Described { package: value(package), version: value(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_says_of_itself_is_read() {
        let control = "Package: agent\nVersion: 1.2-3\nDepends: libc\n";
        let wanted = Described { package: "agent".into(), version: "1.2-3".into() };
        assert_eq!(Described::from(control, ": ", "Package", "Version"), wanted);
        let info = "# made by abuild\npkgname = agent\npkgver = 1.2-3\n";
        assert_eq!(Described::from(info, " = ", "pkgname", "pkgver"), wanted);
        assert_eq!(Described::from("", ": ", "Package", "Version"), Described::default());
    }
}

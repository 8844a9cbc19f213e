//! What the name of a package's file tells: `Name-Version[-Release].arch.ext`, `name_version_arch.ext`.

/// Endings of packages, longest first.
const ENDINGS: [&str; 7] = [".tar.gz", ".tar.xz", ".tgz", ".rpm", ".deb", ".ipk", ".apk"];

/// How names of processors and their like begin.
const MACHINES: [&str; 14] = [
    "x86", "amd64", "i386", "i486", "i586", "i686", "arm", "aarch64", "mips", "ppc", "powerpc",
    "riscv", "noarch", "all",
];

/// The last part of a URL, without query and fragment: the file's name.
pub fn of(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The ending, such as `.rpm`; empty if it is none that packages have.
pub fn ending(file: &str) -> &'static str {
    let lower = file.to_ascii_lowercase();
    ENDINGS.into_iter().find(|ending| lower.ends_with(ending)).unwrap_or_default()
}

/// The version that the name tells, if it tells one. A release (`-1`) is part of it.
pub fn version(file: &str) -> Option<&str> {
    let stem = file.get(..file.len() - ending(file).len())?;
    // Debian's and its relatives' way. An underscore may also be in a name, or in x86_64.
    if let Some((_, rest)) = stem.split_once('_')
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && !stem.contains("x86_64")
    {
        return clean(rest.split('_').next().unwrap_or(rest));
    }
    // The first part that begins with a digit, as rpm and tarballs have it.
    let mut from = 0;
    loop {
        from += stem.get(from..)?.find('-')? + 1;
        let rest = stem.get(from..)?;
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return clean(rest);
        }
    }
}

/// Without the processor, and without dots and hyphens that separate nothing: a typing slip in
/// the founding page has two of them, and nothing behind.
fn clean(version: &str) -> Option<&str> {
    let mut version = version.trim_end_matches(['.', '-']);
    while let Some((before, last)) = version.rsplit_once(['.', '-']) {
        let lower = last.to_ascii_lowercase();
        if !MACHINES.iter().any(|machine| lower.starts_with(machine)) {
            break;
        }
        version = before.trim_end_matches(['.', '-']);
    }
    Some(version).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_version_is_found_in_the_names_that_packages_have() {
        for (file, wanted) in [
            ("BasicAgent-1.5.6..rpm", Some("1.5.6")),
            ("BasicAgent-1.5.6-2.x86_64.rpm", Some("1.5.6-2")),
            ("bootagent-1.2.4-x86_64", Some("1.2.4")),
            ("basic-agent-2.0-rc1.noarch.rpm", Some("2.0-rc1")),
            ("agent_1.2.3-r4_arm_cortex-a7.ipk", Some("1.2.3-r4")),
            ("stint_0.1.0_armhf.deb", Some("0.1.0")),
            ("agent-1.2.3-r0.apk", Some("1.2.3-r0")),
            ("log-agent-3.tar.gz", Some("3")),
            ("agent-1.0-mipsel.tgz", Some("1.0")),
            ("my_agent-4.1.tar.xz", Some("4.1")),
            ("agent", None),
            ("agent.rpm", None),
            ("x-.rpm", None),
            ("", None),
        ] {
            assert_eq!(version(file), wanted, "{file}");
        }
    }

    #[test]
    fn a_file_name_is_the_last_part_of_a_url() {
        assert_eq!(of("ftp://server:21/BasicAgent/BasicAgent-1.5.6..rpm"), "BasicAgent-1.5.6..rpm");
        assert_eq!(of("https://h/a/b.deb?token=/x#y"), "b.deb");
        assert_eq!(ending("A.TAR.GZ"), ".tar.gz");
        assert_eq!(ending("agent"), "");
    }

    proptest! {
        #[test]
        fn no_name_makes_the_reader_panic(name: String) {
            let _ = version(of(&name));
        }

        #[test]
        fn a_version_is_a_part_of_its_name(name in "[a-z_-]{1,9}[0-9._-]{1,9}(.x86_64)?(.rpm|.deb)?") {
            prop_assert!(version(&name).is_none_or(|version| name.contains(version)));
        }
    }
}

//! What kind of package a file is: by its first bytes, and by its name where these leave a choice.

/// The most bytes that [`Kind::of`] wants to see.
pub const HEAD: usize = 8;

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program or a script, which is the child.
    Program,
    /// A tar archive, packed by gzip.
    TarGz,
    /// A tar archive, packed by xz.
    TarXz,
    /// For dpkg.
    Deb,
    /// For opkg.
    Ipk,
    /// For apk.
    Apk,
    /// For rpm.
    Rpm,
}

const NAMES: [(Kind, &str); 7] = [
    (Kind::Program, "program"),
    (Kind::TarGz, "tar.gz"),
    (Kind::TarXz, "tar.xz"),
    (Kind::Deb, "deb"),
    (Kind::Ipk, "ipk"),
    (Kind::Apk, "apk"),
    (Kind::Rpm, "rpm"),
];

impl Kind {
    /// The kind of a file that begins with `head` and whose name ends with `ending`; `None` if
    /// it is no package. Content counts; the name decides between kinds of the same content.
    pub fn of(head: &[u8], ending: &str) -> Option<Kind> {
        match head {
            [0x7f, b'E', b'L', b'F', ..] | [b'#', b'!', ..] => Some(Kind::Program),
            [0xed, 0xab, 0xee, 0xdb, ..] => Some(Kind::Rpm),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Kind::TarXz),
            [b'A', b'D', b'B', ..] => Some(Kind::Apk),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] if ending == ".ipk" => Some(Kind::Ipk),
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => Some(Kind::Deb),
            [0x1f, 0x8b, ..] => Some(match ending {
                ".ipk" => Kind::Ipk,
                ".apk" => Kind::Apk,
                _ => Kind::TarGz,
            }),
            _ => None,
        }
    }

    /// What a gzipped tar archive with these entries is: opkg's and apk's packages are some.
    pub fn of_entries(names: &str) -> Kind {
        let has = |wanted: &str| names.lines().any(|name| name.trim_start_matches("./") == wanted);
        if has("debian-binary") && has("control.tar.gz") {
            Kind::Ipk
        } else if has(".PKGINFO") {
            Kind::Apk
        } else {
            Kind::TarGz
        }
    }

    /// As it is noted, and as people call it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Kind> {
        NAMES.iter().find(|(_, other)| *other == name).map(|(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_the_kind_and_the_name_only_where_content_leaves_a_choice() {
        for (head, ending, wanted) in [
            (b"\x7fELF\x01\x01\x01\0".as_slice(), ".rpm", Some(Kind::Program)),
            (b"#!/bin/s", "", Some(Kind::Program)),
            (b"\xed\xab\xee\xdb\x03\0\0\0", ".deb", Some(Kind::Rpm)),
            (b"\xfd7zXZ\0\0\0", "", Some(Kind::TarXz)),
            (b"!<arch>\n", "", Some(Kind::Deb)),
            (b"!<arch>\n", ".ipk", Some(Kind::Ipk)),
            (b"\x1f\x8b\x08\0\0\0\0\0", ".tgz", Some(Kind::TarGz)),
            (b"\x1f\x8b\x08\0\0\0\0\0", ".ipk", Some(Kind::Ipk)),
            (b"\x1f\x8b\x08\0\0\0\0\0", ".apk", Some(Kind::Apk)),
            (b"ADBd....", "", Some(Kind::Apk)),
            (b"<html>\n\n", ".deb", None),
            (b"", "", None),
        ] {
            assert_eq!(Kind::of(head, ending), wanted, "{head:?} {ending}");
        }
    }

    #[test]
    fn an_archive_without_a_name_is_known_by_its_entries() {
        assert_eq!(
            Kind::of_entries("./debian-binary\n./control.tar.gz\n./data.tar.gz\n"),
            Kind::Ipk
        );
        assert_eq!(Kind::of_entries(".SIGN.RSA.x\n.PKGINFO\nusr/\n"), Kind::Apk);
        assert_eq!(Kind::of_entries("agent.json\nagent\n"), Kind::TarGz);
        assert!(NAMES.iter().all(|(kind, name)| Kind::parse(name) == Some(*kind)));
    }
}

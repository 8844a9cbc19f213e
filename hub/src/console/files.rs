//! The page and what belongs to it. All of it is in the program, so that the hub stays one file.

use stint_wire::text::sha256_hex;

// `PACKAGES`: name and content of each file of the terminal's packages; none when they were not there.
include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The page. It is the same for every path; its script does the rest.
const PAGE: &str = include_str!("../../console/index.html");

/// Where the page says whether the terminal is there.
const MARK: &str = "{{terminal}}";

macro_rules! own {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../console/", $name)) as &[u8])),*]
    };
}

const OWN: &[(&str, &[u8])] = own![
    "app.css",
    "app.js",
    "channel.js",
    "frames.js",
    "hub.js",
    "icon.svg",
    "kept.js",
    "sha256.js",
    "stream.js",
    "terminal.js",
];

/// A file for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its media type.
    pub kind: &'static str,
    /// What is in it.
    pub content: &'static [u8],
}

impl File {
    /// What changes with its content, in quotes as `ETag` has it.
    pub fn tag(&self) -> String {
        let digest = sha256_hex(self.content);
        format!("\"{}\"", digest.get(..32).unwrap_or(&digest))
    }
}

/// The page's text.
pub fn page() -> String {
    page_with(!PACKAGES.is_empty())
}

fn page_with(terminal: bool) -> String {
    PAGE.replace(MARK, if terminal { "there" } else { "missing" })
}

/// A file by its name.
pub fn find(name: &str) -> Option<File> {
    let &(name, content) = OWN.iter().chain(PACKAGES).find(|(known, _)| *known == name)?;
    Some(File { kind: kind(name), content })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_whether_the_terminal_is_there() {
        assert!(page_with(true).contains("data-terminal=\"there\""));
        let without = page_with(false);
        assert!(without.contains("data-terminal=\"missing\"") && !without.contains(MARK));
        let remedy = find("app.js").unwrap();
        assert!(std::str::from_utf8(remedy.content).unwrap().contains("make console"));
    }

    #[test]
    fn every_file_that_the_page_and_its_scripts_name_is_there() {
        let mut named = 0;
        let scripts = OWN.iter().map(|(_, content)| std::str::from_utf8(content).unwrap());
        for text in scripts.chain([PAGE]) {
            let places =
                text.split("/console/files/").skip(1).chain(text.split("from './").skip(1));
            for name in places.map(|rest| rest.split(['"', '\'']).next().unwrap()) {
                let package = ["xterm.css", "xterm.mjs", "addon-fit.mjs"].contains(&name);
                assert!(package || find(name).is_some(), "{name}");
                named += 1;
            }
        }
        assert!(named > 5, "{named}");
    }

    #[test]
    fn scripts_have_the_type_that_browsers_run() {
        assert_eq!(find("app.js").unwrap().kind, "text/javascript; charset=utf-8");
        assert_eq!(kind("xterm.mjs"), "text/javascript; charset=utf-8");
        assert!(find("../index.html").is_none() && find("").is_none());
        assert_ne!(find("app.js").unwrap().tag(), find("app.css").unwrap().tag());
    }
}

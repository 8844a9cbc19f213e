//! What `tar -t` and `tar -tv` tell of an archive, and whether it may be unpacked: nothing of it
//! may lie outside its folder, nor lead there.

use std::collections::BTreeSet;

/// Goes through the two listings of one archive. The result is how many bytes its files have.
///
/// # Errors
/// Why it isn't unpacked, with the entry.
pub fn check(names: &str, lines: &str) -> Result<u64, String> {
    let entries = entries(names, lines)?;
    let paths = |is: fn(&Entry) -> bool| -> BTreeSet<&str> {
        entries.iter().filter(|it| is(it)).map(|it| it.path.as_str()).collect()
    };
    let symlinks = paths(Entry::is_symlink);
    let links = paths(|it| it.target.is_some());
    let mut bytes: u64 = 0;
    for entry in &entries {
        let refuse = |why: &str| Err(format!("its entry {} {why}", entry.path));
        if through(&entry.path, &links) {
            return refuse("lies behind a link");
        }
        if !b"-dlh".contains(&entry.kind) {
            return refuse("is neither a file nor a folder nor a link");
        }
        let inside = match &entry.target {
            None => true,
            Some(target) if entry.is_symlink() => stays_inside(&entry.path, target),
            // A second name of a symlink would lead elsewhere from where it is.
            Some(target) => clean(target).is_some_and(|target| {
                !symlinks.contains(target.as_str()) && !through(&target, &links)
            }),
        };
        if !inside {
            return refuse("is a link that leads out of its folder");
        }
        bytes = bytes.saturating_add(entry.size);
    }
    Ok(bytes)
}

struct Entry {
    /// Below the folder, without `.` and doubled slashes.
    path: String,
    /// The first letter of the line.
    kind: u8,
    size: u64,
    target: Option<String>,
}

impl Entry {
    fn is_symlink(&self) -> bool {
        self.kind == b'l'
    }
}

fn entries(names: &str, lines: &str) -> Result<Vec<Entry>, String> {
    if names.lines().count() != lines.lines().count() {
        return Err("its two listings don't agree".to_owned());
    }
    names.lines().zip(lines.lines()).map(|(name, line)| entry(name, line)).collect()
}

/// GNU's and busybox's lines are `-rw-r--r-- user/group 12 2026-01-02 03:04 name`, behind which
/// links have ` -> target`, hard ones also ` link to target`.
fn entry(name: &str, line: &str) -> Result<Entry, String> {
    let unreadable = || format!("the system's tar lists its entry {name} in an unknown way");
    let path = clean(name).ok_or_else(|| format!("its entry {name} lies outside its folder"))?;
    let kind = line.bytes().next().ok_or_else(unreadable)?;
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start_matches(' ').split_once(' ')?;
        rest = after;
        Some(word)
    };
    let (_mode, _owner, size, _date, _time) =
        (word(), word(), word(), word(), word().ok_or_else(unreadable)?);
    let tail = rest.strip_prefix(name).ok_or_else(unreadable)?;
    let target = tail.strip_prefix(" -> ").or_else(|| tail.strip_prefix(" link to "));
    if target.is_none() && (!tail.is_empty() || kind == b'l' || kind == b'h') {
        return Err(unreadable());
    }
    // A device has two numbers instead; it is refused for what it is.
    let size = size.and_then(|size| size.parse().ok());
    let size = if kind == b'-' { size.ok_or_else(unreadable)? } else { 0 };
    Ok(Entry { path, kind, size, target: target.map(str::to_owned) })
}

/// A path below the folder, or `None` if it isn't.
fn clean(name: &str) -> Option<String> {
    let parts: Vec<&str> = parts(name).collect();
    (!name.starts_with('/') && !parts.contains(&"..")).then(|| parts.join("/"))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// Whether one of the folders on the way to `path` is a link.
fn through(path: &str, links: &BTreeSet<&str>) -> bool {
    path.match_indices('/').any(|(end, _)| path.get(..end).is_some_and(|it| links.contains(it)))
}

/// Whether a symlink at `path` leads to something below the folder. It may climb only at its
/// beginning: behind another link `..` is somewhere else than it seems.
fn stays_inside(path: &str, target: &str) -> bool {
    let depth = path.matches('/').count();
    let climbs = parts(target).take_while(|part| *part == "..").count();
    let later = parts(target).skip(climbs).any(|part| part == "..");
    !target.is_empty() && !target.starts_with('/') && climbs <= depth && !later
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(kind: char, name: &str, link: &str) -> (String, String) {
        let line = format!("{kind}rwxr-xr-x root/root        12 2026-01-02 03:04 {name}{link}");
        (name.to_owned(), line)
    }

    fn listed(entries: &[(String, String)]) -> Result<u64, String> {
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        let lines: Vec<_> = entries.iter().map(|(_, line)| line.as_str()).collect();
        check(&names.join("\n"), &lines.join("\n"))
    }

    #[test]
    fn an_ordinary_archive_may_be_unpacked_and_its_size_is_known() {
        let size = listed(&[
            line('d', "./", ""),
            line('-', "./agent", ""),
            line('-', "./a file -> with words", ""),
            line('d', "./lib/", ""),
            line('-', "./lib/a.so.1", ""),
            line('l', "./lib/a.so", " -> a.so.1"),
            line('l', "./lib/up", " -> ../agent"),
            line('h', "./again", " link to ./agent"),
            line('-', "./busybox", " -> ./agent"),
        ]);
        assert_eq!(size, Ok(48));
    }

    #[test]
    fn an_archive_that_reaches_out_of_its_folder_is_refused_by_the_name_of_its_entry() {
        for (entries, wanted) in [
            (vec![line('-', "/etc/passwd", "")], "/etc/passwd lies outside"),
            (vec![line('-', "a/../../b", "")], "a/../../b lies outside"),
            (vec![line('l', "a", " -> /etc")], "a is a link that leads out"),
            (vec![line('l', "a", " -> ../b")], "a is a link that leads out"),
            (vec![line('l', "d/a", " -> ../../b")], "d/a is a link that leads out"),
            // Through a link that is harmless by itself `..` is outside.
            (
                vec![line('l', "x", " -> ."), line('l', "y", " -> x/..")],
                "y is a link that leads out",
            ),
            (vec![line('l', "x", " -> ."), line('l', "x/y", " -> ../z")], "x/y lies behind a link"),
            (vec![line('-', "x/y", ""), line('l', "x", " -> d")], "x/y lies behind a link"),
            (vec![line('h', "a", " link to /etc/shadow")], "a is a link that leads out"),
            (vec![line('h', "a", " link to ../b")], "a is a link that leads out"),
            (vec![line('l', "x", " -> d"), line('h', "a", " link to x/f")], "leads out"),
            // Inside from the depth where it is, outside from the top.
            (
                vec![line('l', "d/e/a", " -> ../../x"), line('h', "b", " link to ./d/e/a")],
                "b is a link that leads out",
            ),
            (
                vec![line('-', "b", " -> d/a"), line('l', "d/a", " -> ../x")],
                "b is a link that leads out",
            ),
            (
                vec![line('-', "a", ""), line('h', "b", " link to a"), line('-', "b/evil", "")],
                "b/evil lies behind a link",
            ),
            (vec![line('c', "null", "")], "null is neither a file"),
            (vec![line('p', "fifo", "")], "fifo is neither a file"),
        ] {
            let error = listed(&entries).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_listing_that_is_not_understood_is_refused() {
        assert!(check("a\nb", "one line").unwrap_err().contains("don't agree"));
        for line in ["", "-rw-r--r-- root", "-rw-r--r-- u/g 12 2026-01-02 03:04 another"] {
            let lines = if line.is_empty() { "\n" } else { line };
            assert!(check("a", lines).is_err(), "{line}");
        }
        let (name, line) = line('l', "a", "");
        assert!(check(&name, &line).is_err());
    }

    proptest! {
        #[test]
        fn no_listing_makes_the_reader_panic(names: String, lines: String) {
            let _ = check(&names, &lines);
        }

        #[test]
        fn whatever_a_link_says_it_stays_inside_or_is_refused(
            path in "([a-z]/){0,3}[a-z]", target in "(/|\\.\\./|\\./|[a-z]/){0,5}(\\.\\.|[a-z])?"
        ) {
            let mut depth = path.matches('/').count() as i64;
            let mut lowest = if target.starts_with('/') { -1 } else { depth };
            for part in parts(&target) {
                depth += if part == ".." { -1 } else { 1 };
                lowest = lowest.min(depth);
            }
            prop_assert!(!stays_inside(&path, &target) || lowest >= 0);
        }
    }
}

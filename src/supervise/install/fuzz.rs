//! For `make fuzz`.

use super::{file_name, listing};

/// What a package's name and tar's listings of it say.
pub fn packages(text: &str) {
    let file = file_name::of(text);
    assert!(file_name::version(file).is_none_or(|version| file.contains(version)));
    let (names, lines) = text.split_once('\0').unwrap_or((text, text));
    let _ = listing::check(names, lines);
}

//! Another document of the server's, as a file.

use super::super::remote::Patience;
use super::{Context, Destination, Failure, Source};
use crate::sys::part::Part;
use std::path::PathBuf;

/// Documents may hold secrets; but this is the mode that the original gives all downloads.
const MODE: u32 = 0o700;

/// `sourceInfo`: `name`, which may be a name or an ARN, with or without `:version`.
pub fn download(
    source: &Source<'_>,
    place: &Destination,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let (name, version) = split(source.needed("name")?);
    let text = context.remote.document(name, version, patience)?;
    let base = name.rsplit('/').next().unwrap_or(name);
    let path = place.of_file(&format!("{base}.json"))?;
    let mut part = Part::begin(&path)?;
    part.add(text.as_bytes())?;
    part.keep(MODE)?;
    Ok(path)
}

/// Name and version. An ARN has colons of its own, before its name.
fn split(text: &str) -> (&str, Option<&str>) {
    let from = if text.starts_with("arn:") { text.find('/').unwrap_or(text.len()) } else { 0 };
    let colon = text.get(from..).and_then(|rest| rest.rfind(':'));
    let parts = colon.and_then(|colon| text.split_at_checked(from + colon));
    match parts.map(|(name, rest)| (name, rest.trim_start_matches(':'))) {
        Some((name, version)) if !version.is_empty() => (name, Some(version)),
        Some((name, _)) => (name, None),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_the_colons_of_an_arn() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:document/Doc";
        for (text, name, version) in [
            ("Doc", "Doc", None),
            ("Doc:3", "Doc", Some("3")),
            ("Doc:$LATEST", "Doc", Some("$LATEST")),
            (arn, arn, None),
            (&format!("{arn}:7"), arn, Some("7")),
            ("arn:aws:ssm", "arn:aws:ssm", None),
        ] {
            assert_eq!(split(text), (name, version));
        }
    }
}

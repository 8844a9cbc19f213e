//! An object of S3, or all objects below a prefix.

use super::super::remote::{Patience, Place, RemoteError, S3Object};
use super::{Context, Destination, Failure, Source};
use std::path::PathBuf;

/// `sourceInfo`: `path`, and our `sha256` for a single object.
pub fn download(
    source: &Source<'_>,
    place: &Destination,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let object = context.remote.s3_object(source.needed("path")?)?;
    let sha256 = source.sha256()?;
    let is_prefix = object.key.is_empty() || object.key.ends_with('/');
    let prefix = match is_prefix {
        true => object.clone(),
        false => S3Object { key: format!("{}/", object.key), ..object.clone() },
    };
    let keys = match context.remote.s3_list(&prefix, patience) {
        // Whoever may read an object need not be allowed to list its bucket.
        Err(RemoteError::Refused { .. }) if !is_prefix => Vec::new(),
        other => other?,
    };
    if keys.is_empty() && !is_prefix {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        let path = place.of_file(name)?;
        let place = Place::new(&path, sha256.as_deref());
        context.remote.s3_get(&object, &place, patience)?;
        return Ok(path);
    }
    if sha256.is_some() {
        let what = format!("sha256 is for a single object, and {} is a folder", prefix.key);
        return Err(Failure::Inputs(what));
    }
    let folder = place.folder()?.to_owned();
    let mut count = 0;
    for key in keys {
        let part = key.strip_prefix(&prefix.key).unwrap_or(&key);
        // Consoles make such objects to show a folder.
        if part.is_empty() || part.ends_with('/') {
            continue;
        }
        let path = place.of_part(part)?;
        let object = S3Object { key: key.clone(), ..object.clone() };
        context.remote.s3_get(&object, &Place::new(&path, None), patience)?;
        count += 1;
    }
    if count == 0 {
        let what = format!("there is nothing below {} in bucket {}", prefix.key, object.bucket);
        return Err(Failure::Inputs(what));
    }
    Ok(folder)
}

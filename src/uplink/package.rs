//! A package of a child agent, from wherever its URL leads: HTTP, FTP, or a folder of this device.

use super::client::Client;
use super::download::{Answer, download};
use super::{endpoint, ftp, page};
use crate::patience::Patience;
use crate::remote::{Page, Place, RemoteError, Sources};
use crate::sys::FileError;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Gets what `url` names into its place, if the device may get it from there.
///
/// # Errors
/// See [`RemoteError`].
pub fn get(
    url: &str,
    place: &Place<'_>,
    sources: &Sources,
    patience: &Patience,
) -> Result<(), RemoteError> {
    let unusable = |why: String| Err(RemoteError::Unusable(why));
    let bare = page::bare(url);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match scheme.to_ascii_lowercase().as_str() {
        "http" if !sources.plain_http && !endpoint::is_loopback(url) => unusable(format!(
            "{bare} is plain HTTP and not on this machine; use https, or say \
             \"allowPlainHttp\": true in the configuration"
        )),
        scheme @ ("http" | "https") => {
            // What begins with https doesn't go on without it.
            let plain = scheme == "http";
            let page = Page { url, authorization: None, accept: None, plain };
            let client = Client::new(sources.ca_file.clone());
            super::fetch::fetch(&client, bare, place, patience, &mut |http, rest| {
                page::ask(http, &page, rest)
            })
        }
        "ftp" if !sources.ftp => unusable(format!(
            "{bare} is FTP, which this device doesn't use; give an https URL, or say \
             \"supervise\": {{\"allowFtp\": true}} in the configuration"
        )),
        "ftp" => {
            let target = ftp::Target::parse(url)?;
            download(bare, place, patience, &mut |download| {
                #[cfg(feature = "ssm")]
                super::budget::admit(None)?;
                download.attempt(patience, &mut |rest| ftp::get(&target, rest, patience))
            })
        }
        "file" => {
            let path = allowed(rest, sources.folder.as_deref())?;
            copy(bare, &path, place, patience)
        }
        _ => unusable(format!("{bare} is no URL of a package: it must begin with https://")),
    }
}

fn copy(
    name: &str,
    path: &Path,
    place: &Place<'_>,
    patience: &Patience,
) -> Result<(), RemoteError> {
    download(name, place, patience, &mut |download| {
        download.attempt(patience, &mut |_| {
            let open = |cause| RemoteError::File(FileError::new("open", path)(cause));
            let file = File::open(path).map_err(open)?;
            let length = file.metadata().map_err(open)?.len();
            Ok(Answer {
                from: Some(0),
                validator: None,
                length: Some(length),
                reader: Box::new(file),
                in_words: |error| error.to_string(),
            })
        })
    })
}

/// The file of a `file://` URL, if it is below the folder that the configuration names, also when
/// all links are followed.
fn allowed(rest: &str, folder: Option<&Path>) -> Result<PathBuf, RemoteError> {
    let refused = |why: &str| Err(RemoteError::Unusable(format!("file://{rest}: {why}")));
    let Some(folder) = folder else {
        return refused(
            "packages of this device's own disk are not installed unless \"supervise\": \
             {\"packagesDir\": …} in the configuration names their folder",
        );
    };
    let path = Path::new(rest.strip_prefix("localhost").unwrap_or(rest));
    let found = path.canonicalize();
    match (found, folder.canonicalize()) {
        (Ok(found), Ok(folder)) if found.starts_with(&folder) && found.is_file() => Ok(found),
        (Err(cause), _) => Err(RemoteError::File(FileError::new("open", path)(cause))),
        _ => refused("it is no file below the packagesDir of the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn error(url: &str, sources: &Sources) -> String {
        let folder = Folder::new();
        let path = folder.path().join("p");
        let patience = Patience::of_time(Duration::from_secs(5));
        get(url, &Place::new(&path, None), sources, &patience).unwrap_err().to_string()
    }

    #[test]
    fn a_place_that_the_device_does_not_go_to_is_named_with_the_remedy() {
        let closed = Sources::default();
        for (url, wanted) in [
            ("http://hub.example/a.deb?token=secret", "\"allowPlainHttp\": true"),
            ("ftp://hub.example/a.rpm", "\"allowFtp\": true"),
            ("file:///etc/passwd", "packagesDir"),
            ("hub.example/a.deb", "must begin with https://"),
            ("gopher://x", "must begin with https://"),
        ] {
            let error = error(url, &closed);
            assert!(error.contains(wanted) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_is_taken_from_below_its_folder_and_from_nowhere_else() {
        let folder = Folder::new();
        let inside = folder.path().join("packages");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("a"), "package").unwrap();
        fs::write(folder.path().join("b"), "secret").unwrap();
        symlink("../b", inside.join("link")).unwrap();
        let sources = Sources { folder: Some(inside.clone()), ..Sources::default() };
        let inside = inside.display();
        for url in [format!("file://{inside}/link"), format!("file://{inside}/../b")] {
            let error = error(&url, &sources);
            assert!(error.contains("below the packagesDir"), "{error}");
        }
        let place = folder.path().join("copy");
        let patience = Patience::of_time(Duration::from_secs(5));
        let url = format!("file://localhost{inside}/a");
        get(&url, &Place::new(&place, None), &sources, &patience).unwrap();
        assert_eq!(fs::read(place).unwrap(), b"package");
    }
}

//! Access keys for S3, and signatures with them.

use crate::sys::FileError;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use stint_wire::sigv4::{self, Authorization, Request, Scope};
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// The service's name in credential scopes.
pub const SERVICE: &str = "s3";

/// The SHA-256 of nothing.
pub const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An access key.
pub struct Access {
    /// Its id.
    pub key: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// What goes along with a temporary one.
    pub token: Option<Zeroizing<String>>,
}

/// Why a file holds no access key.
#[derive(Debug)]
pub enum AccessError {
    /// It can't be read.
    File(FileError),
    /// Others may read it.
    Public(PathBuf),
    /// It has no key in it.
    Incomplete(PathBuf),
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessError::File(cause) => write!(f, "{cause}"),
            AccessError::Public(path) => write!(
                f,
                "{} holds a secret and others may read it; say chmod 600 {}",
                path.display(),
                path.display()
            ),
            AccessError::Incomplete(path) => write!(
                f,
                "{} has no aws_access_key_id and aws_secret_access_key in its section [default]",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AccessError {}

impl Access {
    /// Reads the `[default]` section of a file as the AWS CLI has it in `~/.aws/credentials`.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn read(path: &Path) -> Result<Access, AccessError> {
        let meta = fs::metadata(path).map_err(FileError::new("read", path));
        if meta.map_err(AccessError::File)?.permissions().mode() & 0o077 != 0 {
            return Err(AccessError::Public(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(FileError::new("read", path));
        let text = Zeroizing::new(text.map_err(AccessError::File)?);
        parse(&text).ok_or_else(|| AccessError::Incomplete(path.to_owned()))
    }
}

/// For `make fuzz`.
#[cfg(fuzzing)]
pub fn fuzz(text: &str) {
    let _ = parse(text);
}

fn parse(text: &str) -> Option<Access> {
    let (mut in_default, mut key, mut secret, mut token) = (true, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_default = section.trim_end_matches(']').trim() == "default";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| in_default) else { continue };
        let value = value.trim();
        match name.trim() {
            "aws_access_key_id" => key = Some(value.to_owned()),
            "aws_secret_access_key" => secret = Some(Zeroizing::new(value.to_owned())),
            "aws_session_token" => token = Some(Zeroizing::new(value.to_owned())),
            _ => {}
        }
    }
    Some(Access { key: key?, secret: secret?, token })
}

/// The parts of a request that every signature covers.
pub struct Parts<'a> {
    /// The service's name in credential scopes.
    pub service: &'a str,
    /// `GET`, `PUT`.
    pub method: &'a str,
    /// The `Host` header.
    pub host: &'a str,
    /// Percent-encoded once.
    pub path: &'a str,
    /// Percent-encoded.
    pub query: &'a str,
    /// The body's SHA-256.
    pub payload_hash: &'a str,
}

/// `headers` and those of a signature, `Host` apart.
pub fn sign(
    parts: &Parts<'_>,
    mut headers: Vec<(&'static str, String)>,
    access: &Access,
    region: &str,
    now: Utc,
) -> Vec<(&'static str, String)> {
    let date = now.amz();
    headers.push(("x-amz-content-sha256", parts.payload_hash.to_owned()));
    headers.push(("x-amz-date", date.clone()));
    if let Some(token) = &access.token {
        headers.push(("x-amz-security-token", token.to_string()));
    }
    let mut signed: Vec<(&str, &str)> = vec![("host", parts.host)];
    signed.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    let request = Request {
        method: parts.method,
        path: parts.path,
        query: parts.query,
        headers: &signed,
        body: &[],
    };
    let scope = Scope::new(now, region, parts.service);
    let text = request.string_to_sign_for(parts.payload_hash, &date, &scope);
    let authorization = Authorization {
        access_key: access.key.clone(),
        signature: sigv4::sign(&access.secret, &scope, &text),
        signed_headers: request.signed_headers().split(';').map(str::to_owned).collect(),
        scope,
    };
    headers.push(("authorization", authorization.to_string()));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    /// The examples that AWS publishes for signatures in headers, with their keys and their time.
    #[test]
    fn the_published_examples_sign_as_published() {
        let access = Access {
            key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            token: None,
        };
        let now = Utc::parse_amz("20130524T000000Z").unwrap();
        let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        for (method, path, query, headers, payload_hash, wanted) in [
            (
                "GET",
                "/test.txt",
                "",
                vec![("range", "bytes=0-9")],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "/test%24file.text",
                "",
                vec![
                    ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ],
                put,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                "lifecycle",
                vec![],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                "max-keys=2&prefix=J",
                vec![],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let host = "examplebucket.s3.amazonaws.com";
            let parts = Parts { service: SERVICE, method, host, path, query, payload_hash };
            let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned()));
            let signed = sign(&parts, headers.collect(), &access, "us-east-1", now);
            let authorization = &signed.last().unwrap().1;
            assert!(authorization.ends_with(&format!("Signature={wanted}")), "{authorization}");
        }
    }

    #[test]
    fn an_access_key_is_read_as_the_aws_cli_writes_it() {
        let text = "[other]\naws_access_key_id=no\n[default]\naws_access_key_id = AK\n\
                    aws_secret_access_key= a=b \n";
        let access = parse(text).unwrap();
        assert_eq!((access.key.as_str(), access.secret.as_str()), ("AK", "a=b"));
        assert!(access.token.is_none());
        assert!(parse("[default]\naws_access_key_id=x").is_none());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let folder = Folder::new();
        let path = folder.path().join("s3");
        std::fs::write(&path, "aws_access_key_id=a\naws_secret_access_key=b").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Access::read(&path).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Access::read(&path).unwrap().key, "a");
    }
}

//! What a step may want from the network, as an interface: the plugins know neither a server nor
//! HTTP, and a document that needs no network sets nothing up.

pub use crate::patience::{Patience, Stop};
pub use crate::remote::{Page, Place, RemoteError};
use std::path::Path;
use zeroize::Zeroizing;

/// Names of parameters that one call may ask for: the limit of GetParameters.
pub const PARAMETERS_PER_CALL: usize = 10;

/// What a step may want from the network. Each method is blocking and repeats what is worth
/// repeating by itself.
pub trait Remote {
    /// Whether the network may be used for more than what must be now; for steps that leave that to a program.
    ///
    /// # Errors
    /// It may not.
    fn admit(&self) -> Result<(), RemoteError> {
        Ok(())
    }

    /// Values from Parameter Store, of at most [`PARAMETERS_PER_CALL`] names, each of which may
    /// end in `:version` or `:label`. Names that the server doesn't know, or doesn't let this
    /// node read, are missing from the answer.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn parameters(
        &self,
        names: &[&str],
        decrypt: bool,
        patience: &Patience,
    ) -> Result<Vec<Parameter>, RemoteError>;

    /// The text of a document by its name or ARN, in the version given, or in the default one.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn document(
        &self,
        name: &str,
        version: Option<&str>,
        patience: &Patience,
    ) -> Result<String, RemoteError>;

    /// Gets a file by HTTP into its place: whole, with the mode 0700, or not at all. A broken
    /// connection is taken up where it broke, if the server can.
    ///
    /// # Errors
    /// See [`RemoteError`]. Nothing is left behind then.
    fn fetch(&self, page: &Page<'_>, place: &Place<'_>, patience: &Patience) -> Done;

    /// Gets a short text by HTTP, such as an interface's answer; at most 1 MiB.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn read(&self, page: &Page<'_>, patience: &Patience) -> Result<String, RemoteError>;

    /// What an S3 URL names, in any of its spellings.
    ///
    /// # Errors
    /// [`RemoteError::Unusable`]: it is none of the known ones.
    fn s3_object(&self, url: &str) -> Result<S3Object, RemoteError>;

    /// The keys in the object's bucket that begin with its key, sorted.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_list(&self, prefix: &S3Object, patience: &Patience) -> Result<Vec<String>, RemoteError>;

    /// Gets an S3 object into its place, as [`Remote::fetch`].
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_get(&self, object: &S3Object, place: &Place<'_>, patience: &Patience) -> Done;

    /// Puts a file into S3, as plain text that the bucket's owner may read. It is sent from disk.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_put(&self, object: &S3Object, file: &Path, patience: &Patience) -> Done;

    /// Adds a file's text to a stream of CloudWatch Logs; group and stream are made if need be.
    ///
    /// # Errors
    /// See [`RemoteError`]; [`RemoteError::Unusable`] where no logs server is configured.
    fn log(&self, stream: &LogStream, file: &Path, patience: &Patience) -> Done;

    /// Hands the transcript of a session in `file` to the hub that this node has for its server; what the hub has
    /// already isn't sent again. One that it doesn't want is done with.
    ///
    /// # Errors
    /// See [`RemoteError`].
    #[cfg(feature = "session")]
    fn transcript(&self, session: &str, file: &Path, patience: &Patience) -> Done;

    /// Where GitHub's interface is, without a trailing slash.
    ///
    /// # Errors
    /// The configuration can't be read.
    fn github(&self) -> Result<String, RemoteError>;

    /// The configuration's file, if it isn't the usual one.
    fn config_path(&self) -> Option<&Path> {
        None
    }
}

/// What comes of fetching something into its place, or of sending a file.
pub type Done = Result<(), RemoteError>;

/// A value of Parameter Store.
#[derive(Clone)]
pub struct Parameter {
    /// Its name, without version or label.
    pub name: String,
    /// The version it has.
    pub version: u64,
    /// What stood after the name when it was asked for: `:3`, `:label`, or nothing.
    pub selector: String,
    /// `String`, `StringList` or `SecureString`.
    pub kind: String,
    /// The value; that of a SecureString may be a secret.
    pub value: Zeroizing<String>,
}

/// An object in S3, or the beginning of some objects' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Object {
    /// The bucket's name.
    pub bucket: String,
    /// The key, not encoded.
    pub key: String,
    /// The bucket's region; this node's, if nobody says otherwise.
    pub region: Option<String>,
}

/// A stream of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// The group it is in.
    pub group: String,
    /// Its name there.
    pub name: String,
}

/// For a build without an uplink: nothing can be had, and each method says so.
#[cfg(any(test, fuzzing, not(feature = "ssm")))]
pub struct Nowhere;

#[cfg(any(test, fuzzing, not(feature = "ssm")))]
impl Nowhere {
    fn reason<T>() -> Result<T, RemoteError> {
        let cause = "this stint was built without an uplink (feature ssm)";
        Err(RemoteError::NoServer(cause.to_owned()))
    }
}

#[cfg(any(test, fuzzing, not(feature = "ssm")))]
impl Remote for Nowhere {
    fn parameters(&self, _: &[&str], _: bool, _: &Patience) -> Result<Vec<Parameter>, RemoteError> {
        Nowhere::reason()
    }

    fn document(&self, _: &str, _: Option<&str>, _: &Patience) -> Result<String, RemoteError> {
        Nowhere::reason()
    }

    fn fetch(&self, _: &Page<'_>, _: &Place<'_>, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn read(&self, _: &Page<'_>, _: &Patience) -> Result<String, RemoteError> {
        Nowhere::reason()
    }

    fn s3_object(&self, _: &str) -> Result<S3Object, RemoteError> {
        Nowhere::reason()
    }

    fn s3_list(&self, _: &S3Object, _: &Patience) -> Result<Vec<String>, RemoteError> {
        Nowhere::reason()
    }

    fn s3_get(&self, _: &S3Object, _: &Place<'_>, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn s3_put(&self, _: &S3Object, _: &Path, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn log(&self, _: &LogStream, _: &Path, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    #[cfg(feature = "session")]
    fn transcript(&self, _: &str, _: &Path, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn github(&self) -> Result<String, RemoteError> {
        Nowhere::reason()
    }
}

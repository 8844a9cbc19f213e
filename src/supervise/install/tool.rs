//! Running the system's own programs: `tar` and the package managers.

use crate::patience::{Patience, Stop};
use crate::remote::RemoteError;
use crate::sys::FileError;
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::process::{self, Group};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;
use stint_wire::text::tail;

/// Where programs are, if the environment doesn't say.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that says more than this has something else to do, bytes. An archive of 10,000 files
/// is listed in 1 MiB.
const MAX_OUTPUT: u64 = 4 * 1024 * 1024;

/// Of what a failed program said, the result tells the last bytes.
const SHOWN: usize = 300;

/// Between two looks whether a program has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Why a package can't be had or installed.
#[derive(Debug)]
pub enum InstallError {
    /// It can't be had.
    Remote(RemoteError),
    /// A file can't be written here.
    File(FileError),
    /// A program that is needed isn't on this device.
    Missing {
        /// The program.
        program: &'static str,
        /// What for.
        what: &'static str,
    },
    /// A program couldn't do it.
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended, and what it said.
        said: String,
    },
    /// It isn't one that is installed; the text says why and what would be.
    Refused(String),
    /// The wait is over.
    Stopped(Stop),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Remote(cause) => write!(f, "{cause}"),
            InstallError::File(cause) => write!(f, "{cause}"),
            InstallError::Missing { program, what } => {
                write!(f, "this device has no {program}, which {what} needs")
            }
            InstallError::Failed { program, said } => write!(f, "{program} failed: {said}"),
            InstallError::Refused(why) => f.write_str(why),
            InstallError::Stopped(_) => f.write_str("it took too long"),
        }
    }
}

impl std::error::Error for InstallError {}

impl From<FileError> for InstallError {
    fn from(cause: FileError) -> InstallError {
        InstallError::File(cause)
    }
}

impl From<RemoteError> for InstallError {
    fn from(cause: RemoteError) -> InstallError {
        match cause {
            RemoteError::Stopped(why) => InstallError::Stopped(why),
            cause => InstallError::Remote(cause),
        }
    }
}

/// Whether there is a program of this name.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

/// Whether a file can be run.
pub fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a program to its end and gives what it printed. Its output is kept in `folder` meanwhile.
///
/// # Errors
/// It isn't there, fails, or takes longer than the patience; it is killed then.
pub fn run<S: AsRef<OsStr>>(
    program: &'static str,
    words: &[S],
    folder: &Path,
    patience: &Patience,
) -> Result<String, InstallError> {
    let (out, err) = (folder.join("tool.out"), folder.join("tool.err"));
    let result = run_into(program, words, [&out, &err], patience);
    let said = read(&out);
    let result = match result {
        Ok(status) if status.success() => said,
        Ok(status) => {
            let all = [said.unwrap_or_default(), read(&err).unwrap_or_default()].concat();
            let all = all.trim_end().replace('\n', "; ");
            Err(InstallError::Failed { program, said: format!("{status}: {}", tail(&all, SHOWN)) })
        }
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(out);
    let _ = fs::remove_file(err);
    result
}

fn run_into<S: AsRef<OsStr>>(
    program: &'static str,
    words: &[S],
    [out, err]: [&PathBuf; 2],
    patience: &Patience,
) -> Result<ExitStatus, InstallError> {
    let file = |path| File::create(path).map_err(FileError::new("create", path));
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(file(out)?).stderr(file(err)?);
    // What it prints is read by us, and there is nobody whom it could ask.
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").current_dir("/");
    if std::env::var_os("PATH").is_none() {
        command.env("PATH", PATH);
    }
    let child = process::isolate(&mut command, Group::Own).spawn().map_err(|cause| {
        let what = "the package";
        match cause.kind() {
            io::ErrorKind::NotFound => InstallError::Missing { program, what },
            _ => InstallError::File(FileError::new("start", Path::new(program))(cause)),
        }
    })?;
    wait(program, child, patience)
}

fn wait(
    program: &'static str,
    mut child: Child,
    patience: &Patience,
) -> Result<ExitStatus, InstallError> {
    loop {
        let ended = child.try_wait().map_err(FileError::new("wait for", Path::new(program)))?;
        if let Some(status) = ended {
            return Ok(status);
        }
        if let Some(why) = patience.over() {
            let _ = process::kill_group(child.id());
            let _ = child.wait();
            return Err(InstallError::Stopped(why));
        }
        thread::sleep(GLANCE);
    }
}

fn read(path: &Path) -> Result<String, InstallError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::new("open", path))?;
    file.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).map_err(FileError::new("read", path))?;
    if bytes.len() as u64 > MAX_OUTPUT {
        let why = format!("it holds more than {} MiB of names", MAX_OUTPUT / (1024 * 1024));
        return Err(InstallError::Refused(why));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn sh(script: &str, limit: Duration) -> Result<String, InstallError> {
        let folder = Folder::new();
        let result = run("sh", &["-c", script], folder.path(), &Patience::of_time(limit));
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        result
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_program_that_fails_is_quoted() {
        assert_eq!(sh("echo $LC_ALL", LONG).unwrap(), "C\n");
        let error = sh("echo one; echo two >&2; exit 3", LONG).unwrap_err().to_string();
        assert_eq!(error, "sh failed: exit status: 3: one; two");
    }

    #[test]
    fn a_program_that_is_missing_or_never_ends_is_an_error_with_its_name() {
        let folder = Folder::new();
        let patience = Patience::of_time(LONG);
        let error = run("no-such-tool", &["x"], folder.path(), &patience).unwrap_err();
        assert!(error.to_string().contains("no no-such-tool"), "{error}");
        let error = sh("sleep 600", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, InstallError::Stopped(Stop::TimedOut)));
        assert!(exists("sh") && !exists("no-such-tool"));
    }
}

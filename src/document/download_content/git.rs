//! A repository by Git: with the device's `git` command; without it, only what GitHub's interface
//! gives.

use super::super::plugin::Ended;
use super::super::remote::Patience;
use super::super::script;
use super::github::Repository;
use super::http::basic;
use super::{Context, Destination, Failure, Revision, Source};
use crate::sys::command::Command;
use crate::sys::memory::MemoryFile;
use crate::sys::random;
use std::fs;
use std::path::{Path, PathBuf};
use stint_wire::json::{Node, Value};
use stint_wire::reply::Status;
use stint_wire::text::hex;

/// The host whose interface serves where there is no `git`.
const GITHUB: &str = "https://github.com/";

/// Schemes that `git` is let near. `ext::` and the like would run programs.
const SCHEMES: [&str; 4] = ["https://", "http://", "ssh://", "git://"];

/// `sourceInfo`: `repository`, `getOptions`, `username`, `password`, `privateSSHKey`,
/// `skipHostKeyChecking`.
pub fn download(
    source: &Source<'_>,
    place: &Destination,
    context: &mut Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let repository = source.needed("repository")?;
    let is_scp = repository.contains(':') && !repository.contains("::");
    let is_scp = is_scp && !repository.contains("://") && !repository.starts_with('-');
    if !is_scp && !SCHEMES.iter().any(|scheme| repository.starts_with(scheme)) {
        let what = "repository must be an https, http, ssh or git URL, or USER@HOST:PATH";
        return Err(Failure::Inputs(what.to_owned()));
    }
    let rest = ["https://", "http://"].iter().find_map(|scheme| repository.strip_prefix(scheme));
    if rest.and_then(|rest| rest.split('/').next()).is_some_and(|host| host.contains('@')) {
        // git's arguments and the clone's .git/config would show them, and so would an error.
        let what = "user and password can't stand in the URL; give them as username and password";
        return Err(Failure::Inputs(what.to_owned()));
    }
    let revision = source.revision()?;
    match script::find_program(&["git"]) {
        Some(git) => with_git(&git, source, revision, place, context, patience),
        None => without_git(source, revision, place, context, patience),
    }
}

fn without_git(
    source: &Source<'_>,
    revision: Revision<'_>,
    place: &Destination,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    let repository = source.text("repository");
    let names = repository
        .strip_prefix(GITHUB)
        .and_then(|path| path.trim_end_matches('/').trim_end_matches(".git").split_once('/'))
        .filter(|(_, name)| !name.contains('/'));
    let Some(names) = names else {
        let what = format!(
            "there is no git command on this device, and without it only repositories at {GITHUB} \
             can be fetched; install git, or use the source type HTTP with an archive's URL"
        );
        return Err(Failure::Inputs(what));
    };
    // GitHub's tokens stand in for passwords, and its interface takes them.
    let token = source.secret("password", context, patience)?;
    let authorization = token.map(|token| format!("Bearer {}", token.as_str()).into());
    place.folder()?;
    Repository::new(names, revision, authorization, context.remote, patience)?.get("", place)
}

fn with_git(
    git: &Path,
    source: &Source<'_>,
    revision: Revision<'_>,
    place: &Destination,
    context: &mut Context<'_>,
    patience: &Patience,
) -> Result<PathBuf, Failure> {
    context.remote.admit()?;
    let folder = place.folder()?.to_owned();
    refuse_taken(&folder.join(".git"))?;
    let number = random::bytes::<4>().map_err(|error| Failure::Inputs(error.to_string()))?;
    let clone = Scratch(folder.join(format!(".stint-clone-{}", hex(&number))));
    let mut command = Command::new(git);
    // Nobody sits before the device to be asked, and no program may be started by a URL.
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git");
    let (_key, by_configuration) = authenticate(&mut command, source, context, patience)?;
    if by_configuration {
        check_version(git, context, patience)?;
    }
    command.args(["clone", "--quiet"]);
    match revision {
        Revision::Default => command.args(["--depth", "1"]),
        Revision::Branch(name) => command.args(["--depth", "1", "--branch", name]),
        // Servers need not hand out a single commit.
        Revision::Commit(_) => command.arg("--no-checkout"),
    };
    command.arg("--").arg(source.text("repository")).arg(&clone.0);
    run(command, context, patience)?;
    if let Revision::Commit(commit) = revision {
        let mut command = Command::new(git);
        command.arg("-C").arg(&clone.0).args(["checkout", "--quiet", "--detach", commit, "--"]);
        run(command, context, patience)?;
    }
    let moved = |cause| Failure::File(crate::sys::FileError::new("move", &clone.0)(cause));
    let mut entries = Vec::new();
    for entry in fs::read_dir(&clone.0).map_err(moved)? {
        let entry = entry.map_err(moved)?;
        let target = folder.join(entry.file_name());
        refuse_taken(&target)?;
        entries.push((entry.path(), target));
    }
    for (from, target) in entries {
        fs::rename(from, &target).map_err(crate::sys::FileError::new("put into place", &target))?;
    }
    Ok(folder)
}

/// A clone is no update: it would replace some files, and fail at the first folder.
fn refuse_taken(target: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let what = format!(
        "{} is there already, and nothing was moved there; remove it first, or name another \
         destinationPath",
        target.display()
    );
    Err(Failure::Inputs(what))
}

/// Hands secrets to git by its environment and by files in memory: its arguments are for
/// everybody to read. Also says whether git must know configuration by the environment for it.
fn authenticate(
    command: &mut Command,
    source: &Source<'_>,
    context: &Context<'_>,
    patience: &Patience,
) -> Result<(Option<MemoryFile>, bool), Failure> {
    let repository = source.text("repository");
    let user = source.secret("username", context, patience)?;
    let password = source.secret("password", context, patience)?;
    let by_configuration = user.is_some() || password.is_some();
    if by_configuration {
        let (scheme, rest) = repository.split_once("://").unwrap_or_default();
        if scheme != "https" {
            let what = "username and password are for https repositories";
            return Err(Failure::Inputs(what.to_owned()));
        }
        let host = rest.split('/').next().unwrap_or_default();
        let header = basic(&user.unwrap_or_default(), &password.unwrap_or_default());
        // git matches the host with the URL that it is given, and keeps the header wherever that
        // redirects.
        command.env("GIT_CONFIG_COUNT", "2");
        command.env("GIT_CONFIG_KEY_1", "http.followRedirects");
        command.env("GIT_CONFIG_VALUE_1", "false");
        command.env("GIT_CONFIG_KEY_0", format!("http.https://{host}/.extraHeader"));
        command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {}", header.as_str()));
    }
    let mut ssh = "ssh -o BatchMode=yes".to_owned();
    if source.truth("skipHostKeyChecking") {
        ssh.push_str(" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null");
    }
    let key = source.secret("privateSSHKey", context, patience)?;
    let key = key.map(|key| MemoryFile::new(key.as_bytes())).transpose().map_err(|cause| {
        Failure::Inputs(format!("there is no file in memory for the private SSH key: {cause}"))
    })?;
    if let Some(key) = &key {
        ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {}", key.path().display()));
    }
    command.env("GIT_SSH_COMMAND", ssh);
    Ok((key, by_configuration))
}

/// Older ones ignore `GIT_CONFIG_COUNT`, and would ask without user and password.
fn check_version(
    git: &Path,
    context: &mut Context<'_>,
    patience: &Patience,
) -> Result<(), Failure> {
    let mut command = Command::new(git);
    command.arg("--version");
    let text = run(command, context, patience)?.stdout;
    if is_new_enough(&text) {
        return Ok(());
    }
    let what = format!(
        "username and password need git 2.31 or later, and this device's says \"{}\"; update git, \
         or use privateSSHKey with an ssh repository",
        text.trim()
    );
    Err(Failure::Inputs(what))
}

/// Whether `git version 2.31.0` and the like is 2.31 or later.
fn is_new_enough(text: &str) -> bool {
    let version = text.trim().strip_prefix("git version ").unwrap_or_default();
    let mut numbers = version.split(['.', ' ', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(31))
}

fn run(command: Command, context: &mut Context<'_>, patience: &Patience) -> Result<Ended, Failure> {
    let seconds = Value::Number(patience.left().as_secs().max(5).to_string());
    let limit = Node { line: 1, value: seconds };
    let value = Value::Object(vec![("timeoutSeconds".to_owned(), limit)]);
    let ended = script::run_program(command, &Node { line: 1, value }, context);
    if ended.status == Status::Success { Ok(ended) } else { Err(Failure::Program(Box::new(ended))) }
}

/// A folder that is gone in the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_that_ignores_configuration_by_the_environment_is_known_by_its_version() {
        for new in [
            "git version 2.31.0\n",
            "git version 2.47.3",
            "git version 3.0.0-rc1",
            "git version 2.39.5 (Apple Git-154)",
        ] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in
            ["git version 2.30.9\n", "git version 1.99", "", "git version x", "git version 2"]
        {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}

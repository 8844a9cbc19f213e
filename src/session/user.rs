//! As whom a session's programs run, and with what environment.

use super::order::RunAs;
use crate::document::DEFAULT_PATH;
use crate::sys::command::{Child, Command};
use crate::sys::pty;
use crate::sys::users::{self, Who};
use std::env;
use std::path::Path;
use std::process::ExitStatus;

/// The shell of those who have none.
const SHELL: &str = "/bin/sh";

/// What a session has of the agent's environment.
const INHERITED: [&str; 5] = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

/// Chooses the user. Whom the account or the session document names goes first, then the one of this
/// device's configuration (`session.runAs`), then the agent's own.
///
/// # Errors
/// There is no such user, it is root, or the agent can't become it; in words for the operator.
pub fn choose(wanted: &RunAs, configured: Option<&str>) -> Result<Option<Who>, String> {
    let named = Some(wanted.user.as_str()).filter(|user| !user.is_empty());
    if wanted.elevated {
        return match configured {
            Some(user) => Err(format!(
                "the session document has runAsElevated, and this device's configuration has \
                 session.runAs: sessions run as {user} here"
            )),
            None => Ok(users::own()),
        };
    }
    let Some(user) = named.or(configured) else { return Ok(users::own()) };
    let who = users::find(Some(user), None)?;
    let who = who.ok_or_else(|| format!("there is no user {user} in /etc/passwd"))?;
    if named.is_some() && (who.uid == 0 || who.gid == 0) {
        return Err(format!("Unable to start command: {user} is root, which runAs must not be"));
    }
    let is_own = users::own().is_some_and(|own| own.uid == who.uid && own.gid == who.gid);
    if !is_own && !pty::is_root() {
        let what = "the agent isn't root, and can't run sessions as anybody else";
        return Err(format!("Unable to start command as {user}: {what}"));
    }
    Ok(Some(who))
}

/// The user's login shell.
pub fn shell(who: Option<&Who>) -> &str {
    who.map(|who| who.shell.as_str()).filter(|shell| !shell.is_empty()).unwrap_or(SHELL)
}

/// Gives a program a clean environment and the user's folder.
pub fn settle<'a>(command: &'a mut Command, who: Option<&Who>) -> &'a mut Command {
    command.env_clear().env("PATH", DEFAULT_PATH).env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    for name in INHERITED {
        if let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) {
            command.env(name, value);
        }
    }
    command.env("SHELL", shell(who));
    let home = who.map_or("/", |who| &who.home);
    let home = if Path::new(home).is_dir() { home } else { "/" };
    if let Some(who) = who {
        command.env("USER", &who.name).env("LOGNAME", &who.name);
    }
    command.env("HOME", home).current_dir(home)
}

/// Ends all processes of the session that `leader` leads: they are told, and killed if that doesn't
/// help. Programs that have left it – daemons – stay. The leader is waited for last, as the session's number may be
/// another's then; a second call does nothing. Returns how the leader ended, if that is known.
pub fn end_session(leader: &mut Child) -> Option<ExitStatus> {
    if leader.status().is_none() {
        let session = leader.id();
        pty::signal_session(session, libc::SIGHUP);
        pty::signal_session(session, libc::SIGCONT);
        let mut glances = 0;
        while pty::signal_session(session, 0) > 0 {
            if glances == GLANCES {
                pty::signal_session(session, libc::SIGKILL);
                break;
            }
            glances += 1;
            std::thread::sleep(GLANCE);
        }
        // One that was killed just now may take a moment more; then it goes with this process.
        let _ = leader.try_wait();
    }
    leader.status()
}

/// Between two looks whether they are gone.
const GLANCE: std::time::Duration = std::time::Duration::from_millis(20);

/// Half a second to put things in order.
const GLANCES: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user: &str) -> RunAs {
        RunAs { elevated: false, user: user.to_owned() }
    }

    #[test]
    fn the_document_goes_before_the_configuration_and_neither_means_the_agent() {
        let own = users::own();
        assert_eq!(choose(&RunAs::default(), None), Ok(own.clone()));
        let elevated = RunAs { elevated: true, user: String::new() };
        assert_eq!(choose(&elevated, None), Ok(own));
        assert!(choose(&elevated, Some("web")).unwrap_err().contains("session.runAs"));
        assert!(choose(&named("root"), None).unwrap_err().contains("root"));
        assert!(choose(&named("nobdy"), None).unwrap_err().contains("nobdy"));
        assert!(choose(&RunAs::default(), Some("nobdy")).unwrap_err().contains("nobdy"));
        if pty::is_root() {
            assert_eq!(choose(&named("nobody"), Some("root")).unwrap().unwrap().name, "nobody");
            assert_eq!(choose(&RunAs::default(), Some("root")).unwrap().unwrap().uid, 0);
        }
    }
}

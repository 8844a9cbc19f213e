//! Starting programs. The standard library's way can more, at 15 kB more: this one is fork(2) and
//! execvp(3), and the words are kept in plain lists (docs/decisions/0038).

use std::env;
use std::ffi::{CString, OsStr, OsString, c_char};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// What runs between fork and exec.
type Before = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// A program to be started. It has the agent's environment, folder and standard streams where
/// nothing else is said.
pub struct Command {
    program: OsString,
    name: Option<OsString>,
    arguments: Vec<OsString>,
    /// What the environment gets, or loses.
    changes: Vec<(OsString, Option<OsString>)>,
    clean: bool,
    folder: Option<PathBuf>,
    streams: [Stdio; 3],
    before: Vec<Before>,
}

/// Where one of the standard streams leads.
pub enum Stdio {
    /// Where the agent's does.
    Inherited,
    /// `/dev/null`.
    Null,
    /// A pipe, whose other end [`Child`] has.
    Piped,
    /// An open file.
    File(OwnedFd),
}

impl Stdio {
    /// `/dev/null`.
    pub fn null() -> Stdio {
        Stdio::Null
    }

    /// A pipe to the agent.
    pub fn piped() -> Stdio {
        Stdio::Piped
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(file: T) -> Stdio {
        Stdio::File(file.into())
    }
}

/// A process that was started. Nothing happens to it when this is dropped.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    ended: Option<ExitStatus>,
    /// What it prints, if that was piped.
    pub stdout: Option<File>,
    /// What it complains of, if that was piped.
    pub stderr: Option<File>,
}

impl Command {
    /// For a program: a path, or a name that is looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            program: program.as_ref().to_owned(),
            name: None,
            arguments: Vec::new(),
            changes: Vec::new(),
            clean: false,
            folder: None,
            streams: [Stdio::Inherited, Stdio::Inherited, Stdio::Inherited],
            before: Vec::new(),
        }
    }

    /// Adds a word.
    pub fn arg(&mut self, word: impl AsRef<OsStr>) -> &mut Command {
        self.arguments.push(word.as_ref().to_owned());
        self
    }

    /// Adds words.
    pub fn args(&mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        for word in words {
            self.arg(word);
        }
        self
    }

    /// What the program sees as its own name.
    pub fn arg0(&mut self, name: OsString) -> &mut Command {
        self.name = Some(name);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.change(name.as_ref(), Some(value.as_ref().to_owned()))
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.change(name.as_ref(), None)
    }

    fn change(&mut self, name: &OsStr, value: Option<OsString>) -> &mut Command {
        self.changes.retain(|(known, _)| known != name);
        self.changes.push((name.to_owned(), value));
        self
    }

    /// Nothing of the agent's environment, and nothing of what was set before.
    pub fn env_clear(&mut self) -> &mut Command {
        self.changes.clear();
        self.clean = true;
        self
    }

    /// What was set in its environment, or taken out, so far.
    pub fn get_envs(&self) -> impl Iterator<Item = (&OsStr, Option<&OsStr>)> {
        self.changes.iter().map(|(name, value)| (name.as_os_str(), value.as_deref()))
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// The words after it.
    #[cfg(test)]
    pub fn get_args(&self) -> impl Iterator<Item = &OsStr> {
        self.arguments.iter().map(OsString::as_os_str)
    }

    /// Its working folder.
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Command {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// What it reads.
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        let [stdin, ..] = &mut self.streams;
        *stdin = stream.into();
        self
    }

    /// Where it prints.
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        let [_, stdout, _] = &mut self.streams;
        *stdout = stream.into();
        self
    }

    /// Where it complains.
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Command {
        let [.., stderr] = &mut self.streams;
        *stderr = stream.into();
        self
    }

    /// Has `before` run in the new process, after the streams are set and in its folder.
    ///
    /// # Safety
    /// `before` runs in the only thread that is left after fork(2): it makes async-signal-safe
    /// calls alone, and doesn't allocate.
    pub unsafe fn pre_exec(
        &mut self,
        before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Command {
        self.before.push(Box::new(before));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// What stands in the way, also when it is met in the new process only: no such program or
    /// folder, no right to either, no memory.
    pub fn spawn(&mut self) -> io::Result<Child> {
        let words = self.words()?;
        let mut parents = [const { None }; 3];
        let childs = self.open(&mut parents)?;
        let (mut heard, told) = io::pipe()?;
        // SAFETY: all that the new process does until exec(2) is in `become_program`, and the
        // lines below it.
        let pid = super::check(unsafe { libc::fork() })?;
        if pid == 0 {
            let error = self.become_program(&words, &childs);
            let code = error.raw_os_error().unwrap_or(libc::EINVAL);
            let _ = (&told).write(&code.to_ne_bytes());
            // SAFETY: ends the process without anything of the agent's being run.
            unsafe { libc::_exit(127) };
        }
        drop((told, childs));
        let [_, stdout, stderr] = parents;
        let mut child = Child { pid: pid as u32, ended: None, stdout, stderr };
        let mut code = [0; 4];
        // The end that exec(2) closes.
        match heard.read_exact(&mut code) {
            Ok(()) => {
                let _ = child.wait();
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)))
            }
            Err(_) => Ok(child),
        }
    }

    /// Becomes it. Comes back only with an error.
    pub fn exec(&mut self) -> io::Error {
        let started =
            self.words().and_then(|words| Ok((words, self.open(&mut [const { None }; 3])?)));
        let error = match started {
            Ok((words, streams)) => self.become_program(&words, &streams),
            Err(error) => return error,
        };
        // SAFETY: takes integers only; what a program of Rust begins with.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        error
    }

    /// Opens the streams; what this process has of them goes into `parents`.
    fn open(&mut self, parents: &mut [Option<File>; 3]) -> io::Result<[Option<OwnedFd>; 3]> {
        let mut childs = [const { None }; 3];
        for ((stream, child), parent) in self.streams.iter().zip(&mut childs).zip(parents) {
            *child = match stream {
                Stdio::Inherited => None,
                Stdio::Null => {
                    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
                    Some(OwnedFd::from(null))
                }
                Stdio::Piped => {
                    let (ours, theirs) = io::pipe()?;
                    *parent = Some(File::from(OwnedFd::from(ours)));
                    Some(OwnedFd::from(theirs))
                }
                Stdio::File(file) => Some(file.try_clone()?),
            };
        }
        Ok(childs)
    }

    /// Everything that exec(2) takes.
    fn words(&self) -> io::Result<Words> {
        let mut words = vec![text(self.name.as_ref().unwrap_or(&self.program))?];
        for argument in &self.arguments {
            words.push(text(argument)?);
        }
        let mut variables = Vec::new();
        if self.clean || !self.changes.is_empty() {
            if !self.clean {
                for (name, value) in env::vars_os() {
                    if !self.changes.iter().any(|(changed, _)| *changed == name) {
                        variables.push(variable(name, &value)?);
                    }
                }
            }
            for (name, value) in &self.changes {
                if let Some(value) = value {
                    variables.push(variable(name.clone(), value)?);
                }
            }
        }
        Ok(Words {
            program: text(&self.program)?,
            folder: self.folder.as_ref().map(|folder| text(folder.as_os_str())).transpose()?,
            words: List::of(words),
            environment: (self.clean || !self.changes.is_empty()).then(|| List::of(variables)),
        })
    }

    /// Makes this process that program. Allocates nothing.
    fn become_program(&mut self, words: &Words, streams: &[Option<OwnedFd>; 3]) -> io::Error {
        for (stream, number) in streams.iter().zip(0..) {
            if let Some(stream) = stream {
                // SAFETY: takes integers only; none of ours is one of the first three, which a
                // program of Rust opens before it begins.
                if unsafe { libc::dup2(stream.as_raw_fd(), number) } < 0 {
                    return io::Error::last_os_error();
                }
            }
        }
        // SAFETY: the strings end with zero bytes, the lists with null pointers, and both live in
        // `words`. An empty mask is valid, and so are signals' default actions.
        unsafe {
            if let Some(folder) = &words.folder
                && libc::chdir(folder.as_ptr()) < 0
            {
                return io::Error::last_os_error();
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            // Programs of Rust ignore it, others needn't.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            for before in &mut self.before {
                if let Err(error) = before() {
                    return error;
                }
            }
            let ours = environ;
            if let Some(environment) = &words.environment {
                // PATH is looked up in it, too.
                environ = environment.pointers.as_ptr();
            }
            libc::execvp(words.program.as_ptr(), words.words.pointers.as_ptr());
            let error = io::Error::last_os_error();
            environ = ours;
            error
        }
    }
}

/// What exec(2) takes, ready before fork(2).
struct Words {
    program: CString,
    folder: Option<CString>,
    words: List,
    environment: Option<List>,
}

/// Strings, and the array of pointers to them that ends with a null pointer.
struct List {
    // The pointers lead there.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl List {
    fn of(strings: Vec<CString>) -> List {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        List { _strings: strings, pointers }
    }
}

/// # Errors
/// A zero byte in it.
fn text(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn variable(mut name: OsString, value: &OsStr) -> io::Result<CString> {
    name.push("=");
    name.push(value);
    CString::new(name.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl Child {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What waitpid(2) says.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            match self.look(0) {
                Ok(Some(status)) => return Ok(status),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// How it has ended, if it was waited for.
    #[cfg(feature = "session")]
    pub fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// Looks whether it has ended, without waiting for it: until that is done its number stays its own, and signals to
    /// its group or its session reach nobody else.
    ///
    /// # Errors
    /// What waitid(2) says.
    #[cfg(feature = "session")]
    pub fn has_ended(&self) -> io::Result<bool> {
        if self.ended.is_some() {
            return Ok(true);
        }
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: all zero is valid, and stays so of a child that lives; the structure lives through the call.
        let (found, signal) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::waitid(libc::P_PID, self.pid, &raw mut info, options), info.si_signo)
        };
        super::check(found)?;
        Ok(signal == libc::SIGCHLD)
    }

    /// Looks whether it has ended.
    ///
    /// # Errors
    /// What waitpid(2) says.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.look(libc::WNOHANG)
    }

    fn look(&mut self, options: libc::c_int) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let mut status = 0;
            // SAFETY: the status lives through the call, which fills it.
            let found = unsafe { libc::waitpid(self.pid as libc::pid_t, &raw mut status, options) };
            self.ended = (super::check(found)? != 0).then(|| ExitStatus::from_raw(status));
        }
        Ok(self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn prints(command: &mut Command) -> String {
        let mut child = command.spawn().unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    }

    #[test]
    fn words_folder_and_environment_are_the_programs() {
        let mut command = sh("echo \"$0|$1|$PWD|$GIVEN|$HOME\"");
        command.args(["a b", ""]).current_dir("/usr").env("GIVEN", "x=y").env_remove("HOME");
        assert_eq!(prints(&mut command), "a b||/usr|x=y|\n");
        let mut clean = Command::new("env");
        clean.env("GONE", "1").env_clear().env("PATH", env::var_os("PATH").unwrap());
        clean.env("ONE", "1").env("ONE", "2").stdout(Stdio::piped());
        let text = prints(&mut clean);
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.first(), Some(&"ONE=2"));
    }

    #[test]
    fn the_programs_path_is_where_it_is_looked_for() {
        let folder = crate::testing::Folder::new();
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("only-there")).unwrap();
        let mut command = Command::new("only-there");
        command.args(["-c", "echo found"]).env("PATH", folder.path()).stdout(Stdio::piped());
        assert_eq!(prints(&mut command), "found\n");
        assert_eq!(Command::new("only-there").spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_goes_wrong_in_the_new_process_is_told() {
        let error = |command: &mut Command| command.spawn().unwrap_err().kind();
        assert_eq!(error(&mut Command::new("/no/such/program")), io::ErrorKind::NotFound);
        assert_eq!(error(&mut Command::new("/etc/passwd")), io::ErrorKind::PermissionDenied);
        assert_eq!(error(sh("exit").current_dir("/no/such/folder")), io::ErrorKind::NotFound);
        assert_eq!(error(&mut Command::new("a\0b")), io::ErrorKind::InvalidInput);
        let mut refused = sh("exit");
        // SAFETY: makes no call at all.
        unsafe { refused.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EPERM))) };
        assert_eq!(error(&mut refused), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn an_end_is_seen_once_and_remembered() {
        let mut child = sh("exit 3").spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
        let mut killed = sh("kill -9 $$").spawn().unwrap();
        assert_eq!(killed.wait().unwrap().signal(), Some(9));
        let mut living = sh("exec sleep 600").spawn().unwrap();
        assert_eq!(living.try_wait().unwrap(), None);
        super::super::process::signal(living.id(), libc::SIGKILL).unwrap();
        living.wait().unwrap();
    }

    #[cfg(feature = "session")]
    #[test]
    fn who_has_ended_keeps_its_number_until_it_is_waited_for() {
        use super::super::process::{Identity, signal};
        let mut child = sh("exit 3").spawn().unwrap();
        while !child.has_ended().unwrap() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Identity::of(child.id()).is_some() && child.status().is_none());
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert_eq!(Identity::of(child.id()), None);
        assert!(child.has_ended().unwrap() && child.status().is_some());
        let mut living = sh("exec sleep 600").spawn().unwrap();
        assert!(!living.has_ended().unwrap());
        signal(living.id(), libc::SIGKILL).unwrap();
        living.wait().unwrap();
    }

    #[test]
    fn a_broken_pipe_ends_a_program() {
        let mut command = sh("sleep 0.2; echo x; echo y; exit 0");
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGPIPE));
    }
}

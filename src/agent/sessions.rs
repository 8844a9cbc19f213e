//! The sessions of operators: each has a process of its own (`stint session`), which goes on while this
//! one is restarted. Here they are started, counted, ended, and reported when they are over.

use super::backoff::{Backoff, pause};
use super::modules::Ended;
use super::{Shared, spawn};
use crate::audit;
use crate::reactor::{after, readable};
use crate::session::{self, End, FOLDER, SENDER};
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::doorbell::{self, Look};
use crate::sys::memory::MemoryFile;
use crate::sys::process::{self, Group, Identity};
use crate::sys::{FileError, durable};
use smol::LocalExecutor;
use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::mgs::sessions::SessionOrder;

/// The file in a session's folder that names its process.
const PID: &str = "pid";

/// The end of a session is told so often at most: by then its server has found out by itself.
const TELLS: u32 = 8;

/// How long a process whose doorbell is silent is waited for at first. Most have gone by then.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// Between two looks at one that stays.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// A transcript that can't be sent is tried again after this, then twice that, and so on up to the
/// longest, seconds. A process is started for each try.
const AGAIN: u64 = 30;
const SELDOM: u64 = 1920;

/// The sessions that are not over.
pub struct Sessions {
    open: RefCell<Vec<Open>>,
    /// Those that nobody has started yet, with their orders.
    wanted: RefCell<Vec<(String, String)>>,
    bell: crate::bell::Bell,
    /// A session's process has ended, and may have left its transcript.
    left: crate::bell::Bell,
}

impl Sessions {
    /// None yet.
    pub fn new() -> Sessions {
        let (bell, left) = (crate::bell::Bell::new(), crate::bell::Bell::new());
        Sessions { open: RefCell::default(), wanted: RefCell::default(), bell, left }
    }
}

struct Open {
    id: String,
    process: Option<Identity>,
    /// It is to end as soon as it has a process.
    ends: bool,
}

/// A server wants a session. One that can't be had is reported as failed.
pub async fn begin(shared: &Shared, id: String, order: String) {
    let sessions = &shared.sessions;
    let settings = &shared.settings.session;
    let is_fit = session::is_fit_for_a_name(&id);
    // It was asked for again because its data channel was long in coming. One that is over may still send its
    // transcript, and one of an earlier daemon may not be adopted yet: each has its folder.
    let is_open = sessions.open.borrow().iter().any(|open| open.id == id);
    if is_open || (is_fit && has_folder(&shared.settings.status_dir, &id)) {
        log::info!("session {id} is wanted again, and is here");
        return;
    }
    let refusal = if !settings.enabled {
        Some("sessions are switched off on this device (session.enabled)".to_owned())
    } else if !is_fit {
        Some("the session's id has characters that it must not have".to_owned())
    } else if sessions.open.borrow().len() >= settings.limit {
        Some(format!(
            "this device has {} sessions open, and takes no more (session.limit)",
            settings.limit
        ))
    } else {
        None
    };
    if let Some(why) = refusal {
        log::warn!("session {id} is refused: {why}");
        let (who, document) = wanted(shared, &order);
        let what = [("id", &*id), ("document", &*document), ("why", &*why)];
        audit::record("session.refused", &who, &what);
        let why = End::failed(why);
        let told = shared.talk(move |up| up.session_is_over(&id, &why.status, &why.output)).await;
        if let Err(error) = told {
            log::warn!("the refusal of a session can't be told: {error}");
        }
        return;
    }
    sessions.open.borrow_mut().push(Open { id: id.clone(), process: None, ends: false });
    sessions.wanted.borrow_mut().push((id, order));
    sessions.bell.ring();
}

/// Whether something is left of the session with this id, which is fit for a name.
fn has_folder(status_dir: &Path, id: &str) -> bool {
    status_dir.join(FOLDER).join(id).exists()
}

/// A server wants a session to end.
pub fn end(shared: &Shared, id: &str) {
    let mut open = shared.sessions.open.borrow_mut();
    let Some(open) = open.iter_mut().find(|open| open.id == id) else { return };
    log::info!("session {id} is ended by the server");
    if !open.ends {
        audit::record("session.cancelled", shared.link(), &[("id", id)]);
    }
    open.ends = true;
    stop(open);
}

fn stop(open: &Open) {
    if let Some(process) = open.process.filter(|process| process.is_alive()) {
        let _ = process::signal(process.pid, libc::SIGTERM);
    }
}

/// Starts sessions for ever. Those that an earlier daemon has started come first.
pub async fn run(shared: Rc<Shared>, executor: Rc<LocalExecutor<'static>>) -> Ended {
    let folder = shared.settings.status_dir.join(FOLDER);
    let known = match durable::make_folder(&folder) {
        Ok(()) => durable::list(&folder).map_err(|error| error.to_string())?,
        // There are none in a folder that isn't there, and each session tries to make its own.
        Err(error) => {
            log::warn!("{error}");
            Vec::new()
        }
    };
    for id in known {
        if id == SENDER {
            continue;
        }
        let is_new = !shared.sessions.open.borrow().iter().any(|open| open.id == id);
        if is_new {
            shared.sessions.open.borrow_mut().push(Open {
                id: id.clone(),
                process: None,
                ends: false,
            });
            let folder = folder.join(&id);
            spawn(&executor, adopt(shared.clone(), id, folder));
        }
    }
    // Nothing fails from here on, so that there is one of it.
    spawn(&executor, send_left(shared.clone(), folder.join(SENDER)));
    loop {
        let wanted: Vec<_> = shared.sessions.wanted.borrow_mut().drain(..).collect();
        for (id, order) in wanted {
            let folder = folder.join(&id);
            spawn(&executor, carry(shared.clone(), id, order, folder));
        }
        shared.sessions.bell.wait().await;
    }
}

/// Who wants a session by this order, as far as it tells, and by which document.
fn wanted(shared: &Shared, order: &str) -> (String, String) {
    let (owner, document) = SessionOrder::read(order)
        .map(|order| (order.owner, order.document_name))
        .unwrap_or_default();
    (if owner.is_empty() { shared.link().to_owned() } else { owner }, document)
}

/// A session from its start to its end.
async fn carry(shared: Rc<Shared>, id: String, order: String, folder: PathBuf) {
    let (who, document) = wanted(&shared, &order);
    log::info!("session {id} ({document}) begins");
    audit::record("session.started", &who, &[("id", &id), ("document", &document)]);
    let started = start(&shared, &folder, Some(order.as_bytes()));
    drop(order);
    match started {
        Ok((child, listener)) => {
            note(&shared, &id, &folder, Identity::of(child.id()));
            listen(&shared, &id, &folder, listener, Some(child)).await;
        }
        Err(error) => {
            over(&shared, &id, End::failed(format!("the session has no process: {error}"))).await;
        }
    }
    put_away(shared, &id, folder).await;
}

/// A session that an earlier daemon has started.
async fn adopt(shared: Rc<Shared>, id: String, folder: PathBuf) {
    let text = fs::read_to_string(folder.join(PID)).unwrap_or_default();
    let process = text.split_once(' ').and_then(|(pid, started)| {
        Some(Identity { pid: pid.parse().ok()?, started: started.trim().parse().ok()? })
    });
    note(&shared, &id, &folder, process);
    match doorbell::listen(&folder) {
        Ok(listener) => listen(&shared, &id, &folder, listener, None).await,
        Err(error) => log::error!("session {id}: {error}"),
    }
    // It may be this process's child, if that has become another program meanwhile. By now its number may be
    // another child's.
    if let Some(process) = process.filter(|process| process.is_alive()) {
        process::reap(process.pid);
    }
    put_away(shared, &id, folder).await;
}

/// Remembers a session's process, here and for the next daemon.
fn note(shared: &Shared, id: &str, folder: &Path, process: Option<Identity>) {
    if let Some(Identity { pid, started }) = process {
        // Without room for it the next daemon can't end the session by itself; its server can.
        let _ = fs::write(folder.join(PID), format!("{pid} {started}"));
    }
    let mut open = shared.sessions.open.borrow_mut();
    if let Some(open) = open.iter_mut().find(|open| open.id == id) {
        open.process = process;
        if open.ends {
            stop(open);
        }
    }
}

/// Both ends of a session's doorbell. It is in the session's folder, where the next daemon hears it, too; where there
/// can be none, this one alone does: a full disk is no reason to keep out who comes to repair it.
fn hear(folder: &Path) -> Result<(File, File), FileError> {
    let named = || {
        durable::make_folder(folder)?;
        let listener = doorbell::listen(folder)?;
        Ok((listener, doorbell::hold(folder)?))
    };
    named().or_else(|error: FileError| {
        log::warn!("{error}; a session goes on without, and the next daemon won't know it");
        // Without a doorbell in it, it would be taken for that of a session that is over.
        let _ = fs::remove_dir_all(folder);
        doorbell::unnamed()
    })
}

/// Starts the process of a session, or without an order that which sends transcripts.
fn start(shared: &Shared, folder: &Path, order: Option<&[u8]>) -> Result<(Child, File), FileError> {
    let (listener, bell) = hear(folder)?;
    let program = Path::new("/proc/self/exe");
    let mut command = Command::new(program);
    command.arg("session");
    // The order may hold secrets, and the disk may be full: it is in memory alone.
    let mut memory = None;
    match order {
        Some(order) => {
            let file = MemoryFile::new(order).map_err(FileError::new("hand over", folder))?;
            let path = file.path();
            let order = File::open(&path).map_err(FileError::new("open", &path))?;
            memory = Some(file);
            command.arg(folder).stdin(Stdio::from(order))
        }
        None => command.stdin(Stdio::null()),
    };
    command.arg("--state-dir").arg(&shared.settings.state).current_dir("/");
    if let Some(config) = &shared.settings.config {
        command.arg("--config").arg(config);
    }
    // What it logs comes where this process's lines do.
    command.stdout(Stdio::from(bell));
    let child = process::isolate(&mut command, Group::Part).spawn();
    drop(memory);
    Ok((child.map_err(FileError::new("start", program))?, listener))
}

/// Reports the end of a session as soon as it is known, and returns when its process is gone.
async fn listen(shared: &Shared, id: &str, folder: &Path, listener: File, child: Option<Child>) {
    let mut is_told = false;
    loop {
        match doorbell::look(&listener) {
            Ok(Look::Rang) if !is_told => {
                if let Some(end) = End::read(folder) {
                    is_told = true;
                    over(shared, id, end).await;
                }
                continue;
            }
            Ok(Look::Gone) | Err(_) => break,
            Ok(_) => readable(&listener).await,
        }
    }
    let status = match child {
        Some(child) => ended(child).await,
        None => None,
    };
    if !is_told {
        let end = End::read(folder).unwrap_or_else(|| match status {
            // On a full disk there is no room for its last words.
            Some(status) if status.success() => {
                End { status: "Success".to_owned(), output: String::new() }
            }
            _ => End::failed("the session's process on the device ended without a word".to_owned()),
        });
        over(shared, id, end).await;
    }
}

/// Waits for the end of a process, which its doorbell may be silent long before; `None`: nobody knows how it ended.
async fn ended(mut child: Child) -> Option<ExitStatus> {
    let mut pause = FIRST_LOOK;
    loop {
        match child.try_wait() {
            Ok(None) => after(pause).await,
            Ok(status) => return status,
            Err(_) => return None,
        };
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// A session is over: it makes room for another, and the server is told.
async fn over(shared: &Shared, id: &str, end: End) {
    shared.sessions.open.borrow_mut().retain(|open| open.id != id);
    let End { status, output } = end;
    let gap = if output.is_empty() { "" } else { " " };
    log::info!("session {id} ended: {status}{gap}{output}");
    audit::record("session.ended", "agent", &[("id", id), ("status", &status)]);
    let mut backoff = Backoff::default();
    for _ in 0..TELLS {
        let (id, status, output) = (id.to_owned(), status.clone(), output.clone());
        let told = shared.talk(move |up| up.session_is_over(&id, &status, &output)).await;
        let Err(error) = told else { return };
        let wait = backoff.failed(error.is_rejection_of_the_node());
        log::warn!("the end of a session can't be told: {error}; again in {} s", wait.as_secs());
        after(wait).await;
    }
}

/// Removes the folder.
async fn put_away(shared: Rc<Shared>, id: &str, folder: PathBuf) {
    shared.sessions.open.borrow_mut().retain(|open| open.id != id);
    let _ = fs::remove_dir_all(folder);
    shared.sessions.left.ring();
}

/// Sends for ever, by a process of its own each time, the transcripts that sessions couldn't send themselves: they
/// were killed, or nobody took them.
async fn send_left(shared: Rc<Shared>, folder: PathBuf) {
    let mut wait = AGAIN;
    loop {
        if session::are_waiting(&shared.settings.state) {
            send_once(&shared, &folder).await;
        }
        if !session::are_waiting(&shared.settings.state) {
            shared.sessions.left.wait().await;
            wait = AGAIN;
        } else if !pause(Duration::from_secs(wait), &shared.sessions.left).await {
            wait = (wait * 2).min(SELDOM);
        }
    }
}

async fn send_once(shared: &Shared, folder: &Path) {
    match start(shared, folder, None) {
        Ok((child, listener)) => {
            while !matches!(doorbell::look(&listener), Ok(Look::Gone) | Err(_)) {
                readable(&listener).await;
            }
            ended(child).await;
        }
        Err(error) => log::warn!("transcripts can't be sent: {error}"),
    }
    let _ = fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::io;

    #[test]
    fn a_process_that_outlives_its_doorbell_does_not_hold_up_the_loop() {
        let mut command = Command::new("sleep");
        let child = command.arg("600").spawn().unwrap();
        let pid = child.id();
        let status = crate::reactor::block_on(smol::future::or(ended(child), async move {
            // The loop's turn comes while it is waited for.
            after(FIRST_LOOK * 3).await;
            process::signal(pid, libc::SIGKILL).unwrap();
            std::future::pending().await
        }))
        .unwrap();
        assert!(status.is_some_and(|status| !status.success()));
    }

    #[test]
    fn a_session_that_can_have_no_folder_is_heard_nevertheless() {
        let status = Folder::new();
        let file = status.path().join(FOLDER);
        fs::write(&file, "").unwrap();
        for folder in [file.join("a-1"), status.path().join("a-1")] {
            let (listener, mut bell) = hear(&folder).unwrap();
            assert_eq!(doorbell::look(&listener).unwrap(), Look::Quiet);
            io::Write::write_all(&mut bell, b".").unwrap();
            assert_eq!(doorbell::look(&listener).unwrap(), Look::Rang);
            drop(bell);
            assert_eq!(doorbell::look(&listener).unwrap(), Look::Gone);
        }
        assert!(status.path().join("a-1").is_dir());
    }

    #[test]
    fn a_session_is_here_until_its_folder_has_gone() {
        let status = Folder::new();
        assert!(!has_folder(status.path(), "a-1"));
        let folder = status.path().join(FOLDER).join("a-1");
        fs::create_dir_all(&folder).unwrap();
        assert!(has_folder(status.path(), "a-1") && !has_folder(status.path(), "a-2"));
        fs::remove_dir(&folder).unwrap();
        assert!(!has_folder(status.path(), "a-1"));
    }
}

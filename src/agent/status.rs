//! What `stint status` shows: a small file that the daemon keeps up to date, and a lock that
//! tells whether there is a daemon.
//!
//! The lock is in `run/` below the state folder. The file is on the board's tmpfs where it has one,
//! to spare the flash, else beside the lock; it is written without waiting for the disk, because
//! after a power cut nobody wants to know it.

use super::Observer;
#[cfg(feature = "guardian")]
use super::modules::{ModuleState, State};
#[cfg(feature = "guardian")]
use crate::bell::Bell;
use crate::sys::{FileError, clock, durable, lock};
use crate::uplink::UplinkError;
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use stint_wire::json::{self, Node, ObjectWriter};
#[cfg(all(feature = "guardian", feature = "ssm"))]
use stint_wire::text::head;

/// Of each module's failure the server is told so much, bytes.
#[cfg(all(feature = "guardian", feature = "ssm"))]
const MOST_REASON: usize = 1000;

const LOCK: &str = "run/lock";
const FILE: &str = "status.json";

/// What the daemon knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Its process id.
    pub pid: u32,
    /// Its ways to its servers.
    pub links: Vec<LinkState>,
    /// What it does, in the order in which it was started.
    #[cfg(feature = "guardian")]
    pub modules: Vec<ModuleState>,
}

/// How one link is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Its name: `ec2messages`, `bootagent`.
    pub link: String,
    /// Which node this was to the server when the link was set up.
    #[cfg(feature = "ssm")]
    pub node: Option<String>,
    /// The URL of the server that was asked last.
    #[cfg(feature = "ssm")]
    pub server: Option<String>,
    /// The last exchange with the server went well.
    pub online: bool,
    /// When the last health report was accepted, ISO 8601.
    pub last_ping: Option<String>,
    /// The same in seconds since the device's boot, which nobody sets.
    pub heard_at: Option<u64>,
    /// The time between two of them, seconds.
    pub ping_seconds: u64,
    /// How long it waits before it tries again, seconds.
    pub backoff_seconds: Option<u64>,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
    /// The same in one word: `dns`, `portal`, `certificate`… ([`UplinkError::kind`]).
    pub error_kind: Option<String>,
}

/// The daemon's side.
pub struct Board {
    path: PathBuf,
    snapshot: RefCell<Snapshot>,
    observer: Option<Box<dyn Observer>>,
    /// Rings when a module has failed, or runs again.
    #[cfg(feature = "guardian")]
    pub troubles: Bell,
}

/// Makes this process the daemon of a state folder. `None` if there is one already, and it doesn't end within a second.
///
/// # Errors
/// The folder or the lock can't be made.
pub fn claim(state: &Path) -> Result<Option<File>, FileError> {
    durable::make_folder(&state.join("run"))?;
    #[cfg(any(feature = "guardian", feature = "update"))]
    is_claimed(state);
    lock::acquire(&state.join(LOCK))
}

/// Whether a state folder has a daemon, and still has it after a second.
#[cfg(any(feature = "guardian", feature = "update"))]
pub fn is_claimed(state: &Path) -> bool {
    lock::is_kept(&state.join(LOCK))
}

/// What the daemon of a state folder says of itself in `status`; `None` if there is no daemon.
pub fn look(state: &Path, status: &Path) -> Option<Snapshot> {
    if !lock::is_held(&state.join(LOCK)) {
        return None;
    }
    let text = fs::read_to_string(status.join(FILE)).unwrap_or_default();
    Some(Snapshot::read(&text))
}

/// The side of one link.
#[derive(Clone)]
pub struct Link {
    board: Rc<Board>,
    at: usize,
}

impl Board {
    /// A board in the folder `status`, without links as yet.
    pub fn new(status: &Path, observer: Option<Box<dyn Observer>>) -> Rc<Board> {
        let snapshot = Snapshot { pid: std::process::id(), ..Default::default() };
        if let Err(error) = durable::make_folder(status) {
            log::warn!("stint status will know little: {error}");
        }
        let path = status.join(FILE);
        let board = Board {
            path,
            snapshot: RefCell::new(snapshot),
            observer,
            #[cfg(feature = "guardian")]
            troubles: Bell::new(),
        };
        board.write();
        Rc::new(board)
    }

    /// Adds a link that hasn't reached its server yet.
    pub fn link(self: &Rc<Board>, name: &str) -> Link {
        let at = self.snapshot.borrow().links.len();
        let link = LinkState { link: name.to_owned(), ..Default::default() };
        self.snapshot.borrow_mut().links.push(link);
        self.write();
        Link { board: self.clone(), at }
    }

    /// A link can't even be set up; the next try is after `wait`.
    #[cfg(feature = "ssm")]
    pub fn backing_off(&self, wait: Duration, why: &str) {
        if let Some(observer) = &self.observer {
            observer.backing_off(wait, why);
        }
    }

    /// Adds a module; its place on the board.
    #[cfg(feature = "guardian")]
    pub fn module(&self, name: &str, state: State, why: Option<&str>) -> usize {
        let mut module = ModuleState { name: name.to_owned(), ..Default::default() };
        module.turn(state);
        module.last_error = why.map(str::to_owned);
        let mut snapshot = self.snapshot.borrow_mut();
        snapshot.modules.push(module);
        let at = snapshot.modules.len() - 1;
        drop(snapshot);
        self.write();
        at
    }

    /// Changes a module.
    #[cfg(feature = "guardian")]
    pub fn change_module(&self, at: usize, change: impl FnOnce(&mut ModuleState)) {
        if let Some(module) = self.snapshot.borrow_mut().modules.get_mut(at) {
            change(module);
        }
        self.troubles.ring();
        self.write();
    }

    /// The modules that have failed, as content of an inventory: a JSON array with an object of texts for each. How
    /// often and since when isn't in it, or each try would make it another.
    #[cfg(all(feature = "guardian", feature = "ssm"))]
    pub fn failed_modules(&self) -> String {
        let snapshot = self.snapshot.borrow();
        let entries = snapshot.failed().map(|module| {
            let reason = module.last_error.as_deref().unwrap_or_default();
            ObjectWriter::new()
                .string("Name", &module.name)
                .string("Reason", head(reason, MOST_REASON))
                .finish()
        });
        format!("[{}]", entries.collect::<Vec<_>>().join(","))
    }

    /// Whether a server hears this node.
    #[cfg(feature = "update")]
    pub fn is_online(&self) -> bool {
        self.snapshot.borrow().links.iter().any(|link| link.online)
    }

    /// Whether there is no server that could.
    #[cfg(feature = "update")]
    pub fn has_no_link(&self) -> bool {
        self.snapshot.borrow().links.is_empty()
    }

    /// The daemon is about to end.
    pub fn stopped(&self) {
        let mut snapshot = self.snapshot.borrow_mut();
        snapshot.links.iter_mut().for_each(|link| link.online = false);
        #[cfg(feature = "guardian")]
        for module in snapshot.modules.iter_mut().filter(|m| m.state != State::Disabled) {
            module.turn(State::Stopped);
        }
        drop(snapshot);
        self.write();
    }

    fn write(&self) {
        let text = self.snapshot.borrow().write();
        let temporary = self.path.with_extension("new");
        let written =
            fs::write(&temporary, &text).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            // On a full disk the file's own blocks are still there. A board that can't be written
            // at all is no reason to stop: the server knows better anyway.
            let _ = write_over(&self.path, &text);
        }
    }
}

impl Link {
    /// Whether the last exchange with the server went well.
    pub fn is_online(&self) -> bool {
        self.state().online
    }

    /// This is that node to the server.
    #[cfg(feature = "ssm")]
    pub fn is_node(&self, id: String) {
        self.change(|link| link.node = Some(id));
    }

    /// That is the server that the link goes to.
    #[cfg(feature = "ssm")]
    pub fn goes_to(&self, server: String) {
        self.change(|link| link.server = Some(server));
    }

    /// A health report was accepted; the next is due in `every`.
    pub fn pinged(&self, every: Duration) {
        self.change(|link| {
            link.last_ping = Some(clock::system().iso());
            link.heard_at = Some(clock::since_boot().as_secs());
            link.ping_seconds = every.as_secs();
            online(link);
        });
    }

    /// Another exchange went well.
    pub fn polled(&self) {
        self.change(online);
    }

    /// An exchange with the server failed, and is tried again after `wait`.
    pub fn failed(&self, what: &str, error: &UplinkError, wait: Duration) {
        log::warn!("{what} failed, trying again in {} s: {error}", wait.as_secs());
        let first = self.state().backoff_seconds.is_none();
        if let (true, Some(observer)) = (first, &self.board.observer) {
            observer.backing_off(wait, &error.to_string());
        }
        self.change(|link| {
            link.online = false;
            link.backoff_seconds = Some(wait.as_secs());
            link.last_error = Some(error.to_string());
            link.error_kind = Some(error.kind().to_owned());
        });
    }

    /// One exchange met something that others may not meet, such as a web page in the place of its answer. It is shown
    /// until the next that goes well.
    #[cfg(feature = "ssm")]
    pub fn met(&self, error: &UplinkError) {
        self.change(|link| {
            link.last_error = Some(error.to_string());
            link.error_kind = Some(error.kind().to_owned());
        });
    }

    fn state(&self) -> LinkState {
        let snapshot = self.board.snapshot.borrow();
        // It was put there when this was made.
        snapshot.links.get(self.at).cloned().unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut LinkState)) {
        let before = self.state();
        let mut after = before.clone();
        change(&mut after);
        if before == after {
            return;
        }
        if let Some(link) = self.board.snapshot.borrow_mut().links.get_mut(self.at) {
            *link = after.clone();
        }
        if before.online != after.online {
            let word = if after.online { "online" } else { "not online" };
            log::info!("this node is {word} by {}", after.link);
            if let (true, Some(observer)) = (after.online, &self.board.observer) {
                observer.online(&after);
            }
        }
        self.board.write();
    }
}

fn write_over(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

fn online(link: &mut LinkState) {
    link.online = true;
    link.backoff_seconds = None;
    link.last_error = None;
    link.error_kind = None;
}

impl Snapshot {
    fn write(&self) -> String {
        let links: Vec<String> = self.links.iter().map(LinkState::write).collect();
        let out = ObjectWriter::new()
            .raw("pid", &self.pid.to_string())
            .raw("links", &format!("[{}]", links.join(",")));
        #[cfg(feature = "guardian")]
        let out = out.raw("modules", &self.modules_json());
        out.finish()
    }

    /// The modules as JSON.
    #[cfg(feature = "guardian")]
    pub fn modules_json(&self) -> String {
        let modules: Vec<String> = self.modules.iter().map(ModuleState::write).collect();
        format!("[{}]", modules.join(","))
    }

    /// The modules that have failed and wait for another try.
    #[cfg(feature = "guardian")]
    pub fn failed(&self) -> impl Iterator<Item = &ModuleState> {
        self.modules.iter().filter(|module| module.state == State::Failed)
    }

    /// What is missing, or isn't there yet, is empty.
    fn read(text: &str) -> Snapshot {
        let Ok(node) = json::parse(text) else { return Snapshot::default() };
        let links = node.get("links").and_then(Node::elements).unwrap_or_default();
        Snapshot {
            pid: node.get("pid").and_then(Node::as_u64).unwrap_or_default() as u32,
            links: links.iter().map(LinkState::read).collect(),
            #[cfg(feature = "guardian")]
            modules: {
                let modules = node.get("modules").and_then(Node::elements).unwrap_or_default();
                modules.iter().map(ModuleState::read).collect()
            },
        }
    }

    /// Whether the node is as it should be: connected, heard by every server not long ago, and no module has failed. `now`
    /// is in seconds since the device's boot.
    pub fn is_healthy(&self, now: u64) -> bool {
        #[cfg(feature = "guardian")]
        if self.failed().next().is_some() {
            return false;
        }
        !self.links.is_empty() && self.links.iter().all(|link| link.is_healthy(now))
    }
}

impl LinkState {
    /// The link as JSON.
    pub fn write(&self) -> String {
        let number = |number: u64| number.to_string();
        let null = || "null".to_owned();
        let text = |text: &Option<String>| text.as_deref().map_or_else(null, json::quote);
        let out = ObjectWriter::new().string("link", &self.link);
        #[cfg(feature = "ssm")]
        let out = out.raw("node", &text(&self.node)).raw("server", &text(&self.server));
        out.raw("online", if self.online { "true" } else { "false" })
            .raw("lastPing", &text(&self.last_ping))
            .raw("lastPingUptime", &self.heard_at.map_or_else(null, number))
            .raw("pingSeconds", &number(self.ping_seconds))
            .raw("backoffSeconds", &self.backoff_seconds.map_or_else(null, number))
            .raw("lastError", &text(&self.last_error))
            .raw("errorKind", &text(&self.error_kind))
            .finish()
    }

    fn read(node: &Node) -> LinkState {
        let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
        let number = |name| node.get(name).and_then(Node::as_u64);
        LinkState {
            link: text("link").unwrap_or_default(),
            #[cfg(feature = "ssm")]
            node: text("node"),
            #[cfg(feature = "ssm")]
            server: text("server"),
            online: node.get("online").and_then(Node::as_bool).unwrap_or_default(),
            last_ping: text("lastPing"),
            heard_at: number("lastPingUptime"),
            ping_seconds: number("pingSeconds").unwrap_or_default(),
            backoff_seconds: number("backoffSeconds"),
            last_error: text("lastError"),
            error_kind: text("errorKind"),
        }
    }

    fn is_healthy(&self, now: u64) -> bool {
        let patience = self.ping_seconds * 2;
        self.online && self.heard_at.is_some_and(|heard| now.saturating_sub(heard) <= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn status_tells_a_daemon_from_its_leftovers() {
        let folder = Folder::new();
        let status = folder.path().join("status");
        let look = |state| super::look(state, &status);
        assert_eq!(look(folder.path()), None);
        let claim = super::claim(folder.path()).unwrap().unwrap();
        let board = Board::new(&status, None);
        let (first, second) = (board.link("ec2messages"), board.link("bootagent"));
        assert!(look(folder.path()).unwrap().links.iter().all(|link| !link.online));
        second.pinged(Duration::from_secs(60));
        let seen = look(folder.path()).unwrap();
        assert_eq!(seen.pid, std::process::id());
        assert!(!seen.links[0].online && seen.links[1].online && !first.is_online());
        assert!(super::claim(folder.path()).unwrap().is_none());
        drop(claim);
        // Processes that other tests fork meanwhile hold the lock until they end or become programs.
        let gone = |_| {
            std::thread::sleep(Duration::from_millis(50));
            look(folder.path()).is_none()
        };
        assert!((0..600).any(gone));
    }

    #[cfg(all(feature = "guardian", feature = "ssm"))]
    #[test]
    fn the_server_is_told_of_a_module_as_long_as_it_fails_and_of_no_try() {
        let folder = Folder::new();
        let board = Board::new(folder.path(), None);
        let at = board.module("supervise", State::Running, None);
        board.module("audit", State::Disabled, Some("the configuration doesn't want it"));
        assert_eq!(board.failed_modules(), "[]");
        let fail = |module: &mut ModuleState| {
            module.turn(State::Failed);
            module.restarts += 1;
            module.last_error = Some(format!("no \"room\"{}", "\u{e9}".repeat(MOST_REASON)));
        };
        board.change_module(at, fail);
        let told = board.failed_modules();
        let begin = r#"[{"Name":"supervise","Reason":"no \"room\"éé"#;
        assert!(told.starts_with(begin) && told.len() < MOST_REASON + 50, "{told}");
        // The next failure of the same kind is no news.
        board.change_module(at, fail);
        assert_eq!(board.failed_modules(), told);
        board.change_module(at, |module| module.turn(State::Running));
        assert_eq!(board.failed_modules(), "[]");
        smol::block_on(async {
            assert!(smol::future::poll_once(board.troubles.wait()).await.is_some());
        });
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn what_one_exchange_meets_is_shown_until_the_next_goes_well() {
        let folder = Folder::new();
        let _claim = super::claim(folder.path()).unwrap();
        let link = Board::new(folder.path(), None).link("ec2messages");
        let seen = || look(folder.path(), folder.path()).unwrap().links.remove(0);
        link.pinged(Duration::from_secs(60));
        link.met(&UplinkError::Portal { operation: "SendReply" });
        assert!(seen().online && seen().backoff_seconds.is_none());
        assert_eq!(seen().error_kind.as_deref(), Some("portal"));
        link.polled();
        assert_eq!((seen().online, seen().error_kind), (true, None));
        link.goes_to("http://b".to_owned());
        assert_eq!(seen().server.as_deref(), Some("http://b"));
    }

    #[test]
    fn a_node_is_healthy_while_all_its_servers_hear_it() {
        let link = LinkState { online: true, ping_seconds: 60, ..Default::default() };
        let mut snapshot = Snapshot::default();
        (snapshot.pid, snapshot.links) = (1, vec![link]);
        assert!(!snapshot.is_healthy(0));
        snapshot.links[0].heard_at = Some(1000);
        assert!(snapshot.is_healthy(1000) && snapshot.is_healthy(1120));
        assert!(!snapshot.is_healthy(1121));
        let mut other = snapshot.links[0].clone();
        other.online = false;
        snapshot.links.push(other);
        assert!(!snapshot.is_healthy(1000));
        snapshot.links.clear();
        assert!(!snapshot.is_healthy(1000));
    }

    #[test]
    fn a_node_is_as_healthy_after_its_clock_was_set_as_before() {
        let folder = Folder::new();
        let _claim = super::claim(folder.path()).unwrap();
        Board::new(folder.path(), None).link("ec2messages").pinged(Duration::from_secs(60));
        let mut seen = look(folder.path(), folder.path()).unwrap();
        let now = clock::since_boot().as_secs();
        for said in ["1970-01-01T00:01:00.000Z", "2099-01-01T00:00:00.000Z"] {
            seen.links[0].last_ping = Some(said.to_owned());
            assert!(seen.is_healthy(now) && !seen.is_healthy(now + 200));
        }
    }

    #[cfg(feature = "guardian")]
    #[test]
    fn a_node_with_a_module_that_has_failed_is_not_healthy() {
        let link = LinkState { online: true, heard_at: Some(9), ..Default::default() };
        let mut snapshot = Snapshot { links: vec![link], ..Default::default() };
        let states = [State::Running, State::Stopped, State::Disabled, State::Failed];
        let healthy = states.map(|state| {
            snapshot.modules.push(ModuleState { state, ..Default::default() });
            snapshot.is_healthy(9)
        });
        assert_eq!(healthy, [true, true, true, false]);
    }
}

//! Whether a child that runs is well: it is asked over its socket, or says so by itself.

use super::definition::{Check, Definition, Probe};
use crate::bell::Bell;
use crate::reactor::{after, readable};
use crate::sys::{clock, unix_socket};
use smol::{LocalExecutor, Task, future};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use stint_wire::json::{self, Node};

/// What a child is asked: the founding page's words.
const REQUEST: &[u8] = b"{\"gardian\":\"BootAgent\",\"method\":\"health\"}\r\n";

/// The longest answer and the longest heartbeat, bytes.
const MAX_LINE: usize = 1023;

/// A child that holds its connection open says something within this time, or may connect anew.
const IDLE: Duration = Duration::from_secs(3600);

/// So many connections of a child are heard at the same time.
const MAX_CONNECTIONS: usize = 4;

/// After a connection couldn't be taken, before the next one is.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket for heartbeats in the child's folder.
const SOCKET: &str = "beat";

/// The health of one child.
#[derive(Default)]
pub struct Health {
    seen: Rc<Seen>,
    listener: Option<UnixListener>,
    tasks: Vec<Task<()>>,
}

/// What the tasks have seen.
#[derive(Default)]
struct Seen {
    /// Bad checks in a row.
    failures: Cell<u32>,
    /// The last good heartbeat, or the start.
    beat: Cell<Duration>,
    /// What was wrong last.
    why: RefCell<Option<String>>,
}

impl Health {
    /// Makes the socket for heartbeats, if it needs one; to be called before the child starts.
    pub fn socket(&mut self, definition: &Definition, folder: &Path) -> Option<PathBuf> {
        definition.heartbeat.as_ref()?;
        let path = folder.join(SOCKET);
        let _ = fs::remove_file(&path);
        match UnixListener::bind(&path) {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => log::error!("{} can't be listened at: {error}", path.display()),
        }
        Some(path)
    }

    /// The child has just started, or been found running.
    pub fn start(&mut self, now: Duration) {
        self.seen = Rc::default();
        self.seen.beat.set(now);
        self.tasks.clear();
    }

    /// The child runs no more.
    pub fn stop(&mut self) {
        self.tasks.clear();
        self.listener = None;
        self.seen = Rc::default();
    }

    /// Starts the tasks of a child that runs, unless they are under way.
    pub fn watch(
        &mut self,
        definition: &Definition,
        executor: &LocalExecutor<'static>,
        bell: &Rc<Bell>,
    ) {
        if !self.tasks.is_empty() {
            return;
        }
        if let Some(check) = &definition.check {
            let task = ask_again_and_again(
                self.seen.clone(),
                check.clone(),
                definition.recheck,
                bell.clone(),
            );
            self.tasks.push(spawn(executor, task));
        }
        if let (Some(beat), Some(listener)) = (&definition.heartbeat, self.listener.take()) {
            let name = definition.name.clone();
            self.tasks
                .push(spawn(executor, listen(self.seen.clone(), listener, name, beat.clone())));
        }
    }

    /// What was wrong last, if it isn't well.
    pub fn trouble(&self) -> Option<String> {
        self.seen.why.borrow().clone()
    }

    /// Whether it is to live on; then when to ask this again, if anything is due. Else why not.
    ///
    /// # Errors
    /// It is to be killed, for this reason.
    pub fn judge(
        &self,
        definition: &Definition,
        now: Duration,
    ) -> Result<Option<Duration>, String> {
        let checks = definition.checks;
        let bad_check = definition.check.as_ref().map(|_| self.seen.failures.get() >= checks);
        let silent_at =
            definition.heartbeat.as_ref().map(|beat| self.seen.beat.get() + beat.interval * checks);
        let is_silent = silent_at.map(|at| now >= at);
        let is_bad = match (bad_check, is_silent) {
            (Some(check), Some(beat)) if !definition.check_all => check && beat,
            (check, beat) => check == Some(true) || beat == Some(true),
        };
        if !is_bad {
            return Ok(silent_at.filter(|at| *at > now));
        }
        let silence = || format!("no heartbeat {checks} times in a row");
        Err(self.trouble().filter(|_| bad_check == Some(true)).unwrap_or_else(silence))
    }
}

fn spawn(executor: &LocalExecutor<'static>, task: impl Future<Output = ()> + 'static) -> Task<()> {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    executor.spawn(task)
}

impl Probe {
    /// Whether what a child says is what it should say.
    pub fn fits(&self, said: &str) -> bool {
        #[cfg(feature = "documents")]
        if self.is_pattern {
            return regex_lite::Regex::new(&self.wanted)
                .is_ok_and(|pattern| pattern.is_match(said));
        }
        said.contains(&self.wanted)
    }
}

async fn ask_again_and_again(seen: Rc<Seen>, check: Check, recheck: Duration, bell: Rc<Bell>) {
    let interval = check.probe.interval;
    // The page gives an answer 70 % of the time between two.
    let patience = interval * 7 / 10;
    loop {
        after(if seen.failures.get() == 0 { interval } else { recheck }).await;
        let late = async {
            after(patience).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        let trouble = match future::or(ask(&check.path), late).await {
            Ok(answer) if check.probe.fits(&answer) => None,
            Ok(answer) => Some(format!("its answer to a health check is bad: {answer:.80}")),
            Err(error) => Some(format!("it doesn't answer a health check: {error}")),
        };
        let failures = if trouble.is_some() { seen.failures.get().saturating_add(1) } else { 0 };
        seen.failures.set(failures);
        seen.why.replace(trouble);
        bell.ring();
    }
}

async fn ask(path: &Path) -> io::Result<String> {
    let mut stream = unix_socket::connect(path)?;
    // The first bytes of a connection always have room.
    stream.write_all(REQUEST)?;
    let line = read_line(&stream, &mut Vec::new()).await?;
    line.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The next line without its end. What comes after it stays in `rest`.
async fn read_line(mut stream: &UnixStream, rest: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
        }
        if rest.len() > MAX_LINE {
            return Err(io::Error::other("it says more than 1023 bytes in one line"));
        }
        let mut piece = [0; 256];
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(count) => rest.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => readable(stream).await,
            Err(error) => return Err(error),
        }
    }
}

async fn listen(seen: Rc<Seen>, listener: UnixListener, name: String, probe: Probe) {
    let mut heard: VecDeque<Pin<Box<dyn Future<Output = ()> + '_>>> = VecDeque::new();
    loop {
        let accepted = future::or(go_on(&mut heard), accept(&listener)).await;
        match accepted {
            Ok(stream) => {
                // The newest goes before the oldest, which may have been forgotten.
                if heard.len() >= MAX_CONNECTIONS {
                    heard.pop_front();
                }
                heard.push_back(Box::pin(hear(&seen, stream, &name, &probe)));
            }
            // Most likely there are no descriptors left.
            Err(_) => {
                future::or(go_on(&mut heard), after(PAUSE)).await;
            }
        }
    }
}

async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    readable(listener).await;
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Goes on with all of these, and never comes to an end by itself.
fn go_on<'a, T>(
    heard: &'a mut VecDeque<Pin<Box<dyn Future<Output = ()> + '_>>>,
) -> impl Future<Output = T> + 'a {
    future::poll_fn(|context| {
        heard.retain_mut(|one| one.as_mut().poll(context).is_pending());
        Poll::Pending
    })
}

/// Takes in the heartbeats of one connection until its end.
async fn hear(seen: &Seen, stream: UnixStream, name: &str, probe: &Probe) {
    let mut rest = Vec::new();
    let idle = || async {
        after(IDLE).await;
        Ok(None)
    };
    while let Ok(Some(line)) = future::or(read_line(&stream, &mut rest), idle()).await {
        if is_beat(&line, name, probe) {
            seen.beat.set(clock::since_boot());
        }
    }
}

/// Whether a line is a heartbeat of this child.
fn is_beat(line: &str, name: &str, probe: &Probe) -> bool {
    let Ok(node) = json::parse(line) else { return false };
    let from = node.get("agent").and_then(|agent| agent.get("name")).and_then(Node::as_str);
    let message =
        node.get("message").map(|said| said.as_str().map_or(said.to_string(), str::to_owned));
    from == Some(name) && probe.fits(&message.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(text: &str) -> Definition {
        Definition::parse(&format!("{{\"name\": \"a\", \"exec\": \"/a\", {text}}}")).unwrap()
    }

    #[test]
    fn a_heartbeat_names_its_child_and_says_what_is_wanted() {
        let probe =
            |wanted: &str| definition(&format!("\"heartbeat\": {{{wanted}}}")).heartbeat.unwrap();
        let line = r#"{"agent": {"name": "a", "version": "1"}, "message": "all OK"}"#;
        assert!(
            is_beat(line, "a", &probe(""))
                && is_beat(line, "a", &probe("\"match\": \"string:OK\""))
        );
        assert!(
            !is_beat(line, "b", &probe(""))
                && !is_beat(line, "a", &probe("\"match\": \"string:no\""))
        );
        assert!(!is_beat("all OK", "a", &probe("")));
        let object = r#"{"agent": {"name": "a"}, "message": {"state": 1}}"#;
        assert!(is_beat(object, "a", &probe("\"match\": \"string:\\\"state\\\":1\"")));
    }

    #[cfg(feature = "documents")]
    #[test]
    fn an_answer_may_be_a_pattern() {
        let check =
            definition(r#""check": {"path": "/s", "match": "regex:^ok [0-9]+$"}"#).check.unwrap();
        assert!(check.probe.fits("ok 12") && !check.probe.fits("not ok 12"));
    }

    #[test]
    fn bad_signs_in_a_row_are_too_many_and_one_good_sign_may_be_enough() {
        let both = r#""check": {"path": "/s"}, "heartbeat": {"interval": 10}, "checks": 3"#;
        let (all, one) = (definition(both), definition(&format!("{both}, \"checkall\": false")));
        let mut health = Health::default();
        let at = Duration::from_secs;
        health.start(at(100));
        assert_eq!(health.judge(&all, at(101)), Ok(Some(at(130))));
        assert!(health.judge(&all, at(130)).unwrap_err().contains("no heartbeat 3 times"));
        assert_eq!(health.judge(&one, at(130)), Ok(None));
        health.seen.failures.set(3);
        health.seen.why.replace(Some("bad answer".into()));
        assert_eq!(health.judge(&one, at(130)), Err("bad answer".into()));
        assert_eq!(health.judge(&all, at(101)), Err("bad answer".into()));
        health.start(at(200));
        assert_eq!(health.trouble(), None);
        assert_eq!(health.judge(&definition("\"order\": 1"), at(999)), Ok(None));
    }

    /// A part of the child that forgot its connection doesn't silence the others.
    #[test]
    fn heartbeats_are_heard_beside_silent_connections_of_which_the_oldest_gives_way() {
        let folder = crate::testing::Folder::new();
        let path = folder.path().join(SOCKET);
        let listener = UnixListener::bind(&path).unwrap();
        let probe = definition("\"heartbeat\": {}").heartbeat.unwrap();
        let seen = Rc::new(Seen::default());
        let child = async {
            let mut silent = Vec::new();
            for _ in 0..MAX_CONNECTIONS {
                silent.push(UnixStream::connect(&path).unwrap());
            }
            let mut other = UnixStream::connect(&path).unwrap();
            other.write_all(b"{\"agent\": {\"name\": \"a\"}, \"message\": 1}\n").unwrap();
            for _ in 0..500 {
                if seen.beat.get() > Duration::ZERO {
                    break;
                }
                after(Duration::from_millis(10)).await;
            }
            assert!(seen.beat.get() > Duration::ZERO, "it isn't heard");
            assert_eq!(silent[0].read(&mut [0]).unwrap(), 0, "the oldest is closed");
        };
        let listens = listen(seen.clone(), listener, "a".into(), probe);
        crate::reactor::block_on(future::or(child, listens)).unwrap();
        assert!(seen.beat.get() > Duration::ZERO);
    }
}

//! The jobs that wait or are under way, and the memory of those that are done.
//!
//! Both are on disk: a job that was accepted is done, and one that was done is not done again.

use super::inbox::Inbox;
use super::notes::Notes;
use super::queue::{Entry, Queue};
use crate::sys::{FileError, clock};
use std::cell::RefCell;
use std::path::Path;
use stint_wire::bootagent::{Action, Job, JobResult};
use stint_wire::json::{Node, ObjectWriter};

/// A server that gives more jobs than this at a time is refused the rest until some are done.
const MAX_JOBS: usize = 200;

/// Jobs are remembered for so long, seconds, …
const REMEMBERED: u64 = 24 * 3600;

/// … or while there are no more than this.
const ALWAYS_REMEMBERED: usize = 64;

/// And never more than this.
const MAX_REMEMBERED: usize = 500;

/// What became of a job that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, and will be done.
    New,
    /// It is being done, or its result waits already: nothing changes.
    Known,
    /// It has been done, and its result had been delivered: the same result waits once more.
    Repeated,
}

/// A job that isn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its number in the queue: the lower, the earlier.
    pub number: u64,
    /// What is to be done.
    pub job: Job,
    /// The name under which its answer is awaited in the inbox; `None`: the server awaits it.
    pub inbox: Option<String>,
    /// Somebody is at it.
    pub running: bool,
}

/// A job that was done.
struct Done {
    result: JobResult,
    action: Action,
    /// Unix seconds.
    at: u64,
}

/// All jobs.
pub struct Ledger {
    jobs: Queue<Open>,
    done: Queue<Done>,
    open: RefCell<Vec<Open>>,
}

impl Ledger {
    /// Opens the ledger in the supervisor's folder.
    ///
    /// # Errors
    /// A folder can't be made or read.
    pub fn open(folder: &Path) -> Result<Ledger, FileError> {
        let jobs: Queue<Open> = Queue::open(folder.join("jobs"), MAX_JOBS)?;
        let done = Queue::open(folder.join("done"), MAX_REMEMBERED)?;
        let open = jobs.peek(MAX_JOBS)?.into_iter().map(|(_, open)| open).collect();
        Ok(Ledger { jobs, done, open: RefCell::new(open) })
    }

    /// Takes a job in.
    ///
    /// # Errors
    /// It can't be written down, or too many wait already; it is not taken.
    pub fn accept(
        &self,
        job: Job,
        inbox: Option<String>,
        notes: &Notes,
    ) -> Result<Accepted, FileError> {
        let same = |open: &Open| open.job.id == job.id && open.job.action == job.action;
        if self.open.borrow().iter().any(same) {
            return Ok(Accepted::Known);
        }
        let known = self.done.peek(MAX_REMEMBERED)?.into_iter();
        let mut known =
            known.filter(|(_, done)| done.result.id == job.id && done.action == job.action);
        if let Some((number, done)) = known.next() {
            let waits = |(_, result): &(u64, JobResult)| result.id == job.id;
            if notes.results.peek(usize::MAX)?.iter().any(waits) {
                return Ok(Accepted::Known);
            }
            if done.result.errcode == 0 {
                notes.result(&done.result)?;
                return Ok(Accepted::Repeated);
            }
            // The server has heard that it failed, and wants it tried again.
            self.done.remove(&[number])?;
        }
        if self.jobs.len() >= MAX_JOBS {
            let cause = std::io::Error::other(format!("{MAX_JOBS} jobs wait already"));
            return Err(FileError { action: "accept", path: job.id.into(), cause });
        }
        let mut open = Open { number: 0, job, inbox, running: false };
        self.jobs.push(&open)?;
        open.number = self.jobs.newest();
        self.open.borrow_mut().push(open);
        Ok(Accepted::New)
    }

    /// Takes the first job that fits and that nobody is at.
    pub fn take(&self, fits: impl Fn(&Job) -> bool) -> Option<Open> {
        let mut open = self.open.borrow_mut();
        let found = open.iter_mut().find(|open| !open.running && fits(&open.job))?;
        found.running = true;
        Some(found.clone())
    }

    /// Puts right what a power cut in [`Ledger::finish`] has left: a job that is remembered as done
    /// isn't done again, and its result waits.
    ///
    /// # Errors
    /// Something can't be read or written.
    pub fn settle(&self, notes: &Notes, inbox: &Inbox) -> Result<(), FileError> {
        let open = self.open.borrow().clone();
        for open in &open {
            match &open.inbox {
                Some(name) if inbox.is_answered(name) => self.close(open)?,
                Some(_) => {}
                None => {
                    if let Some(result) = self.remembered(open)? {
                        self.finish(open, &result, notes)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is remembered of the end of a job that is open all the same.
    fn remembered(&self, open: &Open) -> Result<Option<JobResult>, FileError> {
        let remembered = self.done.peek(MAX_REMEMBERED)?.into_iter().map(|(_, done)| done);
        let is_it = |done: &Done| done.result.id == open.job.id && done.action == open.job.action;
        Ok(remembered.rev().find(is_it).map(|done| done.result))
    }

    /// A job is done: it is remembered, then its result is durable, then it is no longer open.
    ///
    /// # Errors
    /// The step that failed. After the next start the job is done once more.
    pub fn finish(&self, open: &Open, result: &JobResult, notes: &Notes) -> Result<(), FileError> {
        if open.inbox.is_none() {
            let at = clock::system().0 / 1000;
            // Each only once, as a full disk may make this be called again.
            let again = self.remembered(open)?.is_some();
            if !again {
                self.done.push(&Done { result: result.clone(), action: open.job.action, at })?;
            }
            let waits = |(_, waits): &(u64, JobResult)| waits == result;
            if !again || !notes.results.peek(usize::MAX)?.iter().any(waits) {
                notes.result(result)?;
            }
            self.forget(at)?;
        }
        self.close(open)
    }

    fn close(&self, open: &Open) -> Result<(), FileError> {
        self.jobs.remove(&[open.number])?;
        self.open.borrow_mut().retain(|other| other.number != open.number);
        Ok(())
    }

    /// Forgets what needn't be remembered.
    fn forget(&self, now: u64) -> Result<(), FileError> {
        let surplus = self.done.len().saturating_sub(ALWAYS_REMEMBERED);
        if surplus == 0 {
            return Ok(());
        }
        // A clock that was set back makes nothing old.
        let is_old = |(_, done): &(u64, Done)| now.saturating_sub(done.at) > REMEMBERED;
        let old: Vec<u64> =
            self.done.peek(surplus)?.into_iter().filter(is_old).map(|(number, _)| number).collect();
        if old.is_empty() { Ok(()) } else { self.done.remove(&old) }
    }
}

impl Entry for Open {
    fn to_text(&self) -> String {
        ObjectWriter::new()
            .optional("inbox", self.inbox.as_deref())
            .raw("job", &self.job.write())
            .finish()
    }

    fn from_node(number: u64, node: &Node) -> Option<Open> {
        let job = Job::read(node.get("job")?)?.ok()?;
        let inbox = node.get("inbox").and_then(Node::as_str).map(str::to_owned);
        Some(Open { number, job, inbox, running: false })
    }
}

impl Entry for Done {
    fn to_text(&self) -> String {
        ObjectWriter::new()
            .raw("result", &self.result.write())
            .string("action", self.action.as_str())
            .raw("at", &self.at.to_string())
            .finish()
    }

    fn from_node(_number: u64, node: &Node) -> Option<Done> {
        Some(Done {
            result: JobResult::read(node.get("result")?)?,
            action: Action::parse(node.get("action")?.as_str()?)?,
            at: node.get("at")?.as_u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use stint_wire::json;

    fn job(id: &str, action: &str) -> Job {
        let text = format!("{{\"id\": \"{id}\", \"action\": \"{action}\", \"name\": \"a\"}}");
        Job::read(&json::parse(&text).unwrap()).unwrap().unwrap()
    }

    fn result(id: &str, errcode: i32) -> JobResult {
        JobResult { id: id.into(), errcode, message: "m".into() }
    }

    fn finish(ledger: &Ledger, notes: &Notes, errcode: i32) {
        let open = ledger.take(|_| true).unwrap();
        ledger.finish(&open, &result(&open.job.id, errcode), notes).unwrap();
    }

    fn deliver(notes: &Notes) -> usize {
        let all: Vec<u64> =
            notes.results.peek(99).unwrap().iter().map(|(number, _)| *number).collect();
        notes.results.remove(&all).unwrap();
        all.len()
    }

    #[test]
    fn a_job_is_done_once_and_its_result_is_given_as_often_as_the_server_asks() {
        let folder = Folder::new();
        let open = || (Ledger::open(folder.path()).unwrap(), Notes::open(folder.path()).unwrap());
        let (ledger, notes) = open();
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::New);
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Known);
        // The page's sample gives two jobs one id.
        assert_eq!(ledger.accept(job("1", "stop"), None, &notes).unwrap(), Accepted::New);
        // The agent was killed meanwhile.
        let (ledger, notes) = open();
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Known);
        finish(&ledger, &notes, 0);
        finish(&ledger, &notes, 0);
        assert!(ledger.take(|_| true).is_none());
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Known);
        assert_eq!(deliver(&notes), 2);
        let (ledger, notes) = open();
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Repeated);
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Known);
        assert_eq!(notes.results.peek(9).unwrap()[0].1, result("1", 0));
        assert!(ledger.take(|_| true).is_none());
    }

    #[test]
    fn a_power_cut_while_a_job_is_put_away_brings_neither_a_second_run_nor_a_second_result() {
        for told in [false, true] {
            let folder = Folder::new();
            let open =
                || (Ledger::open(folder.path()).unwrap(), Notes::open(folder.path()).unwrap());
            let (ledger, notes) = open();
            ledger.accept(job("1", "start"), None, &notes).unwrap();
            ledger.accept(job("1", "stop"), None, &notes).unwrap();
            let done = Done { result: result("1", 0), action: Action::Start, at: 1 };
            ledger.done.push(&done).unwrap();
            if told {
                notes.result(&done.result).unwrap();
            }
            let (ledger, notes) = open();
            ledger.settle(&notes, &Inbox::of(folder.path())).unwrap();
            ledger.settle(&notes, &Inbox::of(folder.path())).unwrap();
            assert_eq!(notes.results.len(), 1);
            assert_eq!(ledger.take(|_| true).unwrap().job.action, Action::Stop);
            assert!(ledger.take(|_| true).is_none());
        }
    }

    #[test]
    fn a_job_that_is_put_away_twice_has_one_result() {
        let folder = Folder::new();
        let (ledger, notes) =
            (Ledger::open(folder.path()).unwrap(), Notes::open(folder.path()).unwrap());
        ledger.accept(job("1", "start"), None, &notes).unwrap();
        let open = ledger.take(|_| true).unwrap();
        for _ in 0..3 {
            ledger.finish(&open, &result("1", 0), &notes).unwrap();
        }
        assert_eq!((notes.results.len(), ledger.done.len()), (1, 1));
    }

    #[test]
    fn a_failed_job_is_tried_again_once_the_server_knows_that_it_failed() {
        let folder = Folder::new();
        let (ledger, notes) =
            (Ledger::open(folder.path()).unwrap(), Notes::open(folder.path()).unwrap());
        ledger.accept(job("1", "start"), None, &notes).unwrap();
        finish(&ledger, &notes, 1);
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::Known);
        deliver(&notes);
        assert_eq!(ledger.accept(job("1", "start"), None, &notes).unwrap(), Accepted::New);
        finish(&ledger, &notes, 0);
    }

    #[test]
    fn so_many_jobs_are_remembered_for_a_day_and_the_last_ones_for_ever() {
        let folder = Folder::new();
        let (ledger, notes) =
            (Ledger::open(folder.path()).unwrap(), Notes::open(folder.path()).unwrap());
        for number in 0..80 {
            let id = number.to_string();
            ledger
                .done
                .push(&Done { result: result(&id, 0), action: Action::Start, at: 1000 })
                .unwrap();
        }
        ledger.forget(1000 + REMEMBERED).unwrap();
        assert_eq!(ledger.done.len(), 80);
        ledger.forget(1001 + REMEMBERED).unwrap();
        assert_eq!(ledger.done.len(), ALWAYS_REMEMBERED);
        assert_eq!(ledger.accept(job("79", "start"), None, &notes).unwrap(), Accepted::Repeated);
        assert_eq!(ledger.accept(job("0", "start"), None, &notes).unwrap(), Accepted::New);
    }
}

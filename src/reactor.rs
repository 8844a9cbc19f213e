//! What the loop waits for: a descriptor that can be read, a time. One thread and one poll(2).
//!
//! smol has a reactor of its own. It keeps a second thread at hand, which wakes up several times for each event that
//! the first takes by itself; on an idle device that would be most of all that happens (decision 0049). Its executor
//! is the one that runs here.
//!
//! Never here: what is done when something has come. Other threads ring a [`Bell`](crate::bell::Bell).

use crate::sys::clock;
use crate::sys::descriptors::Set;
use std::cell::RefCell;
use std::io::{self, PipeWriter, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Nobody waits longer for a time: it can be added to every moment.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// What a task waits for.
#[derive(Clone, Copy)]
enum What {
    Time(Instant),
    Readable(RawFd),
}

/// A task that waits.
struct Entry {
    id: usize,
    what: What,
    waker: Waker,
}

/// All of a thread that wait. There are some dozen at most, so a list is searched from its beginning.
struct Waiting {
    entries: Vec<Entry>,
    /// Counts the waits.
    last: usize,
}

thread_local! {
    static WAITING: RefCell<Waiting> = const { RefCell::new(Waiting { entries: Vec::new(), last: 0 }) };
}

/// Waits for what it was made for: see [`after`], [`at`] and [`readable`]. Only a task below [`block_on`]
/// comes to its end.
pub struct Wait<'a> {
    what: What,
    /// In the list; 0 before the first look.
    id: usize,
    /// The descriptor stays open.
    source: PhantomData<&'a ()>,
}

fn wait(what: What) -> Wait<'static> {
    Wait { what, id: 0, source: PhantomData }
}

/// Waits for so long.
pub fn after(time: Duration) -> Wait<'static> {
    at(Instant::now() + time.min(LONGEST))
}

/// Waits until then.
pub fn at(time: Instant) -> Wait<'static> {
    wait(What::Time(time))
}

/// Waits until the time since the device's start can next be divided by `every`, which is at least a millisecond: who
/// looks now and then without caring when does so together with the others.
pub fn tick(every: Duration) -> Wait<'static> {
    let every = every.as_millis().max(1) as u64;
    let gone = clock::since_boot().as_millis() as u64 % every;
    after(Duration::from_millis(every - gone))
}

/// Waits until there is something to read, or the other end is gone.
pub fn readable(source: &impl AsFd) -> Wait<'_> {
    wait(What::Readable(source.as_fd().as_raw_fd()))
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        WAITING.with_borrow_mut(|waiting| {
            if self.id == 0 {
                waiting.last = waiting.last.wrapping_add(1).max(1);
                self.id = waiting.last;
                let entry = Entry { id: self.id, what: self.what, waker: waker.clone() };
                waiting.entries.push(entry);
                return Poll::Pending;
            }
            // What has come is no longer listed.
            match waiting.entries.iter_mut().find(|entry| entry.id == self.id) {
                Some(entry) => {
                    entry.waker.clone_from(waker);
                    Poll::Pending
                }
                None => Poll::Ready(()),
            }
        })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.id != 0 {
            // A thread that ends has forgotten all of them.
            let _ = WAITING.try_with(|waiting| {
                let mut waiting = waiting.borrow_mut();
                let at = waiting.entries.iter().position(|entry| entry.id == self.id);
                at.map(|at| waiting.entries.swap_remove(at))
            });
        }
    }
}

/// Wakes the loop.
struct Alarm {
    rung: AtomicBool,
    /// The loop waits, or is about to.
    sleeps: AtomicBool,
    pipe: PipeWriter,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One of the two sees what the other has done. So one byte at most is written for each wait.
        if !self.rung.swap(true, Ordering::SeqCst) && self.sleeps.load(Ordering::SeqCst) {
            let _ = (&self.pipe).write(&[0]);
        }
    }
}

/// Runs a future on this thread, and waits for whatever it waits for.
///
/// # Errors
/// The system gives no pipe, or poll(2) fails.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let (mut pipe, writer) = io::pipe()?;
    let (rung, sleeps) = (AtomicBool::new(false), AtomicBool::new(false));
    let alarm = Arc::new(Alarm { rung, sleeps, pipe: writer });
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut set = Set::default();
    loop {
        alarm.rung.store(false, Ordering::SeqCst);
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Ok(result);
        }
        set.clear();
        set.add_number(pipe.as_raw_fd());
        let mut until = gather(&mut set);
        alarm.sleeps.store(true, Ordering::SeqCst);
        if alarm.rung.load(Ordering::SeqCst) {
            until = Some(0);
        }
        let waited = set.wait(until);
        alarm.sleeps.store(false, Ordering::SeqCst);
        waited?;
        if set.is_ready(0) {
            // Bytes of several waits may be there.
            let _ = pipe.read(&mut [0; 16])?;
        }
        for entry in due(&set) {
            entry.waker.wake();
        }
    }
}

/// Adds all descriptors to the set. Says how many milliseconds there are until the first time.
fn gather(set: &mut Set) -> Option<u64> {
    WAITING.with_borrow(|waiting| {
        let mut first: Option<Instant> = None;
        for entry in &waiting.entries {
            match entry.what {
                What::Time(time) => first = first.into_iter().chain([time]).min(),
                What::Readable(number) => set.add_number(number),
            }
        }
        // Rounded up: before its time it would only wait again.
        let left = first?.saturating_duration_since(Instant::now());
        Some(left.as_micros().div_ceil(1000) as u64)
    })
}

/// Takes those from the list that have come. The set is the one that was gathered for this list.
fn due(set: &Set) -> Vec<Entry> {
    let (now, mut number) = (Instant::now(), 0);
    let has_come = |entry: &mut Entry| match entry.what {
        What::Time(time) => time <= now,
        What::Readable(_) => {
            number += 1;
            set.is_ready(number)
        }
    };
    WAITING.with_borrow_mut(|waiting| waiting.entries.extract_if(.., has_come).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::Bell;
    use smol::LocalExecutor;
    use smol::future::{or, yield_now};
    use std::rc::Rc;
    use std::thread;

    fn waiting() -> usize {
        WAITING.with_borrow(|waiting| waiting.entries.len())
    }

    #[test]
    fn times_come_in_their_order_and_who_gives_up_is_forgotten() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let executor = LocalExecutor::new();
        let note = |name: &'static str, time| {
            let order = order.clone();
            executor.spawn(async move {
                after(Duration::from_millis(time)).await;
                order.borrow_mut().push(name);
            })
        };
        let (late, soon) = (note("late", 40), note("soon", 5));
        drop(note("never", 20));
        block_on(executor.run(async {
            or(after(Duration::from_secs(600)), late).await;
            soon.await;
            at(Instant::now()).await;
            after(Duration::ZERO).await;
        }))
        .unwrap();
        assert_eq!(*order.borrow(), ["soon", "late"]);
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn what_can_be_read_wakes_its_task_and_no_other() {
        let (one, mut other) = (io::pipe().unwrap(), io::pipe().unwrap());
        other.1.write_all(b"x").unwrap();
        block_on(async {
            let quiet = async {
                readable(&one.0).await;
                panic!("nothing is there");
            };
            or(quiet, readable(&other.0)).await;
            // Still there: it can be read again and again.
            readable(&other.0).await;
            drop(other.1);
            assert_eq!(other.0.read(&mut [0; 8]).unwrap(), 1);
            // The end is something to read.
            readable(&other.0).await;
        })
        .unwrap();
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn another_thread_rings_and_no_ring_is_lost() {
        let (there, back) = (Arc::new(Bell::new()), Arc::new(Bell::new()));
        let (hears, answers) = (there.clone(), back.clone());
        let other = thread::spawn(move || {
            for _ in 0..2000 {
                block_on(hears.wait()).unwrap();
                answers.ring();
            }
        });
        block_on(async {
            for _ in 0..2000 {
                there.ring();
                back.wait().await;
            }
        })
        .unwrap();
        other.join().unwrap();
    }

    #[test]
    fn a_task_that_is_always_busy_holds_up_no_time() {
        let busy = async {
            loop {
                yield_now().await;
            }
        };
        block_on(or(busy, after(Duration::from_millis(20)))).unwrap();
    }

    #[test]
    fn ticks_fall_together() {
        let every = Duration::from_millis(200);
        block_on(async {
            tick(every).await;
            let off = clock::since_boot().as_millis() % 200;
            let What::Time(next) = tick(every).what else { panic!("it is no time") };
            let left = next.saturating_duration_since(Instant::now()).as_millis();
            assert!(off + left <= 201, "{off} ms after one, {left} ms before the next");
        })
        .unwrap();
    }
}

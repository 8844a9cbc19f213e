//! A queue on disk: what has happened waits there until the server has it.
//!
//! One file per entry, named by a number that rises by one and is never given twice, also when
//! the queue has been empty over a restart.

use crate::sys::{FileError, durable};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use stint_wire::json::{self, Node};

/// Holds the highest number given so far while the queue is empty.
const LAST: &str = "last";

/// When there are too many, one part in so many is dropped at once: the device then isn't busy
/// with dropping alone.
const DROPPED_PART: usize = 8;

/// What can be queued.
pub trait Entry: Sized {
    /// The entry as a JSON object.
    fn to_text(&self) -> String;

    /// Reads it back; `number` is its place in the queue. `None`: damaged.
    fn from_node(number: u64, node: &Node) -> Option<Self>;
}

/// A queue in a folder of its own.
pub struct Queue<T> {
    folder: PathBuf,
    bound: usize,
    numbers: RefCell<Numbers>,
    of: PhantomData<T>,
}

struct Numbers {
    /// Of the entries there are, oldest first.
    there: VecDeque<u64>,
    next: u64,
}

impl<T: Entry> Queue<T> {
    /// Opens the queue of `folder`, which is made if need be, and which holds `bound` entries at
    /// most.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub fn open(folder: PathBuf, bound: usize) -> Result<Queue<T>, FileError> {
        durable::make_folder(&folder)?;
        durable::sweep(&folder)?;
        let names = durable::list(&folder)?;
        let mut there: Vec<u64> =
            names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
        there.sort_unstable();
        let last = match fs::read_to_string(folder.join(LAST)) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(_) => 0,
        };
        let next = there.last().copied().unwrap_or(0).max(last) + 1;
        let numbers = RefCell::new(Numbers { there: there.into(), next });
        Ok(Queue { folder, bound, numbers, of: PhantomData })
    }

    /// Adds an entry; durable when it returns. The result is how many of the oldest were dropped
    /// to make room.
    ///
    /// # Errors
    /// It couldn't be written.
    pub fn push(&self, entry: &T) -> Result<usize, FileError> {
        let mut dropped = 0;
        if self.len() >= self.bound {
            let part = (self.bound / DROPPED_PART).max(1);
            let oldest: Vec<u64> = self.numbers.borrow().there.iter().copied().take(part).collect();
            dropped = oldest.len();
            self.remove(&oldest)?;
        }
        let number = self.numbers.borrow().next;
        durable::write(&self.file(number), entry.to_text().as_bytes())?;
        let mut numbers = self.numbers.borrow_mut();
        numbers.there.push_back(number);
        numbers.next = number + 1;
        Ok(dropped)
    }

    /// The oldest entries, `most` of them, each with its number. They stay until they are
    /// removed.
    ///
    /// # Errors
    /// One can't be read now. One that is damaged is dropped, and that is logged.
    pub fn peek(&self, most: usize) -> Result<Vec<(u64, T)>, FileError> {
        let wanted: Vec<u64> = self.numbers.borrow().there.iter().copied().take(most).collect();
        let mut found = Vec::new();
        for number in wanted {
            let path = self.file(number);
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) =>
                {
                    String::new()
                }
                Err(error) => return Err(FileError::new("read", &path)(error)),
            };
            match json::parse(&text).ok().and_then(|node| T::from_node(number, &node)) {
                Some(entry) => found.push((number, entry)),
                None => {
                    log::error!("{} is damaged and dropped", path.display());
                    self.remove(&[number])?;
                }
            }
        }
        Ok(found)
    }

    /// Removes entries: the server has them.
    ///
    /// # Errors
    /// One couldn't be removed. It will be sent again, which its number makes harmless.
    pub fn remove(&self, which: &[u64]) -> Result<(), FileError> {
        let (left, last) = {
            let numbers = self.numbers.borrow();
            let left = numbers.there.iter().any(|number| !which.contains(number));
            (left, numbers.next.saturating_sub(1))
        };
        if !left {
            durable::write(&self.folder.join(LAST), last.to_string().as_bytes())?;
        }
        for number in which {
            durable::remove(&self.file(*number))?;
            self.numbers.borrow_mut().there.retain(|there| there != number);
        }
        Ok(())
    }

    /// The number of the entry that was added last.
    pub fn newest(&self) -> u64 {
        self.numbers.borrow().next.saturating_sub(1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.borrow().there.len()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.json"))
    }
}

/// How many entries the queue in `folder` has, for whoever only looks.
pub fn count(folder: &Path) -> usize {
    let names = durable::list(folder).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".json")).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[derive(Debug, PartialEq)]
    struct Word(u64, String);

    impl Entry for Word {
        fn to_text(&self) -> String {
            json::ObjectWriter::new().string("word", &self.1).finish()
        }

        fn from_node(number: u64, node: &Node) -> Option<Word> {
            Some(Word(number, node.get("word")?.as_str()?.to_owned()))
        }
    }

    fn open(folder: &Folder) -> Queue<Word> {
        Queue::open(folder.path().join("words"), 8).unwrap()
    }

    fn push(queue: &Queue<Word>, word: &str) -> usize {
        queue.push(&Word(0, word.to_owned())).unwrap()
    }

    fn words(queue: &Queue<Word>) -> String {
        queue
            .peek(99)
            .unwrap()
            .iter()
            .map(|(number, word)| format!("{number}{} ", word.1))
            .collect()
    }

    #[test]
    fn what_is_queued_waits_over_a_restart_until_it_is_removed() {
        let folder = Folder::new();
        let queue = open(&folder);
        for word in ["a", "b", "c"] {
            assert_eq!(push(&queue, word), 0);
        }
        let queue = open(&folder);
        assert_eq!(words(&queue), "1a 2b 3c ");
        assert_eq!(queue.peek(1).unwrap().len(), 1);
        queue.remove(&[1, 3]).unwrap();
        assert_eq!(words(&open(&folder)), "2b ");
    }

    #[test]
    fn no_number_is_given_twice() {
        let folder = Folder::new();
        let queue = open(&folder);
        push(&queue, "a");
        queue.remove(&[1]).unwrap();
        let queue = open(&folder);
        push(&queue, "b");
        assert_eq!(words(&queue), "2b ");
    }

    #[test]
    fn a_full_queue_drops_its_oldest_and_says_how_many() {
        let folder = Folder::new();
        let queue = open(&folder);
        let dropped: usize = (0..10).map(|_| push(&queue, "x")).sum();
        assert_eq!((dropped, queue.len()), (2, 8));
        assert!(words(&queue).starts_with("3x "));
    }

    #[test]
    fn a_damaged_entry_is_dropped_and_the_others_are_delivered() {
        let folder = Folder::new();
        let queue = open(&folder);
        push(&queue, "a");
        push(&queue, "b");
        fs::write(folder.path().join("words/0000000001.json"), "{").unwrap();
        assert_eq!(words(&queue), "2b ");
        assert_eq!(queue.len(), 1);
    }
}

//! One output stream of a script: the beginning goes to a capped file, head and tail to memory.

use crate::sys::{FileError, faults};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use stint_wire::reply::{STREAM_LIMIT, limit_stream};

/// What a stream may take of the disk, bytes. A script that prints a gigabyte must not fill a
/// router's flash.
const FILE_LIMIT: usize = 256 * 1024;

/// One read, bytes: a pipe's usual capacity.
const CHUNK: usize = 16 * 1024;

/// What one turn reads at most, so that a script which never stops printing can't keep its
/// worker from looking at the clock.
const CHUNKS_PER_TURN: usize = 16;

/// A stream being read.
pub struct Stream<R> {
    source: Option<R>,
    file: File,
    in_file: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: usize,
}

impl<R: Read> Stream<R> {
    /// Reads `source`, which must not block, into a file that is made or added to.
    ///
    /// # Errors
    /// The file can't be made.
    pub fn new(source: R, path: &Path) -> Result<Stream<R>, FileError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = faults::attempt("create", path, || options.open(path))?;
        // Several programs of one step share its files, and their limit.
        let in_file = file.metadata().map_or(0, |meta| meta.len() as usize).min(FILE_LIMIT);
        Ok(Stream {
            source: Some(source),
            file,
            in_file,
            head: Vec::new(),
            tail: VecDeque::new(),
            total: 0,
        })
    }

    /// What is being read; `None` after its end.
    pub fn source(&self) -> Option<&R> {
        self.source.as_ref()
    }

    /// Reads what is there.
    pub fn turn(&mut self) {
        let mut chunk = [0; CHUNK];
        for _ in 0..CHUNKS_PER_TURN {
            let Some(source) = &mut self.source else { return };
            match source.read(&mut chunk) {
                Ok(0) => self.source = None,
                Ok(count) => self.take(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.source = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let for_file = bytes.get(..bytes.len().min(FILE_LIMIT - self.in_file)).unwrap_or_default();
        // A full disk loses the copy on disk, not the result.
        if self.file.write_all(for_file).is_ok() {
            self.in_file += for_file.len();
        }
        let for_head = bytes.len().min(STREAM_LIMIT - self.head.len());
        let (head, rest) = bytes.split_at_checked(for_head).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(STREAM_LIMIT / 2);
        self.tail.drain(..surplus);
    }

    /// What is reported of it: everything if it fits the wire, else head and tail. Bytes that
    /// are no UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.total > self.head.len() + tail.len() {
            // Longer than the limit by now, so this place falls into the part that is cut out.
            text.push('\n');
        }
        text.push_str(&String::from_utf8_lossy(&tail));
        limit_stream(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs;

    fn read(bytes: &[u8]) -> (String, usize) {
        let folder = Folder::new();
        let path = folder.path().join("stdout");
        let mut stream = Stream::new(bytes, &path).unwrap();
        while stream.source().is_some() {
            stream.turn();
        }
        (stream.text(), fs::read(&path).unwrap().len())
    }

    #[test]
    fn a_short_stream_is_whole_in_both_places() {
        assert_eq!(read(b"hello\n"), ("hello\n".to_owned(), 6));
        assert_eq!(read(b"a\xffb").0, "a\u{fffd}b");
        let exact = "x".repeat(STREAM_LIMIT);
        assert_eq!(read(exact.as_bytes()).0, exact);
    }

    #[test]
    fn a_long_stream_keeps_head_and_tail_and_stops_filling_the_disk() {
        let long = format!("first\n{}last\n", "x\n".repeat(500_000));
        let (text, in_file) = read(long.as_bytes());
        assert!(text.len() <= STREAM_LIMIT);
        assert!(text.starts_with("first\n") && text.ends_with("last\n"));
        assert_eq!(in_file, FILE_LIMIT);
    }

    #[test]
    fn several_programs_of_a_step_share_the_limit_on_disk() {
        let folder = Folder::new();
        let path = folder.path().join("stdout");
        for length in [FILE_LIMIT - 10, 100, 100] {
            let bytes = vec![b'x'; length];
            let mut stream = Stream::new(bytes.as_slice(), &path).unwrap();
            while stream.source().is_some() {
                stream.turn();
            }
            assert_eq!(stream.text().len(), length.min(STREAM_LIMIT));
        }
        assert_eq!(fs::read(&path).unwrap().len(), FILE_LIMIT);
    }
}

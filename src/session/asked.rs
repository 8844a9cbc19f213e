//! What takes a while to find out: a thread does, and the session's loop goes on until the answer is there.

use crate::lane::Lane;
use crate::sys::descriptors::{self, Set};
use std::io::{PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// A question that is under way. The pipe ends when the answer is there.
pub struct Asked<T>(Arc<Mutex<Option<T>>>, PipeReader);

impl<T: Send + 'static> Asked<T> {
    /// Has a thread of that name find the answer out.
    ///
    /// # Errors
    /// In words: there is no pipe or no thread to be had.
    pub fn ask(
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Asked<T>, String> {
        let (reader, writer) = pipe().map_err(|error| error.to_string())?;
        descriptors::set_nonblocking(reader.as_fd()).map_err(|error| error.to_string())?;
        let place = Arc::new(Mutex::new(None));
        let answer = place.clone();
        let submitted = Lane::new(name).submit(Box::new(move || {
            let found = work();
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            drop(writer);
        }));
        submitted.map_err(|error| error.to_string())?;
        Ok(Asked(place, reader))
    }

    /// Adds it to what is waited for.
    pub fn watch(&self, set: &mut Set) {
        set.add(self.1.as_fd(), true, false);
    }

    /// Takes the answer out of `asked`, once there is one: `Some(None)` if the thread died of the question.
    pub fn take(asked: &mut Option<Asked<T>>) -> Option<Option<T>> {
        if asked.as_mut()?.1.read(&mut [0]).is_err() {
            return None;
        }
        let Asked(place, _) = asked.take()?;
        Some(place.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn nobody_waits_for_an_answer_but_poll() {
        let (tell, told) = channel::<u8>();
        let mut asked = Some(Asked::ask("test", move || told.recv().unwrap()).unwrap());
        assert_eq!(Asked::take(&mut asked), None);
        tell.send(7).unwrap();
        let mut set = Set::default();
        asked.as_ref().unwrap().watch(&mut set);
        set.wait(Some(20_000)).unwrap();
        assert_eq!(Asked::take(&mut asked), Some(Some(7)));
        assert!(asked.is_none() && Asked::take(&mut asked).is_none());
    }
}

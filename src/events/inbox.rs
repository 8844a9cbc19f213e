//! How a wish gets to the daemon and its first verdict back: files in a folder.

use super::rule::Wish;
use crate::spool::content::{self, Content};
use crate::sys::{FileError, clock, durable, host, random};
use miniserde::json;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const WISHES: &str = "wishes.json";

/// So many verdicts that nobody has collected are kept; whoever waited for the oldest is gone.
const VERDICTS: usize = 16;

/// The folder of one state folder.
#[derive(Clone, Debug)]
pub struct Inbox(PathBuf);

impl Inbox {
    /// The folder below a state folder; it is not looked into.
    pub fn of(state: &Path) -> Inbox {
        Inbox(state.join("events"))
    }

    /// Where wishes are put.
    pub fn folder(&self) -> PathBuf {
        self.0.join("inbox")
    }

    fn file(&self, id: &str, kind: &str) -> PathBuf {
        self.folder().join(format!("{id}.{kind}"))
    }

    /// Makes the folders. What the daemon before left unanswered nobody waits for any more, or asks
    /// again.
    ///
    /// # Errors
    /// They can't be made or read.
    pub fn open(&self) -> Result<(), FileError> {
        durable::make_folder(&self.folder())?;
        durable::sweep(&self.folder())
    }

    /// Whether a daemon has opened it.
    pub fn is_open(&self) -> bool {
        self.folder().is_dir()
    }

    /// The name of a new wish. That of a later one sorts behind it in the same boot.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new_id() -> io::Result<String> {
        let since = clock::since_boot().as_nanos();
        Ok(format!("{}-{since:020}-{}", host::boot_id(), random::uuid()?))
    }

    /// Hands a wish in.
    ///
    /// # Errors
    /// It can't be written.
    pub fn hand_in(&self, id: &str, wish: &Wish) -> Result<(), FileError> {
        durable::write(&self.file(id, "wish"), json::to_string(wish).as_bytes())
    }

    /// The first verdict, once there is one.
    ///
    /// # Errors
    /// It can't be read or removed.
    pub fn collect(&self, id: &str) -> Result<Option<Wish>, FileError> {
        let path = self.file(id, "verdict");
        match fs::read_to_string(&path) {
            Ok(text) => {
                durable::remove(&path)?;
                Ok(json::from_str(&text).ok())
            }
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(FileError::new("read", &path)(cause)),
        }
    }

    /// Takes a wish back that nobody waits for any more: what was asked for then isn't to happen later.
    pub fn withdraw(&self, id: &str) {
        self.forget(id);
        if let Err(error) = durable::remove(&self.file(id, "verdict")) {
            log::warn!("{error}");
        }
    }

    /// The wishes that were handed in, with their ids, the oldest first. One that is damaged is forgotten; one that can't
    /// be read now is told the next time.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn wishes(&self, boot: &str) -> Result<Vec<(String, Wish)>, FileError> {
        let mut wishes = Vec::new();
        let mut names = durable::list(&self.folder())?;
        // What a boot before has left is older than all of this one.
        names.sort_by_key(|name| name.starts_with(boot));
        for name in names {
            let Some(id) = name.strip_suffix(".wish") else { continue };
            match content::read(&self.folder().join(&name)) {
                Ok(Content::Is(wish)) => wishes.push((id.to_owned(), wish)),
                Ok(Content::Damaged) => self.forget(id),
                Ok(Content::Missing) => {}
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(wishes)
    }

    /// A wish is in the list.
    pub fn forget(&self, id: &str) {
        if let Err(error) = durable::remove(&self.file(id, "wish")) {
            log::warn!("{error}");
        }
    }

    /// Tells the first verdict.
    pub fn answer(&self, id: &str, wish: &Wish) {
        let path = self.file(id, "verdict");
        if let Err(error) = durable::write(&path, json::to_string(wish).as_bytes()) {
            log::warn!("{error}");
        }
    }

    /// Removes the oldest verdicts that nobody has collected, before others are told. Not one by one: of those that
    /// are told together each has somebody who waits for it.
    pub fn make_room(&self) {
        let names = durable::list(&self.folder()).unwrap_or_default();
        let verdicts = names.iter().filter(|name| name.ends_with(".verdict"));
        let mut verdicts: Vec<_> = verdicts
            .map(|name| self.folder().join(name))
            .map(|path| (fs::metadata(&path).ok().map(|meta| clock::of_file(&meta)), path))
            .collect();
        verdicts.sort();
        let surplus = verdicts.len().saturating_sub(VERDICTS);
        for (_, path) in verdicts.into_iter().take(surplus) {
            if let Err(error) = durable::remove(&path) {
                log::warn!("{error}");
            }
        }
    }

    /// The list of wishes; empty if there is none, or a damaged one.
    ///
    /// # Errors
    /// It can't be read now.
    pub fn load(&self) -> Result<Vec<Wish>, FileError> {
        match content::read(&self.0.join(WISHES))? {
            Content::Is(wishes) => Ok(wishes),
            Content::Damaged | Content::Missing => Ok(Vec::new()),
        }
    }

    /// Replaces the list.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save(&self, wishes: &Vec<Wish>) -> Result<(), FileError> {
        durable::write(&self.0.join(WISHES), json::to_string(wishes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::deadline::Now;
    use crate::testing::Folder;

    fn asked() -> Wish {
        let now = Now { boot: "b", since_boot: 0, time: None };
        Wish::new("instance-ready-for-shutdown", None, &now)
    }

    #[test]
    fn a_wish_goes_in_and_a_verdict_comes_out_once() {
        let place = Folder::new();
        let inbox = Inbox::of(place.path());
        assert!(!inbox.is_open());
        inbox.open().unwrap();
        let mut wish = asked();
        inbox.hand_in("1", &wish).unwrap();
        assert_eq!(inbox.wishes("").unwrap(), [("1".to_owned(), wish.clone())]);
        assert_eq!(inbox.collect("1").unwrap(), None);
        inbox.forget("1");
        wish.tried(true, String::new(), "b");
        inbox.answer("1", &wish);
        assert_eq!(inbox.collect("1").unwrap(), Some(wish.clone()));
        assert_eq!(inbox.collect("1").unwrap(), None);
        assert_eq!(inbox.load().unwrap(), []);
        inbox.save(&vec![wish.clone()]).unwrap();
        assert_eq!(inbox.load().unwrap(), [wish]);
    }

    #[test]
    fn what_nobody_waits_for_is_taken_back_and_verdicts_do_not_pile_up() {
        let place = Folder::new();
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        let wish = asked();
        inbox.hand_in("gone", &wish).unwrap();
        inbox.withdraw("gone");
        assert_eq!(inbox.wishes("").unwrap(), []);
        for id in 0..3 * VERDICTS {
            inbox.answer(&id.to_string(), &wish);
        }
        inbox.make_room();
        assert_eq!(durable::list(&inbox.folder()).unwrap().len(), VERDICTS);
        inbox.answer("last", &wish);
        assert_eq!(inbox.collect("last").unwrap(), Some(wish));
    }

    #[test]
    fn of_many_who_are_answered_together_each_gets_its_verdict() {
        let place = Folder::new();
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        let wish = asked();
        inbox.make_room();
        let ids: Vec<String> = (0..3 * VERDICTS).map(|id| id.to_string()).collect();
        ids.iter().for_each(|id| inbox.answer(id, &wish));
        for id in &ids {
            assert_eq!(inbox.collect(id).unwrap().as_ref(), Some(&wish), "{id}");
        }
    }

    #[test]
    fn what_can_not_be_read_now_is_not_forgotten_as_what_is_damaged_is() {
        let place = Folder::new();
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        let [lost, later] = ["lost", "later"].map(|id| inbox.file(id, "wish"));
        fs::write(&lost, "{").unwrap();
        std::os::unix::fs::symlink(&later, &later).unwrap();
        assert_eq!(inbox.wishes("").unwrap(), []);
        assert!(!lost.exists() && fs::symlink_metadata(&later).is_ok());
        fs::write(place.path().join("events/wishes.json"), "{").unwrap();
        assert_eq!(inbox.load().unwrap(), []);
        fs::remove_file(place.path().join("events/wishes.json")).unwrap();
        fs::create_dir(place.path().join("events/wishes.json")).unwrap();
        assert!(inbox.load().is_err());
    }

    #[test]
    fn wishes_are_taken_in_the_order_in_which_they_came_and_those_of_another_boot_before() {
        let place = Folder::new();
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        let wish = asked();
        let mut ids: Vec<String> = (0..20).map(|_| Inbox::new_id().unwrap()).collect();
        ids.insert(0, "zzzz-00000000000000000001-of-a-boot-before".to_owned());
        ids.iter().rev().for_each(|id| inbox.hand_in(id, &wish).unwrap());
        let came = inbox.wishes(&host::boot_id()).unwrap();
        let came: Vec<String> = came.into_iter().map(|(id, _)| id).collect();
        assert_eq!(came, ids);
    }
}

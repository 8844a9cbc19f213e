//! Waiting for something to be put into a folder: the kernel tells, and somebody looks now and then all the same.

use crate::reactor::{after, readable, tick};
use crate::sys::inotify;
use smol::future::or;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// What the kernel doesn't tell of is found after this time: a folder on a server of files, another one that was mounted
/// over this one.
pub const SELDOM: Duration = Duration::from_secs(60);

/// What happens in a folder from its making on. To be made before one looks into the folder, so that nothing
/// comes unseen between the look and the wait.
pub struct News(Option<OwnedFd>);

impl News {
    /// Of this folder; without an inotify for it, of none.
    pub fn of(folder: &Path) -> News {
        News(inotify::watch(folder).ok())
    }

    /// Waits until something is put into the folder, or for about as long as `seldom`; for `often` where the kernel doesn't
    /// tell.
    pub async fn wait(&self, often: Duration, seldom: Duration) {
        match &self.0 {
            Some(watch) => or(readable(watch), tick(seldom)).await,
            None => after(often).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::block_on;
    use crate::testing::Folder;

    #[test]
    fn what_comes_after_the_look_ends_the_wait_and_a_folder_that_is_not_there_is_looked_for() {
        const LONG: Duration = Duration::from_secs(3600);
        let folder = Folder::new();
        block_on(async {
            let news = News::of(folder.path());
            std::fs::write(folder.path().join("a"), "x").unwrap();
            news.wait(LONG, LONG).await;
            News::of(&folder.path().join("none")).wait(Duration::from_millis(5), LONG).await;
        })
        .unwrap();
    }
}

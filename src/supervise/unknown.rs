//! The end of a child of which only the name and what its folder tells are known.

use super::jobs::Failure;
use super::record::Record;
use super::{DYING, LOOK, Supervisor, launch};
use crate::reactor::after;
use crate::sys::{clock, process};
use stint_wire::bootagent::Limits;

impl Supervisor {
    /// Kills what runs of a child that isn't looked after, because its definition can't be read; done
    /// when nothing of it is left. The second result is its definition file, if it has one.
    pub async fn end_unknown(&self, name: &str) -> (Result<(), Failure>, String) {
        let folder = self.folder(name);
        let record = Record::load(&folder).ok().flatten().unwrap_or_default();
        launch::settle(&folder);
        let leader = record.run.filter(|_| record.boot == self.boot);
        let mut group = self.groups().group(name).marked(&folder.display().to_string());
        group.apply(&Limits::default());
        let end = clock::since_boot() + DYING;
        loop {
            group.kill_all(leader);
            let others = launch::find(&folder, &record.mark);
            for other in &others {
                let _ = process::signal(other.identity.pid, libc::SIGKILL);
            }
            if others.is_empty() && group.is_empty(leader) {
                group.remove();
                return (Ok(()), record.file);
            }
            if clock::since_boot() > end {
                return (Err(Failure::stuck(name)), record.file);
            }
            after(LOOK).await;
        }
    }
}

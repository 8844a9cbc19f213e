//! The task that tells the server of commands what is wrong with the agent itself: why the guardian had to start
//! this daemon again, and which modules fail, and why.
//!
//! A health report has no place for that, so it goes where both AWS and a hub keep what a node says of itself: into
//! types of inventory.

use super::Shared;
use super::backoff::Backoff;
use super::modules::Ended;
use super::status::Board;
use crate::guardian::Record;
use crate::reactor::after;
use crate::sys::durable;
use crate::uplink::UplinkError;
use crate::uplink::budget::{self, Pressure};
use std::rc::Rc;
use std::time::Duration;
use stint_wire::ssm::Inventory;

/// The types.
const RESTARTS: &str = "Custom:StintRestart";
const MODULES: &str = "Custom:StintModule";

/// An inventory without entries.
const NONE: &str = "[]";

/// Below the state folder while the server has been told of modules that fail: a daemon that finds it has to
/// take that back, or the server would believe it for ever.
const TOLD: &str = "run/troubles";

/// A module that is started again has so long to fail anew.
const SETTLING: Duration = Duration::from_secs(5);

/// Between two looks at the day's budget; and one that comes and goes isn't told of more often.
const PAUSE: Duration = Duration::from_secs(60);

/// A server that refuses it does so the next time, too, until somebody gives the node the right to, say.
const REFUSED: Duration = Duration::from_secs(4 * 3600);

/// Tells for ever, and nothing while nothing changes.
pub async fn run(shared: Rc<Shared>, board: Rc<Board>) -> Ended {
    let record = Record::look(&shared.state);
    if record.count > 0 {
        // Only the mark of it first, which is all that a server needs that has it from an earlier daemon.
        tell(&shared, RESTARTS, record.inventory(), false).await;
    }
    let note = shared.state.join(TOLD);
    let mut told = if note.exists() { "" } else { NONE }.to_owned();
    loop {
        after(SETTLING).await;
        let content = board.failed_modules();
        if content == told {
            board.troubles.wait().await;
            continue;
        }
        let (was_well, is_well) = (told == NONE, content == NONE);
        if was_well && let Err(error) = durable::write(&note, b"") {
            log::warn!("{error}");
        }
        tell(&shared, MODULES, content.clone(), true).await;
        if is_well && let Err(error) = durable::remove(&note) {
            log::warn!("{error}");
        }
        told = content;
        // Only the first failure after all was well is told of at once.
        if !was_well {
            after(PAUSE).await;
        }
    }
}

/// Tells until the server has it. What is not new to it is told by its mark alone, unless the server doesn't
/// know that.
async fn tell(shared: &Shared, type_name: &'static str, content: String, is_new: bool) {
    let mut item = Inventory { type_name, content, is_new };
    let mut backoff = Backoff::default();
    loop {
        if budget::pressure() >= Pressure::Saving {
            after(PAUSE).await;
            continue;
        }
        let said = item.clone();
        match shared.talk(move |uplink| uplink.put_inventory(&said)).await {
            Ok(()) => return,
            Err(UplinkError::Refused { code, .. })
                if !item.is_new && Inventory::is_unknown(&code) =>
            {
                item.is_new = true;
            }
            Err(error) => {
                log::warn!("the server isn't told of {type_name}: {error}");
                after(pause(&error, &mut backoff)).await;
            }
        }
    }
}

/// Until it is tried again.
fn pause(error: &UplinkError, backoff: &mut Backoff) -> Duration {
    match error {
        UplinkError::Refused { operation: "PutInventory", .. } => REFUSED,
        _ => backoff.failed(error.is_rejection_of_the_node()).max(PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_wants_no_such_inventory_is_not_asked_every_few_minutes() {
        let mut backoff = Backoff::default();
        let refused = |code: &str| {
            let (code, message) = (code.to_owned(), String::new());
            UplinkError::Refused { operation: "PutInventory", code, message }
        };
        for code in ["AccessDeniedException", "CustomSchemaCountLimitExceededException"] {
            assert_eq!(pause(&refused(code), &mut backoff), Duration::from_secs(4 * 3600));
        }
        let trouble = UplinkError::Portal { operation: "PutInventory" };
        assert_eq!(pause(&trouble, &mut backoff), PAUSE);
        for _ in 0..20 {
            assert!(pause(&trouble, &mut backoff) < Duration::from_secs(600));
        }
    }
}

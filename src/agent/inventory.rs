//! The task that tells the server of commands which child agents this node has, and how they are.

use super::Shared;
use super::backoff::Backoff;
use super::children::Children;
use super::modules::Ended;
use crate::reactor::after;
use crate::supervise::inventory::TYPE;
use crate::uplink::UplinkError;
use crate::uplink::budget::{self, Pressure};
use std::rc::Rc;
use std::time::Duration;
use stint_wire::ssm::Inventory;

/// Children that are just being started at the agent's start come up first.
const SETTLING: Duration = Duration::from_secs(5);

/// The server isn't told more often, however much happens.
const PAUSE: Duration = Duration::from_secs(60);

/// Tells for ever.
pub async fn run(shared: Rc<Shared>, children: Children) -> Ended {
    let supervisor = children.supervisor().await;
    let mut backoff = Backoff::default();
    // What an earlier agent told may have been lost with the server's data since.
    let mut is_sure = false;
    let mut told = supervisor.told_inventory();
    after(SETTLING).await;
    loop {
        if budget::pressure() >= Pressure::Saving {
            after(PAUSE).await;
            continue;
        }
        let content = supervisor.inventory();
        let mut item = Inventory { type_name: TYPE, content, is_new: false };
        let mark = item.hash();
        item.is_new = told != mark;
        let has_never_had_any = told.is_empty() && item.content == "[]";
        if has_never_had_any || (is_sure && !item.is_new) {
            supervisor.looked().wait().await;
            continue;
        }
        let is_new = item.is_new;
        match shared.talk(move |uplink| uplink.put_inventory(&item)).await {
            Ok(()) => {
                backoff.succeeded();
                is_sure = true;
                if is_new && let Err(error) = supervisor.inventory_told(&mark) {
                    log::error!("{error}");
                }
                told = mark;
                after(PAUSE).await;
            }
            Err(UplinkError::Refused { code, .. }) if !is_new && Inventory::is_unknown(&code) => {
                // No mark is like this.
                told = code;
            }
            Err(error) => {
                let wait = backoff.failed(error.is_rejection_of_the_node()).max(PAUSE);
                log::warn!("the server isn't told of the child agents: {error}");
                after(wait).await;
            }
        }
    }
}

//! The module that hears of changes of links, addresses and routes: what waits for the network tries again at
//! once, and what waits for an answer on a way that has gone is told.

#[cfg(feature = "ssm")]
use super::modules::Ended;
use crate::bell::Bell;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
#[cfg(feature = "ssm")]
use std::time::{Duration, Instant};

/// A link that comes up brings several changes; they are taken for one.
#[cfg(feature = "ssm")]
const SETTLE: Duration = Duration::from_millis(500);

/// The pause after a change. A link that flaps doubles it with each change, up to [`LONGEST`].
#[cfg(feature = "ssm")]
const SHORTEST: Duration = Duration::from_secs(1);

/// See [`SHORTEST`].
#[cfg(feature = "ssm")]
const LONGEST: Duration = Duration::from_secs(30);

/// Without a change for so long, a link no longer flaps.
#[cfg(feature = "ssm")]
const CALM: Duration = Duration::from_secs(60);

/// Those who want to know.
#[derive(Default)]
pub struct Changes(RefCell<Vec<Weak<Bell>>>);

/// What one who waits for the network holds. Without Systems Manager nobody listens to the kernel: the
/// set `tiny` has no room for it, and its reports are minutes apart.
#[cfg(feature = "ssm")]
pub type Listener = Rc<Bell>;
/// See above.
#[cfg(not(feature = "ssm"))]
pub struct Listener;

impl Changes {
    /// The same as [`Changes::bell`], where somebody rings it.
    pub fn listener(&self) -> Listener {
        #[cfg(feature = "ssm")]
        return self.bell();
        #[cfg(not(feature = "ssm"))]
        Listener
    }

    /// A bell that rings with each change, as long as somebody holds it.
    pub fn bell(&self) -> Rc<Bell> {
        let bell = Rc::new(Bell::new());
        self.0.borrow_mut().push(Rc::downgrade(&bell));
        bell
    }

    #[cfg(feature = "ssm")]
    fn ring(&self) {
        let mut bells = self.0.borrow_mut();
        bells.retain(|bell| bell.upgrade().map(|bell| bell.ring()).is_some());
    }
}

/// Listens for ever.
///
/// # Errors
/// The kernel doesn't tell. Then back-offs end by themselves, minutes later.
#[cfg(feature = "ssm")]
pub async fn run(changes: Rc<Changes>) -> Ended {
    use crate::reactor::{after, readable};
    use crate::sys::netlink;
    let socket = netlink::open();
    let socket = socket.map_err(|cause| format!("changes of the network aren't told: {cause}"))?;
    let (mut pause, mut last) = (SHORTEST, None::<Instant>);
    loop {
        readable(&socket).await;
        after(SETTLE).await;
        netlink::drain(&socket);
        crate::uplink::socket::end_those_without_a_way();
        changes.ring();
        let flaps = last.replace(Instant::now()).is_some_and(|last| last.elapsed() < CALM);
        pause = if flaps { (pause * 2).min(LONGEST) } else { SHORTEST };
        after(pause).await;
    }
}

#[cfg(all(test, feature = "ssm"))]
mod tests {
    use super::*;

    #[test]
    fn all_who_listen_hear_of_a_change_and_the_others_are_forgotten() {
        let changes = Changes::default();
        let (one, two) = (changes.bell(), changes.bell());
        drop(changes.bell());
        changes.ring();
        assert_eq!(changes.0.borrow().len(), 2);
        smol::block_on(async {
            one.wait().await;
            two.wait().await;
        });
    }
}

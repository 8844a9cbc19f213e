//! The task that asks event scripts.

use super::modules::Ended;
use super::news::{News, SELDOM};
use crate::audit;
use crate::events::Settings;
use crate::events::inbox::Inbox;
use crate::events::rule::{self, Wish};
use crate::events::script::{self, Told};
use crate::identity;
use crate::lane::Lane;
use crate::reactor::after;
use crate::sys::{clock, host, random};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks while a wish isn't fulfilled, or where nobody tells of a new one.
const LOOK: Duration = Duration::from_secs(2);

/// Each pause is up to this part shorter or longer, so that a fleet doesn't try in step.
const JITTER: f64 = 0.1;

/// Asks for ever.
pub async fn run(state: PathBuf, settings: Settings) -> Ended {
    let inbox = Inbox::of(&state);
    let words = |error: crate::sys::FileError| error.to_string();
    inbox.open().map_err(words)?;
    let lane = Lane::new("events");
    let boot = host::boot_id();
    let mut wishes = inbox.load();
    // When each may be tried again; and who waits for a verdict.
    let mut pauses: Vec<(String, Instant)> = Vec::new();
    loop {
        let news = News::of(&inbox.folder());
        let came = inbox.wishes().map_err(words)?;
        for (_, wish) in &came {
            pauses.retain(|(event, _)| *event != wish.event);
            rule::take(&mut wishes, wish.clone(), &boot);
        }
        if !came.is_empty() {
            inbox.save(&wishes).map_err(words)?;
            came.iter().for_each(|(id, _)| inbox.forget(id));
        }
        let mut changed = false;
        for wish in &mut wishes {
            if wish.expire(clock::system()) {
                log::warn!("{} is given up: {}", wish.event, wish.verdict);
                audit::record("event.given-up", "agent", &[("event", &wish.event)]);
                changed = true;
            }
            let paused =
                pauses.iter().any(|(event, at)| *event == wish.event && *at > Instant::now());
            if !paused && wish.is_due(&boot) {
                let before = wish.clone();
                ask(wish, &state, &settings, &lane, &boot).await;
                changed |= *wish != before;
                pauses.retain(|(event, _)| *event != wish.event);
                let shift = 1.0 + JITTER * (2.0 * random::fraction() - 1.0);
                pauses.push((wish.event.clone(), Instant::now() + settings.retry.mul_f64(shift)));
            }
        }
        if changed {
            inbox.save(&wishes).map_err(words)?;
        }
        if !came.is_empty() {
            inbox.make_room();
        }
        for (id, asked) in &came {
            if let Some(wish) = wishes.iter().find(|wish| wish.event == asked.event) {
                inbox.answer(id, wish);
            }
        }
        match wishes.iter().any(|wish| wish.is_due(&boot)) {
            true => after(LOOK).await,
            false => news.wait(LOOK, SELDOM).await,
        }
    }
}

async fn ask(wish: &mut Wish, state: &Path, settings: &Settings, lane: &Lane, boot: &str) {
    let registration = identity::registration(state).ok();
    let registration = registration.as_ref();
    let told = Told {
        event: wish.event.clone(),
        previous: wish.previous.clone(),
        node: registration.map(|it| it.instance_id.clone()).unwrap_or_default(),
        region: registration.map(|it| it.region.clone()).unwrap_or_default(),
        server: registration.and_then(|it| it.endpoint.clone()).unwrap_or_default(),
    };
    let settings = settings.clone();
    let (good, seen) = match lane.run(move || script::ask(&settings, &told)).await {
        Ok(answer) => answer,
        Err(error) => (false, error.to_string()),
    };
    let news = good != wish.acknowledged || seen != wish.verdict;
    wish.tried(good, seen, boot);
    if news {
        let (word, event) =
            (if good { "event.acknowledged" } else { "event.refused" }, &wish.event);
        log::info!("{word}: {event} {}", wish.verdict);
        audit::record(word, "agent", &[("event", event), ("seen", &wish.verdict)]);
    }
}

//! The task that asks event scripts.

use super::modules::Ended;
use super::news::{News, SELDOM};
use crate::audit;
use crate::events::Settings;
use crate::events::deadline::Now;
use crate::events::inbox::Inbox;
use crate::events::rule::{self, Wish};
use crate::events::script::{self, Told};
use crate::identity;
use crate::lane::Lane;
use crate::reactor::after;
use crate::sys::{clock, host, random};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stint_wire::time::Utc;

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
    let mut wishes = inbox.load().map_err(words)?;
    // When each may be tried again; and who waits for a verdict.
    let mut pauses: Vec<(String, Instant)> = Vec::new();
    loop {
        let news = News::of(&inbox.folder());
        let came = inbox.wishes(&boot).map_err(words)?;
        for (_, wish) in &came {
            pauses.retain(|(event, _)| *event != wish.event);
            rule::take(&mut wishes, wish.clone(), &boot);
        }
        if !came.is_empty() {
            inbox.save(&wishes).map_err(words)?;
            came.iter().for_each(|(id, _)| inbox.forget(id));
        }
        let (mut changed, mut counted) = (false, false);
        let since_boot = clock::since_boot().as_millis() as u64;
        let now = Now { boot: &boot, since_boot, time: time_of_day() };
        for wish in &mut wishes {
            counted |= wish.count(&now);
            if wish.expire(&now) {
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
        } else if counted && let Err(error) = inbox.save(&wishes) {
            // After a restart a little more time is left then, which is no reason to ask no script.
            log::warn!("{error}");
        }
        if !came.is_empty() {
            inbox.make_room();
        }
        for (id, asked) in &came {
            inbox.answer(id, &rule::verdict(&wishes, asked, &boot));
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
        let gap = if wish.verdict.is_empty() { "" } else { " " };
        log::info!("{word}: {event}{gap}{}", wish.verdict);
        audit::record(word, "agent", &[("event", event), ("seen", &wish.verdict)]);
    }
}

/// If somebody knows it.
fn time_of_day() -> Option<Utc> {
    #[cfg(uplink)]
    let (time, is_known) = crate::uplink::clock::known();
    #[cfg(not(uplink))]
    let (time, is_known) = (clock::system(), clock::is_set());
    is_known.then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::block_on;
    use crate::testing::Folder;
    use std::fs;

    #[test]
    fn scripts_are_asked_as_before_where_the_disk_takes_no_count_of_the_time_that_is_left() {
        const EVENT: &str = "instance-ready-for-shutdown";
        let (place, scripts) = (Folder::new(), Folder::new());
        let script = scripts.path().join(EVENT);
        fs::write(&script, "").unwrap();
        let folders = vec![scripts.path().to_owned()];
        let settings = Settings { folders, retry: Duration::ZERO, ..Settings::default() };
        // It was refused like this half an hour ago, so there is nothing to note but the time.
        let boot = host::boot_id();
        let ago = clock::since_boot().saturating_sub(Duration::from_secs(1800)).as_millis() as u64;
        let now = Now { boot: &boot, since_boot: ago, time: None };
        let mut wish = Wish::new(EVENT, Some(rule::LONGEST), &now);
        let seen = |said: &str| format!("{}: {said}", script.display());
        wish.tried(false, seen("it is no executable file"), &boot);
        let inbox = Inbox::of(place.path());
        inbox.open().unwrap();
        inbox.save(&vec![wish]).unwrap();
        fs::create_dir(place.path().join("events/wishes.json.tmp")).unwrap();
        let run = async { run(place.path().to_owned(), settings).await.err() };
        let end = async {
            after(LOOK / 2).await;
            None
        };
        assert_eq!(block_on(smol::future::or(run, end)).unwrap(), None);
    }
}

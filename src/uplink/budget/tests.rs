use super::*;
use crate::testing::Folder;

const LIMIT: u64 = 10_000_000;

fn state() -> Folder {
    let folder = Folder::new();
    durable::make_folder(&folder.path().join("run")).unwrap();
    folder
}

fn meter(state: &Folder) -> Meter {
    Meter::begin(state.path(), LIMIT, true).unwrap()
}

fn noted(state: &Folder) -> u64 {
    Ledger::load(&state.path().join(FILE)).unwrap().used
}

#[test]
fn what_passes_is_noted_before_and_seldom() {
    let state = state();
    let mut meter = meter(&state);
    let (mut writes, mut before) = (0, 0);
    for passed in 1..=2000 {
        meter.pass(1000);
        let now = noted(&state);
        assert!(now >= passed * 1000);
        assert!(now <= passed * 1000 + LIMIT / MOST, "{now}");
        writes += u32::from(now != before);
        before = now;
    }
    assert!(writes < 20, "{writes}");
}

#[test]
fn a_kill_gives_nothing_back_and_an_end_gives_the_rest_back() {
    let state = state();
    let mut killed = meter(&state);
    killed.pass(50_000);
    let left = noted(&state);
    assert!(left >= 50_000);
    drop(killed);
    let mut next = meter(&state);
    next.pass(1000);
    next.book(0);
    assert_eq!(noted(&state), left + 1000);
}

#[test]
fn processes_count_together() {
    let state = state();
    let (mut one, mut other) = (meter(&state), meter(&state));
    for _ in 0..100 {
        one.pass(30_000);
        other.pass(30_000);
    }
    assert_eq!(one.pressure(), Pressure::Saving);
    assert_eq!(other.pressure(), Pressure::Saving);
    one.book(0);
    other.book(0);
    assert_eq!(noted(&state), 6_000_000);
}

#[test]
fn the_daemon_alone_says_what_the_limit_is_and_whether_there_is_one() {
    let state = state();
    let limit = || Ledger::load(&state.path().join(FILE)).map(|known| known.limit);
    assert!(Meter::begin(state.path(), 0, false).is_none());
    // Registered before the first start of the daemon.
    Meter::begin(state.path(), LIMIT, false).unwrap().pass(1);
    assert_eq!(limit(), Some(LIMIT));
    // Of another configuration, or of none.
    for other in [0, 7 * LIMIT] {
        Meter::begin(state.path(), other, false).unwrap().pass(1);
        assert_eq!(limit(), Some(LIMIT));
    }
    let mut under_way = Meter::begin(state.path(), LIMIT, false).unwrap();
    under_way.pass(1);
    Meter::begin(state.path(), 2 * LIMIT, true).unwrap().pass(1);
    under_way.pass(LIMIT);
    assert_eq!((limit(), under_way.pressure()), (Some(2 * LIMIT), Pressure::Saving));
    assert!(Meter::begin(state.path(), 0, true).is_none());
    under_way.pass(9 * LIMIT);
    under_way.book(0);
    assert_eq!((limit(), under_way.pressure()), (None, Pressure::Free));
}

#[test]
fn who_asks_how_tight_it_is_waits_for_nobody() {
    let state = state();
    let (meter, last) = (Mutex::new(Some(meter(&state))), Mutex::new(Pressure::Free));
    let pass = |bytes| meter.lock().unwrap().as_mut().unwrap().pass(bytes);
    pass(LIMIT / 2);
    assert_eq!(pressure_of(&meter, &last), Pressure::Saving);
    pass(LIMIT / 4);
    let writing = meter.lock().unwrap();
    assert_eq!(pressure_of(&meter, &last), Pressure::Saving);
    drop(writing);
    assert_eq!(pressure_of(&meter, &last), Pressure::Tight);
}

#[test]
fn a_file_that_cannot_be_written_loses_no_byte_of_this_process() {
    let state = state();
    let mut meter = meter(&state);
    std::fs::remove_dir_all(state.path().join("run")).unwrap();
    meter.pass(9_500_000);
    assert_eq!(meter.pressure(), Pressure::Spent);
    durable::make_folder(&state.path().join("run")).unwrap();
    meter.again = None;
    meter.book(0);
    assert_eq!(noted(&state), 9_500_000);
}

#[test]
fn each_step_holds_back_what_those_before_it_do() {
    let of = |percent: u64| Pressure::of(percent * 10, 1000);
    assert_eq!(of(49), Pressure::Free);
    assert_eq!(of(50).held_back(), ["audit", "inventory", "update"]);
    assert_eq!(of(75).held_back(), ["audit", "inventory", "update", "uploads", "downloads"]);
    assert_eq!(of(300), Pressure::Spent);
    assert_eq!(of(90).held_back().len(), 8);
    assert_eq!(Pressure::of(u64::MAX, 1), Pressure::Spent);
    assert_eq!(Pressure::of(5, 0), Pressure::Free);
}

use super::*;
use crate::testing::Folder;

const LIMIT: u64 = 10_000_000;

fn state() -> Folder {
    let folder = Folder::new();
    durable::make_folder(&folder.path().join("run")).unwrap();
    folder
}

fn meter(state: &Folder) -> Meter {
    let mut ledger = Ledger::load(&state.path().join(FILE)).unwrap_or_default();
    ledger.limit = LIMIT;
    Meter::new(state.path(), ledger)
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

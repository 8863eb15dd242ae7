//! The keeper's state on a fake clock: what is published, when, and what outlives a restart.
//! No thread runs here.

use std::path::Path;

use super::*;
use crate::config::compile::compile;
use crate::config::load;
use crate::diag::Diagnostics;
use crate::health::{Evidence, Outcome, Override, PoolState};
use crate::progress::Progress;

/// The sample, compiled: five regions, each probed, `fall` and `rise` of 2.
fn sample() -> Compiled {
    let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("zones/meridian.yaml"));
    let model = loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics));
    compile(model, None, &Progress::default(), &mut Diagnostics::new()).unwrap()
}

fn state() -> (State, Vec<TargetKey>) {
    let compiled = sample();
    let targets = compiled.layout.endpoints.iter().flat_map(|endpoint| endpoint.targets()).cloned().collect();
    (State::new(compiled, Store::default(), 0, 0), targets)
}

fn report(state: &mut State, target: &TargetKey, outcome: Outcome, now_ms: u64) {
    state.report(NodeId::LOCAL, target, Report { outcome, evidence: Evidence::Refused, took_ms: 1, active: None }, now_ms);
}

fn pool_state(state: &State) -> PoolState {
    state.shared.load().health.pool(PoolId(0)).state
}

#[test]
fn the_first_change_is_published_at_once_and_the_next_a_tenth_of_a_second_later() {
    let (mut state, targets) = state();
    report(&mut state, &targets[0], Outcome::Failure, 5000);
    assert_eq!(state.publish_in_ms(5000), Some(0));
    state.publish_if_due(5000, false);
    assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));

    report(&mut state, &targets[0], Outcome::Success, 5010);
    report(&mut state, &targets[0], Outcome::Success, 5020);
    assert_eq!(state.publish_in_ms(5020), Some(80));
    state.publish_if_due(5099, false);
    assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));
    state.publish_if_due(5100, false);
    assert_eq!((state.generation, pool_state(&state)), (3, PoolState::Available));
    assert_eq!(state.publish_in_ms(5100), None);
}

#[test]
fn a_region_that_waits_for_an_operator_is_not_said_to_be_down_because_its_target_is_well() {
    let mut compiled = sample();
    let layout = Arc::make_mut(&mut compiled.layout);
    layout.pools.iter_mut().for_each(|pool| pool.recovery.manual = true);
    let target = layout.endpoints[0].targets().next().unwrap().clone();
    let mut state = State::new(compiled, Store::default(), 0, 0);
    report(&mut state, &target, Outcome::Failure, 5000);
    state.publish_if_due(5000, true);
    let evidence = |state: &State| state.shared.load().health.story(PoolId(0)).map(|story| story.evidence.to_string());
    assert_eq!(evidence(&state).as_deref(), Some("connection refused after 1 ms"));
    (1..=2).for_each(|turn| report(&mut state, &target, Outcome::Success, 5000 + turn));
    state.publish_if_due(9000, true);
    assert_eq!(pool_state(&state), PoolState::Down);
    assert!(evidence(&state).is_some_and(|text| text.contains("ctl clear")), "{:?}", evidence(&state));
}

#[test]
fn h6_a_hundred_changes_a_second_are_at_most_ten_publications() {
    let (mut state, mut targets) = state();
    targets.sort();
    targets.dedup();
    let (start_ms, seconds) = (5_000, 3);
    let mut last_ms = 0;
    for change in 0..100 * seconds {
        // Two outcomes turn a verdict of the sample; each target changes every twentieth of a second.
        let now_ms = start_ms + change * 10;
        let (target, round) = (&targets[change as usize % targets.len()], change as usize / targets.len());
        let outcome = if round.is_multiple_of(2) { Outcome::Failure } else { Outcome::Success };
        (0..2).for_each(|_| report(&mut state, target, outcome, now_ms));
        let before = state.generation;
        state.publish_if_due(now_ms, false);
        if state.generation > before {
            assert!(now_ms >= last_ms + PUBLISH_GAP_MS, "{now_ms} after {last_ms}");
            last_ms = now_ms;
        }
    }
    assert!(state.tally.target_changes >= 100 * (seconds - 1), "{:?}", state.tally);
    assert_eq!(state.generation, 1 + 10 * seconds);
    // What came after the last of them is in force a tenth of a second later.
    state.publish_if_due(last_ms + PUBLISH_GAP_MS, false);
    assert_eq!(state.published, Some(state.revisions()));
    let (shown, found) = (state.shared.load(), state.book.view());
    assert!((0..10).map(PoolId).all(|id| shown.health.pool(id) == found.pool(id)));
}

#[test]
fn whoever_waits_is_served_at_once() {
    let (mut state, targets) = state();
    report(&mut state, &targets[0], Outcome::Failure, 10);
    state.publish_if_due(10, true);
    assert_eq!(pool_state(&state), PoolState::Down);
}

#[test]
fn r1_a_reload_keeps_the_health_of_unchanged_targets() {
    let (mut state, targets) = state();
    report(&mut state, &targets[0], Outcome::Failure, 10);
    state.install(sample(), 20);
    state.publish_if_due(20, true);
    assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));
    assert!(!Arc::ptr_eq(&state.shared.load().catalog, &sample().catalog));
}

fn forced(selector: &str, state: Override, until_s: Option<u64>) -> Forced {
    let (reason, author) = ("test".to_owned(), "me".to_owned());
    Forced { selector: Selector::parse(selector).unwrap(), state, reason, author, since_s: 0, until_s }
}

#[test]
fn h4_an_override_is_published_survives_a_reload_and_expires() {
    let (mut state, targets) = state();
    targets.iter().for_each(|target| report(&mut state, target, Outcome::Success, 10));
    assert!(state.force(forced("nowhere", Override::Down, None), 20).is_err());
    assert!(state.force(forced("*", Override::Drain, Some(100)), 20).unwrap() > 0);
    state.publish_if_due(20, true);
    assert_eq!(pool_state(&state), PoolState::ForcedDown);
    state.install(sample(), 30);
    state.expire(40, 99);
    state.publish_if_due(40, true);
    assert_eq!(pool_state(&state), PoolState::ForcedDown);
    state.expire(50, 100);
    state.publish_if_due(50, true);
    assert_eq!(pool_state(&state), PoolState::Available);
}

#[test]
fn h4_overrides_and_fresh_verdicts_survive_a_restart() {
    let folder = std::env::temp_dir().join(format!("meridian-keeper-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let start = |now_s| State::new(sample(), Some(folder.clone()).into(), 0, now_s);
    let (_, targets) = state();
    let mut first = start(1_000);
    assert!(!first.knows_all());
    targets.iter().for_each(|target| report(&mut first, target, Outcome::Success, 10));
    report(&mut first, &targets[0], Outcome::Failure, 20);
    report(&mut first, &targets[0], Outcome::Failure, 30);
    first
        .force(forced("*/*/203.0.113.*", Override::Down, None), 40)
        .or_else(|_| first.force(forced("*", Override::Down, Some(5_000)), 40))
        .unwrap();
    first.save_if_due(50, 1_000, true);

    let second = start(1_060);
    assert!(second.knows_all());
    let verdict = |state: &State, target: &TargetKey| state.book.target(target).unwrap().verdict;
    assert!(targets.iter().all(|target| verdict(&second, target) == verdict(&first, target)));
    assert_eq!(second.overrides, first.overrides);
    let late = start(2_000);
    assert!(!late.knows_all(), "old verdicts say nothing");
    assert_eq!(late.overrides, first.overrides);
}

#[test]
fn nothing_new_is_not_published() {
    let (mut state, targets) = state();
    report(&mut state, &targets[0], Outcome::Success, 1000);
    state.publish_if_due(1000, false);
    let generation = state.generation;
    report(&mut state, &targets[0], Outcome::Success, 2000);
    state.publish_if_due(2000, true);
    assert_eq!(state.generation, generation);
}

#[test]
fn a_retired_world_is_freed_here_and_not_before_its_last_reader_has_gone() {
    let (mut state, targets) = state();
    let reading = state.shared.load();
    report(&mut state, &targets[0], Outcome::Failure, 1000);
    state.publish_if_due(1000, false);
    state.free_retired();
    assert_eq!(state.retired.len(), 1);
    drop(reading);
    state.free_retired();
    assert!(state.retired.is_empty());
}

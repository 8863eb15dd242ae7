//! Views worked out from invented measurements: counts, overrides, families, several monitors, admit.
//! Nothing here knows how a measurement came about.

use super::*;

/// One pool over `states`, every endpoint measured as told.
fn view(min_healthy: MinHealthy, region_state: Option<Override>, endpoints: &[(Option<Override>, Measured)]) -> HealthView {
    let pool = PoolLayout { endpoints: 0..endpoints.len() as u32, min_healthy, region_state, ..PoolLayout::default() };
    let endpoint = |state: &Option<Override>| EndpointLayout { state: *state, ..EndpointLayout::default() };
    let layout = Layout { pools: vec![pool], endpoints: endpoints.iter().map(|(state, _)| endpoint(state)).collect(), ..Layout::default() };
    HealthView::new(&layout, |id| endpoints[id.0 as usize].1)
}

fn pool_state(min_healthy: MinHealthy, endpoints: &[(Option<Override>, Measured)]) -> PoolState {
    view(min_healthy, None, endpoints).pool(PoolId(0)).state
}

const UP: (Option<Override>, Measured) = (None, Measured::UP);
const DOWN: (Option<Override>, Measured) = (None, Measured::DOWN);
const DRAINED: (Option<Override>, Measured) = (Some(Override::Drain), Measured::UP);
const FORCED_DOWN: (Option<Override>, Measured) = (Some(Override::Down), Measured::UP);
const FORCED_UP: (Option<Override>, Measured) = (Some(Override::Up), Measured::DOWN);

#[test]
fn p4_a_pool_needs_min_healthy_of_its_endpoints_rounded_up() {
    use MinHealthy::{Count, Percent};
    for (min_healthy, up, down, available) in [
        (Count(1), 1, 3, true),
        (Count(1), 0, 4, false),
        (Count(3), 2, 2, false),
        (Count(3), 3, 1, true),
        (Count(9), 4, 0, true),
        (Count(0), 0, 4, false),
        (Percent(50), 2, 2, true),
        (Percent(50), 1, 2, false),
        (Percent(51), 2, 2, false),
        (Percent(0), 0, 4, false),
        (Percent(100), 4, 0, true),
    ] {
        let endpoints: Vec<_> = std::iter::repeat_n(UP, up).chain(std::iter::repeat_n(DOWN, down)).collect();
        let expected = if available { PoolState::Available } else { PoolState::Down };
        assert_eq!(pool_state(min_healthy, &endpoints), expected, "{min_healthy:?} {up} {down}");
    }
}

#[test]
fn p4_drained_endpoints_leave_the_count_and_forced_down_ones_stay_in_it() {
    assert_eq!(pool_state(MinHealthy::Percent(100), &[UP, DRAINED]), PoolState::Available);
    assert_eq!(pool_state(MinHealthy::Percent(100), &[UP, FORCED_DOWN]), PoolState::Down);
    assert_eq!(pool_state(MinHealthy::Count(2), &[UP, DRAINED]), PoolState::Available);
    assert_eq!(pool_state(MinHealthy::Count(2), &[UP, FORCED_DOWN]), PoolState::Down);
}

#[test]
fn overrides_beat_measurements_and_out_beats_in() {
    let view = view(MinHealthy::Count(1), Some(Override::Up), &[UP, DOWN, FORCED_DOWN, DRAINED]);
    let up: Vec<bool> = (0..4).map(|id| view.endpoint_up(EndpointId(id))).collect();
    let allowed: Vec<bool> = (0..4).map(|id| view.endpoint_allowed(EndpointId(id))).collect();
    assert_eq!((up, allowed), (vec![true, true, false, false], vec![true, true, false, false]));
    assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_UP, DOWN]), PoolState::Available);
}

#[test]
fn p2_a_pool_is_forced_down_only_when_nothing_else_is_left() {
    assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_DOWN, DRAINED]), PoolState::ForcedDown);
    assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_DOWN, DOWN]), PoolState::Down);
    for state in [Override::Down, Override::Drain] {
        let view = view(MinHealthy::Count(1), Some(state), &[UP, FORCED_UP]);
        assert_eq!(view.pool(PoolId(0)).state, PoolState::ForcedDown);
        assert!(!view.endpoint_allowed(EndpointId(1)) && !view.pool(PoolId(0)).any_up);
    }
}

#[test]
fn a_pool_with_too_few_endpoints_up_still_tells_fail_open_which_are() {
    let view = view(MinHealthy::Count(2), None, &[DOWN, UP]);
    assert_eq!(view.pool(PoolId(0)).state, PoolState::Down);
    assert!(view.pool(PoolId(0)).any_up && view.endpoint_up(EndpointId(1)) && !view.endpoint_up(EndpointId(0)));
    assert!(view.endpoint_allowed(EndpointId(0)));
}

fn two_families(together: bool, v4: Measured, v6: Measured) -> [PoolState; 2] {
    let pool = |id: u32| PoolLayout { endpoints: id..id + 1, together_with: together.then_some(PoolId(1 - id)), ..PoolLayout::default() };
    let layout = Layout { pools: vec![pool(0), pool(1)], endpoints: vec![EndpointLayout::default(); 2], ..Layout::default() };
    let view = HealthView::new(&layout, |id| [v4, v6][id.0 as usize]);
    [view.pool(PoolId(0)).state, view.pool(PoolId(1)).state]
}

#[test]
fn p5_families_are_judged_apart_or_together_as_configured() {
    use PoolState::{Available, Down};
    assert_eq!(two_families(false, Measured::UP, Measured::DOWN), [Available, Down]);
    assert_eq!(two_families(true, Measured::UP, Measured::DOWN), [Down, Down]);
    assert_eq!(two_families(true, Measured::UP, Measured::UP), [Available, Available]);
}

#[test]
fn t1_a_pool_may_change_when_the_first_of_its_endpoints_may() {
    let pending = |may_change_at_ms| (None, Measured { may_change_at_ms, ..Measured::UP });
    let soonest_ms = |endpoints: &[_]| view(MinHealthy::Count(1), None, endpoints).pool(PoolId(0)).may_change_at_ms;
    assert_eq!(soonest_ms(&[UP, DOWN]), SETTLED);
    assert_eq!(soonest_ms(&[UP, pending(10_000), pending(5_999)]), 5_999);
    assert_eq!(soonest_ms(&[UP, (Some(Override::Up), pending(200).1)]), SETTLED, "an override does not wait for probes");
}

#[test]
fn several_monitors_speak_together_by_the_worst_that_is_needed() {
    use Verdict::{Degraded, Down, Unknown, Up};
    for (combine, verdicts, expected) in [
        (Combine::All, vec![Up, Down, Up], Down),
        (Combine::All, vec![Up, Degraded], Degraded),
        (Combine::All, vec![Up, Unknown], Unknown),
        (Combine::Any, vec![Down, Degraded], Degraded),
        (Combine::Any, vec![Down, Down], Down),
        (Combine::AtLeast(2), vec![Up, Down, Up], Up),
        (Combine::AtLeast(2), vec![Down, Down, Up], Down),
        (Combine::AtLeast(9), vec![Up, Degraded], Degraded),
        (Combine::AtLeast(0), vec![Up, Down], Up),
        (Combine::All, vec![], Up),
    ] {
        assert_eq!(combine.judge(&mut verdicts.clone()), expected, "{combine:?} {verdicts:?}");
    }
}

#[test]
fn degraded_endpoints_lower_admit_by_their_part() {
    const DEGRADED: (Option<Override>, Measured) = (None, Measured { verdict: Verdict::Degraded, ..Measured::UP });
    let admit = |endpoints: &[_]| view(MinHealthy::Count(1), None, endpoints).pool(PoolId(0)).admit;
    assert_eq!(admit(&[UP, UP]), ADMIT_ALL);
    assert_eq!(admit(&[UP, DEGRADED]), 768);
    assert_eq!(admit(&[DEGRADED, DEGRADED]), 512);
    assert_eq!(admit(&[DEGRADED, DOWN]), 512, "what is down has no part");
    assert_eq!(admit(&[(Some(Override::Up), DEGRADED.1)]), ADMIT_ALL, "an override beats the measurement");
}

#[test]
fn h5_a_family_that_cannot_be_measured_takes_the_verdict_of_the_other() {
    let lost = Measured { unmeasurable: true, ..Measured::UP };
    let pool = |id: u32| PoolLayout { endpoints: id..id + 1, other_family: Some(PoolId(1 - id)), ..PoolLayout::default() };
    let layout = Layout { pools: vec![pool(0), pool(1)], endpoints: vec![EndpointLayout::default(); 2], ..Layout::default() };
    let states = |v4: Measured, v6: Measured| {
        let view = HealthView::new(&layout, |id| [v4, v6][id.0 as usize]);
        [view.pool(PoolId(0)).state, view.pool(PoolId(1)).state]
    };
    use PoolState::{Available, Down};
    assert_eq!(states(Measured::DOWN, lost), [Down, Down]);
    assert_eq!(states(Measured::UP, lost), [Available, Available]);
    assert_eq!(states(lost, lost), [Available, Available], "nobody knows: as it was");
    assert_eq!(states(Measured::DOWN, Measured::UP), [Down, Available]);
}

#[test]
fn ids_that_do_not_exist_and_endpoints_past_a_word_are_told_apart() {
    let mut endpoints = vec![UP; 130];
    endpoints[64] = DOWN;
    endpoints[129] = DOWN;
    let view = view(MinHealthy::Count(1), None, &endpoints);
    let down: Vec<u32> = (0..200).filter(|id| !view.endpoint_up(EndpointId(*id))).collect();
    assert_eq!(down, [64, 129]);
    assert_eq!(view.pool(PoolId(9)), PoolHealth::AVAILABLE);
}

//! The book on invented reports and an invented clock: verdicts, votes, overrides, reloads, pending changes.
//! Nothing here probes or waits.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::health::guard::Guard;
use crate::health::monitor::{Monitor, Request};
use crate::health::report::{Evidence, Outcome};
use crate::health::score::ScoredBy;
use crate::health::view::{EndpointLayout, MinHealthy, Override, PoolKey, PoolLayout, SETTLED};

mod stories;

const POOL: PoolId = PoolId(0);

fn target(last_octet: u8, fall: u32, rise: u32) -> TargetKey {
    let monitor = Monitor { fall, rise, ..Monitor::new(80, Request::Tcp) };
    monitor.target(IpAddr::from([192, 0, 2, last_octet]))
}

fn key(pool: usize) -> PoolKey {
    PoolKey { service: "web".into(), region: format!("r{pool}").into(), ..PoolKey::default() }
}

/// One pool a list, each of endpoints with these targets.
fn layout(pools: &[&[TargetKey]]) -> Layout {
    let mut layout = Layout::default();
    for pool in pools {
        let start = layout.endpoints.len() as u32;
        layout.endpoints.extend(pool.iter().map(|target| EndpointLayout::probed_by(Some(target.clone()))));
        let endpoints = start..layout.endpoints.len() as u32;
        layout.pools.push(PoolLayout { key: key(layout.pools.len()), endpoints, ..PoolLayout::default() });
    }
    layout
}

fn book(pools: &[&[TargetKey]]) -> HealthBook {
    HealthBook::new(Arc::new(layout(pools)), 0)
}

/// The report that a letter stands for: `+` success, `-` failure, `!` the prober's own fault.
fn report(letter: char) -> Report {
    let (outcome, evidence) = match letter {
        '+' => (Outcome::Success, Evidence::Connected),
        '-' => (Outcome::Failure, Evidence::Refused),
        _ => (Outcome::ProberFault, Evidence::Other("too many open files".into())),
    };
    Report { outcome, evidence, took_ms: 1, active: None }
}

fn feed(book: &mut HealthBook, target: &TargetKey, letters: &str) -> Vec<Change> {
    letters.chars().flat_map(|letter| book.report(NodeId::LOCAL, target, report(letter), 0)).collect()
}

/// The verdict after each letter, one probe a second: `u`nknown, `U`p, `D`own; a change must be reported exactly when it turns.
fn verdicts(fall: u32, rise: u32, letters: &str) -> String {
    let target = target(1, fall, rise);
    let mut book = book(&[std::slice::from_ref(&target)]);
    let mut shown = String::new();
    let mut before = Verdict::Unknown;
    for (at_ms, letter) in (1..).map(|second| second * 1000).zip(letters.chars()) {
        let changes = book.report(NodeId::LOCAL, &target, report(letter), at_ms);
        let health = book.target(&target).unwrap();
        let turned: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Target { from, to, at_ms, .. } => Some((*from, *to, *at_ms)),
                _ => None,
            })
            .collect();
        let expected = if before == health.verdict { vec![] } else { vec![(before, health.verdict, at_ms)] };
        assert_eq!(turned, expected);
        before = health.verdict;
        shown.push(match before {
            Verdict::Unknown => 'u',
            Verdict::Up => 'U',
            Verdict::Down => 'D',
            verdict => panic!("{verdict}"),
        });
    }
    shown
}

#[test]
fn h1_from_unknown_the_first_real_outcome_decides_both_ways() {
    assert_eq!(verdicts(3, 5, "+"), "U");
    assert_eq!(verdicts(3, 5, "-"), "D");
    assert_eq!(verdicts(3, 5, "!!+"), "uuU");
}

#[test]
fn h1_an_endpoint_is_served_until_it_is_measured() {
    let target = target(1, 3, 5);
    let mut book = book(&[std::slice::from_ref(&target)]);
    assert!(book.view().endpoint_up(EndpointId(0)));
    assert_eq!(book.view().pool(POOL).state, PoolState::Available);
    feed(&mut book, &target, "-");
    assert!(!book.view().endpoint_up(EndpointId(0)));
    assert_eq!(book.view().pool(POOL).state, PoolState::Down);
}

#[test]
fn h2_fall_and_rise_count_consecutive_outcomes() {
    for (fall, rise, letters, expected) in [
        (3, 2, "+---++", "UUUDDU"),
        (3, 2, "+--+---", "UUUUUUD"),
        (1, 1, "+-+-", "UDUD"),
        (2, 3, "-++-+++", "DDDDDDU"),
        (100, 1, "+--------", "UUUUUUUUU"),
    ] {
        assert_eq!(verdicts(fall, rise, letters), expected, "{letters}");
    }
}

#[test]
fn h5_the_probers_own_fault_is_no_evidence() {
    assert_eq!(verdicts(2, 2, "+!!!!"), "UUUUU", "never takes a target down");
    assert_eq!(verdicts(2, 2, "+-!-"), "UUUD", "and does not break a row either");
    assert_eq!(verdicts(2, 2, "-!!+!+"), "DDDDDU");
    let target = target(1, 2, 2);
    let mut book = book(&[std::slice::from_ref(&target)]);
    feed(&mut book, &target, "+!");
    let last = book.target(&target).unwrap().last.unwrap().1.outcome;
    assert_eq!(last, Outcome::ProberFault, "but it is shown");
}

#[test]
fn h6_a_change_carries_its_evidence_and_is_given_once() {
    let target = target(1, 2, 2);
    let mut book = book(&[std::slice::from_ref(&target)]);
    feed(&mut book, &target, "+-");
    let changes = book.report(NodeId::LOCAL, &target, report('-'), 7000);
    let of_target =
        Change::Target { target: target.clone(), from: Verdict::Up, to: Verdict::Down, outcomes: 2, report: report('-'), at_ms: 7000 };
    let of_pool = Change::Pool { pool: POOL, from: PoolState::Available, to: PoolState::Down, waits: false, at_ms: 7000 };
    assert_eq!(changes, [of_target, of_pool]);
    assert_eq!(book.target(&target).unwrap().since_ms, 7000);
    assert_eq!(feed(&mut book, &target, "---"), []);
}

#[test]
fn h2_one_probe_speaks_for_every_place_that_shares_the_target() {
    let shared = target(1, 1, 1);
    let mut book = book(&[&[shared.clone(), target(2, 1, 1)], std::slice::from_ref(&shared)]);
    assert_eq!(book.targets().count(), 2);
    let changes = feed(&mut book, &shared, "-");
    assert_eq!(changes.len(), 2, "the target, and the pool that has nothing else: {changes:?}");
    let view = book.view();
    assert!(!view.endpoint_up(EndpointId(0)) && view.endpoint_up(EndpointId(1)) && !view.endpoint_up(EndpointId(2)));
    assert_eq!([view.pool(PoolId(0)).state, view.pool(PoolId(1)).state], [PoolState::Available, PoolState::Down]);
}

#[test]
fn p5_families_that_are_needed_together_fall_and_rise_together() {
    let (v4, v6) = (target(1, 1, 1), target(2, 1, 1));
    let mut layout = layout(&[std::slice::from_ref(&v4), std::slice::from_ref(&v6)]);
    layout.pools[0].together_with = Some(PoolId(1));
    layout.pools[1].together_with = Some(PoolId(0));
    let mut book = HealthBook::new(Arc::new(layout), 0);
    feed(&mut book, &v4, "+");
    feed(&mut book, &v6, "+");
    let pools = |changes: Vec<Change>| {
        let states = changes.into_iter().filter_map(|change| match change {
            Change::Pool { pool, to, .. } => Some((pool.0, to)),
            _ => None,
        });
        states.collect::<Vec<_>>()
    };
    assert_eq!(pools(feed(&mut book, &v6, "-")), [(0, PoolState::Down), (1, PoolState::Down)]);
    assert!(book.view().endpoint_up(EndpointId(0)), "the IPv4 endpoint itself is up, for fail open");
    assert_eq!(pools(feed(&mut book, &v6, "+")), [(0, PoolState::Available), (1, PoolState::Available)]);
}

#[test]
fn h4_an_override_beats_the_probes_which_go_on_underneath() {
    let target = target(1, 1, 1);
    let mut forced = layout(&[std::slice::from_ref(&target)]);
    forced.endpoints[0].state = Some(Override::Up);
    let mut book = HealthBook::new(Arc::new(forced), 0);
    let changes = feed(&mut book, &target, "-");
    assert_eq!(changes.len(), 1, "the target turned, the pool did not: {changes:?}");
    assert!(book.view().endpoint_up(EndpointId(0)));
    assert_eq!(book.measured(EndpointId(0)).verdict, Verdict::Down);
    book.reconcile(Arc::new(layout(&[std::slice::from_ref(&target)])), 1000);
    assert!(!book.view().endpoint_up(EndpointId(0)), "lifting the override shows what was measured");
}

#[test]
fn t1_a_pool_may_change_when_all_that_is_missing_comes_as_fast_as_it_can() {
    let target = target(1, 3, 4);
    let mut book = book(&[std::slice::from_ref(&target)]);
    assert_eq!(book.view().pool(POOL).may_change_at_ms, 0, "not asked yet: the first outcome may come at any moment");
    // Probes of a second apart, as after a first contrary outcome, each of which takes 100 ms.
    for (at_ms, letter, may_change_at_ms, why) in [
        (10_100, '+', SETTLED, "settled"),
        (15_100, '-', 17_000, "two more failures, begun at 16 and 17 s"),
        (16_100, '-', 17_000, "one more"),
        (17_100, '!', 18_000, "no evidence: one more all the same"),
        (18_100, '+', SETTLED, "settled again"),
        (23_100, '-', 25_000, "it fails"),
        (24_100, '-', 25_000, "one more"),
        (25_100, '-', SETTLED, "settled down"),
        (30_100, '+', 33_000, "recovering: three more successes"),
        (31_100, '+', 33_000, "two more"),
        (32_100, '+', 33_000, "one more"),
        (33_100, '+', SETTLED, "settled up"),
    ] {
        let revision = book.revision();
        let before = book.view();
        book.report(NodeId::LOCAL, &target, Report { took_ms: 100, ..report(letter) }, at_ms);
        assert_eq!(book.view().pool(POOL).may_change_at_ms, may_change_at_ms, "{why}");
        assert!(book.view() == before || book.revision() > revision, "what differs is published: {why}");
    }
}

#[test]
fn t1_a_target_that_cannot_be_measured_does_not_shorten_ttls_for_ever() {
    let target = target(1, 3, 5);
    let mut book = book(&[std::slice::from_ref(&target)]);
    feed(&mut book, &target, "!");
    assert_eq!(book.target(&target).unwrap().verdict, Verdict::Unknown);
    assert_eq!(book.view().pool(POOL).may_change_at_ms, SETTLED);
}

#[test]
fn settled_reports_need_no_publishing() {
    let target = target(1, 3, 5);
    let mut book = book(&[std::slice::from_ref(&target)]);
    feed(&mut book, &target, "+");
    let revision = book.revision();
    feed(&mut book, &target, "++++!+");
    assert_eq!(book.revision(), revision);
}

#[test]
fn r1_a_reload_keeps_what_is_probed_the_same_and_forgets_the_rest() {
    let (kept, gone, new) = (target(1, 3, 5), target(2, 3, 5), target(3, 3, 5));
    let mut book = book(&[&[kept.clone(), gone.clone()]]);
    feed(&mut book, &kept, "+--");
    feed(&mut book, &gone, "-");
    book.reconcile(Arc::new(layout(&[std::slice::from_ref(&new), std::slice::from_ref(&kept)])), 9000);
    assert_eq!(book.target(&kept).unwrap().contrary, 2);
    assert_eq!(book.target(&gone), None);
    assert_eq!(book.target(&new).unwrap().since_ms, 9000);
    assert_eq!(feed(&mut book, &gone, "+"), [], "a late report of a target that went is ignored");
    let changes = feed(&mut book, &kept, "-");
    assert!(matches!(changes[..], [Change::Target { outcomes: 3, .. }, Change::Pool { pool: PoolId(1), .. }]), "{changes:?}");
}

#[test]
fn h6_a_state_by_hand_that_comes_with_a_reload_is_a_change_of_its_pool() {
    let (one, other) = (target(1, 3, 5), target(2, 3, 5));
    let mut book = book(&[std::slice::from_ref(&one), std::slice::from_ref(&other)]);
    feed(&mut book, &one, "+");
    feed(&mut book, &other, "+");
    // The region moves in the order of the files as well: it is known by its name.
    let mut forced = layout(&[std::slice::from_ref(&other), std::slice::from_ref(&one)]);
    (forced.pools[0].key, forced.pools[1].key) = (key(1), key(0));
    forced.pools[0].region_state = Some(Override::Down);
    let changes = book.reconcile(Arc::new(forced.clone()), 9000);
    let expected = |from, to, at_ms| Change::Pool { pool: PoolId(0), from, to, waits: false, at_ms };
    assert_eq!(changes, [expected(PoolState::Available, PoolState::ForcedDown, 9000)]);
    assert_eq!(book.pool(PoolId(0)).unwrap().since_ms, 9000);
    assert_eq!(book.reconcile(Arc::new(forced.clone()), 10_000), []);
    forced.pools[0].region_state = None;
    assert_eq!(book.reconcile(Arc::new(forced), 11_000), [expected(PoolState::ForcedDown, PoolState::Available, 11_000)]);
}

#[test]
fn r1_a_target_with_other_thresholds_starts_anew() {
    let before = target(1, 3, 5);
    let mut book = book(&[std::slice::from_ref(&before)]);
    feed(&mut book, &before, "-");
    let after = target(1, 2, 5);
    book.reconcile(Arc::new(layout(&[std::slice::from_ref(&after)])), 1000);
    assert_eq!(book.target(&after).unwrap().verdict, Verdict::Unknown);
}

#[test]
fn an_endpoint_without_a_monitor_is_up() {
    let mut bare = layout(&[&[target(1, 1, 1)]]);
    bare.endpoints[0] = EndpointLayout::default();
    let book = HealthBook::new(Arc::new(bare), 0);
    assert!(book.view().endpoint_up(EndpointId(0)));
    assert_eq!(book.view().pool(POOL).may_change_at_ms, SETTLED);
    assert_eq!(book.targets().count(), 0);
}

#[test]
fn the_majority_of_the_nodes_that_know_decides() {
    let target = target(1, 1, 1);
    let mut book = book(&[std::slice::from_ref(&target)]);
    let verdict_after = |book: &mut HealthBook, node: u16, letter: char| {
        book.report(NodeId(node), &target, report(letter), 0);
        book.target(&target).unwrap().verdict
    };
    assert_eq!(verdict_after(&mut book, 0, '-'), Verdict::Down);
    assert_eq!(verdict_after(&mut book, 1, '!'), Verdict::Down, "a node that knows nothing has no say");
    assert_eq!(verdict_after(&mut book, 1, '+'), Verdict::Up, "even: served");
    assert_eq!(verdict_after(&mut book, 2, '-'), Verdict::Down);
}

proptest! {
    /// Whatever comes, a verdict turns only after `fall` (or `rise`) outcomes in a row that say so, faults left out.
    #[test]
    fn h2_a_verdict_never_turns_early(fall in 1_u32..6, rise in 1_u32..6, letters in "[-+!]{0,60}") {
        let shown = verdicts(fall, rise, &letters);
        let mut before = 'u';
        for (at, now) in shown.chars().enumerate() {
            if now != before && before != 'u' {
                let (needed, wanted) = if now == 'D' { (fall, '-') } else { (rise, '+') };
                let real: Vec<char> = letters[..=at].chars().filter(|letter| *letter != '!').collect();
                prop_assert!(real.iter().rev().take_while(|letter| **letter == wanted).count() as u32 >= needed);
            }
            before = now;
        }
    }

    /// And it does turn when they are there.
    #[test]
    fn h2_a_verdict_always_turns_in_time(fall in 1_u32..6, rise in 1_u32..6, letters in "[-+!]{0,60}") {
        let ends_down = format!("{letters}{}", "-".repeat(fall as usize));
        prop_assert!(verdicts(fall, rise, &ends_down).ends_with('D'));
        let ends_up = format!("{letters}{}", "+".repeat(rise as usize));
        prop_assert!(verdicts(fall, rise, &ends_up).ends_with('U'));
    }

    /// Through any sequence of reloads, a target that stays keeps exactly its state, wherever it moves; the view follows the book.
    #[test]
    fn r1_unchanged_targets_keep_their_health(
        letters in proptest::collection::vec("[-+!]{0,8}", 6),
        before in proptest::collection::vec(0_usize..6, 1..12),
        after in proptest::collection::vec(0_usize..6, 1..12),
    ) {
        let all: Vec<TargetKey> = (0..6).map(|n| target(n, 2, 3)).collect();
        let pick = |chosen: &[usize]| chosen.iter().map(|at| all[*at].clone()).collect::<Vec<_>>();
        let (first, second) = (pick(&before), pick(&after));
        let mut book = book(&[&first]);
        for (target, letters) in all.iter().zip(&letters) {
            feed(&mut book, target, letters);
        }
        let state = |book: &HealthBook, target| book.target(target).map(|health| (health.verdict, health.since_ms, health.contrary));
        let old: Vec<_> = all.iter().map(|target| state(&book, target)).collect();
        let (left, right) = second.split_at(second.len() / 2);
        book.reconcile(Arc::new(layout(&[left, right])), 77);
        for (at, target) in all.iter().enumerate().filter(|(at, _)| after.contains(at)) {
            let expected = old[at].unwrap_or((Verdict::Unknown, 77, 0));
            prop_assert_eq!(state(&book, target), Some(expected));
        }
        let view = book.view();
        prop_assert_eq!(&view, &HealthView::new(book.layout(), |id| book.measured(id)));
        for (target, id) in second.iter().zip(0..) {
            let verdict = book.target(target).unwrap().verdict;
            prop_assert_eq!(view.endpoint_up(EndpointId(id)), verdict != Verdict::Down);
        }
    }

    /// The view that is kept up to date report by report is the one that would be worked out afresh.
    #[test]
    fn the_view_never_drifts_from_the_book(reports in proptest::collection::vec((0_u8..4, "[-+!]"), 0..60)) {
        let all: Vec<TargetKey> = (0..4).map(|n| target(n, 2, 2)).collect();
        let mut layout = layout(&[&all[..2], &all[1..], &all[3..]]);
        layout.pools[0].together_with = Some(PoolId(1));
        layout.pools[1].together_with = Some(PoolId(0));
        layout.pools[1].min_healthy = MinHealthy::Percent(60);
        let mut book = HealthBook::new(Arc::new(layout), 0);
        for (at, letter) in reports {
            feed(&mut book, &all[at as usize], &letter);
            prop_assert_eq!(&book.view(), &HealthView::new(book.layout(), |id| book.measured(id)));
        }
    }
}

#[test]
fn the_guard_holds_further_losses_until_they_are_well_or_forced() {
    let targets: Vec<TargetKey> = (1..=4).map(|n| target(n, 1, 1)).collect();
    let mut layout = layout(&targets.iter().map(std::slice::from_ref).collect::<Vec<_>>());
    let guard = Guard { max_auto_down: Some(50), max_down_rate: None, window_ms: 600_000 };
    layout.pools.iter_mut().for_each(|pool| pool.guard = Some(guard));
    let mut book = HealthBook::new(Arc::new(layout.clone()), 0);
    for target in &targets {
        book.report(NodeId::LOCAL, target, report('+'), 1000);
    }
    let states =
        |book: &HealthBook| (0..4).map(|id| (book.view().pool(PoolId(id)).state, book.view().pool(PoolId(id)).held)).collect::<Vec<_>>();
    let (up, down, held) = ((PoolState::Available, false), (PoolState::Down, false), (PoolState::Available, true));
    let losses: Vec<Change> = targets.iter().flat_map(|target| book.report(NodeId::LOCAL, target, report('-'), 2000)).collect();
    assert_eq!(states(&book), [down, down, held, held]);
    assert_eq!(losses.iter().filter(|change| matches!(change, Change::Held { held: true, .. })).count(), 2);
    assert!(book.view().endpoint_up(EndpointId(2)) && !book.view().endpoint_up(EndpointId(0)), "what is held is served");
    // It stays held after the window, and through a reload.
    book.report(NodeId::LOCAL, &targets[2], report('-'), 700_000);
    book.reconcile(Arc::new(layout.clone()), 700_001);
    assert_eq!(states(&book), [down, down, held, held]);
    // Without a guard nothing is.
    let mut unguarded = layout.clone();
    unguarded.pools.iter_mut().for_each(|pool| pool.guard = None);
    let mut free = HealthBook::new(Arc::new(layout.clone()), 0);
    targets.iter().for_each(|target| _ = free.report(NodeId::LOCAL, target, report('-'), 1000));
    free.reconcile(Arc::new(unguarded), 2000);
    assert_eq!(states(&free), [down; 4]);
    // Well again, or forced: no longer.
    book.report(NodeId::LOCAL, &targets[3], report('+'), 700_002);
    layout.pools[2].region_state = Some(Override::Down);
    book.reconcile(Arc::new(layout), 700_003);
    assert_eq!(states(&book), [down, down, (PoolState::ForcedDown, false), up]);
}

#[test]
fn what_was_up_last_is_remembered_until_one_is_up_again() {
    let targets: Vec<TargetKey> = (1..=3).map(|n| target(n, 1, 1)).collect();
    let mut layout = layout(&targets.iter().map(std::slice::from_ref).collect::<Vec<_>>());
    let mates: Arc<[PoolId]> = (0..3).map(PoolId).collect();
    layout.pools.iter_mut().for_each(|pool| pool.mates = Arc::clone(&mates));
    let mut book = HealthBook::new(Arc::new(layout.clone()), 0);
    let last_good = |book: &HealthBook| (0..3).map(|id| book.view().pool(PoolId(id)).last_good).collect::<Vec<_>>();
    for (target, letter) in [(0, '+'), (1, '+'), (2, '+'), (0, '-'), (1, '-')] {
        book.report(NodeId::LOCAL, &targets[target], report(letter), 1000);
        assert_eq!(last_good(&book), [false; 3]);
    }
    book.report(NodeId::LOCAL, &targets[2], report('-'), 2000);
    assert_eq!(last_good(&book), [false, false, true]);
    book.reconcile(Arc::new(layout), 3000);
    assert_eq!(last_good(&book), [false, false, true], "a reload forgets nothing");
    book.report(NodeId::LOCAL, &targets[0], report('+'), 4000);
    assert_eq!(last_good(&book), [false; 3]);
}

#[test]
fn scores_are_kept_only_where_a_balance_asks_for_them() {
    let target = target(1, 1, 1);
    let mut layout = layout(&[std::slice::from_ref(&target)]);
    let slow = Report { took_ms: 99, ..report('+') };
    let score_after = |layout: &Layout| {
        let mut book = HealthBook::new(Arc::new(layout.clone()), 0);
        book.report(NodeId::LOCAL, &target, slow.clone(), 1000);
        book.view().endpoint_score(EndpointId(0))
    };
    assert_eq!(score_after(&layout), None);
    layout.pools[0].scored = Some(ScoredBy::Time);
    assert!(score_after(&layout).is_some_and(|score| (80..125).contains(&score)));
}

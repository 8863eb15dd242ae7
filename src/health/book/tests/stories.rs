//! The book on tables of (time, target, outcome) -> what changed: damping, ramps, failback, our own network, several monitors.
//! Time passes only as the tables say.

use super::*;
use crate::health::damp::{Damping, Flap};
use crate::health::view::{ADMIT_ALL, Combine, Recovery};

/// What happens at a time, in milliseconds: a report (`+` good, `~` degraded, `-` refused, `?` timed out, `!` the prober's fault) on a
/// target by its number, or `.`: nothing but time.
type Event = (u64, usize, char);

/// Runs the events and gives what changed, in short: `at target verdict`, `at target [flag]` or `at pool state`.
fn story(book: &mut HealthBook, targets: &[TargetKey], events: &[Event]) -> Vec<String> {
    let mut told = Vec::new();
    for (at_ms, target, letter) in events {
        let mut changes = book.tick(*at_ms);
        if *letter != '.' {
            let (outcome, evidence) = match letter {
                '~' => (Outcome::Degraded, Evidence::Content(200, "/cpu is 85".into())),
                '?' => (Outcome::Failure, Evidence::Timeout),
                letter => (report(*letter).outcome, report(*letter).evidence),
            };
            let report = Report { outcome, evidence, took_ms: if *letter == '?' { 2000 } else { 10 }, active: None };
            changes.extend(book.report(NodeId::LOCAL, &targets[*target], report, *at_ms));
        }
        let number = |target: &TargetKey| targets.iter().position(|known| known == target).unwrap();
        for change in changes {
            told.push(match change {
                Change::Target { target, to, .. } => format!("{at_ms} {} {to}", number(&target)),
                Change::Flag { target, flag: Some(flag), .. } => format!("{at_ms} {} [{flag:?}]", number(&target)),
                Change::Flag { target, .. } => format!("{at_ms} {} []", number(&target)),
                Change::Held { pool, held } => format!("{at_ms} pool {} held: {held}", pool.0),
                Change::Pool { pool, waits: true, .. } => format!("{at_ms} pool {} waits", pool.0),
                Change::Pool { pool, to, .. } => format!("{at_ms} pool {} {to}", pool.0),
            });
        }
    }
    told
}

/// One target of its own for each of `count` regions, all up since 0.
fn regions(count: u8, change: impl Fn(&mut Monitor), recovery: Recovery) -> (HealthBook, Vec<TargetKey>) {
    let target = |n: u8| {
        let mut monitor = Monitor { fall: 1, rise: 1, ..Monitor::new(80, Request::Tcp) };
        change(&mut monitor);
        monitor.target(IpAddr::from([192, 0, 2, n]))
    };
    let targets: Vec<TargetKey> = (0..count).map(target).collect();
    let pools: Vec<&[TargetKey]> = targets.iter().map(std::slice::from_ref).collect();
    let mut layout = layout(&pools);
    layout.pools.iter_mut().for_each(|pool| pool.recovery = recovery);
    let mut book = HealthBook::new(Arc::new(layout), 0);
    targets.iter().for_each(|target| drop(feed(&mut book, target, "+")));
    (book, targets)
}

#[test]
fn a_state_is_held_for_its_least_time_and_time_alone_ends_it() {
    let damping = Damping { min_up_ms: 10_000, min_down_ms: 30_000, flap: None };
    let (mut book, targets) = regions(1, |monitor| monitor.damping = damping, Recovery::default());
    let told = story(
        &mut book,
        &targets,
        &[(4_000, 0, '-'), (9_999, 0, '.'), (10_000, 0, '.'), (11_000, 0, '+'), (39_999, 0, '.'), (40_000, 0, '.')],
    );
    let expected = [
        "4000 0 [HeldDown]",
        "10000 0 down",
        "10000 0 []",
        "10000 pool 0 down",
        "11000 0 [HeldDown]",
        "40000 0 up",
        "40000 0 []",
        "40000 pool 0 available",
    ];
    assert_eq!(told, expected);
    assert_eq!(book.next_event_ms(), None);
}

#[test]
fn a_state_that_reverts_within_its_least_time_never_changed() {
    let damping = Damping { min_up_ms: 10_000, ..Damping::default() };
    let (mut book, targets) = regions(1, |monitor| monitor.damping = damping, Recovery::default());
    let told = story(&mut book, &targets, &[(4_000, 0, '-'), (5_000, 0, '+'), (10_000, 0, '.'), (60_000, 0, '.')]);
    assert_eq!(told, ["4000 0 [HeldDown]", "5000 0 []"]);
}

#[test]
fn a_target_that_flaps_is_suppressed_and_comes_back_when_it_was_quiet() {
    let flap = Flap { half_life_ms: 60_000, suppress_milli: 2_000, reuse_milli: 1_000 };
    let damping = Damping { flap: Some(flap), ..Damping::default() };
    let (mut book, targets) = regions(1, |monitor| monitor.damping = damping, Recovery::default());
    let events = [(1_000, 0, '-'), (2_000, 0, '+'), (3_000, 0, '-'), (4_000, 0, '+'), (5_000, 0, '-'), (6_000, 0, '+'), (7_000, 0, '+')];
    let told = story(&mut book, &targets, &events);
    assert_eq!(told[told.len() - 2..], ["6000 0 suppressed", "6000 0 [Suppressed]"], "{told:?}");
    assert_eq!(book.view().pool(POOL).state, PoolState::Down);
    let due_ms = book.next_event_ms().unwrap();
    assert!((60_000..180_000).contains(&due_ms), "{due_ms}");
    assert_eq!(story(&mut book, &targets, &[(due_ms - 1, 0, '.')]), [""; 0]);
    let told = story(&mut book, &targets, &[(due_ms, 0, '.')]);
    assert_eq!(told, [format!("{due_ms} 0 up"), format!("{due_ms} 0 []"), format!("{due_ms} pool 0 available")]);
}

#[test]
fn a_recovered_region_takes_its_clients_back_in_steps() {
    let (mut book, targets) = regions(1, |_| {}, Recovery { manual: false, ramp_ms: 320_000 });
    story(&mut book, &targets, &[(1_000, 0, '-'), (2_000, 0, '+')]);
    let mut seen = vec![(2_000, book.view().pool(POOL).admit)];
    assert_eq!(book.view().pool(POOL).may_change_at_ms, 12_000, "T1: when the next step is due");
    while let Some(due_ms) = book.next_event_ms() {
        let revision = book.revision();
        assert_eq!(book.tick(due_ms), [], "a step is no news");
        assert!(book.revision() > revision, "but it is published");
        seen.push((due_ms, book.view().pool(POOL).admit));
    }
    assert_eq!((seen[0], seen[1], seen[16]), ((2_000, 102), (12_000, 130), (162_000, 563)));
    assert_eq!((seen.len(), seen[32]), (33, (322_000, ADMIT_ALL)));
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert_eq!(book.view().pool(POOL).may_change_at_ms, SETTLED);
}

#[test]
fn a_ramp_ends_with_the_next_failure_and_goes_on_through_a_reload() {
    let (mut book, targets) = regions(1, |_| {}, Recovery { manual: false, ramp_ms: 320_000 });
    story(&mut book, &targets, &[(1_000, 0, '-'), (2_000, 0, '+'), (12_000, 0, '.')]);
    let layout = Arc::clone(book.layout());
    book.reconcile(layout, 13_000);
    assert_eq!(book.view().pool(POOL).admit, 130);
    story(&mut book, &targets, &[(14_000, 0, '-'), (15_000, 0, '+')]);
    assert_eq!(book.view().pool(POOL).admit, 102);
}

#[test]
fn with_manual_failback_a_region_waits_for_an_operator() {
    let (mut book, targets) = regions(2, |_| {}, Recovery { manual: true, ramp_ms: 0 });
    let told = story(&mut book, &targets, &[(1_000, 0, '-'), (2_000, 0, '+'), (900_000, 0, '+')]);
    assert_eq!(told, ["1000 0 down", "1000 pool 0 down", "2000 0 up", "2000 pool 0 waits"]);
    let health = book.view().pool(POOL);
    assert_eq!((health.state, health.any_up), (PoolState::Down, true), "fail open may still use it");
    assert!(book.pool(POOL).unwrap().waits);
    assert_eq!(book.fail_back(|id| id == PoolId(1), 900_001), []);
    let changes = book.fail_back(|id| id == POOL, 900_002);
    assert!(matches!(changes[..], [Change::Pool { to: PoolState::Available, waits: false, .. }]), "{changes:?}");
}

#[test]
fn h5_when_every_target_falls_silent_at_once_the_states_are_held_and_flagged() {
    let (mut book, targets) = regions(3, |monitor| monitor.fall = 2, Recovery::default());
    // The uplink goes at 10 s; the probes of each target time out twice.
    let told = story(
        &mut book,
        &targets,
        &[(12_000, 0, '?'), (12_500, 1, '?'), (13_000, 2, '?'), (14_000, 0, '?'), (14_500, 1, '?'), (15_000, 2, '?')],
    );
    assert_eq!(told, ["14000 0 [Held]", "14500 1 [Held]", "15000 2 [Held]"]);
    assert!((0..3).all(|id| book.view().endpoint_up(EndpointId(id))));
    assert_eq!(book.view().pool(POOL).may_change_at_ms, 74_000, "T1: when the hold ends");
    // It is back at 40 s: what answers is up as before, without `rise`; what was counted in the silence is void, for all of them.
    let told = story(&mut book, &targets, &[(40_000, 0, '+'), (40_010, 1, '?'), (40_500, 1, '+'), (41_000, 2, '-'), (42_000, 2, '-')]);
    assert_eq!(told, ["40000 0 []", "40000 1 []", "40000 2 []", "42000 2 down", "42000 pool 2 down"]);
}

#[test]
fn h5_our_own_outages_are_no_flapping_of_the_targets() {
    let flap = Flap { half_life_ms: 600_000, suppress_milli: 2_000, reuse_milli: 1_000 };
    let (mut book, targets) = regions(2, |monitor| monitor.damping.flap = Some(flap), Recovery::default());
    for start_ms in [10_000, 30_000, 50_000, 70_000] {
        let cut = [(start_ms, 0, '?'), (start_ms + 500, 1, '?'), (start_ms + 1_000, 0, '?'), (start_ms + 5_000, 0, '+')];
        let told = story(&mut book, &targets, &cut);
        assert!(!told.iter().any(|line| line.contains("Suppressed") || line.contains("down")), "{told:?}");
    }
    assert!((0..2).all(|id| book.view().endpoint_up(EndpointId(id))));
}

#[test]
fn h5_a_hold_ends_after_a_minute_whatever_is_heard() {
    let (mut book, targets) = regions(2, |_| {}, Recovery::default());
    let told = story(&mut book, &targets, &[(12_000, 0, '?'), (12_500, 1, '?'), (13_000, 0, '?'), (72_000, 0, '.'), (80_000, 0, '.')]);
    assert_eq!(told[..3], ["12000 0 [Doubted]", "12500 1 [Held]", "13000 0 [Held]"]);
    assert!(told[3..].contains(&"80000 0 down".to_owned()) && told[3..].contains(&"80000 1 down".to_owned()), "{told:?}");
    assert_eq!(HOLD_END_MS, 72_500);
    assert_eq!(book.view().pool(POOL).state, PoolState::Down);
}

/// Of the test above: the first hold began at 12.5 s.
const HOLD_END_MS: u64 = 12_500 + network::DEFAULT_HOLD_MAX_MS;

#[test]
fn h5_anything_that_is_heard_proves_our_network() {
    for letter in ['+', '~', '-'] {
        let (mut book, targets) = regions(3, |_| {}, Recovery::default());
        let told = story(&mut book, &targets, &[(12_000, 0, '?'), (12_100, 1, letter)]);
        assert!(told.contains(&"12100 0 down".to_owned()), "{letter}: {told:?}");
    }
}

#[test]
fn h5_a_lone_region_that_falls_silent_falls_within_the_bound() {
    let (mut book, targets) = regions(3, |_| {}, Recovery::default());
    // Nobody else is asked for a while.
    let told = story(&mut book, &targets, &[(12_000, 0, '?'), (12_899, 0, '.'), (12_900, 0, '.')]);
    assert_eq!(told, ["12000 0 [Doubted]", "12900 0 down", "12900 0 []", "12900 pool 0 down"]);
    let (mut book, targets) = regions(1, |_| {}, Recovery::default());
    assert_eq!(story(&mut book, &targets, &[(12_000, 0, '?')])[0], "12000 0 down", "the only one: nothing to compare with");
}

#[test]
fn h5_a_family_that_cannot_be_measured_follows_the_other_until_it_can() {
    let v4 = Monitor { fall: 1, rise: 1, ..Monitor::new(80, Request::Tcp) }.target(IpAddr::from([192, 0, 2, 1]));
    let v6 = Monitor { fall: 1, rise: 1, ..Monitor::new(80, Request::Tcp) }.target("2001:db8::1".parse().unwrap());
    let targets = [v4, v6];
    let mut two = layout(&[&targets[..1], &targets[1..]]);
    two.pools[0].other_family = Some(PoolId(1));
    two.pools[1].other_family = Some(PoolId(0));
    let mut book = HealthBook::new(Arc::new(two), 0);
    let told = story(
        &mut book,
        &targets,
        &[
            (0, 0, '+'),
            (0, 1, '+'),
            (1_000, 1, '!'),
            (31_000, 1, '!'),
            (40_000, 0, '-'),
            (61_000, 1, '!'),
            (70_000, 0, '+'),
            (80_000, 1, '+'),
        ],
    );
    assert_eq!(told[..2], ["0 0 up", "0 1 up"]);
    let expected = [
        "40000 0 down",
        "40000 pool 0 down",
        "61000 1 [Unmeasurable]",
        "61000 pool 1 down",
        "70000 0 up",
        "70000 pool 0 available",
        "70000 pool 1 available",
        "80000 1 []",
    ];
    assert_eq!(told[2..], expected);
}

#[test]
fn several_monitors_and_required_checks_decide_together() {
    let all: Vec<TargetKey> = (1..=4).map(|n| target(n, 1, 1)).collect();
    let observed = Monitor { observe_only: true, fall: 1, rise: 1, ..Monitor::new(81, Request::Tcp) }.target([192, 0, 2, 9].into());
    let mut one = layout(&[&all[..1]]);
    one.endpoints[0].checks = Checks {
        targets: [&all[0], &all[1], &all[2], &observed].into_iter().cloned().collect(),
        combine: Combine::AtLeast(2),
        requires: Box::new([all[3].clone(), observed.clone()]),
    };
    let mut book = HealthBook::new(Arc::new(one), 0);
    assert_eq!(book.targets().count(), 5);
    for (letters, up, why) in [
        ("++++-", true, "what only observes has no say"),
        ("-+++-", true, "two of three are enough"),
        ("--++-", false, "one is not"),
        ("-++--", false, "a required check is down"),
        ("-++++", true, "all is well again"),
    ] {
        for (target, letter) in all.iter().chain([&observed]).zip(letters.chars()) {
            book.report(NodeId::LOCAL, target, report(letter), 0);
        }
        assert_eq!(book.view().endpoint_up(EndpointId(0)), up, "{why}");
    }
    assert_eq!(book.target(&observed).unwrap().verdict, Verdict::Up, "but it is shown");
}

#[test]
fn degraded_is_served_to_fewer() {
    let (mut book, targets) = regions(1, |monitor| monitor.fall = 2, Recovery::default());
    let told = story(&mut book, &targets, &[(1_000, 0, '~'), (2_000, 0, '~')]);
    assert_eq!(told, ["2000 0 degraded"], "a region that is degraded is available");
    assert_eq!(book.view().pool(POOL).admit, ADMIT_ALL / 2);
    story(&mut book, &targets, &[(3_000, 0, '+')]);
    assert_eq!(book.view().pool(POOL).admit, ADMIT_ALL);
}

#[test]
fn what_was_saved_counts_until_something_is_measured() {
    let (up, down) = (target(1, 2, 3), target(2, 2, 3));
    let mut book = book(&[std::slice::from_ref(&up), std::slice::from_ref(&down)]);
    book.restore(&down, Verdict::Down, 0);
    book.restore(&up, Verdict::Up, 0);
    assert!(!book.view().endpoint_up(EndpointId(1)));
    feed(&mut book, &up, "-");
    feed(&mut book, &down, "++");
    assert!(book.view().endpoint_up(EndpointId(0)) && !book.view().endpoint_up(EndpointId(1)), "fall and rise hold, it is not unknown");
    book.restore(&up, Verdict::Down, 0);
    assert!(book.view().endpoint_up(EndpointId(0)), "what is measured is not overwritten");
}

proptest! {
    /// Whatever comes and whenever: nothing wakes the book for ever, and a held state ends.
    #[test]
    fn time_alone_settles_every_book(events in proptest::collection::vec((0_u64..200_000, 0_usize..3, "[-+~?!]"), 0..60)) {
        let flap = Flap { half_life_ms: 10_000, suppress_milli: 2_000, reuse_milli: 1_000 };
        let damping = Damping { min_up_ms: 3_000, min_down_ms: 5_000, flap: Some(flap) };
        let (mut book, targets) = regions(3, |monitor| monitor.damping = damping, Recovery { manual: false, ramp_ms: 20_000 });
        let mut events: Vec<Event> = events.into_iter().map(|(at, target, letter)| (at, target, letter.chars().next().unwrap())).collect();
        events.sort_unstable();
        story(&mut book, &targets, &events);
        let (mut wakes, mut last_ms) = (0, 200_000);
        while let Some(due_ms) = book.next_event_ms() {
            prop_assert!(due_ms <= 200_000 + 300_000, "never waits long: {due_ms}");
            last_ms = last_ms.max(due_ms);
            book.tick(last_ms);
            wakes += 1;
            prop_assert!(wakes < 1000);
        }
        let held = targets.iter().filter(|target| !matches!(book.target(target).unwrap().flag, None | Some(Flag::Unmeasurable))).count();
        prop_assert_eq!(held, 0);
        for (id, target) in (0..).zip(&targets) {
            prop_assert_eq!(book.view().endpoint_up(EndpointId(id)), book.target(target).unwrap().verdict.serves());
        }
    }
}

//! Overflow on a fake clock: what is shed at what load, and that it comes to rest.
//! Clients are numbers here; who of them leaves first is tested with plans.

use super::*;
use crate::health::PoolLayout;
use crate::health::capacity::Capacity;

const PERIOD_MS: u64 = 30_000;

/// Regions of one service, each with a pool of its own: soft and hard limit, and whether it stands by.
fn layout(regions: &[(u64, u64, bool)], source: LoadSource, ramp_ms: u64) -> Arc<Layout> {
    let key = |at: usize| CapacityKey { region: format!("r{at}").into(), service: None };
    let capacity = |(at, (soft, hard, _)): (usize, &(u64, u64, bool))| CapacityLayout {
        key: key(at),
        capacity: Capacity { soft_milli: soft * 1000, hard_milli: hard * 1000, source },
        services: vec!["web".into()],
        period_ms: PERIOD_MS,
        ramp_ms,
    };
    let member = |(at, (.., standby)): (u32, &(u64, u64, bool))| member(at, at, if *standby { Standby::EveryName } else { Standby::Never });
    Arc::new(Layout {
        pools: regions.iter().map(|_| PoolLayout::default()).collect(),
        capacities: regions.iter().enumerate().map(capacity).collect(),
        sharing: vec![Sharing { service: "web".into(), members: (0..).zip(regions).map(member).collect() }],
        ..Layout::default()
    })
}

/// A region of a service.
fn member(pool: u32, capacity: u32, standby: Standby) -> Member {
    Member { region: format!("r{capacity}").into(), pools: vec![PoolId(pool)], capacity: Some(capacity), standby }
}

/// Regions whose loads are told, one after the other on a ring: who is shed by one goes to the next, and so on.
struct Ring {
    overflow: Overflow,
    /// By region: the demand of the clients whose best it is.
    demands: Vec<f64>,
    standby: Vec<bool>,
    down: Vec<usize>,
    now_ms: u64,
}

/// Clients of each region; each has a turn of its own at each region.
const CLIENTS: usize = 1024;

impl Ring {
    fn new(regions: &[(u64, u64, bool)], demands: &[f64]) -> Ring {
        let mut overflow = Overflow::default();
        overflow.reconcile(layout(regions, LoadSource::Pushed, 0), 0);
        let standby = regions.iter().map(|(.., standby)| *standby).collect();
        Ring { overflow, demands: demands.to_vec(), standby, down: Vec::new(), now_ms: 0 }
    }

    /// Where each client of each region is now, as load by region.
    fn loads(&self) -> Vec<f64> {
        let view = self.overflow.view();
        let count = self.demands.len();
        let mut loads = vec![0.0; count];
        for (home, demand) in self.demands.iter().enumerate() {
            // Regular regions from home on around, then those that stand by.
            let around = || (0..count).map(|step| (home + step) % count).filter(|at| !self.down.contains(at));
            let order: Vec<usize> = around().filter(|at| !self.standby[*at]).chain(around().filter(|at| self.standby[*at])).collect();
            for client in 0..CLIENTS {
                let turn = |at: usize| if at == home { client } else { other_turn(client, home, at) };
                let takes = |at: &&usize| turn(**at) >= usize::from(view[**at].shed) && view[**at].takes_overflow;
                let at = order.iter().find(takes).unwrap_or(&order[0]);
                loads[*at] += demand / CLIENTS as f64;
            }
        }
        loads
    }

    /// One period: loads are told when caches have followed, and judged.
    fn step(&mut self) -> Vec<f64> {
        self.now_ms += PERIOD_MS;
        let loads = self.loads();
        for (at, load) in loads.iter().enumerate() {
            let key = CapacityKey { region: format!("r{at}").into(), service: None };
            self.overflow.push(&key, *load, PERIOD_MS, self.now_ms).unwrap();
        }
        let down = self.down.clone();
        self.overflow.step(self.now_ms, |_, _| 0, |id| !down.contains(&(id.0 as usize)));
        loads
    }

    fn shed(&self) -> Vec<u16> {
        self.overflow.accounts.iter().map(|account| account.shed).collect()
    }
}

/// A turn at a region that is not a client's best, from 0 to 1023.
fn other_turn(client: usize, home: usize, at: usize) -> usize {
    let mut hash = (client * 31 + home * 7 + at) as u64;
    hash = (hash ^ (hash >> 3)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 54) as usize
}

#[test]
fn what_is_over_the_soft_limit_is_shed_and_no_more() {
    assert_eq!(target(100.0, 0, 100.0), 0);
    // Demand 200, limit 100: half; and it stays half when the load has come down to the limit.
    assert_eq!((target(200.0, 0, 100.0), target(100.0, 512, 100.0)), (512, 512));
    assert_eq!(target(1e12, 0, 1.0), MAX_SHED, "a few stay, so that the demand is known");
    assert_eq!(target(0.0, MAX_SHED, 1.0), 0);
}

#[test]
fn a_share_moves_at_most_five_points_a_period_and_little_moves_are_none() {
    assert_eq!((stepped(0, 512, false), stepped(51, 512, false), stepped(512, 0, false)), (51, 102, 461));
    assert_eq!((stepped(100, 115, true), stepped(100, 85, true), stepped(0, 15, true)), (100, 100, 0));
    assert_eq!((stepped(900, 910, false), stepped(900, 890, false)), (910, 890), "the load is far off all the same");
    assert_eq!(stepped(15, 0, true), 0, "to nothing it always goes");
}

#[test]
fn from_a_tenth_to_twice_of_what_all_bear_it_comes_to_rest_and_stays() {
    let regions = [(100, 125, false), (200, 250, false), (100, 125, false)];
    for tenths in 1..=20 {
        // Nearly all demand is at the first.
        let demand = 40.0 * f64::from(tenths);
        let mut ring = Ring::new(&regions, &[demand * 0.7, demand * 0.2, demand * 0.1]);
        let (mut shed, mut turns_back, mut directions) = (ring.shed(), [0; 3], [0i32; 3]);
        for _ in 0..60 {
            ring.step();
            let now = ring.shed();
            for at in 0..3 {
                let direction = (i32::from(now[at]) - i32::from(shed[at])).signum();
                turns_back[at] += u32::from(direction * directions[at] < 0);
                directions[at] = if direction == 0 { directions[at] } else { direction };
            }
            shed = now;
        }
        assert!(turns_back.iter().all(|turns| *turns <= 2), "{tenths}: {turns_back:?}, {shed:?}");
        let before = ring.shed();
        let loads = ring.step();
        assert_eq!(ring.shed(), before, "{tenths}: still moving at {loads:?}");
        let total: f64 = loads.iter().sum();
        for ((soft, hard, _), load) in regions.iter().zip(&loads) {
            let (soft, hard) = (*soft as f64, *hard as f64);
            // Under what all bear softly nobody is over that; from there on in proportion. Two points are the dead band.
            let limit = if total <= 400.0 { soft } else { hard * (total / 500.0).max(1.0) };
            assert!(*load <= limit * 1.05, "{tenths}: {loads:?} of {total}");
        }
    }
}

#[test]
fn a_region_that_comes_back_or_goes_is_settled_again() {
    let mut ring = Ring::new(&[(100, 125, false), (100, 125, false)], &[120.0, 40.0]);
    (0..30).for_each(|_| _ = ring.step());
    let rested = ring.shed();
    assert!(rested[0] > 100 && rested[1] == 0, "{rested:?}");
    // Nobody else is there: it bears all.
    ring.down = vec![1];
    (0..30).for_each(|_| _ = ring.step());
    assert_eq!(ring.shed(), [0, 0]);
    ring.down.clear();
    (0..30).for_each(|_| _ = ring.step());
    assert_eq!(ring.shed(), rested);
}

#[test]
fn p1_standby_regions_take_overflow_only_when_all_others_are_at_their_hard_limits() {
    let regions = [(100, 125, false), (100, 125, false), (100, 125, true)];
    let mut ring = Ring::new(&regions, &[180.0, 60.0, 0.0]);
    (0..40).for_each(|_| _ = ring.step());
    let loads = ring.loads();
    assert!(loads[2] == 0.0 && loads[0] < 125.0 && loads[1] < 126.0, "{loads:?}");
    ring.demands = vec![250.0, 50.0, 0.0];
    (0..40).for_each(|_| _ = ring.step());
    let loads = ring.loads();
    assert!(loads[2] > 30.0 && loads[0] < 131.0 && loads[1] < 131.0, "{loads:?}");
    let rested = (ring.shed(), ring.overflow.spills.clone());
    (0..10).for_each(|_| _ = ring.step());
    assert_eq!((ring.shed(), ring.overflow.spills.clone()), rested);
    ring.demands = vec![100.0, 50.0, 0.0];
    (0..40).for_each(|_| _ = ring.step());
    assert_eq!((ring.loads()[2], ring.overflow.view()[2].takes_overflow), (0.0, false));
}

#[test]
fn p1_standby_regions_take_each_others_overflow_when_no_other_is_up() {
    let mut ring = Ring::new(&[(100, 125, false), (100, 125, true), (100, 125, true)], &[0.0, 160.0, 20.0]);
    ring.down = vec![0];
    (0..40).for_each(|_| _ = ring.step());
    let loads = ring.loads();
    assert!(loads[1] < 105.0 && loads[2] > 70.0, "{loads:?}");
    ring.down.clear();
    ring.demands = vec![0.0, 60.0, 20.0];
    ring.step();
    assert!(!ring.overflow.view()[1].takes_overflow);
}

#[test]
fn a_service_that_only_one_region_has_keeps_none_of_its_others_from_being_shed() {
    // `mail` is in r0 only, and shares its capacity with `web`, which is in both.
    let mut shared = Layout::clone(&layout(&[(100, 125, false), (100, 125, false)], LoadSource::Pushed, 0));
    shared.pools.push(PoolLayout::default());
    shared.sharing.push(Sharing { service: "mail".into(), members: vec![member(2, 0, Standby::Never)] });
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::new(shared), 0);
    let key = CapacityKey { region: "r0".into(), service: None };
    let mut step = |now_ms: u64, is_up: fn(PoolId) -> bool| {
        overflow.push(&key, 200.0, PERIOD_MS, now_ms).unwrap();
        overflow.step(now_ms, |_, _| 0, is_up);
        overflow.accounts[0].shed
    };
    assert_eq!(step(PERIOD_MS, |_| true), STEP);
    // With the other region's `web` down there is nobody for either.
    assert_eq!(step(2 * PERIOD_MS, |id| id != PoolId(1)), 0);
    // Nor does anybody else count where the service that has somebody else is down here itself.
    assert_eq!(step(3 * PERIOD_MS, |id| id != PoolId(0)), 0);
}

#[test]
fn a_region_of_which_many_clients_cannot_leave_comes_back_from_the_most_it_sheds() {
    let mut overflow = Overflow::default();
    overflow.reconcile(layout(&[(100, 125, false), (100, 125, false)], LoadSource::Pushed, 0), 0);
    let key = CapacityKey { region: "r0".into(), service: None };
    let mut now_ms = 0;
    // Clients inside a hard fence stay whatever is shed; of the others those leave who are.
    let mut rest_at = |fenced: f64, free: f64| {
        let mut loads = Vec::new();
        for _ in 0..60 {
            now_ms += PERIOD_MS;
            let load = fenced + free * (1.0 - f64::from(overflow.accounts[0].shed) / f64::from(ADMIT_ALL));
            overflow.push(&key, load, PERIOD_MS, now_ms).unwrap();
            overflow.step(now_ms, |_, _| 0, |_| true);
            loads.push((load, overflow.accounts[0].shed));
        }
        assert!(loads[50..].iter().all(|rested| *rested == loads[59]), "{loads:?}");
        loads[59]
    };
    assert_eq!(rest_at(120.0, 80.0).1, MAX_SHED);
    let (load, shed) = rest_at(75.0, 40.0);
    assert!(load > 90.0 && shed < 700, "{load} {shed}");
    assert_eq!(rest_at(60.0, 20.0), (80.0, 0));
}

#[test]
fn answers_are_counted_over_the_period_and_weighed() {
    let mut overflow = Overflow::default();
    overflow.reconcile(layout(&[(100, 125, false), (100, 125, false)], LoadSource::Answers { each_milli: 2000 }, 0), 0);
    let answers = |total: u64| move |service: &str, region: &str| if (service, region) == ("web", "r0") { total } else { 0 };
    // The first count is where counting begins, at once.
    assert_eq!(overflow.next_step_ms(), Some(0));
    assert_eq!(overflow.step(0, answers(7000), |_| true), []);
    assert_eq!(overflow.next_step_ms(), Some(PERIOD_MS));
    // 3000 answers in 30 s, each of which counts twice: 200, the double of the limit.
    let changes = overflow.step(PERIOD_MS, answers(10_000), |_| true);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].load, changes[0].from, changes[0].to), (Some(200.0), 0, STEP));
    assert_eq!(overflow.view()[0], PoolOverflow { shed: STEP, takes_overflow: true });
    assert_eq!(overflow.push(&changes[0].key, 1.0, 1, 0), Err(Refused::Counted));
}

#[test]
fn a_load_that_has_gone_stale_fades_over_the_ramp() {
    for (ramp_ms, expected) in [(4 * PERIOD_MS, [153, 102, 51, 0]), (0, [153, 102, 51, 0]), (1000, [0, 0, 0, 0])] {
        let mut overflow = Overflow::default();
        overflow.reconcile(layout(&[(100, 125, false), (100, 125, false)], LoadSource::Pushed, ramp_ms), 0);
        let key = CapacityKey { region: "r0".into(), service: None };
        let mut now_ms = 0;
        for _ in 0..4 {
            now_ms += PERIOD_MS;
            overflow.push(&key, 200.0, 2 * PERIOD_MS, now_ms).unwrap();
            overflow.step(now_ms, |_, _| 0, |_| true);
        }
        assert_eq!(overflow.accounts[0].shed, 4 * STEP);
        overflow.push(&key, 200.0, 1, now_ms).unwrap();
        let seen = [1, 2, 3, 4].map(|period| {
            overflow.step(now_ms + period * PERIOD_MS, |_, _| 0, |_| true);
            overflow.accounts[0].shed
        });
        assert_eq!(seen, expected, "{ramp_ms}");
    }
}

#[test]
fn a_reload_keeps_what_is_shed_and_what_is_told_is_checked() {
    let mut overflow = Overflow::default();
    let two = [(100, 125, false), (100, 125, false)];
    overflow.reconcile(layout(&two, LoadSource::Pushed, 0), 0);
    let key = |name: &str| CapacityKey { region: name.into(), service: None };
    overflow.push(&key("r1"), 500.0, PERIOD_MS, PERIOD_MS).unwrap();
    overflow.step(PERIOD_MS, |_, _| 0, |_| true);
    assert_eq!(overflow.reconcile(layout(&[two[0], two[1], two[0]], LoadSource::Pushed, 0), PERIOD_MS + 1), []);
    assert_eq!(overflow.view().iter().map(|pool| pool.shed).collect::<Vec<_>>(), [0, STEP, 0]);
    assert_eq!(overflow.push(&key("r9"), 1.0, 1, 0), Err(Refused::Unknown));
    assert!([-1.0, f64::NAN, f64::INFINITY].into_iter().all(|load| overflow.push(&key("r1"), load, 1, 0) == Err(Refused::NoLoad)));
    let gone = overflow.reconcile(layout(&two[..1], LoadSource::Pushed, 0), PERIOD_MS + 2);
    assert_eq!(gone.iter().map(|change| (&change.key, change.from, change.to)).collect::<Vec<_>>(), [(&key("r1"), STEP, 0)]);
}

#[test]
fn p1_a_region_that_stands_by_for_some_names_takes_their_overflow_only_when_the_others_are_full() {
    // Each of them stands by for the other, under another name.
    let mut both = Layout::clone(&layout(&[(100, 125, false), (100, 125, false)], LoadSource::Pushed, 0));
    both.sharing[0].members.iter_mut().for_each(|member| member.standby = member.standby.and(true));
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::new(both), 0);
    let mut taken_at = |loads: [f64; 2], period: u64| {
        for (at, load) in loads.iter().enumerate() {
            overflow.push(&CapacityKey { region: format!("r{at}").into(), service: None }, *load, PERIOD_MS, period * PERIOD_MS).unwrap();
        }
        overflow.step(period * PERIOD_MS, |_, _| 0, |_| true);
        let view = overflow.view();
        [view[0].takes_overflow, view[1].takes_overflow]
    };
    assert_eq!(taken_at([110.0, 20.0], 1), [false, false]);
    assert_eq!(taken_at([140.0, 20.0], 2), [false, true]);
    assert_eq!(taken_at([120.0, 20.0], 3), [false, true], "until it bears noticeably less");
    assert_eq!(taken_at([110.0, 130.0], 4), [true, false]);
}

#[test]
fn a_reload_keeps_who_takes_overflow_by_the_names_of_service_and_region() {
    let regions = [(100, 125, false), (100, 125, true)];
    let before = layout(&regions, LoadSource::Pushed, 0);
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::clone(&before), 0);
    overflow.push(&CapacityKey { region: "r0".into(), service: None }, 200.0, PERIOD_MS, PERIOD_MS).unwrap();
    overflow.step(PERIOD_MS, |_, _| 0, |_| true);
    // Another service comes first now, with pools of its own.
    let mut after = Layout::clone(&before);
    after.pools.extend([PoolLayout::default(), PoolLayout::default()]);
    after
        .sharing
        .insert(0, Sharing { service: "mail".into(), members: vec![member(2, 0, Standby::Never), member(3, 1, Standby::EveryName)] });
    overflow.reconcile(Arc::new(after), PERIOD_MS + 1);
    assert_eq!(overflow.view().iter().map(|pool| pool.takes_overflow).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn a_reload_that_changes_which_services_count_together_begins_counting_anew() {
    let before = layout(&[(100, 125, false), (100, 125, false)], LoadSource::Answers { each_milli: 1000 }, 0);
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::clone(&before), 0);
    // `mail` has been answered for long; from now on it counts.
    let answers = |web: u64| {
        move |service: &str, region: &str| match (service, region) {
            (_, "r1") => 0,
            ("mail", _) => 1_000_000,
            _ => web,
        }
    };
    overflow.step(0, answers(0), |_| true);
    overflow.step(PERIOD_MS, answers(6000), |_| true);
    assert_eq!(overflow.accounts[0].shed, STEP);
    let mut after = Layout::clone(&before);
    after.capacities[0].services.push("mail".into());
    let begun_ms = PERIOD_MS + 10;
    overflow.reconcile(Arc::new(after), begun_ms);
    assert_eq!(overflow.step(begun_ms, answers(6000), |_| true), [], "what is shed stays until the load is known");
    overflow.step(begun_ms + PERIOD_MS, answers(12_000), |_| true);
    assert_eq!(overflow.accounts[0].load(begun_ms + PERIOD_MS), Some(200.0));
    assert_eq!(overflow.accounts[0].shed, 2 * STEP);
}

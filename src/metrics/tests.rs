//! What the counters, the grid and their sums must hold, without sockets.
//! Nothing here asks the time.

use super::*;
use crate::answer::Outcome;
use crate::geo::{Point, RegionId};
use crate::health::PoolId;
use crate::name::Name;
use crate::progress::Progress;
use crate::snapshot::Region;
use crate::steer::balance::BalanceSpec;
use crate::steer::order::OrderSpec;
use crate::steer::plan::{Plan, PlanKey};
use crate::steer::{Candidate, Endpoint, FamilySteering, OnAllDown, ShareSpec, Steering};
use crate::wire::{Rcode, rtype};
use crate::zone::SteeringId;

fn catalog(services: &[&str], regions: &[&str]) -> Arc<Catalog> {
    let point = Point::new(0.0, 0.0).unwrap();
    let steerings = (0..services.len()).map(|service| steering(service as u16, regions.len()));
    Arc::new(Catalog {
        steerings: steerings.collect(),
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        regions: regions.iter().map(|name| Region { name: (*name).to_owned(), location: point }).collect(),
        ..Catalog::default()
    })
}

/// One name for a service that all regions offer.
fn steering(service: u16, regions: usize) -> Steering {
    let order = OrderSpec::Priority;
    let key = PlanKey {
        geo: 0,
        candidates: vec![],
        order,
        rules: vec![],
        tiers: vec![],
        latencies: None,
        spread_m: 0,
        hashes_clients: false,
        sheds: false,
    };
    let plan = Arc::new(Plan::compile(&key, &Catalog::default().table, &Progress::default()).unwrap());
    let endpoints: Arc<[Endpoint]> = Arc::new([]);
    let candidate = |region| Candidate {
        region: RegionId(region),
        pool: PoolId(0),
        identity: 0,
        share: 1000,
        standby: false,
        slot: 0,
        records: 0,
        endpoints: Arc::clone(&endpoints),
    };
    let candidates = (0..regions as u16).map(candidate).collect();
    Steering {
        owner: Name::parse(&format!("s{service}.example."), None).unwrap(),
        service,
        ttl_s: 60,
        ttl_min_s: 5,
        fail_open_ttl_s: 10,
        answers: 1,
        on_all_down: OnAllDown::Open,
        share: ShareSpec::Hash,
        trickle: 0,
        balance: BalanceSpec::RoundRobin.policy(),
        hints: true,
        ecs: true,
        families: [Some(FamilySteering { plan, candidates, hashes_clients: false, fallback: None }), None],
        others: Box::default(),
    }
}

fn refused() -> Outcome {
    Outcome { qtype: rtype::A, ..Outcome::new(40, Class::Refused, Rcode::REFUSED) }
}

fn steered(steering: u32, region: u16) -> Outcome {
    Outcome {
        class: Class::Positive,
        rcode: Rcode::NOERROR,
        steering: Some(SteeringId(steering)),
        region: Some(RegionId(region)),
        reason: Reason::Order,
        ..refused()
    }
}

#[test]
fn every_metric_has_one_line_in_the_table_and_a_name_of_its_own() {
    for (at, row) in TABLE.iter().enumerate() {
        assert_eq!(row.metric as usize, at, "{} is out of order", row.name);
        assert!(row.name.starts_with("meridian_") && row.name.ends_with("_total"), "{}", row.name);
        assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.name);
        assert!(TABLE[..at].iter().all(|other| other.name != row.name), "{} twice", row.name);
        assert!(row.labels.len() <= 2);
    }
    for (at, class) in Class::ALL.iter().enumerate() {
        assert_eq!(*class as usize, at);
    }
    for (at, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, at);
    }
    assert_eq!((Transport::Udp as usize, Transport::Tcp as usize), (0, 1));
}

#[test]
fn counts_add_up_over_workers() {
    let registry = Registry::new();
    let workers: Vec<_> = (0..4).map(|_| registry.counters()).collect();
    std::thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(move || {
                for _ in 0..10_000 {
                    worker.count(Transport::Udp, &refused());
                    worker.count(Transport::Tcp, &Outcome { truncated: true, ecs: true, cookie: true, ..steered(0, 0) });
                }
            });
        }
    });
    workers[0].add(Metric::SendFailures, 3);
    drop(workers);
    let totals = registry.totals();
    assert_eq!((totals.queries(Transport::Udp), totals.queries(Transport::Tcp)), (40_000, 40_000));
    assert_eq!((totals.answers(Class::Refused), totals.answers(Class::Positive)), (40_000, 40_000));
    assert_eq!((totals.responses(5), totals.responses(0), totals.responses(2)), (40_000, 40_000, 0));
    assert_eq!(totals.decisions(Reason::Order), 40_000);
    for metric in [Metric::Truncated, Metric::ClientSubnets, Metric::ClientSubnetsSteered, Metric::Cookies] {
        assert_eq!(totals.count(metric), 40_000);
    }
    assert_eq!(totals.count(Metric::SendFailures), 3);
}

#[test]
fn what_is_dropped_is_no_response_and_unknown_codes_share_a_cell() {
    let registry = Registry::new();
    let worker = registry.counters();
    worker.count(Transport::Udp, &Outcome { len: 0, class: Class::Dropped, ..refused() });
    worker.count(Transport::Udp, &Outcome { rcode: Rcode(24), ..refused() });
    worker.count(Transport::Udp, &Outcome { rcode: Rcode(u16::MAX), ..refused() });
    let totals = registry.totals();
    assert_eq!((totals.answers(Class::Dropped), totals.responses(5), totals.responses(24)), (1, 0, 2));
}

#[test]
fn regions_are_counted_by_name_across_reloads() {
    let registry = Registry::new();
    let old = catalog(&["web", "api"], &["us", "eu"]);
    let first = registry.grid(&old, None);
    let second = registry.grid(&old, None);
    first.count(&steered(0, 1));
    second.count(&steered(0, 1));
    second.count(&steered(1, 0));
    first.count(&refused());
    assert_eq!(registry.totals().region_answers("web", "eu"), 2);

    let new = catalog(&["api", "web"], &["eu", "ap"]);
    let first = registry.grid(&new, Some(&first));
    first.count(&steered(1, 0));
    first.count(&steered(0, 1));
    second.count(&steered(0, 1));
    let second = registry.grid(&new, Some(&second));
    second.count(&steered(0, 1));
    let totals = registry.totals();
    let count = |service, region| totals.region_answers(service, region);
    assert_eq!((count("web", "eu"), count("api", "us"), count("api", "ap"), count("web", "us")), (4, 1, 2, 0));
}

#[test]
fn ids_that_the_catalog_does_not_have_are_not_counted() {
    let registry = Registry::new();
    let grid = registry.grid(&catalog(&["web"], &["us"]), None);
    grid.count(&steered(7, 0));
    grid.count(&steered(0, 7));
    assert!(registry.totals().samples(&TABLE[Metric::RegionAnswers as usize]).is_empty());
}

#[test]
fn a_grid_that_is_given_back_twice_counts_once() {
    let registry = Registry::new();
    let catalog = catalog(&["web"], &["us"]);
    let grid = registry.grid(&catalog, None);
    grid.count(&steered(0, 0));
    registry.grid(&catalog, Some(&grid));
    registry.grid(&catalog, Some(&grid));
    assert_eq!(registry.totals().region_answers("web", "us"), 1);
}

#[test]
fn the_summary_is_one_line_of_what_is_not_zero() {
    let registry = Registry::new();
    assert_eq!(registry.totals().to_string(), "no queries");
    let (worker, grid) = (registry.counters(), registry.grid(&catalog(&["web"], &["us", "eu"]), None));
    worker.count(Transport::Udp, &refused());
    worker.add(Metric::Panics, 2);
    grid.count(&steered(0, 1));
    let line = registry.totals().to_string();
    assert!(line.starts_with("queries udp=1, query_types A=1, answers "), "{line}");
    assert!(line.contains("responses REFUSED=1, panics 2, region_answers web/eu=1"), "{line}");
}

#[test]
fn zones_and_names_are_counted_and_beyond_the_cap_they_share_a_series() {
    let registry = Registry::new();
    let services: Vec<String> = (0..MAX_SERIES + 2).map(|n| format!("s{n}")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let catalog = catalog(&services, &["us"]);
    let grid = registry.grid(&catalog, None);
    let ask = |name: usize| grid.count(&steered(name as u32, 0));
    (0..5).for_each(|_| ask(MAX_SERIES + 1));
    let row = &TABLE[Metric::NameAnswers as usize];
    assert_eq!(registry.totals().samples(row).len(), 1);
    (0..MAX_SERIES + 2).for_each(ask);
    let totals = registry.totals();
    let samples = totals.samples(row);
    let value = |name: &str| samples.iter().find(|sample| sample.labels[0] == name).map(|sample| sample.value);
    // The one that was there first keeps its series, whatever its name.
    assert_eq!(samples.len(), MAX_SERIES + 1);
    assert_eq!(value(&format!("s{}.example.", MAX_SERIES + 1)), Some(6));
    assert_eq!(value(OTHER), Some(2));
    assert_eq!(totals.top_names(1), [(&*format!("s{}.example.", MAX_SERIES + 1), 6)]);
    assert_eq!(totals.top_regions(1), [((&*format!("s{}", MAX_SERIES + 1), "us"), 6)]);
}

#[test]
fn answering_times_fall_into_buckets_and_add_up() {
    let registry = Registry::new();
    let (one, other) = (registry.counters(), registry.counters());
    one.took(250);
    one.took(251);
    other.took(u64::from(u32::MAX));
    let totals = registry.totals();
    let buckets = &totals.latency().buckets;
    assert_eq!((buckets[0], buckets[1], buckets[buckets.len() - 1]), (1, 1, 1));
    assert_eq!((totals.latency().count(), totals.latency().sum), (3, 501 + u64::from(u32::MAX)));
}

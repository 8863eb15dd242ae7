//! Counters of everything that is answered, one set of cells per worker, and the one table of their names.
//! While a query is answered it never locks, allocates or formats, and it never asks the time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::answer::{Class, Outcome, Reason, Transport};
use crate::snapshot::Catalog;

mod regions;
mod table;

pub use regions::Grid;
use regions::{MAX_KEPT_PAIRS, Pair, Shape};
use table::{CELLS, FIRST, label, rcode_cell};
pub use table::{Metric, Row, TABLE};

/// A counter with one writer: a plain load and store, never a locked instruction. Readers may be one behind.
#[derive(Debug, Default)]
struct Cell(AtomicU64);

impl Cell {
    #[inline]
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The fixed cells of one worker. Only that worker writes them; they fill cache lines of their own (pairs of lines,
/// which the prefetcher of common processors fetches together), so that workers do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    cells: [Cell; CELLS],
}

impl Counters {
    fn new() -> Counters {
        Counters { cells: std::array::from_fn(|_| Cell::default()) }
    }

    /// Counts one message and what became of it.
    #[inline]
    pub fn count(&self, transport: Transport, outcome: &Outcome) {
        self.add_at(Metric::Queries, transport as usize, 1);
        self.add_at(Metric::Answers, outcome.class as usize, 1);
        if outcome.len > 0 {
            self.add_at(Metric::Responses, rcode_cell(outcome.rcode.0), 1);
        }
        if outcome.steering.is_some() {
            self.add_at(Metric::Decisions, outcome.reason as usize, 1);
        }
        if outcome.truncated {
            self.add(Metric::Truncated, 1);
        }
        if outcome.ecs {
            self.add(Metric::ClientSubnets, 1);
        }
        if outcome.cookie {
            self.add(Metric::Cookies, 1);
        }
    }

    /// Adds to a metric without labels.
    #[inline]
    pub fn add(&self, metric: Metric, count: u64) {
        self.add_at(metric, 0, count);
    }

    #[inline]
    fn add_at(&self, metric: Metric, index: usize, count: u64) {
        if let Some(cell) = self.cells.get(FIRST[metric as usize] + index) {
            cell.add(count);
        }
    }
}

/// Gives out cells to workers and sums them. One per process.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<Arc<Counters>>,
    grids: Vec<Arc<Grid>>,
    /// Counts of grids that were given back at a reload.
    kept: BTreeMap<Pair, u64>,
    /// The last shape, so that the workers share it. The weak pointer keeps the catalog's address from being reused.
    shape: Option<(Weak<Catalog>, Arc<Shape>)>,
}

impl Registry {
    /// A registry without workers.
    pub fn new() -> Arc<Registry> {
        Arc::default()
    }

    /// Cells for one more worker. Their counts stay in the totals when the worker ends.
    pub fn counters(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::new());
        self.lock().workers.push(Arc::clone(&counters));
        counters
    }

    /// Cells for the (service, region) pairs of a catalog, for one worker. `old` is the worker's grid of the catalog
    /// before: its counts move to the totals by name, and the worker must not write to it any more.
    /// Takes the registry's lock: for reloads, not for queries.
    pub fn grid(&self, catalog: &Arc<Catalog>, old: Option<&Arc<Grid>>) -> Arc<Grid> {
        let state = &mut *self.lock();
        if let Some(old) = old {
            state.retire(old);
        }
        let shape = state.shape_of(catalog);
        let grid = Arc::new(Grid::new(shape));
        state.grids.push(Arc::clone(&grid));
        grid
    }

    /// The sums over all workers, past and present, and over all reloads.
    pub fn totals(&self) -> Totals {
        let state = self.lock();
        let mut totals = Totals { cells: [0; CELLS], regions: state.kept.clone() };
        for worker in &state.workers {
            for (sum, cell) in totals.cells.iter_mut().zip(&worker.cells) {
                *sum = sum.wrapping_add(cell.value());
            }
        }
        for grid in &state.grids {
            grid.add_to(&mut totals.regions, usize::MAX);
        }
        totals
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this file panics half-way through a change, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn retire(&mut self, old: &Arc<Grid>) {
        let known = self.grids.len();
        self.grids.retain(|grid| !Arc::ptr_eq(grid, old));
        if self.grids.len() < known {
            old.add_to(&mut self.kept, MAX_KEPT_PAIRS);
        }
    }

    fn shape_of(&mut self, catalog: &Arc<Catalog>) -> Arc<Shape> {
        if let Some((of, shape)) = &self.shape
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(catalog))
        {
            return Arc::clone(shape);
        }
        let shape = Arc::new(Shape::of(catalog));
        self.shape = Some((Arc::downgrade(catalog), Arc::clone(&shape)));
        shape
    }
}

/// Sums over all workers at one moment. `Display` is one line for a log: what is not zero, by short name.
#[derive(Debug, Clone)]
pub struct Totals {
    cells: [u64; CELLS],
    regions: BTreeMap<Pair, u64>,
}

/// One number with its labels, as an exporter prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Label values, in the order of [`Row::labels`]; unused places are empty.
    pub labels: [&'a str; 2],
    /// The count.
    pub value: u64,
}

impl Totals {
    /// Messages received over a transport.
    pub fn queries(&self, transport: Transport) -> u64 {
        self.at(Metric::Queries, transport as usize)
    }

    /// Messages by class of answer.
    pub fn answers(&self, class: Class) -> u64 {
        self.at(Metric::Answers, class as usize)
    }

    /// Messages sent with a response code; all codes above 23 share one number.
    pub fn responses(&self, rcode: u16) -> u64 {
        self.at(Metric::Responses, rcode_cell(rcode))
    }

    /// Steered answers by reason.
    pub fn decisions(&self, reason: Reason) -> u64 {
        self.at(Metric::Decisions, reason as usize)
    }

    /// A metric without labels.
    pub fn count(&self, metric: Metric) -> u64 {
        self.at(metric, 0)
    }

    /// Steered answers to a region of a service, by name, over all reloads.
    pub fn region_answers(&self, service: &str, region: &str) -> u64 {
        self.regions.get(&(service.into(), region.into())).copied().unwrap_or(0)
    }

    /// The numbers of one line of [`TABLE`], zeroes included.
    pub fn samples(&self, row: &Row) -> Vec<Sample<'_>> {
        if row.metric == Metric::RegionAnswers {
            return self.regions.iter().map(|((service, region), &value)| Sample { labels: [service, region], value }).collect();
        }
        (0..row.cells).map(|index| Sample { labels: [label(row.metric, index), ""], value: self.at(row.metric, index) }).collect()
    }

    fn at(&self, metric: Metric, index: usize) -> u64 {
        self.cells.get(FIRST[metric as usize] + index).copied().unwrap_or(0)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = 0;
        for row in &TABLE {
            let samples: Vec<_> = self.samples(row).into_iter().filter(|sample| sample.value > 0).collect();
            if samples.is_empty() {
                continue;
            }
            let name = row.name.trim_start_matches("meridian_").trim_end_matches("_total");
            write!(to, "{}{name}", if lines > 0 { ", " } else { "" })?;
            lines += 1;
            for Sample { labels: [first, second], value } in samples {
                match (first, second) {
                    ("", _) => write!(to, " {value}")?,
                    (_, "") => write!(to, " {first}={value}")?,
                    _ => write!(to, " {first}/{second}={value}")?,
                }
            }
        }
        if lines == 0 { to.write_str("no queries") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Point, RegionId};
    use crate::health::PoolId;
    use crate::name::Name;
    use crate::snapshot::Region;
    use crate::steer::balance::BalanceSpec;
    use crate::steer::order::OrderSpec;
    use crate::steer::plan::{Plan, PlanKey};
    use crate::steer::{Candidate, Endpoint, FamilySteering, OnAllDown, ShareSpec, Steering};
    use crate::wire::Rcode;
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
        let plan = Arc::new(Plan::compile(&key, &Catalog::default().table).unwrap());
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
            owner: Name::root(),
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
        Outcome {
            len: 40,
            class: Class::Refused,
            rcode: Rcode::REFUSED,
            zone: None,
            owner_hash: 0,
            steering: None,
            region: None,
            reason: Reason::None,
            truncated: false,
            ecs: false,
            cookie: false,
        }
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
        for metric in [Metric::Truncated, Metric::ClientSubnets, Metric::Cookies] {
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
        assert!(line.starts_with("queries udp=1, answers "), "{line}");
        assert!(line.contains("responses REFUSED=1, panics 2, region_answers web/eu=1"), "{line}");
    }
}

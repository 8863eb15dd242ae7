//! Counters of everything that is answered, one set of cells per worker, and the one table of their names.
//! While a query is answered it never locks, allocates or formats, and it never asks the time.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::answer::{Class, Reason, Transport};
use crate::snapshot::{Catalog, Kind};

mod counters;
mod grid;
mod series;
mod table;
#[cfg(test)]
mod tests;
pub mod text;

use counters::{COUNTRY_CELLS, country_of};
pub use counters::{Counters, Histogram, LATENCY_BOUNDS_NS, WAIT_BOUNDS_NS};
pub use grid::{Grid, OTHER};
use grid::{MAX_KEPT, Pair, Shape, Sums};
use series::{Series, Shown};
use table::{CELLS, FIRST, label, rcode_cell};
pub use table::{Metric, Row, TABLE};

/// Zones, and steered names, that a monitoring system is told of by name: each is a series that it keeps for months. All others are `other`.
pub const MAX_SERIES: usize = 1_000;

/// Gives out cells to workers and sums them. One per process.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
    /// Which names have a series of their own: zones, steered names. Held while sums are made, and by no answering thread.
    series: Mutex<[Series; 2]>,
}

/// Grids that were given back and wait to be added up by whoever asks for sums; of more the answering thread that gives one back adds them up.
const MAX_RETIRED: usize = 256;

#[derive(Debug, Default)]
struct State {
    workers: Vec<Arc<Counters>>,
    grids: Vec<Arc<Grid>>,
    /// Grids that were given back at a reload, and are not in `kept` yet.
    retired: Vec<Arc<Grid>>,
    /// Counts of those that were given back before.
    kept: Arc<Sums>,
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

    /// Cells for the regions, zones and names of a catalog, for one worker. `old` is the worker's grid of the catalog
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

    /// The sums over all workers, past and present, and over all reloads. Answering threads are not kept from taking new cells meanwhile.
    pub fn totals(&self) -> Totals {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.hold();
        let kept = held.added_up();
        self.keep(&held, &kept);
        let (mut cells, mut times, mut sums) =
            ([0; CELLS], [&LATENCY_BOUNDS_NS, &WAIT_BOUNDS_NS].map(|bounds| Histogram::new(bounds)), (*kept).clone());
        held.workers.iter().for_each(|worker| worker.add_to(&mut cells, &mut times));
        held.grids.iter().for_each(|grid| grid.add_to(&mut sums, usize::MAX));
        let mut countries = [0; COUNTRY_CELLS];
        held.workers.iter().for_each(|worker| worker.add_countries_to(&mut countries));
        let countries = (0..).map(country_of).zip(countries).filter(|(_, count)| *count > 0).collect();
        let [zones, names] = &mut *series;
        let shapes = held.shapes();
        let shown = [
            zones.show(&sums.zones, |name| shapes.iter().any(|shape| shape.has_zone(name))),
            names.show(&sums.names, |name| shapes.iter().any(|shape| shape.has_name(name))),
        ];
        let is_gone = |pair: &&Pair| !shapes.is_empty() && !shapes.iter().any(|shape| shape.has_pair(pair));
        let gone = sums.pairs.keys().filter(is_gone).cloned().collect();
        Totals { cells, times, sums, shown, gone, countries }
    }

    /// Steered answers by service and region alone: what a keeper asks for again and again.
    pub fn region_totals(&self) -> RegionTotals {
        let held = self.hold();
        let mut sums = Sums { pairs: held.kept.pairs.clone(), ..Sums::default() };
        held.retired.iter().for_each(|grid| grid.add_pairs_to(&mut sums, MAX_KEPT));
        held.grids.iter().for_each(|grid| grid.add_pairs_to(&mut sums, usize::MAX));
        RegionTotals(sums)
    }

    fn hold(&self) -> Held {
        let State { workers, grids, retired, kept, .. } = &*self.lock();
        Held { workers: workers.clone(), grids: grids.clone(), retired: retired.clone(), kept: Arc::clone(kept) }
    }

    /// Puts what was added up in place of what it was made of, unless somebody else has done so.
    fn keep(&self, held: &Held, kept: &Arc<Sums>) {
        let mut state = self.lock();
        // New ones come at the end only, and whoever takes some out makes other sums.
        if Arc::ptr_eq(&state.kept, &held.kept) {
            state.retired.drain(..held.retired.len());
            state.kept = Arc::clone(kept);
        }
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
            self.retired.push(Arc::clone(old));
        }
        if self.retired.len() > MAX_RETIRED {
            let kept = Arc::make_mut(&mut self.kept);
            self.retired.drain(..).for_each(|grid| grid.add_to(kept, MAX_KEPT));
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

/// What sums are made of, at one moment.
struct Held {
    workers: Vec<Arc<Counters>>,
    grids: Vec<Arc<Grid>>,
    retired: Vec<Arc<Grid>>,
    kept: Arc<Sums>,
}

impl Held {
    /// The counts of all grids that were given back.
    fn added_up(&self) -> Arc<Sums> {
        let mut kept = Arc::clone(&self.kept);
        if !self.retired.is_empty() {
            let sums = Arc::make_mut(&mut kept);
            self.retired.iter().for_each(|grid| grid.add_to(sums, MAX_KEPT));
        }
        kept
    }

    /// What the configurations in force have: one, or two while a reload is on its way to the workers.
    fn shapes(&self) -> Vec<&Shape> {
        let mut shapes: Vec<&Shape> = self.grids.iter().map(|grid| grid.shape()).collect();
        shapes.dedup_by_key(|shape| std::ptr::from_ref(*shape));
        shapes
    }
}

/// Sums over all workers at one moment. `Display` is one line for a log: what is not zero, by short name.
#[derive(Debug, Clone)]
pub struct Totals {
    cells: [u64; CELLS],
    /// Answering times and waiting times.
    times: [Histogram; 2],
    sums: Sums,
    /// Zones and names, as monitoring is told of them.
    shown: [Shown; 2],
    /// Pairs of service and region that no configuration in force has.
    gone: BTreeSet<Pair>,
    /// Samples by country.
    countries: Vec<(String, u64)>,
}

/// Steered answers by service and region, over all workers and reloads.
#[derive(Debug, Clone)]
pub struct RegionTotals(Sums);

impl RegionTotals {
    /// Steered answers to a region of a service, by name.
    pub fn answers(&self, service: &str, region: &str) -> u64 {
        self.0.region_answers(service, region)
    }
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

    /// UDP responses over the rate of their client network, by kind of answer.
    pub fn limited(&self, kind: Kind) -> u64 {
        self.at(Metric::RateLimited, kind as usize)
    }

    /// Of these, the ones that were sent empty and truncated.
    pub fn slipped(&self, kind: Kind) -> u64 {
        self.at(Metric::RateSlipped, kind as usize)
    }

    /// A metric without labels.
    pub fn count(&self, metric: Metric) -> u64 {
        self.at(metric, 0)
    }

    /// Steered answers to a region of a service, by name, over all reloads.
    pub fn region_answers(&self, service: &str, region: &str) -> u64 {
        self.sums.region_answers(service, region)
    }

    /// Answering times in nanoseconds: the mean of a batch of UDP queries, of one batch in so many.
    pub fn latency(&self) -> &Histogram {
        &self.times[0]
    }

    /// How long the newest UDP query of a batch waited to be read, in nanoseconds, of one batch in so many; nothing where the kernel was
    /// not asked to note it.
    pub fn waits(&self) -> &Histogram {
        &self.times[1]
    }

    /// The steered names that were asked for most, most first, with their counts.
    pub fn top_names(&self, limit: usize) -> Vec<(&str, u64)> {
        top(self.sums.names.iter().map(|(name, count)| (&**name, *count)), limit)
    }

    /// The zones that were asked for most, most first, with their counts.
    pub fn top_zones(&self, limit: usize) -> Vec<(&str, u64)> {
        top(self.sums.zones.iter().map(|(name, count)| (&**name, *count)), limit)
    }

    /// The (service, region) that were answered most, most first, with their counts.
    pub fn top_regions(&self, limit: usize) -> Vec<((&str, &str), u64)> {
        top(self.sums.pairs.iter().map(|((service, region), count)| ((&**service, &**region), *count)), limit)
    }

    /// Samples of steered answers over UDP by the country of the client, most first; an empty country: nobody knows.
    pub fn top_countries(&self, limit: usize) -> Vec<(&str, u64)> {
        top(self.countries.iter().map(|(country, count)| (country.as_str(), *count)), limit)
    }

    /// The numbers of one line of [`TABLE`], zeroes included.
    pub fn samples(&self, row: &Row) -> Vec<Sample<'_>> {
        match row.metric {
            Metric::RegionAnswers => self.pairs(|pair| !self.gone.contains(pair)),
            Metric::ZoneAnswers => samples(&self.shown[0]),
            Metric::NameAnswers => samples(&self.shown[1]),
            _ => {
                let sample = |index| Sample { labels: [label(row.metric, index), ""], value: self.at(row.metric, index) };
                (0..row.cells).map(sample).collect()
            }
        }
    }

    fn pairs(&self, is_wanted: impl Fn(&Pair) -> bool) -> Vec<Sample<'_>> {
        let wanted = self.sums.pairs.iter().filter(|(pair, _)| is_wanted(pair));
        wanted.map(|((service, region), &value)| Sample { labels: [service, region], value }).collect()
    }

    fn at(&self, metric: Metric, index: usize) -> u64 {
        self.cells.get(FIRST[metric as usize] + index).copied().unwrap_or(0)
    }
}

fn top<K: Ord>(counts: impl Iterator<Item = (K, u64)>, limit: usize) -> Vec<(K, u64)> {
    let mut all: Vec<_> = counts.collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all.truncate(limit);
    all
}

/// Those with a series of their own, and the sum of the others where there are any.
fn samples(shown: &Shown) -> Vec<Sample<'_>> {
    let own = shown.own.iter().map(|(name, value)| Sample { labels: [&**name, ""], value: *value });
    own.chain(shown.others.map(|value| Sample { labels: [OTHER, ""], value })).collect()
}

impl fmt::Display for Totals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = 0;
        for row in &TABLE {
            // Of names there may be thousands; zones and names are for monitoring, not for a line.
            if matches!(row.metric, Metric::ZoneAnswers | Metric::NameAnswers) {
                continue;
            }
            // The line tells of everything since the start, whatever has become of the configuration.
            let samples = if row.metric == Metric::RegionAnswers { self.pairs(|_| true) } else { self.samples(row) };
            let samples: Vec<_> = samples.into_iter().filter(|sample| sample.value > 0).collect();
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

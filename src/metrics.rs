//! Counters of everything that is answered, one set of cells per worker, and the one table of their names.
//! While a query is answered it never locks, allocates or formats, and it never asks the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::answer::{Class, Reason, Transport};
use crate::snapshot::{Catalog, Kind};

mod counters;
mod grid;
mod table;
#[cfg(test)]
mod tests;
pub mod text;

pub use counters::{Counters, Histogram, LATENCY_BOUNDS_NS};
pub use grid::{Grid, OTHER};
use grid::{MAX_KEPT, Shape, Sums};
use table::{CELLS, FIRST, label, rcode_cell};
pub use table::{Metric, Row, TABLE};

/// Zones, and steered names, that a monitoring system is told of by name: each is a series that it keeps for months. All others are `other`.
pub const MAX_SERIES: usize = 1_000;

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
    kept: Sums,
    /// Zones and names that have a series of their own: once they have one they keep it, so that no series ever runs backwards.
    series: [Arc<BTreeSet<Box<str>>>; 2],
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

    /// The sums over all workers, past and present, and over all reloads.
    pub fn totals(&self) -> Totals {
        let state = &mut *self.lock();
        let (mut cells, mut latency, mut sums) = ([0; CELLS], Histogram::new(&LATENCY_BOUNDS_NS), state.kept.clone());
        state.workers.iter().for_each(|worker| worker.add_to(&mut cells, &mut latency));
        state.grids.iter().for_each(|grid| grid.add_to(&mut sums, usize::MAX));
        for (series, sums) in state.series.iter_mut().zip([&sums.zones, &sums.names]) {
            let new: Vec<_> = sums.keys().filter(|name| !series.contains(*name)).take(MAX_SERIES.saturating_sub(series.len())).collect();
            if !new.is_empty() {
                Arc::make_mut(series).extend(new.into_iter().cloned());
            }
        }
        Totals { cells, latency, sums, series: state.series.clone() }
    }

    /// Steered answers by service and region alone: what a keeper asks for again and again.
    pub fn region_totals(&self) -> RegionTotals {
        let state = self.lock();
        let mut sums = Sums { pairs: state.kept.pairs.clone(), ..Sums::default() };
        state.grids.iter().for_each(|grid| grid.add_pairs_to(&mut sums, usize::MAX));
        RegionTotals(sums)
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
            old.add_to(&mut self.kept, MAX_KEPT);
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
    latency: Histogram,
    sums: Sums,
    series: [Arc<BTreeSet<Box<str>>>; 2],
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
        &self.latency
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

    /// The numbers of one line of [`TABLE`], zeroes included.
    pub fn samples(&self, row: &Row) -> Vec<Sample<'_>> {
        match row.metric {
            Metric::RegionAnswers => {
                self.sums.pairs.iter().map(|((service, region), &value)| Sample { labels: [service, region], value }).collect()
            }
            Metric::ZoneAnswers => capped(&self.sums.zones, &self.series[0]),
            Metric::NameAnswers => capped(&self.sums.names, &self.series[1]),
            _ => {
                let sample = |index| Sample { labels: [label(row.metric, index), ""], value: self.at(row.metric, index) };
                (0..row.cells).map(sample).collect()
            }
        }
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
fn capped<'t>(sums: &'t BTreeMap<Box<str>, u64>, series: &BTreeSet<Box<str>>) -> Vec<Sample<'t>> {
    let (mut samples, mut others) = (Vec::new(), None);
    for (name, &value) in sums {
        if &**name != OTHER && series.contains(name) {
            samples.push(Sample { labels: [name, ""], value });
        } else {
            others = Some(others.unwrap_or(0u64).wrapping_add(value));
        }
    }
    samples.extend(others.map(|value| Sample { labels: [OTHER, ""], value }));
    samples
}

impl fmt::Display for Totals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = 0;
        for row in &TABLE {
            // Of names there may be thousands; zones and names are for monitoring, not for a line.
            if matches!(row.metric, Metric::ZoneAnswers | Metric::NameAnswers) {
                continue;
            }
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

//! The fixed cells of one worker: what it counts of every answer, and how long some of them took.
//! While a query is answered it never locks, allocates or formats, and it never asks the time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::table::{CELLS, FIRST, Metric, rcode_cell, type_cell};
use crate::answer::{Outcome, Transport};
use crate::geo::Code;

/// A counter with one writer: a plain load and store, never a locked instruction. Readers may be one behind.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    #[inline]
    pub(super) fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper ends of the buckets of answering times, in nanoseconds: an answer takes some hundred of them from warm memory.
pub const LATENCY_BOUNDS_NS: [u64; TIME_BUCKETS] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 50_000, 100_000, 500_000, 2_000_000, 10_000_000];

/// Upper ends of the buckets of waiting times, in nanoseconds: a query that is read at once waits for some microseconds, and a full socket
/// holds what a worker answers in some ten milliseconds.
pub const WAIT_BOUNDS_NS: [u64; TIME_BUCKETS] =
    [2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 50_000_000, 100_000_000, 1_000_000_000];

/// Bounds of buckets.
const TIME_BUCKETS: usize = 12;

/// Measured times of one worker.
#[derive(Debug)]
struct Times {
    bounds: &'static [u64; TIME_BUCKETS],
    /// The last one counts what is above all bounds.
    buckets: [Cell; TIME_BUCKETS + 1],
    sum: Cell,
}

impl Times {
    fn new(bounds: &'static [u64; TIME_BUCKETS]) -> Times {
        Times { bounds, buckets: std::array::from_fn(|_| Cell::default()), sum: Cell::default() }
    }

    fn take(&self, ns: u64) {
        self.buckets[self.bounds.iter().position(|bound| ns <= *bound).unwrap_or(TIME_BUCKETS)].add(1);
        self.sum.add(ns);
    }

    fn add_to(&self, histogram: &mut Histogram) {
        for (sum, cell) in histogram.buckets.iter_mut().zip(&self.buckets) {
            *sum = sum.wrapping_add(cell.value());
        }
        histogram.sum = histogram.sum.wrapping_add(self.sum.value());
    }
}

/// Two letters, and one cell for clients of no known country.
pub(super) const COUNTRY_CELLS: usize = LETTERS * LETTERS + 1;

const LETTERS: usize = 26;

/// The fixed cells of one worker. Only that worker writes them; they fill cache lines of their own (pairs of lines,
/// which the prefetcher of common processors fetches together), so that workers do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    cells: [Cell; CELLS],
    latency: Times,
    waits: Times,
    countries: [Cell; COUNTRY_CELLS],
}

impl Counters {
    pub(super) fn new() -> Counters {
        let (latency, waits) = (Times::new(&LATENCY_BOUNDS_NS), Times::new(&WAIT_BOUNDS_NS));
        Counters { cells: std::array::from_fn(|_| Cell::default()), latency, waits, countries: std::array::from_fn(|_| Cell::default()) }
    }

    /// Counts one message and what became of it.
    #[inline]
    pub fn count(&self, transport: Transport, outcome: &Outcome) {
        self.add_at(Metric::Queries, transport as usize, 1);
        self.add_at(Metric::Types, type_cell(outcome.qtype), 1);
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
            self.add(Metric::ClientSubnetsSteered, outcome.steering.is_some().into());
        }
        if outcome.cookie {
            self.add(Metric::Cookies, 1);
            self.add(Metric::CookiesVerified, outcome.verified.into());
        }
    }

    /// Takes one measured answering time, in nanoseconds.
    pub fn took(&self, ns: u64) {
        self.latency.take(ns);
    }

    /// Takes one measured time that a query has waited to be read, in nanoseconds.
    pub fn waited(&self, ns: u64) {
        self.waits.take(ns);
    }

    /// Takes a sample of where a client is; none: nobody knows.
    pub fn located(&self, country: Option<Code>) {
        self.countries[country.map_or(COUNTRY_CELLS - 1, country_cell)].add(1);
    }

    /// Adds to a metric without labels.
    #[inline]
    pub fn add(&self, metric: Metric, count: u64) {
        self.add_at(metric, 0, count);
    }

    /// Adds to the cell of a label.
    #[inline]
    pub fn add_at(&self, metric: Metric, index: usize, count: u64) {
        if let Some(cell) = self.cells.get(FIRST[metric as usize] + index) {
            cell.add(count);
        }
    }

    pub(super) fn add_countries_to(&self, sums: &mut [u64; COUNTRY_CELLS]) {
        sums.iter_mut().zip(&self.countries).for_each(|(sum, cell)| *sum = sum.wrapping_add(cell.value()));
    }

    pub(super) fn add_to(&self, sums: &mut [u64; CELLS], [latency, waits]: &mut [Histogram; 2]) {
        for (sum, cell) in sums.iter_mut().zip(&self.cells) {
            *sum = sum.wrapping_add(cell.value());
        }
        self.latency.add_to(latency);
        self.waits.add_to(waits);
    }
}

/// The cell of a country, by its letters.
fn country_cell(code: Code) -> usize {
    let letter = |octet: u8| usize::from(octet.saturating_sub(b'A')).min(LETTERS - 1);
    let [first, second] = code.letters();
    letter(first) * LETTERS + letter(second)
}

/// The country of a cell; empty for the one of those whom nobody knows.
pub(super) fn country_of(cell: usize) -> String {
    let letter = |number: usize| char::from(b'A' + (number % LETTERS) as u8);
    if cell < COUNTRY_CELLS - 1 { [letter(cell / LETTERS), letter(cell)].iter().collect() } else { String::new() }
}

/// How often something fell into each bucket, and the sum of all, in the unit of its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Upper ends of the buckets, ascending.
    pub bounds: &'static [u64],
    /// Counts, one more than bounds: the last is what was above all of them.
    pub buckets: Vec<u64>,
    /// The sum of what was observed.
    pub sum: u64,
}

impl Histogram {
    /// Nothing was observed yet.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        Histogram { bounds, buckets: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Takes one observation; for whoever has no cells of its own.
    pub fn observe(&mut self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

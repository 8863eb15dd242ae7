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
pub const LATENCY_BOUNDS_NS: [u64; 12] = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 50_000, 100_000, 500_000, 2_000_000, 10_000_000];

/// The buckets, the one above the last bound, and the sum.
const LATENCY_CELLS: usize = LATENCY_BOUNDS_NS.len() + 2;

/// Two letters, and one cell for clients of no known country.
pub(super) const COUNTRY_CELLS: usize = LETTERS * LETTERS + 1;

const LETTERS: usize = 26;

/// The fixed cells of one worker. Only that worker writes them; they fill cache lines of their own (pairs of lines,
/// which the prefetcher of common processors fetches together), so that workers do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    cells: [Cell; CELLS],
    latency: [Cell; LATENCY_CELLS],
    countries: [Cell; COUNTRY_CELLS],
}

impl Counters {
    pub(super) fn new() -> Counters {
        let (cells, latency) = (std::array::from_fn(|_| Cell::default()), std::array::from_fn(|_| Cell::default()));
        Counters { cells, latency, countries: std::array::from_fn(|_| Cell::default()) }
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
        }
        if outcome.cookie {
            self.add(Metric::Cookies, 1);
            self.add(Metric::CookiesVerified, outcome.verified.into());
        }
    }

    /// Takes one measured answering time, in nanoseconds.
    pub fn took(&self, ns: u64) {
        let bucket = LATENCY_BOUNDS_NS.iter().position(|bound| ns <= *bound).unwrap_or(LATENCY_BOUNDS_NS.len());
        self.latency[bucket].add(1);
        self.latency[LATENCY_CELLS - 1].add(ns);
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

    pub(super) fn add_to(&self, sums: &mut [u64; CELLS], latency: &mut Histogram) {
        for (sum, cell) in sums.iter_mut().zip(&self.cells) {
            *sum = sum.wrapping_add(cell.value());
        }
        let (buckets, total) = self.latency.split_at(LATENCY_CELLS - 1);
        for (sum, cell) in latency.buckets.iter_mut().zip(buckets) {
            *sum = sum.wrapping_add(cell.value());
        }
        latency.sum = latency.sum.wrapping_add(total[0].value());
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

//! Counts by service and region: which pairs exist in a catalog, a worker's cells for them, and the sums by name.
//! It never looks a name up while a query is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Cell;
use crate::answer::Outcome;
use crate::snapshot::Catalog;

/// Counts of regions that no running configuration names any more are kept by name up to this many; further ones are
/// added up under [`FORGOTTEN`], so that years of reloads cannot grow the table.
pub(super) const MAX_KEPT_PAIRS: usize = 65_536;

/// The service and region name under which counts beyond [`MAX_KEPT_PAIRS`] are added up (no valid name holds a star).
const FORGOTTEN: (&str, &str) = ("*", "*");

/// A service name and a region name.
pub(super) type Pair = (Box<str>, Box<str>);

/// Which (service, region) pairs a catalog can answer, and their names. Built once per catalog and shared by the workers.
#[derive(Debug)]
pub(super) struct Shape {
    services: Box<[Box<str>]>,
    regions: Box<[Box<str>]>,
    /// Service of each steering.
    steering_service: Box<[u16]>,
    /// Where the pairs of each service begin in `offered`; one entry more than services.
    first: Box<[u32]>,
    /// Region ids, ascending within a service. Only pairs that exist have a cell: a full grid of 1,024 regions and as
    /// many services would be 8 MiB a worker.
    offered: Box<[u16]>,
}

impl Shape {
    /// The shape of a catalog.
    pub(super) fn of(catalog: &Catalog) -> Shape {
        let services: Box<[Box<str>]> = catalog.services.iter().map(|name| name.as_str().into()).collect();
        let regions = catalog.regions.iter().map(|region| region.name.as_str().into()).collect();
        let steering_service = catalog.steerings.iter().map(|steering| steering.service).collect();
        let mut offered_by = vec![BTreeSet::new(); services.len()];
        for steering in &catalog.steerings {
            let candidates = steering.all().flat_map(|family| &family.candidates);
            if let Some(offered) = offered_by.get_mut(usize::from(steering.service)) {
                offered.extend(candidates.map(|candidate| candidate.region.0));
            }
        }
        let mut first = vec![0];
        let mut offered = Vec::new();
        for regions in offered_by {
            offered.extend(regions);
            first.push(u32::try_from(offered.len()).unwrap_or(u32::MAX));
        }
        Shape { services, regions, steering_service, first: first.into(), offered: offered.into() }
    }

    /// Service and region of a steered answer.
    fn pair_of(&self, outcome: &Outcome) -> Option<(usize, u16)> {
        let service = *self.steering_service.get(outcome.steering?.0 as usize)?;
        Some((usize::from(service), outcome.region?.0))
    }

    #[inline]
    fn cell_of(&self, outcome: &Outcome) -> Option<usize> {
        let (service, region) = self.pair_of(outcome)?;
        let (from, to) = self.span(service)?;
        Some(from + self.offered.get(from..to)?.binary_search(&region).ok()?)
    }

    fn span(&self, service: usize) -> Option<(usize, usize)> {
        Some((*self.first.get(service)? as usize, *self.first.get(service + 1)? as usize))
    }

    /// Names of every pair, in the order of the cells.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.services.iter().enumerate().flat_map(move |(service, name)| {
            let (from, to) = self.span(service).unwrap_or_default();
            let regions = self.offered.get(from..to).unwrap_or_default();
            regions.iter().map(move |&region| (&**name, self.regions.get(usize::from(region)).map_or("", |text| text)))
        })
    }
}

/// The (service, region) cells of one worker under one catalog. Only that worker writes them.
#[derive(Debug)]
pub struct Grid {
    shape: Arc<Shape>,
    lines: Box<[Lines]>,
}

/// Cells by whole pairs of cache lines, so that no other worker's memory shares one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lines([Cell; CELLS_PER_LINES]);

const CELLS_PER_LINES: usize = 16;

impl Grid {
    pub(super) fn new(shape: Arc<Shape>) -> Grid {
        let lines = (0..shape.offered.len().div_ceil(CELLS_PER_LINES)).map(|_| Lines::default()).collect();
        Grid { shape, lines }
    }

    /// Counts one answer, if it was steered to a region.
    #[inline]
    pub fn count(&self, outcome: &Outcome) {
        if let Some(at) = self.shape.cell_of(outcome)
            && let Some(lines) = self.lines.get(at / CELLS_PER_LINES)
        {
            lines.0[at % CELLS_PER_LINES].add(1);
        }
    }

    /// Adds its counts to the sums by name; `limit` bounds the names in `sums`.
    pub(super) fn add_to(&self, sums: &mut BTreeMap<Pair, u64>, limit: usize) {
        let cells = self.lines.iter().flat_map(|lines| &lines.0);
        for ((service, region), cell) in self.shape.pairs().zip(cells) {
            add_named(sums, limit, service, region, cell.value());
        }
    }
}

fn add_named(sums: &mut BTreeMap<Pair, u64>, limit: usize, service: &str, region: &str, count: u64) {
    if count == 0 {
        return;
    }
    let mut pair = (service.into(), region.into());
    if sums.len() >= limit && !sums.contains_key(&pair) {
        pair = (FORGOTTEN.0.into(), FORGOTTEN.1.into());
    }
    let sum = sums.entry(pair).or_default();
    *sum = sum.wrapping_add(count);
}

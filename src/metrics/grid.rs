//! Counts by service and region, by zone and by steered name: which of them a catalog has, a worker's cells for them, and the sums by name.
//! It never looks a name up while a query is answered.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::counters::Cell;
use crate::answer::Outcome;
use crate::snapshot::Catalog;

/// Counts of what no running configuration names any more are kept by name up to this many of a kind; further ones are
/// added up under [`OTHER`], so that years of reloads cannot grow the tables.
pub(super) const MAX_KEPT: usize = 65_536;

/// Zones, and steered names, that have a cell of their own; half a megabyte a worker for each kind. All further ones share one.
const MAX_NAMED_CELLS: usize = 65_536;

/// The name under which all is added up that has no own one.
pub const OTHER: &str = "other";

/// The service and region under which counts beyond [`MAX_KEPT`] are added up.
const OTHER_PAIR: (&str, &str) = (OTHER, OTHER);

/// A service name and a region name.
pub(super) type Pair = (Box<str>, Box<str>);

/// What a catalog can answer, by name. Built once per catalog and shared by the workers.
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
    /// The same for looking up: of each service the stretch of regions between its first and its last one.
    rows: Box<[Row]>,
    /// The cells of these stretches, [`NO_CELL`] for regions between that do not offer the service.
    cells: Box<[u32]>,
    /// Apexes of zones, by id; the last stands for all further ones where there are any.
    zones: Box<[Box<str>]>,
    /// Steered names, likewise.
    names: Box<[Box<str>]>,
    /// Both once more, to be found.
    known: [HashSet<Box<str>>; 2],
}

/// Where the cells of a service stand: of so many regions from a first one on.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: u32,
    first_region: u16,
    regions: u16,
}

/// A cell that is nowhere.
const NO_CELL: u32 = u32::MAX;

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
        let zones = named(catalog.zones.zones().iter().map(|zone| zone.apex.to_string()));
        let names = named(catalog.steerings.iter().map(|steering| steering.owner.to_string()));
        let (rows, cells) = rows(&first, &offered);
        let known = [&zones, &names].map(|names| names.iter().cloned().collect());
        let (first, offered) = (first.into(), offered.into());
        Shape { services, regions, steering_service, first, offered, rows, cells, zones, names, known }
    }

    /// Whether it has a zone.
    pub(super) fn has_zone(&self, name: &str) -> bool {
        self.known[0].contains(name)
    }

    /// Whether it has a steered name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.known[1].contains(name)
    }

    /// Whether a service is offered in a region.
    pub(super) fn has_pair(&self, (service, region): &Pair) -> bool {
        let offers = |at: usize| self.span(at).and_then(|(from, to)| self.offered.get(from..to)).unwrap_or_default();
        let services = self.services.iter().enumerate().filter(|(_, name)| *name == service);
        let mut regions = services.flat_map(|(at, _)| offers(at)).filter_map(|id| self.regions.get(usize::from(*id)));
        regions.any(|name| name == region) || (&**service, &**region) == OTHER_PAIR
    }

    #[inline]
    fn pair_cell(&self, outcome: &Outcome) -> Option<usize> {
        let service = *self.steering_service.get(outcome.steering?.0 as usize)?;
        let row = self.rows.get(usize::from(service))?;
        let within = outcome.region?.0.wrapping_sub(row.first_region);
        let cell = self.cells.get(row.start as usize + usize::from(within)).filter(|_| within < row.regions)?;
        Some(*cell as usize)
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

/// The cells of regions by service, from the regions of each one, ascending, and where they begin.
fn rows(first: &[u32], offered: &[u16]) -> (Box<[Row]>, Box<[u32]>) {
    let mut cells = Vec::new();
    let rows = first.windows(2).map(|span| {
        let start = cells.len();
        let regions = &offered[span[0] as usize..span[1] as usize];
        let (Some(least), Some(last)) = (regions.first(), regions.last()) else { return Row { start: 0, first_region: 0, regions: 0 } };
        cells.resize(start + usize::from(last - least) + 1, NO_CELL);
        for (cell, region) in (span[0]..).zip(regions) {
            cells[start + usize::from(region - least)] = cell;
        }
        Row { start: start as u32, first_region: *least, regions: last - least + 1 }
    });
    (rows.collect(), cells.into())
}

/// Names of cells: as many as may have their own, then one for the others.
fn named(texts: impl Iterator<Item = String>) -> Box<[Box<str>]> {
    let mut texts = texts.peekable();
    let mut named: Vec<Box<str>> = texts.by_ref().take(MAX_NAMED_CELLS).map(String::into_boxed_str).collect();
    if texts.peek().is_some() {
        named.push(OTHER.into());
    }
    named.into()
}

/// The cells of one worker under one catalog. Only that worker writes them.
#[derive(Debug)]
pub struct Grid {
    shape: Arc<Shape>,
    pairs: Cells,
    zones: Cells,
    names: Cells,
}

impl Grid {
    pub(super) fn new(shape: Arc<Shape>) -> Grid {
        let (pairs, zones, names) = (Cells::new(shape.offered.len()), Cells::new(shape.zones.len()), Cells::new(shape.names.len()));
        Grid { shape, pairs, zones, names }
    }

    /// What its catalog can answer.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Counts one answer: its zone and, if it was steered, its name and its region.
    #[inline]
    pub fn count(&self, outcome: &Outcome) {
        if let Some(zone) = outcome.zone {
            self.zones.add((zone.0 as usize).min(MAX_NAMED_CELLS));
        }
        let Some(steering) = outcome.steering else { return };
        self.names.add((steering.0 as usize).min(MAX_NAMED_CELLS));
        if let Some(cell) = self.shape.pair_cell(outcome) {
            self.pairs.add(cell);
        }
    }

    /// Adds its counts to the sums by name; `limit` bounds the names of each kind in them.
    pub(super) fn add_to(&self, sums: &mut Sums, limit: usize) {
        self.add_pairs_to(sums, limit);
        for (sums, names, cells) in [(&mut sums.zones, &self.shape.zones, &self.zones), (&mut sums.names, &self.shape.names, &self.names)] {
            for (name, count) in names.iter().zip(cells.values()).filter(|(_, count)| *count > 0) {
                let sum = slot(sums, limit, name.clone(), || OTHER.into());
                *sum = sum.wrapping_add(count);
            }
        }
    }

    /// The same for services and regions only.
    pub(super) fn add_pairs_to(&self, sums: &mut Sums, limit: usize) {
        for ((service, region), count) in self.shape.pairs().zip(self.pairs.values()) {
            if count > 0 {
                let sum = slot(&mut sums.pairs, limit, (service.into(), region.into()), || (OTHER_PAIR.0.into(), OTHER_PAIR.1.into()));
                *sum = sum.wrapping_add(count);
            }
        }
    }
}

/// Sums by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) pairs: BTreeMap<Pair, u64>,
    pub(super) zones: BTreeMap<Box<str>, u64>,
    pub(super) names: BTreeMap<Box<str>, u64>,
}

impl Sums {
    pub(super) fn region_answers(&self, service: &str, region: &str) -> u64 {
        self.pairs.get(&(service.into(), region.into())).copied().unwrap_or(0)
    }
}

fn slot<K: Ord>(sums: &mut BTreeMap<K, u64>, limit: usize, key: K, other: impl FnOnce() -> K) -> &mut u64 {
    let key = if sums.len() >= limit && !sums.contains_key(&key) { other() } else { key };
    sums.entry(key).or_default()
}

/// Cells by whole pairs of cache lines, so that no other worker's memory shares one.
#[derive(Debug)]
struct Cells(Box<[Lines]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lines([Cell; CELLS_PER_LINES]);

const CELLS_PER_LINES: usize = 16;

impl Cells {
    fn new(count: usize) -> Cells {
        Cells((0..count.div_ceil(CELLS_PER_LINES)).map(|_| Lines::default()).collect())
    }

    /// Adds one to a cell; one that is not there is not counted.
    #[inline]
    fn add(&self, at: usize) {
        if let Some(lines) = self.0.get(at / CELLS_PER_LINES) {
            lines.0[at % CELLS_PER_LINES].add(1);
        }
    }

    fn values(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|lines| &lines.0).map(Cell::value)
    }
}

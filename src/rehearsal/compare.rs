//! Who is answered from where in one world, and where in another: what an outage moves, or a change of the configuration.
//! Each answer is the decision that queries get; names that cannot differ are asked for once, and so are clients of one ranking.

mod side;
mod sums;

use std::collections::{BTreeMap, HashMap};

pub use super::audience::Sample;
use super::audience::{Audience, Group, Sampler};
use crate::geo::{Family, Leaf, PlaceId, PlaceTable, Prefix};
use crate::name::Name;
use crate::snapshot::{Catalog, Snapshot};
use crate::steer::decide::HashFloor;
use side::{Answer, Key, Served, Side};
use sums::Flow;

/// What answers a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A region, by name.
    Region(String),
    /// The fallback addresses of a hard fence.
    Fallback,
    /// Nothing: no data.
    Nobody,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Region(name) => name,
            Source::Fallback => "(fallback)",
            Source::Nobody => "(no answer)",
        })
    }
}

/// Weights of one source before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// Clients that are answered elsewhere than before, of one pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moved {
    /// Their weight.
    pub weight: f64,
    /// Kilometres that they are further, and the weight of those for whom that is known.
    pub extra_km: f64,
    known: f64,
}

impl Moved {
    /// The mean of what they are further, in kilometres.
    pub fn mean_km(&self) -> Option<f64> {
        (self.known > 0.0).then(|| self.extra_km / self.known)
    }
}

/// Clients of one place that are answered elsewhere than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Mover {
    /// Where they are.
    pub place: String,
    /// Their country; empty where nobody knows.
    pub country: String,
    /// The largest network of them.
    pub network: Prefix,
    /// Their weight.
    pub weight: f64,
    /// From where to where.
    pub way: (Source, Source),
}

/// A place, or a part of a network, and from where it is answered: for a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// Latitude and longitude of the place.
    pub at: (f64, f64),
    /// Its weight.
    pub weight: f64,
    /// From where.
    pub source: Source,
}

/// What becomes of the clients of names that cannot differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// The names.
    pub names: Vec<Name>,
    /// The weight of all clients.
    pub total: f64,
    /// By source.
    pub sources: BTreeMap<Source, Change>,
    /// By pair.
    pub moves: BTreeMap<(Source, Source), Moved>,
    /// The largest, most first.
    pub movers: Vec<Mover>,
    /// Weight that moves, by country; most first.
    pub countries: Vec<(String, f64)>,
    /// Where clients are after the change; only of a comparison that is drawn.
    pub dots: Vec<Dot>,
    /// How many of the clients that are hashed were asked for; none where the place of a client says it all.
    pub sample: Option<Sample>,
    extra: Vec<(f64, f64)>,
}

impl Comparison {
    /// The weight that is answered elsewhere than before.
    pub fn moved(&self) -> f64 {
        self.moves.values().map(|moved| moved.weight).sum()
    }

    /// The weight that gets no answer after the change.
    pub fn lost(&self) -> f64 {
        self.sources.get(&Source::Nobody).map_or(0.0, |change| change.after)
    }

    /// A weight as percent of all.
    pub fn percent(&self, weight: f64) -> f64 {
        if self.total > 0.0 { weight * 100.0 / self.total } else { 0.0 }
    }

    /// Mean of what those who move are further, in kilometres.
    pub fn mean_extra_km(&self) -> Option<f64> {
        let (km, weight) = self.extra.iter().fold((0.0, 0.0), |(km, sum), (extra, weight)| (km + extra * weight, sum + weight));
        (weight > 0.0).then(|| km / weight)
    }

    /// What 95 of 100 of them are at most further, in kilometres.
    pub fn p95_extra_km(&self) -> Option<f64> {
        let limit = self.extra.iter().map(|(_, weight)| weight).sum::<f64>() * 0.95;
        let mut sum = 0.0;
        let reached = |(_, weight): &&(f64, f64)| {
            sum += weight;
            sum >= limit
        };
        self.extra.iter().find(reached).or(self.extra.last()).map(|(km, _)| *km)
    }
}

/// Who asks, and where that is in the geo data before and after.
pub struct Comparer<'w> {
    tables: [&'w PlaceTable; 2],
    audience: &'w Audience,
    cells: Cells,
    /// The finer of both worlds: its networks are hashed alike in each.
    floor: HashFloor,
    /// Clients that are hashed are asked for once a place.
    is_coarse: bool,
    is_drawn: bool,
}

/// All groups that have one place in each world.
struct Cell {
    leaves: [Leaf; 2],
    weight: f64,
    /// How many there are where clients are hashed.
    networks: u64,
    largest: Group,
}

impl Cell {
    fn places(&self) -> [PlaceId; 2] {
        self.leaves.map(|leaf| leaf.place)
    }
}

/// The cells, found by their places.
struct Cells {
    list: Vec<Cell>,
    /// By place of the first table: the cell in which it was met last, the only one where both tables are the same.
    last: Vec<u32>,
    is_same: bool,
    index: HashMap<[PlaceId; 2], u32>,
}

impl Cells {
    fn new(tables: [&PlaceTable; 2]) -> Cells {
        let is_same = tables[0].generation() == tables[1].generation();
        Cells { list: Vec::new(), last: vec![u32::MAX; tables[0].place_count()], is_same, index: HashMap::new() }
    }

    fn find(&self, leaves: [Leaf; 2]) -> Option<usize> {
        let places = leaves.map(|leaf| leaf.place);
        let last = self.last[places[0].0 as usize];
        let is_it = || self.is_same || self.list[last as usize].places() == places;
        let found = if last != u32::MAX && is_it() { Some(last) } else { self.index.get(&places).copied() };
        found.map(|at| at as usize)
    }

    fn add(&mut self, leaves: [Leaf; 2], group: &Group, networks: u64) {
        let at = self.find(leaves).unwrap_or_else(|| {
            self.list.push(Cell { leaves, weight: 0.0, networks: 0, largest: *group });
            let at = self.list.len() - 1;
            if !self.is_same {
                self.index.insert(leaves.map(|leaf| leaf.place), at as u32);
            }
            at
        });
        self.last[leaves[0].place.0 as usize] = at as u32;
        let cell = &mut self.list[at];
        cell.weight += group.weight;
        cell.networks += networks;
        if group.weight > cell.largest.weight {
            (cell.largest, cell.leaves) = (*group, leaves);
        }
    }
}

impl<'w> Comparer<'w> {
    /// Finds the places of everybody in each catalog.
    pub fn new(catalogs: [&'w Catalog; 2], audience: &'w Audience) -> Comparer<'w> {
        let tables = catalogs.map(|catalog| &*catalog.table);
        let floors = catalogs.map(|catalog| catalog.settings.hash_floor);
        let floor = HashFloor { v4: floors[0].v4.max(floors[1].v4), v6: floors[0].v6.max(floors[1].v6) };
        let mut cells = Cells::new(tables);
        audience.each(tables, |leaves, group| cells.add(leaves, group, group.networks(floor)));
        Comparer { tables, audience, cells, floor, is_coarse: false, is_drawn: false }
    }

    /// In a fraction of the time, where many clients are hashed for shares: the sums are those of a small sample.
    pub fn coarse(self) -> Comparer<'w> {
        Comparer { is_coarse: true, ..self }
    }

    /// With what a map needs.
    pub fn drawn(self, is_drawn: bool) -> Comparer<'w> {
        Comparer { is_drawn, ..self }
    }

    /// Compares all names that both worlds steer for a family, or the one that is asked for. The worlds have the catalogs of this comparer.
    /// `done` hears of each name.
    pub fn compare(&self, worlds: [&Snapshot; 2], family: Family, only: Option<&Name>, mut done: impl FnMut()) -> Vec<Comparison> {
        let [before, after] = worlds;
        let mut known: HashMap<[Key; 2], usize> = HashMap::new();
        let mut comparisons: Vec<Comparison> = Vec::new();
        let others: HashMap<&Name, _> = after.catalog.steerings.iter().map(|steering| (&steering.owner, steering)).collect();
        for steering in before.catalog.steerings.iter().filter(|steering| only.is_none_or(|only| *only == steering.owner)) {
            done();
            let Some(other) = others.get(&steering.owner) else { continue };
            let (Some(one), Some(two)) = (steering.family(family), other.family(family)) else { continue };
            let sides = [(before, steering, one), (after, *other, two)].map(|(world, steering, family)| Side::new(world, steering, family));
            let at = *known.entry([sides[0].key(), sides[1].key()]).or_insert_with(|| {
                comparisons.push(self.name(sides));
                comparisons.len() - 1
            });
            comparisons[at].names.push(steering.owner.clone());
        }
        comparisons
    }

    fn name(&self, mut sides: [Side<'_>; 2]) -> Comparison {
        let mut flows = Vec::with_capacity(self.cells.list.len());
        let mut hashed: Vec<Option<Vec<Hashed>>> = vec![None; self.cells.list.len()];
        for (Cell { leaves, weight, largest, .. }, hashed) in self.cells.list.iter().zip(&mut hashed) {
            let address = largest.network.network();
            let answers = [0, 1].map(|at| sides[at].answer(leaves[at], address));
            let served = match answers {
                [Answer::Same(one), Answer::Same(other)] => [one, other],
                _ if self.is_coarse => [0, 1].map(|at| sides[at].served(leaves[at], address)),
                _ => {
                    *hashed = Some(Vec::new());
                    continue;
                }
            };
            flows.push(Flow { places: leaves.map(|leaf| leaf.place), served, weight: *weight, largest: *largest });
        }
        let sample = hashed.iter().any(Option::is_some).then(|| self.ask_hashed(&sides, &mut hashed));
        for (cell, hashed) in self.cells.list.iter().zip(hashed) {
            let flow = |Hashed { served, weight, largest }| Flow { places: cell.places(), served, weight, largest };
            flows.extend(hashed.into_iter().flatten().map(flow));
        }
        Comparison { sample, ..sums::sum(&sides, &flows, self.is_drawn) }
    }

    /// Those whose own network matters, network by network: all of the cells that have a list.
    fn ask_hashed(&self, sides: &[Side<'_>; 2], hashed: &mut [Option<Vec<Hashed>>]) -> Sample {
        let cells = || self.cells.list.iter();
        let concerned = cells().zip(&*hashed).filter(|(_, hashed)| hashed.is_some());
        let (networks, weight) = concerned.fold((0, 0.0), |(networks, weight), (cell, _)| (networks + cell.networks, weight + cell.weight));
        let mut sampler = Sampler::new(self.floor, networks, weight);
        let served = |leaves: [Leaf; 2], address| [0, 1].map(|at| sides[at].served(leaves[at], address));
        self.audience.each(self.tables, |leaves, group| {
            let Some(known) = self.cells.find(leaves).and_then(|cell| hashed[cell].as_mut()) else { return };
            for (address, weight) in sampler.parts(group) {
                Hashed::add(known, served(leaves, address), weight, group);
            }
        });
        let sample = sampler.finish();
        // Each place has the weight that it has, however many of it were asked for.
        for (cell, known) in cells().zip(hashed).filter(|_| sample.asked < sample.networks) {
            let Some(known) = known else { continue };
            if known.is_empty() {
                Hashed::add(known, served(cell.leaves, cell.largest.network.network()), cell.weight, &cell.largest);
            }
            let asked: f64 = known.iter().map(|known| known.weight).sum();
            if asked > 0.0 {
                known.iter_mut().for_each(|known| known.weight *= cell.weight / asked);
            }
        }
        sample
    }
}

/// Of the clients of a cell those who are served alike.
#[derive(Debug, Clone)]
struct Hashed {
    served: [Served; 2],
    weight: f64,
    largest: Group,
}

impl Hashed {
    fn add(known: &mut Vec<Hashed>, served: [Served; 2], weight: f64, group: &Group) {
        let at = known.iter().position(|known| known.served == served).unwrap_or_else(|| {
            known.push(Hashed { served, weight: 0.0, largest: *group });
            known.len() - 1
        });
        known[at].weight += weight;
        if group.weight > known[at].largest.weight {
            known[at].largest = *group;
        }
    }
}

/// Compares all names that both worlds steer for a family, or the one that is asked for.
pub fn compare(worlds: [&Snapshot; 2], audience: &Audience, family: Family, only: Option<&Name>) -> Vec<Comparison> {
    Comparer::new(worlds.map(|world| &*world.catalog), audience).compare(worlds, family, only, || {})
}

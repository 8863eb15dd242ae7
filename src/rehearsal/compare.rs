//! Who is answered from where in one world, and where in another: what an outage moves, or a change of the configuration.
//! Each answer is the decision that queries get; names that cannot differ are asked for once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::audience::{Audience, Group};
use crate::geo::{Family, PlaceId, PlaceTable, Prefix, RegionId, distance_m};
use crate::name::Name;
use crate::snapshot::{Catalog, Snapshot};
use crate::steer::balance::Turns;
use crate::steer::decide::{Client, NoTrace, Question, decide};
use crate::steer::{FamilySteering, OnAllDown, ShareSpec, Steering};

/// Places that are told of as the largest movers.
const MAX_MOVERS: usize = 10;

/// Names in one line of a log.
const MAX_SUMMARY: usize = 5;

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
    /// Where clients are after the change, for a map.
    pub dots: Vec<Dot>,
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
    groups: &'w [Group],
    /// Clients that are hashed are asked for once a place, not once a part of each network.
    is_coarse: bool,
    cells: Vec<Cell>,
}

/// All groups that have one place in each world.
struct Cell {
    places: [PlaceId; 2],
    weight: f64,
    largest: Group,
}

/// One steered name in one world.
#[derive(Clone, Copy)]
struct Side<'w> {
    world: &'w Snapshot,
    steering: &'w Steering,
    family: &'w FamilySteering,
    turns: &'w Turns,
}

/// Compares all names that both worlds steer for a family, or the one that is asked for.
pub fn compare(before: &Snapshot, after: &Snapshot, groups: &[Group], family: Family, only: Option<&Name>) -> Vec<Comparison> {
    Comparer::new([before, after].map(|world| &*world.catalog.table), groups).compare([before, after], family, only)
}

/// What another catalog moves with everything up, in one line: the names that move most, and their largest way.
pub fn summary(before: &Arc<Catalog>, after: &Arc<Catalog>) -> String {
    let up = |catalog: &Arc<Catalog>| Snapshot { catalog: Arc::clone(catalog), ..Snapshot::default() };
    let (one, other) = (up(before), up(after));
    let groups = Audience::Addresses.groups([&before.table, &after.table]);
    let comparer = Comparer::new([&before.table, &after.table], &groups).coarse();
    let mut moved: Vec<(f64, String)> = Vec::new();
    for (family, rtype) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
        for comparison in comparer.compare([&one, &other], family, None) {
            let largest = comparison.moves.iter().max_by(|(_, one), (_, other)| one.weight.total_cmp(&other.weight));
            let (Some(((from, to), way)), Some(name)) = (largest, comparison.names.first()) else { continue };
            let (all, most) = (comparison.percent(comparison.moved()), comparison.percent(way.weight));
            let alike = if comparison.names.len() > 1 { format!(" (and {} alike)", comparison.names.len() - 1) } else { String::new() };
            moved.push((all, format!("{name} {rtype}{alike} {all:.2} % ({from} -> {to} {most:.2} %)")));
        }
    }
    moved.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let more = moved.len().saturating_sub(MAX_SUMMARY);
    let mut texts: Vec<String> = moved.into_iter().take(MAX_SUMMARY).map(|(_, text)| text).collect();
    match (texts.is_empty(), more) {
        (true, _) => return "no client of any name moves".into(),
        (_, 0) => {}
        _ => texts.push(format!("and {more} more")),
    }
    format!("clients move: {}", texts.join(", "))
}

impl<'w> Comparer<'w> {
    /// Finds the place of every group in each table.
    pub fn new(tables: [&PlaceTable; 2], groups: &'w [Group]) -> Comparer<'w> {
        let is_same = tables[0].generation() == tables[1].generation();
        let mut index: HashMap<[PlaceId; 2], usize> = HashMap::new();
        let mut cells: Vec<Cell> = Vec::new();
        for group in groups {
            let place = |table: &PlaceTable| table.locate(group.network.network(), group.network.length()).place;
            let first = place(tables[0]);
            let places = [first, if is_same { first } else { place(tables[1]) }];
            let at = *index.entry(places).or_insert_with(|| {
                cells.push(Cell { places, weight: 0.0, largest: *group });
                cells.len() - 1
            });
            cells[at].weight += group.weight;
            if group.weight > cells[at].largest.weight {
                cells[at].largest = *group;
            }
        }
        Comparer { groups, is_coarse: false, cells }
    }

    /// In a fraction of the time, where many clients are hashed for shares: the sums are those of a sample.
    pub fn coarse(self) -> Comparer<'w> {
        Comparer { is_coarse: true, ..self }
    }

    /// As [`compare`], for worlds with these tables.
    pub fn compare(&self, worlds: [&Snapshot; 2], family: Family, only: Option<&Name>) -> Vec<Comparison> {
        let [before, after] = worlds;
        let turns = [before, after].map(|world| Turns::new(world.catalog.turn_slots));
        let mut known: HashMap<(Key, Key), usize> = HashMap::new();
        let mut comparisons: Vec<Comparison> = Vec::new();
        for steering in &before.catalog.steerings {
            if only.is_some_and(|only| *only != steering.owner) {
                continue;
            }
            let Some(other) = after.catalog.steerings.iter().find(|other| other.owner == steering.owner) else { continue };
            let (Some(one), Some(two)) = (steering.family(family), other.family(family)) else { continue };
            let sides = [
                Side { world: before, steering, family: one, turns: &turns[0] },
                Side { world: after, steering: other, family: two, turns: &turns[1] },
            ];
            let at = *known.entry((sides[0].key(), sides[1].key())).or_insert_with(|| {
                comparisons.push(self.name(sides));
                comparisons.len() - 1
            });
            comparisons[at].names.push(steering.owner.clone());
        }
        comparisons
    }

    fn name(&self, sides: [Side<'_>; 2]) -> Comparison {
        let mut tally = Tally::new(sides);
        let draws = sides.iter().any(Side::draws);
        if draws && !self.is_coarse {
            let floor = sides[0].world.catalog.settings.hash_floor;
            for group in self.groups {
                let floor = if group.network.family() == Family::V4 { floor.v4 } else { floor.v6 };
                for (address, weight) in group.parts(floor) {
                    let places = [0, 1].map(|at| sides[at].world.catalog.table.locate(address, u8::MAX).place);
                    let served = sides.map(|side| side.served(address));
                    tally.add(places, served, weight, group);
                }
            }
        } else {
            let mut known: HashMap<[u32; 2], [Served; 2]> = HashMap::new();
            for cell in &self.cells {
                let ranking = |at: usize| sides[at].family.plan.ranking_id(cell.places[at]);
                let address = cell.largest.network.network();
                let served = || sides.map(|side| side.served(address));
                let served = if draws { served() } else { *known.entry([ranking(0), ranking(1)]).or_insert_with(served) };
                tally.add(cell.places, served, cell.weight, &cell.largest);
            }
        }
        tally.finish()
    }
}

/// What a decision gave, in the ids of its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Served {
    Region(RegionId),
    Fallback,
    Nobody,
}

/// What two names must have in common to be answered alike.
type Key = (usize, Vec<(u32, u32)>, bool, bool);

impl Side<'_> {
    fn key(&self) -> Key {
        let candidates = self.family.candidates.iter().map(|candidate| (candidate.pool.0, candidate.share)).collect();
        let is_random = self.steering.share == ShareSpec::Random;
        (Arc::as_ptr(&self.family.plan).addr(), candidates, is_random, self.steering.on_all_down == OnAllDown::Open)
    }

    /// Whether clients of one place may be answered from several regions.
    fn draws(&self) -> bool {
        self.family.plan.has_shared_bands() || self.family.hashes_clients
    }

    fn served(&self, address: IpAddr) -> Served {
        let catalog = &self.world.catalog;
        let question = Question {
            steering: self.steering,
            family: self.family,
            table: &catalog.table,
            health: &self.world.health,
            hash_floor: catalog.settings.hash_floor,
            client: Client::peer(address),
            turns: self.turns,
            // Random shares: one draw for each address, the same in both worlds.
            seed: seed(address),
            now_ms: 0,
        };
        let decision = decide(&question, &mut NoTrace);
        match decision.chosen {
            Some(candidate) => Served::Region(candidate.region),
            None if decision.is_negative() => Served::Nobody,
            None => Served::Fallback,
        }
    }

    fn source(&self, served: Served) -> Source {
        match served {
            Served::Region(id) => Source::Region(self.world.catalog.regions[usize::from(id.0)].name.clone()),
            Served::Fallback => Source::Fallback,
            Served::Nobody => Source::Nobody,
        }
    }

    /// Kilometres from a place to what answers it.
    fn km(&self, place: PlaceId, served: Served) -> Option<f64> {
        let Served::Region(id) = served else { return None };
        let point = self.world.catalog.table.place(place).point?;
        Some(f64::from(distance_m(point, self.world.catalog.regions[usize::from(id.0)].location)) / 1000.0)
    }
}

fn seed(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    };
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Sums while clients are gone through, in the ids of the worlds; names are written at the end.
struct Tally<'w> {
    sides: [Side<'w>; 2],
    /// The regions of a name that one world has and the other has too, by name.
    alike: HashMap<RegionId, RegionId>,
    total: f64,
    ways: HashMap<[Served; 2], (f64, Moved)>,
    extra: Vec<(f64, f64)>,
    movers: HashMap<(PlaceId, [Served; 2]), (f64, Group)>,
    dots: HashMap<(PlaceId, Served), f64>,
}

impl<'w> Tally<'w> {
    fn new(sides: [Side<'w>; 2]) -> Tally<'w> {
        let regions = sides.map(|side| &side.world.catalog.regions);
        let id = |name: &str| regions[1].iter().position(|region| region.name == name).map(|index| RegionId(index as u16));
        let alike = (0..).map(RegionId).zip(regions[0]).filter_map(|(one, region)| Some((one, id(&region.name)?))).collect();
        let (ways, movers, dots) = (HashMap::new(), HashMap::new(), HashMap::new());
        Tally { sides, alike, total: 0.0, ways, extra: Vec::new(), movers, dots }
    }

    fn is_same(&self, served: [Served; 2]) -> bool {
        match served {
            [Served::Region(one), Served::Region(other)] => self.alike.get(&one) == Some(&other),
            [one, other] => one == other,
        }
    }

    fn add(&mut self, places: [PlaceId; 2], served: [Served; 2], weight: f64, group: &Group) {
        self.total += weight;
        *self.dots.entry((places[1], served[1])).or_default() += weight;
        let moves = !self.is_same(served);
        let (sum, moved) = self.ways.entry(served).or_default();
        *sum += weight;
        if !moves {
            return;
        }
        moved.weight += weight;
        let [before, after] = [0, 1].map(|at| self.sides[at].km(places[at], served[at]));
        if let (Some(before), Some(after)) = (before, after) {
            moved.extra_km += (after - before) * weight;
            moved.known += weight;
            self.extra.push((after - before, weight));
        }
        let (sum, largest) = self.movers.entry((places[1], served)).or_insert((0.0, *group));
        *sum += weight;
        if group.weight > largest.weight {
            *largest = *group;
        }
    }

    fn finish(mut self) -> Comparison {
        let sides = self.sides;
        let way = |served: [Served; 2]| (sides[0].source(served[0]), sides[1].source(served[1]));
        let mut comparison = Comparison { total: self.total, ..Comparison::default() };
        for (served, (weight, moved)) in &self.ways {
            let (before, after) = way(*served);
            comparison.sources.entry(before.clone()).or_default().before += weight;
            comparison.sources.entry(after.clone()).or_default().after += weight;
            if moved.weight > 0.0 {
                comparison.moves.insert((before, after), moved.clone());
            }
        }
        let table = &sides[1].world.catalog.table;
        let mut movers: Vec<_> = self.movers.iter().collect();
        movers.sort_by(|(a, (one, _)), (b, (other, _))| other.total_cmp(one).then(a.0.0.cmp(&b.0.0)));
        let mut countries: BTreeMap<String, f64> = BTreeMap::new();
        for ((place, served), (weight, largest)) in movers {
            let place = table.place(*place);
            let country = place.country.or(place.continent).map_or_else(String::new, |code| code.to_string());
            *countries.entry(country.clone()).or_default() += weight;
            if comparison.movers.len() < MAX_MOVERS {
                let (place, network) = (place.to_string(), largest.network);
                comparison.movers.push(Mover { place, country, network, weight: *weight, way: way(*served) });
            }
        }
        comparison.countries = countries.into_iter().collect();
        comparison.countries.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let dot = |((place, served), weight): (&(PlaceId, Served), &f64)| {
            let point = table.place(*place).point?;
            Some(Dot { at: (point.latitude(), point.longitude()), weight: *weight, source: sides[1].source(*served) })
        };
        comparison.dots = self.dots.iter().filter_map(dot).collect();
        comparison.dots.sort_by(|one, other| {
            other.weight.total_cmp(&one.weight).then(one.at.0.total_cmp(&other.at.0)).then(one.at.1.total_cmp(&other.at.1))
        });
        self.extra.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        comparison.extra = self.extra;
        comparison
    }
}

//! From who is served what in two worlds to what is told of it. It counts and names; it asks for nothing.

use std::collections::{BTreeMap, HashMap};

use super::side::{Served, Side};
use super::{Comparison, Dot, Group, Moved, Mover, Source};
use crate::geo::{PlaceId, RegionId};

/// Places that are told of as the largest movers.
const MAX_MOVERS: usize = 10;

/// Clients of one place in each world who are served alike.
pub(super) struct Flow {
    pub(super) places: [PlaceId; 2],
    pub(super) served: [Served; 2],
    pub(super) weight: f64,
    /// The largest network of them.
    pub(super) largest: Group,
}

/// The sums of a name.
pub(super) fn sum(sides: &[Side<'_>; 2], flows: &[Flow], is_drawn: bool) -> Comparison {
    let total = flows.iter().map(|flow| flow.weight).sum();
    let same = Same::of(sides);
    let mut comparison = Comparison { total, ..Comparison::default() };
    let mut ways: BTreeMap<[Served; 2], (f64, Moved)> = BTreeMap::new();
    let mut moving = Vec::new();
    for flow in flows {
        let (sum, moved) = ways.entry(flow.served).or_default();
        *sum += flow.weight;
        if same.holds(flow.served) {
            continue;
        }
        moving.push(flow);
        moved.weight += flow.weight;
        let [before, after] = [0, 1].map(|at| sides[at].km(flow.places[at], flow.served[at]));
        if let (Some(before), Some(after)) = (before, after) {
            moved.extra_km += (after - before) * flow.weight;
            moved.known += flow.weight;
            comparison.extra.push((after - before, flow.weight));
        }
    }
    comparison.extra.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    for (served, (weight, moved)) in ways {
        let (before, after) = way(sides, served);
        comparison.sources.entry(before.clone()).or_default().before += weight;
        comparison.sources.entry(after.clone()).or_default().after += weight;
        if moved.weight > 0.0 {
            comparison.moves.insert((before, after), moved);
        }
    }
    movers(sides, moving, &mut comparison);
    if is_drawn {
        comparison.dots = dots(sides, flows);
    }
    comparison
}

/// The regions that one world has and the other has too, by name.
struct Same(HashMap<RegionId, RegionId>);

impl Same {
    fn of(sides: &[Side<'_>; 2]) -> Same {
        let [one, other] = [0, 1].map(|at| (0..).map(RegionId).zip(&sides[at].world.catalog.regions));
        let by_name: HashMap<&str, RegionId> = other.map(|(id, region)| (region.name.as_str(), id)).collect();
        Same(one.filter_map(|(id, region)| Some((id, *by_name.get(region.name.as_str())?))).collect())
    }

    fn holds(&self, served: [Served; 2]) -> bool {
        match served {
            [Served::Region(one), Served::Region(other)] => self.0.get(&one) == Some(&other),
            [one, other] => one == other,
        }
    }
}

fn way(sides: &[Side<'_>; 2], served: [Served; 2]) -> (Source, Source) {
    (sides[0].source(served[0]), sides[1].source(served[1]))
}

/// Countries, and the largest of those who move.
fn movers(sides: &[Side<'_>; 2], mut moving: Vec<&Flow>, comparison: &mut Comparison) {
    let place = |flow: &Flow| sides[1].world.catalog.table.place(flow.places[1]);
    moving.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.places.cmp(&other.places)));
    let country = |flow: &Flow| place(flow).country.or(place(flow).continent).map_or_else(String::new, |code| code.to_string());
    let mut countries: BTreeMap<String, f64> = BTreeMap::new();
    moving.iter().for_each(|flow| *countries.entry(country(flow)).or_default() += flow.weight);
    comparison.countries = countries.into_iter().collect();
    comparison.countries.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mover = |flow: &Flow| Mover {
        place: place(flow).to_string(),
        country: country(flow),
        network: flow.largest.network,
        weight: flow.weight,
        way: way(sides, flow.served),
    };
    comparison.movers = moving.into_iter().take(MAX_MOVERS).map(mover).collect();
}

/// Most first.
fn dots(sides: &[Side<'_>; 2], flows: &[Flow]) -> Vec<Dot> {
    let mut sums: BTreeMap<(PlaceId, Served), f64> = BTreeMap::new();
    flows.iter().for_each(|flow| *sums.entry((flow.places[1], flow.served[1])).or_default() += flow.weight);
    let dot = |((place, served), weight): ((PlaceId, Served), f64)| {
        let point = sides[1].world.catalog.table.place(place).point?;
        Some(Dot { at: (point.latitude(), point.longitude()), weight, source: sides[1].source(served) })
    };
    let mut dots: Vec<Dot> = sums.into_iter().filter_map(dot).collect();
    dots.sort_by(|one, other| {
        other.weight.total_cmp(&one.weight).then(one.at.0.total_cmp(&other.at.0)).then(one.at.1.total_cmp(&other.at.1))
    });
    dots
}

//! The judge: BEHAVIOUR.md and DESIGN.md 3 spelled out over a made-up world, by trying every prefix for every address.
//! It shares no line with Meridian but the distance of two points and the table of countries, which have tests of their own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use meridian::geo::source::builtin;
use meridian::geo::special::{EMBEDDED, RESERVED};
use meridian::geo::{Code, Family, Point, Prefix, distance_m};

use crate::worlds::{Action, Name, Said, Spot, World};

/// Regions that are ranked for a place, whole bands at least; the rest follows as listed (BEHAVIOUR G4).
const RANKED: usize = 8;

/// Whether a place can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Located,
    Unknown,
    UsePeer,
}

/// What counts for an address.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    point: Option<Point>,
    pin: Option<usize>,
    rule: Option<usize>,
    kind: Kind,
}

/// The ranking for an address: bands of regions, best first, and whether a hard fence ends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Verdict {
    pub(crate) bands: Vec<Vec<usize>>,
    pub(crate) fenced: bool,
    pub(crate) kind: Kind,
}

/// All verdicts of one name and type, and where each of them holds.
pub(crate) struct Judge<'w> {
    world: &'w World,
    name: &'w Name,
    family: usize,
    v4: Vec<Run>,
    v6: Vec<Run>,
    verdicts: Vec<Verdict>,
}

/// A stretch of addresses with one verdict; none where IPv6 holds IPv4.
struct Run {
    first: u128,
    last: u128,
    verdict: Option<usize>,
}

impl<'w> Judge<'w> {
    /// Judges every stretch between two edges once; `family` 0 is A, 1 is AAAA.
    pub(crate) fn new(world: &'w World, name: &'w Name, family: usize) -> Judge<'w> {
        let mut judge = Judge { world, name, family, v4: Vec::new(), v6: Vec::new(), verdicts: Vec::new() };
        let mut known: HashMap<Verdict, usize> = HashMap::new();
        for of in [Family::V4, Family::V6] {
            let mut runs: Vec<Run> = Vec::new();
            let edges = edges(world, of);
            for (index, first) in edges.iter().enumerate() {
                let last = edges.get(index + 1).map_or(bits(whole(of).last()), |next| next - 1);
                let address = address(of, *first);
                let verdict = if embedded(address).is_some() { None } else { Some(judge.judge(address)) };
                let number = verdict.map(|verdict| {
                    let next = known.len();
                    *known.entry(verdict).or_insert(next)
                });
                match runs.last_mut().filter(|run| run.verdict == number && number.is_some()) {
                    Some(run) => run.last = last,
                    None => runs.push(Run { first: *first, last, verdict: number }),
                }
            }
            if of == Family::V4 { judge.v4 = runs } else { judge.v6 = runs }
        }
        let mut verdicts: Vec<(Verdict, usize)> = known.into_iter().collect();
        verdicts.sort_by_key(|(_, number)| *number);
        judge.verdicts = verdicts.into_iter().map(|(verdict, _)| verdict).collect();
        judge
    }

    /// Whether the name has the type at all.
    pub(crate) fn is_offered(&self) -> bool {
        self.world.regions.iter().any(|region| region.families[self.family])
    }

    /// Whether a region has the type and is not down by hand.
    pub(crate) fn is_up(&self, region: usize) -> bool {
        let region = &self.world.regions[region];
        region.families[self.family] && !region.is_down
    }

    /// Whether clients are hashed, so that scopes have a floor.
    pub(crate) fn hashes(&self) -> bool {
        self.name.is_sticky
            || self.verdicts.iter().chain([&self.embedded_verdict()]).any(|verdict| verdict.bands.iter().any(|band| band.len() > 1))
    }

    /// Whether anything depends on the client.
    pub(crate) fn tells_apart(&self) -> bool {
        let of_embedded = self.embedded_verdict();
        let other = |verdict: &Verdict| (&verdict.bands, verdict.fenced) != (&of_embedded.bands, of_embedded.fenced);
        self.hashes() || self.verdicts.iter().any(other)
    }

    /// The verdict for an address, IPv4 inside IPv6 as IPv4.
    pub(crate) fn verdict(&self, client: IpAddr) -> &Verdict {
        let client = embedded(client).map_or(client, |(v4, _)| v4);
        &self.verdicts[self.run(client).verdict.unwrap()]
    }

    /// Whether the whole block has one verdict.
    pub(crate) fn is_one(&self, block: &Prefix) -> bool {
        let run = self.run(block.network());
        run.verdict.is_some() && run.first <= bits(block.network()) && bits(block.last()) <= run.last
    }

    fn run(&self, client: IpAddr) -> &Run {
        let runs = if client.is_ipv4() { &self.v4 } else { &self.v6 };
        &runs[runs.partition_point(|run| run.first <= bits(client)) - 1]
    }

    /// A block that holds IPv4, asked with a source too short to see it, is unknown (BEHAVIOUR S8).
    fn embedded_verdict(&self) -> Verdict {
        let unknown = Seen { point: None, pin: None, rule: None, kind: Kind::Unknown };
        Verdict { bands: self.bands(&unknown), fenced: false, kind: Kind::Unknown }
    }

    fn judge(&self, client: IpAddr) -> Verdict {
        let seen = self.see(client);
        let fenced = seen.rule.is_some_and(|rule| self.name.rules[rule].action == Action::Fence);
        Verdict { bands: self.bands(&seen), fenced, kind: seen.kind }
    }

    /// What overrides and files say of an address, each field from the first that has it.
    fn see(&self, client: IpAddr) -> Seen {
        let winner = self.world.networks.iter().filter(|entry| entry.prefix.contains(client)).max_by_key(|entry| entry.prefix.length());
        let mut said = winner.map(|entry| entry.said.clone()).unwrap_or_default();
        let pin = winner.and_then(|entry| entry.region);
        said.spot = said.spot.or(pin.map(|region| self.world.regions[region].spot));
        let mut spoken = winner.is_some();
        for file in &self.world.files {
            let Some((_, row)) = file.iter().filter(|(prefix, _)| prefix.contains(client)).max_by_key(|(prefix, _)| prefix.length()) else {
                continue;
            };
            spoken |= row.spot.is_some() || row.country.is_some() || row.continent.is_some() || row.asn.is_some();
            said.spot = said.spot.or(row.spot);
            said.country = said.country.or(row.country);
            said.continent = said.continent.or(row.continent);
            said.asn = said.asn.or(row.asn);
        }
        let country = said.country.and_then(Code::parse).and_then(builtin::country);
        let point = said.spot.map(point).or(country.map(|country| country.point));
        let continent = said.continent.map(str::to_owned).or(country.map(|country| country.continent.to_string()));
        let is_reserved = RESERVED.iter().any(|row| row.prefix.contains(client));
        let kind = match (point, is_reserved && !spoken) {
            (Some(_), _) => Kind::Located,
            (None, true) => Kind::UsePeer,
            (None, false) => Kind::Unknown,
        };
        Seen { point, pin, rule: self.rule(client, &said, continent.as_deref()), kind }
    }

    /// The first rule that matches.
    fn rule(&self, client: IpAddr, said: &Said, continent: Option<&str>) -> Option<usize> {
        self.name.rules.iter().position(|rule| {
            let when = &rule.when;
            (when.networks.is_empty() || when.networks.iter().any(|prefix| prefix.contains(client)))
                && (when.asns.is_empty() || said.asn.is_some_and(|asn| when.asns.contains(&asn)))
                && (when.countries.is_empty() || said.country.is_some_and(|code| when.countries.contains(&code)))
                && (when.continents.is_empty() || continent.is_some_and(|code| when.continents.contains(&code)))
        })
    }

    fn bands(&self, seen: &Seen) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..self.world.regions.len()).filter(|index| self.world.regions[*index].families[self.family]).collect();
        let rule = seen.rule.map(|rule| &self.name.rules[rule]);
        let is_in = |index: &usize| rule.is_some_and(|rule| rule.regions.contains(index));
        let mut bands: Vec<Vec<usize>> = Vec::new();
        let fenced = rule.is_some_and(|rule| rule.action == Action::Fence);
        bands.extend(seen.pin.filter(|pin| all.contains(pin) && (!fenced || is_in(pin))).map(|pin| vec![pin]));
        let (inside, outside): (Vec<usize>, Vec<usize>) = all.iter().copied().partition(is_in);
        match rule.map(|rule| rule.action) {
            None => self.rank(&all, seen.point, &mut bands),
            Some(Action::Prefer) => {
                let preferred = rule.into_iter().flat_map(|rule| &rule.regions).filter(|index| all.contains(index));
                for index in preferred {
                    if !bands.contains(&vec![*index]) {
                        bands.push(vec![*index]);
                    }
                }
                self.rank(&all, seen.point, &mut bands);
            }
            Some(Action::Only) => {
                self.rank(&inside, seen.point, &mut bands);
                self.rank(&outside, seen.point, &mut bands);
            }
            Some(Action::Fence) => self.rank(&inside, seen.point, &mut bands),
        }
        // What is not ranked follows as listed, standby regions behind, and outside of a fence behind what is inside.
        let parts = match rule.map(|rule| rule.action) {
            Some(Action::Only) => vec![inside, outside],
            Some(Action::Fence) => vec![inside],
            _ => vec![all],
        };
        for (part, standby) in parts.iter().flat_map(|part| [(part, false), (part, true)]) {
            for index in part.iter().filter(|index| (self.world.regions[**index].weight == 0) == standby) {
                if !bands.iter().any(|band| band.contains(index)) {
                    bands.push(vec![*index]);
                }
            }
        }
        bands
    }

    /// Adds bands of some regions, best first, until enough are ranked.
    fn rank(&self, regions: &[usize], client: Option<Point>, bands: &mut Vec<Vec<usize>>) {
        for standby in [false, true] {
            let is_ranked = |index: &usize, bands: &[Vec<usize>]| bands.iter().any(|band| band.contains(index));
            let mut waiting: Vec<usize> =
                regions.iter().copied().filter(|index| (self.world.regions[*index].weight == 0) == standby).collect();
            waiting.retain(|index| !is_ranked(index, bands));
            while !waiting.is_empty() && bands.iter().map(Vec::len).sum::<usize>() < RANKED {
                let band = match client {
                    None => vec![waiting[0]],
                    Some(client) => self.best_band(&waiting, client),
                };
                waiting.retain(|index| !band.contains(index));
                bands.push(band);
            }
        }
    }

    /// The best by distance over weight, and all that are about as far.
    fn best_band(&self, waiting: &[usize], client: Point) -> Vec<usize> {
        let metres = |index: usize| distance_m(client, point(self.world.regions[index].spot));
        let score = |index: usize| {
            let weight = self.world.regions[index].weight;
            f64::from(metres(index).max(1000)) / f64::from(if weight == 0 { 1000 } else { weight })
        };
        let best = waiting.iter().copied().reduce(|best, next| if score(next) < score(best) { next } else { best }).unwrap();
        let near = |index: &usize| *index == best || metres(*index).abs_diff(metres(best)) <= self.name.spread_km * 1000;
        waiting.iter().copied().filter(near).collect()
    }
}

/// The IPv4 address inside an IPv6 one, and the bits before it.
pub(crate) fn embedded(client: IpAddr) -> Option<(IpAddr, u8)> {
    let block = EMBEDDED.iter().find(|block| block.prefix.contains(client))?.prefix.length();
    Some((IpAddr::V4(Ipv4Addr::from_bits((bits(client) >> (96 - block)) as u32)), block))
}

/// Every address of a family from which on something may be different.
fn edges(world: &World, family: Family) -> Vec<u128> {
    let fixed = RESERVED.iter().map(|row| row.prefix).chain(EMBEDDED.iter().map(|row| row.prefix));
    let all = world.prefixes().into_iter().chain(fixed).chain([whole(family)]).filter(|prefix| prefix.family() == family);
    let mut edges: Vec<u128> =
        all.flat_map(|prefix| [Some(bits(prefix.network())), bits(prefix.last()).checked_add(1)]).flatten().collect();
    edges.retain(|edge| *edge <= bits(whole(family).last()));
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn whole(family: Family) -> Prefix {
    if family == Family::V4 { Prefix::ALL_V4 } else { Prefix::ALL_V6 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        Family::V6 => IpAddr::V6(bits.into()),
    }
}

fn point((north, east): Spot) -> Point {
    Point::new(f64::from(north) / 100.0, f64::from(east) / 100.0).unwrap()
}

//! `latency`: milliseconds divided by weight, from a table of measurements; a pair that nobody measured counts 100 km of distance as 1 ms.
//! All of it is turned into metres, so that measured and estimated pairs compare, and so that it is ranked as `nearest` is.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::nearest::Nearest;
use super::{Candidate, Client, Judged, Order, UNMEASURED};
use crate::geo::{Code, Place, Prefix, RegionId};
use crate::steer::hash::identity;

/// A millisecond in metres: light in fibre goes 100 km and back in one.
pub const METRES_PER_MS: u32 = 100_000;

/// Longest measurement, in milliseconds: over ten seconds nothing is near. In metres it fits 32 bits.
pub const MAX_MS: f64 = 10_000.0;

/// Behind everything that was measured.
const UNKNOWN_SCORE: f64 = 1e18;

/// See the module.
#[derive(Debug)]
pub(super) struct Latency;

impl Order for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn uses_place(&self) -> bool {
        true
    }

    fn distance_floor_m(&self) -> Option<u32> {
        Nearest.distance_floor_m()
    }

    fn judge(&self, client: &Client<'_>, index: usize, candidate: &Candidate) -> Judged {
        match client.measured.get(index) {
            Some(&metres) if metres != UNMEASURED => Nearest::scored(metres, candidate.weight),
            // Where neither place nor measurement is known, the listed order, behind the measured ones.
            _ if client.point.is_none() => Judged { score: UNKNOWN_SCORE + index as f64 * 1e6, measure: None },
            _ => Nearest.judge(client, index, candidate),
        }
    }
}

/// Whose latency was measured, from the widest to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum From {
    /// Everyone in a country.
    Country(Code),
    /// Everyone in an autonomous system.
    Asn(u32),
    /// Everyone in a network.
    Network(Prefix),
}

/// Measured latencies by client and region.
#[derive(Debug, Default)]
pub struct Latencies {
    rows: BTreeMap<From, BTreeMap<RegionId, u32>>,
    /// Prefix lengths that occur, by family, the longest first.
    lengths: [Vec<u8>; 2],
    fingerprint: u64,
}

impl Latencies {
    /// From rows of client, region and metres ([`METRES_PER_MS`]); of two for one pair the last counts.
    pub fn new(rows: impl IntoIterator<Item = (From, RegionId, u32)>) -> Latencies {
        let mut table = Latencies::default();
        for (from, region, metres) in rows {
            table.rows.entry(from).or_default().insert(region, metres);
        }
        for prefix in table.networks() {
            let lengths = &mut table.lengths[prefix.family() as usize];
            if let Err(at) = lengths.binary_search_by(|have| prefix.length().cmp(have)) {
                lengths.insert(at, prefix.length());
            }
        }
        let row = |hash: u64, (from, of): (&From, &BTreeMap<RegionId, u32>)| {
            let text = format!("{from:?}{of:?}");
            identity(&[&hash.to_le_bytes(), text.as_bytes()])
        };
        table.fingerprint = table.rows.iter().fold(1, row);
        table
    }

    /// Every network that is named: each is an edge of the place table.
    pub fn networks(&self) -> Vec<Prefix> {
        let network = |from: &From| match from {
            From::Network(prefix) => Some(*prefix),
            _ => None,
        };
        self.rows.keys().filter_map(network).collect()
    }

    /// Every autonomous system that is named.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.rows.keys().filter_map(|from| match from {
            From::Asn(asn) => Some(*asn),
            _ => None,
        })
    }

    /// What was measured from a place to each of `regions`, in metres, [`UNMEASURED`] where nothing was; empty where nothing was at all.
    /// The longest network that has the pair wins, then the autonomous system, then the country.
    pub fn from_place(&self, place: &Place<'_>, regions: impl Iterator<Item = RegionId> + Clone) -> Box<[u32]> {
        let networks = place.named.into_iter().flat_map(|named| {
            let shorter = self.lengths[named.family() as usize].iter().filter(move |length| **length <= named.length());
            shorter.map(move |length| From::Network(Prefix::masked(named.network(), *length)))
        });
        let wider = place.asn.map(From::Asn).into_iter().chain(place.country.map(From::Country));
        let rows: Vec<&BTreeMap<RegionId, u32>> = networks.chain(wider).filter_map(|from| self.rows.get(&from)).collect();
        let metres = |region: RegionId| rows.iter().find_map(|row| row.get(&region)).copied().unwrap_or(UNMEASURED);
        if regions.clone().all(|region| metres(region) == UNMEASURED) {
            return Box::default();
        }
        regions.map(metres).collect()
    }
}

impl PartialEq for Latencies {
    /// By what they hold.
    fn eq(&self, other: &Latencies) -> bool {
        self.fingerprint == other.fingerprint && self.rows == other.rows
    }
}

impl Eq for Latencies {}

impl Hash for Latencies {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Kind;

    fn place<'t>(named: Option<&str>, asn: Option<u32>, country: Option<&str>) -> Place<'t> {
        let named = named.map(|text| text.parse().unwrap());
        Place { kind: Kind::Located, named, asn, country: country.and_then(Code::parse), ..Place::default() }
    }

    #[test]
    fn the_longest_match_that_has_the_pair_wins() {
        let network = |text: &str| From::Network(text.parse().unwrap());
        let (a, b, c) = (RegionId(0), RegionId(1), RegionId(2));
        let table = Latencies::new([
            (network("10.0.0.0/8"), a, 8),
            (network("10.0.0.0/8"), b, 80),
            (network("10.1.0.0/16"), a, 16),
            (From::Asn(64500), c, 5),
            (From::Country(Code::parse("FR").unwrap()), c, 3),
        ]);
        let seen = |place| table.from_place(&place, [a, b, c].into_iter()).to_vec();
        assert_eq!(seen(place(Some("10.1.2.0/24"), Some(64500), Some("FR"))), [16, 80, 5]);
        assert_eq!(seen(place(Some("10.2.0.0/16"), None, Some("FR"))), [8, 80, 3]);
        assert_eq!(seen(place(None, Some(64501), Some("FR"))), [UNMEASURED, UNMEASURED, 3]);
        assert!(seen(place(None, None, Some("DE"))).is_empty());
    }

    #[test]
    fn tables_are_equal_by_what_they_hold() {
        let row = |metres| Latencies::new([(From::Asn(1), RegionId(0), metres)]);
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
    }
}

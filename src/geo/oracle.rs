//! Property tests of the place table against a naive reader of the same inputs, which tries every prefix for every address.
//! Test code only; it shares no line with the builder, so that the two cannot be wrong together.

use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use super::prefix::bits_address;
use super::source::csv;
use super::special::{EMBEDDED, RESERVED};
use super::{Code, Family, Fields, Inputs, Kind, Override, PlaceTable, Prefix, RegionId, Rows, build};

/// What is compared of a place: country, city, pin, named prefix, kind.
type Seen = (Option<Code>, Option<String>, Option<RegionId>, Option<Prefix>, Kind);

/// Countries without a point in the built-in table, one with, and none at all.
const COUNTRIES: [&str; 4] = ["ZZ", "FR", "DE", ""];

/// The same inputs, kept for the naive reader.
#[derive(Debug, Clone)]
struct World {
    overrides: Vec<Override>,
    files: Vec<Vec<(Prefix, Fields)>>,
    named: Vec<Prefix>,
}

impl World {
    fn table(&self) -> PlaceTable {
        let sources = self.files.iter().map(|file| rows(file)).collect();
        let (overrides, named_prefixes) = (self.overrides.clone(), self.named.clone());
        build(Inputs { overrides, sources, named_prefixes, ..Inputs::default() }).unwrap()
    }

    /// None inside the blocks that hold IPv4 addresses.
    fn see(&self, address: IpAddr) -> Option<Seen> {
        if EMBEDDED.iter().any(|row| row.prefix.contains(address)) {
            return None;
        }
        let mut fields = Fields::default();
        let winner = self.overrides.iter().filter(|entry| entry.prefix.contains(address)).max_by_key(|entry| entry.prefix.length());
        let mut matched = winner.is_some();
        fields.fill_from(&winner.map(|entry| entry.fields.clone()).unwrap_or_default());
        for file in &self.files {
            let row = file.iter().filter(|(prefix, _)| prefix.contains(address)).max_by_key(|(prefix, _)| prefix.length());
            if let Some((_, said)) = row.filter(|(_, said)| !said.is_empty()) {
                fields.fill_from(said);
                matched = true;
            }
        }
        let reserved = RESERVED.iter().any(|row| row.prefix.contains(address));
        let located = fields.country.is_some_and(|code| code.as_str() != "ZZ");
        let kind = if located {
            Kind::Located
        } else if reserved && !matched {
            Kind::UsePeer
        } else {
            Kind::Unknown
        };
        let named = self.named.iter().filter(|prefix| prefix.contains(address)).max_by_key(|prefix| prefix.length());
        Some((fields.country, fields.city.map(String::from), winner.and_then(|entry| entry.pin), named.copied(), kind))
    }

    /// Every address of the family where what is seen may change: the first of each prefix and the first behind it.
    fn edges(&self, family: Family) -> Vec<IpAddr> {
        let files = self.files.iter().flatten().map(|(prefix, _)| prefix);
        let told = self.overrides.iter().map(|entry| &entry.prefix).chain(files).chain(&self.named);
        let fixed = RESERVED.iter().map(|row| &row.prefix).chain(EMBEDDED.iter().map(|row| &row.prefix));
        let all = if family == Family::V4 { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
        let prefixes = told.chain(fixed).chain([&all]).filter(|prefix| prefix.family() == family);
        let mut edges: Vec<u128> = prefixes.flat_map(|p| [Some(p.first_bits()), p.last_bits().checked_add(1)]).flatten().collect();
        edges.retain(|bits| *bits <= all.last_bits());
        edges.sort_unstable();
        edges.dedup();
        edges.into_iter().map(|bits| bits_address(family, bits)).collect()
    }
}

fn rows(file: &[(Prefix, Fields)]) -> Rows {
    let line = |(prefix, said): &(Prefix, Fields)| {
        format!("{prefix},{},{}\n", said.country.map(|c| c.to_string()).unwrap_or_default(), said.city.as_deref().unwrap_or_default())
    };
    let text: String = std::iter::once("network,country,city\n".to_owned()).chain(file.iter().map(line)).collect();
    csv::read(Path::new("random.csv"), text.as_bytes()).unwrap()
}

/// Prefixes that nest and touch: a few trunks, and at any length the trunk's block or its sibling.
fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (select(vec!["10.1.2.3", "80.1.2.3", "192.168.1.1", "255.255.255.255"]), 0u8..=32, any::<bool>());
    let v6 = (
        select(vec!["2001:db8::1", "2002:5001:203::1", "::ffff:80.1.2.3", "2a00:1:2:3::4", "fe80::1", "64:ff9b::1"]),
        0u8..=128,
        any::<bool>(),
    );
    prop_oneof![v4, v6].prop_map(|(trunk, length, sibling)| {
        let trunk: IpAddr = trunk.parse().unwrap();
        let block = Prefix::masked(trunk, length);
        if !sibling || block.length() == 0 {
            return block;
        }
        let flipped = block.first_bits() ^ (1 << (block.family().bits() - block.length()));
        Prefix::masked(bits_address(block.family(), flipped), block.length())
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    (select(COUNTRIES.to_vec()), select(vec![None, Some("A"), Some("B")])).prop_map(|(country, city)| Fields {
        country: Code::parse(country),
        city: city.map(Into::into),
        ..Fields::default()
    })
}

fn world() -> impl Strategy<Value = World> {
    let overrides = prop::collection::vec((prefix(), fields(), select(vec![None, Some(RegionId(0)), Some(RegionId(1))])), 0..8);
    let files = prop::collection::vec(prop::collection::vec((prefix(), fields()), 0..12), 0..3);
    (overrides, files, prop::collection::vec(prefix(), 0..4)).prop_map(|(mut overrides, mut files, named)| {
        overrides.sort_by_key(|(prefix, ..)| *prefix);
        overrides.dedup_by_key(|(prefix, ..)| *prefix);
        let overrides = overrides.into_iter().map(|(prefix, fields, pin)| Override { prefix, fields, pin }).collect();
        for file in &mut files {
            file.sort_by_key(|(prefix, _)| *prefix);
            file.dedup_by_key(|(prefix, _)| *prefix);
        }
        World { overrides, files, named }
    })
}

/// What the table says, in the words of the oracle.
fn seen(table: &PlaceTable, address: IpAddr) -> Seen {
    let place = table.place(table.locate(address, u8::MAX).place);
    (place.country, place.city.map(str::to_owned), place.pin, place.named, place.kind)
}

proptest! {
    #[test]
    fn the_table_is_total_disjoint_and_aligned(world in world()) {
        let table = world.table();
        for (family, end) in [(Family::V4, Prefix::ALL_V4.last_bits()), (Family::V6, Prefix::ALL_V6.last_bits())] {
            let mut next = Some(0);
            let mut count = 0;
            for (range, prefix, _) in table.ranges(family) {
                prop_assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
                prop_assert_eq!(Some(prefix.first_bits()), next);
                prop_assert_eq!(table.prefix_of(range), prefix);
                next = prefix.last_bits().checked_add(1).filter(|bits| *bits <= end);
                count += 1;
            }
            prop_assert_eq!(next, None);
            prop_assert_eq!(count, table.range_count(family));
        }
    }

    #[test]
    fn locate_agrees_with_a_naive_longest_prefix_search(world in world(), random: [u128; 8]) {
        let table = world.table();
        for family in [Family::V4, Family::V6] {
            let mut probes = world.edges(family);
            let beside: Vec<IpAddr> = probes.iter().map(|edge| bits_address(family, super::prefix::address_bits(*edge).wrapping_sub(1))).collect();
            probes.extend(beside);
            probes.extend(random.map(|bits| bits_address(family, bits)));
            for address in probes {
                let range = table.prefix_of(table.locate(address, u8::MAX).range);
                match world.see(address) {
                    Some(expected) => {
                        prop_assert_eq!(seen(&table, address), expected, "{}", address);
                        prop_assert!(range.contains(address));
                    }
                    None => prop_assert_eq!(range.family(), Family::V4, "{}", address),
                }
            }
        }
    }

    #[test]
    fn s1_s2_a_scope_is_constant_inside_and_the_next_larger_block_is_not(world in world(), kinds_only: bool) {
        let table = world.table();
        // A plan that looks at little, and one that looks at everything.
        let reduce = |seen: Seen| if kinds_only { (None, None, None, None, seen.4) } else { seen };
        let key = |address: IpAddr| world.see(address).map(reduce);
        let keys: Vec<Seen> = table.places().map(|p| reduce((p.country, p.city.map(str::to_owned), p.pin, p.named, p.kind))).collect();
        let number = |place: super::PlaceId| keys.iter().position(|key| *key == keys[place.0 as usize]);
        let scopes = table.scopes(number);
        for family in [Family::V4, Family::V6] {
            let edges = world.edges(family);
            // Keys change at edges only, so a block is constant if its first address and all edges inside have one key.
            let constant = |block: Prefix| {
                let wanted = key(block.network());
                wanted.is_some() && edges.iter().filter(|edge| block.contains(**edge)).all(|edge| key(*edge) == wanted)
            };
            for address in edges.iter().copied().filter(|address| key(*address).is_some()) {
                let scope = scopes[table.locate(address, u8::MAX).range.0 as usize];
                prop_assert!(constant(Prefix::masked(address, scope)), "{}/{} is not constant", address, scope);
                if scope > 0 {
                    prop_assert!(!constant(Prefix::masked(address, scope - 1)), "{}/{} could be larger", address, scope);
                }
            }
        }
    }
}

//! What a place table is made of, and the order to make it: overrides, geo files, named prefixes and reserved blocks.
//! It never reads a file; it is given rows and gives a table that is total and disjoint, or says why not.

use std::collections::BTreeSet;
use std::fmt;

use super::loom::Loom;
use super::place::{Fields, RegionId};
use super::prefix::Prefix;
use super::source::Rows;
use super::table::PlaceTable;

/// At most this many geo files: each costs a layer of every look-up at build time, and nobody has more vendors.
pub const MAX_SOURCES: usize = 16;

/// At most this many ranges of both families, eight times the largest databases sold: the table stays under 1 GiB.
pub const MAX_RANGES: usize = 32 << 20;

/// One entry of `networks:`, with its region's point already filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The block that it speaks of.
    pub prefix: Prefix,
    /// What it says; fields that are missing keep the geo data's value.
    pub fields: Fields,
    /// The region to rank first, where the entry names one.
    pub pin: Option<RegionId>,
}

/// All that a table is made of.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Entries of `networks:`; the longest prefix wins, and they win over the geo data.
    pub overrides: Vec<Override>,
    /// Geo files in order; each field comes from the first that has it.
    pub sources: Vec<Rows>,
    /// Every prefix that a rule or a latency table names: an edge of the table even where the geo data has none.
    pub named_prefixes: Vec<Prefix>,
    /// Every autonomous system that a rule or a table names; others are dropped, so that they do not split ranges.
    pub named_asns: BTreeSet<u32>,
}

/// Why no table can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// Two overrides speak of the same block and say different things (G6); indices into [`Inputs::overrides`].
    Conflict {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
        /// The block.
        prefix: Prefix,
    },
    /// More than [`MAX_SOURCES`] geo files.
    TooManySources,
    /// More than [`MAX_RANGES`] ranges.
    TooManyRanges,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Conflict { prefix, .. } => write!(f, "network `{prefix}` is given twice with different values"),
            BuildError::TooManySources => write!(f, "more than {MAX_SOURCES} geo files"),
            BuildError::TooManyRanges => write!(f, "the geo data splits the address space into more than {MAX_RANGES} ranges"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds the table. O(n log n) in the number of networks, one pass over each sorted source, no trie.
pub fn build(inputs: Inputs) -> Result<PlaceTable, BuildError> {
    if inputs.sources.len() > MAX_SOURCES {
        return Err(BuildError::TooManySources);
    }
    if let Some(&(first, second)) = conflicting_overrides(&inputs.overrides).first() {
        return Err(BuildError::Conflict { first, second, prefix: inputs.overrides[first].prefix });
    }
    let mut loom = Loom::new(inputs);
    let v4 = loom.weave::<u32>()?;
    let v6 = loom.weave::<u128>()?;
    Ok(PlaceTable::new(v4, v6, loom.into_places()))
}

/// Pairs of overrides (indices, earlier first) that speak of the same block and say different things (G6).
pub fn conflicting_overrides(overrides: &[Override]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..overrides.len()).collect();
    order.sort_by_key(|i| overrides[*i].prefix);
    let same_block = |pair: &&[usize]| overrides[pair[0]].prefix == overrides[pair[1]].prefix;
    // Of three that speak of one block, two neighbours differ if any two do.
    let pairs = order.windows(2).filter(same_block).filter(|pair| overrides[pair[0]] != overrides[pair[1]]);
    let mut pairs: Vec<(usize, usize)> = pairs.map(|pair| (pair[0], pair[1])).collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::place::{Code, Kind, Place, Point, SourceId};
    use crate::geo::source::{builtin, csv};
    use crate::geo::table::Leaf;
    use std::net::IpAddr;
    use std::path::Path;

    fn rows(text: &str) -> Rows {
        csv::read(Path::new("own.csv"), text.as_bytes()).unwrap()
    }

    fn entry(prefix: &str, fields: Fields, pin: Option<u16>) -> Override {
        Override { prefix: prefix.parse().unwrap(), fields, pin: pin.map(RegionId) }
    }

    fn country(code: &str) -> Fields {
        Fields { country: Code::parse(code), ..Fields::default() }
    }

    fn at(latitude: f64, longitude: f64) -> Fields {
        Fields { point: Point::new(latitude, longitude).ok(), ..Fields::default() }
    }

    fn leaf(table: &PlaceTable, address: &str) -> Leaf {
        table.locate(address.parse().unwrap(), u8::MAX)
    }

    fn place<'t>(table: &'t PlaceTable, address: &str) -> Place<'t> {
        table.place(leaf(table, address).place)
    }

    /// The scope of an address for a plan that looks at everything in a place.
    fn scope(table: &PlaceTable, address: &str) -> u8 {
        let leaf = leaf(table, address);
        table.scopes(|place| place)[leaf.range.0 as usize] + leaf.shift
    }

    #[test]
    fn g6_overrides_win_over_the_database_and_the_longest_wins() {
        let table = build(Inputs {
            overrides: vec![entry("10.0.0.0/8", at(1.0, 1.0), Some(1)), entry("10.1.0.0/16", at(2.0, 2.0), Some(2))],
            sources: vec![rows("network,country,city\n10.1.2.0/24,FR,Paris\n")],
            ..Inputs::default()
        })
        .unwrap();
        let paris = place(&table, "10.1.2.3");
        assert_eq!((paris.point, paris.pin), (Point::new(2.0, 2.0).ok(), Some(RegionId(2))));
        // Fields that are not given keep the geo data's value.
        assert_eq!((paris.country, paris.city, paris.source), (Code::parse("FR"), Some("Paris"), SourceId::Override));
        assert_eq!(place(&table, "10.2.0.1").pin, Some(RegionId(1)));
    }

    #[test]
    fn g6_the_same_block_with_different_values_is_an_error_and_with_equal_values_is_not() {
        let one = |prefix: &str, code| entry(prefix, country(code), None);
        let list = vec![one("2001:db8::/32", "FR"), one("10.0.0.0/8", "FR"), one("2001:0DB8::/32", "DE"), one("10.0.0.0/8", "FR")];
        assert_eq!(conflicting_overrides(&list), [(0, 2)]);
        let error = build(Inputs { overrides: list, ..Inputs::default() }).unwrap_err();
        assert_eq!(error.to_string(), "network `2001:db8::/32` is given twice with different values");
    }

    #[test]
    fn each_field_comes_from_the_first_file_that_has_it() {
        let table = build(Inputs {
            sources: vec![rows("network,country\n1.0.0.0/8,FR\n"), rows("network,latitude,longitude,country\n1.2.0.0/16,50.0,8.0,DE\n")],
            ..Inputs::default()
        })
        .unwrap();
        let both = place(&table, "1.2.3.4");
        assert_eq!((both.country, both.point, both.source), (Code::parse("FR"), Point::new(50.0, 8.0).ok(), SourceId::File(1)));
        assert_eq!(table.prefix_of(leaf(&table, "1.2.3.4").range).to_string(), "1.2.0.0/16");
        assert_eq!(place(&table, "1.3.0.0").source, SourceId::File(0));
    }

    #[test]
    fn g5_a_country_gives_its_point_and_a_continent_alone_none() {
        let table = build(Inputs {
            sources: vec![rows("network,country,continent\n1.0.0.0/8,FR,\n2.0.0.0/8,,EU\n3.0.0.0/8,ZZ,\n")],
            ..Inputs::default()
        });
        let table = table.unwrap();
        let france = builtin::country(Code::parse("FR").unwrap()).unwrap();
        let found = place(&table, "1.1.1.1");
        assert_eq!((found.point, found.continent, found.kind), (Some(france.point), Code::parse("EU"), Kind::Located));
        let europe = place(&table, "2.1.1.1");
        assert_eq!((europe.point, europe.continent, europe.kind), (None, Code::parse("EU"), Kind::Unknown));
        assert_eq!(place(&table, "3.1.1.1").kind, Kind::Unknown);
    }

    #[test]
    fn g1_an_unknown_client_has_no_point() {
        let table = build(Inputs::default()).unwrap();
        assert_eq!((place(&table, "8.8.8.8").point, place(&table, "8.8.8.8").kind), (None, Kind::Unknown));
        assert_eq!(place(&table, "8.8.8.8").to_string(), "unknown");
    }

    #[test]
    fn e6_reserved_addresses_fall_to_the_peer_only_on_a_miss() {
        let table = build(Inputs {
            overrides: vec![entry("10.20.0.0/16", at(50.0, 8.0), Some(0))],
            sources: vec![rows("network,country\n192.168.7.0/24,FR\nfc00:7::/32,FR\n203.0.113.0/24,\n")],
            ..Inputs::default()
        })
        .unwrap();
        for address in [
            "10.21.0.1",
            "192.168.8.1",
            "127.0.0.1",
            "100.64.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "fc00:8::1",
            "::1",
            "fe80::1",
            "2001:db8::1",
        ] {
            assert_eq!(place(&table, address).kind, Kind::UsePeer, "{address}");
        }
        for address in ["10.20.1.1", "192.168.7.1", "fc00:7::1"] {
            assert_eq!(place(&table, address).kind, Kind::Located, "{address}");
        }
        for address in ["11.0.0.1", "2a00::1", "64:ff9c::1"] {
            assert_eq!(place(&table, address).kind, Kind::Unknown, "{address}");
        }
    }

    #[test]
    fn e6_the_scope_of_a_reserved_address_is_the_extent_of_its_hole() {
        let table = build(Inputs { sources: vec![builtin::world().unwrap()], ..Inputs::default() }).unwrap();
        assert_eq!((scope(&table, "10.1.2.3"), scope(&table, "192.168.1.1"), scope(&table, "224.0.0.1")), (8, 16, 3));
        assert_eq!(scope(&table, "2001:db8::1"), 32);
    }

    #[test]
    fn s1_ten_eight_minus_ten_one_gives_fifteen_for_ten_two() {
        let table = build(Inputs {
            overrides: vec![entry("10.0.0.0/8", at(1.0, 1.0), None), entry("10.1.0.0/16", at(2.0, 2.0), None)],
            ..Inputs::default()
        })
        .unwrap();
        let scopes = ["10.2.0.1", "10.1.0.1", "10.0.0.1", "10.4.0.1", "10.128.0.1"].map(|address| scope(&table, address));
        assert_eq!(scopes, [15, 16, 16, 14, 9]);
    }

    #[test]
    fn s9_the_scope_of_an_unknown_address_is_the_extent_of_the_hole() {
        let table = build(Inputs { sources: vec![rows("network,country\n80.0.0.0/8,FR\n")], ..Inputs::default() }).unwrap();
        assert_eq!((scope(&table, "81.2.3.4"), scope(&table, "64.0.0.1")), (8, 4));
    }

    #[test]
    fn s8_ipv4_inside_ipv6_is_looked_up_as_ipv4_with_its_scope_moved() {
        let table = build(Inputs {
            overrides: vec![entry("::/0", country("DE"), None)],
            sources: vec![rows("network,country\n80.0.0.0/8,FR\n2002::/16,IT\n")],
            ..Inputs::default()
        })
        .unwrap();
        let direct = leaf(&table, "80.1.2.3");
        for (address, shift) in [("::ffff:80.1.2.3", 96), ("64:ff9b::80.1.2.3", 96), ("2002:5001:203::1", 16)] {
            let found = leaf(&table, address);
            assert_eq!((found.range, found.place, found.shift), (direct.range, direct.place, shift), "{address}");
            assert_eq!(scope(&table, address), 8 + shift);
        }
        // No IPv4 bits in the source: the block itself, which is unknown, whatever networks are laid around it.
        for (address, source_length) in [("::ffff:0:0", 96), ("64:ff9b::", 32), ("2002::", 16)] {
            let found = table.locate(address.parse::<IpAddr>().unwrap(), source_length);
            assert_eq!((table.place(found.place).kind, found.shift), (Kind::Unknown, 0), "{address}");
            assert_eq!(table.place(found.place).source, SourceId::Embedded);
            assert_eq!(table.scopes(|place| place)[found.range.0 as usize], 128);
        }
        assert_eq!(place(&table, "2003::1").country, Code::parse("DE"));
    }

    #[test]
    fn s2_a_block_of_embedded_ipv4_is_never_inside_a_scope() {
        let table = build(Inputs::default()).unwrap();
        let scopes = table.scopes(|_| ());
        let scope = |address: &str| scopes[leaf(&table, address).range.0 as usize];
        assert_eq!(scope("8.8.8.8"), 0);
        assert_eq!((scope("2003::1"), scope("2001::1"), scope("4000::1")), (16, 15, 2));
    }

    #[test]
    fn a_system_splits_ranges_only_where_it_is_named() {
        let source = || rows("network,latitude,longitude,asn\n80.0.0.0/9,1,1,64500\n80.128.0.0/9,1,1,64501\n");
        let plain = build(Inputs { sources: vec![source()], ..Inputs::default() }).unwrap();
        assert_eq!(plain.prefix_of(leaf(&plain, "80.1.1.1").range).to_string(), "80.0.0.0/8");
        let named = build(Inputs { sources: vec![source()], named_asns: BTreeSet::from([64501]), ..Inputs::default() }).unwrap();
        assert_eq!((place(&named, "80.1.1.1").asn, place(&named, "80.200.1.1").asn), (None, Some(64501)));
    }

    #[test]
    fn a_system_that_nobody_names_hides_what_later_files_say_all_the_same() {
        let first = || rows("network,asn\n80.0.0.0/9,64500\n");
        let second = || rows("network,asn\n80.0.0.0/8,64501\n");
        let named_asns = BTreeSet::from([64501]);
        let table = build(Inputs { sources: vec![first(), second()], named_asns: named_asns.clone(), ..Inputs::default() }).unwrap();
        assert_eq!((place(&table, "80.1.1.1").asn, place(&table, "80.200.1.1").asn), (None, Some(64501)));
        let overrides = vec![entry("80.1.0.0/16", Fields { asn: Some(64500), ..Fields::default() }, None)];
        let table = build(Inputs { overrides, sources: vec![second()], named_asns, ..Inputs::default() }).unwrap();
        assert_eq!((place(&table, "80.1.1.1").asn, place(&table, "80.2.1.1").asn), (None, Some(64501)));
    }

    #[test]
    fn every_named_prefix_is_an_edge_and_the_longest_is_kept() {
        let named_prefixes = ["80.0.0.0/8", "80.1.0.0/16", "2a00::/16"].map(|text| text.parse().unwrap());
        let table = build(Inputs { named_prefixes: named_prefixes.to_vec(), ..Inputs::default() }).unwrap();
        assert_eq!(place(&table, "80.1.1.1").named, Some(named_prefixes[1]));
        assert_eq!(place(&table, "80.2.1.1").named, Some(named_prefixes[0]));
        assert_eq!((place(&table, "2a00::1").named, place(&table, "2a01::1").named), (Some(named_prefixes[2]), None));
    }

    #[test]
    fn equal_content_has_an_equal_generation() {
        let table = |text: &str| build(Inputs { sources: vec![rows(text)], ..Inputs::default() }).unwrap().generation();
        assert_eq!(table("network,country\n80.0.0.0/8,FR\n"), table("country,network\nFR,80.0.0.0/9\nFR,80.128.0.0/9\n"));
        assert_ne!(table("network,country\n80.0.0.0/8,FR\n"), table("network,country\n80.0.0.0/8,DE\n"));
        assert_ne!(table("network,country\n80.0.0.0/8,FR\n"), table("network,country\n81.0.0.0/8,FR\n"));
    }

    #[test]
    fn too_many_files_are_refused() {
        let sources = (0..=MAX_SOURCES).map(|_| rows("network\n")).collect();
        assert_eq!(build(Inputs { sources, ..Inputs::default() }).unwrap_err(), BuildError::TooManySources);
    }
}

//! Made-up worlds: regions, nested networks in several geo files and overrides, rules and names, as structures for a judge and as files for
//! Meridian. The same number gives the same world; nothing here knows what is right.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meridian::geo::{Family, Prefix};

use crate::common::random::{Draws, Random};

/// Latitude and longitude in hundredths of a degree.
pub(crate) type Spot = (i32, i32);

/// What a line of a file or an override says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) spot: Option<Spot>,
    pub(crate) country: Option<&'static str>,
    pub(crate) continent: Option<&'static str>,
    pub(crate) asn: Option<u32>,
}

/// An entry of `networks:`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) prefix: Prefix,
    pub(crate) said: Said,
    pub(crate) region: Option<usize>,
}

/// A data centre.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) spot: Spot,
    /// In thousandths.
    pub(crate) weight: u32,
    /// Whether it has IPv4, IPv6.
    pub(crate) families: [bool; 2],
    /// Taken down by hand.
    pub(crate) is_down: bool,
}

/// What a rule asks for; every list that is not empty must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct When {
    pub(crate) networks: Vec<Prefix>,
    pub(crate) asns: Vec<u32>,
    pub(crate) countries: Vec<&'static str>,
    pub(crate) continents: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Prefer,
    Only,
    /// A hard fence.
    Fence,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) when: When,
    pub(crate) action: Action,
    pub(crate) regions: Vec<usize>,
}

/// A steered name.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) label: String,
    pub(crate) rules: Vec<Rule>,
    pub(crate) spread_km: u32,
    pub(crate) is_sticky: bool,
    pub(crate) is_nodata: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) regions: Vec<Region>,
    pub(crate) files: Vec<Vec<(Prefix, Said)>>,
    pub(crate) networks: Vec<Entry>,
    pub(crate) names: Vec<Name>,
}

/// With a point in the built-in table, and one without.
const COUNTRIES: [&str; 4] = ["FR", "JP", "BR", "ZZ"];
const CONTINENTS: [&str; 3] = ["EU", "AS", "SA"];
const SYSTEMS: [u32; 3] = [64500, 64501, 64502];

/// Where networks nest: public, reserved, and IPv4 inside IPv6 (which is never met there).
const TRUNKS: [(&str, bool); 12] = [
    ("80.1.2.3", true),
    ("80.1.130.77", true),
    ("10.20.30.40", true),
    ("192.168.1.1", true),
    ("203.0.113.200", true),
    ("255.255.255.255", true),
    ("2a00:1:2:3::4", false),
    ("2a00:1:2:8000::1", false),
    ("2001:db8::1", false),
    ("fd00::1", false),
    ("2002:5001:203::1", false),
    ("64:ff9b::80.1.2.3", false),
];

impl World {
    /// A world with its names.
    pub(crate) fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let count = 2 + random.below(11);
        let regions: Vec<Region> = (0..count).map(|_| region(&mut random)).collect();
        let files = (0..1 + random.below(3)).map(|_| file(&mut random)).collect();
        let networks = networks(&mut random, count);
        let names = ["plain", "ruled", "wide", "sticky"].map(|label| name(label, &regions, &mut random)).into();
        World { regions, files, networks, names }
    }

    /// Every prefix that is told anywhere.
    pub(crate) fn prefixes(&self) -> Vec<Prefix> {
        let files = self.files.iter().flatten().map(|(prefix, _)| *prefix);
        let rules = self.names.iter().flat_map(|name| &name.rules).flat_map(|rule| rule.when.networks.iter().copied());
        files.chain(self.networks.iter().map(|entry| entry.prefix)).chain(rules).collect()
    }

    /// The files that Meridian reads.
    pub(crate) fn written(&self) -> Vec<(String, String)> {
        let names: Vec<String> = (0..self.files.len()).map(|index| format!("geo{index}.csv")).collect();
        let mut server =
            format!("version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\ngeodb: [{}]\n", names.join(", "));
        if !self.networks.is_empty() {
            server += "networks:\n";
        }
        for Entry { prefix, said, region } in &self.networks {
            let region = region.map(|index| format!("region: r{index}"));
            let keys: Vec<String> = said_keys(said).into_iter().chain(region).collect();
            _ = writeln!(server, "  \"{prefix}\": {{{}}}", keys.join(", "));
        }
        let mut all = vec![
            ("meridian.yaml".to_owned(), server),
            ("regions.yaml".into(), self.regions_yaml()),
            ("zone.yaml".into(), self.zone_yaml()),
        ];
        all.extend(names.into_iter().zip(self.files.iter().map(|file| csv(file))));
        all
    }

    fn regions_yaml(&self) -> String {
        let mut yaml = "regions:\n".to_owned();
        for (index, Region { spot, weight, families, is_down }) in self.regions.iter().enumerate() {
            let addresses = [format!("192.0.2.{}", index + 1), format!("\"2001:db8:ffff::{}\"", index + 1)];
            let addresses: Vec<String> = addresses.into_iter().zip(families).filter(|(_, has)| **has).map(|(address, _)| address).collect();
            _ = writeln!(
                yaml,
                "  r{index}: {{location: {{latitude: {}, longitude: {}}}, weight: {}, state: {}, services: {{web: [{}]}}}}",
                degrees(spot.0),
                degrees(spot.1),
                f64::from(*weight) / 1000.0,
                if *is_down { "down" } else { "up" },
                addresses.join(", ")
            );
        }
        // `up` by hand would beat the probes of tests; nothing at all is meant.
        yaml.replace(" state: up,", "")
    }

    fn zone_yaml(&self) -> String {
        let mut yaml = "zone: example.com\nns: [ns.example.net.]\nrecords:\n".to_owned();
        for Name { label, rules, spread_km, is_sticky, is_nodata } in &self.names {
            _ = writeln!(
                yaml,
                "  {label}-alias: {{CNAME: {label}}}\n  {label}:\n    steer:\n      service: web\n      spread: {spread_km}km"
            );
            yaml += if *is_sticky { "      balance: sticky\n" } else { "" };
            yaml += if *is_nodata { "      on_all_down: nodata\n" } else { "" };
            yaml += if rules.is_empty() { "" } else { "      rules:\n" };
            for rule in rules {
                _ = writeln!(yaml, "        - {}", rule_yaml(rule));
            }
        }
        yaml
    }
}

/// An address in the block of this length around an address.
pub(crate) fn inside(around: IpAddr, length: u8, random: &mut Random) -> IpAddr {
    let block = Prefix::masked(around, length);
    match (block.network(), block.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() | random.next() as u32 & (first.to_bits() ^ last.to_bits())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | wide(random) & (first.to_bits() ^ last.to_bits())))
        }
        _ => unreachable!("one family"),
    }
}

/// Any address: near an edge, inside a network or anywhere; some IPv4 inside IPv6.
pub(crate) fn client(prefixes: &[Prefix], family: Family, random: &mut Random) -> IpAddr {
    let all = if family == Family::V4 { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
    if family == Family::V6 && random.one_in(4) {
        let IpAddr::V4(v4) = client(prefixes, Family::V4, random) else { unreachable!("asked for IPv4") };
        let v4 = u128::from(v4.to_bits());
        let embedded = [0x64_ff9b << 96 | v4, 0xffff << 32 | v4, 0x2002 << 112 | v4 << 80 | u128::from(random.next())];
        return IpAddr::V6(Ipv6Addr::from_bits(random.pick(&embedded)));
    }
    let of_family: Vec<&Prefix> = prefixes.iter().filter(|prefix| prefix.family() == family).collect();
    match (random.below(8), of_family.is_empty()) {
        (0, _) | (_, true) => inside(all.network(), 0, random),
        (1, _) => of_family[random.below(of_family.len())].network(),
        (2, _) => of_family[random.below(of_family.len())].last(),
        // Around a network, so that what is beside it is met too.
        (3 | 4, _) => {
            let prefix = of_family[random.below(of_family.len())];
            inside(prefix.network(), prefix.length().saturating_sub(1 + random.below(3) as u8), random)
        }
        _ => {
            let prefix = of_family[random.below(of_family.len())];
            inside(prefix.network(), prefix.length(), random)
        }
    }
}

fn region(random: &mut Random) -> Region {
    let families = random.pick(&[[true, true], [true, true], [true, false], [false, true]]);
    Region { spot: spot(random), weight: random.pick(&[1000, 1000, 1000, 2000, 500, 0]), families, is_down: random.one_in(8) }
}

fn spot(random: &mut Random) -> Spot {
    (random.below(17_001) as i32 - 8_500, random.below(36_001) as i32 - 18_000)
}

/// A trunk's block of some length, or its sibling.
fn prefix(random: &mut Random) -> Prefix {
    let (trunk, is_v4) = random.pick(&TRUNKS);
    let lengths = if is_v4 { 33 } else { 129 };
    // Short blocks are drawn less often: they would cover everything.
    let length = random.below(lengths).max(random.below(lengths)) as u8;
    let block = Prefix::masked(trunk.parse().unwrap(), length);
    if length == 0 || random.one_in(2) {
        return block;
    }
    let parent = Prefix::masked(block.network(), length - 1);
    let sibling =
        if block.network() == parent.network() { Prefix::masked(parent.last(), length) } else { Prefix::masked(parent.network(), length) };
    assert!(parent.covers(&sibling) && sibling != block);
    sibling
}

fn said(random: &mut Random) -> Said {
    let mut some = |of| random.one_in(of);
    let (has_spot, has_country, has_continent, has_asn) = (some(2), some(3), some(4), some(4));
    Said {
        spot: has_spot.then(|| spot(random)),
        country: has_country.then(|| random.pick(&COUNTRIES)),
        continent: has_continent.then(|| random.pick(&CONTINENTS)),
        asn: has_asn.then(|| random.pick(&SYSTEMS)),
    }
}

fn file(random: &mut Random) -> Vec<(Prefix, Said)> {
    let mut rows: Vec<(Prefix, Said)> = (0..random.below(40)).map(|_| (prefix(random), said(random))).collect();
    rows.sort_by_key(|(prefix, _)| *prefix);
    rows.dedup_by_key(|(prefix, _)| *prefix);
    rows
}

fn networks(random: &mut Random, regions: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..random.below(12) {
        let region = random.one_in(3).then(|| random.below(regions));
        let mut said = said(random);
        if region.is_none() && said_keys(&said).is_empty() {
            said.asn = Some(SYSTEMS[0]);
        }
        entries.push(Entry { prefix: prefix(random), said, region });
    }
    entries.sort_by_key(|entry| entry.prefix);
    entries.dedup_by_key(|entry| entry.prefix);
    entries
}

fn name(label: &str, regions: &[Region], random: &mut Random) -> Name {
    let count = if label == "plain" { 0 } else { random.below(4) };
    let rules: Vec<Rule> = (0..count).map(|_| rule(regions, random)).collect();
    let is_fenced = rules.iter().any(|rule| rule.action == Action::Fence);
    Name {
        label: label.to_owned(),
        rules,
        spread_km: if label == "wide" { 100 + random.below(5000) as u32 } else { 0 },
        is_sticky: label == "sticky",
        is_nodata: !is_fenced && random.one_in(3),
    }
}

fn rule(regions: &[Region], random: &mut Random) -> Rule {
    let mut when = When::default();
    match random.below(5) {
        0 => when.asns = some(random, &SYSTEMS),
        1 => when.countries = some(random, &COUNTRIES),
        2 => when.continents = some(random, &CONTINENTS),
        3 => (when.continents, when.networks) = (some(random, &CONTINENTS), vec![prefix(random), prefix(random)]),
        _ => when.networks = (0..1 + random.below(3)).map(|_| prefix(random)).collect(),
    }
    let all: Vec<usize> = (0..regions.len()).collect();
    let chosen = some(random, &all);
    let action = random.pick(&[Action::Prefer, Action::Only, Action::Fence]);
    // A hard fence must hold what the name has elsewhere.
    let lacks = |family: usize| {
        regions.iter().any(|region| region.families[family]) && !chosen.iter().any(|index| regions[*index].families[family])
    };
    let action = if action == Action::Fence && (lacks(0) || lacks(1)) { Action::Only } else { action };
    Rule { when, action, regions: chosen }
}

fn rule_yaml(Rule { when, action, regions }: &Rule) -> String {
    let list = |key: &str, values: Vec<String>| if values.is_empty() { None } else { Some(format!("{key}: [{}]", values.join(", "))) };
    let keys = [
        list("network", when.networks.iter().map(|prefix| format!("\"{prefix}\"")).collect()),
        list("asn", when.asns.iter().map(ToString::to_string).collect()),
        list("country", when.countries.iter().map(ToString::to_string).collect()),
        list("continent", when.continents.iter().map(ToString::to_string).collect()),
    ];
    let keys: Vec<String> = keys.into_iter().flatten().collect();
    let regions: Vec<String> = regions.iter().map(|index| format!("r{index}")).collect();
    let (word, fence) = match action {
        Action::Prefer => ("prefer", ""),
        Action::Only => ("only", ""),
        Action::Fence => ("only", ", fence: hard, fallback: [198.51.100.99, \"2001:db8:ffff::99\"]"),
    };
    format!("{{when: {{{}}}, {word}: [{}]{fence}}}", keys.join(", "), regions.join(", "))
}

fn said_keys(said: &Said) -> Vec<String> {
    let spot = said.spot.map(|(north, east)| format!("latitude: {}, longitude: {}", degrees(north), degrees(east)));
    let country = said.country.map(|code| format!("country: {code}"));
    let continent = said.continent.map(|code| format!("continent: {code}"));
    [spot, country, continent, said.asn.map(|asn| format!("asn: {asn}"))].into_iter().flatten().collect()
}

fn csv(rows: &[(Prefix, Said)]) -> String {
    let mut text = "network,latitude,longitude,country,continent,asn\n".to_owned();
    for (prefix, said) in rows {
        let (north, east) = said.spot.map(|(north, east)| (degrees(north), degrees(east))).unwrap_or_default();
        let asn = said.asn.map(|asn| asn.to_string()).unwrap_or_default();
        _ = writeln!(text, "{prefix},{north},{east},{},{},{asn}", said.country.unwrap_or_default(), said.continent.unwrap_or_default());
    }
    text
}

/// Hundredths as text: `-12.34`.
fn degrees(hundredths: i32) -> String {
    format!("{:.2}", f64::from(hundredths) / 100.0)
}

/// Some of a list, at least one, in an order of its own.
fn some<T: Clone>(random: &mut Random, list: &[T]) -> Vec<T> {
    let mut left = list.to_vec();
    let count = 1 + random.below(left.len());
    (0..count).map(|_| left.swap_remove(random.below(left.len()))).collect()
}

fn wide(random: &mut Random) -> u128 {
    u128::from(random.next()) << 64 | u128::from(random.next())
}

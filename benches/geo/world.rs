//! A made-up geo database of any size: disjoint networks of both families in the order of addresses, each with one of many records.
//! The same sizes give the same world on every machine; lengths and neighbourhoods are about those of the databases that are sold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meridian::random::Random;

use super::mmdb::{Record, V4_BITS_BEFORE};

/// Networks: first address, prefix length, index of the record.
pub(crate) struct World {
    pub(crate) v4: Vec<(u32, u8, u32)>,
    pub(crate) v6: Vec<(u128, u8, u32)>,
    pub(crate) records: Vec<Record>,
}

/// One network in this many is IPv6.
const V6_SHARE: usize = 4;

/// Countries with a continent and a point around which their cities lie.
const COUNTRIES: [(&str, &str, f64, f64); 12] = [
    ("US", "NA", 39.0, -92.0),
    ("DE", "EU", 51.0, 10.0),
    ("JP", "AS", 35.5, 138.0),
    ("BR", "SA", -19.0, -47.0),
    ("GB", "EU", 52.0, -1.5),
    ("FR", "EU", 47.0, 2.5),
    ("IN", "AS", 23.0, 79.0),
    ("CN", "AS", 32.5, 113.0),
    ("AU", "OC", -33.0, 147.0),
    ("ZA", "AF", -28.0, 28.0),
    ("CA", "NA", 45.5, -79.0),
    ("RU", "EU", 55.5, 42.0),
];

/// Allocations of registries in IPv6: first group, and how much of the networks of the family lies there.
const V6_BLOCKS: [(u16, usize); 7] = [(0x2001, 18), (0x2400, 14), (0x2600, 18), (0x2800, 8), (0x2804, 8), (0x2a00, 24), (0x2a02, 10)];

impl World {
    /// A world of `networks` networks, give or take a few, over `records` records.
    pub(crate) fn new(networks: usize, records: usize) -> World {
        let mut random = Random::new(4);
        let records: Vec<Record> = (0..records).map(|index| record(index, &mut random)).collect();
        let v6 = networks / V6_SHARE;
        World { v4: v4(networks - v6, records.len(), &mut random), v6: v6_networks(v6, records.len(), &mut random), records }
    }

    /// All networks as one tree of IPv6 has them, IPv4 in ::/96: first address, length, record.
    pub(crate) fn in_one_tree(&self) -> impl Iterator<Item = (u128, u8, u32)> + '_ {
        let v4 = self.v4.iter().map(|(first, length, record)| (u128::from(*first), V4_BITS_BEFORE + length, *record));
        v4.chain(self.v6.iter().copied())
    }

    /// All networks in order: address, length, record.
    pub(crate) fn networks(&self) -> impl Iterator<Item = (IpAddr, u8, u32)> + '_ {
        let v4 = self.v4.iter().map(|(first, length, record)| (IpAddr::V4(Ipv4Addr::from_bits(*first)), *length, *record));
        let v6 = self.v6.iter().map(|(first, length, record)| (IpAddr::V6(Ipv6Addr::from_bits(*first)), *length, *record));
        v4.chain(v6)
    }
}

/// From -1 to 1, dense around 0.
fn around(random: &mut Random) -> f64 {
    let mut part = || random.below(2_000_001) as f64 / 1_000_000.0 - 1.0;
    (part() + part() + part()) / 3.0
}

fn record(index: usize, random: &mut Random) -> Record {
    let (country, continent, latitude, longitude) = COUNTRIES[random.below(100).min(random.below(COUNTRIES.len()))];
    // Four decimals, as the vendors have them.
    let degrees = |value: f64| (value * 10_000.0).round() / 10_000.0;
    Record {
        latitude: degrees(latitude + 9.0 * around(random)),
        longitude: degrees(longitude + 18.0 * around(random)),
        continent,
        country,
        subdivision: format!("{:02}", random.below(50)),
        city: format!("Town {:x}", index as u64 * 0x9e37 % 0xf_ffff),
    }
}

/// The record of the next network: neighbours often share one, and some records are met far more often than others.
fn next_record(before: u32, records: usize, random: &mut Random) -> u32 {
    match random.below(4) {
        0 => before,
        1 => random.below(records / 20 + 1) as u32,
        _ => random.below(records) as u32,
    }
}

/// Networks one behind the other over the unicast space, mostly /24 to /20, some much longer.
fn v4(count: usize, records: usize, random: &mut Random) -> Vec<(u32, u8, u32)> {
    const FIRST: u64 = 1 << 24;
    const LAST: u64 = 224 << 24;
    let mut networks = Vec::with_capacity(count);
    let (mut at, mut record) = (FIRST, 0);
    while at < LAST && networks.len() < count {
        // What is left is shared by those that are left, so that the last network ends near the last address.
        let mean = ((LAST - at) / (count - networks.len()) as u64).max(1).ilog2() as i32;
        let spread = [-7, -4, -3, -2, -2, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2][random.below(15)];
        let free = (mean + spread).clamp(0, 20).min(at.trailing_zeros() as i32);
        record = next_record(record, records, random);
        networks.push((at as u32, 32 - free as u8, record));
        at += 1 << free;
    }
    networks
}

/// Sites (/32 to /48, some as long as /64) one behind the other in the blocks of the registries, with holes between.
fn v6_networks(count: usize, records: usize, random: &mut Random) -> Vec<(u128, u8, u32)> {
    let mut networks = Vec::with_capacity(count);
    let mut record = 0;
    for (group, percent) in V6_BLOCKS {
        let mut at: u128 = u128::from(group) << 112 | 0x0200 << 96;
        let mut left = count * percent / 100;
        while left > 0 && at >> 112 == u128::from(group) {
            let length = [32, 36, 40, 44, 44, 46, 47, 48, 48, 48, 48, 48, 48, 52, 56, 64][random.below(16)];
            let free = (128 - length).min(at.trailing_zeros());
            if random.below(10) > 0 {
                record = next_record(record, records, random);
                networks.push((at, 128 - free as u8, record));
                left -= 1;
            }
            at += 1 << free;
        }
    }
    networks
}

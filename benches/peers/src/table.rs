//! The one table that all servers are configured from: networks and their regions, names, zones. Drawn from a seed.
//! It knows no server and writes no file but its own size.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::question::{Pool, query};
use crate::random::Random;

/// The zone of the steered and of the static name, and of the names that are asked for at random.
pub(crate) const ZONE: &str = "example.com";
pub(crate) const STEERED: &str = "geo.example.com";
pub(crate) const STATIC: &str = "www.example.com";

/// What the static name has, and the steered one where a server knows no geography.
pub(crate) const STATIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const EVERYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);

/// TTL of all records, in seconds.
pub(crate) const TTL: u32 = 300;

/// Where the sizes of a generated table are kept.
const SIZE_FILE: &str = "size.txt";

/// Questions with client subnets; more would only fill the sender's cache.
const LOCATED_QUESTIONS: usize = 65_536;

/// Questions for names and for zones, drawn from all of them.
const NAMED_QUESTIONS: usize = 500_000;

/// Prefix lengths, each as often as it stands here: as in the wild, and only small ones where there must be room for many.
const LENGTHS: [u8; 10] = [14, 16, 16, 18, 18, 20, 20, 22, 24, 24];
const SMALL_LENGTHS: [u8; 10] = [22, 22, 23, 23, 24, 24, 24, 24, 24, 24];

/// From this many networks on they are small ones.
const MANY: usize = 20_000;

/// Networks that nobody routes, and that servers may treat as they please.
const RESERVED: [(Ipv4Addr, u8); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// How much is compared. With the same sizes and seed the table is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct Size {
    /// Networks of the geography.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(crate) networks: u32,
    /// Regions that they lie in.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) regions: u32,
    /// Static names beside the one that is always there.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub(crate) names: u32,
    /// Zones.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) zones: u32,
    /// Another seed gives other networks and names.
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// The first port of loopback; each server has the next one.
    #[arg(long, default_value_t = 15_400, value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub(crate) port: u16,
}

impl Size {
    const KEYS: [&str; 6] = ["networks", "regions", "names", "zones", "seed", "port"];

    /// Keeps the sizes in the folder that is generated.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let values = [self.networks.into(), self.regions.into(), self.names.into(), self.zones.into(), self.seed, self.port.into()];
        let text: String = Size::KEYS.iter().zip(values).map(|(key, value)| format!("{key} {value}\n")).collect();
        crate::files::write(&folder.join(SIZE_FILE), &text)
    }

    /// The sizes of a folder that was generated.
    pub(crate) fn load(folder: &Path) -> Result<Size> {
        let path = folder.join(SIZE_FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("{}: not written by `peers generate`", path.display()))?;
        Size::parse(&text).with_context(|| format!("{}: not as `peers generate` writes it", path.display()))
    }

    fn parse(text: &str) -> Result<Size> {
        let value = |key: &str| -> Result<u64> {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            found.with_context(|| format!("`{key}` is missing"))?.parse().with_context(|| format!("`{key}`"))
        };
        let small = |key: &str| -> Result<u32> { value(key)?.try_into().with_context(|| format!("`{key}`")) };
        Ok(Size {
            networks: small("networks")?,
            regions: small("regions")?,
            names: small("names")?,
            zones: small("zones")?,
            seed: value("seed")?,
            port: small("port")?.try_into().context("`port`")?,
        })
    }
}

/// An IPv4 network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    pub(crate) first: u32,
    pub(crate) length: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.first), self.length)
    }
}

impl Network {
    fn last(self) -> u32 {
        self.first | (u32::MAX >> self.length)
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Workload {
    /// The steered name, with a client subnet that is another one each time.
    Ecs,
    /// The same from clients that have a DNS cookie of their own and none of the server yet.
    Cookies,
    /// One static name.
    Static,
    /// Static names of one large zone, at random.
    Names,
    /// One static name of each of many zones, at random.
    Zones,
    /// The static name over TCP: kept connections, pipelined.
    Tcp,
}

impl Workload {
    /// Whether the right answer depends on where the client is.
    pub(crate) fn is_located(self) -> bool {
        matches!(self, Workload::Ecs | Workload::Cookies)
    }
}

/// The table itself. Regions are counted from 1.
pub(crate) struct Table {
    pub(crate) size: Size,
    /// Disjoint networks in the order of addresses, each with its region.
    pub(crate) networks: Vec<(Network, u32)>,
    /// First labels of the names, in the order of the zone file.
    pub(crate) hosts: Vec<String>,
    /// Names of the zones beside `ZONE`.
    pub(crate) zones: Vec<String>,
}

impl Table {
    /// Draws a table.
    pub(crate) fn new(size: Size) -> Table {
        let mut random = Random::new(size.seed);
        let networks = networks(size, &mut random.split());
        let mut hosts = random.split();
        // The number in front keeps them apart, the one behind keeps neighbours in the file from being neighbours in a tree.
        let hosts = (0..size.names).map(|index| format!("h{:06x}-{index:x}", hosts.next() >> 40)).collect();
        let mut zones = random.split();
        let zones = (1..size.zones).map(|index| format!("z{:06x}-{index:x}.example", zones.next() >> 40)).collect();
        Table { size, networks, hosts, zones }
    }

    /// The address of a region, and of the name or zone with this index.
    pub(crate) fn address(index: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, (index >> 8) as u8, index as u8)
    }

    /// Regions, each with its address.
    pub(crate) fn regions(&self) -> impl Iterator<Item = (u32, Ipv4Addr)> {
        (1..=self.size.regions).map(|region| (region, Table::address(region as usize)))
    }

    /// What is asked, in the order of asking. A server that knows no geography answers all clients alike.
    pub(crate) fn pool(&self, workload: Workload, located: bool) -> Pool {
        let mut random = Random::new(self.size.seed ^ 1);
        match workload {
            Workload::Ecs => self.clients(&self.networks, located, &mut random),
            Workload::Cookies => self.clients(&self.networks, located, &mut random).with_cookies(),
            Workload::Static | Workload::Tcp => one(STATIC, STATIC_ADDRESS),
            Workload::Names => drawn(self.hosts.len(), &mut random, |index| format!("{}.{ZONE}", self.hosts[index])),
            Workload::Zones => drawn(self.zones.len(), &mut random, |index| format!("www.{}", self.zones[index])),
        }
    }

    /// Questions of clients in these networks.
    pub(crate) fn clients(&self, networks: &[(Network, u32)], located: bool, random: &mut Random) -> Pool {
        let mut pool = Pool::new();
        for _ in 0..LOCATED_QUESTIONS {
            let (network, region) = networks[random.below(networks.len())];
            let client = network.first + random.below(1 << (32 - network.length)) as u32;
            let expected = if located { Table::address(region as usize) } else { EVERYWHERE };
            pool.add(&query(STEERED, Some(Ipv4Addr::from_bits(client & !0xff))), Some(expected));
        }
        pool
    }

    /// One question of each kind and some from all over: a server that answers them all has loaded everything.
    pub(crate) fn samples(&self, located: bool) -> Pool {
        const SAMPLES: usize = 64;
        let mut pool = one(STATIC, STATIC_ADDRESS);
        let mut take = |from: &Pool| {
            let step = from.len().div_ceil(SAMPLES).max(1);
            (0..from.len()).step_by(step).for_each(|at| pool.add(from.query(at), from.expected(at)));
        };
        take(&self.pool(Workload::Ecs, located));
        take(&self.pool(Workload::Names, located));
        take(&self.pool(Workload::Zones, located));
        pool
    }

    /// Why this table has nothing to ask of a kind.
    pub(crate) fn check(&self, workload: Workload) -> Result<()> {
        match workload {
            Workload::Names if self.hosts.is_empty() => bail!("the table has no names; generate it with --names"),
            Workload::Zones if self.zones.is_empty() => bail!("the table has one zone; generate it with --zones"),
            _ => Ok(()),
        }
    }
}

fn one(name: &str, address: Ipv4Addr) -> Pool {
    let mut pool = Pool::new();
    pool.add(&query(name, None), Some(address));
    pool
}

/// Up to `NAMED_QUESTIONS` of `count` names, each once, in an order that is not that of the file.
fn drawn(count: usize, random: &mut Random, name: impl Fn(usize) -> String) -> Pool {
    let mut order: Vec<usize> = (0..count).collect();
    let mut pool = Pool::new();
    for at in 0..count.min(NAMED_QUESTIONS) {
        order.swap(at, at + random.below(count - at));
        pool.add(&query(&name(order[at]), None), Some(Table::address(order[at])));
    }
    pool
}

fn networks(size: Size, random: &mut Random) -> Vec<(Network, u32)> {
    let wanted = size.networks as usize;
    let lengths = if wanted > MANY { SMALL_LENGTHS } else { LENGTHS };
    // All networks are of /24 or larger.
    let mut taken = vec![false; 1 << 24];
    for (first, length) in RESERVED {
        let network = Network { first: first.to_bits(), length };
        taken[blocks(network)].fill(true);
    }
    let mut networks = Vec::with_capacity(wanted);
    while networks.len() < wanted {
        let length = lengths[random.below(lengths.len())];
        let first = (random.next() as u32) & !(u32::MAX >> length);
        let blocks = blocks(Network { first, length });
        if taken[blocks.clone()].contains(&true) {
            continue;
        }
        taken[blocks].fill(true);
        networks.push((Network { first, length }, 1 + random.below(size.regions as usize) as u32));
    }
    networks.sort_unstable();
    networks
}

/// The /24 networks in a network, counted from 0.0.0.0.
fn blocks(network: Network) -> std::ops::RangeInclusive<usize> {
    (network.first >> 8) as usize..=(network.last() >> 8) as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::question::is_right;

    /// Two networks, two regions, two names, two zones: small enough to read.
    pub(crate) fn tiny() -> Table {
        let mut table = Table::new(Size { networks: 2, regions: 2, names: 2, zones: 2, seed: 1, port: 15_400 });
        table.networks = vec![(Network { first: 0x0102_0000, length: 16 }, 1), (Network { first: 0x0304_0500, length: 24 }, 2)];
        table.hosts = vec!["one".to_owned(), "two".to_owned()];
        table.zones = vec!["small.example".to_owned()];
        table
    }

    #[test]
    fn equal_sizes_give_equal_tables_of_disjoint_networks_that_are_routed() {
        let size = Size { networks: 3000, regions: 7, names: 5, zones: 3, seed: 42, port: 1024 };
        let (table, again) = (Table::new(size), Table::new(size));
        assert_eq!((&table.networks, &table.hosts, &table.zones), (&again.networks, &again.hosts, &again.zones));
        assert_eq!((table.networks.len(), table.hosts.len(), table.zones.len()), (3000, 5, 2));
        assert!(table.networks.windows(2).all(|pair| pair[0].0.last() < pair[1].0.first));
        assert!(table.networks.iter().all(|(_, region)| (1..=7).contains(region)));
        for (first, length) in RESERVED {
            let reserved = Network { first: first.to_bits(), length };
            assert!(table.networks.iter().all(|(network, _)| network.last() < reserved.first || network.first > reserved.last()));
        }
    }

    #[test]
    fn sizes_are_read_as_they_were_written() {
        let size = Size { networks: 1, regions: 2, names: 3, zones: 4, seed: u64::MAX, port: 15_400 };
        let folder = std::env::temp_dir().join(format!("peers-size-{}", std::process::id()));
        size.save(&folder).unwrap();
        assert_eq!(Size::load(&folder).unwrap(), size);
        fs::remove_dir_all(&folder).unwrap();
        assert!(Size::parse("networks 1\n").is_err());
        assert!(Size::parse("networks 1\nregions 2\nnames 3\nzones 4\nseed 5\nport 70000\n").is_err());
    }

    #[test]
    fn each_client_is_expected_in_the_region_of_its_network() {
        let table = tiny();
        let pool = table.pool(Workload::Ecs, true);
        assert_eq!(pool.len(), LOCATED_QUESTIONS);
        for at in 0..pool.len() {
            let client = &pool.query(at)[pool.query(at).len() - 3..];
            let region = if client[..2] == [1, 2] { 1 } else { 2 };
            assert_eq!(pool.expected(at), Some(Table::address(region)));
        }
        assert_eq!(table.pool(Workload::Ecs, false).expected(0), Some(EVERYWHERE));
        let with_cookies = table.pool(Workload::Cookies, true);
        assert!(
            (0..pool.len()).all(|at| with_cookies.query(at).len() > pool.query(at).len() && with_cookies.expected(at) == pool.expected(at))
        );
    }

    #[test]
    fn every_name_and_zone_is_asked_for_once() {
        let table = Table::new(Size { networks: 1, regions: 1, names: 300, zones: 100, seed: 3, port: 1024 });
        for (workload, count) in [(Workload::Names, 300), (Workload::Zones, 99)] {
            let pool = table.pool(workload, true);
            let asked: std::collections::HashSet<_> = (0..pool.len()).map(|at| pool.query(at).to_vec()).collect();
            assert_eq!((pool.len(), asked.len()), (count, count));
        }
        assert!(!is_right(table.pool(Workload::Static, true).query(0), None), "a query is no reply");
    }

    #[test]
    fn what_a_table_lacks_cannot_be_asked() {
        let table = Table::new(Size { networks: 1, regions: 1, names: 0, zones: 1, seed: 3, port: 1024 });
        assert!(table.check(Workload::Names).is_err() && table.check(Workload::Zones).is_err());
        assert!(table.check(Workload::Tcp).is_ok() && table.check(Workload::Ecs).is_ok());
    }
}

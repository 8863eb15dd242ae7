//! Who asks: client networks with weights, from a file of counts or estimated from the address space.
//! An estimate is coarse, and says so; nobody's traffic is known here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::diag::{Diagnostics, Mark, Source};
use crate::geo::{Family, Kind, Leaf, Place, PlaceId, PlaceTable, Prefix, SourceId};
use crate::steer::decide::HashFloor;

/// Octets of a file of counts: a million networks take some 30 MiB.
const MAX_FILE_OCTETS: u64 = 256 << 20;

/// Networks of the hash floor that are asked for one by one, for a name that shares clients by hash; of more, a sample of about so many. A share
/// of such a sample is right to some hundredths of a percent, and the City-size database is gone through in half a second.
const MAX_ASKED: u64 = 1 << 20;

/// More networks inside a network than this are not told apart.
const MAX_NETWORKS_LOG2: u32 = 40;

/// Who asks, and how much.
#[derive(Debug)]
pub enum Audience {
    /// Every IPv4 network of the geo data, by its number of addresses.
    Addresses,
    /// Networks and their counts, as in a file.
    Counted(Vec<(Prefix, f64)>),
}

/// Clients that are taken as one: a network, and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// The network.
    pub network: Prefix,
    /// Its weight.
    pub weight: f64,
}

impl Group {
    /// How many networks it is for those who hash by `floor`, as a power of two.
    fn networks_log2(&self, floor: HashFloor) -> u32 {
        let floor = if self.network.family() == Family::V4 { floor.v4 } else { floor.v6 };
        u32::from(floor.saturating_sub(self.network.length())).min(MAX_NETWORKS_LOG2)
    }

    /// How many networks it is for those who hash by `floor`.
    pub(super) fn networks(&self, floor: HashFloor) -> u64 {
        1 << self.networks_log2(floor)
    }

    /// The first addresses of `count` equal parts of it, a power of two, and the weight of each.
    fn parts(&self, count: u64) -> impl Iterator<Item = (IpAddr, f64)> + use<> {
        let free = u32::from(self.network.family().bits() - self.network.length());
        let (network, weight) = (self.network.network(), self.weight / count as f64);
        // All of ::/0 as one part has no offset.
        let offset = move |part: u64| u128::from(part).checked_shl(free - count.trailing_zeros()).unwrap_or(0);
        (0..count).map(move |part| (beside(network, offset(part)), weight))
    }
}

/// How many of the clients that are hashed were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    floor: HashFloor,
    /// Networks that were asked for.
    pub asked: u64,
    /// Networks that there are.
    pub networks: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { floor: HashFloor { v4, v6 }, asked, networks } = self;
        if asked == networks {
            return write!(f, "each of {networks} networks (/{v4}, /{v6}) asked for");
        }
        write!(f, "{asked} of {networks} networks (/{v4}, /{v6}) asked for, evenly spread over the clients")
    }
}

/// Chooses who is asked for: everybody if they are few; else so that each who is asked stands for the same weight.
pub(super) struct Sampler {
    sample: Sample,
    /// What each who is asked stands for; 0 where everybody is asked.
    stride: f64,
    passed: f64,
}

impl Sampler {
    /// For so many networks of so much weight.
    pub(super) fn new(floor: HashFloor, networks: u64, weight: f64) -> Sampler {
        let stride = match networks {
            ..=MAX_ASKED => 0.0,
            // Of many who weigh nothing nobody is asked.
            _ if weight <= 0.0 => f64::INFINITY,
            _ => weight / MAX_ASKED as f64,
        };
        Sampler { sample: Sample { floor, asked: 0, networks }, stride, passed: 0.0 }
    }

    /// Who is asked for of the next group, and for how much each stands there. Nobody, where a small group falls between two who are asked.
    pub(super) fn parts(&mut self, group: &Group) -> impl Iterator<Item = (IpAddr, f64)> + use<> {
        let networks = group.networks(self.sample.floor);
        let count = if self.stride > 0.0 {
            let before = (self.passed / self.stride).floor();
            self.passed += group.weight;
            let due = (self.passed / self.stride).floor() - before;
            (due as u64).checked_next_power_of_two().unwrap_or(networks).min(networks) * u64::from(due >= 1.0)
        } else {
            networks
        };
        self.sample.asked += count;
        group.parts(count.max(1)).take(count as usize)
    }

    pub(super) fn finish(self) -> Sample {
        self.sample
    }
}

fn beside(network: IpAddr, offset: u128) -> IpAddr {
    match network {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | offset as u32)),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() | offset).into()),
    }
}

impl Audience {
    /// Reads a file with the columns `network` and `count`, in any order; lines that begin with `#` are comments.
    pub fn read(path: &Path) -> Result<Audience, Diagnostics> {
        let mut out = Diagnostics::new();
        let refused = |text: String| {
            let mut out = Diagnostics::new();
            out.error_hint(Mark::path(path), text, "clients are a CSV file that begins with the line `network,count`");
            out
        };
        let octets = std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {error}")))?.len();
        if octets > MAX_FILE_OCTETS {
            return Err(refused(format!("the file has {} MiB, at most {} are allowed", octets >> 20, MAX_FILE_OCTETS >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
        let source = Source::new(path, text);
        let mut lines = (1..).zip(source.text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let head: Vec<&str> = lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
        let column = |name: &str| head.iter().position(|column| *column == name);
        let (Some(network), Some(count)) = (column("network"), column("count")) else {
            return Err(refused("the first line does not name the columns `network` and `count`".into()));
        };
        let mut counted = Vec::new();
        for (line, text) in lines {
            let cell = |index: usize| text.split(',').nth(index).unwrap_or_default().trim();
            let weight = cell(count).parse::<f64>().ok().filter(|count| count.is_finite() && *count >= 0.0);
            match (cell(network).parse::<Prefix>(), weight) {
                (Ok(network), Some(weight)) => counted.push((network, weight)),
                (Err(error), _) => out.error(Mark::new(&source, line, 1), format!("`{}` is not a network: {error}", cell(network))),
                (_, None) => out.error(Mark::new(&source, line, 1), format!("`{}` is not a count", cell(count))),
            }
        }
        if !out.has_errors() && counted.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(refused("nobody is counted".into()));
        }
        if out.has_errors() { Err(out) } else { Ok(Audience::Counted(counted)) }
    }

    /// What the weights are, for people.
    pub fn text(&self) -> String {
        match self {
            Audience::Addresses => "estimated by the number of IPv4 addresses of each network: coarse, addresses are not people".into(),
            Audience::Counted(counted) => format!("{} networks with their counts, as given", counted.len()),
        }
    }

    /// Every group, so small that it has one leaf in each of two tables.
    pub(super) fn each(&self, tables: [&PlaceTable; 2], mut each: impl FnMut([Leaf; 2], &Group)) {
        let is_same = tables[0].generation() == tables[1].generation();
        let within = |block: Prefix, each: &mut dyn FnMut([Leaf; 2], Prefix)| match (tables[0].pieces(block), tables[1].pieces(block)) {
            (one, _) if is_same => one.for_each(|(leaf, network)| each([leaf; 2], network)),
            (one, other) => overlay(one, other, each),
        };
        match self {
            Audience::Counted(counted) => {
                for (block, weight) in counted {
                    let part = |network: Prefix| weight * 2f64.powi(i32::from(block.length()) - i32::from(network.length()));
                    within(*block, &mut |leaves, network| each(leaves, &Group { network, weight: part(network) }));
                }
            }
            Audience::Addresses => {
                let counts = tables.map(counting);
                let weight = |network: Prefix| 2f64.powi(32 - i32::from(network.length()));
                within(Prefix::ALL_V4, &mut |leaves, network| {
                    if (0..2).all(|at| counts[at][leaves[at].place.0 as usize]) {
                        each(leaves, &Group { network, weight: weight(network) });
                    }
                });
            }
        }
    }
}

/// By place: reserved blocks that nothing speaks of have no clients.
fn counting(table: &PlaceTable) -> Vec<bool> {
    let counts = |(id, place): (PlaceId, Place<'_>)| table.kind(id) != Kind::UsePeer && place.source != SourceId::Embedded;
    (0..).map(PlaceId).zip(table.places()).map(counts).collect()
}

/// The pieces of two tables laid over each other: aligned blocks either contain each other or are apart, so each is one of the two's.
fn overlay<T: Copy>(
    one: impl Iterator<Item = (T, Prefix)>,
    other: impl Iterator<Item = (T, Prefix)>,
    mut each: impl FnMut([T; 2], Prefix),
) {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    while let (Some(&(leaf, a)), Some(&(other_leaf, b))) = (one.peek(), other.peek()) {
        let smaller = if a.length() >= b.length() { a } else { b };
        each([leaf, other_leaf], smaller);
        let last = smaller.last();
        if a.last() == last {
            one.next();
        }
        if b.last() == last {
            other.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Inputs, build};

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn tables_laid_over_each_other_are_cut_at_the_edges_of_both() {
        let table = |list: &[&str]| list.iter().map(|text| ((), prefix(text))).collect::<Vec<_>>().into_iter();
        let one = table(&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"]);
        let other = table(&["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/1"]);
        let mut networks = Vec::new();
        overlay(one, other, |_, network| networks.push(network.to_string()));
        assert_eq!(networks, ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"]);
    }

    #[test]
    fn a_counted_network_is_spread_over_the_ranges_inside_and_one_inside_a_range_stays_whole() {
        let table = build(Inputs::default()).unwrap();
        let counted = |text: &str| {
            let mut groups = Vec::new();
            Audience::Counted(vec![(prefix(text), 256.0)]).each([&table, &table], |leaves, group| groups.push((leaves[0], *group)));
            groups
        };
        let whole = counted("8.8.8.0/24");
        assert_eq!((whole.len(), whole[0].1), (1, Group { network: prefix("8.8.8.0/24"), weight: 256.0 }));
        let all = counted("0.0.0.0/0");
        assert_eq!(all.len(), table.range_count(Family::V4));
        assert_eq!(all.iter().map(|(_, group)| group.weight).sum::<f64>(), 256.0);
        assert!(all.iter().all(|(leaf, group)| table.prefix_of(leaf.range) == group.network && group.weight > 0.0));
        // It is located by the IPv4 address inside.
        assert_eq!(counted("2002:808:808::/48")[0].0, table.locate("2002:808:808::".parse().unwrap(), 48));
    }

    #[test]
    fn parts_are_spread_evenly_and_share_the_weight() {
        let parts = |text: &str, count| -> Vec<(String, f64)> {
            Group { network: prefix(text), weight: 1.0 }.parts(count).map(|(address, weight)| (address.to_string(), weight)).collect()
        };
        let is = |address: &str, weight| (address.to_owned(), weight);
        assert_eq!(parts("10.0.0.0/23", 2), [is("10.0.0.0", 0.5), is("10.0.1.0", 0.5)]);
        assert_eq!(parts("10.0.0.7/32", 1), [is("10.0.0.7", 1.0)]);
        assert_eq!(parts("2001:db8::/55", 2), [is("2001:db8::", 0.5), is("2001:db8:0:100::", 0.5)]);
        let many = parts("0.0.0.0/0", 16);
        assert_eq!((many.len(), &many[1], &many[15]), (16, &is("16.0.0.0", 0.0625), &is("240.0.0.0", 0.0625)));
        assert_eq!(parts("::/0", 1), [is("::", 1.0)]);
    }

    #[test]
    fn few_are_all_asked_for_and_of_many_each_stands_for_the_same_weight() {
        let floor = HashFloor::default();
        let group = |text: &str| Group { network: prefix(text), weight: 2f64.powi(32 - i32::from(prefix(text).length())) };
        let asked = |networks: u64, weight: f64, groups: &[Group]| {
            let mut sampler = Sampler::new(floor, networks, weight);
            let counts: Vec<usize> = groups.iter().map(|group| sampler.parts(group).count()).collect();
            (counts, sampler.finish().asked)
        };
        assert_eq!(asked(257, 65792.0, &[group("10.0.0.0/16"), group("10.1.0.0/24")]), (vec![256, 1], 257));
        // All of IPv4, and of its /24 one of 16.
        let all = 2f64.powi(32);
        assert_eq!(asked(1 << 24, all, &[group("0.0.0.0/0")]), (vec![1 << 20], 1 << 20));
        let (counts, _) = asked(1 << 24, all, &[group("10.0.0.0/21"); 100]);
        assert_eq!((counts.iter().sum::<usize>(), counts.iter().max()), (50, Some(&1)));
        // However heavy, a network is no more than its parts.
        let heavy = Group { network: prefix("10.0.0.0/23"), weight: all };
        assert_eq!(asked(1 << 24, all, &[heavy]), (vec![2], 2));
    }
}

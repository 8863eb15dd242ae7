//! Who asks: client networks with weights, from a file of counts or estimated from the address space.
//! An estimate is coarse, and says so; nobody's traffic is known here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::diag::{Diagnostics, Mark, Source};
use crate::geo::{Family, Kind, PlaceTable, Prefix, SourceId};

/// Octets of a file of counts: a million networks take some 30 MiB.
const MAX_FILE_OCTETS: u64 = 256 << 20;

/// Parts of a network in which hashed clients are asked for one by one; more would tell nothing new of its shares.
const MAX_PARTS: u32 = 16;

/// Who asks, and how much.
#[derive(Debug)]
pub enum Audience {
    /// Every IPv4 network of the geo data, by its number of addresses.
    Addresses,
    /// Networks and their counts, as in a file.
    Counted(Vec<(Prefix, f64)>),
}

/// Clients that are taken as one: a network, its weight, and how many equal parts it has for those that are hashed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// The network.
    pub network: Prefix,
    /// Its weight.
    pub weight: f64,
}

impl Group {
    /// The first addresses of its parts of `floor` bits, at most `MAX_PARTS` of them, evenly spread, and the weight of each.
    pub fn parts(&self, floor: u8) -> impl Iterator<Item = (IpAddr, f64)> + use<> {
        let bits = floor.saturating_sub(self.network.length()).min(31);
        let count = (1u32 << bits).min(MAX_PARTS);
        let free = self.network.family().bits() - self.network.length();
        let (network, weight) = (self.network.network(), self.weight / f64::from(count));
        (0..count).map(move |part| {
            let step = count.trailing_zeros();
            let offset = if step == 0 { 0 } else { u128::from(part) << (u32::from(free) - step) };
            (beside(network, offset), weight)
        })
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

    /// Every group, so small that one place in each of the tables has all of it.
    pub fn groups(&self, tables: [&PlaceTable; 2]) -> Vec<Group> {
        match self {
            Audience::Counted(counted) => counted.iter().map(|(network, weight)| Group { network: *network, weight: *weight }).collect(),
            Audience::Addresses => {
                let [one, other] = tables.map(|table| table.ranges(Family::V4).map(|(_, prefix, place)| (prefix, counts(table, place))));
                if tables[0].generation() == tables[1].generation() {
                    return one.filter(|(_, counts)| *counts).map(|(prefix, _)| group(prefix)).collect();
                }
                overlay(one, other)
            }
        }
    }
}

/// Reserved blocks that nothing speaks of have no clients.
fn counts(table: &PlaceTable, place: crate::geo::PlaceId) -> bool {
    table.kind(place) != Kind::UsePeer && table.place(place).source != SourceId::Embedded
}

fn group(network: Prefix) -> Group {
    Group { network, weight: 2f64.powi(32 - i32::from(network.length())) }
}

/// The blocks of two total tables laid over each other: aligned blocks either contain each other or are apart, so each is one of the two's.
fn overlay(one: impl Iterator<Item = (Prefix, bool)>, other: impl Iterator<Item = (Prefix, bool)>) -> Vec<Group> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    let mut groups = Vec::new();
    while let (Some(&(a, a_counts)), Some(&(b, b_counts))) = (one.peek(), other.peek()) {
        let smaller = if a.length() >= b.length() { a } else { b };
        if a_counts && b_counts {
            groups.push(group(smaller));
        }
        let last = smaller.last();
        if a.last() == last {
            one.next();
        }
        if b.last() == last {
            other.next();
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn tables_laid_over_each_other_are_cut_at_the_edges_of_both() {
        let table = |list: &[&str]| list.iter().map(|text| (prefix(text), true)).collect::<Vec<_>>().into_iter();
        let one = table(&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"]);
        let other = table(&["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/1"]);
        let networks: Vec<String> = overlay(one, other).iter().map(|group| group.network.to_string()).collect();
        assert_eq!(networks, ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"]);
    }

    #[test]
    fn parts_are_spread_evenly_and_share_the_weight() {
        let parts =
            |text: &str, floor| -> Vec<String> { group(prefix(text)).parts(floor).map(|(address, _)| address.to_string()).collect() };
        assert_eq!(parts("10.0.0.0/23", 24), ["10.0.0.0", "10.0.1.0"]);
        assert_eq!(parts("10.0.0.0/24", 24), ["10.0.0.0"]);
        assert_eq!(parts("10.0.0.7/32", 24), ["10.0.0.7"]);
        let many = parts("0.0.0.0/0", 24);
        assert_eq!((many.len(), many[1].as_str(), many[15].as_str()), (16, "16.0.0.0", "240.0.0.0"));
        let weight: f64 = group(prefix("10.0.0.0/8")).parts(24).map(|(_, weight)| weight).sum();
        assert_eq!(weight, 2f64.powi(24));
    }
}

//! Who is let in: rules by network, of which the first that matches holds, compiled to ranges that one search decides on.
//! It answers nobody and knows no zones.

use std::net::IpAddr;

use super::{Family, Prefix};

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is answered.
    Allow,
    /// It gets REFUSED.
    Refuse,
    /// It gets nothing.
    Drop,
}

/// Rules for all addresses of both families; whom no rule names is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where each range begins, ascending from the first address, and what holds in it.
    v4: Box<[(u32, Admission)]>,
    v6: Box<[(u128, Admission)]>,
}

impl Access {
    /// From rules in order. The work is the number of networks squared.
    pub fn new(rules: &[(Prefix, Admission)]) -> Access {
        let v4 = ranges(rules, Family::V4).into_iter().map(|(first, admission)| (first as u32, admission));
        Access { v4: v4.collect(), v6: ranges(rules, Family::V6).into() }
    }

    /// Nobody but these.
    pub fn only(networks: impl IntoIterator<Item = Prefix>) -> Access {
        Access::new(&networks.into_iter().map(|network| (network, Admission::Allow)).collect::<Vec<_>>())
    }

    /// Whether an address is allowed.
    #[inline]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.of(address) == Admission::Allow
    }

    /// Whether any address is allowed.
    pub fn allows_anyone(&self) -> bool {
        let admissions = self.v4.iter().map(|(_, admission)| *admission).chain(self.v6.iter().map(|(_, admission)| *admission));
        admissions.into_iter().any(|admission| admission == Admission::Allow)
    }

    /// What holds for an address; IPv4 inside IPv6 counts as IPv6.
    #[inline]
    pub fn of(&self, address: IpAddr) -> Admission {
        match address {
            IpAddr::V4(address) => at(&self.v4, address.to_bits()),
            IpAddr::V6(address) => at(&self.v6, address.to_bits()),
        }
    }
}

/// The ranges between all edges, those that are alike joined.
fn ranges(rules: &[(Prefix, Admission)], family: Family) -> Vec<(u128, Admission)> {
    let rules: Vec<_> = rules.iter().filter(|(prefix, _)| prefix.family() == family).collect();
    let mut edges = vec![0];
    for (prefix, _) in &rules {
        edges.push(prefix.first_bits());
        // Behind the last address there is no edge.
        edges.extend(prefix.last_bits().checked_add(1).filter(|_| prefix.last() != last_address(family)));
    }
    edges.sort_unstable();
    edges.dedup();
    let mut ranges: Vec<(u128, Admission)> = Vec::new();
    for edge in edges {
        let rule = rules.iter().find(|(prefix, _)| (prefix.first_bits()..=prefix.last_bits()).contains(&edge));
        let admission = rule.map_or(Admission::Refuse, |(_, admission)| *admission);
        if ranges.last().is_none_or(|(_, before)| *before != admission) {
            ranges.push((edge, admission));
        }
    }
    ranges
}

fn last_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Prefix::ALL_V4.last(),
        Family::V6 => Prefix::ALL_V6.last(),
    }
}

#[inline]
fn at<T: Ord + Copy>(ranges: &[(T, Admission)], address: T) -> Admission {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).map_or(Admission::Refuse, |(_, admission)| *admission)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_rule() -> impl Strategy<Value = (Prefix, Admission)> {
        // Few bits, so that prefixes meet.
        let v4 = (0u32..256, 0u8..=32).prop_map(|(bits, length)| Prefix::masked(IpAddr::V4((bits << 24 | bits).into()), length));
        let v6 = (0u128..256, 0u8..=128).prop_map(|(bits, length)| Prefix::masked(IpAddr::V6((bits << 120 | bits).into()), length));
        (prop_oneof![v4, v6], prop_oneof![Just(Admission::Allow), Just(Admission::Refuse), Just(Admission::Drop)])
    }

    proptest! {
        #[test]
        fn the_first_rule_that_matches_holds(
            rules in prop::collection::vec(any_rule(), 0..20), v4 in 0u32..256, v6 in 0u128..256,
        ) {
            let access = Access::new(&rules);
            let edges = rules.iter().flat_map(|(prefix, _)| [prefix.network(), prefix.last()]);
            let others = [IpAddr::V4((v4 << 24 | v4).into()), IpAddr::V6((v6 << 120 | v6).into())];
            for address in edges.chain(others) {
                let first = rules.iter().find(|(prefix, _)| prefix.contains(address));
                prop_assert_eq!(access.of(address), first.map_or(Admission::Refuse, |(_, admission)| *admission), "{}", address);
            }
        }
    }
}

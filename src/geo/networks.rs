//! A set of networks: who is meant by a list of prefixes, found by a few comparisons however long the list is.
//! It knows nothing of the addresses but whether they are in it.

use std::net::IpAddr;

use super::{Family, Prefix};

/// A set of addresses of both families, as sorted ranges that do not overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in it; IPv4 inside IPv6 counts as IPv6.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

impl FromIterator<Prefix> for Networks {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix.family() {
                // The low 32 bits are all that there is.
                Family::V4 => v4.push((prefix.first_bits() as u32, prefix.last_bits() as u32)),
                Family::V6 => v6.push((prefix.first_bits(), prefix.last_bits())),
            }
        }
        Networks { v4: merged(v4), v6: merged(v6) }
    }
}

/// Prefixes contain each other or have nothing in common: of each chain the widest, which sorts first, is kept.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
    ranges.dedup_by(|inner, outer| inner.1 <= outer.1);
    ranges.into()
}

#[inline]
fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_prefix() -> impl Strategy<Value = Prefix> {
        // Few bits, so that prefixes meet.
        let v4 = (0u32..256, 4u8..=32).prop_map(|(bits, length)| Prefix::masked(IpAddr::V4((bits << 24 | bits).into()), length));
        let v6 = (0u128..256, 4u8..=128).prop_map(|(bits, length)| Prefix::masked(IpAddr::V6((bits << 120 | bits).into()), length));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn a_set_holds_whom_one_of_its_prefixes_holds(
            prefixes in prop::collection::vec(any_prefix(), 0..20), v4 in 0u32..256, v6 in 0u128..256,
        ) {
            let set: Networks = prefixes.iter().copied().collect();
            prop_assert_eq!(set.is_empty(), prefixes.is_empty());
            let edges = prefixes.iter().flat_map(|prefix| [prefix.network(), prefix.last()]);
            let others = [IpAddr::V4((v4 << 24 | v4).into()), IpAddr::V6((v6 << 120 | v6).into())];
            for address in edges.chain(others) {
                prop_assert_eq!(set.contains(address), prefixes.iter().any(|prefix| prefix.contains(address)), "{}", address);
            }
        }
    }
}

//! Address families and prefixes: one aligned block of addresses, in one spelling.
//! A prefix never has host bits; text with host bits is refused, not repaired.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Address family. IPv4 written inside IPv6 (`::ffff:192.0.2.1`) is [`Family::V6`] here; the table looks inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, 32 bits.
    V4,
    /// IPv6, 128 bits.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Width of an address in bits: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// One aligned block of addresses (RFC 4632, RFC 4291 section 2.3). Ordered by family, first address, then shorter first,
/// so that in a sorted list a block comes right before what it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    family: Family,
    /// First address as (high, low) words; IPv4 sits in the low 32 bits. Two words keep the alignment, and so a list of a million, small.
    first: [u64; 2],
    length: u8,
}

impl Prefix {
    /// All of IPv4.
    pub const ALL_V4: Prefix = Prefix { family: Family::V4, first: [0, 0], length: 0 };
    /// All of IPv6.
    pub const ALL_V6: Prefix = Prefix { family: Family::V6, first: [0, 0], length: 0 };

    /// The block of `length` bits that starts at `network`; errors: length over 32 or 128, host bits set.
    pub fn new(network: IpAddr, length: u8) -> Result<Prefix, PrefixError> {
        let family = Family::of(network);
        if length > family.bits() {
            return Err(PrefixError::Length { family });
        }
        let masked = Prefix::masked(network, length);
        if masked.network() == network { Ok(masked) } else { Err(PrefixError::HostBits { masked }) }
    }

    /// The block of `length` bits (at most the width of the family) around `address`.
    pub fn masked(address: IpAddr, length: u8) -> Prefix {
        let family = Family::of(address);
        let length = length.min(family.bits());
        Prefix::from_bits(family, address_bits(address) & mask(family, length), length)
    }

    /// The block of exactly one address.
    pub fn host(address: IpAddr) -> Prefix {
        Prefix::masked(address, u8::MAX)
    }

    /// From the first address as a number; the caller has masked it.
    pub(crate) const fn from_bits(family: Family, first: u128, length: u8) -> Prefix {
        Prefix { family, first: [(first >> 64) as u64, first as u64], length }
    }

    /// Address family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Length of the prefix in bits: 0 to 32, or 0 to 128.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// First address of the block.
    pub fn network(&self) -> IpAddr {
        bits_address(self.family, self.first_bits())
    }

    /// Last address of the block.
    pub fn last(&self) -> IpAddr {
        bits_address(self.family, self.last_bits())
    }

    /// True if the address is in the block; never across families.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && address_bits(address) & mask(self.family, self.length) == self.first_bits()
    }

    /// True if the whole of `other` is in the block (equal blocks cover each other).
    pub fn covers(&self, other: &Prefix) -> bool {
        self.length <= other.length && self.contains(other.network())
    }

    /// First address as a number.
    pub(crate) const fn first_bits(&self) -> u128 {
        (self.first[0] as u128) << 64 | self.first[1] as u128
    }

    /// Last address as a number.
    pub(crate) fn last_bits(&self) -> u128 {
        self.first_bits() | (full(self.family) & !mask(self.family, self.length))
    }
}

impl fmt::Display for Prefix {
    /// `192.0.2.0/24`, `2001:db8::/32` (RFC 5952 for the address).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `ADDRESS/LENGTH`, or a bare address for the block of that one address.
    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let Some(length) = length else { return Ok(Prefix::host(address)) };
        let family = Family::of(address);
        let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
        let length =
            if plain { length.parse().map_err(|_| PrefixError::Length { family })? } else { return Err(PrefixError::Length { family }) };
        Prefix::new(address, length)
    }
}

/// Why a text or a pair of numbers is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixError {
    /// The part before the slash is no IPv4 or IPv6 address.
    Address,
    /// The part after the slash is no length of this family.
    Length {
        /// The family of the address before the slash.
        family: Family,
    },
    /// Bits are set beyond the length.
    HostBits {
        /// What was probably meant.
        masked: Prefix,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Address => f.write_str("not an IPv4 or IPv6 network"),
            PrefixError::Length { family } => write!(f, "the prefix length of {family} must be a number from 0 to {}", family.bits()),
            PrefixError::HostBits { masked } => write!(f, "bits are set beyond the prefix length, the network is `{masked}`"),
        }
    }
}

impl std::error::Error for PrefixError {}

/// The address as a number: 32 or 128 bits.
pub(crate) fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The number as an address of `family`.
pub(crate) fn bits_address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// All ones in the width of the family.
const fn full(family: Family) -> u128 {
    u128::MAX >> (128 - family.bits() as u32)
}

/// The network mask of `length` bits in the width of the family.
pub(crate) const fn mask(family: Family, length: u8) -> u128 {
    if length == 0 { 0 } else { full(family) & (u128::MAX << (family.bits() - length)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_canonical_and_a_bare_address_is_one_address() {
        assert_eq!(prefix("2001:0DB8:0::/32").to_string(), "2001:db8::/32");
        assert_eq!(prefix("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(prefix("::1").to_string(), "::1/128");
        assert_eq!(prefix("0.0.0.0/0"), Prefix::ALL_V4);
        assert_eq!(prefix("::/0"), Prefix::ALL_V6);
    }

    #[test]
    fn g6_host_bits_are_refused_with_what_was_meant() {
        let error = "10.1.2.3/8".parse::<Prefix>().unwrap_err();
        assert_eq!(error, PrefixError::HostBits { masked: prefix("10.0.0.0/8") });
        assert!(error.to_string().contains("`10.0.0.0/8`"));
        assert!("2001:db8::1/64".parse::<Prefix>().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/256",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "::/129",
            "::/-1",
            "a/8",
            "010.0.0.0/8",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn ipv4_spelled_inside_ipv6_stays_ipv6() {
        let mapped = prefix("::ffff:10.0.0.0/104");
        assert_eq!(mapped.family(), Family::V6);
        assert!(!mapped.contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn order_puts_a_block_right_before_what_it_contains() {
        let mut list = ["10.1.0.0/16", "::/0", "10.0.0.0/8", "10.0.0.0/16", "9.0.0.0/8"].map(prefix);
        list.sort();
        assert_eq!(list.map(|p| p.to_string()), ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "::/0"]);
    }

    proptest! {
        #[test]
        fn text_round_trips_and_the_ends_are_inside(bits: u128, length in 0u8..=128, v4: bool) {
            let (family, length) = if v4 { (Family::V4, length % 33) } else { (Family::V6, length) };
            let block = Prefix::masked(bits_address(family, bits), length);
            prop_assert_eq!(block.to_string().parse::<Prefix>().unwrap(), block);
            prop_assert!(block.contains(block.network()) && block.contains(block.last()));
            prop_assert_eq!(block.last_bits() - block.first_bits(), full(family) & !mask(family, length));
            if length > 0 {
                let wider = Prefix::masked(block.network(), length - 1);
                prop_assert!(wider.covers(&block) && !block.covers(&wider));
            }
        }
    }
}

//! Addresses with a meaning of their own: reserved and private blocks, and the IPv6 blocks that hold IPv4 addresses.
//! This room only names them; whether they matter for a client is decided where the table is built.

use super::prefix::{Family, Prefix, bits_address, mask};

/// One reserved block and the document that reserves it.
#[derive(Debug, Clone, Copy)]
pub struct Reserved {
    /// The block.
    pub prefix: Prefix,
    /// Where it is reserved.
    pub rfc: &'static str,
    /// What for.
    pub purpose: &'static str,
}

/// Blocks that are no place on the Internet: where no override and no geo data speaks of them, the peer counts (E6).
/// From IANA's special-purpose address registries (RFC 6890) and the multicast and future-use space.
pub const RESERVED: [Reserved; 27] = [
    v4([0, 0, 0, 0], 8, "RFC 791", "this network"),
    v4([10, 0, 0, 0], 8, "RFC 1918", "private use"),
    v4([100, 64, 0, 0], 10, "RFC 6598", "shared by carrier NAT"),
    v4([127, 0, 0, 0], 8, "RFC 1122", "loopback"),
    v4([169, 254, 0, 0], 16, "RFC 3927", "link local"),
    v4([172, 16, 0, 0], 12, "RFC 1918", "private use"),
    v4([192, 0, 0, 0], 24, "RFC 6890", "IETF protocol assignments"),
    v4([192, 0, 2, 0], 24, "RFC 5737", "documentation (TEST-NET-1)"),
    v4([192, 168, 0, 0], 16, "RFC 1918", "private use"),
    v4([198, 18, 0, 0], 15, "RFC 2544", "benchmarking"),
    v4([198, 51, 100, 0], 24, "RFC 5737", "documentation (TEST-NET-2)"),
    v4([203, 0, 113, 0], 24, "RFC 5737", "documentation (TEST-NET-3)"),
    v4([224, 0, 0, 0], 4, "RFC 5771", "multicast"),
    v4([240, 0, 0, 0], 4, "RFC 1112", "future use and broadcast"),
    v6([0, 0, 0, 0], 96, "RFC 4291", "unspecified, loopback, IPv4-compatible (deprecated)"),
    v6([0x64, 0xff9b, 0x1, 0], 48, "RFC 8215", "local-use translation of IPv4"),
    v6([0x100, 0, 0, 0], 64, "RFC 6666", "discard only"),
    v6([0x200, 0, 0, 0], 7, "RFC 4048", "former NSAP mapping"),
    v6([0x2001, 0, 0, 0], 23, "RFC 2928", "IETF protocol assignments: Teredo, benchmarking, ORCHID"),
    v6([0x2001, 0xdb8, 0, 0], 32, "RFC 3849", "documentation"),
    v6([0x3ffe, 0, 0, 0], 16, "RFC 3701", "6bone, returned"),
    v6([0x3fff, 0, 0, 0], 20, "RFC 9637", "documentation"),
    v6([0x5f00, 0, 0, 0], 16, "RFC 9602", "segment routing identifiers"),
    v6([0xfc00, 0, 0, 0], 7, "RFC 4193", "unique local"),
    v6([0xfe80, 0, 0, 0], 10, "RFC 4291", "link local"),
    v6([0xfec0, 0, 0, 0], 10, "RFC 3879", "site local, deprecated"),
    v6([0xff00, 0, 0, 0], 8, "RFC 4291", "multicast"),
];

/// One IPv6 block that carries an IPv4 address right behind its prefix.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// The block; its length is the number of bits before the IPv4 address.
    pub prefix: Prefix,
    /// Where it is defined.
    pub rfc: &'static str,
    /// What for.
    pub purpose: &'static str,
}

/// The blocks in which the embedded IPv4 address is looked up (S8); they are no place of their own.
pub const EMBEDDED: [Embedded; 3] = [
    Embedded { prefix: Prefix::from_bits(Family::V6, 0xffff << 32, 96), rfc: "RFC 4291", purpose: "IPv4-mapped" },
    Embedded { prefix: block([0x64, 0xff9b, 0, 0], 96), rfc: "RFC 6052", purpose: "NAT64" },
    Embedded { prefix: block([0x2002, 0, 0, 0], 16), rfc: "RFC 3056", purpose: "6to4" },
];

/// The upper half of each of [`EMBEDDED`], and which of its bits are fixed.
const EMBEDDED_TOPS: [(u64, u64); 3] = {
    let mut tops = [(0, 0); 3];
    let mut index = 0;
    while index < tops.len() {
        let prefix = EMBEDDED[index].prefix;
        tops[index] = ((prefix.first_bits() >> 64) as u64, (mask(Family::V6, prefix.length()) >> 64) as u64);
        index += 1;
    }
    tops
};

/// True if the whole block lies inside one of [`EMBEDDED`]: an entry for it would never be looked up; write it as IPv4.
pub fn is_embedded(prefix: &Prefix) -> bool {
    EMBEDDED.iter().any(|block| block.prefix.covers(prefix))
}

/// The IPv4 network that a block inside one of [`EMBEDDED`] holds; `None` for other blocks.
pub fn embedded_network(prefix: &Prefix) -> Option<Prefix> {
    let block = EMBEDDED.iter().find(|block| block.prefix.covers(prefix))?.prefix.length();
    let v4 = (prefix.first_bits() >> (96 - block)) as u32;
    Some(Prefix::masked(bits_address(Family::V4, u128::from(v4)), prefix.length() - block))
}

/// The IPv4 address inside an IPv6 address, with the number of bits before it; `None` where there is none, or where
/// a source prefix of `source_length` bits holds none of its bits.
#[inline]
pub(crate) fn embedded_v4(bits: u128, source_length: u8) -> Option<(u32, u8)> {
    // Nearly all addresses are in none of the blocks, and half of their bits tell.
    if EMBEDDED_TOPS.iter().all(|(top, mask)| (bits >> 64) as u64 & mask != *top) {
        return None;
    }
    EMBEDDED.iter().find_map(|block| {
        let length = block.prefix.length();
        let inside = (bits ^ block.prefix.first_bits()) >> (128 - length) == 0;
        (inside && source_length > length).then_some(((bits >> (96 - length)) as u32, length))
    })
}

const fn v4(octets: [u8; 4], length: u8, rfc: &'static str, purpose: &'static str) -> Reserved {
    let prefix = Prefix::from_bits(Family::V4, u32::from_be_bytes(octets) as u128, length);
    Reserved { prefix, rfc, purpose }
}

const fn v6(groups: [u16; 4], length: u8, rfc: &'static str, purpose: &'static str) -> Reserved {
    Reserved { prefix: block(groups, length), rfc, purpose }
}

/// A v6 block from its first four groups of 16 bits.
const fn block(groups: [u16; 4], length: u8) -> Prefix {
    let high = (groups[0] as u128) << 48 | (groups[1] as u128) << 32 | (groups[2] as u128) << 16 | groups[3] as u128;
    Prefix::from_bits(Family::V6, high << 64, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_hold_prefixes_without_host_bits() {
        for prefix in RESERVED.iter().map(|row| row.prefix).chain(EMBEDDED.iter().map(|row| row.prefix)) {
            assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
        }
        let all: Vec<String> = EMBEDDED.iter().map(|row| row.prefix.to_string()).collect();
        assert_eq!(all, ["::ffff:0.0.0.0/96", "64:ff9b::/96", "2002::/16"]);
    }

    #[test]
    fn s8_a_block_inside_stands_for_an_ipv4_network() {
        let inside = |text: &str| embedded_network(&text.parse().unwrap()).map(|prefix| prefix.to_string());
        for (text, v4) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("64:ff9b::/96", "0.0.0.0/0"),
            ("2002:c000:200::/40", "192.0.2.0/24"),
            ("2002:c000:201:7::/64", "192.0.2.1/32"),
        ] {
            assert_eq!(inside(text).as_deref(), Some(v4));
        }
        assert_eq!((inside("2000::/3"), inside("10.0.0.0/8")), (None, None));
    }

    #[test]
    fn s8_the_embedded_address_is_found_if_the_source_reaches_it() {
        let bits = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
        let v4 = std::net::Ipv4Addr::new(192, 0, 2, 1).to_bits();
        assert_eq!(embedded_v4(bits("::ffff:192.0.2.1"), 128), Some((v4, 96)));
        assert_eq!(embedded_v4(bits("64:ff9b::192.0.2.1"), 97), Some((v4, 96)));
        assert_eq!(embedded_v4(bits("64:ff9b::192.0.2.1"), 96), None);
        assert_eq!(embedded_v4(bits("2002:c000:201::1"), 48), Some((v4, 16)));
        assert_eq!(embedded_v4(bits("2002:c000:201::1"), 16), None);
        assert_eq!(embedded_v4(bits("2001:db8::1"), 128), None);
        assert!(is_embedded(&"2002:a00::/24".parse().unwrap()) && !is_embedded(&"2000::/3".parse().unwrap()));
    }
}

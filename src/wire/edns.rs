//! EDNS (RFC 6891): the OPT record of a query with the options that we know (client subnet, NSID, cookie, keepalive, padding), and the OPT
//! record of a reply, which may have an extended error as well.
//! This room never decides whether a client subnet is trusted, and never keeps an option that it does not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::{COOKIE_OCTETS, Cookie};
use super::extended::Extended;
use super::{MIN_UDP_OCTETS, rtype};

/// Longest NSID that a reply carries, so that with the longest question and a client subnet every error still fits 512 octets.
pub const MAX_NSID_OCTETS: usize = 128;

/// Octets of an OPT record without options: root owner, type, class, TTL and length of the data (RFC 6891 6.1.2).
pub(super) const OPT_OCTETS: usize = 11;

/// Octets of the code and the length of an option (RFC 6891 6.1.2).
pub(super) const OPTION_HEADER_OCTETS: usize = 4;

/// Octets of a client subnet option before the address: family and the two prefix lengths (RFC 7871 6).
const ECS_FIXED_OCTETS: usize = 4;

/// Replies are padded to a multiple of this many octets (RFC 8467 4.1).
const PADDING_BLOCK_OCTETS: usize = 468;

/// How long a stream may be idle, in tenths of a second: what the keepalive option says, and what `server` keeps.
pub const KEEPALIVE_TENTHS: u16 = 100;

/// The DO bit in the second half of the TTL of OPT (RFC 6891 6.1.4).
const DO_BIT: u16 = 0x8000;

/// Option codes (RFC 6891 9).
pub(super) mod option {
    pub(in crate::wire) const NSID: u16 = 3;
    pub(in crate::wire) const ECS: u16 = 8;
    pub(in crate::wire) const COOKIE: u16 = 10;
    pub(in crate::wire) const KEEPALIVE: u16 = 11;
    pub(in crate::wire) const PADDING: u16 = 12;
    pub(in crate::wire) const EXTENDED_ERROR: u16 = 15;
}

/// What a query says in its OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP message that the client takes, as it says (sizes below 512 are not raised here).
    pub udp_size: u16,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The client subnet; of several options the first counts.
    pub ecs: Option<Ecs<'a>>,
    /// Whether the server's identifier is asked for (RFC 5001).
    pub nsid: bool,
    /// The cookie (RFC 7873 4); of several options the first counts.
    pub cookie: Option<Cookie<'a>>,
    /// Whether it is asked how long the connection may be idle (RFC 7828).
    pub keepalive: bool,
    /// Whether the query was padded (RFC 7830).
    pub padding: bool,
}

/// A well-formed client subnet option of a query (RFC 7871 6): its octets where they stand in the message, as they are echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ecs<'a> {
    fixed: &'a [u8; ECS_FIXED_OCTETS],
    /// As many octets as `source` needs, at most 16; bits beyond it are 0.
    address: &'a [u8],
}

impl<'a> Ecs<'a> {
    /// Address family: 1 or 2; any when [`Ecs::source`] is 0.
    #[inline]
    pub fn family(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// Source prefix length in bits; 0 = "do not use my address".
    #[inline]
    pub fn source(&self) -> u8 {
        self.fixed[2]
    }

    /// The network address of the client, zero-extended; `None` when the client wants its address not to be used.
    #[inline]
    pub fn address(&self) -> Option<IpAddr> {
        match (self.source(), self.family()) {
            (0, _) => None,
            (_, 1) => Some(IpAddr::V4(Ipv4Addr::from(zero_extended(self.address)))),
            _ => Some(IpAddr::V6(Ipv6Addr::from(zero_extended(self.address)))),
        }
    }

    /// Reads the data of the option. Every rule of RFC 7871 6 and 7.1.2 is kept, as a sloppy option is a wrong cache entry later.
    #[inline]
    pub(crate) fn parse(data: &'a [u8]) -> Result<Ecs<'a>, Malformed> {
        let (fixed, address) = data.split_first_chunk::<ECS_FIXED_OCTETS>().ok_or(Malformed)?;
        let &[family_high, family_low, source, scope] = fixed;
        let longest = match u16::from_be_bytes([family_high, family_low]) {
            1 => 32,
            2 => 128,
            _ => 0,
        };
        if source > longest || scope != 0 || address.len() != usize::from(source).div_ceil(8) {
            return Err(Malformed);
        }
        // Only the last octet can hold host bits.
        match address.last() {
            Some(last) if source % 8 != 0 && last & (0xff >> (source % 8)) != 0 => Err(Malformed),
            _ => Ok(Ecs { fixed, address }),
        }
    }
}

/// The first octets of an address, the others 0.
#[inline]
fn zero_extended<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut address = [0; N];
    // Resolvers send IPv4 networks of 24 bits (RFC 7871 11.1): a copy of known size is no call.
    match octets {
        [a, b, c] => [address[0], address[1], address[2]] = [*a, *b, *c],
        _ => address.iter_mut().zip(octets).for_each(|(to, from)| *to = *from),
    }
    address
}

/// An OPT record whose options cannot be read, or a known option that breaks its own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// An OPT record as found by the walk over the additional section; options not yet read.
pub(super) struct RawOpt<'a> {
    udp_size: u16,
    version: u8,
    flags: u16,
    options: &'a [u8],
}

impl<'a> RawOpt<'a> {
    /// From the class, the TTL and the data of the record.
    pub(super) fn new(class: u16, ttl: [u8; 4], options: &'a [u8]) -> RawOpt<'a> {
        RawOpt { udp_size: class, version: ttl[1], flags: u16::from_be_bytes([ttl[2], ttl[3]]), options }
    }

    /// The version; the options of another than 0 must not be read.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    pub(super) fn dnssec_ok(&self) -> bool {
        self.flags & DO_BIT != 0
    }

    /// Reads the options; unknown ones are skipped.
    #[inline(always)]
    pub(super) fn read(&self) -> Result<Edns<'a>, Malformed> {
        let mut edns = Edns {
            udp_size: self.udp_size,
            dnssec_ok: self.dnssec_ok(),
            ecs: None,
            nsid: false,
            cookie: None,
            keepalive: false,
            padding: false,
        };
        let mut rest = self.options;
        // Each turn takes at least four octets, so the work is bounded by the size of the packet.
        while let Some((&[code_high, code_low, length_high, length_low], tail)) = rest.split_first_chunk::<OPTION_HEADER_OCTETS>() {
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let (data, tail) = tail.split_at_checked(length).ok_or(Malformed)?;
            match u16::from_be_bytes([code_high, code_low]) {
                option::ECS if edns.ecs.is_none() => edns.ecs = Some(Ecs::parse(data)?),
                option::NSID => edns.nsid = true,
                option::COOKIE if edns.cookie.is_none() => edns.cookie = Some(Cookie::parse(data).ok_or(Malformed)?),
                option::KEEPALIVE => edns.keepalive = true,
                option::PADDING => edns.padding = true,
                _ => {}
            }
            rest = tail;
        }
        if rest.is_empty() { Ok(edns) } else { Err(Malformed) }
    }
}

/// What a reply says in its OPT record. Its size is fixed from the start; scope and extended rcode are filled in when it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct OptReply<'a> {
    /// The largest UDP message that we take.
    pub udp_size: u16,
    /// The DO bit, copied from the query (RFC 3225 3).
    pub dnssec_ok: bool,
    /// The client subnet, echoed as received.
    pub ecs: Option<Ecs<'a>>,
    /// The server's identifier, if asked for; left out when longer than [`MAX_NSID_OCTETS`].
    pub nsid: Option<&'a [u8]>,
    /// The cookie that the client is given.
    pub cookie: Option<&'a [u8; COOKIE_OCTETS]>,
    /// Whether it says how long the stream may be idle (RFC 7828).
    pub keepalive: bool,
    /// Whether the message is padded to a whole number of blocks (RFC 7830).
    pub padding: bool,
}

impl OptReply<'static> {
    /// No reply's is longer.
    pub const LONGEST: OptReply<'static> = OptReply {
        udp_size: 0,
        dnssec_ok: true,
        ecs: Some(Ecs { fixed: &[0, 2, 128, 0], address: &[0xff; 16] }),
        nsid: Some(&[0; MAX_NSID_OCTETS]),
        cookie: Some(&[0; COOKIE_OCTETS]),
        keepalive: true,
        padding: false,
    };
}

impl<'a> OptReply<'a> {
    /// The OPT that answers `edns`: the DO bit copied, the client subnet echoed, the identifier given if asked for.
    #[inline]
    pub fn to(edns: &Edns<'a>, udp_size: u16, nsid: Option<&'a [u8]>) -> OptReply<'a> {
        OptReply {
            udp_size,
            dnssec_ok: edns.dnssec_ok,
            ecs: edns.ecs,
            nsid: nsid.filter(|_| edns.nsid),
            cookie: None,
            keepalive: false,
            padding: false,
        }
    }

    /// The same, with what only streams have: the idle time where it was asked for and `has_keepalive`, padding where the query was padded and
    /// nobody on the way reads along.
    #[cold]
    pub fn of_stream(self, edns: Option<&Edns<'_>>, has_keepalive: bool, is_encrypted: bool) -> OptReply<'a> {
        let asked = |ask: fn(&Edns<'_>) -> bool| edns.is_some_and(ask);
        OptReply { keepalive: has_keepalive && asked(|edns| edns.keepalive), padding: is_encrypted && asked(|edns| edns.padding), ..self }
    }

    /// The same without what tells of client and server. What the connection lives by stays: a client that expects a cookie takes no reply
    /// without one (RFC 7873 5.3), and a padded query gets a padded reply (RFC 7830 4).
    pub fn reserved(self) -> OptReply<'a> {
        OptReply { ecs: None, nsid: None, ..self }
    }

    /// Octets of the whole record.
    #[inline]
    pub(super) fn octets(&self) -> usize {
        let ecs = self.ecs.as_ref().map_or(0, |ecs| OPTION_HEADER_OCTETS + ECS_FIXED_OCTETS + ecs.address.len());
        let cookie = if self.cookie.is_some() { OPTION_HEADER_OCTETS + COOKIE_OCTETS } else { 0 };
        let keepalive = if self.keepalive { OPTION_HEADER_OCTETS + 2 } else { 0 };
        OPT_OCTETS + ecs + cookie + self.short_nsid().map_or(0, |nsid| OPTION_HEADER_OCTETS + nsid.len()) + keepalive
    }

    /// Where a message ends that would end at `end` without padding, and at `limit` at the latest.
    #[inline]
    pub(super) fn padded(&self, end: usize, limit: usize) -> usize {
        if !self.padding || end + OPTION_HEADER_OCTETS > limit {
            return end;
        }
        (end + OPTION_HEADER_OCTETS).next_multiple_of(PADDING_BLOCK_OCTETS).min(limit)
    }

    #[inline]
    fn short_nsid(&self) -> Option<&'a [u8]> {
        self.nsid.filter(|nsid| nsid.len() <= MAX_NSID_OCTETS)
    }

    /// Writes the record to `out`, which is [`OptReply::octets`] long, so much longer as the extended error wants, and longer by the padding where
    /// there is one; `extended_rcode` is the rcode without its low 4 bits.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8], extended_rcode: u8, scope: u8, extended: Option<&Extended>) {
        let udp_size = u64::from(self.udp_size.max(MIN_UDP_OCTETS as u16));
        let data_octets = (out.len() - OPT_OCTETS) as u16;
        // In whole words: the owner, type, size, extended rcode, version 0, and the DO bit as the highest of the flags.
        let head = u64::from(rtype::OPT) << 40 | udp_size << 24 | u64::from(extended_rcode) << 16 | u64::from(self.dnssec_ok) << 7;
        let [length_high, length_low] = data_octets.to_be_bytes();
        let mut rest = out;
        put(&mut rest, &head.to_be_bytes());
        put(&mut rest, &[0, length_high, length_low]);
        if let Some(Ecs { fixed, address }) = self.ecs {
            let data_octets = (ECS_FIXED_OCTETS + address.len()) as u64;
            // The scope is the last of the fixed octets, and 0 in a query.
            let echoed = u64::from(u32::from_be_bytes(*fixed) | u32::from(scope));
            put(&mut rest, &(u64::from(option::ECS) << 48 | data_octets << 32 | echoed).to_be_bytes());
            match <&[u8; 3]>::try_from(address) {
                // Of known size, as nearly all are.
                Ok(address) => put(&mut rest, address),
                Err(_) => put(&mut rest, address),
            }
        }
        if let Some(cookie) = self.cookie {
            put(&mut rest, &[0, option::COOKIE as u8, 0, COOKIE_OCTETS as u8]);
            put(&mut rest, cookie);
        }
        if let Some(nsid) = self.short_nsid() {
            put(&mut rest, &[0, option::NSID as u8, 0, nsid.len() as u8]);
            put(&mut rest, nsid);
        }
        if let Some(extended) = extended {
            put(&mut rest, &[0, option::EXTENDED_ERROR as u8, 0, (2 + extended.text.len()) as u8]);
            put(&mut rest, &extended.code.to_be_bytes());
            put(&mut rest, extended.text.as_bytes());
        }
        if self.keepalive {
            put(&mut rest, &[0, option::KEEPALIVE as u8, 0, 2]);
            put(&mut rest, &KEEPALIVE_TENTHS.to_be_bytes());
        }
        if let Some(octets) = rest.len().checked_sub(OPTION_HEADER_OCTETS) {
            put(&mut rest, [[0, option::PADDING as u8], (octets as u16).to_be_bytes()].as_flattened());
            rest.fill(0);
        }
    }
}

/// Writes at the front of what is left to write.
#[inline]
fn put(rest: &mut &mut [u8], octets: &[u8]) {
    let (to, tail) = std::mem::take(rest).split_at_mut(octets.len());
    to.copy_from_slice(octets);
    *rest = tail;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[u8]) -> Result<Edns<'_>, Malformed> {
        RawOpt::new(1232, [0; 4], options).read()
    }

    fn ecs(data: &[u8]) -> Result<Option<Ecs<'_>>, Malformed> {
        Ecs::parse(data).map(Some)
    }

    #[test]
    fn ecs_of_both_families_is_read() {
        let v4 = ecs(&[0, 1, 24, 0, 192, 0, 2]).unwrap().unwrap();
        assert_eq!((v4.family(), v4.source(), v4.address()), (1, 24, Some("192.0.2.0".parse().unwrap())));
        let v6 = ecs(&[0, 2, 33, 0, 0x20, 1, 0x0d, 0xb8, 0x80]).unwrap().unwrap();
        assert_eq!((v6.family(), v6.source(), v6.address()), (2, 33, Some("2001:db8:8000::".parse().unwrap())));
        assert_eq!(ecs(&[0, 1, 32, 0, 192, 0, 2, 255]).unwrap().unwrap().address(), Some("192.0.2.255".parse().unwrap()));
    }

    #[test]
    fn e1_malformed_ecs_is_refused() {
        let cases: [&[u8]; 13] = [
            &[],
            &[0, 1, 24],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 25, 0, 192, 0, 2],
            &[0, 1, 23, 0, 192, 0, 3],
            &[0, 1, 33, 0, 192, 0, 2, 1, 0],
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 2, 129, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0],
            &[0, 0, 8, 0, 10],
            &[0, 3, 8, 0, 10],
            &[1, 1, 8, 0, 10],
            &[0, 1, 0, 0, 10],
        ];
        for data in cases {
            assert_eq!(ecs(data), Err(Malformed), "{data:?}");
        }
        assert_eq!(ecs(&[0, 1, 0, 1]), Err(Malformed), "scope without source");
    }

    #[test]
    fn e2_the_first_of_two_ecs_options_counts() {
        let first = [0, 8, 0, 5, 0, 1, 8, 0, 10];
        let both = [first.as_slice(), &[0, 8, 0, 5, 0, 1, 8, 0, 11]].concat();
        let edns = read(&both).unwrap();
        assert_eq!(edns.ecs.unwrap().address(), Some("10.0.0.0".parse().unwrap()));
        let both = [first.as_slice(), &[0, 8, 0, 1, 0]].concat();
        let edns = read(&both).unwrap();
        assert_eq!(edns.ecs.unwrap().address(), Some("10.0.0.0".parse().unwrap()), "a malformed second one is ignored too");
    }

    #[test]
    fn e3_a_zero_source_prefix_of_any_family_has_no_address() {
        for family in [0, 1, 2, 7] {
            let data = [0, family, 0, 0];
            let option = ecs(&data).unwrap().unwrap();
            assert_eq!((option.family(), option.source(), option.address()), (u16::from(family), 0, None));
        }
    }

    #[test]
    fn n10_unknown_options_and_flags_are_ignored_but_must_fit() {
        let edns = RawOpt::new(100, [0xff, 0, 0x7f, 0xff], &[0xff, 0, 0, 2, 1, 2, 0, 3, 0, 0]).read().unwrap();
        assert_eq!(edns, Edns { udp_size: 100, dnssec_ok: false, ecs: None, nsid: true, cookie: None, keepalive: false, padding: false });
        assert!(RawOpt::new(100, [0, 0, 0x80, 0], &[]).dnssec_ok());
        for options in [&[0][..], &[0, 3, 0], &[0, 3, 0, 1], &[0xff, 0, 0, 3, 1, 2], &[0, 3, 0, 0, 0]] {
            assert_eq!(read(options), Err(Malformed), "{options:?}");
        }
    }

    #[test]
    fn cookies_have_8_or_16_to_40_octets() {
        for length in 0..=60 {
            let option = [vec![0, 10, 0, length], (0..length).collect()].concat();
            let cookie = read(&option).map(|edns| edns.cookie.map(|cookie| cookie.client));
            let expected = if matches!(length, 8 | 16..=40) { Ok(Some(&[0, 1, 2, 3, 4, 5, 6, 7])) } else { Err(Malformed) };
            assert_eq!(cookie, expected, "{length}");
        }
    }

    #[test]
    fn e5_the_reply_echoes_family_source_and_address_with_our_scope() {
        for data in [&[0, 1, 24, 0, 192, 0, 2][..], &[0, 1, 0, 0], &[0, 7, 0, 0], &[0, 2, 33, 0, 0x20, 1, 0x0d, 0xb8, 0x80]] {
            let edns = Edns {
                udp_size: 4096,
                dnssec_ok: true,
                ecs: ecs(data).unwrap(),
                nsid: true,
                cookie: None,
                keepalive: false,
                padding: false,
            };
            let opt = OptReply::to(&edns, 1232, Some(b"node1"));
            let mut out = vec![0xaa; opt.octets()];
            opt.write(&mut out, 1, 20, None);
            let mut echo = data.to_vec();
            echo[3] = 20;
            let options = [&[0, 8, 0, data.len() as u8], echo.as_slice(), &[0, 3, 0, 5], b"node1"].concat();
            assert_eq!(out, [&[0, 0, 41, 4, 208, 1, 0, 0x80, 0, 0, options.len() as u8], options.as_slice()].concat());
        }
    }

    #[test]
    fn an_identifier_is_given_only_if_asked_for_and_short() {
        let asked = Edns { udp_size: 512, dnssec_ok: false, ecs: None, nsid: true, cookie: None, keepalive: false, padding: false };
        let long = [b'x'; MAX_NSID_OCTETS + 1];
        assert_eq!(OptReply::to(&asked, 1232, Some(&long[1..])).octets(), OPT_OCTETS + 4 + MAX_NSID_OCTETS);
        assert_eq!(OptReply::to(&asked, 1232, Some(&long)).octets(), OPT_OCTETS);
        assert_eq!(OptReply::to(&Edns { nsid: false, ..asked }, 1232, Some(b"node1")).octets(), OPT_OCTETS);
    }
}

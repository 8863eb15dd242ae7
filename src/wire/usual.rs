//! The usual question and the reply to it, read and written a word at a time: one question of class IN with at most an OPT that has at most
//! a client subnet, of some 24 bits of IPv4 or some 56 of IPv6, and behind it a cookie. It never judges: what is not usual in every octet is left
//! to `query` and `reply`, which say the same.

use std::net::IpAddr;

use super::cookie::{COOKIE_OCTETS, Cookie};
use super::qname::QName;
use super::ready::Ready;
use super::{HEADER_OCTETS, MIN_UDP_OCTETS, QUESTION_FIXED_OCTETS, Rcode, class, rtype};

/// The longest name that is usual, in octets.
pub const MAX_USUAL_OCTETS: usize = 47;

/// What the name of a usual question is read into: with the octets behind it that its hash may read.
pub type UsualName = QName<64>;

/// Octets of an OPT record without options.
const OPT: usize = 11;

/// Octets of the client subnets that are usual, and of a cookie that is given, as options.
const SUBNET_V4: usize = 11;
const SUBNET_V6: usize = 15;
const GIVEN_COOKIE: usize = 4 + COOKIE_OCTETS;

/// Octets of the longest OPT record of a reply.
const LONGEST_OPT: usize = OPT + SUBNET_V6 + GIVEN_COOKIE;

/// Which bits of the first eight octets are looked at, and what they are in a usual query: QR, opcode, AA and TC are 0, one question, no answers.
const HEAD_MASK: u64 = 0x0000_fe00_ffff_ffff;
const HEAD: u64 = 0x0000_0000_0001_0000;

/// Of those bits the ones that are copied: ID and RD.
const HEAD_COPIED: u64 = 0xffff_0100_0000_0000;

/// QR and AA.
const HEAD_REPLY: u64 = 0x8400 << 32;

/// Where RCODE stands in the head.
const RCODE_SHIFT: u32 = 32;

/// Code, length and family of the client subnet options; behind them are the lengths of source and scope.
const HEAD_V4: u64 = 0x0008_0007_0001;
const HEAD_V6: u64 = 0x0008_000b_0002;

/// Code and length of the cookie that is given.
const HEAD_COOKIE: [u8; 4] = [0, 10, 0, COOKIE_OCTETS as u8];

/// A usual question.
pub struct Usual<'a> {
    head: u64,
    /// Header and question as received.
    question: &'a [u8],
    /// A, AAAA or HTTPS.
    pub qtype: u16,
    /// The DO bit, where there is an OPT; what it says of sizes does not matter, as no reply is longer than 512 octets.
    opt: Option<bool>,
    /// The client subnet.
    pub subnet: Option<Subnet>,
    /// The cookie.
    pub cookie: Option<Cookie<'a>>,
}

/// A client subnet of three octets of IPv4 or seven of IPv6, as nearly all are (RFC 7871 11.1), host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subnet {
    /// The address, and the source prefix length, 17 to 24.
    V4(u32, u8),
    /// The first half of the address, and the source prefix length, 49 to 56.
    V6(u64, u8),
}

impl Subnet {
    /// The address, and how many bits of it are known.
    #[inline(always)]
    pub fn client(self) -> (IpAddr, u8) {
        match self {
            Subnet::V4(network, source) => (IpAddr::V4(network.into()), source),
            Subnet::V6(network, source) => (IpAddr::V6((u128::from(network) << 64).into()), source),
        }
    }
}

impl<'a> Usual<'a> {
    /// Reads a message, and its name into `name`; `None` if anything about it is not usual.
    #[inline(always)]
    pub fn read(message: &'a [u8], name: &mut UsualName) -> Option<Usual<'a>> {
        let (header, body) = message.split_first_chunk::<HEADER_OCTETS>()?;
        let [head, counts] = [u64_at(header, 0)?, u64_at(header, 4)?];
        let additionals = counts & 0xffff_ffff;
        if head & HEAD_MASK != HEAD || additionals > 1 {
            return None;
        }
        let octets = name.read_usual(body)?;
        let (question, behind) = message.split_at_checked(HEADER_OCTETS + octets + QUESTION_FIXED_OCTETS)?;
        let &[qtype_high, qtype_low, class_high, class_low] = question.last_chunk::<QUESTION_FIXED_OCTETS>()?;
        let (qtype, qclass) = (u16::from_be_bytes([qtype_high, qtype_low]), u16::from_be_bytes([class_high, class_low]));
        // Of these types only addresses are written, and none is judged before its zone.
        if qclass != class::IN || !matches!(qtype, rtype::A | rtype::AAAA | rtype::HTTPS) {
            return None;
        }
        let mut usual = Usual { head, question, qtype, opt: None, subnet: None, cookie: None };
        if additionals == 1 {
            usual.read_opt(behind)?;
        }
        Some(usual)
    }

    #[inline(always)]
    fn read_opt(&mut self, record: &'a [u8]) -> Option<()> {
        let (fixed, options) = record.split_first_chunk::<OPT>()?;
        let head = u64_at(fixed, 0)?;
        // The root, the type and version 0; the size and the flags but DO say nothing.
        if head >> 40 != u64::from(rtype::OPT) || head >> 8 & 0xff != 0 {
            return None;
        }
        self.opt = Some(head & 0x80 != 0);
        match [fixed[9], fixed[10]] {
            [0, 0] => {}
            [0, 11] => self.subnet = Some(subnet_v4(options.first_chunk()?)?),
            [0, octets] => (self.subnet, self.cookie) = read_options(options.get(..usize::from(octets))?)?,
            _ => return None,
        }
        Some(())
    }
}

/// Any of the usual options, in the order in which they are usual.
#[inline(never)]
fn read_options(options: &[u8]) -> Option<(Option<Subnet>, Option<Cookie<'_>>)> {
    let (subnet, rest) = match *options {
        [0, 8, 0, 7, ..] => (Some(subnet_v4(options.first_chunk()?)?), &options[SUBNET_V4..]),
        [0, 8, 0, 11, ..] => (Some(subnet_v6(options.first_chunk()?)?), &options[SUBNET_V6..]),
        _ => (None, options),
    };
    let cookie = match rest {
        [] => None,
        [0, 10, 0, octets, data @ ..] if usize::from(*octets) == data.len() => Some(Cookie::parse(data)?),
        _ => return None,
    };
    Some((subnet, cookie))
}

/// A client subnet of IPv4 as an option.
#[inline(always)]
fn subnet_v4(option: &[u8; SUBNET_V4]) -> Option<Subnet> {
    let (head, address) = (u64_at(option, 0)?, u64_at(option, 3)? as u32 & 0x00ff_ffff);
    let (source, network) = ((head >> 8) as u8, address << 8);
    let is_usual = head >> 16 == HEAD_V4 && head & 0xff == 0 && matches!(source, 17..=24) && network << source == 0;
    is_usual.then_some(Subnet::V4(network, source))
}

/// A client subnet of IPv6 as an option.
#[inline(always)]
fn subnet_v6(option: &[u8; SUBNET_V6]) -> Option<Subnet> {
    let (head, address) = (u64_at(option, 0)?, u64_at(option, 7)?);
    let (source, network) = ((head >> 8) as u8, address << 8);
    let is_usual = head >> 16 == HEAD_V6 && head & 0xff == 0 && matches!(source, 49..=56) && network << source == 0;
    is_usual.then_some(Subnet::V6(network, source))
}

/// The reply to a usual question while it is written: authoritative, and never over 512 octets.
pub struct UsualReply<'a, 'o> {
    question: &'a Usual<'a>,
    out: &'o mut [u8; MIN_UDP_OCTETS],
    at: usize,
    answers: u64,
    authorities: u32,
}

impl<'a, 'o> UsualReply<'a, 'o> {
    /// Begins a reply: the question is echoed bit for bit.
    #[inline(always)]
    pub fn new(question: &'a Usual<'a>, out: &'o mut [u8]) -> Option<UsualReply<'a, 'o>> {
        let out = out.first_chunk_mut::<MIN_UDP_OCTETS>()?;
        let at = question.question.len();
        out.get_mut(..at)?.copy_from_slice(question.question);
        Some(UsualReply { question, out, at, answers: 0, authorities: 0 })
    }

    /// Adds an A record of the question's name; `None` if it has no room.
    #[inline(always)]
    pub fn v4(&mut self, ttl_s: u32, octets: [u8; 4]) -> Option<()> {
        let address = u64::from(u32::from_be_bytes(octets));
        let [first, last] = [0xc00c_0001_0001 << 16 | u64::from(ttl_s) >> 16, u64::from(ttl_s) << 48 | 4 << 32 | address];
        let (to_first, to_last) = self.room::<16>(LONGEST_OPT)?.split_at_mut(8);
        to_first.copy_from_slice(&first.to_be_bytes());
        to_last.copy_from_slice(&last.to_be_bytes());
        self.answers += 1;
        Some(())
    }

    /// Adds an AAAA record of the question's name; `None` if it has no room.
    #[inline(always)]
    pub fn v6(&mut self, ttl_s: u32, octets: [u8; 16]) -> Option<()> {
        let [first, last] = [0xc00c_001c_0001 << 16 | u64::from(ttl_s) >> 16, u64::from(ttl_s) << 48 | 16 << 32];
        let record = self.room::<28>(LONGEST_OPT)?;
        record[..8].copy_from_slice(&first.to_be_bytes());
        record[8..16].copy_from_slice(&last.to_be_bytes());
        record[12..].copy_from_slice(&octets);
        self.answers += 1;
        Some(())
    }

    /// Adds the SOA of a negative answer; `None` if it has no room, or cannot stand behind this question.
    #[inline(always)]
    pub fn negative(&mut self, soa: &Ready, ttl_s: u32) -> Option<()> {
        self.at += soa.write(self.out, self.at, MIN_UDP_OCTETS - LONGEST_OPT, ttl_s)?;
        self.authorities = 1;
        Some(())
    }

    /// The last call: adds OPT, writes the header, and returns the length of the reply. `udp_size` is what OPT says of us; `cookie` is given to
    /// whoever has sent one.
    #[inline(always)]
    pub fn finish(mut self, rcode: Rcode, udp_size: u16, scope: u8, cookie: Option<&[u8; COOKIE_OCTETS]>) -> Option<usize> {
        let mut additionals = 0;
        if let Some(dnssec_ok) = self.question.opt {
            self.opt(dnssec_ok, udp_size, scope, cookie)?;
            additionals = 1;
        }
        let head = self.question.head & HEAD_COPIED | HEAD_REPLY | u64::from(rcode.0) << RCODE_SHIFT | 1 << 16 | self.answers;
        self.out[..8].copy_from_slice(&head.to_be_bytes());
        self.out[8..HEADER_OCTETS].copy_from_slice(&(self.authorities << 16 | additionals).to_be_bytes());
        Some(self.at)
    }

    #[inline(always)]
    fn opt(&mut self, dnssec_ok: bool, udp_size: u16, scope: u8, cookie: Option<&[u8; COOKIE_OCTETS]>) -> Option<()> {
        let size = u64::from(udp_size.max(MIN_UDP_OCTETS as u16));
        let head = u64::from(rtype::OPT) << 40 | size << 24 | u64::from(dnssec_ok) << 7;
        let subnet = match self.question.subnet {
            None => 0,
            Some(Subnet::V4(..)) => SUBNET_V4,
            Some(Subnet::V6(..)) => SUBNET_V6,
        };
        let octets = subnet + if cookie.is_some() { GIVEN_COOKIE } else { 0 };
        let record = self.room::<OPT>(0)?;
        record[..8].copy_from_slice(&head.to_be_bytes());
        record[8..].copy_from_slice(&[0, 0, octets as u8]);
        // The last of the eight octets are written again, with those behind them.
        match self.question.subnet {
            None => {}
            Some(Subnet::V4(network, source)) => {
                let (option, lengths) = (self.room::<SUBNET_V4>(0)?, lengths(source, scope));
                option[..8].copy_from_slice(&(HEAD_V4 << 16 | lengths).to_be_bytes());
                option[7..].copy_from_slice(&(network >> 8 | (lengths as u32) << 24).to_be_bytes());
            }
            Some(Subnet::V6(network, source)) => {
                let (option, lengths) = (self.room::<SUBNET_V6>(0)?, lengths(source, scope));
                option[..8].copy_from_slice(&(HEAD_V6 << 16 | lengths).to_be_bytes());
                option[7..].copy_from_slice(&(network >> 8 | lengths << 56).to_be_bytes());
            }
        }
        if let Some(cookie) = cookie {
            let option = self.room::<GIVEN_COOKIE>(0)?;
            option[..4].copy_from_slice(&HEAD_COOKIE);
            option[4..].copy_from_slice(cookie);
        }
        Some(())
    }

    /// The next octets, if `behind` others are left behind them.
    #[inline(always)]
    fn room<const N: usize>(&mut self, behind: usize) -> Option<&mut [u8; N]> {
        let room = self.out[..MIN_UDP_OCTETS - behind].get_mut(self.at..)?.first_chunk_mut::<N>()?;
        self.at += N;
        Some(room)
    }
}

/// The prefix lengths of source and scope in a client subnet option.
#[inline(always)]
fn lengths(source: u8, scope: u8) -> u64 {
    u64::from(source) << 8 | u64::from(scope)
}

/// Eight octets as a number.
#[inline(always)]
fn u64_at<const N: usize>(octets: &[u8; N], at: usize) -> Option<u64> {
    octets.get(at..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::wire::query;
    use proptest::prelude::*;

    /// Options that queries have, some of them usual.
    const OPTIONS: [&[u8]; 9] = [
        &[],
        &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2],
        &[0, 8, 0, 7, 0, 1, 20, 0, 192, 0, 0x20],
        &[0, 8, 0, 11, 0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 1, 2],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 10, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 8, 0, 6, 0, 1, 16, 0, 192, 0],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2],
        &[0, 3, 0, 0],
    ];

    fn message(name: &Name, qtype: u16, options: Option<&[u8]>) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&qtype.to_be_bytes());
        message.extend_from_slice(&class::IN.to_be_bytes());
        if let Some(options) = options {
            message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, options.len() as u8]);
            message.extend_from_slice(options);
        }
        message
    }

    /// Whether a message is read as usual, and then that it says the same as when it is read the general way.
    fn is_usual(message: &[u8]) -> bool {
        let mut name = UsualName::default();
        let Some(usual) = Usual::read(message, &mut name) else { return false };
        let general = query::parse(message).unwrap_or_else(|fault| panic!("{fault:?}"));
        let mut long = QName::<{ super::super::qname::WIRE_OCTETS }>::default();
        long.read(&general.question);
        assert_eq!((name.as_wire(), name.hash(), name.label_count()), (long.as_wire(), long.hash(), long.label_count()));
        assert_eq!((&usual.question[HEADER_OCTETS..], usual.qtype), (general.question.raw, general.question.qtype));
        assert_eq!((general.question.qclass, general.tsig), (class::IN, false));
        assert_eq!(usual.opt, general.edns.map(|edns| edns.dnssec_ok));
        assert!(general.edns.is_none_or(|edns| !(edns.nsid || edns.keepalive || edns.padding)));
        let subnet = general.edns.and_then(|edns| edns.ecs).map(|ecs| (ecs.address(), ecs.source()));
        assert_eq!(usual.subnet.map(Subnet::client).map(|(network, source)| (Some(network), source)), subnet);
        assert_eq!(usual.cookie, general.edns.and_then(|edns| edns.cookie));
        true
    }

    #[test]
    fn what_resolvers_send_is_usual() {
        let name = Name::parse("wWw.Example.com.", None).unwrap();
        let usual = |qtype| OPTIONS.map(|options| is_usual(&message(&name, qtype, Some(options))));
        assert_eq!(usual(rtype::A), [true, true, true, true, true, true, false, false, false]);
        assert_eq!(usual(rtype::HTTPS), usual(rtype::A));
        assert_eq!(usual(rtype::TXT), [false; 9]);
        assert!(is_usual(&message(&name, rtype::AAAA, None)));
    }

    #[test]
    fn names_are_usual_up_to_a_length_and_need_all_of_their_octets() {
        for octets in 1..=60 {
            let name = match octets {
                1 => Name::root(),
                2 => continue,
                octets => Name::root().prepend(&vec![b'x'; octets - 2]).unwrap(),
            };
            let message = message(&name, rtype::A, None);
            assert_eq!(is_usual(&message), octets <= MAX_USUAL_OCTETS, "{octets}");
            assert!((0..message.len()).all(|end| !is_usual(&message[..end])), "{octets}");
        }
    }

    proptest! {
        #[test]
        fn damaged_messages_are_read_as_the_general_way_reads_them(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..6),
            options in prop::sample::select(&OPTIONS[..]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<prop::sample::Index>(),
        ) {
            let name = labels.iter().fold(Name::root(), |name, label| name.prepend(label).unwrap_or(name));
            let mut message = message(&name, rtype::A, Some(options));
            for (at, octet) in damage {
                let at = at.index(message.len());
                message[at] = octet;
            }
            is_usual(&message);
            is_usual(&message[..cut.index(message.len())]);
        }
    }
}

//! Queries written octet by octet, so that malformed ones can be written too, and replies read by hickory-proto.
//! Meridian's own codec is not used here: it is what is tested.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record, RecordType};

use super::readers::{form, option, read_by_hickory};

/// Numbers of types, by text.
const TYPES: [(&str, u16); 23] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("OPT", 41),
    ("DS", 43),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("HTTPS", 65),
    ("CAA", 257),
];

/// Option codes of EDNS.
pub(crate) const OPTION_NSID: u16 = 3;
pub(crate) const OPTION_ECS: u16 = 8;
pub(crate) const OPTION_COOKIE: u16 = 10;

/// The number of a type: its mnemonic or `TYPEnnn`.
pub(crate) fn type_number(text: &str) -> u16 {
    let known = TYPES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    known.or_else(|| text.strip_prefix("TYPE")?.parse().ok()).unwrap_or_else(|| panic!("unknown type {text}"))
}

/// A name in wire form, letter case kept; no escapes, with or without the final dot.
pub(crate) fn name_octets(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// A query while it is put together.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// The ID.
    pub(crate) id: u16,
    /// The second 16 bits of the header: flags and opcode.
    pub(crate) flags: u16,
    name: Vec<u8>,
    qtype: u16,
    qclass: u16,
    edns: Option<Opt>,
}

#[derive(Debug, Clone)]
struct Opt {
    udp_size: u16,
    version: u8,
    flags: u16,
    options: Vec<u8>,
}

/// A query of class IN with RD, without EDNS.
pub(crate) fn query(name: &str, qtype: &str) -> Query {
    Query { id: 0x4d52, flags: 0x0100, name: name_octets(name), qtype: type_number(qtype), qclass: 1, edns: None }
}

impl Query {
    pub(crate) fn id(self, id: u16) -> Query {
        Query { id, ..self }
    }

    /// Replaces flags and opcode.
    pub(crate) fn flags(self, flags: u16) -> Query {
        Query { flags, ..self }
    }

    pub(crate) fn class(self, qclass: u16) -> Query {
        Query { qclass, ..self }
    }

    fn opt(&mut self) -> &mut Opt {
        self.edns.get_or_insert(Opt { udp_size: 1232, version: 0, flags: 0, options: Vec::new() })
    }

    /// With OPT and this UDP size.
    pub(crate) fn edns(mut self, udp_size: u16) -> Query {
        self.opt().udp_size = udp_size;
        self
    }

    pub(crate) fn version(mut self, version: u8) -> Query {
        self.opt().version = version;
        self
    }

    /// With these flags of OPT; 0x8000 is DO.
    pub(crate) fn edns_flags(mut self, flags: u16) -> Query {
        self.opt().flags = flags;
        self
    }

    /// With one more option.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Query {
        let opt = self.opt();
        opt.options.extend_from_slice(&code.to_be_bytes());
        opt.options.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        opt.options.extend_from_slice(data);
        self
    }

    /// With a client subnet; host bits are cut off.
    pub(crate) fn ecs(self, address: IpAddr, source: u8) -> Query {
        self.option(OPTION_ECS, &ecs_octets(address, source))
    }

    /// With a client subnet from a text such as `192.0.2.0/24`.
    pub(crate) fn subnet(self, text: &str) -> Query {
        let (address, source) = parse_subnet(text);
        self.ecs(address, source)
    }

    /// Name, type and class.
    pub(crate) fn question(&self) -> Vec<u8> {
        [&self.name[..], &self.qtype.to_be_bytes(), &self.qclass.to_be_bytes()].concat()
    }

    /// The whole message.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let counts = [1, 0, 0, u16::from(self.edns.is_some())];
        let header: Vec<u8> = [self.id, self.flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
        let opt = self.edns.as_ref().map(Opt::octets).unwrap_or_default();
        [header, self.question(), opt].concat()
    }
}

impl Opt {
    fn octets(&self) -> Vec<u8> {
        let mut octets = vec![0, 0, 41];
        octets.extend_from_slice(&self.udp_size.to_be_bytes());
        octets.extend_from_slice(&[0, self.version]);
        octets.extend_from_slice(&self.flags.to_be_bytes());
        octets.extend_from_slice(&u16::try_from(self.options.len()).unwrap().to_be_bytes());
        octets.extend_from_slice(&self.options);
        octets
    }
}

/// The data of a well-formed client subnet option (RFC 7871 6).
pub(crate) fn ecs_octets(address: IpAddr, source: u8) -> Vec<u8> {
    let (family, octets) = match masked(address, source) {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    [&[0, family, source, 0], &octets[..usize::from(source).div_ceil(8)]].concat()
}

/// An address without the bits behind a prefix.
pub(crate) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0))),
    }
}

/// `ADDRESS/LENGTH`, or an address alone for its whole length.
pub(crate) fn parse_subnet(text: &str) -> (IpAddr, u8) {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().unwrap_or_else(|_| panic!("{text} is no network"));
    let length = if length.is_empty() { if address.is_ipv4() { 32 } else { 128 } } else { length.parse().unwrap() };
    (address, length)
}

/// A reply with its octets.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// As sent.
    pub(crate) octets: Vec<u8>,
    /// As hickory-proto reads it.
    pub(crate) message: Message,
}

impl Reply {
    /// Reads a reply; what cannot be read is a fault of the server.
    pub(crate) fn read(octets: &[u8]) -> Reply {
        let message = read_by_hickory(octets);
        assert_eq!(message.metadata.message_type, MessageType::Response);
        Reply { octets: octets.to_vec(), message }
    }

    pub(crate) fn id(&self) -> u16 {
        self.message.metadata.id
    }

    /// With the extended bits of OPT.
    pub(crate) fn rcode(&self) -> u16 {
        u16::from(self.message.metadata.response_code)
    }

    pub(crate) fn opcode(&self) -> OpCode {
        self.message.metadata.op_code
    }

    pub(crate) fn is_authoritative(&self) -> bool {
        self.message.metadata.authoritative
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.message.metadata.truncation
    }

    /// The question as it stands in the reply.
    pub(crate) fn question(&self) -> Vec<u8> {
        form(&self.octets).map(|form| form.question).unwrap_or_default()
    }

    /// The records of the answer section as texts: owner, TTL, type and data.
    pub(crate) fn answers(&self) -> Vec<String> {
        self.message.answers.iter().map(text).collect()
    }

    /// Those of the authority section.
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.message.authorities.iter().map(text).collect()
    }

    /// Those of the additional section, without OPT.
    pub(crate) fn additionals(&self) -> Vec<String> {
        self.message.additionals.iter().map(text).collect()
    }

    /// The addresses of the answer section, in order.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.message.answers.iter().filter_map(address).collect()
    }

    /// The one TTL of the answer section.
    pub(crate) fn ttl(&self) -> Option<u32> {
        let last = self.message.answers.last()?;
        let set = self.message.answers.iter().filter(|record| record.record_type() == last.record_type() && record.name == last.name);
        assert!(set.clone().all(|record| record.ttl == last.ttl), "more than one TTL in an RRset: {:?}", self.answers());
        Some(last.ttl)
    }

    /// The TTL of the SOA in the authority section.
    pub(crate) fn soa_ttl(&self) -> Option<u32> {
        self.message.authorities.iter().find(|record| record.record_type() == RecordType::SOA).map(|record| record.ttl)
    }

    /// The echoed client subnet: address, source and scope.
    pub(crate) fn ecs(&self) -> Option<(IpAddr, u8, u8)> {
        match self.message.edns.as_ref()?.option(EdnsCode::Subnet)? {
            EdnsOption::Subnet(subnet) => Some((subnet.addr(), subnet.source_prefix(), subnet.scope_prefix())),
            _ => None,
        }
    }

    /// The scope of the echoed client subnet.
    pub(crate) fn scope(&self) -> Option<u8> {
        self.ecs().map(|(_, _, scope)| scope)
    }

    /// The data of an option in OPT, as sent.
    pub(crate) fn option(&self, code: u16) -> Option<Vec<u8>> {
        option(&self.octets, code).map(|data| self.octets[data].to_vec())
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

fn text(record: &Record) -> String {
    format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
}

//! Queries as resolvers send them, for the benches of the answer path.
//! Nothing here is measured.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use meridian::wire::cookie::COOKIE_OCTETS;

/// Networks that ask: a power of two, so that taking them in turn costs next to nothing.
pub(crate) const NETWORKS: usize = 256;

/// What a query says besides its question.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each bench has its own kinds")]
pub(crate) enum Extra {
    /// A client subnet of 24 bits.
    SubnetV4,
    /// A client subnet of 56 bits.
    SubnetV6,
    Cookie([u8; COOKIE_OCTETS]),
}

/// One query for each of the networks, spread over the unicast space.
pub(crate) fn queries(name: &str, extras: &[Extra]) -> Vec<Vec<u8>> {
    let option = |octet: u8, extra: &Extra| match extra {
        Extra::SubnetV4 => EdnsOption::Subnet(ClientSubnet::new([octet % 223 + 1, octet, octet, 0].into(), 24, 0)),
        Extra::SubnetV6 => EdnsOption::Subnet(ClientSubnet::new([0x2a00 + u16::from(octet), 0x1450, 0, 0, 0, 0, 0, 0].into(), 56, 0)),
        Extra::Cookie(cookie) => EdnsOption::Unknown(10, cookie.to_vec()),
    };
    let query = |octet: u8| {
        let mut message = Message::new(u16::from(octet), MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap_or_else(|error| panic!("{error}")), RecordType::A));
        if !extras.is_empty() {
            let mut edns = Edns::new();
            extras.iter().for_each(|extra| edns.options_mut().insert(option(octet, extra)));
            message.set_edns(edns);
        }
        message.to_vec().unwrap_or_else(|error| panic!("{error}"))
    };
    (0..NETWORKS).map(|network| query(network as u8)).collect()
}

//! Queries as resolvers send them, for the benches of the answer path.
//! Nothing here is measured.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};

/// Networks that ask: a power of two, so that taking them in turn costs next to nothing.
pub(crate) const NETWORKS: usize = 256;

/// One query for each of the networks, spread over the unicast space.
pub(crate) fn queries(name: &str, subnet: bool) -> Vec<Vec<u8>> {
    let query = |octet: u8| {
        let mut message = Message::new(u16::from(octet), MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap_or_else(|error| panic!("{error}")), RecordType::A));
        if subnet {
            let mut edns = Edns::new();
            let network = [octet % 223 + 1, octet, octet, 0].into();
            edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(network, 24, 0)));
            message.set_edns(edns);
        }
        message.to_vec().unwrap_or_else(|error| panic!("{error}"))
    };
    (0..NETWORKS).map(|network| query(network as u8)).collect()
}

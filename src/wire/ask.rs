//! A query as others send it to us: for those that ask the corridor themselves (`explain`, `simulate`, tests in the configuration).
//! It writes what is asked there and nothing else; no packet of ours leaves the machine with it.

use std::net::IpAddr;

use super::{class, rtype};
use crate::name::Name;

/// The size that we take as clients: replies come by a buffer and have no limit of their own.
const UDP_OCTETS: u16 = u16::MAX;

/// Code of the client subnet option (RFC 7871 6).
const ECS: u16 = 8;

/// A question of class IN with OPT, and with a client subnet (network and source prefix length) where one is given. Host bits must be 0.
pub fn question(name: &Name, qtype: u16, subnet: Option<(IpAddr, u8)>) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());
    let option = subnet.map(option).unwrap_or_default();
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&UDP_OCTETS.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&(option.len() as u16).to_be_bytes());
    message.extend_from_slice(&option);
    message
}

fn option((address, source): (IpAddr, u8)) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (1u16, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let octets = &octets[..usize::from(source).div_ceil(8).min(octets.len())];
    let mut option = Vec::with_capacity(8 + octets.len());
    option.extend_from_slice(&ECS.to_be_bytes());
    option.extend_from_slice(&(4 + octets.len() as u16).to_be_bytes());
    option.extend_from_slice(&family.to_be_bytes());
    option.extend_from_slice(&[source, 0]);
    option.extend_from_slice(octets);
    option
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    #[test]
    fn what_is_asked_is_what_is_read() {
        let name = Name::parse("www.example.com.", None).unwrap();
        let subnets = [
            None,
            Some(("192.0.2.0", 24)),
            Some(("192.0.0.0", 13)),
            Some(("2001:db8::", 32)),
            Some(("0.0.0.0", 0)),
            Some(("10.1.2.3", 32)),
        ];
        for subnet in subnets {
            let subnet = subnet.map(|(address, source)| (address.parse::<IpAddr>().unwrap(), source));
            let message = question(&name, rtype::AAAA, subnet);
            let read = query::parse(&message).unwrap_or_else(|_| panic!("{subnet:?}"));
            assert_eq!((read.question.name(), read.question.qtype), (name.as_wire(), rtype::AAAA));
            let ecs = read.edns.unwrap().ecs;
            assert_eq!(ecs.map(|ecs| ecs.source()), subnet.map(|(_, source)| source));
            assert_eq!(ecs.and_then(|ecs| ecs.address()), subnet.filter(|(_, source)| *source > 0).map(|(address, _)| address));
        }
    }
}

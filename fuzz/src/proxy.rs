//! Headers of the PROXY protocol, right and wrong in every part, before a stream that is cut into any segments: behind one that may stand there every
//! message is answered, behind any other none is. What may stand there is said here once more, from the protocol's text and not as the server says it.

use std::net::SocketAddr;
use std::sync::OnceLock;

use meridian::server::Running;

use super::{Octets, framing, query};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Longest rest of a header that the server reads from a stream.
const MAX_REST_OCTETS: usize = 2_048;

/// Octets that choose the header, the octets of its rest, where the whole is cut, and the stream behind it.
pub fn run(input: &[u8]) {
    let mut input = Octets(input);
    let how = input.next();
    let command = [0x21, 0x20, 0x21, input.next()][usize::from(how & 3)];
    let family = [0x11, 0x21, 0x12, input.next()][usize::from(how >> 2 & 3)];
    let octets = [12, 36, usize::from(input.next()), usize::from(input.next()) << 5][usize::from(how >> 4 & 3)];
    let mut rest = input.take(octets).to_vec();
    rest.resize(octets, 0);
    let mut signature = SIGNATURE;
    if how >> 6 == 3 {
        signature[usize::from(input.next() % 12)] ^= input.next();
    }
    let header = [&signature[..], &[command, family], &(octets as u16).to_be_bytes(), &rest].concat();
    let segments = usize::from(input.next() % 16);
    let cuts: Vec<usize> = input.take(segments).iter().map(|octets| usize::from(*octets).max(2) - 1).collect();
    let stream = input.0;

    let replies = framing::ask(server(), &[&header, stream].concat(), &cuts);
    let replies = framing::messages(&replies);
    let expected = if signature == SIGNATURE && may_stand(command, family, octets) { framing::messages(stream) } else { Vec::new() };
    let expected: Vec<&[u8]> = expected.into_iter().filter(|message| !query::reply_over_tcp(message).is_empty()).collect();
    assert_eq!(replies.len(), expected.len(), "replies behind {}", header.escape_ascii());
    // Where the client is, and so what it is answered, is the header's affair.
    assert!(replies.iter().zip(&expected).all(|(reply, message)| reply[..2] == message[..2]), "the IDs in order");
}

/// Version 2, LOCAL or PROXY, and behind PROXY the addresses and ports of a family that has some; TLVs may follow.
fn may_stand(command: u8, family: u8, octets: usize) -> bool {
    let addresses = match (command, family >> 4) {
        (0x21, 1) => 12,
        (0x21, 2) => 36,
        _ => 0,
    };
    matches!(command, 0x20 | 0x21) && (addresses..=MAX_REST_OCTETS).contains(&octets)
}

fn server() -> SocketAddr {
    static SERVER: OnceLock<Running> = OnceLock::new();
    SERVER.get_or_init(|| framing::serve(&query::load("proxied.yaml"))).addresses()[0]
}

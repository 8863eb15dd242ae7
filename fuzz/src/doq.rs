//! What a stream of DNS over QUIC brings: exactly one query, or what ends the connection. What must hold is said here once more, from RFC 9250
//! and not as the server says it.

use meridian::server::doq::message;

use super::query;

const HEADER_OCTETS: usize = 12;
const QR: u8 = 0x80;

/// All that came on the stream.
pub fn run(stream: &[u8]) {
    let framed = stream.split_first_chunk::<2>().filter(|(length, rest)| usize::from(u16::from_be_bytes(**length)) == rest.len());
    let is_query = |message: &&[u8]| message.len() >= HEADER_OCTETS && message[..2] == [0, 0] && message[2] & QR == 0;
    let expected = framed.map(|(_, rest)| rest).filter(is_query);
    match message(stream) {
        Ok(message) => {
            assert_eq!(Some(message), expected);
            let reply = query::reply_over_tcp(message);
            assert!(reply.len() >= HEADER_OCTETS && reply[..2] == [0, 0], "every query is answered");
        }
        // An option that must not stand there (RFC 9250 5.5.2); where it is, the targets that read options say.
        Err("edns-tcp-keepalive") => assert!(expected.is_some_and(|message| message.windows(2).any(|code| code == [0, 11]))),
        Err(_) => assert_eq!(expected, None, "{}", stream.escape_ascii()),
    }
}

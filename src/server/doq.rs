//! DNS over QUIC: what a stream must hold (RFC 9250).
//! It reads no octet from the network; the message itself is answered like any other.

use crate::wire::edns::Edns;
use crate::wire::{HEADER_OCTETS, MAX_MESSAGE_OCTETS, query};

/// The longest message with its length.
pub(super) const LONGEST_OCTETS: usize = 2 + MAX_MESSAGE_OCTETS;

/// The one message of a whole stream.
///
/// # Errors
/// What is fatal for the connection (RFC 9250 4.2, 4.2.1, 4.3.3, 5.5.2).
pub fn message(octets: &[u8]) -> Result<&[u8], &'static str> {
    let (length, message) = octets.split_first_chunk::<2>().ok_or("no message")?;
    if message.len() != usize::from(u16::from_be_bytes(*length)) {
        return Err("the stream is not one message");
    }
    match message {
        [0, 0, flags, ..] if message.len() >= HEADER_OCTETS && flags & 0x80 == 0 => {}
        [_, _, flags, ..] if message.len() >= HEADER_OCTETS && flags & 0x80 == 0 => return Err("the message ID is not 0"),
        _ => return Err("no query"),
    }
    if edns(message).is_some_and(|edns| edns.keepalive) { Err("edns-tcp-keepalive") } else { Ok(message) }
}

/// What a query says by OPT, with or without a question; of what is refused as a whole nothing is known.
fn edns(message: &[u8]) -> Option<Edns<'_>> {
    match query::parse(message) {
        Ok(query) => query.edns,
        Err(_) => query::without_question(message).map(|(_, _, edns)| edns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_holds_one_query_with_id_0_and_without_keepalive() {
        let query = |id: u8, opt: &[u8]| {
            let mut query = vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!opt.is_empty())];
            query.extend(b"\x03www\x07example\0\0\x01\0\x01");
            query.extend(opt);
            query
        };
        let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
        let good = query(0, &[]);
        assert_eq!(message(&framed(&good)), Ok(&good[..]));
        let reply = {
            let mut reply = good.clone();
            reply[2] = 0x80;
            reply
        };
        for (octets, fault) in [
            (vec![], "no message"),
            (vec![0], "no message"),
            (framed(&good)[..20].to_vec(), "the stream is not one message"),
            ([framed(&good), framed(&good)].concat(), "the stream is not one message"),
            (framed(&query(1, &[])), "the message ID is not 0"),
            (framed(&[0; 11]), "no query"),
            (framed(&reply), "no query"),
            (framed(&query(0, &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0])), "edns-tcp-keepalive"),
            (framed(&[&[0; 11][..], &[1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0]].concat()), "edns-tcp-keepalive"),
        ] {
            assert_eq!(message(&octets), Err(fault));
        }
        assert!(message(&framed(&query(0, &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 12, 0, 0]))).is_ok(), "padding is welcome");
    }
}

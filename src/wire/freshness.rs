//! How long a reply may be kept: what a cache that knows no DNS has to be told of it, as those of HTTP (RFC 8484 5.1).
//! It reads replies that we wrote; of octets that are none it says that they are stale.

use super::{HEADER_OCTETS, QUESTION_FIXED_OCTETS, Rcode, rtype};

/// Octets of type, class, TTL and length of a record, behind its owner.
const RECORD_FIXED_OCTETS: usize = 10;

/// Seconds that a reply is fresh: the lowest TTL of its answer; without one that of its authority, as far as the SOA there allows
/// (RFC 2308 5). 0 for errors and for what cannot be read.
pub fn freshness_s(reply: &[u8]) -> u32 {
    lowest_ttl_s(reply).unwrap_or(0)
}

fn lowest_ttl_s(reply: &[u8]) -> Option<u32> {
    let (header, mut rest) = reply.split_first_chunk::<HEADER_OCTETS>()?;
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if ![Rcode::NOERROR, Rcode::NXDOMAIN].contains(&Rcode(u16::from(header[3] & 0x0f))) {
        return None;
    }
    for _ in 0..count(4) {
        rest = behind_name(rest)?.get(QUESTION_FIXED_OCTETS..)?;
    }
    let records = if count(6) > 0 { count(6) } else { count(8) };
    let mut lowest = None;
    for _ in 0..records {
        let (fixed, behind) = behind_name(rest)?.split_first_chunk::<RECORD_FIXED_OCTETS>()?;
        let [t0, t1, _, _, s0, s1, s2, s3, l0, l1] = *fixed;
        let (data, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let mut ttl_s = u32::from_be_bytes([s0, s1, s2, s3]);
        if let (rtype::SOA, Some(minimum)) = (u16::from_be_bytes([t0, t1]), data.last_chunk()) {
            ttl_s = ttl_s.min(u32::from_be_bytes(*minimum));
        }
        lowest = Some(lowest.map_or(ttl_s, |lowest: u32| lowest.min(ttl_s)));
        rest = behind;
    }
    lowest
}

/// What follows a name, compressed or not.
fn behind_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, behind) = rest.split_first()?;
        match length {
            0 => return Some(behind),
            0xc0.. => return behind.get(1..),
            _ => rest = behind.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, type and class of the question, then records of this type, TTL and data at a pointer to it.
    fn reply(rcode: u8, answers: u8, authorities: u8, records: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let mut reply = vec![0, 0, 0x84, rcode, 0, 1, 0, answers, 0, authorities, 0, 0];
        reply.extend(b"\x03www\x07example\0\0\x01\0\x01");
        for (rtype, ttl_s, data) in records {
            reply.extend([0xc0, 12]);
            reply.extend(rtype.to_be_bytes());
            reply.extend([0, 1]);
            reply.extend(ttl_s.to_be_bytes());
            reply.extend((data.len() as u16).to_be_bytes());
            reply.extend(*data);
        }
        reply
    }

    #[test]
    fn the_lowest_ttl_of_the_answer_counts_and_of_a_negative_one_the_soa() {
        let soa = [0, 0, 0, 0, 0, 30];
        let cases = [
            (reply(0, 2, 1, &[(rtype::CNAME, 300, b"\0"), (rtype::A, 60, b"1234"), (rtype::NS, 5, b"\0")]), 60),
            (reply(0, 0, 1, &[(rtype::SOA, 600, &soa)]), 30),
            (reply(3, 0, 1, &[(rtype::SOA, 10, &soa)]), 10),
            (reply(0, 0, 2, &[(rtype::NS, 900, b"\0"), (rtype::NS, 800, b"\0")]), 800),
            (reply(2, 0, 0, &[]), 0),
            (reply(5, 1, 0, &[(rtype::A, 60, b"1234")]), 0),
            (reply(0, 0, 0, &[]), 0),
        ];
        for (octets, expected) in cases {
            assert_eq!(freshness_s(&octets), expected, "{octets:?}");
        }
    }

    #[test]
    fn half_a_reply_is_stale() {
        let whole = reply(0, 1, 0, &[(rtype::A, 60, b"1234")]);
        for len in 0..whole.len() {
            assert_eq!(freshness_s(&whole[..len]), 0, "{len}");
        }
    }
}

//! Queries as they are sent, and whether a reply has the address that it should have.
//! It knows one kind of question, for an A record, with or without a client subnet and a cookie; it never sends anything.

use std::net::Ipv4Addr;

/// Octets of a header, and where in it what stands.
const HEADER: usize = 12;
const ANSWERS: usize = 6;
const ADDITIONAL: usize = 11;

/// Of QTYPE and QCLASS.
const TYPE_AND_CLASS: [u8; 4] = [0, 1, 0, 1];

/// Longest query: a name of 255 octets, and what stands around it.
pub(crate) const LONGEST_QUERY: usize = 320;

/// OPT with a payload of 1,232 and one option: a client subnet of IPv4 with a source length of 24; the three octets follow.
const OPT_WITH_SUBNET: [u8; 19] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0];

/// Octets of the data of that OPT, which ends the query.
const SUBNET: usize = 11;

/// A cookie of a client that has none of the server yet (RFC 7873 4).
const COOKIE: [u8; 12] = [0, 10, 0, 8, 0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];

/// A query for the A record of `name`, with identifier 0; with `client`, for a client in that /24.
pub(crate) fn query(name: &str, client: Option<Ipv4Addr>) -> Vec<u8> {
    let mut octets = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        // Names are made up by `table`, of labels of under 64 octets.
        octets.push(label.len() as u8);
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets.extend_from_slice(&TYPE_AND_CLASS);
    if let Some(client) = client {
        octets[ADDITIONAL] = 1;
        octets.extend_from_slice(&OPT_WITH_SUBNET);
        octets.extend_from_slice(&client.octets()[..3]);
    }
    octets
}

/// A query with a client subnet, and now with a cookie behind it.
fn with_cookie(query: &[u8]) -> Vec<u8> {
    let mut octets = query.to_vec();
    let length = octets.len() - SUBNET - 1;
    octets[length] += COOKIE.len() as u8;
    octets.extend_from_slice(&COOKIE);
    octets
}

/// Whether a message is a reply without an error whose first answer is an A record, of this address if one is given.
pub(crate) fn is_right(reply: &[u8], expected: Option<Ipv4Addr>) -> bool {
    let Some(header) = reply.get(..HEADER) else { return false };
    let is_reply = header[2] & 0x80 != 0 && header[3] & 0x0f == 0 && header[ANSWERS..ANSWERS + 2] != [0, 0];
    is_reply && first_address(reply).is_some_and(|address| expected.is_none_or(|expected| expected == address))
}

fn first_address(reply: &[u8]) -> Option<Ipv4Addr> {
    let question = behind_name(reply, HEADER)? + TYPE_AND_CLASS.len();
    let record = behind_name(reply, question)?;
    // Type and class, four octets of TTL, two of length.
    let fixed = reply.get(record..record + 10)?;
    if fixed[..4] != TYPE_AND_CLASS || fixed[8..] != [0, 4] {
        return None;
    }
    let address: [u8; 4] = reply.get(record + 10..record + 14)?.try_into().ok()?;
    Some(address.into())
}

/// Where what follows a name begins: behind its root label, or behind a pointer.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + length,
        }
    }
}

/// Many questions in the order in which they are asked, each with the address that is right for it.
pub(crate) struct Pool {
    octets: Vec<u8>,
    ends: Vec<usize>,
    expected: Vec<Option<Ipv4Addr>>,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool { octets: Vec::new(), ends: Vec::new(), expected: Vec::new() }
    }

    /// Adds a question; without an address, any is right.
    pub(crate) fn add(&mut self, query: &[u8], expected: Option<Ipv4Addr>) {
        self.octets.extend_from_slice(query);
        self.ends.push(self.octets.len());
        self.expected.push(expected);
    }

    /// The same questions, all of which have a client subnet, with cookies.
    pub(crate) fn with_cookies(&self) -> Pool {
        let mut pool = Pool::new();
        (0..self.len()).for_each(|at| pool.add(&with_cookie(self.query(at)), self.expected(at)));
        pool
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn query(&self, at: usize) -> &[u8] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.octets[from..self.ends[at]]
    }

    pub(crate) fn expected(&self, at: usize) -> Option<Ipv4Addr> {
        self.expected[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    #[test]
    fn a_query_is_that_of_rfc_1035() {
        let expected = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        assert_eq!(query("www.example.com", None), expected);
    }

    #[test]
    fn a_client_subnet_is_that_of_rfc_7871() {
        let plain = query("a.b", None);
        let located = query("a.b", Some(CLIENT));
        let option = [0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100];
        assert!(located.ends_with(&option));
        assert_eq!(located.len(), plain.len() + 11 + option.len());
        assert_eq!((located[ADDITIONAL], usize::from(located[plain.len() + 10])), (1, option.len()));
    }

    #[test]
    fn a_cookie_is_that_of_rfc_7873_and_stands_behind_the_subnet() {
        let located = query("a.b", Some(CLIENT));
        let with = with_cookie(&located);
        let opt = query("a.b", None).len();
        assert_eq!(with[opt + 9..opt + 11], [0, 23]);
        assert!(with.ends_with(&COOKIE) && with[opt + 11..].starts_with(&located[opt + 11..]));
    }

    fn reply(owner: &[u8], address: Ipv4Addr) -> Vec<u8> {
        let mut octets = query("www.example.com", None);
        octets[2] = 0x84;
        octets[ANSWERS + 1] = 1;
        octets.extend_from_slice(owner);
        octets.extend_from_slice(&[0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        octets.extend_from_slice(&address.octets());
        octets
    }

    #[test]
    fn a_reply_is_right_when_its_first_answer_is_the_address() {
        for owner in [&b"\xc0\x0c"[..], b"\x03www\xc0\x10", b"\x03www\x07example\x03com\0"] {
            let right = reply(owner, ADDRESS);
            assert!(is_right(&right, Some(ADDRESS)) && is_right(&right, None), "{owner:?}");
            assert!(!is_right(&right, Some(CLIENT)), "{owner:?}");
            assert!((0..right.len()).all(|length| !is_right(&right[..length], None)), "cut: {owner:?}");
        }
        let mut refused = reply(b"\xc0\x0c", ADDRESS);
        refused[3] |= 5;
        assert!(!is_right(&refused, None));
        assert!(!is_right(&query("www.example.com", None), None));
    }

    #[test]
    fn a_pool_gives_back_what_was_added() {
        let mut pool = Pool::new();
        pool.add(b"one", Some(ADDRESS));
        pool.add(b"other", None);
        assert_eq!((pool.len(), pool.query(0), pool.query(1)), (2, &b"one"[..], &b"other"[..]));
        assert_eq!((pool.expected(0), pool.expected(1)), (Some(ADDRESS), None));
    }
}

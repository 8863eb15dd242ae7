//! EDNS options made up from the input, ECS and cookies foremost: a malformed one is FORMERR without options, a well-formed client subnet
//! comes back as it was sent. What is well-formed is said here once more, from RFC 7871 6 and RFC 7873 4, and not as the server says it.

use super::{Octets, query};

const FORMERR: u8 = 1;
const OPTION_ECS: u16 = 8;
const OPTION_COOKIE: u16 = 10;
const MAX_OPTIONS: usize = 6;

/// A static name, steered ones, a wildcard, one that does not exist, and one outside.
const NAMES: [&[u8]; 6] = [
    b"\x02ns\x07example\x03com\0",
    b"\x03www\x07example\x03com\0",
    b"\x06static\x07example\x04test\0",
    b"\x07missing\x07example\x03com\0",
    b"\x07example\x03com\0",
    b"\x03www\x07invalid\0",
];

/// A, AAAA, NS, TXT, HTTPS and ANY.
const TYPES: [u16; 6] = [1, 28, 2, 16, 65, 255];

/// One option as sent.
struct Sent {
    code: u16,
    data: Vec<u8>,
}

/// Octets that choose the question, the flags of OPT and its options.
pub fn run(input: &[u8]) {
    let mut input = Octets(input);
    let name = NAMES[usize::from(input.next()) % NAMES.len()];
    let qtype = TYPES[usize::from(input.next()) % TYPES.len()];
    let (size, flags) = (u16::from_be_bytes([input.next(), input.next()]), u16::from(input.next()) << 15);
    let mut options = Vec::new();
    while !input.0.is_empty() && options.len() < MAX_OPTIONS {
        options.push(option(&mut input));
    }
    let message = message(name, qtype, size, flags, &options);
    query::run(&message);
    let reply = query::reply_over_tcp(&message);
    let subnet = options.iter().find(|option| option.code == OPTION_ECS);
    let cookie = options.iter().find(|option| option.code == OPTION_COOKIE);
    let is_malformed = subnet.is_some_and(|sent| !is_subnet(&sent.data)) || cookie.is_some_and(|sent| !is_cookie(&sent.data));
    assert_eq!(reply[3] & 0xf == FORMERR, is_malformed, "{}", message.escape_ascii());
    let echoed = echoed_subnet(&reply, name.len());
    match subnet {
        Some(sent) if !is_malformed => {
            let echoed = echoed.unwrap_or_else(|| panic!("no client subnet in {}", reply.escape_ascii()));
            assert_eq!((&echoed[..3], &echoed[4..]), (&sent.data[..3], &sent.data[4..]), "family, source and address are echoed");
            let longest = if sent.data[1] == 1 { 32 } else { 128 };
            assert!(echoed[3] <= longest && (sent.data[2] != 0 || echoed[3] == 0), "scope {}", echoed[3]);
        }
        _ => assert!(echoed.is_none(), "a client subnet that nobody sent: {}", reply.escape_ascii()),
    }
}

fn option(input: &mut Octets<'_>) -> Sent {
    match input.next() % 4 {
        0 => {
            let (family, source, how) = (input.next() % 4, input.next(), input.next());
            let scope = if how & 7 == 7 { input.next() } else { 0 };
            // Right, one too short or one too long.
            let octets =
                (usize::from(source).div_ceil(8) + [0, 0, 0, 1][usize::from(how >> 4 & 3)]).saturating_sub(usize::from(how >> 6 == 3));
            let mut address = input.take(octets).to_vec();
            address.resize(octets, 0);
            if how & 8 == 0
                && let Some(last) = address.last_mut()
                && source % 8 != 0
            {
                *last &= 0xff << (8 - source % 8);
            }
            Sent { code: OPTION_ECS, data: [&[0, family, source, scope], &address[..]].concat() }
        }
        1 => {
            let octets = [8, 16, 24, 40, usize::from(input.next() % 48)][usize::from(input.next() % 5)];
            let mut data = input.take(octets).to_vec();
            data.resize(octets, 0x5a);
            Sent { code: OPTION_COOKIE, data }
        }
        2 => Sent { code: 3, data: Vec::new() },
        _ => {
            let (code, octets) = (u16::from_be_bytes([input.next(), input.next()]), usize::from(input.next()));
            Sent { code, data: input.take(octets).to_vec() }
        }
    }
}

fn message(name: &[u8], qtype: u16, size: u16, flags: u16, options: &[Sent]) -> Vec<u8> {
    let data: Vec<u8> = options
        .iter()
        .flat_map(|option| [&option.code.to_be_bytes()[..], &(option.data.len() as u16).to_be_bytes(), &option.data].concat())
        .collect();
    let head = [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    let question = [name, &qtype.to_be_bytes(), &[0, 1]].concat();
    let opt = [&[0, 0, 41], &size.to_be_bytes()[..], &[0, 0], &flags.to_be_bytes(), &(data.len() as u16).to_be_bytes(), &data].concat();
    [&head[..], &question, &opt].concat()
}

/// RFC 7871 6 and 7.1.2: the address has as many octets as the source prefix needs and no bits beyond it; the scope is 0.
fn is_subnet(data: &[u8]) -> bool {
    let &[high, low, source, scope, ref address @ ..] = data else { return false };
    let bits = match (high, low) {
        (0, 1) => 32,
        (0, 2) => 128,
        _ => 0,
    };
    let is_bare = (0..address.len() * 8).all(|bit| bit < usize::from(source) || address[bit / 8] >> (7 - bit % 8) & 1 == 0);
    source <= bits && scope == 0 && address.len() == usize::from(source).div_ceil(8) && is_bare
}

/// RFC 7873 4: 8 octets of the client, then nothing or 8 to 32 of the server.
fn is_cookie(data: &[u8]) -> bool {
    data.len() == 8 || (16..=40).contains(&data.len())
}

/// The data of the client subnet in the last record of the reply, which is its OPT: found from the end of the options backwards would be
/// guessing, so the records are walked.
fn echoed_subnet(reply: &[u8], name_octets: usize) -> Option<Vec<u8>> {
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let mut at = 12 + if count(4) == 1 { name_octets + 4 } else { 0 };
    let mut found = None;
    for _ in 0..count(6) + count(8) + count(10) {
        while reply[at] != 0 && reply[at] < 0xc0 {
            at += 1 + usize::from(reply[at]);
        }
        at += if reply[at] == 0 { 1 } else { 2 };
        let (rtype, length) = (count(at), count(at + 8));
        let data = &reply[at + 10..at + 10 + length];
        at += 10 + length;
        if rtype == 41 {
            found = subnet_of(data);
        }
    }
    assert_eq!(at, reply.len(), "octets after the last record");
    found
}

fn subnet_of(mut options: &[u8]) -> Option<Vec<u8>> {
    while let [a, b, c, d, rest @ ..] = options {
        let (data, after) = rest.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        if u16::from_be_bytes([*a, *b]) == OPTION_ECS {
            return Some(data.to_vec());
        }
        options = after;
    }
    None
}

//! Any octets as a message, over UDP and TCP: silence for replies and scraps only, and every reply belongs to its query and reads back.
//! It asks the world in `world/`, through the corridor that every transport takes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hickory_proto::op::Message;
use meridian::answer::{Ask, Transport, Turns, answer};
use meridian::daemon::prepare;
use meridian::health::HealthView;
use meridian::snapshot::Snapshot;
use meridian::wire::cookie::Secret;

use super::home;

const HEADER_OCTETS: usize = 12;
const MIN_UDP_OCTETS: usize = 512;
/// What the configuration of the world lets us send.
const MAX_UDP_OCTETS: usize = 1232;
const MAX_TCP_OCTETS: usize = 65_535;

const QR: u8 = 0x80;
const RD: u8 = 0x01;
const OPCODE: u8 = 0x78;
/// RA, Z, AD and CD.
const NEVER_SET: u8 = 0xf0;

/// A message.
pub fn run(message: &[u8]) {
    let udp = reply(message, Transport::Udp, MAX_UDP_OCTETS);
    let tcp = reply(message, Transport::Tcp, MAX_TCP_OCTETS);
    assert_eq!(udp.is_empty(), tcp.is_empty(), "both or none is answered");
    let is_silent = message.len() < HEADER_OCTETS || message[2] & QR != 0;
    assert_eq!(udp.is_empty(), is_silent, "replies and scraps get no reply, everything else does");
    if !is_silent {
        check(message, &udp);
        check(message, &tcp);
        let has_opt = Message::from_vec(&udp).map_or(true, |read| read.edns.is_some());
        assert!(udp.len() <= if has_opt { MAX_UDP_OCTETS } else { MIN_UDP_OCTETS }, "{} octets", udp.len());
        // What is truncated over UDP is whole over TCP; else both are alike.
        assert_eq!(tcp[2] & 0x02, 0, "truncated over TCP");
        assert_eq!(udp[3], tcp[3], "another rcode over TCP");
    }
}

/// The reply over TCP.
pub fn reply_over_tcp(message: &[u8]) -> Vec<u8> {
    reply(message, Transport::Tcp, MAX_TCP_OCTETS)
}

/// The reply, written into the start of a buffer of so many octets.
fn reply(message: &[u8], transport: Transport, octets: usize) -> Vec<u8> {
    static TURNS: OnceLock<Turns> = OnceLock::new();
    static OUT: Mutex<[u8; MAX_TCP_OCTETS]> = Mutex::new([0; MAX_TCP_OCTETS]);
    let world = world();
    let turns = TURNS.get_or_init(|| Turns::new(world.catalog.turn_slots));
    let address = SocketAddr::from(([198, 51, 100, 7], 53));
    // Poisoned by a finding before, whose report is written already.
    let mut out = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let (now_ms, wall_s, secret) = (1_000, 1_800_000_000, &Secret([7; 16]));
    let ask = Ask { bytes: message, peer: address, local: address, transport, now_ms, wall_s, secret, seed: 7, turns };
    let outcome = answer(world, &ask, &mut out[..octets]);
    out[..octets][..outcome.len].to_vec()
}

/// The world that is asked, with everything up.
pub fn world() -> &'static Snapshot {
    static WORLD: OnceLock<Snapshot> = OnceLock::new();
    WORLD.get_or_init(|| load("meridian.yaml"))
}

/// A world of the folder `world/`, with everything up.
pub fn load(file: &str) -> Snapshot {
    let prepared = prepare(&home().join("world").join(file), None).unwrap_or_else(|found| panic!("{found}"));
    let health = Arc::new(HealthView::all_up(&prepared.compiled.layout));
    Snapshot { catalog: prepared.compiled.catalog, health, generation: 1 }
}

/// A reply belongs to its query, and others can read it.
fn check(message: &[u8], reply: &[u8]) {
    assert!(reply.len() >= HEADER_OCTETS);
    assert_eq!(reply[..2], message[..2], "the ID");
    assert_eq!(reply[2] & (QR | OPCODE), QR | message[2] & OPCODE, "QR and opcode");
    let rd = if message[2] & OPCODE == 0 { message[2] & RD } else { 0 };
    assert_eq!(reply[2] & RD, rd, "RD is copied for queries only");
    assert_eq!(reply[3] & NEVER_SET, 0, "flags that are never set");
    let questions = u16::from_be_bytes([reply[4], reply[5]]);
    if questions == 0 {
        // A query without a question asks for a cookie alone (RFC 7873 5.4).
        let asks_for_cookie = message[4..6] == [0, 0];
        return assert!(reply[3] & 0xf != 0 || asks_for_cookie, "a reply without a question is an error");
    }
    assert_eq!(questions, 1);
    let end = HEADER_OCTETS + question_octets(&reply[HEADER_OCTETS..]);
    assert_eq!(reply[HEADER_OCTETS..end], message[HEADER_OCTETS..end], "the question is echoed bit for bit");
    if let Err(error) = Message::from_vec(reply) {
        assert!(has_strange_family(reply), "{error}: {}", reply.escape_ascii());
    }
}

/// Octets of the question at the start of `octets`.
fn question_octets(octets: &[u8]) -> usize {
    let mut at = 0;
    while octets[at] != 0 {
        at += 1 + usize::from(octets[at]);
    }
    at + 5
}

/// Whether a client subnet with source prefix 0 and another family than 1 and 2 is echoed: right (BEHAVIOUR E3), and more than hickory-proto reads.
fn has_strange_family(reply: &[u8]) -> bool {
    let strange =
        |option: &[u8]| option[..4] == [0, 8, 0, 4] && ![[0, 1], [0, 2]].contains(&[option[4], option[5]]) && option[6..] == [0, 0];
    reply.windows(8).any(strange)
}

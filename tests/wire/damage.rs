//! N12 and N13 by force: every truncation of, and every change of one octet to, thirty different queries. The server must live, reply with
//! the right ID and question or with a bare FORMERR, never with more than is allowed, and never to a reply.

use meridian::answer::Transport;

use super::common::PATIENCE;
use super::common::client::{Tcp, Udp};
use super::common::message::{OPTION_COOKIE, OPTION_NSID, Query, query};
use super::common::world::{PEER, World};
use super::house::{HOUSE, judge, judge_form, world};

/// Thirty queries that differ in all that a query can differ in.
fn queries() -> Vec<Query> {
    let example = |name: &str, qtype: &str| query(&format!("{name}.example.com"), qtype);
    let queries = vec![
        example("www", "A"),
        example("www", "A").edns(1232),
        example("www", "A").subnet("10.1.2.0/24"),
        example("www", "AAAA").subnet("2001:db8:3::/48"),
        example("wWw", "A").subnet("10.2.0.0/16").edns_flags(0x8000),
        example("www", "A").option(8, &[0, 1, 0, 0]),
        example("www", "A").option(8, &[0, 1, 16, 0, 10, 1]).option(8, &[0, 1, 16, 0, 10, 3]),
        example("www", "MX").edns(512),
        example("www", "ANY"),
        example("many", "A").subnet("10.1.0.0/16"),
        example("sticky", "A").subnet("10.1.2.3/32"),
        example("shared", "A").subnet("64:ff9b::a01:203/128"),
        example("x.y.apps", "A").subnet("2002:a01:203::/48"),
        example("static", "A"),
        example("static", "TXT").option(OPTION_NSID, &[]),
        example("alias", "A").subnet("10.3.0.0/16"),
        example("a1", "A").edns(4096),
        example("a-none", "A"),
        example("any.thing.wild", "A").option(OPTION_COOKIE, &[1; 8]),
        example("b.ent", "A").flags(0),
        example("no.such.name", "A").edns(1232),
        example("host.deleg", "A").edns_flags(0x8000),
        example("deep.sub", "A"),
        query("example.com", "SOA").option(OPTION_COOKIE, &[2; 24]).option(OPTION_NSID, &[]),
        query("example.com", "NS").option(65_001, b"unknown").subnet("10.0.0.0/8"),
        query("big.big.example", "TXT").edns(1232),
        query("x.required.big.example", "A"),
        query("www.example.net", "A").subnet("10.1.0.0/16"),
        query("version.bind", "TXT").class(3).edns(1232),
        query("example.com", "IXFR"),
    ];
    assert_eq!(queries.len(), 30);
    queries
}

/// One call of `answer` and its judgement; a panic shows as a failed test.
fn call(world: &World, transport: Transport, octets: &[u8], out: &mut [u8], read_it_all: bool) {
    let outcome = world.answer_into(PEER, transport, octets, out);
    let must_be_silent = octets.len() < 12 || octets[2] & 0x80 != 0;
    assert_eq!(outcome.len == 0, must_be_silent, "{octets:02x?}");
    if outcome.len > 0 {
        let limit = (transport == Transport::Tcp).then_some(65_535);
        judge_form(octets, &out[..outcome.len], limit);
        if read_it_all {
            judge(octets, &out[..outcome.len], limit);
        }
    }
}

#[test]
fn n12_every_truncation_of_thirty_queries() {
    let world = world();
    let mut out = vec![0; 65_535];
    for query in queries() {
        let octets = query.octets();
        for length in 0..=octets.len() {
            for transport in [Transport::Udp, Transport::Tcp] {
                call(&world, transport, &octets[..length], &mut out, true);
            }
        }
    }
}

#[test]
fn n12_every_change_of_one_octet_to_thirty_queries() {
    let world = world();
    let mut out = vec![0; 65_535];
    let mut calls = 0;
    for query in queries() {
        let mut octets = query.octets();
        for at in 0..octets.len() {
            for change in 1..=255 {
                octets[at] ^= change;
                // The slow readers see a part of them, a different one at each octet.
                let read_it_all = (usize::from(change) + at).is_multiple_of(16);
                let transport = if (calls / 3) % 2 == 0 { Transport::Udp } else { Transport::Tcp };
                call(&world, transport, &octets, &mut out, read_it_all);
                octets[at] ^= change;
                calls += 1;
            }
        }
    }
    assert!(calls > 300_000, "{calls}");
}

/// Two octets at once, drawn: counts that lie about sections that are damaged as well.
#[test]
fn n12_two_changes_and_a_cut_at_once() {
    let world = world();
    let mut out = vec![0; 65_535];
    let queries: Vec<Vec<u8>> = queries().iter().map(Query::octets).collect();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for turn in 0..100_000 {
        let mut octets = queries[random(queries.len())].clone();
        for _ in 0..2 {
            let at = random(octets.len());
            octets[at] = random(256) as u8;
        }
        if turn % 3 == 0 {
            octets.truncate(random(octets.len() + 1));
        }
        call(&world, Transport::Udp, &octets, &mut out, turn % 16 == 0);
    }
}

/// A sample over sockets: behind each damaged message comes a good one, so that silence is seen without waiting.
#[test]
fn n12_a_sample_of_the_damage_over_sockets() {
    let sentinel = query("static.example.com", "A").id(0x7e57);
    let sentinel_octets = sentinel.octets();
    for address in HOUSE.addresses() {
        let udp = Udp::to(*address);
        let mut tcp = Tcp::to(*address);
        for (number, query) in queries().iter().enumerate() {
            let octets = query.octets();
            let changed = (0..octets.len()).map(|at| {
                let mut octets = octets.clone();
                octets[at] ^= 1 << ((at + number) % 8) | 1 << ((at / 8) % 8);
                octets
            });
            let cut = (1..octets.len()).filter(|length| (length + number) % 3 == 0).map(|length| octets[..length].to_vec());
            for damaged in changed.chain(cut).filter(|damaged| damaged.len() < 2 || damaged[..2] != sentinel_octets[..2]) {
                udp.send(&damaged);
                udp.send(&sentinel_octets);
                until_the_sentinel(&damaged, &sentinel_octets, None, || udp.receive(PATIENCE));
                tcp.send(&damaged);
                tcp.send(&sentinel_octets);
                until_the_sentinel(&damaged, &sentinel_octets, Some(65_535), || tcp.receive());
            }
        }
    }
    assert_eq!(HOUSE.registry.totals().count(meridian::metrics::Metric::Panics), 0);
}

/// Reads up to the reply to the good message; at most one reply comes before or after it, as the damage deserves.
fn until_the_sentinel(damaged: &[u8], sentinel: &[u8], limit: Option<usize>, mut receive: impl FnMut() -> Option<Vec<u8>>) {
    let replies = if damaged.len() < 12 || damaged[2] & 0x80 != 0 { 1 } else { 2 };
    for _ in 0..replies {
        let reply = receive().unwrap_or_else(|| panic!("silence or the end after {damaged:02x?}"));
        if reply[..2] == sentinel[..2] {
            judge(sentinel, &reply, limit);
        } else {
            judge(damaged, &reply, limit);
        }
    }
}

//! The short way and the long way through the corridor, under everything that may stand between a client and its answer: rules of access,
//! cookies that are required, geo data that is stale. Both must say the same and tell the same of it, so that limits count the same.

use std::fs;
use std::net::IpAddr;

use meridian::answer::Transport;
use meridian::wire::cookie::{COOKIE_OCTETS, Cookie};
use proptest::prelude::*;
use proptest::sample::select;

use crate::access::database;
use crate::common::folder::Folder;
use crate::common::message::{OPTION_COOKIE, OPTION_ECS, Query, query};
use crate::common::world::{SECRET, WALL_S, World};
use crate::house::{REGIONS, ZONE, server_file};

/// Server files, and what stands in the zone besides.
const SETTINGS: [(&str, &str); 7] = [
    ("", ""),
    ("cookies: {required: true}", ""),
    ("cookies: false", ""),
    ("queries_from: [{drop: 192.0.2.0/25}, {refuse: \"2001:db8::/32\"}, {allow: any}]", ""),
    ("extended_errors: false", "queries_from: [{drop: 192.0.2.0/25}, 192.0.2.128/25]"),
    ("geodb: places.mmdb\ngeo_max_age: 2d", ""),
    (
        "ecs: {from: [192.0.2.0/25, \"2001:db8::/32\"]}\nexplain_from: [{drop: 192.0.2.0/25}, {allow: any}]\ntransfers_from: [{drop: 192.0.2.0/25}]",
        "",
    ),
];

const NAMES: [&str; 8] = [
    "www.example.com",
    "static.example.com",
    "x.wild.example.com",
    "missing.example.com",
    "x.deleg.example.com",
    "example.com",
    "www.example.net",
    "_why.www.example.com",
];

fn world(name: &str, (server, zone): (&str, &str)) -> World {
    let (server, zone) = (server_file(server), format!("{ZONE}{zone}\n"));
    let files = [("meridian.yaml", &*server), ("regions.yaml", REGIONS), ("example.com.zone.yaml", &*zone)];
    let folder = Folder::with(name, &files);
    fs::write(folder.join("places.mmdb"), database(WALL_S - 10 * 86_400)).unwrap();
    World::load(&folder.join("meridian.yaml"))
}

const PEERS: [&str; 4] = ["192.0.2.1", "192.0.2.129", "198.51.100.1", "2001:db8::1"];

/// A cookie as the server has given it some time ago.
fn given(peer: IpAddr, ago_s: u64) -> [u8; COOKIE_OCTETS] {
    Cookie { client: b"a client", server: &[] }.renewed(&SECRET, peer, WALL_S - ago_s)
}

/// The options of a query: none, usual ones alone and together, and some that are usual but for one thing.
fn options(peer: IpAddr) -> Vec<Vec<(u16, Vec<u8>)>> {
    let subnets: [&[u8]; 9] = [
        &[0, 1, 24, 0, 192, 0, 2],
        &[0, 1, 24, 0, 81, 2, 69],
        &[0, 1, 17, 0, 81, 2, 0],
        &[0, 1, 16, 0, 81, 2],
        // Unicast; IPv4 inside, known and not; 49 bits; a bit too many.
        &[0, 2, 56, 0, 0x20, 0x01, 0x02, 0x18, 0, 0, 0],
        &[0, 2, 56, 0, 0x20, 0x02, 0x51, 0x02, 0x45, 0, 0],
        &[0, 2, 56, 0, 0, 0x64, 0xff, 0x9b, 0, 0, 0],
        &[0, 2, 49, 0, 0x20, 0x01, 0x02, 0x18, 0, 0, 0x80],
        &[0, 2, 55, 0, 0x20, 0x01, 0x02, 0x18, 0, 0, 1],
    ];
    let (fresh, ageing, old) = (given(peer, 0), given(peer, 2_400), given(peer, 4_000));
    let elsewhere = given("203.0.113.1".parse().unwrap(), 0);
    let cookies: [&[u8]; 8] = [&[1; 8], &[1; 24], &[1; 16], &[1; 7], &fresh, &ageing, &old, &elsewhere];
    let subnets = subnets.map(|data| (OPTION_ECS, data.to_vec()));
    let cookies = cookies.map(|data| (OPTION_COOKIE, data.to_vec()));
    let mut all = vec![vec![]];
    all.extend(subnets.iter().chain(&cookies).map(|option| vec![option.clone()]));
    for subnet in &subnets {
        all.extend(cookies.iter().map(|cookie| vec![subnet.clone(), cookie.clone()]));
    }
    all.push(vec![cookies[4].clone(), subnets[0].clone()]);
    all.push(vec![subnets[0].clone(), cookies[4].clone(), cookies[0].clone()]);
    all
}

fn with_options(query: Query, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    options.iter().fold(query.edns(1232), |asked, (code, data)| asked.option(*code, data)).octets()
}

#[test]
fn both_ways_say_the_same_whatever_stands_between_a_client_and_its_answer() {
    let worlds = SETTINGS.map(|settings| world("ways", settings));
    let (mut dropped, mut verified) = (0, 0);
    for peer in PEERS.map(|peer| peer.parse().unwrap()) {
        let options = options(peer);
        for (world, name) in worlds.iter().flat_map(|world| NAMES.map(|name| (world, name))) {
            for qtype in ["A", "AAAA", "HTTPS", "TXT", "AXFR", "OPT"] {
                let asked = options.iter().map(|options| with_options(query(name, qtype), options)).chain([query(name, qtype).octets()]);
                for (octets, transport) in asked.flat_map(|octets| [(octets.clone(), Transport::Udp), (octets, Transport::Tcp)]) {
                    // The call compares the two ways.
                    let (outcome, reply) = world.ask_octets(peer, transport, &octets);
                    dropped += usize::from(reply.is_empty());
                    verified += usize::from(outcome.verified);
                }
            }
        }
    }
    assert!(dropped > 900, "rules that drop are among them: {dropped}");
    assert!(verified > 900, "cookies that are good are among them: {verified}");
}

#[test]
fn both_ways_say_the_same_of_damaged_queries() {
    let worlds = SETTINGS.map(|settings| world("ways-damaged", settings));
    let peer = PEERS[0].parse().unwrap();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    proptest!(|(of in 0..SETTINGS.len(), name in select(NAMES.to_vec()), options in select(options(peer)), damage in damage)| {
        let mut octets = with_options(query(name, "A"), &options);
        for (at, octet) in &damage {
            let at = at.index(octets.len());
            octets[at] = *octet;
        }
        worlds[of].ask_octets(peer, Transport::Udp, &octets);
    });
}

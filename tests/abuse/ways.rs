//! The short way and the long way through the corridor, under everything that may stand between a client and its answer: rules of access,
//! cookies that are required, geo data that is stale. Both must say the same and tell the same of it, so that limits count the same.

use std::fs;
use std::net::IpAddr;

use meridian::answer::Transport;
use proptest::prelude::*;
use proptest::sample::select;

use crate::access::database;
use crate::common::folder::Folder;
use crate::common::message::{OPTION_COOKIE, OPTION_ECS, query};
use crate::common::world::{WALL_S, World};
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

#[test]
fn both_ways_say_the_same_whatever_stands_between_a_client_and_its_answer() {
    let worlds = SETTINGS.map(|settings| world("ways", settings));
    let options: [&[(u16, &[u8])]; 6] = [
        &[],
        &[(OPTION_ECS, &[0, 1, 24, 0, 192, 0, 2])],
        &[(OPTION_COOKIE, &[1; 8])],
        &[(OPTION_COOKIE, &[1; 24])],
        &[(OPTION_COOKIE, &[1; 7])],
        &[(OPTION_COOKIE, &[1; 8]), (OPTION_ECS, &[0, 1, 24, 0, 81, 2, 69])],
    ];
    let peers = ["192.0.2.1", "192.0.2.129", "198.51.100.1", "2001:db8::1"].map(|peer| peer.parse::<IpAddr>().unwrap());
    let mut dropped = 0;
    for world in &worlds {
        for name in NAMES {
            for qtype in ["A", "AAAA", "HTTPS", "TXT", "AXFR", "OPT"] {
                for (peer, transport) in peers.iter().flat_map(|peer| [(peer, Transport::Udp), (peer, Transport::Tcp)]) {
                    // The call compares the two ways.
                    dropped += usize::from(world.ask_octets(*peer, transport, &query(name, qtype).octets()).1.is_empty());
                    for options in options {
                        let asked = options.iter().fold(query(name, qtype).edns(1232), |asked, (code, data)| asked.option(*code, data));
                        dropped += usize::from(world.ask_octets(*peer, transport, &asked.octets()).1.is_empty());
                    }
                }
            }
        }
    }
    assert!(dropped > 900, "rules that drop are among them: {dropped}");
}

#[test]
fn both_ways_say_the_same_of_damaged_queries() {
    let worlds = SETTINGS.map(|settings| world("ways-damaged", settings));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    proptest!(|(of in 0..SETTINGS.len(), name in select(NAMES.to_vec()), is_usual: bool, damage in damage)| {
        let asked = query(name, "A").edns(1232);
        let asked = if is_usual { asked.option(OPTION_ECS, &[0, 1, 24, 0, 192, 0, 2]) } else { asked.option(OPTION_COOKIE, &[1; 8]) };
        let mut octets = asked.octets();
        for (at, octet) in &damage {
            let at = at.index(octets.len());
            octets[at] = *octet;
        }
        worlds[of].ask_octets("192.0.2.1".parse().unwrap(), Transport::Udp, &octets);
    });
}

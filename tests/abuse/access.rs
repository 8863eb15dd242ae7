//! Who may ask, and how a reply says why it is what it is: access by network, and extended errors (RFC 8914).

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use meridian::answer::{Class, Transport};
use meridian::metrics::Registry;
use meridian::server::{Config, NowMs, start};
use meridian::snapshot::{Shared, Snapshot};

use crate::common::client::udp;
use crate::common::folder::Folder;
use crate::common::message::{OPTION_ECS, Query, Reply, query};
use crate::common::world::{WALL_S, World};
use crate::house::{Desk, REGIONS, ZONE, server_file};

/// The option of extended errors.
const OPTION_EXTENDED: u16 = 15;

const PROHIBITED: u16 = 18;
const NOT_AUTHORITATIVE: u16 = 20;
const NOT_READY: u16 = 14;

fn www() -> Query {
    query("www.example.com", "A").edns(1232)
}

/// Code and text.
fn extended(reply: &Reply) -> Option<(u16, String)> {
    let data = reply.option(OPTION_EXTENDED)?;
    Some((u16::from_be_bytes([data[0], data[1]]), String::from_utf8(data[2..].to_vec()).unwrap()))
}

fn code(code: u16) -> Option<(u16, String)> {
    Some((code, String::new()))
}

#[test]
fn the_first_rule_decides_and_whom_none_names_is_refused_with_the_reason() {
    let keys = "queries_from:\n  - {refuse: 192.0.2.13}\n  - {drop: [198.51.100.0/24, \"2001:db8:bad::/48\"]}\n  - 192.0.2.0/24\n  - {allow: \"2001:db8::/32\"}";
    let mut desk = Desk::new("access-server", keys, 1);
    for (peer, rcode) in [("192.0.2.1", Some(0)), ("192.0.2.13", Some(5)), ("203.0.113.1", Some(5)), ("198.51.100.7", None)] {
        let reply = desk.ask(peer, &www());
        assert_eq!(reply.as_ref().map(Reply::rcode), rcode, "{peer}");
        let refused = reply.filter(|reply| reply.rcode() == 5);
        assert_eq!(refused.as_ref().and_then(extended), refused.as_ref().and(code(PROHIBITED)), "{peer}");
        assert!(refused.is_none_or(|reply| !reply.is_authoritative() && reply.answers().is_empty()));
    }
    assert_eq!(desk.ask("2001:db8::1", &www()).unwrap().rcode(), 0);
    assert!(desk.ask("2001:db8:bad::1", &www()).is_none());
    assert_eq!(desk.totals().answers(Class::Dropped), 2);
    let tcp = desk.octets("192.0.2.13".parse::<IpAddr>().unwrap(), Transport::Tcp, &www().octets()).unwrap();
    assert_eq!(Reply::read(&tcp).rcode(), 5, "over every transport");
    // The form of a message is judged first (BEHAVIOUR N10), the name after.
    assert_eq!(desk.ask("203.0.113.1", &www().option(OPTION_ECS, &[0])).unwrap().rcode(), 1);
    assert_eq!(extended(&desk.ask("203.0.113.1", &query("a.example.net", "A").edns(512)).unwrap()), code(PROHIBITED));
}

#[test]
fn a_zone_may_be_for_fewer_than_the_server() {
    let inside = "zone: inside.example\nns: ns.example.com.\nqueries_from: [10.0.0.0/8]\nrecords: {www: {A: 10.1.2.3}}\n";
    let files =
        [("meridian.yaml", &*server_file("")), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE), ("inside.zone.yaml", inside)];
    let mut desk = Desk::of(&Folder::with("access-zone", &files), 1);
    let asked = query("www.inside.example", "A").edns(1232);
    assert_eq!(desk.ask("10.9.9.9", &asked).unwrap().answers().len(), 1);
    let refused = desk.ask("192.0.2.1", &asked).unwrap();
    assert_eq!((refused.rcode(), extended(&refused), refused.answers().len()), (5, code(PROHIBITED), 0));
    let missing = desk.ask("192.0.2.1", &query("x.inside.example", "A").edns(1232)).unwrap();
    assert_eq!(missing.rcode(), 5, "not even that a name does not exist");
    assert_eq!(desk.ask("192.0.2.1", &www()).unwrap().rcode(), 0);
}

#[test]
fn nobody_and_everybody_are_words() {
    assert_eq!(Desk::new("access-none", "queries_from: none", 1).ask("127.0.0.1", &www()).unwrap().rcode(), 5);
    assert_eq!(Desk::new("access-any", "queries_from: any", 1).ask("192.0.2.1", &www()).unwrap().rcode(), 0);
    let keys = "queries_from: [{refuse: 192.0.2.1}, {allow: any}]";
    let mut desk = Desk::new("access-but", keys, 1);
    assert_eq!(["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|peer| desk.ask(peer, &www()).unwrap().rcode()), [5, 0, 0]);
}

#[test]
fn a_transfer_is_refused_or_gets_nothing_whichever_of_server_and_zone_is_the_more_severe() {
    let inside = "zone: inside.example\nns: ns.example.com.\ntransfers_from: [{drop: 10.0.0.0/8}]\nrecords: {www: {A: 10.1.2.3}}\n";
    let hidden =
        "zone: hidden.example\nns: ns.example.com.\nqueries_from: [{drop: 10.0.0.0/8}, {allow: any}]\nrecords: {www: {A: 10.1.2.3}}\n";
    let server = server_file("transfers_from: [{refuse: 192.0.2.1}, {drop: 192.0.2.0/24}]");
    let files = [
        ("meridian.yaml", &*server),
        ("regions.yaml", REGIONS),
        ("example.com.zone.yaml", ZONE),
        ("inside.zone.yaml", inside),
        ("hidden.zone.yaml", hidden),
    ];
    let mut desk = Desk::of(&Folder::with("access-transfers", &files), 1);
    let mut verdict = |peer: &str, zone: &str, qtype: &str| {
        let reply = desk.ask(peer, &query(zone, qtype).edns(1232))?;
        Some((reply.rcode(), extended(&reply)))
    };
    let refused = Some((5, code(PROHIBITED)));
    for qtype in ["AXFR", "IXFR"] {
        for zone in ["example.com", "inside.example", "hidden.example", "example.net"] {
            assert_eq!(verdict("192.0.2.1", zone, qtype), refused, "{zone}");
            assert_eq!(verdict("192.0.2.2", zone, qtype), None, "{zone}");
            let in_no_zone = zone.starts_with("example");
            assert_eq!(verdict("10.0.0.1", zone, qtype), if in_no_zone { refused.clone() } else { None }, "{zone}: whom only a zone names");
        }
    }
    assert_eq!(verdict("192.0.2.2", "example.com", "SOA"), Some((0, None)), "other questions are none of its business");
    let mut plain = Desk::new("access-no-transfers", "", 1);
    let reply = plain.ask("192.0.2.1", &query("example.com", "AXFR").edns(1232)).unwrap();
    assert_eq!((reply.rcode(), extended(&reply)), (5, None), "where nothing is said all are refused");
}

#[test]
fn why_is_told_by_rules_too_and_who_is_dropped_gets_nothing() {
    let keys = "explain_from: [{drop: 192.0.2.13}, {refuse: 192.0.2.14}, 192.0.2.0/24]";
    let mut desk = Desk::new("access-explain", keys, 1);
    let why = query("_why.www.example.com", "TXT").edns(1232);
    let mut rcode = |peer: &str| desk.ask(peer, &why).map(|reply| reply.rcode());
    assert_eq!(["192.0.2.1", "192.0.2.13", "192.0.2.14", "198.51.100.1"].map(&mut rcode), [Some(0), None, Some(3), Some(3)]);
    let all = Desk::new("access-explain-any", "explain_from: any", 1).ask("198.51.100.1", &why).unwrap();
    assert_eq!(all.rcode(), 0);
}

/// A GeoIP database that was built at a time and knows one country for the lower half of IPv4.
pub(crate) fn database(built_s: u64) -> Vec<u8> {
    // In the format of MaxMind DB 2.0: one node of 24 bits a record (17 = the first data, 1 = nothing), 16 zeros, data, marker, metadata.
    let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
    let short = |number: u16| [&[0xa2], &number.to_be_bytes()[..]].concat();
    let country = [vec![0xe1], text("country"), vec![0xe1], text("iso_code"), text("US")].concat();
    let metadata = [
        vec![0xe9],
        text("binary_format_major_version"),
        short(2),
        text("binary_format_minor_version"),
        short(0),
        text("build_epoch"),
        [&[0x08, 0x02], &built_s.to_be_bytes()[..]].concat(),
        text("database_type"),
        text("GeoIP2-Country"),
        text("description"),
        vec![0xe1],
        text("en"),
        text("a test"),
        text("ip_version"),
        short(4),
        text("languages"),
        vec![0x00, 0x04],
        text("node_count"),
        [&[0xc4], &1u32.to_be_bytes()[..]].concat(),
        text("record_size"),
        short(24),
    ];
    [&[0, 0, 17, 0, 0, 1], &[0; 16][..], &country, b"\xab\xcd\xefMaxMind.com", &metadata.concat()].concat()
}

#[test]
fn n11_stale_geo_data_is_told_with_steered_answers() {
    let files = [
        ("meridian.yaml", &*server_file("geodb: places.mmdb\ngeo_max_age: 2d")),
        ("regions.yaml", REGIONS),
        ("example.com.zone.yaml", ZONE),
    ];
    let folder = Folder::with("extended-stale", &files);
    fs::write(folder.join("places.mmdb"), database(WALL_S - 2 * 86_400)).unwrap();
    let mut desk = Desk::of(&folder, 1);
    desk.at_wall(0);
    assert_eq!(extended(&desk.ask("192.0.2.1", &www()).unwrap()), None, "just young enough");
    desk.at_wall(1);
    let reply = desk.ask("192.0.2.1", &www()).unwrap();
    assert_eq!((reply.answers().len(), extended(&reply)), (1, Some((0, "stale geo data".to_owned()))));
    let unsteered = query("static.example.com", "A").edns(1232);
    assert_eq!(extended(&desk.ask("192.0.2.1", &unsteered).unwrap()), None, "no geo data was asked");
    assert!(desk.ask("192.0.2.1", &query("www.example.com", "A")).unwrap().message.edns.is_none());
}

#[test]
fn n11_extended_errors_say_why_only_with_edns_and_only_where_wanted() {
    let mut desk = Desk::new("extended", "", 1);
    let outside = query("www.example.net", "A");
    assert_eq!(extended(&desk.ask("192.0.2.1", &outside.clone().edns(1232)).unwrap()), code(NOT_AUTHORITATIVE));
    assert!(desk.ask("192.0.2.1", &outside).unwrap().message.edns.is_none());
    assert_eq!(extended(&desk.ask("192.0.2.1", &www()).unwrap()), None, "nothing to say");
    let mut off = Desk::new("extended-off", "extended_errors: false\nqueries_from: none", 1);
    assert_eq!(extended(&off.ask("192.0.2.1", &www()).unwrap()), None);
}

#[test]
fn n11_a_server_without_a_world_says_that_it_is_not_ready() {
    let shared = Shared::new(Snapshot::default());
    let config = Config::new(vec!["127.0.0.1:0".parse().unwrap()], 1);
    let now: NowMs = Arc::new(|| 0);
    let running = start(config, &shared, &Registry::new(), &now).unwrap();
    let reply = udp(running.addresses()[0], &www());
    assert_eq!((reply.rcode(), extended(&reply)), (5, code(NOT_READY)));
}

#[test]
fn n11_fail_open_is_told() {
    let files = [("meridian.yaml", &*server_file("")), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)];
    let mut world = World::of("extended-fail-open", &files);
    world.down(&["us"]);
    let reply = world.ask(&www()).1;
    assert_eq!((reply.answers().len(), extended(&reply)), (1, Some((0, "fail open: nothing is up".to_owned()))));
    let plain = world.ask(&query("www.example.com", "A")).1;
    assert!(plain.answers().len() == 1 && plain.message.edns.is_none());
}

//! `TXT _why.NAME`: who may ask, what comes first, and that it says what is answered.

use std::net::IpAddr;

use hickory_proto::rr::RData;
use meridian::answer::Transport;

use crate::common::message::{Query, Reply, query};
use crate::common::world::World;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n\
                      networks: {10.1.0.0/16: {latitude: 53, longitude: -6}, 10.2.0.0/16: {latitude: 39, longitude: -77}}\n";

const REGIONS: &str = "regions:\n  eu: {location: {latitude: 53, longitude: -6}, services: {web: [192.0.2.1, \"2001:db8::1\"]}}\n  \
                       us: {location: {latitude: 39, longitude: -77}, services: {web: 192.0.2.2}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  www: {steer: web}\n  static: {A: 192.0.2.9}\n  \
                    taken: {steer: web}\n  _why.taken: {TXT: mine}\n  \"*.wild\": {TXT: synthesised, A: 192.0.2.8}\n  below: {NS: ns.example.net.}\n";

const STRANGER: &str = "192.0.2.77";

fn world(more: &str) -> World {
    let server = format!("{SERVER}{more}");
    World::of("why", &[("meridian.yaml", &server), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)])
}

fn why(name: &str) -> Query {
    query(&format!("_why.{name}"), "TXT")
}

/// The lines in their order.
fn lines(reply: &Reply) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(txt) => txt.txt_data.iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect::<String>(),
        other => panic!("{other}"),
    };
    let mut lines: Vec<String> = reply.message.answers.iter().map(|record| text(&record.data)).collect();
    lines.sort();
    lines
}

#[test]
fn every_step_is_told_with_ttl_0_and_the_scope_of_the_client() {
    let mut world = world("");
    world.down(&["us"]);
    let (_, reply) = world.ask(&why("www.example.com").subnet("10.2.3.0/24"));
    let lines = lines(&reply);
    assert_eq!((reply.ttl(), reply.scope(), reply.is_authoritative()), (Some(0), Some(24), true));
    assert_eq!(lines[0], "000 client 10.2.3.0/24");
    assert_eq!(lines[1], "001 generation 2");
    for expected in [
        "question www.example.com. A",
        "client 10.2.0.0/16: (39, -77)",
        "source `networks:`",
        "1 us 0.0 1 by order; down, passed over",
        "by order; up, chosen",
        "reason failover",
        "answer 192.0.2.1, ttl 60, scope /16",
        "question www.example.com. AAAA",
        "answer 2001:db8::1, ttl 60, scope /0",
    ] {
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}\n{lines:#?}");
    }
    // Without a client subnet the peer is the client, and there is no option to put a scope into.
    let (_, reply) = world.ask(&why("www.example.com"));
    assert!(reply.scope().is_none() && self::lines(&reply)[0] == "000 client 127.0.0.1");
}

#[test]
fn for_strangers_the_name_does_not_exist() {
    let stranger: IpAddr = STRANGER.parse().unwrap();
    for (world, may) in [(world(""), false), (world("explain_from: [192.0.2.0/24]\n"), true), (world("explain_from: none\n"), false)] {
        let (_, reply) = world.ask_from(stranger, &why("www.example.com"));
        assert_eq!((reply.rcode(), reply.answers().is_empty()), if may { (0, false) } else { (3, true) });
        let (_, by_chaos) = world.ask_from(stranger, &why("www.example.com").class(3));
        assert_eq!((by_chaos.rcode(), by_chaos.answers().is_empty()), if may { (0, false) } else { (5, true) });
    }
    let nobody = world("explain_from: none\n");
    assert_eq!(nobody.ask(&why("www.example.com")).1.rcode(), 3);
}

#[test]
fn a_real_owner_comes_first_and_a_wildcard_does_not() {
    let world = world("");
    let (_, reply) = world.ask(&why("taken.example.com"));
    assert_eq!(lines(&reply), ["mine"]);
    assert!(lines(&world.ask(&why("taken.example.com").class(3)).1)[0].starts_with("000 client"));
    let (_, reply) = world.ask(&why("a.wild.example.com"));
    assert!(lines(&reply).iter().any(|line| line.ends_with("steering none: the answer does not depend on the client")));
    // Another type of the same name is synthesised as ever, and what is delegated is not ours to explain.
    assert_eq!(world.ask(&query("_why.a.wild.example.com", "A")).1.addresses().len(), 1);
    let (_, referral) = world.ask(&why("www.below.example.com"));
    assert!(referral.answers().is_empty() && !referral.authorities().is_empty());
    assert_eq!(world.ask(&why("www.example.org")).1.rcode(), 5);
}

#[test]
fn names_without_a_decision_say_so() {
    let world = world("");
    for (name, answer) in [("static.example.com", "positive"), ("none.example.com", "name-error")] {
        let lines = lines(&world.ask(&why(name)).1);
        assert_eq!(lines.last().unwrap().split_once(' ').unwrap().1, format!("answer {answer}"), "{lines:#?}");
    }
}

#[test]
fn what_does_not_fit_a_datagram_comes_by_tcp() {
    let regions: String = (-150..150)
        .map(|n| format!("  r{}: {{location: {{latitude: 1, longitude: {n}.5}}, services: {{web: 192.0.2.1}}}}\n", n + 150))
        .collect();
    let regions = format!("regions:\n{regions}");
    let world = World::of("why-many", &[("meridian.yaml", SERVER), ("regions.yaml", &regions), ("example.com.zone.yaml", ZONE)]);
    let octets = why("www.example.com").edns(4096).octets();
    let (_, datagram) = world.ask_octets("127.0.0.1".parse().unwrap(), Transport::Udp, &octets);
    let datagram = Reply::read(&datagram);
    assert!(datagram.is_truncated() && datagram.answers().is_empty());
    let lines = lines(&world.ask(&why("www.example.com")).1);
    assert!(lines.iter().any(|line| line.ends_with("and 200 regions more")), "{lines:#?}");
}

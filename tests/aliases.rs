//! Corners of CNAME and DNAME in which other servers agree with each other: types that belong to the parent's side of a cut,
//! and types that the alias itself answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use common::message::query;
use common::world::World;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: zone.yaml\n";
const REGIONS: &str = "regions:\n  here: {location: {latitude: 1, longitude: 1}, services: {web: {endpoints: [192.0.2.80]}}}\n";
const ZONE: &str = r#"
zone: example.com
ns: ns.example.net.
records:
  signed: {NS: ns.example.net., DS: "1 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"}
  plain: {NS: ns.example.net.}
  to-signed: {CNAME: signed}
  to-plain: {CNAME: plain}
  below: {CNAME: www.signed}
  old: {DNAME: new}
  www.new: {A: 192.0.2.1}
"#;

fn world() -> World {
    World::of("aliases", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", ZONE)])
}

#[test]
fn n7_ds_at_a_cut_is_ours_behind_an_alias_too() {
    let world = world();
    let (_, reply) = world.ask(&query("to-signed.example.com", "DS"));
    assert_eq!((reply.message.answers.len(), reply.authorities().len()), (2, 0), "{:?}", reply.answers());
    let (_, reply) = world.ask(&query("to-plain.example.com", "DS"));
    assert_eq!((reply.message.answers.len(), reply.soa_ttl()), (1, Some(300)), "{:?}", reply.authorities());
    // Below the cut, and for other types, it is a referral.
    for (name, qtype) in [("below.example.com", "DS"), ("to-signed.example.com", "A")] {
        let (_, reply) = world.ask(&query(name, qtype));
        assert_eq!(reply.authorities(), ["signed.example.com. 300 NS ns.example.net."], "{name} {qtype}");
    }
}

#[test]
fn c1_the_cname_of_a_dname_answers_cname_and_any_and_is_not_followed() {
    let world = world();
    for (qtype, records) in [("CNAME", 2), ("ANY", 2), ("A", 3)] {
        for (name, found) in [("www.old.example.com", true), ("missing.old.example.com", false)] {
            let (_, reply) = world.ask(&query(name, qtype));
            let followed = qtype == "A";
            let rcode = if followed && !found { 3 } else { 0 };
            assert_eq!(reply.rcode(), rcode, "{name} {qtype}");
            assert_eq!(reply.message.answers.len(), if found { records } else { 2 }, "{name} {qtype}: {:?}", reply.answers());
            assert_eq!(reply.soa_ttl().is_some(), rcode == 3, "{name} {qtype}");
        }
    }
}

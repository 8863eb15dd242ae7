//! What a name answers when regions are missing, as tables of (what is down, what is forced) -> answer and TTL: P2, P3 and P4 through the
//! code that answers queries. Which region is preferred otherwise is tested elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use common::message::query;
use common::world::World;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\n";

/// Two regions with two endpoints each; `a` is forced as told.
fn world(name: &str, forced: [&str; 2], steer: &str) -> World {
    let region = |name: &str, n: u8, forced: &str| {
        let state = if forced.is_empty() { String::new() } else { format!("    state: {forced}\n") };
        format!(
            "  {name}:\n    location: {{latitude: {n}, longitude: 10}}\n{state}    services:\n      web:\n        \
             endpoints: [192.0.2.{n}1, 192.0.2.{n}2]\n        monitor: {{tcp: 80}}\n"
        )
    };
    let regions = format!("regions:\n{}{}", region("a", 1, forced[0]), region("b", 2, forced[1]));
    let zone = format!(
        "zone: example.com\nttl: 3600\nsoa: {{mname: ns1, rname: hostmaster, minimum: 3600}}\nns: [ns1]\nrecords:\n  ns1: {{A: 192.0.2.53}}\n  \
         www: {{steer: {{service: web, order: priority, answers: 8, ttl: 300, {steer}}}}}\n"
    );
    World::of(name, &[("meridian.yaml", SERVER), ("regions.yaml", &regions), ("z.zone.yaml", &zone)])
}

/// The last octets of what is answered, in order, and the TTL: that of the answer, or of the SOA where there is none.
fn ask(world: &World) -> (Vec<u8>, u32) {
    let (_, reply) = world.ask(&query("www.example.com", "A"));
    assert_eq!(reply.rcode(), 0, "never an error");
    let mut last: Vec<u8> =
        reply.addresses().iter().map(|address| address.to_string().rsplit('.').next().unwrap().parse().unwrap()).collect();
    last.sort_unstable();
    (last, reply.ttl().or_else(|| reply.soa_ttl()).unwrap())
}

#[test]
fn p2_fail_open_answers_what_is_up_somewhere_and_then_what_is_not_forced_down() {
    for (down, forced, steer, expected, why) in [
        (&[][..], ["", ""], "", &[11, 12][..], "all is well"),
        (&[11], ["", ""], "", &[12], "one endpoint is enough"),
        (&[11, 12], ["", ""], "", &[21, 22], "the next region"),
        (&[11, 21, 22], ["", ""], "min_healthy: 2", &[12], "too few everywhere: first whoever has any up, and of it only the living"),
        (&[11, 12, 21, 22], ["", ""], "", &[11, 12], "nothing is up: all of the best"),
        (&[11, 12, 21, 22], ["down", ""], "", &[21, 22], "a region that is forced down is never answered"),
        (&[11, 12, 21, 22], ["drain", ""], "", &[21, 22], "nor one that is drained"),
        (&[], ["down", "drain"], "", &[], "the operator's will"),
        (&[11, 12, 21, 22], ["", ""], "on_all_down: nodata", &[], "as configured"),
    ] {
        let mut world = world("availability-p2", forced, steer);
        world.measure(|endpoint| down.iter().any(|last| endpoint.address.to_string().ends_with(&format!(".{last}"))));
        assert_eq!(ask(&world).0, expected, "{why}");
    }
}

#[test]
fn p3_answers_of_an_emergency_are_short_lived_and_so_is_no_data_that_is_due_to_health() {
    for (forced, steer, expected_ttl, why) in [
        (["", ""], "", 10, "fail open: ten seconds"),
        (["", ""], "fail_open_ttl: 3", 3, "or as configured"),
        (["", ""], "on_all_down: nodata", 10, "no data"),
        (["down", "down"], "", 10, "no data by the operator's will"),
    ] {
        let mut world = world("availability-p3", forced, steer);
        world.measure(|_| true);
        assert_eq!(ask(&world).1, expected_ttl, "{why}");
        world.measure(|_| false);
        let settled = if forced[0].is_empty() { 300 } else { 10 };
        assert_eq!(ask(&world).1, settled, "{why}, and then all is up");
    }
    // A type that no region has is no matter of health: the zone's own TTL.
    let (_, reply) = world("availability-p3", ["", ""], "").ask(&query("www.example.com", "AAAA"));
    assert_eq!(reply.soa_ttl(), Some(3600));
}

#[test]
fn p4_a_region_is_left_when_too_few_of_its_endpoints_are_up() {
    for (down, min_healthy, expected) in
        [(&[11][..], "1", &[12][..]), (&[11], "2", &[21, 22]), (&[11], "50%", &[12]), (&[11], "51%", &[21, 22]), (&[11], "100%", &[21, 22])]
    {
        let mut world = world("availability-p4", ["", ""], &format!("min_healthy: {min_healthy}"));
        world.measure(|endpoint| down.iter().any(|last| endpoint.address.to_string().ends_with(&format!(".{last}"))));
        assert_eq!(ask(&world).0, expected, "{down:?} {min_healthy}");
    }
}

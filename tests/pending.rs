//! TTLs while a change is pending, over the whole path on an invented clock: reports -> book -> view -> answers (BEHAVIOUR T1).
//! Nothing here probes or waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::sync::Arc;

use common::message::query;
use common::world::World;
use meridian::health::book::HealthBook;
use meridian::health::{Evidence, NodeId, Outcome, Report, TargetKey};

const SERVER: &str = "
version: 1
listen: 127.0.0.1:0
regions: regions.yaml
zones: example.com.zone.yaml
";

/// Two further failures are asked for 20 s apart, so that there is something to count down.
const REGIONS: &str = "
regions:
  eu:
    location: {latitude: 53.35, longitude: -6.26}
    services:
      web: {monitor: {tcp: {}, port: 80, interval: 60s, recheck: 20s, fall: 3, rise: 2}, endpoints: [192.0.2.20]}
  us:
    location: {latitude: 38.95, longitude: -77.45}
    services:
      web: {monitor: {tcp: {}, port: 80, interval: 60s, recheck: 20s, fall: 3, rise: 2}, endpoints: [192.0.2.10]}
";

const ZONE: &str = "
zone: example.com
ttl: 300
soa: {mname: ns1, minimum: 60}
ns: [ns1]
records:
  ns1: {A: 192.0.2.53}
  www: {steer: {service: web, ttl: 2m, order: priority, regions: [eu, us]}}
  low: {steer: {service: web, ttl: 2m, ttl_min: 1s, order: priority, regions: [eu, us]}}
";

/// A world, the book of its health, and the targets of its two regions: `eu`, `us`.
struct Rehearsal {
    world: World,
    book: HealthBook,
    targets: [TargetKey; 2],
}

impl Rehearsal {
    /// Both regions up since 0.
    fn start() -> Rehearsal {
        let files = [("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)];
        let world = World::of("pending", &files);
        let book = HealthBook::new(Arc::clone(&world.compiled.layout), 0);
        let target = |region: &str| {
            let id = world.endpoints().iter().position(|endpoint| endpoint.region == region).unwrap();
            world.compiled.layout.endpoints[id].targets().next().unwrap().clone()
        };
        let targets = [target("eu"), target("us")];
        let mut rehearsal = Rehearsal { world, book, targets };
        rehearsal.report(0, 0, Outcome::Success);
        rehearsal.report(0, 1, Outcome::Success);
        rehearsal
    }

    fn report(&mut self, at_ms: u64, target: usize, outcome: Outcome) {
        self.book.tick(at_ms);
        self.book.report(
            NodeId::LOCAL,
            &self.targets[target],
            Report { outcome, evidence: Evidence::Refused, took_ms: 0, active: None },
            at_ms,
        );
        self.world.publish(self.book.view());
    }

    /// The first address that is answered at a time, and its TTL.
    fn ask(&mut self, at_ms: u64, name: &str) -> (String, u32) {
        self.world.now_ms = at_ms;
        let (_, reply) = self.world.ask(&query(name, "A"));
        (reply.addresses()[0].to_string(), reply.ttl().unwrap())
    }
}

#[test]
fn t1_a_ttl_counts_down_to_the_next_possible_change_and_is_whole_when_settled() {
    let mut rehearsal = Rehearsal::start();
    let eu = |ttl_s: u32| ("192.0.2.20".to_owned(), ttl_s);
    assert_eq!(rehearsal.ask(99_999, "www.example.com"), eu(120), "settled");
    rehearsal.report(100_000, 0, Outcome::Failure);
    // Two more failures, 20 s apart each: the soonest change is at 140 s.
    for (at_ms, ttl_s) in [(100_000, 40), (100_001, 39), (110_000, 30), (134_000, 6), (135_000, 5), (139_999, 5), (150_000, 5)] {
        assert_eq!(rehearsal.ask(at_ms, "www.example.com"), eu(ttl_s), "at {at_ms} ms");
    }
    assert_eq!(rehearsal.ask(138_000, "low.example.com"), eu(2));
    assert_eq!(rehearsal.ask(139_500, "low.example.com"), eu(1), "the floor is `ttl_min`");
    rehearsal.report(120_000, 0, Outcome::Success);
    assert_eq!(rehearsal.ask(120_000, "www.example.com"), eu(120), "it was nothing");
}

#[test]
fn t1_a_region_that_may_come_back_shortens_the_answers_of_the_one_that_stands_in() {
    let mut rehearsal = Rehearsal::start();
    let us = |ttl_s: u32| ("192.0.2.10".to_owned(), ttl_s);
    for at_ms in [100_000, 120_000, 140_000] {
        rehearsal.report(at_ms, 0, Outcome::Failure);
    }
    assert_eq!(rehearsal.ask(150_000, "www.example.com"), us(120), "settled down");
    rehearsal.report(200_000, 0, Outcome::Success);
    assert_eq!(rehearsal.ask(205_000, "www.example.com"), us(15), "one more success, at 220 s");
}

#[test]
fn t1_fail_open_is_as_short_as_its_cap_and_shorter_while_a_recovery_is_pending() {
    let mut rehearsal = Rehearsal::start();
    for (at_ms, target) in [(100_000, 0), (100_000, 1), (120_000, 0), (120_000, 1), (140_000, 0), (140_000, 1)] {
        rehearsal.report(at_ms, target, Outcome::Failure);
    }
    let settled = rehearsal.ask(150_000, "low.example.com");
    rehearsal.report(200_000, 0, Outcome::Success);
    let pending = rehearsal.ask(217_000, "low.example.com");
    assert_eq!((settled.0.as_str(), pending.0.as_str()), ("192.0.2.20", "192.0.2.20"));
    assert!(settled.1 > 3, "{settled:?}");
    assert_eq!(pending.1, 3, "one more success, at 220 s");
}

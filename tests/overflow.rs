//! Overflow from end to end, on a clock of its own: clients ask, the server's own counters count, shares follow, and it comes to rest.
//! In the first tests what the keeper does once a period is done here; the last one asks the real binary, with periods of a second.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::client::Udp;
use common::folder::Folder;
use common::message::query;
use common::server::{self, Server};
use common::world::World;
use meridian::health::{HealthView, Overflow, PoolState};
use meridian::metrics::Registry;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\ngeodb: places.csv\nregions: regions.yaml\nzones: z.zone.yaml\n";
const ZONE: &str = "zone: example.com\nns: ns.example.net.\nrecords: {www: {steer: {service: web, ttl: 30}}}\n";

/// Six of ten clients are nearest to eu: half of them on the Azores, where us is not much farther.
const PLACES: &str = "network,latitude,longitude\n10.0.0.0/16,52,0\n10.1.0.0/16,38,-28\n10.2.0.0/16,39,-77\n10.3.0.0/16,1,103\n";
const CLIENTS: [(u8, u32); 4] = [(0, 120), (1, 120), (2, 100), (3, 60)];

const PERIOD_MS: u64 = 30_000;

/// What all regions bear softly and at most, in answers a second.
const SOFT: f64 = 300.0;
const HARD: f64 = 375.0;

/// Each client asks once in a TTL; so much its answer counts that all of them together are a demand of [`SOFT`].
fn per_answer() -> f64 {
    let clients: u32 = CLIENTS.iter().map(|(_, count)| count).sum();
    SOFT * PERIOD_MS as f64 / 1000.0 / f64::from(clients)
}

fn world() -> World {
    let region = |name: &str, n: u8, at: &str| {
        let capacity = format!("{{soft: 100, hard: 125, per_answer: {:.3}}}", per_answer());
        format!("  {name}:\n    location: {at}\n    capacity: {capacity}\n    services: {{web: 192.0.2.{n}}}\n")
    };
    let regions = [
        region("us", 10, "{latitude: 38.95, longitude: -77.45}"),
        region("eu", 20, "{latitude: 53.35, longitude: -6.26}"),
        region("ap", 30, "{latitude: 1.35, longitude: 103.82}"),
    ];
    let regions = format!("regions:\n{}", regions.concat());
    World::of("overflow", &[("meridian.yaml", SERVER), ("regions.yaml", &regions), ("z.zone.yaml", ZONE), ("places.csv", PLACES)])
}

/// Every client asks once; how many answers each region gave.
fn asked(world: &World) -> BTreeMap<&'static str, u64> {
    let registry = Registry::new();
    let grid = registry.grid(&world.compiled.catalog, None);
    for (network, count) in CLIENTS {
        for client in 0..count {
            let address = IpAddr::V4(Ipv4Addr::new(10, network, client as u8, 0));
            grid.count(&world.ask(&query("www.example.com", "A").ecs(address, 24)).0);
        }
    }
    let totals = registry.totals();
    ["us", "eu", "ap"].map(|region| (region, totals.region_answers("web", region))).into()
}

#[test]
fn from_a_tenth_to_twice_of_what_all_bear_answers_come_to_rest_and_stay() {
    let mut world = world();
    let all_up = HealthView::clone(&world.snapshot.health);
    for demand in (1..=20).map(|tenths| f64::from(tenths) / 10.0) {
        world.publish(all_up.clone());
        let mut overflow = Overflow::default();
        overflow.reconcile(Arc::clone(&world.compiled.layout), 0);
        let mut answers = asked(&world);
        let (mut counted, mut seen) = (BTreeMap::<&str, f64>::new(), overflow.revision());
        let mut turns = BTreeMap::<String, (i32, u32)>::new();
        let mut moved_at = 0;
        for period in 1..=80 {
            answers.iter().for_each(|(region, count)| *counted.entry(region).or_default() += *count as f64 * demand);
            let total = |_: &str, region: &str| counted[region].round() as u64;
            for change in overflow.step(period * PERIOD_MS, total, |id| all_up.pool(id).state == PoolState::Available) {
                let step = i32::from(change.to) - i32::from(change.from);
                assert!(step.abs() <= 52, "{demand}: {change:?}");
                let (direction, turned) = turns.entry(change.key.to_string()).or_default();
                *turned += u32::from(*direction * step.signum() < 0);
                (*direction, moved_at) = (step.signum(), period);
            }
            if overflow.revision() != seen {
                seen = overflow.revision();
                world.publish(all_up.clone().with_overflow(overflow.view()));
                answers = asked(&world);
            }
        }
        let loads = answers.values().map(|count| *count as f64 * demand * per_answer() / 30.0).collect::<Vec<_>>();
        assert!(moved_at <= 40, "{demand}: still moving in period {moved_at} of 80: {loads:?}");
        assert!(turns.values().all(|(_, turned)| *turned <= 2), "{demand}: {turns:?}");
        // One client is two points of a region's load; another two are the dead band.
        let limit = if demand <= 1.0 { 100.0 } else { 125.0 * (SOFT * demand / HARD).max(1.0) };
        assert!(loads.iter().all(|load| *load <= limit * 1.06), "{demand}: {loads:?}");
    }
}

#[test]
fn those_go_first_who_are_least_worse_off_and_a_region_that_is_not_full_sheds_nobody() {
    let mut world = world();
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::clone(&world.compiled.layout), 0);
    let mut counted = BTreeMap::<&str, f64>::new();
    for period in 1..=40 {
        for (region, count) in asked(&world) {
            *counted.entry(region).or_default() += count as f64 * 0.9;
        }
        let total = |_: &str, region: &str| counted[region].round() as u64;
        overflow.step(period * PERIOD_MS, total, |_| true);
        let health = HealthView::clone(&world.snapshot.health).with_overflow(overflow.view());
        world.publish(health);
    }
    let region_of = |network: u8, client: u8| {
        let address = IpAddr::V4(Ipv4Addr::new(10, network, client, 0));
        let (outcome, reply) = world.ask(&query("www.example.com", "A").ecs(address, 24));
        assert_eq!((reply.scope(), reply.ttl()), (Some(24), Some(30)));
        world.region(&outcome).unwrap().to_owned()
    };
    // eu has a demand of 162 and bears 100: a third goes, all of it from the Azores.
    let stayed = |network: u8| (0..60).filter(|client| region_of(network, *client) == "eu").count();
    assert_eq!(stayed(0), 60);
    assert!((10..25).contains(&stayed(1)), "{}", stayed(1));
    assert!((0..60).all(|client| region_of(3, client) == "ap"));
}

#[test]
fn the_server_counts_its_answers_takes_loads_that_are_told_and_says_what_is_shed() {
    let regions = "regions:\n  counted: {location: {latitude: 1, longitude: 10}, capacity: 0.5, services: {web: 192.0.2.1}}\n  \
                   told: {location: {latitude: 2, longitude: 10}, capacity: {hard: 100, load: pushed}, services: {web: 192.0.2.2}}\n  \
                   other: {location: {latitude: 3, longitude: 10}, services: {web: 192.0.2.3}}\n";
    let server_file = "version: 1\nlisten: \"127.0.0.1:0\"\ncontrol: control.sock\nregions: regions.yaml\nzones: z.zone.yaml\n";
    let zone = "zone: example.com\nns: ns.example.net.\nrecords: {www: {steer: {service: web, order: priority, ttl: 1}}}\n";
    let folder = Folder::with("overflow-ctl", &[("meridian.yaml", server_file), ("regions.yaml", regions), ("z.zone.yaml", zone)]);
    let path = folder.join("meridian.yaml");
    let meridian = |arguments: &[&str]| {
        let output = server::run(&[arguments, &["--config", path.to_str().unwrap()]].concat());
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (_, checked, _) = meridian(&["check"]);
    assert!(checked.contains("counted  soft 0.4, hard 0.5; the load: answers a second; judged every 1 s"), "{checked}");
    assert!(checked.contains("by client network, at least /24 and /56"), "{checked}");

    let server = Server::start(&path);
    let mark = server.mark();
    assert_eq!(meridian(&["ctl", "load", "told", "200", "--expires", "1h"]), (Some(0), "taken\n".to_owned(), String::new()));
    server.wait_for_all(mark, &["over its capacity", "told"]);
    for (arguments, why) in [
        (["counted", "1"], "needs `load: pushed`"),
        (["other", "1"], "`other` has no `capacity`"),
        (["told/web", "1"], "has no `capacity`"),
        (["told", "-1"], "unexpected argument"),
        (["told", "much"], "invalid value"),
    ] {
        let (code, _, failed) = meridian(&["ctl", "load", arguments[0], arguments[1]]);
        assert!(code != Some(0) && failed.contains(why), "{arguments:?}: {failed}");
    }
    // More than an answer in two seconds, whoever asks.
    let client = Udp::to(server.address());
    (0..40).for_each(|_| _ = client.ask(&query("www.example.com", "A")));
    server.wait_for_all(mark, &["over its capacity", "counted"]);
    let (_, json, _) = meridian(&["status", "--format", "json"]);
    assert!(json.contains("\"load\":200.0") && json.contains("\"hard\":0.5"), "{json}");
    let (_, shown, _) = meridian(&["status"]);
    assert!(shown.contains("CAPACITY") && shown.contains("200.0"), "{shown}");
    server.stop();
}

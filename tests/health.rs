//! Health as an operator meets it: the examples of the guide load, and a degraded or returning region answers fewer clients.
//! Times and outcomes are invented; the book's own rules are tested beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use common::folder::Folder;
use common::server::{self, Server};
use common::world::World;
use meridian::config::load;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\n";
const ZONE: &str = "zone: example.com\nsoa: {mname: ns1, rname: hostmaster}\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  \
                    www: {steer: {service: web}}\n";

/// The YAML blocks of the guide.
fn examples() -> Vec<String> {
    let guide = include_str!("../docs/health.md");
    let blocks = guide.split("```yaml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_example_of_the_guide_loads_without_a_warning() {
    let examples = examples();
    assert!(examples.len() >= 4);
    for example in examples {
        let folder = Folder::with("health-guide", &[("meridian.yaml", SERVER), ("regions.yaml", &example), ("z.zone.yaml", ZONE)]);
        let diagnostics = load(&folder.join("meridian.yaml")).diagnostics;
        assert_eq!(diagnostics.to_string(), "", "{example}");
    }
}

#[test]
fn s5_a_name_whose_regions_may_take_a_part_of_their_clients_has_the_scope_of_the_hash_from_load_on() {
    let world = |settings: &str| {
        let region = |name: &str, n: u8| {
            format!(
                "  {name}:\n    location: {{latitude: {n}, longitude: 10}}\n    services:\n      web:\n        endpoints: [192.0.2.{n}]\n        \
                 {settings}\n"
            )
        };
        let regions = format!("regions:\n{}{}", region("a", 1), region("b", 2));
        World::of("health-scope", &[("meridian.yaml", SERVER), ("regions.yaml", &regions), ("z.zone.yaml", ZONE)])
    };
    let hashes = |world: &World| {
        let steering = &world.compiled.catalog.steerings[0];
        steering.families.iter().flatten().all(|family| family.hashes_clients && family.plan.tells_clients_apart())
    };
    for (settings, expected) in [
        ("monitor: {tcp: 80}", false),
        ("monitor: {http: {json: {/cpu: {fail: 90}}}}", false),
        ("monitor: {http: {json: {/cpu: {degraded: 90}}}}", true),
        ("monitor: {tcp: 80, slow_ms: 500}", true),
        ("monitor: {tcp: 80, slow_ms: 500, observe_only: true}", false),
        ("ramp: 5m", true),
    ] {
        assert_eq!(hashes(&world(settings)), expected, "{settings}");
    }
}

#[test]
fn h4_a_drain_by_hand_beats_the_probes_shows_its_reason_and_survives_reload_and_restart() {
    let regions = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n  b:\n    \
                   location: {latitude: 2, longitude: 10}\n    services: {web: 192.0.2.2}\n";
    let server_file = format!("{SERVER}state_dir: state\n");
    let folder = Folder::with("health-ctl", &[("meridian.yaml", &server_file), ("regions.yaml", regions), ("z.zone.yaml", ZONE)]);
    let path = folder.join("meridian.yaml");
    let meridian = |arguments: &[&str]| {
        let output = server::run(&[arguments, &["--config", path.to_str().unwrap()]].concat());
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert!(meridian(&["status"]).2.contains("cannot reach the server"));

    let server = Server::start(&path);
    let (code, shown, _) = meridian(&["status"]);
    assert!(code == Some(0) && shown.contains("SERVICE") && shown.contains("available"), "{shown}");
    let (code, shown, failed) = meridian(&["ctl", "drain", "a", "--reason", "disk change"]);
    assert_eq!((code, shown.as_str()), (Some(0), "1 endpoint\n"), "{failed}");
    assert!(meridian(&["ctl", "down", "nowhere"]).2.contains("names no endpoint"));
    let check = |when: &str| {
        let (code, shown, _) = meridian(&["status"]);
        assert!(code == Some(1) && shown.contains("forced down") && shown.contains("disk change"), "{when}: {shown}");
    };
    check("at once");
    let mark = server.mark();
    server.signal("HUP");
    server.wait_for(mark, "reloaded");
    check("after a reload");
    server.stop();
    let server = Server::start(&path);
    check("after a restart");
    assert_eq!(meridian(&["ctl", "clear", "a"]).0, Some(0));
    let (code, json, _) = meridian(&["status", "--format", "json"]);
    assert!(code == Some(0) && json.contains("\"overrides\":[]"), "{json}");
    server.stop();
    assert!(!folder.join("state/control.sock").exists());
}

//! Health as an operator meets it: the examples of the guide load, and a degraded or returning region answers fewer clients.
//! Times and outcomes are invented; the book's own rules are tested beside it.

mod common;

use common::folder::Folder;
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

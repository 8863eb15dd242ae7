//! Rules of BEHAVIOUR.md one by one, each by a small configuration and real messages.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use meridian::answer::Reason;
use meridian::config::load;

use crate::common::message::{Query, query};
use crate::common::world::World;

const MMDB: &str = "../shared/mmdb/test-data";

/// Three regions at 0, 40 and 80 degrees east on the equator, each with four endpoints.
const REGIONS: &str = "regions:
  zero: {location: {latitude: 0, longitude: 0}, services: {web: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4]}}
  forty: {location: {latitude: 0, longitude: 40}, services: {web: [192.0.2.41, 192.0.2.42, 192.0.2.43, 192.0.2.44]}}
  eighty: {location: {latitude: 0, longitude: 80}, services: {web: [192.0.2.81, 192.0.2.82, 192.0.2.83, 192.0.2.84]}}
";

const ZONE: &str = "zone: example.com
ns: [ns.example.net.]
records:
  www: {steer: web}
  sticky: {steer: {service: web, balance: sticky}}
  all: {steer: {service: web, order: any}}
  deaf: {steer: {service: web, ecs: false}}
  ruled: {steer: {service: web, rules: [{when: {network: 10.0.7.0/24}, prefer: eighty}]}}
";

fn world(server: &str) -> World {
    world_of(server, REGIONS, &[])
}

fn world_of(server: &str, regions: &str, files: &[(&str, &str)]) -> World {
    let server = format!("version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\n{server}");
    let zone: String =
        ZONE.lines().filter(|line| regions.contains("eighty") || !line.contains("eighty")).map(|line| format!("{line}\n")).collect();
    let mut all = vec![("meridian.yaml", server.as_str()), ("regions.yaml", regions), ("zone.yaml", &zone)];
    all.extend_from_slice(files);
    World::of("rules", &all)
}

fn a(name: &str) -> Query {
    query(&format!("{name}.example.com"), "A")
}

/// Region and scope (of no option: none).
fn asked(world: &World, peer: &str, query: &Query) -> (Option<String>, Option<u8>) {
    let (outcome, reply) = world.ask_from(peer.parse().unwrap(), query);
    (world.region(&outcome).map(str::to_owned), reply.scope())
}

fn region(name: &str, scope: u8) -> (Option<String>, Option<u8>) {
    (Some(name.to_owned()), Some(scope))
}

#[test]
fn e6_the_peer_stands_in_for_a_reserved_client_in_every_step_the_hash_included() {
    let world = world("networks: {198.18.0.0/16: {latitude: 0, longitude: 81}, 10.9.0.0/16: {latitude: 0, longitude: 41}}\n");
    for host in 0..=255u8 {
        let peer = format!("198.18.{host}.7");
        let addresses = |query: &Query| world.ask_from(peer.parse().unwrap(), query).1.addresses();
        assert_eq!(addresses(&a("sticky")), addresses(&a("sticky").subnet("10.1.2.0/24")), "{peer}");
        let shared = |query: &Query| asked(&world, &peer, query).0;
        assert_eq!(shared(&a("all")), shared(&a("all").subnet("10.1.2.0/24")), "{peer}");
        assert_eq!(asked(&world, &peer, &a("www").subnet("10.1.2.0/24")), region("eighty", 13));
    }
    // An override speaks of this one: it is no miss, and the peer does not matter.
    assert_eq!(asked(&world, "198.18.1.7", &a("www").subnet("10.9.2.0/24")), region("forty", 16));
}

#[test]
fn e6_geo_data_may_speak_of_any_address() {
    let own = "network,latitude,longitude\n203.0.113.0/24,0,79\nfd00::/8,0,41\n";
    let world = world_of("geodb: own.csv\n", REGIONS, &[("own.csv", own)]);
    assert_eq!(asked(&world, "127.0.0.1", &a("www").subnet("203.0.113.0/24")), region("eighty", 24));
    assert_eq!(asked(&world, "127.0.0.1", &a("www").subnet("fd12::/48")), region("forty", 8));
    // Its neighbour in the same reserved block falls to the peer, which nobody knows either.
    assert_eq!(asked(&world, "127.0.0.1", &a("www").subnet("fc12::/48")), region("zero", 8));
}

#[test]
fn e7_client_subnets_can_be_switched_off_and_trusted_from_some_peers_only() {
    const NETWORKS: &str = "networks: {198.18.0.0/16: {latitude: 0, longitude: 79}, 127.0.0.0/8: {latitude: 0, longitude: 41}}\n";
    let off = world(&format!("{NETWORKS}ecs: false\n"));
    let some = world(&format!("{NETWORKS}ecs: {{from: [127.0.0.0/30, \"::1\"]}}\n"));
    let all = world(NETWORKS);
    let subnet = |name| a(name).subnet("198.18.7.0/24");
    assert_eq!(asked(&off, "127.0.0.1", &subnet("www")), region("forty", 0));
    assert_eq!(asked(&some, "127.0.0.4", &subnet("www")), region("forty", 0));
    assert_eq!(asked(&some, "127.0.0.3", &subnet("www")), region("eighty", 16));
    assert_eq!(asked(&all, "127.0.0.4", &subnet("deaf")), region("forty", 0));
    assert_eq!(asked(&all, "127.0.0.4", &subnet("www")), region("eighty", 16));
    // Hashing hears as little of it: the same peer gets the same endpoint for any subnet.
    let firsts: BTreeSet<IpAddr> = (0..64).map(|n| off.ask(&a("sticky").subnet(&format!("198.18.{n}.0/24"))).1.addresses()[0]).collect();
    assert_eq!(firsts.len(), 1);
}

#[test]
fn s10_the_addresses_of_a_resolver_farm_agree_and_a_subnet_is_masked_to_the_floor() {
    let world = world("hash: {v4: 20, v6: 48}\n");
    let first = |peer: &str, query: &Query| world.ask_from(peer.parse().unwrap(), query).1.addresses()[0];
    let mut farms = BTreeSet::new();
    for farm in 0..64u32 {
        let (low, high) = (format!("198.18.{}.0", farm * 4 / 64 * 16), format!("203.{farm}.16.255"));
        let of_farm: BTreeSet<IpAddr> =
            (16..32).flat_map(|third| [0, 255].map(|last| first(&format!("203.{farm}.{third}.{last}"), &a("sticky")))).collect();
        assert_eq!(of_farm.len(), 1, "one /20 has several endpoints: {of_farm:?}");
        // Without client subnets no scope is sent, and with one of any length the same network is hashed.
        assert!(world.ask_from(high.parse().unwrap(), &a("sticky")).1.ecs().is_none());
        for length in [20, 24, 32] {
            let subnet = a("sticky").ecs(high.parse().unwrap(), length);
            assert_eq!(first(&low, &subnet), *of_farm.first().unwrap(), "/{length}");
        }
        farms.extend(of_farm);
    }
    assert!(farms.len() > 3, "{farms:?}");
    let v6 = |last: &str| first("127.0.0.1", &a("sticky").ecs(format!("2a00:1:2:{last}").parse().unwrap(), 128));
    assert_eq!(v6("0::"), v6("ffff:1:2:3:4"));
}

#[test]
fn s10_a_short_source_is_hashed_by_its_network_address_and_ipv4_in_ipv6_as_ipv6() {
    let world = world("");
    let first = |query: &Query| world.ask(query).1.addresses()[0];
    for n in 0..64u8 {
        let wide = a("sticky").ecs(IpAddr::from([198, n, 7, 9]), 16);
        assert_eq!(first(&wide), first(&a("sticky").ecs(IpAddr::from([198, n, 0, 0]), 24)), "a /16 is its first /24");
        let inside = format!("64:ff9b::c612:{n:02x}07");
        let (outcome, reply) = world.ask(&a("sticky").ecs(inside.parse().unwrap(), 128));
        assert!(outcome.region.is_some() && reply.scope() >= Some(96 + 24), "{inside}: {:?}", reply.scope());
        let neighbour = format!("64:ff9b::c612:{n:02x}ff");
        assert_eq!(reply.addresses()[0], first(&a("sticky").ecs(neighbour.parse().unwrap(), 128)), "{neighbour}");
    }
}

#[test]
fn g1_an_unknown_client_is_not_at_zero_zero() {
    // The region at (0, 0) is listed last: were unknown clients there, they would get it.
    let regions = REGIONS.replace("  zero:", "  zone:").replacen("longitude: 0}", "longitude: 100}", 1)
        + "  null: {location: {latitude: 0, longitude: 0}, services: {web: 192.0.2.99}}\n";
    let own = "network,latitude,longitude\n198.18.0.0/16,0,1\n";
    let world = world_of("geodb: own.csv\n", &regions, &[("own.csv", own)]);
    for client in ["8.8.8.8", "2a00::1"] {
        let (outcome, _) = world.ask(&a("www").subnet(client));
        assert_eq!((world.region(&outcome), outcome.reason), (Some("zone"), Reason::Listed), "{client}");
    }
    let (outcome, _) = world.ask(&a("www").subnet("198.18.1.0/24"));
    assert_eq!((world.region(&outcome), outcome.reason), (Some("null"), Reason::Order));
}

#[test]
fn g3_regions_at_the_same_distance_share_their_clients_on_every_node_alike() {
    let regions = "regions:
  west: {location: {latitude: 0, longitude: -10}, services: {web: 192.0.2.1}}
  east: {location: {latitude: 0, longitude: 10}, services: {web: 192.0.2.2}}
  far: {location: {latitude: 0, longitude: 10.1}, services: {web: 192.0.2.3}}
";
    let networks = "networks: {198.18.0.0/16: {latitude: 0, longitude: 0}}\n";
    let shuffled =
        regions.lines().take(1).chain(regions.lines().skip(1).collect::<Vec<_>>().into_iter().rev()).collect::<Vec<_>>().join("\n");
    let (one, other) = (world_of(networks, regions, &[]), world_of(networks, &shuffled, &[]));
    let mut seen = BTreeSet::new();
    for third in 0..=255u8 {
        let query = a("www").ecs(IpAddr::from([198, 18, third, 0]), 24);
        let (here, there) = (asked(&one, "127.0.0.1", &query), asked(&other, "127.0.0.1", &query));
        assert_eq!(here, there);
        seen.extend(here.0);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["east", "west"]);
}

#[test]
fn g4_the_last_of_many_regions_is_used_when_all_others_are_down() {
    let many: String = (0..20)
        .map(|n| format!("  r{n}: {{location: {{latitude: 0, longitude: {}}}, services: {{web: 192.0.2.{}}}}}\n", n * 8, n + 1))
        .collect();
    let mut world = world_of("networks: {198.18.0.0/16: {latitude: 0, longitude: 1}}\n", &format!("regions:\n{many}"), &[]);
    let names: Vec<String> = (0..20).map(|n| format!("r{n}")).collect();
    for down in 0..20 {
        world.down(&names[..down].iter().map(String::as_str).collect::<Vec<_>>());
        let (outcome, _) = world.ask(&a("www").subnet("198.18.0.0/24"));
        assert_eq!(world.region(&outcome), Some(names[down].as_str()), "the {down} nearest are down");
    }
}

#[test]
fn g5_a_country_edition_places_clients_by_country() {
    let path = Path::new(MMDB).join("GeoIP2-Country-Test.mmdb");
    if !path.is_file() {
        return println!("skipped: {} is not there", path.display());
    }
    let path = std::fs::canonicalize(path).unwrap();
    let regions = "regions:
  sao-paulo: {location: {latitude: -23.5, longitude: -46.6}, services: {web: 192.0.2.1}}
  london: {location: {latitude: 51.5, longitude: -0.1}, services: {web: 192.0.2.2}}
  tokyo: {location: {latitude: 35.7, longitude: 139.7}, services: {web: 192.0.2.3}}
";
    let world = world_of(&format!("geodb: {}\n", path.display()), regions, &[]);
    for (client, name) in [("81.2.69.160/27", "london"), ("2001:218::/32", "tokyo"), ("2001:240::/32", "tokyo")] {
        let (outcome, _) = world.ask(&a("www").subnet(client));
        assert_eq!((world.region(&outcome), outcome.reason), (Some(name), Reason::Order), "{client}");
    }
}

#[test]
fn p7_references_in_a_loop_or_to_nothing_are_load_errors() {
    for (case, text) in [
        ("cname-loop", "loop"),
        ("alias-loop", "alias"),
        ("dangling-region", "unknown region"),
        ("service-unknown", "no region offers the service"),
        ("network-csv-regions", "unknown region"),
    ] {
        let loaded = load(&Path::new("tests/cases/bad-config").join(case).join("meridian.yaml"));
        assert!(loaded.model.is_none() && loaded.diagnostics.to_string().contains(text), "{case}: {}", loaded.diagnostics);
    }
}

#[test]
fn networks_that_hold_ipv4_are_told_to_be_never_met() {
    let server = "version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\nnetworks:\n  \"::ffff:10.0.0.0/104\": {region: forty}\n  10.0.0.0/8: {region: zero}\n";
    let zone = ZONE.replace("network: 10.0.7.0/24", "network: [\"2002:a00:700::/40\", 10.0.8.0/24]");
    let folder =
        crate::common::folder::Folder::with("embedded", &[("meridian.yaml", server), ("regions.yaml", REGIONS), ("zone.yaml", &zone)]);
    let loaded = load(&folder.join("meridian.yaml"));
    let warnings = loaded.diagnostics.to_string();
    assert!(loaded.model.is_some(), "{warnings}");
    for (place, hint) in [
        ("meridian.yaml:6:3: warning: `::ffff:10.0.0.0/104` holds IPv4", "hint: write `10.0.0.0/8`"),
        ("`2002:a00:700::/40` holds IPv4", "hint: write `10.0.7.0/24`"),
    ] {
        assert!(warnings.contains(place) && warnings.contains(hint), "{warnings}");
    }
    assert_eq!(loaded.diagnostics.iter().count(), 2, "{warnings}");
}

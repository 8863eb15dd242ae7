//! Geography and ECS scope, checked against judges of their own: the raw database, another haversine, and brute force over addresses.
//! Every answer comes from a real query with a client subnet; addresses are drawn with a fixed seed, so a failure repeats.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use common::message::{Query, ecs_octets, masked, query};
use common::random::Random;
use common::world::{PEER, World};
use geo::{Distance, HaversineMeasure};
use maxminddb::{Reader, WithinOptions, geoip2};
use meridian::answer::{Outcome, Reason, Transport};
use meridian::geo::{Family, Kind, PlaceId, Prefix};

/// The database that issue and behaviour speak of; read, never copied.
const CITY: &str = "../shared/mmdb/test-data/GeoIP2-City-Test.mmdb";

/// Six data centres: name, address, latitude, longitude.
const REGIONS: [(&str, u8, f64, f64); 6] = [
    ("us-east", 1, 38.95, -77.45),
    ("us-west", 2, 37.35, -121.95),
    ("eu-west", 3, 53.35, -6.26),
    ("ap-northeast", 4, 35.68, 139.77),
    ("ap-southeast", 5, 1.35, 103.82),
    ("sa-east", 6, -23.55, -46.63),
];

/// Radius of the Earth that DESIGN.md 3 wants, in metres.
const EARTH_RADIUS_M: f64 = 6_371_000.0;

/// Networks of the database that must be right at least.
const MIN_NETWORKS: usize = 30;

/// Random pairs per name and address family: 20,000 in all.
const PAIRS: usize = 2_500;

/// Names whose answers depend on the client and on nothing else: no rotation, no draw.
const NAMES: [&str; 4] = ["www", "ruled", "shared", "sticky"];

const ZONE: &str = r#"
zone: example.com
ns: [ns.example.net.]
records:
  www: {steer: {service: web, balance: round-robin, ttl: 30}}
  ruled:
    steer:
      service: web
      rules:
        - {when: {network: [81.2.69.128/26, "2001:220::/40", 10.9.8.0/25]}, prefer: sa-east}
        - {when: {country: [GB, JP], continent: EU}, only: [ap-northeast, eu-west]}
        - {when: {country: US, subdivision: WA}, prefer: [ap-southeast, eu-west]}
  shared: {steer: {service: web, order: nearest, spread: 4500km}}
  sticky: {steer: {service: many, balance: sticky, answers: 3}}
  any: {steer: {service: web, order: any, share: random}}
  listed: {steer: {service: web, order: priority}}
  fixed: {A: 192.0.2.200}
"#;

const NETWORKS: &str = r#"
networks:
  10.0.0.0/8: {latitude: 53, longitude: -6}
  10.1.0.0/16: {latitude: 35, longitude: 139}
  10.1.128.0/17: {region: sa-east}
  10.9.8.7/32: {region: us-west}
  "2001:db8::/32": {latitude: 53, longitude: -6}
  "2001:db8:8000::/33": {latitude: 1, longitude: 103}
  "2001:db8::1/128": {region: us-west}
"#;

#[test]
fn g2_the_region_is_the_true_nearest_for_networks_of_a_real_database() {
    let Some(path) = city() else { return };
    let world = world(&format!("geodb: {}\n", path.display()));
    let database = Reader::open_readfile(&path).unwrap();
    let (mut right, mut families) = (0, [0; 2]);
    for (address, length, point) in located_networks(&database) {
        let (outcome, reply) = world.ask(&query("www.example.com", "A").ecs(address, length));
        let (name, octet) = true_nearest(point);
        assert_eq!(world.region(&outcome), Some(name), "{address}/{length} at {point:?}");
        assert_eq!(reply.addresses(), [IpAddr::V4(Ipv4Addr::new(192, 0, 2, octet))]);
        let (echoed, source, scope) = reply.ecs().unwrap();
        assert_eq!((echoed, source, outcome.reason), (address, length, Reason::Order));
        assert!(scope > 0, "{address}/{length} has scope 0");
        right += 1;
        families[usize::from(address.is_ipv6())] += 1;
    }
    println!("{right} networks, {families:?} in IPv4 and IPv6");
    assert!(right >= MIN_NETWORKS && families.iter().all(|count| *count > 0), "{right} networks, {families:?}");
}

#[test]
fn s1_everyone_inside_a_scope_has_the_same_answer_with_a_real_database() {
    let Some(path) = city() else { return };
    everyone_inside_a_scope_agrees(&mut world(&format!("geodb: {}\n{NETWORKS}", path.display())));
}

#[test]
fn s1_everyone_inside_a_scope_has_the_same_answer_with_the_built_in_table() {
    everyone_inside_a_scope_agrees(&mut world(NETWORKS));
}

#[test]
fn s1_a_scope_is_the_largest_that_is_right() {
    let sources = city().map(|path| format!("geodb: {}\n{NETWORKS}", path.display()));
    for server in sources.into_iter().chain([NETWORKS.to_owned()]) {
        let world = world(&server);
        let mut random = Random::new(11);
        for name in ["www", "ruled"] {
            for family in [Family::V4, Family::V6] {
                for _ in 0..500 {
                    let client = random.client(&world, family);
                    let (_, scope) = ask(&world, name, client);
                    assert_wider_is_wrong(&world, name, client, scope);
                }
            }
        }
    }
}

#[test]
fn s4_what_does_not_depend_on_the_client_has_scope_0() {
    // No `region:` here: a pinned client has another order even under `any` and `priority`.
    let world = world("networks: {10.1.0.0/16: {latitude: 53, longitude: -6}}\n");
    let mut random = Random::new(3);
    for name in ["any", "listed", "fixed", "no.such"] {
        for _ in 0..200 {
            for family in [Family::V4, Family::V6] {
                let client = random.client(&world, family);
                assert_eq!(ask(&world, name, client).1, 0, "{name} for {client}");
            }
        }
    }
}

#[test]
fn s5_a_hashed_client_has_at_least_the_hash_floor() {
    let world = world(NETWORKS);
    let mut random = Random::new(5);
    for name in ["shared", "sticky"] {
        for _ in 0..500 {
            let (v4, v6) = (random.client(&world, Family::V4), random.client(&world, Family::V6));
            let scopes = (ask(&world, name, v4).1, ask(&world, name, v6).1);
            assert!(scopes.0 >= 24 && scopes.1 >= 40, "{name}: {v4} and {v6} have {scopes:?}");
        }
    }
}

/// IPv4 inside IPv6 counts from where it begins, even where all of IPv4 is one: the rest of IPv6 is another matter.
#[test]
fn s8_a_scope_for_ipv4_inside_ipv6_never_covers_ipv6() {
    let networks = "networks:\n  0.0.0.0/0: {region: eu-west}\n  \"::/0\": {region: sa-east}\n";
    let world = world(networks);
    for (client, least) in [("64:ff9b::c000:201", 96), ("2002:c000:201::1", 16), ("::ffff:192.0.2.1", 96)] {
        let client: IpAddr = client.parse().unwrap();
        let (outcome, scope) = ask(&world, "www", client);
        assert_eq!(world.region(&outcome), Some("eu-west"), "{client}");
        assert!(scope >= least, "{client} has scope {scope}: an answer for IPv6 as well");
        let (outcome, _) = ask(&world, "www", "2a00::1".parse().unwrap());
        assert_eq!(world.region(&outcome), Some("sa-east"));
    }
}

#[test]
fn s8_the_embedded_address_decides_and_a_source_too_short_is_unknown() {
    let world = world(NETWORKS);
    for (v6, v4, shift) in [("64:ff9b::a01:7", "10.1.0.7", 96), ("2002:a01:8007::", "10.1.128.7", 16), ("::ffff:10.9.8.7", "10.9.8.7", 96)]
    {
        let (embedded, scope) = ask(&world, "www", v6.parse().unwrap());
        let (plain, plain_scope) = ask(&world, "www", v4.parse().unwrap());
        assert_eq!(world.region(&embedded), world.region(&plain), "{v6}");
        assert_eq!(scope, plain_scope + shift, "{v6}");
    }
    let (outcome, reply) = world.ask(&query("www.example.com", "A").subnet("64:ff9b::/96"));
    assert_eq!((world.region(&outcome), outcome.reason), (Some("us-east"), Reason::Listed));
    assert!(reply.scope().unwrap() >= 96);
}

#[test]
fn s3_a_short_source_is_answered_for_its_network_address() {
    let world = world(NETWORKS);
    // 10.1.0.0/16 is one thing, the second half of it another; a query for the whole is judged at its first address.
    let (outcome, reply) = world.ask(&query("www.example.com", "A").subnet("10.1.0.0/16"));
    assert_eq!((world.region(&outcome), reply.ecs()), (Some("ap-northeast"), Some(("10.1.0.0".parse().unwrap(), 16, 17))));
    let (outcome, _) = world.ask(&query("ruled.example.com", "A").subnet("10.9.0.0/16"));
    assert_eq!(world.region(&outcome), Some("eu-west"), "the rule on 10.9.8.0/25 does not speak of 10.9.0.0");
}

#[test]
fn s9_an_unknown_client_has_the_extent_of_the_hole() {
    let networks = "geodb: own.csv\n";
    let own = "network,latitude,longitude\n198.40.0.0/16,53,-6\n198.42.0.0/15,53,-6\n198.41.128.0/17,1,103\n";
    let world = world_with(networks, &[("own.csv", own)]);
    let (outcome, scope) = ask(&world, "www", "198.41.3.4".parse().unwrap());
    assert_eq!((world.region(&outcome), outcome.reason, scope), (Some("us-east"), Reason::Listed, 17));
}

#[test]
fn e6_a_reserved_client_is_the_peer_with_the_extent_of_the_reserved_block() {
    let world = world("networks:\n  127.0.0.1: {latitude: 1, longitude: 103}\n  127.0.0.2: {latitude: -23, longitude: -46}\n");
    for (peer, region) in [("127.0.0.1", "ap-southeast"), ("127.0.0.2", "sa-east")] {
        let asked = query("www.example.com", "A").subnet("192.168.7.0/24");
        let (outcome, reply) = world.ask_from(peer.parse().unwrap(), &asked);
        assert_eq!((world.region(&outcome), reply.scope()), (Some(region), Some(16)));
    }
}

#[test]
fn the_built_in_world_table_puts_clients_on_their_continents() {
    let world = world("");
    let sample = [
        ("us-east", ["3.0.0.1", "17.1.2.3", "63.5.6.7", "2600:1::1", "2620:1::1"]),
        ("eu-west", ["193.0.6.139", "62.1.1.1", "2.2.2.2", "2a00:1::1", "2001:600::1"]),
        ("sa-east", ["200.1.2.3", "177.4.5.6", "187.1.1.1", "2800:1::1", "2801::1"]),
        ("ap-southeast", ["1.1.1.1", "110.5.6.7", "203.0.1.1", "2400:1::1", "240f::1"]),
    ];
    for (region, clients) in sample {
        for client in clients {
            let (outcome, _) = ask(&world, "www", client.parse().unwrap());
            let chosen = world.region(&outcome).unwrap();
            // The point of Asia lies between two regions; both are in Asia.
            let right =
                chosen == region || chosen == "ap-northeast" && region == "ap-southeast" || chosen == "us-west" && region == "us-east";
            assert!(right && outcome.reason == Reason::Order, "{client}: {chosen} ({:?}) instead of {region}", outcome.reason);
        }
    }
}

/// Draws clients, takes their scopes, draws others inside, and compares them in several states of health.
fn everyone_inside_a_scope_agrees(world: &mut World) {
    let mut random = Random::new(7);
    let mut pairs: Vec<(&str, IpAddr, IpAddr, u8)> = Vec::new();
    for name in NAMES {
        for family in [Family::V4, Family::V6] {
            for _ in 0..PAIRS {
                let client = random.client(world, family);
                let (_, scope) = ask(world, name, client);
                pairs.push((name, client, random.inside(client, scope), scope));
            }
        }
    }
    let distinct = pairs.iter().filter(|(_, a, b, _)| a != b).count();
    assert!(distinct > pairs.len() / 2, "only {distinct} of {} pairs are two clients", pairs.len());
    let mut regions_seen = std::collections::BTreeSet::new();
    for down in states() {
        world.down(&down);
        for (name, a, b, scope) in &pairs {
            let (of_a, scope_of_a, answer_of_a) = ask_fully(world, name, *a);
            let (of_b, scope_of_b, answer_of_b) = ask_fully(world, name, *b);
            assert_eq!(scope_of_a, *scope, "{name}: the scope of {a} changed while {down:?} are down");
            assert_eq!(scope_of_b, *scope, "{name}: {a} and {b} are in one scope and have different ones");
            assert_eq!(answer_of_a, answer_of_b, "{name}: {a} and {b} are in one /{scope}, down: {down:?}");
            assert_eq!(world.region(&of_a), world.region(&of_b));
            regions_seen.extend(of_a.region);
        }
    }
    assert_eq!(regions_seen.len(), REGIONS.len(), "not every region was ever chosen");
}

/// All up, each region down, and several down: together they show the whole ranking of a client.
fn states() -> Vec<Vec<&'static str>> {
    let names: Vec<&str> = REGIONS.iter().map(|(name, ..)| *name).collect();
    let mut states = vec![vec![]];
    states.extend(names.iter().map(|name| vec![*name]));
    states.extend((1..5).map(|count| names[..count + 1].to_vec()));
    states.extend((1..5).map(|count| names[count..].to_vec()));
    states
}

/// The twice as wide block around a client holds a range with another ranking or kind, or another family.
fn assert_wider_is_wrong(world: &World, name: &str, client: IpAddr, scope: u8) {
    let catalog = &world.compiled.catalog;
    let steering = catalog.steerings.iter().find(|steering| steering.owner.to_string() == format!("{name}.example.com.")).unwrap();
    let plan = &steering.family(Family::V4).unwrap().plan;
    let key = |place: PlaceId| {
        let order: Vec<(u16, u16)> = plan.ranking(place).iter().map(|entry| (entry.candidate, entry.band)).collect();
        (order, catalog.table.place(place).kind)
    };
    let leaf = catalog.table.locate(client, if client.is_ipv4() { 32 } else { 128 });
    let (address, length) = match (client, leaf.shift) {
        (IpAddr::V6(v6), shift) if shift > 0 => {
            (IpAddr::V4(Ipv4Addr::from_bits((v6.to_bits() >> (96 - u32::from(shift))) as u32)), scope - shift)
        }
        _ => (client, scope),
    };
    // What is as wide as it can be: a whole family, or a block of which no part can be judged.
    let Some(wider) = length.checked_sub(1).map(|length| Prefix::masked(address, length)) else { return };
    let own = key(leaf.place);
    let family = Family::of(address);
    let other = catalog.table.ranges(family).any(|(_, prefix, place)| {
        let overlaps = wider.covers(&prefix) || prefix.covers(&wider);
        let is_embedded = catalog.table.place(place).source == meridian::geo::SourceId::Embedded;
        overlaps && (is_embedded || key(place) != own)
    });
    assert!(other, "{name}: {client} has scope {scope}, and all of {wider} has the same ranking");
}

/// Asks with the whole address as client subnet, and gives the scope too.
fn ask(world: &World, name: &str, client: IpAddr) -> (Outcome, u8) {
    let (outcome, scope, _) = ask_fully(world, name, client);
    (outcome, scope)
}

/// Outcome, scope, and the octets of the reply between the question and OPT.
fn ask_fully(world: &World, name: &str, client: IpAddr) -> (Outcome, u8, Vec<u8>) {
    let length = if client.is_ipv4() { 32 } else { 128 };
    let question: Query = query(&format!("{name}.example.com"), "A").ecs(client, length);
    let mut out = [0; 1232];
    let outcome = world.answer_into(PEER, Transport::Udp, &question.octets(), &mut out);
    let option = ecs_octets(client, length);
    // OPT ends with the option, whose fourth octet is the scope.
    let option_start = outcome.len - option.len();
    assert_eq!(out[option_start..option_start + 3], option[..3]);
    assert_eq!(out[option_start + 4..outcome.len], option[4..], "the address is not echoed");
    let opt_start = option_start - 15;
    let records = out[12 + question.question().len()..opt_start].to_vec();
    (outcome, out[option_start + 3], records)
}

/// The nearest region by the geo crate, straight from the table above.
fn true_nearest((latitude, longitude): (f64, f64)) -> (&'static str, u8) {
    let metres = |region: &(&str, u8, f64, f64)| {
        let (a, b) = (geo::Point::new(longitude, latitude), geo::Point::new(region.3, region.2));
        HaversineMeasure::new(EARTH_RADIUS_M).distance(a, b)
    };
    let nearest = REGIONS.iter().min_by(|a, b| metres(a).total_cmp(&metres(b))).unwrap();
    (nearest.0, nearest.1)
}

/// Networks of a database that have coordinates, IPv4 as IPv4.
fn located_networks(database: &Reader<Vec<u8>>) -> Vec<(IpAddr, u8, (f64, f64))> {
    let mut networks = Vec::new();
    for found in database.networks(WithinOptions::default()).unwrap() {
        let found = found.unwrap();
        let Some(city) = found.decode::<geoip2::City<'_>>().unwrap() else { continue };
        let (Some(latitude), Some(longitude)) = (city.location.latitude, city.location.longitude) else { continue };
        let network = found.network().unwrap();
        networks.push((network.network(), network.prefix(), (latitude, longitude)));
    }
    networks
}

/// The database, if it is here.
fn city() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CITY);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// Six regions and the names above; `server` are more lines of the server file.
fn world(server: &str) -> World {
    world_with(server, &[])
}

fn world_with(server: &str, files: &[(&str, &str)]) -> World {
    let server = format!("version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\n{server}");
    let region = |(name, octet, latitude, longitude): (&str, u8, f64, f64)| {
        let many: Vec<String> = (1..4).map(|host| format!("198.18.{octet}.{host}")).collect();
        format!(
            "  {name}:\n    location: {{latitude: {latitude}, longitude: {longitude}}}\n    services: {{web: 192.0.2.{octet}, many: [{}]}}\n",
            many.join(", ")
        )
    };
    let regions = format!("regions:\n{}", REGIONS.map(region).concat());
    let mut all = vec![("meridian.yaml", server.as_str()), ("regions.yaml", regions.as_str()), ("zone.yaml", ZONE)];
    all.extend_from_slice(files);
    World::of("scope", &all)
}

/// Draws of clients.
trait Clients {
    fn address(&mut self, family: Family) -> IpAddr;

    /// An address: half of them out of ranges drawn alike, so that small networks are met too; some with IPv4 inside IPv6.
    fn client(&mut self, world: &World, family: Family) -> IpAddr;

    /// An address in the block of this length around an address.
    fn inside(&mut self, around: IpAddr, length: u8) -> IpAddr;
}

impl Clients for Random {
    fn address(&mut self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(self.next() as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(self.next()) << 64 | u128::from(self.next()))),
        }
    }

    fn client(&mut self, world: &World, family: Family) -> IpAddr {
        let table = &world.compiled.catalog.table;
        match (self.next() % 8, family) {
            (0..4, _) => {
                let index = self.next() as usize % table.range_count(family);
                let prefix = table.ranges(family).nth(index).map(|(_, prefix, _)| prefix).unwrap();
                self.inside(prefix.network(), prefix.length())
            }
            (4..6, Family::V6) => {
                let IpAddr::V4(v4) = self.client(world, Family::V4) else { unreachable!() };
                let v4 = u128::from(v4.to_bits());
                let embedded = [0x64_ff9b << 96 | v4, 0xffff << 32 | v4, 0x2002 << 112 | v4 << 80 | u128::from(self.next())];
                IpAddr::V6(Ipv6Addr::from_bits(embedded[self.next() as usize % 3]))
            }
            (6, Family::V6) => self.inside("2000::".parse().unwrap(), 3),
            _ => self.address(family),
        }
    }

    fn inside(&mut self, around: IpAddr, length: u8) -> IpAddr {
        match (masked(around, length), self.address(Family::of(around))) {
            (IpAddr::V4(network), IpAddr::V4(random)) => {
                IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | random.to_bits() & u32::MAX.checked_shr(length.into()).unwrap_or(0)))
            }
            (IpAddr::V6(network), IpAddr::V6(random)) => {
                IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | random.to_bits() & u128::MAX.checked_shr(length.into()).unwrap_or(0)))
            }
            _ => unreachable!(),
        }
    }
}

/// The kinds that scopes keep apart are all met by the draws above.
#[test]
fn the_draws_meet_every_kind_of_place() {
    let world = world(NETWORKS);
    let mut random = Random::new(1);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        for family in [Family::V4, Family::V6] {
            let client = random.client(&world, family);
            let leaf = world.compiled.catalog.table.locate(client, if client.is_ipv4() { 32 } else { 128 });
            kinds.insert((leaf.shift, world.compiled.catalog.table.place(leaf.place).kind));
        }
    }
    for kind in [(0, Kind::Located), (0, Kind::Unknown), (0, Kind::UsePeer), (96, Kind::Located), (16, Kind::Located)] {
        assert!(kinds.contains(&kind), "{kind:?} is not among {kinds:?}");
    }
}

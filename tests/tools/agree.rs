//! What is explained, and what is rehearsed, is what is answered: ten thousand made-up questions about names, clients and health.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use meridian::answer::Reason;
use meridian::answer::explain::{Asked, explain};
use meridian::geo::{Family, Prefix};
use meridian::name::Name;
use meridian::random::Random;
use meridian::rehearsal::compare::Source;
use meridian::rehearsal::{Audience, compare};

use crate::common::message::query;
use crate::common::world::World;

/// Questions in all.
const QUESTIONS: u64 = 10_000;

/// Questions between two states of health.
const EACH: u64 = 50;

/// Worlds to ask: the sample, and examples with rules, fences and networks of their own.
const WORLDS: [&str; 3] = ["zones/meridian.yaml", "examples/rules-by-country/meridian.yaml", "examples/private-networks/meridian.yaml"];

/// Everything that looks at more of a client than its place, or leaves some without a region.
const REGIONS: &str = "regions:\n  \
    eu: {location: {latitude: 53, longitude: -6}, services: {web: [192.0.2.1, 192.0.2.11, \"2001:db8::1\"], spare: 192.0.2.91}}\n  \
    fr: {location: {latitude: 48.9, longitude: 2.4}, weight: 2, services: {web: [192.0.2.2, \"2001:db8::2\"]}}\n  \
    us: {location: {latitude: 39, longitude: -77}, services: {web: [192.0.2.3, 192.0.2.33], spare: 192.0.2.93}}\n  \
    ap: {location: {latitude: 1, longitude: 104}, weight: 0, services: {web: [192.0.2.4, \"2001:db8::4\"]}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  near: {steer: web}\n  \
    wide: {steer: {service: web, spread: 2000km}}\n  even: {steer: {service: web, order: any, weights: {ap: 3}}}\n  \
    warm: {steer: {service: web, trickle: 20%}}\n  sticky: {steer: {service: web, balance: sticky, answers: 2}}\n  \
    many: {steer: {service: web, min_healthy: 2}}\n  none: {steer: {service: web, order: any, on_all_down: nodata}}\n  \
    spare: {steer: {service: web, on_all_down: {fallback: {service: spare}}, regions: [eu, fr]}}\n  \
    fenced:\n    steer:\n      service: web\n      rules: [{when: {continent: EU}, only: [eu, fr], fence: hard, fallback: [192.0.2.99, \"2001:db8::99\"]}]\n";

/// Clients of one rehearsal.
const CROWD: u64 = 64;

fn mixed(n: u64) -> u64 {
    Random::new(n).next()
}

fn client(draw: u64) -> Prefix {
    let address = match draw % 3 {
        0 | 1 => IpAddr::V4(Ipv4Addr::from_bits((draw >> 8) as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(mixed(draw)) << 64 | 0x2000_u128 << 112)),
    };
    Prefix::masked(address, if address.is_ipv4() { (draw >> 40) as u8 % 33 } else { (draw >> 40) as u8 % 129 })
}

/// Another state of health: a third of all endpoints is down.
fn break_some(world: &mut World, draw: u64) {
    let health = mixed(draw);
    let sum = |address: IpAddr| address.to_string().bytes().fold(0, |sum: u64, octet| sum.wrapping_mul(31).wrapping_add(u64::from(octet)));
    world.measure(|endpoint| mixed(health ^ sum(endpoint.address)).is_multiple_of(3));
}

#[test]
fn ten_thousand_explanations_say_what_is_answered() {
    let mut steered = 0;
    for (file, at) in WORLDS.iter().zip(0u64..) {
        let mut world = World::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let owners: Vec<Name> = world.snapshot.catalog.steerings.iter().map(|steering| steering.owner.clone()).collect();
        let names: Vec<String> = owners.iter().map(|owner| owner.to_string().replace('*', "any")).collect();
        let each = QUESTIONS / WORLDS.len() as u64 + 1;
        for n in at * each..(at + 1) * each {
            let draw = mixed(n);
            if n % EACH == 0 {
                break_some(&mut world, draw);
            }
            let name = &names[draw as usize % names.len()];
            let (family, qtype) = if draw & 64 == 0 { (Family::V4, "A") } else { (Family::V6, "AAAA") };
            let (subnet, peer) = (client(mixed(draw)), client(mixed(draw ^ 1)).network());
            let asked = Asked { name: Name::parse(name, None).unwrap(), family, subnet: Some(subnet), peer };
            let (outcome, reply) = world.ask_from(peer, &query(name, qtype).ecs(subnet.network(), subnet.length()));
            let told = explain(&world.snapshot, asked, 0);
            let label = format!("{file}: {name} {qtype} for {subnet} from {peer}\n{told}");
            // Addresses inside a region rotate from answer to answer, and random shares are drawn.
            let Some(steps) = &told.steps else {
                assert_eq!(outcome.steering, None, "{label}");
                continue;
            };
            steered += 1;
            assert_eq!((outcome.region, outcome.reason), (told.outcome.region, told.outcome.reason), "{label}");
            assert_eq!((reply.scope(), reply.addresses().len()), (Some(steps.scope), steps.addresses.len()), "{label}");
            assert!(reply.addresses().is_empty() || reply.ttl() == Some(steps.ttl_s), "{label}");
        }
    }
    assert!(steered > QUESTIONS / 2, "{steered}");
}

/// Who answers, as the reply says.
fn answered_by(world: &World, name: &str, qtype: &str, client: IpAddr) -> Source {
    // A reserved client is the peer, and whoever rehearses has no other.
    let (outcome, _) = world.ask_from(client, &query(name, qtype).ecs(client, if client.is_ipv4() { 32 } else { 128 }));
    match (world.region(&outcome), outcome.reason) {
        (Some(region), _) => Source::Region(region.to_owned()),
        (None, Reason::Fallback) => Source::Fallback,
        (None, _) => Source::Nobody,
    }
}

#[test]
fn ten_thousand_rehearsed_answers_are_those_of_the_server() {
    let server = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n\
                  networks: {0.0.0.0/2: {latitude: 50, longitude: 0, continent: EU}, \"2000::/8\": {latitude: 50, longitude: 0, continent: EU}}\n";
    let own = || World::of("rehearsed", &[("meridian.yaml", server), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)]);
    let sample = || World::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(WORLDS[0]));
    let (mut asked, mut hashed) = (0, 0);
    for (before, mut after) in [(own(), own()), (sample(), sample())] {
        for round in 0..12u64 {
            break_some(&mut after, round);
            let clients: Vec<IpAddr> = (0..CROWD).map(|n| client(mixed(round << 32 | n)).network()).collect();
            let audience = Audience::Counted(clients.iter().map(|address| (Prefix::host(*address), 1.0)).collect());
            for (family, qtype) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
                for comparison in compare([&before.snapshot, &after.snapshot], &audience, family, None) {
                    hashed += comparison.names.len() * usize::from(comparison.sample.is_some());
                    for name in &comparison.names {
                        let label = format!("{name} {qtype}, round {round}");
                        let (mut sources, mut moves) = (BTreeMap::<Source, (f64, f64)>::new(), BTreeMap::new());
                        for client in &clients {
                            let asked = name.to_string().replace('*', "any");
                            let [one, other] = [&before, &after].map(|world| answered_by(world, &asked, qtype, *client));
                            sources.entry(one.clone()).or_default().0 += 1.0;
                            sources.entry(other.clone()).or_default().1 += 1.0;
                            if one != other {
                                *moves.entry((one, other)).or_insert(0.0) += 1.0;
                            }
                        }
                        asked += clients.len();
                        let told =
                            comparison.sources.iter().map(|(source, change)| (source.clone(), (change.before, change.after))).collect();
                        assert_eq!(sources, told, "{label}");
                        let told = comparison.moves.iter().map(|(way, moved)| (way.clone(), moved.weight)).collect();
                        assert_eq!(moves, told, "{label}");
                    }
                }
            }
        }
    }
    assert!(asked > 10_000 && hashed > 50, "{asked} {hashed}");
}

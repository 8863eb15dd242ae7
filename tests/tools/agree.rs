//! What is explained is what is answered: ten thousand made-up questions about names, clients and health.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use meridian::answer::explain::{Asked, explain};
use meridian::geo::{Family, Prefix};
use meridian::name::Name;

use crate::common::message::query;
use crate::common::world::World;

/// Questions in all.
const QUESTIONS: u64 = 10_000;

/// Questions between two states of health.
const EACH: u64 = 50;

/// Worlds to ask: the sample, and examples with rules, fences and networks of their own.
const WORLDS: [&str; 3] = ["zones/meridian.yaml", "examples/rules-by-country/meridian.yaml", "examples/private-networks/meridian.yaml"];

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(n: u64) -> u64 {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn client(draw: u64) -> Prefix {
    let address = match draw % 3 {
        0 | 1 => IpAddr::V4(Ipv4Addr::from_bits((draw >> 8) as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(mixed(draw)) << 64 | 0x2000_u128 << 112)),
    };
    Prefix::masked(address, if address.is_ipv4() { (draw >> 40) as u8 % 33 } else { (draw >> 40) as u8 % 129 })
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
                let endpoints = world.endpoints().to_vec();
                let health = mixed(draw);
                let is_down = |address: IpAddr| {
                    mixed(
                        health ^ address.to_string().bytes().fold(0, |sum: u64, octet| sum.wrapping_mul(31).wrapping_add(u64::from(octet))),
                    )
                    .is_multiple_of(3)
                };
                let down: Vec<IpAddr> = endpoints.iter().map(|endpoint| endpoint.address).filter(|address| is_down(*address)).collect();
                world.measure(|endpoint| down.contains(&endpoint.address));
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

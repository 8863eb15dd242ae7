//! What holds of every steered name, whatever its policies: random configurations, random health, and clients from everywhere.
//! Configurations are drawn from a seed that is printed with a failure, so that it can be had again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use common::folder::Folder;
use common::message::{Query, query};
use common::random::{Draws, Random};
use common::world::{PEER, World};
use meridian::answer::{Outcome, Reason, Transport};
use meridian::config::compile::Earlier;
use meridian::daemon::prepare;
use meridian::health::{CapacityKey, HealthView, Overflow, PoolOverflow, PoolState};

/// Configurations that are drawn.
const CONFIGURATIONS: u64 = 60;

/// Clients that ask in each state of health.
const CLIENTS: u64 = 120;

/// States of health of each configuration; in the first all are up.
const STATES: u64 = 4;

/// For so long loads are told: a few periods of a minute, each of which moves what is shed.
const LOADED_MS: u64 = 600_000;

/// Region `rN` has the addresses 192.0.2.N, 198.51.100.N and 2001:db8::N.
const REGIONS: u64 = 7;

/// Regions inside the hard fence, where there is one, and its fallback address.
const INSIDE: [u64; 2] = [1, 2];
const FENCE_FALLBACK: &str = "203.0.113.7";

/// The region that is down by hand.
const FORCED: u64 = 5;

const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "JP", "BR"];

/// A configuration and what of it the tests must know.
struct Drawn {
    folder: Folder,
    fenced: bool,
}

fn drawn(random: &mut Random) -> Drawn {
    let mut regions = "regions:\n".to_owned();
    for n in 1..=REGIONS {
        let (latitude, longitude) = (random.below(120) as i64 - 60, random.below(360) as i64 - 180);
        let state = if n == FORCED { "state: down, " } else { "" };
        let weight = random.pick(&["1", "1", "2", "0.5", "0"]);
        let capacity = if random.below(100) < 40 { "capacity: {soft: 80, hard: 100, load: pushed}, " } else { "" };
        _ = writeln!(
            regions,
            "  r{n}: {{location: {{latitude: {latitude}, longitude: {longitude}}}, {state}{capacity}weight: {weight}, services: {{web: [192.0.2.{n}, 198.51.100.{n}, \"2001:db8::{n}\"]}}}}"
        );
    }
    let mut server = "version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: zone.yaml\nlatencies: latencies.csv\n".to_owned();
    server += "areas: {north: [{country: DE}, {network: 10.3.0.0/16}]}\nnetworks:\n";
    for n in 0..24 {
        let (latitude, longitude) = (random.below(120) as i64 - 60, random.below(360) as i64 - 180);
        let prefix = if n < 16 { format!("10.{n}.0.0/16") } else { format!("10.{}.{}.0/24", n - 16, random.below(256)) };
        _ = writeln!(server, "  {prefix}: {{latitude: {latitude}, longitude: {longitude}, country: {}}}", random.pick(&COUNTRIES));
    }
    let mut latencies = "network,country,region,milliseconds\n".to_owned();
    for n in 0..20 {
        let region = 1 + n % REGIONS;
        _ = writeln!(latencies, "10.{}.{n}.0/24,,r{region},{}", random.below(16), random.below(200));
        _ = writeln!(latencies, ",{},r{region},{}", COUNTRIES[(n / REGIONS) as usize], random.below(200));
    }
    let fenced = random.below(100) < 50;
    let zone = format!("zone: example.com\nns: ns.example.net.\nrecords:\n  www: {{steer: {}}}\n", steer(random, fenced));
    let files = [("meridian.yaml", &server), ("regions.yaml", &regions), ("zone.yaml", &zone), ("latencies.csv", &latencies)];
    Drawn { folder: Folder::with("steered", &files.map(|(name, text)| (name, text.as_str()))), fenced }
}

fn steer(random: &mut Random, fenced: bool) -> String {
    let order = random.pick(&["nearest", "priority", "latency", "any", "tiers"]);
    let mut steer = "{service: web".to_owned();
    match order {
        "tiers" => steer += ", order: priority, regions: [[r1, r4], [r2, r3, r5], r6]",
        _ => _ = write!(steer, ", order: {order}"),
    }
    if random.below(100) < 40 && order != "tiers" {
        steer += if order == "latency" { ", spread: 15ms" } else { ", spread: 3000km" };
    }
    _ = write!(steer, ", share: {}", random.pick(&["hash", "hash", "random"]));
    _ = write!(
        steer,
        ", balance: {}",
        random.pick(&["round-robin", "weighted", "sticky", "random", "least-response-time", "least-connections"])
    );
    _ = write!(steer, ", min_healthy: {}", random.pick(&["1", "2", "50%", "100%"]));
    if random.below(100) < 30 {
        steer += ", trickle: 20%, weights: {r4: 0}";
    }
    let all_down = if fenced {
        random.pick(&["open", "last-good", "{fallback: [203.0.113.9, \"2001:db8:9::9\"]}"])
    } else {
        random.pick(&["open", "last-good", "nodata", "servfail", "refuse", "{fallback: [203.0.113.9, \"2001:db8:9::9\"]}"])
    };
    _ = write!(steer, ", on_all_down: {all_down}, rules: [");
    if fenced {
        _ = write!(steer, "{{when: {{country: DE}}, only: [r1, r2], fence: hard, fallback: [{FENCE_FALLBACK}, \"2001:db8:7::7\"]}}, ");
    }
    let rules = [
        "{when: {not: {area: north}}, prefer: [r3, r1]}",
        "{when: {area: north}, only: [r2, r6]}",
        "{when: {country: [US, JP], not: {network: 10.2.0.0/15}}, prefer: r6}",
    ];
    _ = write!(steer, "{}]}}", random.pick(&rules));
    steer
}

/// Client networks: those that rules and tables speak of, and others.
fn client(random: &mut Random) -> (IpAddr, u8) {
    let [_, b, c, d] = (random.next() as u32).to_be_bytes();
    let length = [16, 20, 24, 24, 24, 32][random.below(6)];
    let first = if random.below(100) < 80 { 10 } else { 80 };
    let address = u32::from_be_bytes([first, b % 20, c, d]) & u32::MAX << (32 - u32::from(length));
    (IpAddr::from(address.to_be_bytes()), length)
}

fn asked(client: (IpAddr, u8), qtype: &str) -> Query {
    query("www.example.com", qtype).ecs(client.0, client.1)
}

/// Regions that are measured down in a state of health.
fn down(random: &mut Random, state: u64) -> Vec<u64> {
    match state {
        0 => Vec::new(),
        1 => (1..=REGIONS).collect(),
        _ => (1..=REGIONS).filter(|_| random.below(100) < 50).collect(),
    }
}

/// What is up and what regions shed: each has told a load of its own for some periods.
fn set_state(world: &mut World, down: &[u64], loads: &[f64]) {
    let names: Vec<String> = down.iter().map(|n| format!("r{n}")).collect();
    world.measure(|endpoint| names.contains(&endpoint.region));
    let mut overflow = Overflow::default();
    overflow.reconcile(Arc::clone(&world.compiled.layout), 0);
    while let Some(due_ms) = overflow.next_step_ms().filter(|due_ms| *due_ms < LOADED_MS) {
        for (n, load) in (1..).zip(loads) {
            let key = CapacityKey { region: format!("r{n}").into(), service: None };
            // Not every region has a capacity.
            _ = overflow.push(&key, *load, LOADED_MS, 0);
        }
        let health = Arc::clone(&world.snapshot.health);
        overflow.step(due_ms, |_, _| 0, |id| health.pool(id).state == PoolState::Available);
    }
    shed(world, overflow.view());
}

fn shed(world: &mut World, overflow: Box<[PoolOverflow]>) {
    let health = HealthView::clone(&world.snapshot.health).with_overflow(overflow);
    world.publish(health);
}

/// A load of each region: none, some, or far too much.
fn loads(random: &mut Random) -> Vec<f64> {
    (0..REGIONS).map(|_| f64::from(random.pick(&[0_u32, 50, 95, 120, 400]))).collect()
}

/// The region that an address belongs to; none for fallback addresses.
fn region_of(address: IpAddr) -> Option<u64> {
    match address {
        IpAddr::V4(v4) if v4.octets()[0] == 203 => None,
        IpAddr::V4(v4) => Some(u64::from(v4.octets()[3])),
        IpAddr::V6(v6) if v6.segments()[2] != 0 => None,
        IpAddr::V6(v6) => Some(u64::from(v6.segments()[7])),
    }
}

#[test]
fn the_same_files_answer_the_same_on_every_node_after_a_restart_and_after_a_reload() {
    for seed in 0..CONFIGURATIONS {
        let mut random = Random::new(seed);
        let Drawn { folder, .. } = drawn(&mut random);
        let path = folder.join("meridian.yaml");
        let mut nodes = [World::load(&path), World::load(&path)];
        let mut reloaded = World::load(&path);
        reloaded.compiled = prepare(&path, Some(&Earlier::of(&reloaded.compiled))).unwrap().compiled;
        for state in 0..STATES {
            let (down, loads) = (down(&mut random, state), loads(&mut random));
            nodes.iter_mut().chain([&mut reloaded]).for_each(|world| set_state(world, &down, &loads));
            for _ in 0..CLIENTS / 4 {
                let question = asked(client(&mut random), ["A", "AAAA"][random.below(2)]).octets();
                let [one, other] = nodes.each_ref().map(|world| world.ask_octets(PEER, Transport::Tcp, &question).1);
                assert!(one == other, "seed {seed}, down {down:?}: two nodes differ");
                assert!(
                    one == reloaded.ask_octets(PEER, Transport::Tcp, &question).1,
                    "seed {seed}, down {down:?}: a reload changed an answer"
                );
            }
        }
    }
}

#[test]
fn s6_nobody_is_sent_over_a_hard_fence_or_to_what_is_forced_down_and_nothing_is_empty_for_some_alone() {
    for seed in 0..CONFIGURATIONS {
        let mut random = Random::new(seed);
        let Drawn { folder, fenced } = drawn(&mut random);
        let mut world = World::load(&folder.join("meridian.yaml"));
        for state in 0..STATES {
            let (down, loads) = (down(&mut random, state), loads(&mut random));
            set_state(&mut world, &down, &loads);
            let (mut empty, mut answered) = (0, 0);
            for _ in 0..CLIENTS {
                let client = client(&mut random);
                let (outcome, reply) = world.ask(&asked(client, "A"));
                let place = world.snapshot.catalog.table.place(world.snapshot.catalog.table.locate(client.0, client.1).place);
                let is_inside = fenced && place.country.is_some_and(|code| code.as_str() == "DE");
                for address in reply.addresses() {
                    let region = region_of(address);
                    assert_ne!(region, Some(FORCED), "seed {seed}, down {down:?}, {client:?}");
                    let allowed = region.map_or(address.to_string() == FENCE_FALLBACK, |region| INSIDE.contains(&region));
                    assert!(!is_inside || allowed, "seed {seed}, down {down:?}, {client:?}: {address} is outside the fence");
                }
                match reply.addresses().is_empty() {
                    true => empty += 1,
                    false => answered += 1,
                }
                let is_negative = matches!(outcome.reason, Reason::NoData | Reason::ServFail | Reason::Refused);
                assert_eq!(is_negative, reply.addresses().is_empty(), "seed {seed}, down {down:?}, {client:?}");
            }
            assert!(empty == 0 || answered == 0, "seed {seed}, down {down:?}: empty for {empty}, not for {answered}");
        }
    }
}

#[test]
fn s1_everyone_inside_a_scope_is_answered_from_the_same_region_whatever_is_down() {
    for seed in 0..CONFIGURATIONS {
        let mut random = Random::new(seed);
        let Drawn { folder, .. } = drawn(&mut random);
        let mut world = World::load(&folder.join("meridian.yaml"));
        for state in 0..STATES {
            let (down, loads) = (down(&mut random, state), loads(&mut random));
            set_state(&mut world, &down, &loads);
            for _ in 0..CLIENTS {
                let client = client(&mut random);
                let (outcome, reply) = world.ask(&asked(client, "A"));
                let (Some(scope), IpAddr::V4(address)) = (reply.scope(), client.0) else { panic!("no scope") };
                if reply.addresses().is_empty() {
                    assert_eq!(scope, 0, "S6, seed {seed}");
                    continue;
                }
                // A draw for each query is nobody's own.
                if draws(&outcome, &world) {
                    continue;
                }
                let inside = u64::from(u32::MAX.checked_shr(u32::from(scope)).unwrap_or(0)) & random.next();
                let neighbour = address.to_bits() & u32::MAX.checked_shl(32 - u32::from(scope)).unwrap_or(0) | inside as u32;
                let (theirs, _) = world.ask(&asked((IpAddr::V4(neighbour.into()), 32), "A"));
                // A neighbour may have a longer scope, of which RFC 7871 7.2.1 speaks: the longest counts for it.
                let (_, their_reply) = world.ask(&asked((IpAddr::V4(neighbour.into()), 32), "A"));
                assert!(their_reply.scope() == Some(scope), "seed {seed}: {client:?} /{scope}, its neighbour {:?}", their_reply.scope());
                assert_eq!(theirs.region, outcome.region, "seed {seed}, down {down:?}: {client:?} and {neighbour:?} within /{scope}");
            }
        }
    }
}

/// Whether the region was drawn for this query alone.
fn draws(outcome: &Outcome, world: &World) -> bool {
    let steering = &world.snapshot.catalog.steerings[outcome.steering.unwrap().0 as usize];
    steering.share == meridian::steer::ShareSpec::Random
}

#[test]
fn a_client_that_a_region_shed_comes_back_only_when_it_admits_more_and_nobody_else_moves() {
    for seed in 0..CONFIGURATIONS {
        let mut random = Random::new(seed);
        let Drawn { folder, .. } = drawn(&mut random);
        let mut world = World::load(&folder.join("meridian.yaml"));
        let region = 1 + random.below(REGIONS as usize) as u64;
        let pools: Vec<bool> = world.compiled.layout.pools.iter().map(|pool| *pool.key.region == format!("r{region}")).collect();
        let clients: Vec<(IpAddr, u8)> = (0..CLIENTS).map(|_| client(&mut random)).collect();
        let mut before: Vec<Option<u64>> = Vec::new();
        for share in (0..=1024).step_by(128) {
            let overflow = |is_it: &bool| if *is_it { PoolOverflow { shed: share, takes_overflow: true } } else { PoolOverflow::NONE };
            shed(&mut world, pools.iter().map(overflow).collect());
            let now: Vec<Option<u64>> = clients.iter().map(|client| chosen(&world, *client)).collect();
            for (client, (before, now)) in clients.iter().zip(before.iter().zip(&now)) {
                assert!(
                    before == now || *before == Some(region),
                    "seed {seed}, {share} of 1024 shed by r{region}: {client:?} {before:?} {now:?}"
                );
            }
            before = now;
        }
    }
}

#[test]
fn p8_adding_a_region_moves_clients_only_to_it() {
    let server = "version: 1\nlisten: 127.0.0.1:0\nregions: [regions.yaml, more.yaml]\nzones: zone.yaml\n";
    for seed in 0..CONFIGURATIONS {
        let mut random = Random::new(seed);
        let mut region = |n: u64| {
            let (latitude, longitude) = (random.below(120) as i64 - 60, random.below(360) as i64 - 180);
            let weight = random.pick(&["1", "2", "0.5"]);
            format!(
                "  r{n}: {{location: {{latitude: {latitude}, longitude: {longitude}}}, weight: {weight}, services: {{web: 192.0.2.{n}}}}}\n"
            )
        };
        let old: String = (1..=REGIONS).map(&mut region).collect();
        // Anywhere in the order of the files.
        let new = region(REGIONS + 1);
        let at_front = random.below(2) == 0;
        let order = random.pick(&["nearest", "any"]);
        let zone = format!("zone: example.com\nns: ns.example.net.\nrecords: {{www: {{steer: {{service: web, order: {order}}}}}}}\n");
        let world = |front: &str, back: &str| {
            let (front, back) = (format!("regions:\n{front}"), format!("regions:\n{back}"));
            World::of("added", &[("meridian.yaml", server), ("regions.yaml", &front), ("more.yaml", &back), ("zone.yaml", &zone)])
        };
        let (first, rest) = old.split_at(old.find('\n').unwrap() + 1);
        let before = world(first, rest);
        let after = if at_front { world(&(new + first), rest) } else { world(first, &(rest.to_owned() + &new)) };
        let (mut moved, mut stayed) = (0, 0);
        for _ in 0..CLIENTS {
            let client = (IpAddr::from((random.next() as u32 & 0xffff_ff00 | 0x0100_0000).to_be_bytes()), 24);
            match (chosen(&before, client), chosen(&after, client)) {
                (old, new) if old == new => stayed += 1,
                (_, Some(new)) if new == REGIONS + 1 => moved += 1,
                (old, new) => panic!("seed {seed}, order {order}: {client:?} went from {old:?} to {new:?}"),
            }
        }
        assert!(stayed > 0 && (moved > 0 || order == "nearest"), "seed {seed}: {moved} moved, {stayed} stayed");
    }
}

/// The region that a client is answered from, where the answer is its own and no draw.
fn chosen(world: &World, client: (IpAddr, u8)) -> Option<u64> {
    let (outcome, reply) = world.ask(&asked(client, "A"));
    if draws(&outcome, world) {
        return None;
    }
    reply.addresses().first().copied().and_then(region_of)
}

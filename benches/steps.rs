//! What the steps of an answer take, one by one, for the kinds of question of `benches/answer.rs`: criterion tells the spread, and what has
//! changed since the last run. It never holds anybody to a time: that is for `benches/budget.sh`, which counts.
//!
//! `cargo bench --bench steps`, or with a part of a name behind it, as `cargo bench --bench steps -- decide`.

mod common;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use common::{Extra, NETWORKS, queries};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meridian::answer::{Ask, Transport, answer};
use meridian::daemon::prepare;
use meridian::geo::Family;
use meridian::health::HealthView;
use meridian::snapshot::Snapshot;
use meridian::steer::balance::Turns;
use meridian::steer::decide::{Client, NoTrace, Question, decide, plain};
use meridian::wire::cookie::Secret;
use meridian::wire::qname::QName;
use meridian::wire::usual::{Usual, UsualName};
use meridian::wire::{query, rtype};
use meridian::zone::SteeringId;
use meridian::zone::lookup::Match;

const SUBNET: &[Extra] = &[Extra::SubnetV4];

/// Names of `benches/world`, each with a client subnet or without.
const NAMES: [(&str, &[Extra]); 6] = [
    ("geo.example.com.", SUBNET),
    ("three.example.com.", SUBNET),
    ("several.example.com.", SUBNET),
    ("www.example.com.", &[]),
    ("x.apps.example.com.", &[]),
    ("missing.example.com.", &[]),
];

/// The world of the benches, with all regions up.
fn world() -> Snapshot {
    let compiled = prepare(Path::new("benches/world/meridian.yaml"), None).unwrap_or_else(|found| panic!("{found}")).compiled;
    let health = Arc::new(HealthView::all_up(&compiled.layout));
    Snapshot { catalog: compiled.catalog, health, generation: 1 }
}

/// Octets to a question: the short way's reading, and the general one with the name in lower case.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, subnet) in [("geo.example.com.", SUBNET), ("www.example.com.", &[])] {
        let queries = queries(name, subnet);
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("usual", name), |bench| {
            bench.iter(|| {
                turn = (turn + 1) % NETWORKS;
                let mut name = UsualName::default();
                Usual::read(black_box(&queries[turn]), &mut name).map(|usual| (usual.qtype, name.hash()))
            });
        });
        group.bench_function(BenchmarkId::new("general", name), |bench| {
            bench.iter(|| {
                turn = (turn + 1) % NETWORKS;
                let query = query::parse(black_box(&queries[turn])).expect("a good query");
                let mut name = QName::<272>::default();
                name.read_raw(query.question.raw);
                name.hash()
            });
        });
    }
}

/// A name to what a zone has for it.
fn find(criterion: &mut Criterion) {
    let world = world();
    let mut group = criterion.benchmark_group("find");
    for (name, subnet) in NAMES {
        let message = queries(name, subnet).remove(0);
        let mut qname = UsualName::default();
        Usual::read(&message, &mut qname).expect("a usual question");
        group.bench_function(name, |bench| bench.iter(|| world.catalog.zones.find(black_box(&qname), rtype::A).map(|found| found.zone_id)));
    }
}

/// A client to its place.
fn locate(criterion: &mut Criterion) {
    let world = world();
    let mut turn = 0_u32;
    criterion.bench_function("locate/IPv4", |bench| {
        bench.iter(|| {
            turn = turn.wrapping_add(0x0101_0101);
            world.catalog.table.locate(black_box(Ipv4Addr::from_bits(turn).into()), 32).place
        });
    });
}

/// A client and the health of this moment to addresses.
fn decisions(criterion: &mut Criterion) {
    let world = world();
    let catalog = &*world.catalog;
    let turns = Turns::new(catalog.turn_slots);
    let mut group = criterion.benchmark_group("decide");
    for (name, _) in &NAMES[..3] {
        let id = steering(&world, name);
        let steering = &catalog.steerings[id.0 as usize];
        let family = steering.family(Family::V4).expect("regions with IPv4");
        let mut turn = 0_u32;
        let mut question = || {
            turn = turn.wrapping_add(0x0101_0100);
            let client = Client { address: IpAddr::V4(Ipv4Addr::from_bits(turn & !0xff)), source_length: 24, peer: [127, 0, 0, 1].into() };
            let (table, health, hash_floor) = (&*catalog.table, &*world.health, catalog.settings.hash_floor);
            Question { steering, family, table, health, hash_floor, client, turns: &turns, seed: u64::from(turn), now_ms: 0 }
        };
        group.bench_function(BenchmarkId::new("plain", name), |bench| {
            bench.iter(|| {
                let Question { table, hash_floor, health, seed, client, .. } = black_box(question());
                let put = |address| {
                    black_box(address);
                    Some(())
                };
                plain((steering, family), (table, hash_floor), health, (client.address, client.source_length), (&turns, seed), put)
            });
        });
        group.bench_function(BenchmarkId::new("general", name), |bench| {
            bench.iter(|| decide(black_box(&question()), &mut NoTrace).addresses().count());
        });
    }
}

/// The steered name.
fn steering(world: &Snapshot, name: &str) -> SteeringId {
    let message = queries(name, &[]).remove(0);
    let mut qname = UsualName::default();
    Usual::read(&message, &mut qname).expect("a usual question");
    match world.catalog.zones.find(&qname, rtype::A).map(|found| found.matched) {
        Some(Match::Steered(id)) => id,
        _ => panic!("{name} is not steered"),
    }
}

/// All of it, without counters.
fn answers(criterion: &mut Criterion) {
    let world = world();
    let turns = Turns::new(world.catalog.turn_slots);
    let mut out = [0; 4096];
    let peer = SocketAddr::from(([127, 0, 0, 1], 53));
    let mut group = criterion.benchmark_group("answer");
    for (name, subnet) in NAMES {
        let queries = queries(name, subnet);
        let mut turn = 0;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                turn = (turn + 1) % NETWORKS;
                let secret = &Secret([0; 16]);
                let (transport, seed) = (Transport::Udp, turn as u64);
                let ask = Ask { bytes: &queries[turn], peer, local: peer, transport, now_ms: 0, wall_s: 0, secret, seed, turns: &turns };
                answer(&world, black_box(&ask), &mut out).len
            });
        });
    }
}

criterion_group!(steps, read, find, locate, decisions, answers);
criterion_main!(steps);

//! The cost of one answer, without sockets: nanoseconds a query per kind of question, or instructions under callgrind.
//!
//! `cargo bench --bench answer` prints nanoseconds. For instructions run the built binary twice with different counts:
//! `valgrind --tool=callgrind BINARY --only steered --count 20000`, and divide the difference by that of the counts.

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use meridian::answer::{Ask, Transport, Turns, answer};
use meridian::daemon::prepare;
use meridian::health::HealthView;
use meridian::snapshot::Snapshot;

/// Kind, name and whether a client subnet is sent; names of the sample in `zones/`.
const KINDS: [(&str, &str, bool); 4] = [
    ("steered", "www.example.com.", true),
    ("shared", "global.example.com.", true),
    ("static", "static.example.com.", false),
    ("missing", "missing.example.com.", false),
];

struct Args {
    config: PathBuf,
    only: Option<String>,
    name: Option<String>,
    count: u32,
}

fn main() {
    let args = args();
    let prepared = prepare(&args.config, None).unwrap_or_else(|found| panic!("{found}"));
    let health = Arc::new(HealthView::all_up(&prepared.compiled.layout));
    let world = Snapshot { catalog: prepared.compiled.catalog, health, generation: 1 };
    for (kind, name, subnet) in KINDS {
        if args.only.as_deref().is_none_or(|only| only == kind) {
            let queries = queries(args.name.as_deref().unwrap_or(name), subnet);
            println!("{kind:<10} {:8.1} ns", run(&world, &queries, args.count));
        }
    }
}

fn args() -> Args {
    let mut args = Args { config: "zones/meridian.yaml".into(), only: None, name: None, count: 1_000_000 };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{flag} needs a value"));
        match flag.as_str() {
            "--config" => args.config = value().into(),
            "--only" => args.only = Some(value()),
            "--name" => args.name = Some(value()),
            "--count" => args.count = value().parse().unwrap_or_else(|error| panic!("--count: {error}")),
            // Cargo passes flags of its own harness.
            _ => {}
        }
    }
    args
}

/// One query for each of 256 networks spread over the unicast space.
fn queries(name: &str, subnet: bool) -> Vec<Vec<u8>> {
    let query = |octet: u8| {
        let mut message = Message::new(u16::from(octet), MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap_or_else(|error| panic!("{error}")), RecordType::A));
        if subnet {
            let mut edns = Edns::new();
            let network = [octet % 223 + 1, octet, octet, 0].into();
            edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(network, 24, 0)));
            message.set_edns(edns);
        }
        message.to_vec().unwrap_or_else(|error| panic!("{error}"))
    };
    (0..=255).map(query).collect()
}

/// Nanoseconds a query.
fn run(world: &Snapshot, queries: &[Vec<u8>], count: u32) -> f64 {
    let turns = Turns::new(world.catalog.turn_slots);
    let address = SocketAddr::from(([127, 0, 0, 1], 53));
    let mut out = [0; 4096];
    let start = Instant::now();
    for seed in 0..u64::from(count) {
        let bytes = &queries[seed as usize % queries.len()];
        let ask = Ask { bytes, peer: address, local: address, transport: Transport::Udp, now_ms: 0, seed, turns: &turns };
        black_box(answer(black_box(world), &ask, &mut out));
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

//! The cost of one answer, without sockets: nanoseconds a query per kind of question, or instructions under callgrind.
//! It never measures the server's own loop: [`one`] is all that is counted, a worker's answer with its counters.
//!
//! `cargo bench --bench answer` prints nanoseconds. `benches/budget.sh` counts instructions and compares them with `benches/budget.txt`.

mod common;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use common::{NETWORKS, queries};
use meridian::answer::Transport;
use meridian::daemon::prepare;
use meridian::geo::Access;
use meridian::health::HealthView;
use meridian::metrics::Registry;
use meridian::server::{Notes, NowMs, Shares, Worker};
use meridian::snapshot::{Kind, RateLimit, Shared, Snapshot};

/// A kind of question: a name of `benches/world`, asked in some way.
struct Question {
    kind: &'static str,
    name: &'static str,
    /// With client subnets of IPv4.
    subnet: bool,
    /// The peer.
    from: IpAddr,
    /// How many responses a second there may be.
    rate: Option<u32>,
}

impl Question {
    const fn of(kind: &'static str, name: &'static str, subnet: bool) -> Question {
        Question { kind, name, subnet, from: IpAddr::V4(Ipv4Addr::LOCALHOST), rate: None }
    }
}

const QUESTIONS: [Question; 9] = [
    Question::of("steered", "geo.example.com.", true),
    Question::of("shared", "three.example.com.", true),
    // Three endpoints in each region, in turn.
    Question::of("several", "several.example.com.", true),
    Question { from: IpAddr::V6(Ipv6Addr::new(0x2a00, 0x1450, 0, 0, 0, 0, 0, 1)), ..Question::of("ipv6", "geo.example.com.", false) },
    Question::of("static", "www.example.com.", false),
    Question::of("wildcard", "x.apps.example.com.", false),
    Question::of("missing", "missing.example.com.", false),
    // The same as `steered`, under a limit that is never reached, and under one that always is.
    Question { rate: Some(1_000_000), ..Question::of("rated", "geo.example.com.", true) },
    Question { rate: Some(1), ..Question::of("slipped", "geo.example.com.", true) },
];

struct Args {
    config: PathBuf,
    only: Option<String>,
    name: Option<String>,
    count: usize,
}

fn main() {
    let args = args();
    for Question { kind, name, subnet, from, rate } in QUESTIONS {
        if args.only.as_deref().is_none_or(|only| only == kind) {
            let mut worker = worker(&args.config, rate);
            let queries = queries(args.name.as_deref().unwrap_or(name), subnet);
            println!("{kind:<10} {:8.1} ns", run(&mut worker, SocketAddr::new(from, 53), &queries, args.count));
        }
    }
}

/// A worker of the only one that there is, with all regions up.
fn worker(config: &Path, rate: Option<u32>) -> Worker {
    let mut compiled = prepare(config, None).unwrap_or_else(|found| panic!("{found}")).compiled;
    let settings = &mut Arc::get_mut(&mut compiled.catalog).expect("nobody else has it").settings;
    settings.rate_limit = rate.map(|rate| RateLimit {
        responses: [Some(rate); Kind::ALL.len()],
        network: None,
        total: None,
        // Its clock stands still, so all that is answered is answered at once.
        window_s: 60,
        v4: 24,
        v6: 56,
        slip: 1,
        allow: Access::only([]),
        log_only: false,
        entries: 1 << 18,
    });
    let health = Arc::new(HealthView::all_up(&compiled.layout));
    let shared = Shared::new(Snapshot { catalog: compiled.catalog, health, generation: 1 });
    let now: NowMs = Arc::new(|| 0);
    Worker::new(&shared, &Registry::new(), &now).with_shares(Shares { of_address: 1, of_all: 1, notes: Notes::default() })
}

fn args() -> Args {
    let mut args = Args { config: "benches/world/meridian.yaml".into(), only: None, name: None, count: 1_000_000 };
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

/// Nanoseconds a query.
fn run(worker: &mut Worker, from: SocketAddr, queries: &[Vec<u8>], count: usize) -> f64 {
    let mut out = [0; 4096];
    let start = Instant::now();
    for round in 0..count {
        black_box(one(worker, from, &queries[round % NETWORKS], &mut out));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// What callgrind counts: a function of its own, whose name `budget.sh` knows.
#[inline(never)]
fn one(worker: &mut Worker, from: SocketAddr, query: &[u8], out: &mut [u8]) -> usize {
    worker.answer(query, from, from, Transport::Udp, out)
}

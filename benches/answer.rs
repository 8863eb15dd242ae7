//! The cost of one answer, without sockets: nanoseconds a query per kind of question, or instructions under callgrind.
//! It never measures the server's own loop: [`one`] is all that is counted, a worker's answer with its counters.
//!
//! `cargo bench --bench answer` prints nanoseconds. `benches/budget.sh` counts instructions and compares them with `benches/budget.txt`.

mod common;

use std::hint::black_box;
use std::net::SocketAddr;
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

/// Kind, name, whether a client subnet is sent, and how many responses a second there may be; names of `benches/world`.
const KINDS: [(&str, &str, bool, Option<u32>); 8] = [
    ("steered", "geo.example.com.", true, None),
    ("shared", "three.example.com.", true, None),
    // Three endpoints in each region, in turn.
    ("several", "several.example.com.", true, None),
    ("static", "www.example.com.", false, None),
    ("wildcard", "x.apps.example.com.", false, None),
    ("missing", "missing.example.com.", false, None),
    // The same as `steered`, under a limit that is never reached, and under one that always is.
    ("rated", "geo.example.com.", true, Some(1_000_000)),
    ("slipped", "geo.example.com.", true, Some(1)),
];

struct Args {
    config: PathBuf,
    only: Option<String>,
    name: Option<String>,
    count: usize,
}

fn main() {
    let args = args();
    for (kind, name, subnet, rate) in KINDS {
        if args.only.as_deref().is_none_or(|only| only == kind) {
            let mut worker = worker(&args.config, rate);
            let queries = queries(args.name.as_deref().unwrap_or(name), subnet);
            println!("{kind:<10} {:8.1} ns", run(&mut worker, &queries, args.count));
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
fn run(worker: &mut Worker, queries: &[Vec<u8>], count: usize) -> f64 {
    let mut out = [0; 4096];
    let start = Instant::now();
    for round in 0..count {
        black_box(one(worker, &queries[round % NETWORKS], &mut out));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// What callgrind counts: a function of its own, whose name `budget.sh` knows.
#[inline(never)]
fn one(worker: &mut Worker, query: &[u8], out: &mut [u8]) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], 53));
    worker.answer(query, address, address, Transport::Udp, out)
}

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

use common::{Extra, NETWORKS, queries};
use meridian::answer::Transport;
use meridian::clock::Clock;
use meridian::daemon::prepare;
use meridian::geo::{Access, Prefix};
use meridian::health::HealthView;
use meridian::metrics::Registry;
use meridian::server::{Notes, NowMs, Shares, Worker};
use meridian::snapshot::{Kind, RateLimit, Shared, Snapshot};
use meridian::wire::cookie::{Cookie, Secret};

/// A kind of question: a name of `benches/world`, asked in some way.
struct Question {
    kind: &'static str,
    name: &'static str,
    extras: &'static [Extra],
    /// The peer.
    from: IpAddr,
    /// With a cookie that is good.
    cookie: bool,
    guards: Guards,
}

/// What keeps abusers away.
#[derive(Clone, Copy)]
struct Guards {
    /// How many responses a second there may be.
    rate: Option<u32>,
    /// Only some networks may ask.
    access: bool,
}

const OPEN: Guards = Guards { rate: None, access: false };

/// Never reached.
const HIGH: Option<u32> = Some(1_000_000);

impl Question {
    const fn of(kind: &'static str, name: &'static str) -> Question {
        Question { kind, name, extras: &[], from: IpAddr::V4(Ipv4Addr::LOCALHOST), cookie: false, guards: OPEN }
    }

    const fn from_subnets(kind: &'static str, name: &'static str) -> Question {
        Question { extras: &[Extra::SubnetV4], ..Question::of(kind, name) }
    }
}

const QUESTIONS: [Question; 13] = [
    Question::from_subnets("steered", "geo.example.com."),
    Question::from_subnets("shared", "three.example.com."),
    // Three endpoints in each region, in turn.
    Question::from_subnets("several", "several.example.com."),
    Question { from: IpAddr::V6(Ipv6Addr::new(0x2a00, 0x1450, 0, 0, 0, 0, 0, 1)), ..Question::of("ipv6", "geo.example.com.") },
    Question { extras: &[Extra::SubnetV6], ..Question::of("subnet6", "geo.example.com.") },
    Question::of("static", "www.example.com."),
    Question::of("wildcard", "x.apps.example.com."),
    Question::of("missing", "missing.example.com."),
    // The same as `steered`, with a cookie; under a limit that is never reached, and under one that always is; with everything that keeps abusers
    // away; and from somebody who has a cookie on top of it.
    Question { cookie: true, ..Question::from_subnets("cookie", "geo.example.com.") },
    Question { guards: Guards { rate: HIGH, ..OPEN }, ..Question::from_subnets("rated", "geo.example.com.") },
    Question { guards: Guards { rate: Some(1), ..OPEN }, ..Question::from_subnets("slipped", "geo.example.com.") },
    Question { guards: Guards { rate: HIGH, access: true }, ..Question::from_subnets("guarded", "geo.example.com.") },
    Question { cookie: true, guards: Guards { rate: HIGH, access: true }, ..Question::from_subnets("known", "geo.example.com.") },
];

/// What cookies are made with.
const SECRET: Secret = Secret(*b"sixteen octets..");

struct Args {
    config: PathBuf,
    only: Option<String>,
    name: Option<String>,
    count: usize,
}

fn main() {
    let args = args();
    let clock = Clock::system();
    for question in QUESTIONS {
        if args.only.as_deref().is_some_and(|only| only != question.kind) {
            continue;
        }
        let mut extras = question.extras.to_vec();
        if question.cookie {
            let cookie = Cookie { client: b"a client", server: &[] };
            extras.push(Extra::Cookie(cookie.renewed(&SECRET, question.from, clock.wall_s())));
        }
        let mut worker = worker(&args.config, question.guards).with_cookies(SECRET, clock.clone());
        let queries = queries(args.name.as_deref().unwrap_or(question.name), &extras);
        println!("{:<10} {:8.1} ns", question.kind, run(&mut worker, SocketAddr::new(question.from, 53), &queries, args.count));
    }
}

/// A worker of the only one that there is, with all regions up.
fn worker(config: &Path, guards: Guards) -> Worker {
    let mut compiled = prepare(config, None).unwrap_or_else(|found| panic!("{found}")).compiled;
    let settings = &mut Arc::get_mut(&mut compiled.catalog).expect("nobody else has it").settings;
    settings.rate_limit = guards.rate.map(|rate| RateLimit {
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
    settings.queries_from =
        guards.access.then(|| Access::only((1..=16).map(|net| Prefix::masked(Ipv4Addr::new(8 * net - 1, 0, 0, 0).into(), 8))));
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

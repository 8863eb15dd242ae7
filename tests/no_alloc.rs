//! The answer path allocates nothing: 1,000 answers of each kind are made under an allocator that counts for its thread.
//! Each kind's replies are read afterwards, so that the count cannot be zero by answering nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]
// The only way to see every allocation is to be the allocator, and that trait is unsafe to implement.
#![allow(unsafe_code, reason = "a global allocator that counts")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use common::folder::Folder;
use common::message::{OPTION_COOKIE, OPTION_ECS, OPTION_NSID, Query, Reply, query};
use common::world::{PEER, World};
use meridian::answer::{Class, Outcome, Reason, Transport};
use meridian::clock::{Clock, FakeClock};
use meridian::config::model::{LoggedName, QueryLog, QueryLogTo};
use meridian::geo::Prefix;
use meridian::health::view::ADMIT_ALL;
use meridian::health::{HealthView, PoolLayout, PoolOverflow};
use meridian::metrics::Registry;
use meridian::server::{Notes, Shares, Worker};
use meridian::snapshot::{Kind as Limited, Shared};
use meridian::wire::Rcode;

/// Counts the allocations of each thread, and hands everything on to the system's allocator.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Const and without a destructor, so that reading it allocates nothing itself.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed on as it came to `System`, which keeps the contract; the counter touches no memory of the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Freeing on the answer path would be as bad: something must have been allocated.
        count();
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A region that sheds whoever would come.
const ALL_SHED: PoolOverflow = PoolOverflow { shed: ADMIT_ALL, takes_overflow: true };

/// Answers of each kind.
const ANSWERS: usize = 1000;

const SERVER: &str = r#"
version: 1
listen: "127.0.0.1:0"
regions: regions.yaml
zones: "*.zone.yaml"
nsid: node-1
networks:
  10.1.0.0/16: {latitude: 53, longitude: -6}
  10.2.0.0/16: {latitude: 39, longitude: -77}
  10.3.0.0/16: {region: us}
  "2001:db8:1::/48": {latitude: 53, longitude: -6}
"#;

const REGIONS: &str = r#"
regions:
  eu:
    location: {latitude: 53.35, longitude: -6.26}
    services:
      web: [192.0.2.1, 192.0.2.2, "2001:db8:e::1", "2001:db8:e::2"]
      v4: [192.0.2.3]
      full: {endpoints: [192.0.2.4], capacity: 1000}
  us:
    location: {latitude: 38.95, longitude: -77.45}
    weight: 2
    services:
      web: {endpoints: [192.0.2.11, 192.0.2.12, "2001:db8:a::1"]}
      v4: [192.0.2.13]
      full: [192.0.2.14]
  ap:
    location: {latitude: 1.35, longitude: 103.82}
    weight: 0
    services: {web: [{address: 192.0.2.21, weight: 2}, {address: 192.0.2.22, weight: 3}]}
"#;

const ZONE: &str = r#"
zone: example.com
ns: [ns1, ns.example.net.]
records:
  ns1: {A: 192.0.2.53, AAAA: "2001:db8::53"}
  "@": {MX: ["10 mail.example.net.", "20 mail"], TXT: "v=spf1 -all"}
  mail: {A: 192.0.2.25}
  www: {steer: {service: web, balance: round-robin, regions: [eu, us], ttl: 30}}
  all: {steer: {service: web, ttl: 30}}
  shared: {steer: {service: web, order: any, balance: weighted, answers: 2}}
  random: {steer: {service: web, order: any, share: random, balance: weighted}}
  sticky: {steer: {service: web, balance: sticky, answers: 8}}
  backup: {steer: {service: web, order: priority, on_all_down: nodata, balance: weighted}}
  ruled: {steer: {service: web, rules: [{when: {network: 10.1.0.0/16}, prefer: ap}], balance: weighted}}
  v4: {steer: v4}
  full: {steer: full}
  "*.apps": {steer: {service: web, ttl: 30, balance: weighted}}
  "*.wild": {A: 192.0.2.99}
  a: {CNAME: b}
  b: {CNAME: c.wild}
  s: {CNAME: all}
  old: {DNAME: wild}
  grow: {DNAME: a-very-long-name-to-be-renamed-to.example.net.}
  deleg: {NS: [ns.deleg, ns2.deleg]}
  ns.deleg: {A: 192.0.2.54, AAAA: "2001:db8::54"}
  ns2.deleg: {A: 192.0.2.55}
  a.deep.ent: {A: 192.0.2.77}
"#;

/// A zone with an RRset that fits no datagram.
fn big_zone() -> String {
    let texts: Vec<String> = (0..20).map(|index| format!("\"{}{index}\"", "x".repeat(200))).collect();
    format!("zone: big.example\nns: [ns1]\nrecords:\n  ns1: {{A: 192.0.2.53}}\n  big: {{TXT: [{}]}}\n", texts.join(", "))
}

fn world() -> World {
    let big = big_zone();
    let files = [("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE), ("big.zone.yaml", &big)];
    World::of("no-alloc", &files)
}

/// What an answer of a kind must be.
struct Expected {
    class: Class,
    rcode: Rcode,
    /// Records in answer and authority.
    records: (usize, usize),
    /// None: not looked at.
    reason: Option<Reason>,
}

/// What is asked in the turn with a number.
type Ask = Box<dyn Fn(usize) -> Vec<u8>>;

/// One kind of answer.
struct Kind {
    name: &'static str,
    peer: IpAddr,
    transport: Transport,
    ask: Ask,
    expected: Expected,
}

fn kind(name: &'static str, ask: impl Fn(usize) -> Query + 'static, expected: Expected) -> Kind {
    raw_kind(name, move |turn| ask(turn).octets(), expected)
}

fn raw_kind(name: &'static str, ask: impl Fn(usize) -> Vec<u8> + 'static, expected: Expected) -> Kind {
    Kind { name, peer: PEER, transport: Transport::Udp, ask: Box::new(ask), expected }
}

impl Kind {
    fn from(self, peer: IpAddr) -> Kind {
        Kind { peer, ..self }
    }

    fn over_tcp(self) -> Kind {
        Kind { transport: Transport::Tcp, ..self }
    }
}

fn positive(answers: usize) -> Expected {
    Expected { class: Class::Positive, rcode: Rcode::NOERROR, records: (answers, 0), reason: None }
}

fn steered(answers: usize, reason: Reason) -> Expected {
    Expected { reason: Some(reason), ..positive(answers) }
}

fn nodata() -> Expected {
    Expected { class: Class::NoData, records: (0, 1), ..positive(0) }
}

fn error(rcode: Rcode) -> Expected {
    Expected { class: Class::Error, rcode, ..positive(0) }
}

/// A client in Europe, another one each turn.
fn eu(turn: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a01_0000 + ((turn as u32 * 65) & 0xffff)))
}

/// A client that geo data of every sort speaks of: all over IPv4.
fn anywhere(turn: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits((turn as u32).wrapping_mul(0x9e37_79b1)))
}

/// The same over IPv6, the blocks with IPv4 inside among them.
fn anywhere_v6(turn: usize) -> IpAddr {
    let random = (turn as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let block: u128 = [0x2001 << 112, 0x2002 << 112, 0x64_ff9b << 96, 0xffff << 32, 0x2a00 << 112][turn % 5];
    let free = [112, 112, 32, 32, 112][turn % 5];
    IpAddr::V6(Ipv6Addr::from_bits(block | random & ((1 << free) - 1)))
}

fn while_all_is_up() -> Vec<Kind> {
    let ecs = |name: &'static str, qtype: &'static str| move |turn| query(name, qtype).ecs(eu(turn), 24);
    let refused = || Expected { class: Class::Refused, rcode: Rcode::REFUSED, ..positive(0) };
    let referral = || Expected { class: Class::Referral, rcode: Rcode::NOERROR, records: (0, 2), reason: None };
    vec![
        kind("steered A with ECS", ecs("www.example.com", "A"), steered(1, Reason::Order)),
        kind("steered AAAA with ECS", ecs("www.example.com", "AAAA"), steered(1, Reason::Order)),
        kind("steered A without ECS", |_| query("www.example.com", "A").edns(1232), steered(1, Reason::Listed)),
        kind("steered A without EDNS", |_| query("www.example.com", "A"), steered(1, Reason::Order)).from(eu(7)),
        kind("steered A over TCP", ecs("www.example.com", "A"), steered(1, Reason::Order)).over_tcp(),
        kind(
            "pinned",
            |turn| query("www.example.com", "A").ecs(Ipv4Addr::new(10, 3, turn as u8, 0).into(), 24),
            steered(1, Reason::Pinned),
        ),
        kind("by a rule", ecs("ruled.example.com", "A"), steered(1, Reason::Rule)),
        kind("anywhere in IPv4", |turn| query("all.example.com", "A").ecs(anywhere(turn), 32), positive(1)),
        kind("anywhere in IPv6", |turn| query("all.example.com", "AAAA").ecs(anywhere_v6(turn), 56), positive(1)),
        kind("shared band", ecs("shared.example.com", "A"), steered(2, Reason::Shared)),
        kind("shared at random", ecs("random.example.com", "A"), steered(1, Reason::Shared)),
        kind("sticky", ecs("sticky.example.com", "A"), steered(2, Reason::Order)),
        kind("steered wildcard", ecs("x.y.apps.example.com", "A"), steered(1, Reason::Order)),
        kind("steered behind a CNAME", ecs("s.example.com", "A"), steered(2, Reason::Order)),
        kind("NODATA at a steered name", ecs("www.example.com", "MX"), nodata()),
        kind("NODATA of a family", ecs("v4.example.com", "AAAA"), nodata()),
        kind("NODATA at an empty non-terminal", ecs("ent.example.com", "A"), nodata()),
        kind(
            "NXDOMAIN",
            ecs("no.such.name.example.com", "A"),
            Expected { class: Class::NameError, rcode: Rcode::NXDOMAIN, records: (0, 1), reason: None },
        ),
        kind("static", |_| query("example.com", "MX"), positive(2)),
        kind("SOA", |_| query("ExAmPlE.cOm", "SOA").edns(4096), positive(1)),
        kind("wildcard", |_| query("some.wild.example.com", "A").edns(512), positive(1)),
        kind("CNAME chain", ecs("a.example.com", "A"), positive(3)),
        kind("DNAME chain", ecs("x.old.example.com", "A"), positive(3)),
        kind(
            "DNAME of a name that is too long",
            |_| query(&format!("{}grow.example.com", "x.".repeat(115)), "A"),
            Expected { records: (1, 0), ..error(Rcode::YXDOMAIN) },
        ),
        kind("referral", |_| query("host.deleg.example.com", "A"), referral()),
        kind("referral with DO", |_| query("deleg.example.com", "NS").edns_flags(0x8000), referral()),
        kind("ANY", |_| query("www.example.com", "ANY"), positive(1)),
        kind("CH", |_| query("version.bind", "TXT").class(3), positive(1)),
        kind("subnet of IPv6", |_| query("www.example.com", "A").ecs("2001:218::".parse().unwrap(), 56), steered(1, Reason::Order)),
        kind("cookie", |_| query("mail.example.com", "A").option(OPTION_COOKIE, &[7; 8]), positive(1)),
        kind("NSID and a cookie", |_| query("mail.example.com", "A").option(OPTION_NSID, &[]).option(OPTION_COOKIE, &[7; 8]), positive(1)),
        kind("REFUSED", ecs("www.example.net", "A"), refused()),
        kind("REFUSED by type", |_| query("example.com", "AXFR"), refused()).over_tcp(),
        kind("REFUSED by class", |_| query("example.com", "A").class(4), refused()),
        kind("FORMERR by type", |_| query("example.com", "OPT"), error(Rcode::FORMERR)),
        raw_kind("FORMERR by form", |_| query("example.com", "A").octets()[..20].to_vec(), error(Rcode::FORMERR)),
        kind("malformed ECS", |_| query("www.example.com", "A").option(OPTION_ECS, &[0, 1, 24, 0, 10, 1]), error(Rcode::FORMERR)),
        kind("NOTIMP by type", |_| query("example.com", "MAILB"), error(Rcode::NOTIMP)),
        kind("NOTIMP by opcode", |_| query("example.com", "A").flags(0x2000), error(Rcode::NOTIMP)),
        kind("BADVERS", |_| query("example.com", "A").version(1), error(Rcode::BADVERS)),
        kind("truncated", |_| query("big.big.example", "TXT").edns(1232), positive(0)),
        kind("large over TCP", |_| query("big.big.example", "TXT"), positive(20)).over_tcp(),
        raw_kind("dropped", |_| vec![0x80; 12], Expected { class: Class::Dropped, ..positive(0) }),
    ]
}

fn while_eu_is_down() -> Vec<Kind> {
    let ecs = |name: &'static str| move |turn| query(name, "A").ecs(eu(turn), 24);
    vec![
        kind("failover", ecs("www.example.com"), steered(1, Reason::Failover)),
        kind("failover in a shared band", ecs("shared.example.com"), steered(2, Reason::Failover)),
        kind("failover by priority", ecs("backup.example.com"), steered(1, Reason::Failover)),
    ]
}

fn while_eu_is_full() -> Vec<Kind> {
    let ecs = |name: &'static str| move |turn| query(name, "A").ecs(eu(turn), 24);
    vec![
        kind("overflow", ecs("full.example.com"), steered(1, Reason::Overflow)),
        kind("beside an overflow", ecs("www.example.com"), steered(1, Reason::Order)),
    ]
}

fn while_all_is_down() -> Vec<Kind> {
    let ecs = |name: &'static str| move |turn| query(name, "A").ecs(eu(turn), 24);
    vec![
        kind("fail open", ecs("www.example.com"), steered(1, Reason::FailOpen)),
        kind("fail open, sticky", ecs("sticky.example.com"), steered(2, Reason::FailOpen)),
        kind("NODATA by health", ecs("backup.example.com"), Expected { reason: Some(Reason::NoData), ..nodata() }),
    ]
}

#[test]
fn a_thousand_answers_of_each_kind_allocate_nothing() {
    let mut world = world();
    while_all_is_up().iter().for_each(|kind| answer_all(&world, kind));
    let of = |pool: &PoolLayout| if *pool.key.region == *"eu" && *pool.key.service == *"full" { ALL_SHED } else { PoolOverflow::NONE };
    let overflow = world.compiled.layout.pools.iter().map(of).collect();
    world.publish(HealthView::clone(&world.snapshot.health).with_overflow(overflow));
    while_eu_is_full().iter().for_each(|kind| answer_all(&world, kind));
    world.down(&["eu"]);
    while_eu_is_down().iter().for_each(|kind| answer_all(&world, kind));
    world.measure(|_| true);
    while_all_is_down().iter().for_each(|kind| answer_all(&world, kind));
}

/// What a worker does beside: it holds the world, counts, leaves samples for the query log, and changes worlds when only health has changed.
#[test]
fn a_worker_allocates_nothing_either() {
    let mut world = world();
    let shared = Shared::new(std::mem::take(&mut world.snapshot));
    let registry = Registry::new();
    let now: meridian::server::NowMs = Arc::new(|| 1_800_000_000);
    let folder = Folder::with("no-alloc-log", &[]);
    let to = QueryLogTo::Json(folder.join("queries.jsonl"));
    // Each query is read again to see whether it is wanted.
    let names = [false, true].map(|is_below| LoggedName { name: meridian::name::Name::root(), is_below }).to_vec();
    let settings = QueryLog { to, sample: 2, answers: vec![], zones: vec![], clients: vec![Prefix::ALL_V4], names, identity: vec![] };
    let log = meridian::querylog::QueryLog::start(&settings, shared.clone(), Clock::system()).unwrap();
    let mut worker = Worker::new(&shared, &registry, &now).with_tap(Some(log.taps().tap()));
    let queries: Vec<Vec<u8>> = (0..ANSWERS).map(|turn| query("all.example.com", "A").ecs(anywhere(turn), 24).octets()).collect();
    let mut out = vec![0; 1232];
    let (peer, local) = (SocketAddr::new(PEER, 1), SocketAddr::new(PEER, 53));
    world.measure(|endpoint| endpoint.region == "eu");
    // Two answers from each world; the replaced one is held here, as the keeper holds it, so that the worker frees nothing.
    let next = Arc::new(std::mem::take(&mut world.snapshot));
    let mut replaced = None;
    let before = ALLOCATIONS.get();
    let mut octets = 0;
    for (turn, query) in queries.iter().enumerate() {
        if turn == ANSWERS / 2 {
            replaced = Some(shared.publish(Arc::clone(&next)));
        }
        worker.begin_batch();
        worker.read_ahead(queries.iter().map(|query| (&query[..], PEER)));
        octets += worker.answer(query, peer, local, Transport::Udp, &mut out);
    }
    let allocations = ALLOCATIONS.get() - before;
    let taps = log.taps();
    drop(log);
    assert_eq!(taps.written() + taps.dropped(), ANSWERS as u64 / 2, "every other answer is a sample");
    assert!(replaced.is_some());
    assert_eq!(registry.totals().answers(Class::Positive), ANSWERS as u64);
    assert!(registry.totals().decisions(Reason::Failover) > 0, "the second world was not used");
    assert!(octets > ANSWERS * 50, "{octets} octets");
    assert_eq!(allocations, 0);
}

#[test]
fn a_worker_that_limits_rates_and_gives_cookies_allocates_nothing_either() {
    let (server, big) = (format!("{SERVER}rate_limit: {{responses: 5, window: 1s, slip: 2}}\n"), big_zone());
    let files = [("meridian.yaml", &*server), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE), ("big.zone.yaml", &*big)];
    let shared = Shared::new(World::of("no-alloc-limits", &files).snapshot);
    let (registry, clock) = (Registry::new(), FakeClock::new());
    let hands = clock.clock();
    let now: meridian::server::NowMs = Arc::new(move || hands.now_ms());
    let shares = Shares { of_address: 1, of_all: 1, notes: Notes::default() };
    let mut worker = Worker::new(&shared, &registry, &now).with_shares(shares);
    let plain = |turn| query("all.example.com", "A").ecs(anywhere(turn), 24);
    let with_cookie = |turn| plain(turn).option(OPTION_COOKIE, &[7; 8]);
    let queries: Vec<Vec<u8>> = (0..ANSWERS).map(|turn| if turn % 2 == 0 { plain(turn) } else { with_cookie(turn) }.octets()).collect();
    let mut out = vec![0; 1232];
    let local = SocketAddr::new(PEER, 53);
    let before = ALLOCATIONS.get();
    for (turn, query) in queries.iter().enumerate() {
        // Ten seconds in all: what is held back is told meanwhile.
        clock.advance(std::time::Duration::from_millis(10));
        worker.begin_batch();
        let peer = SocketAddr::from(([192, 0, 2 + turn as u8 % 4, 1], 1));
        worker.answer(query, peer, local, Transport::Udp, &mut out);
    }
    let allocations = ALLOCATIONS.get() - before;
    let totals = registry.totals();
    assert!(totals.limited(Limited::Steered) > totals.slipped(Limited::Steered) && totals.slipped(Limited::Steered) > 100);
    assert!(totals.responses(23) > 50, "BADCOOKIE");
    assert_eq!(allocations, 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(7_u8)))), 2);
    assert_eq!(allocations_of(|| ()), 0);
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Makes all answers of a kind and counts, then looks at what they were.
fn answer_all(world: &World, kind: &Kind) {
    let queries: Vec<Vec<u8>> = (0..ANSWERS).map(&kind.ask).collect();
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(ANSWERS);
    let mut out = vec![0; if kind.transport == Transport::Tcp { 65_535 } else { 1232 }];
    // Not one answer before, so that the first of a kind is counted too.
    let allocations = allocations_of(|| {
        for query in &queries {
            outcomes.push(world.answer_into(kind.peer, kind.transport, query, &mut out));
        }
    });
    assert_eq!(allocations, 0, "{}: {ANSWERS} answers made {allocations} allocations", kind.name);
    assert_eq!(outcomes.len(), ANSWERS);
    for (query, outcome) in queries.iter().zip(&outcomes) {
        let expected = &kind.expected;
        assert_eq!((outcome.class, outcome.rcode), (expected.class, expected.rcode), "{}", kind.name);
        assert!(expected.reason.is_none_or(|reason| reason == outcome.reason), "{}: {:?}", kind.name, outcome.reason);
        let (again, octets) = world.ask_octets(kind.peer, kind.transport, query);
        assert_eq!((again.len, again.class), (outcome.len, outcome.class), "{}", kind.name);
        assert_eq!(octets.is_empty(), expected.class == Class::Dropped, "{}", kind.name);
        if !octets.is_empty() {
            let reply = Reply::read(&octets);
            let records = (reply.message.answers.len(), reply.message.authorities.len());
            assert_eq!((reply.rcode(), records), (expected.rcode.0, expected.records), "{}: {:?}", kind.name, reply.answers());
            assert_eq!(reply.is_truncated(), kind.name == "truncated", "{}", kind.name);
        }
    }
}

//! Steering by scenario: each folder below tests/cases/steering holds a small configuration and what its clients must be answered.
//! The answers come through `load`, `compile` and `answer`; a new scenario is a new folder, nothing here changes.
//!
//! A line of `expect.txt` is a question and, behind `->`, its answer; `#` begins a comment.
//! ```text
//! client 10.1.2.0/24 A www.example.com -> 192.0.2.20 ttl 30 scope 16 reason order
//! peer 10.1.2.3 down eu-west A www.example.com -> 192.0.2.10 reason failover
//! client 10.1.0.0/16 A many.example.com -> each of 192.0.2.1 192.0.2.2
//! share A shared.example.com over 10.16.0.0/12 -> eu-west 33 us-east 67
//! moved A shared.example.com over 10.16.0.0/12 down eu-west
//! after 5s down eu-west
//! now client 10.1.2.0/24 A www.example.com -> 192.0.2.10 reason failover
//! load eu-west=900 us-east=20
//! share now A shared.example.com over 10.16.0.0/12 -> eu-west 33 us-east 67
//! counted -> failover 2 order 1 eu-west 1 us-east 2
//! ```
//! - `client NETWORK` is the client subnet (left out: none), `peer ADDRESS` who sent the packet (left out: 127.0.0.1);
//! - `down` takes regions, `REGION/v4`, `REGION/v6` and addresses that are measured down, separated by commas;
//! - an answer is the set of addresses, `nodata`, `nxdomain`, `servfail` or `refused`, and whichever of `ttl`, `scope`, `reason` and `region` are to be looked at
//!   (of a negative answer `ttl` is the SOA's);
//! - behind `data` stands the data of all records instead, of whatever type, with `_` for a space;
//! - `each of`: in many answers in a row every one of these comes first, and no other;
//! - `share`: of the clients in a network, one per /24 or /56, each region takes so many percent, to three points;
//! - `moved`: of these clients exactly those of the lost region get another, and all others keep theirs;
//! - `after`: time passes, and every probe finds what is named down and the rest up; a question that begins with `now`, or `share now`, is asked in
//!   the state that follows, all others in a world of their own;
//! - `drawn`: of many answers in a row each endpoint comes first in so many percent, to three points;
//! - `active`, in a line that begins with `after`: endpoints that say how much they work on, as `ADDRESS=NUMBER`, separated by commas;
//! - `load`: loads of regions or `REGION/SERVICE`, told once and valid for an hour; what is shed follows with time;
//! - `counted`: how often each reason and each region was counted for the answers of the lines above, by the server's own counters
//!   (`MERIDIAN_BLESS=1` writes these lines anew; read the difference before committing it).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::message::{Reply, parse_subnet, query};
use common::server::run;
use common::world::{Endpoint, PEER, World};
use meridian::answer::{Class, Outcome, Reason, Transport};
use meridian::health::book::HealthBook;
use meridian::health::overflow::MAX_LOAD_AGE_MS;
use meridian::health::{CapacityKey, Evidence, NodeId, Outcome as Probed, Overflow, PoolState, Report};
use meridian::metrics::{Counters, Grid, Registry};

const FOLDER: &str = "tests/cases/steering";

/// Fewer scenarios than this means that the folder was not found.
const MIN_SCENARIOS: usize = 30;

/// Lines of each scenario that `explain` is asked too: a process each.
const EXPLAINED_PER_SCENARIO: usize = 3;

/// Answers in a row for `each of`: enough that one of eight alike is missed once in 10^9 draws; seeds are fixed all the same.
const ANSWERS_IN_A_ROW: usize = 200;

/// Clients for `share` and `moved`, at most.
const CLIENTS: u32 = 4096;

/// How far a share may be off, in points of a percent; a standard deviation of 4,096 draws is 0.8 at most. Hashes are fixed, so this cannot flake.
const SHARE_TOLERANCE: f64 = 3.0;

#[test]
fn every_scenario_is_answered_as_expected() {
    let mut folders: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= MIN_SCENARIOS, "only {} scenarios", folders.len());
    let bless = std::env::var_os("MERIDIAN_BLESS").is_some();
    let mut failures = Vec::new();
    for folder in &folders {
        let mut scenario = Scenario::load(folder);
        let text = fs::read_to_string(folder.join("expect.txt")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (mut lines, mut blessed) = (0, text.clone());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            lines += 1;
            if bless && line.starts_with("counted ") {
                blessed = blessed.replace(line, &format!("counted -> {}", scenario.counted()));
            } else if let Err(found) = scenario.check(line) {
                failures.push(format!("{}:{number}: {line}\n    {found}", folder.join("expect.txt").display()));
            }
        }
        assert!(lines > 0, "{}: nothing is expected", folder.display());
        if bless {
            fs::write(folder.join("expect.txt"), blessed).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The runner must be able to fail: each kind of expectation, with something wrong in it.
#[test]
fn wrong_expectations_are_found() {
    let mut scenario = Scenario::load(Path::new("tests/cases/steering/share-hash"));
    for line in [
        "client 10.1.2.0/24 A www.example.com -> 192.0.2.99",
        "client 10.1.2.0/24 A www.example.com -> 192.0.2.10 192.0.2.20",
        "client 10.1.2.0/24 A www.example.com -> nodata",
        "client 10.1.2.0/24 MX www.example.com -> nxdomain",
        "client 10.1.2.0/24 MX www.example.com -> nodata ttl 7",
        "client 10.1.2.0/24 A even.example.com -> each of 192.0.2.10 192.0.2.20",
        "client 10.1.2.0/24 MX www.example.com -> nodata scope 24",
        "client 10.1.2.0/24 MX www.example.com -> nodata reason order",
        "share A even.example.com over 10.16.0.0/12 -> eu 100",
        "share A even.example.com over 10.16.0.0/12 -> eu 10 us 45 ap 45",
        "moved A first.example.com over 10.16.0.0/12 down us",
        "counted -> order 1",
    ] {
        assert!(scenario.check(line).is_err(), "{line}");
    }
}

/// `explain` asks the same code, so it must say the same: in each scenario the first lines that it can be asked.
#[test]
fn explain_says_what_is_answered() {
    let mut explained = 0;
    for folder in fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()) {
        let mut scenario = Scenario::load(&folder);
        let is_region = |scenario: &Scenario, down: &str| scenario.world.endpoints().iter().any(|endpoint| endpoint.region == down);
        let text = fs::read_to_string(folder.join("expect.txt")).unwrap();
        let lines =
            text.lines().filter_map(|line| line.split('#').next()?.split_once("->")).filter(|(_, answer)| !answer.contains("each of"));
        for (question, _) in lines.filter(|(question, _)| question.starts_with("client ")).take(EXPLAINED_PER_SCENARIO) {
            let asked = Asked::read(Words(question.split_whitespace().collect()));
            if !matches!(asked.qtype, "A" | "AAAA") || asked.peer != PEER || !asked.down.iter().all(|down| is_region(&scenario, down)) {
                continue;
            }
            let (outcome, reply) = scenario.ask(&asked);
            let config = folder.join("meridian.yaml");
            let client = question.split_whitespace().nth(1).unwrap();
            let mut arguments =
                vec!["explain", asked.name, "--type", asked.qtype, "--client", client, "--config", config.to_str().unwrap()];
            asked.down.iter().for_each(|down| arguments.extend(["--down", down]));
            let output = run(&arguments);
            let told = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(i32::from(outcome.class != Class::Positive)), "{arguments:?}\n{told}");
            let behind = |key: &'static str| told.lines().filter_map(move |line| line.strip_prefix(key)).map(str::trim);
            assert_eq!(behind("scope ").collect::<Vec<_>>(), [format!("/{}", reply.scope().unwrap())], "{arguments:?}\n{told}");
            assert_eq!(behind("reason ").collect::<Vec<_>>(), [outcome.reason.name()], "{arguments:?}\n{told}");
            let answers: BTreeSet<&str> = behind("answer ").filter_map(|record| record.split_whitespace().last()).collect();
            let addresses: Vec<String> = reply.addresses().iter().map(IpAddr::to_string).collect();
            assert!(addresses.iter().all(|address| answers.contains(address.as_str())), "{arguments:?}: {addresses:?}\n{told}");
            let chosen: Vec<&str> =
                told.lines().filter(|line| line.contains(", chosen")).filter_map(|line| line.split_whitespace().nth(1)).collect();
            assert_eq!(chosen, scenario.world.region(&outcome).into_iter().collect::<Vec<_>>(), "{arguments:?}\n{told}");
            let no_data = outcome.steering.is_some() && outcome.reason == Reason::NoData;
            assert_eq!(told.contains("all down  no data"), no_data, "{arguments:?}\n{told}");
            explained += 1;
        }
    }
    assert!(explained >= MIN_SCENARIOS, "{explained}");
}

struct Scenario {
    world: World,
    book: HealthBook,
    overflow: Overflow,
    now_ms: u64,
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    grid: Arc<Grid>,
}

impl Scenario {
    fn load(folder: &Path) -> Scenario {
        let world = World::load(&folder.join("meridian.yaml"));
        let book = HealthBook::new(Arc::clone(&world.compiled.layout), 0);
        let mut overflow = Overflow::default();
        overflow.reconcile(Arc::clone(&world.compiled.layout), 0);
        let registry = Registry::new();
        let (counters, grid) = (registry.counters(), registry.grid(&world.compiled.catalog, None));
        Scenario { world, book, overflow, now_ms: 0, registry, counters, grid }
    }

    /// `after 5s down us,eu`: what the probes find by then.
    fn pass_time(&mut self, mut step: Words<'_>) {
        let seconds: u64 = step.take("after").and_then(|text| text.strip_suffix('s')?.parse().ok()).expect("after SECONDSs");
        let down = list(step.take("down"));
        let active = list(step.take("active"));
        let active: BTreeMap<&str, u32> =
            active.iter().filter_map(|word| word.split_once('=')).map(|(of, n)| (of, n.parse().unwrap())).collect();
        assert!(step.0.is_empty(), "what is `{}`?", step.0.join(" "));
        self.now_ms += seconds * 1000;
        let layout = Arc::clone(&self.world.compiled.layout);
        // However many pools want to know.
        let mut probed = BTreeSet::new();
        for (endpoint, known) in layout.endpoints.iter().zip(self.world.endpoints()) {
            let is_down = down.iter().any(|down| *down == known.region || *down == known.address.to_string());
            let (outcome, evidence) = if is_down { (Probed::Failure, Evidence::Refused) } else { (Probed::Success, Evidence::Connected) };
            for target in endpoint.targets().filter(|target| probed.insert((*target).clone())) {
                let report = Report {
                    outcome,
                    evidence: evidence.clone(),
                    took_ms: 0,
                    active: active.get(known.address.to_string().as_str()).copied(),
                };
                self.book.report(NodeId::LOCAL, target, report, self.now_ms);
            }
        }
        self.book.tick(self.now_ms);
        let view = self.book.view();
        while let Some(due_ms) = self.overflow.next_step_ms().filter(|due_ms| *due_ms <= self.now_ms) {
            self.overflow.step(due_ms, |_, _| 0, |id| view.pool(id).state == PoolState::Available);
        }
    }

    /// `load us=900 eu/web=20`.
    fn take_loads(&mut self, loads: &Words<'_>) {
        for word in &loads.0[1..] {
            let (of, load) = word.split_once('=').expect("REGION=LOAD");
            let (region, service) = of.split_once('/').map_or((of, None), |(region, service)| (region, Some(service)));
            let key = CapacityKey { region: region.into(), service: service.map(Into::into) };
            self.overflow.push(&key, load.parse().unwrap(), MAX_LOAD_AGE_MS, self.now_ms).unwrap_or_else(|why| panic!("{word}: {why:?}"));
        }
    }

    /// Every reason and every region that was counted, in the order of their names.
    fn counted(&self) -> String {
        let totals = self.registry.totals();
        let reasons = Reason::ALL.iter().map(|reason| (reason.name().to_owned(), totals.decisions(*reason)));
        let catalog = &self.world.compiled.catalog;
        let of_region = |region: &str| catalog.services.iter().map(|service| totals.region_answers(service, region)).sum();
        let regions = catalog.regions.iter().map(|region| (region.name.clone(), of_region(&region.name)));
        let counts = reasons.chain(regions).filter(|(_, count)| *count > 0);
        counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(" ")
    }

    /// One line; the error says what was found.
    fn check(&mut self, line: &str) -> Result<(), String> {
        let (question, answer) = line.split_once("->").unwrap_or((line, ""));
        let (question, answer) = (Words(question.split_whitespace().collect()), Words(answer.split_whitespace().collect()));
        match question.0[0] {
            "drawn" => self.check_draws(question, answer),
            "share" => self.check_shares(question, answer),
            "moved" => self.check_moves(question),
            "counted" => same(&self.counted(), &answer.0.join(" "), "counters"),
            "load" => {
                self.take_loads(&question);
                Ok(())
            }
            "after" => {
                self.pass_time(question);
                Ok(())
            }
            _ => self.check_answer(question, answer),
        }
    }

    fn check_answer(&mut self, question: Words<'_>, mut answer: Words<'_>) -> Result<(), String> {
        let asked = Asked::read(question);
        let expected = Expected {
            ttl: answer.take("ttl").map(|text| text.parse().unwrap()),
            scope: answer.take("scope").map(|text| text.parse().unwrap()),
            reason: answer.take("reason"),
            region: answer.take("region"),
        };
        let rows = if answer.0.starts_with(&["each", "of"]) { ANSWERS_IN_A_ROW } else { 1 };
        let replies: Vec<(Outcome, Reply)> = (0..rows).map(|_| self.ask(&asked)).collect();
        for (outcome, _) in &replies {
            self.counters.count(Transport::Tcp, outcome);
            self.grid.count(outcome);
        }
        if rows > 1 {
            let wanted = addresses(&answer.0[2..]);
            let firsts: BTreeSet<IpAddr> = replies.iter().filter_map(|(_, reply)| reply.addresses().first().copied()).collect();
            same(&firsts, &wanted, "first addresses")?;
        } else {
            self.check_content(&replies[0].1, &answer)?;
        }
        for (outcome, reply) in &replies {
            self.check_details(outcome, reply, &expected)?;
        }
        self.check_scope_is_stable(&asked, &replies[0].1)
    }

    fn check_content(&self, reply: &Reply, answer: &Words<'_>) -> Result<(), String> {
        let rcode = match answer.0[..] {
            ["servfail"] => 2,
            ["nxdomain"] => 3,
            ["refused"] => 5,
            _ => 0,
        };
        same(&reply.rcode(), &rcode, "rcode")?;
        if let [first, data @ ..] = &answer.0[..]
            && *first == "data"
        {
            let found = reply.message.answers.iter().map(|record| record.data.to_string().replace(' ', "_")).collect::<BTreeSet<_>>();
            return same(&found, &data.iter().map(|text| (*text).to_owned()).collect(), "data");
        }
        let negative = matches!(answer.0[..], ["nodata" | "nxdomain"]);
        let wanted = if negative || rcode != 0 { BTreeSet::new() } else { addresses(&answer.0) };
        same(&reply.addresses().into_iter().collect(), &wanted, "addresses")?;
        same(&reply.addresses().len(), &wanted.len(), "number of addresses")?;
        same(&reply.soa_ttl().is_some(), &negative, "an SOA")
    }

    fn check_details(&self, outcome: &Outcome, reply: &Reply, expected: &Expected<'_>) -> Result<(), String> {
        let ttl = reply.soa_ttl().or(reply.ttl());
        expected.ttl.map_or(Ok(()), |wanted| same(&ttl, &Some(wanted), "ttl"))?;
        expected.scope.map_or(Ok(()), |wanted| same(&reply.scope(), &Some(wanted), "scope"))?;
        expected.reason.map_or(Ok(()), |wanted| same(&outcome.reason.name(), &wanted, "reason"))?;
        expected.region.map_or(Ok(()), |wanted| same(&self.world.region(outcome), &Some(wanted), "region"))
    }

    /// Health is no client input: the scope of an answer is what it is when all are up (BEHAVIOUR S4); negative answers have 0 (S6).
    fn check_scope_is_stable(&mut self, asked: &Asked<'_>, reply: &Reply) -> Result<(), String> {
        if asked.client.is_none() || asked.down.is_empty() {
            return same(&reply.scope().is_some(), &asked.client.is_some(), "a client subnet");
        }
        let (_, all_up) = self.ask(&Asked { down: Vec::new(), ..asked.clone() });
        let is_negative = reply.soa_ttl().is_some() || reply.rcode() != 0;
        let wanted = if is_negative { Some(0) } else { all_up.scope() };
        same(&reply.scope(), &wanted, "the scope while all are up")
    }

    fn ask(&mut self, asked: &Asked<'_>) -> (Outcome, Reply) {
        let is_down = |endpoint: &Endpoint| {
            let family = if endpoint.address.is_ipv4() { "v4" } else { "v6" };
            let words = [endpoint.region.clone(), format!("{}/{family}", endpoint.region), endpoint.address.to_string()];
            asked.down.iter().any(|down| words.contains(down))
        };
        for down in &asked.down {
            let known = |endpoint: &Endpoint| down.split('/').next() == Some(&endpoint.region) || *down == endpoint.address.to_string();
            assert!(self.world.endpoints().iter().any(known), "{down} is neither a region nor an endpoint");
        }
        match asked.now {
            true => self.world.publish(self.book.view().with_overflow(self.overflow.view())),
            false => self.world.measure(is_down),
        }
        let mut question = query(asked.name, asked.qtype);
        if let Some((address, length)) = asked.client {
            question = question.ecs(address, length);
        }
        self.world.ask_from(asked.peer, &question)
    }

    /// The region of each client in a network, one for each block that is hashed as one.
    fn regions(&mut self, now: bool, qtype: &str, name: &str, over: &str, down: &[String]) -> BTreeMap<IpAddr, String> {
        let mut regions = BTreeMap::new();
        for client in clients(over) {
            let asked = Asked { now, client: Some(client), peer: PEER, down: down.to_vec(), qtype, name };
            let (outcome, _) = self.ask(&asked);
            regions.insert(client.0, self.world.region(&outcome).unwrap_or("none").to_owned());
        }
        regions
    }

    fn check_shares(&mut self, mut question: Words<'_>, mut answer: Words<'_>) -> Result<(), String> {
        let over = question.take("over").unwrap();
        let down = list(question.take("down"));
        let now = question.0[1] == "now";
        let [qtype, name] = question.0[1 + usize::from(now)..] else { panic!("share TYPE NAME over NETWORK") };
        let regions = self.regions(now, qtype, name, over, &down);
        let total = regions.len() as f64;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        regions.values().for_each(|region| *counts.entry(region).or_default() += 1);
        let shares: BTreeMap<&str, f64> = counts.iter().map(|(region, count)| (*region, f64::from(*count) * 100.0 / total)).collect();
        let mut wanted: BTreeMap<&str, f64> = BTreeMap::new();
        while !answer.0.is_empty() {
            wanted.insert(answer.next(), answer.next().parse().unwrap());
        }
        let near = wanted.iter().all(|(region, percent)| (shares.get(region).unwrap_or(&0.0) - percent).abs() <= SHARE_TOLERANCE);
        let nobody_else = shares.keys().all(|region| wanted.contains_key(region));
        if near && nobody_else { Ok(()) } else { Err(format!("shares are {shares:.1?}")) }
    }

    fn check_draws(&mut self, mut question: Words<'_>, mut answer: Words<'_>) -> Result<(), String> {
        question.0.remove(0);
        let asked = Asked::read(question);
        let mut counts: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for _ in 0..CLIENTS {
            let first = self.ask(&asked).1.addresses()[0];
            *counts.entry(first).or_default() += 1;
        }
        let percent = |count: u32| f64::from(count) * 100.0 / f64::from(CLIENTS);
        let mut wanted: BTreeMap<IpAddr, f64> = BTreeMap::new();
        while !answer.0.is_empty() {
            wanted.insert(answer.next().parse().unwrap(), answer.next().parse().unwrap());
        }
        let near =
            |(address, share): (&IpAddr, &f64)| (percent(counts.get(address).copied().unwrap_or(0)) - share).abs() <= SHARE_TOLERANCE;
        let nobody_else = counts.keys().all(|address| wanted.contains_key(address));
        if wanted.iter().all(near) && nobody_else { Ok(()) } else { Err(format!("of {CLIENTS} answers {counts:?}")) }
    }

    fn check_moves(&mut self, mut question: Words<'_>) -> Result<(), String> {
        let over = question.take("over").unwrap();
        let lost = question.take("down").unwrap();
        let [_, qtype, name] = question.0[..] else { panic!("moved TYPE NAME over NETWORK down REGION") };
        let before = self.regions(false, qtype, name, over, &[]);
        let after = self.regions(false, qtype, name, over, &[lost.to_owned()]);
        let moved = before.iter().filter(|(client, region)| after[*client] != **region);
        let (of_the_lost, of_others): (Vec<_>, Vec<_>) = moved.partition(|(_, region)| *region == lost);
        let of_it = before.values().filter(|region| *region == lost).count();
        if of_it == 0 || !of_others.is_empty() || of_the_lost.len() != of_it {
            return Err(format!("{of_it} clients of {lost}, {} of them moved, and {} others", of_the_lost.len(), of_others.len()));
        }
        let heirs: BTreeSet<&String> = of_the_lost.iter().map(|(client, _)| &after[*client]).collect();
        let others = before.values().filter(|region| *region != lost).collect::<BTreeSet<_>>();
        same(&heirs, &others, "regions that take over")
    }
}

/// Who asks what, while what is down.
#[derive(Clone)]
struct Asked<'l> {
    /// In the state that time has brought.
    now: bool,
    client: Option<(IpAddr, u8)>,
    peer: IpAddr,
    down: Vec<String>,
    qtype: &'l str,
    name: &'l str,
}

impl<'l> Asked<'l> {
    fn read(mut question: Words<'l>) -> Asked<'l> {
        let now = question.0.first() == Some(&"now");
        if now {
            question.0.remove(0);
        }
        let asked = Asked {
            now,
            client: question.take("client").map(parse_subnet),
            peer: question.take("peer").map_or(PEER, |peer| peer.parse().unwrap_or_else(|_| panic!("{peer} is no address"))),
            down: list(question.take("down")),
            qtype: question.next(),
            name: question.next(),
        };
        assert!(question.0.is_empty(), "what is `{}`?", question.0.join(" "));
        asked
    }
}

/// What is looked at beside the content.
struct Expected<'l> {
    ttl: Option<u32>,
    scope: Option<u8>,
    reason: Option<&'l str>,
    region: Option<&'l str>,
}

/// The words of a line, taken out as they are understood.
struct Words<'l>(Vec<&'l str>);

impl<'l> Words<'l> {
    /// The word behind a key word; both are taken out.
    fn take(&mut self, key: &str) -> Option<&'l str> {
        let at = self.0.iter().position(|word| *word == key)?;
        self.0.remove(at);
        assert!(at < self.0.len(), "`{key}` wants a word behind it");
        Some(self.0.remove(at))
    }

    /// The first word.
    fn next(&mut self) -> &'l str {
        assert!(!self.0.is_empty(), "a word is missing");
        self.0.remove(0)
    }
}

/// Words between commas.
fn list(words: Option<&str>) -> Vec<String> {
    words.into_iter().flat_map(|words| words.split(',')).map(str::to_owned).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T, what: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {wanted:?}")) }
}

fn addresses(words: &[&str]) -> BTreeSet<IpAddr> {
    assert!(!words.is_empty(), "no answer is expected: say `nodata` if that is meant");
    words.iter().map(|word| word.parse().unwrap_or_else(|_| panic!("{word} is no address"))).collect()
}

/// Blocks of /24 or /56 in a network, spread over it.
fn clients(over: &str) -> Vec<(IpAddr, u8)> {
    let (network, length) = parse_subnet(over);
    let block = if network.is_ipv4() { 24 } else { 56 };
    let count = CLIENTS.min(1 << (block - length).min(31));
    let client = |index: u32| match network {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() + (index << 8))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() + (u128::from(index) << 72))),
    };
    (0..count).map(|index| (client(index), block)).collect()
}

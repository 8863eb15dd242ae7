//! The examples and the documentation, held to what they say: every configuration in them is loaded and compiled as `serve` would, every claim
//! about an answer is asked of the same `answer`, and every key that a file may have is documented. `docs/README.md` tells writers the marks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use meridian::answer::{Ask, Transport, Turns, answer};
use meridian::config::load;
use meridian::daemon::{Prepared, prepare};
use meridian::geo::Prefix;
use meridian::health::{HealthView, Measured};
use meridian::snapshot::Snapshot;
use meridian::wire::cookie::Secret;

/// Fewer examples than this means that the folder was not found.
const MIN_EXAMPLES: usize = 7;

/// Queries behind a claim about shares: the standard error is at most 0.8 %, and the clients and seeds are fixed, so nothing can flake.
const SHARE_QUERIES: u32 = 4000;

/// How far a share may be from the claimed one, in percent.
const SHARE_TOLERANCE: f64 = 2.0;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend([root().join("README.md"), root().join("ARCHITECTURE.md")]);
    pages.sort();
    pages
}

/// Folders of whole configurations.
fn examples() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = folders.filter(|folder| folder.join("meridian.yaml").is_file()).collect();
    assert!(folders.len() >= MIN_EXAMPLES, "only {} examples", folders.len());
    folders
}

#[test]
fn every_example_answers_as_its_readme_says() {
    let mut broken = String::new();
    for folder in examples() {
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let world = World::load(&folder.join("meridian.yaml"));
        let claims: Vec<String> = blocks(&readme).into_iter().filter(Block::is_claims).map(|block| block.text).collect();
        assert!(!claims.is_empty(), "{} claims nothing", folder.display());
        claims.iter().for_each(|claims| broken += &world.broken(claims, &folder));
    }
    assert!(broken.is_empty(), "{broken}");
}

#[test]
fn every_configuration_in_the_documentation_loads_and_answers_as_claimed() {
    let mut broken = String::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let blocks = blocks(&text);
        let files: Vec<(String, String)> = blocks.iter().filter_map(|block| Some((block.mark("file=")?, block.text.clone()))).collect();
        let whole = (!files.is_empty()).then(|| World::write(&format!("docs-{name}"), files));
        let mut fragment = None;
        for block in &blocks {
            if let Some(place) = block.mark("in=") {
                let folder = format!("docs-{name}-{}", block.line);
                fragment = Some(World::write(&folder, wrapped(&place, &block.text)));
            } else if block.is_claims() {
                let world = fragment.as_ref().or(whole.as_ref());
                let world = world.unwrap_or_else(|| panic!("{}:{}: nothing to ask", page.display(), block.line));
                broken += &world.broken(&block.text, &page);
            } else if block.language() == "yaml" {
                fragment = None;
                let read: Result<serde::de::IgnoredAny, _> = serde_saphyr::from_str(&block.text);
                read.unwrap_or_else(|error| panic!("{}:{}: {error}", page.display(), block.line));
            }
        }
    }
    assert!(broken.is_empty(), "{broken}");
}

#[test]
fn the_readme_shows_what_dig_shows() {
    let world = World::load(&root().join("zones/meridian.yaml"));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (mut shown, mut broken) = (0, String::new());
    for block in blocks(&readme).iter().filter(|block| block.language() == "console") {
        for part in block.text.split("$ ").filter(|part| part.starts_with("dig ") && part.contains("+short")) {
            let (command, output) = part.split_once('\n').unwrap();
            let words: Vec<&str> = command.split('#').next().unwrap().split_whitespace().collect();
            let subnet = words.iter().find_map(|word| word.strip_prefix("+subnet=")).unwrap();
            let question = format!("{} A for {subnet}", words[4]);
            broken += &world.broken(&format!("{question} -> {}", output.trim().replace('\n', " ")), Path::new("README.md"));
            shown += 1;
        }
    }
    assert!(shown >= 6, "one for each continent, not {shown}");
    assert!(broken.is_empty(), "{broken}");
}

/// What pages show of `explain` and `geo lookup` is what the program prints, from this folder.
#[test]
fn the_program_prints_what_is_shown() {
    let mut shown = 0;
    for page in pages().into_iter().chain(examples().iter().map(|folder| folder.join("README.md"))) {
        let blocks = blocks(&fs::read_to_string(&page).unwrap());
        for part in blocks.iter().filter(|block| block.language() == "console").flat_map(|block| block.text.split("$ ")) {
            let (command, output) = part.split_once('\n').unwrap_or_default();
            let arguments = command.strip_prefix("meridian ").or(command.strip_prefix("cargo run --release -- ")).unwrap_or_default();
            if ["explain ", "geo ", "simulate ", "diff "].iter().any(|word| arguments.starts_with(word)) {
                let printed = Command::new(env!("CARGO_BIN_EXE_meridian")).args(arguments.split(' ')).current_dir(root()).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&printed.stdout), output, "{}: {command}", page.display());
                shown += 1;
            }
        }
    }
    assert!(shown >= 4, "only {shown} commands are shown");
}

/// Each file of a configuration with a key that nobody knows: the error names all keys that are known there, and the page must name them too.
#[test]
fn every_key_is_documented() {
    let cases = [
        ("configuration.md", "server", "not_a_key: 1"),
        ("configuration.md", "server", "ecs: {not_a_key: 1}"),
        ("configuration.md", "server", "hash: {not_a_key: 1}"),
        ("configuration.md", "server", "rate_limit: {not_a_key: 1}"),
        ("configuration.md", "server", "rate_limit: {responses: {not_a_key: 1}}"),
        ("configuration.md", "server", "tcp: {not_a_key: 1}"),
        ("configuration.md", "server", "cookies: {not_a_key: 1}"),
        ("configuration.md", "server", "queries_from: {not_a_key: 1}"),
        ("configuration.md", "server", "transfers_from: {not_a_key: 1}"),
        ("health.md", "server", "guard: {not_a_key: 1}"),
        ("transports.md", "server", "encrypted: {not_a_key: 1}"),
        ("api.md", "server", "api: {not_a_key: 1}"),
        ("operations.md", "server", "log: {not_a_key: 1}"),
        ("operations.md", "server", "query_log: {not_a_key: 1}"),
        ("api.md", "server", "api: {tls: {not_a_key: 1}}"),
        ("configuration.md", "server", "networks: {10.0.0.0/8: {not_a_key: 1}}"),
        ("configuration.md", "server", "areas: {here: {not_a_key: 1}}"),
        ("configuration.md", "server", "tests: [{not_a_key: 1}]"),
        ("configuration.md", "server", "tests: [{name: a., client: 192.0.2.1, expect: {not_a_key: 1}}]"),
        ("regions.md", "region", "not_a_key: 1"),
        ("regions.md", "region", "location: {not_a_key: 1}"),
        ("regions.md", "service", "not_a_key: 1"),
        ("regions.md", "service", "endpoints: [{not_a_key: 1}]"),
        ("regions.md", "service", "endpoints: [192.0.2.1]\nmonitor: {not_a_key: 1}"),
        ("regions.md", "service", "endpoints: [192.0.2.1]\nmonitor: {http: {not_a_key: 1}}"),
        ("regions.md", "service", "endpoints: [192.0.2.1]\nmonitor: {tcp: {not_a_key: 1}}"),
        ("zones.md", "zone", "not_a_key: 1"),
        ("zones.md", "zone", "soa: {not_a_key: 1}"),
        ("zones.md", "records", "www: {A: {not_a_key: 1}}"),
        ("zones.md", "steer", "not_a_key: 1"),
        ("zones.md", "steer", "service: web\non_all_down: {not_a_key: 1}"),
        ("zones.md", "steer", "service: web\non_all_down: {fallback: {not_a_key: 1}}"),
        ("zones.md", "steer", "service: web\nrules: {not_a_key: 1}"),
        ("zones.md", "steer", "service: web\nrules: {when: {not_a_key: 1}, prefer: eu-west}"),
    ];
    for (index, (page, place, fragment)) in cases.iter().enumerate() {
        let folder = write(&format!("keys-{index}"), wrapped(place, fragment));
        let found = load(&folder.join("meridian.yaml")).diagnostics.to_string();
        let hint = found.lines().find_map(|line| line.strip_prefix("hint: known keys here: "));
        let keys = hint.unwrap_or_else(|| panic!("no list of keys for {fragment}:\n{found}"));
        // What is probed and what follows from it has a page of its own.
        let pages = if *page == "regions.md" { &[*page, "health.md"][..] } else { &[*page] };
        let text: String = pages.iter().map(|page| fs::read_to_string(root().join("docs").join(page)).unwrap()).collect();
        for key in keys.split(", ") {
            assert!(text.contains(&format!("`{key}`")), "`{key}` ({place}: {fragment}) is not in docs/{page}");
        }
    }
}

/// Paths that ARCHITECTURE.md names exist, and so do the tests that it says keep its invariants.
#[test]
fn the_map_shows_the_house_as_it_is() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rust = String::new();
    gather(&root().join("src"), &mut rust);
    gather(&root().join("tests"), &mut rust);
    let words: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    for word in words {
        let is_path = ["src/", "tests/", "examples/", "docs/", "geodb/", "zones/"].iter().any(|start| word.starts_with(start));
        assert!(!is_path || word.contains('*') || root().join(word).exists(), "there is no {word}");
        let is_test =
            word.contains('_') && word.len() > 24 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(!is_test || rust.contains(&format!("fn {word}(")), "there is no test {word}");
    }
}

fn gather(folder: &Path, all: &mut String) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            gather(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// A fenced block of a page.
struct Block {
    /// Everything behind the opening fence: the language, then marks.
    info: String,
    /// Where it opens, from 1.
    line: usize,
    text: String,
}

impl Block {
    fn language(&self) -> &str {
        self.info.split(' ').next().unwrap_or_default()
    }

    fn mark(&self, key: &str) -> Option<String> {
        self.info.split(' ').find_map(|word| word.strip_prefix(key)).map(str::to_owned)
    }

    fn is_claims(&self) -> bool {
        self.info == "text answers"
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(page.lines()) {
        match (text.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some(Block { info: info.to_owned(), line, text: String::new() }),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(block)) => open = Some(Block { text: block.text + text + "\n", ..block }),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A fragment in the place where it belongs, in files that are good but for it.
fn wrapped(place: &str, fragment: &str) -> Vec<(String, String)> {
    let has = |key: &str| fragment.lines().any(|line| line.starts_with(&format!("{key}:")));
    let body = |base: &[(&str, &str)], fragment: &str| -> String {
        let is_given = |key: &str| fragment.lines().any(|line| line.starts_with(&format!("{key}:")));
        let kept = base.iter().filter(|(key, _)| !is_given(key)).map(|(key, value)| format!("{key}: {value}\n"));
        kept.chain([fragment.to_owned()]).collect()
    };
    let indented = |spaces: usize| -> String { fragment.lines().map(|line| format!("{:spaces$}{line}\n", "")).collect() };
    let of = |wanted: &str, text: String| if place == wanted { text } else { String::new() };
    assert!(["server", "region", "service", "zone", "records", "steer"].contains(&place), "in={place}");

    let server = [("version", "1"), ("listen", "127.0.0.1:5300"), ("regions", "regions.yaml"), ("zones", "example.com.zone.yaml")];
    let region = |name: &str, point: &str, net: &str| {
        let services = ["web", "api"].map(|service| format!("{service}: [192.0.2.{net}, \"2001:db8::{net}\"]")).join(", ");
        format!("  {name}: {{location: {point}, services: {{{services}}}}}\n")
    };
    let mut regions = String::from("regions:\n");
    regions += &region("eu-central", "{latitude: 50.11, longitude: 8.68}", "10");
    regions += &region("eu-west", "{latitude: 53.35, longitude: -6.26}", "20");
    regions += &region("us-east", "{latitude: 38.95, longitude: -77.45}", "30");
    regions += &of("region", format!("  here:\n{}", indented(4)));
    let location = if place == "region" && !has("location") { "    location: {latitude: 0, longitude: 0}\n" } else { "" };
    let services = if place == "region" && !has("services") { "    services: {web: [192.0.2.40]}\n" } else { "" };
    regions = regions + location + services;
    regions +=
        &of("service", format!("  here:\n    location: {{latitude: 0, longitude: 0}}\n    services:\n      extra:\n{}", indented(8)));
    let zone = body(&[("zone", "example.com"), ("ns", "ns.example.net.")], &of("zone", fragment.to_owned()));
    let www = if place == "steer" && !has("service") { "      service: web\n" } else { "" };
    let records = of("records", indented(2)) + &of("steer", format!("  www:\n    steer:\n{www}{}", indented(6)));
    let records = if records.is_empty() { String::new() } else { format!("records:\n{records}") };
    vec![
        ("meridian.yaml".into(), body(&server, &of("server", fragment.to_owned()))),
        ("regions.yaml".into(), regions),
        ("example.com.zone.yaml".into(), zone + &records),
    ]
}

/// Writes a configuration into a folder of its own.
fn write(name: &str, files: Vec<(String, String)>) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A configuration, loaded and compiled.
struct World(Prepared);

impl World {
    /// Loads files; where the page gives none of a kind, the smallest that does.
    fn write(name: &str, mut files: Vec<(String, String)>) -> World {
        for (file, text) in wrapped("server", "") {
            let kind = if file.ends_with(".zone.yaml") { ".zone.yaml" } else { &file };
            if !files.iter().any(|(have, _)| have.ends_with(kind)) {
                files.push((file, text));
            }
        }
        World::load(&write(name, files).join("meridian.yaml"))
    }

    /// Nothing that we show may even be warned of, but that everyone can read a key that everyone has, and that fragments show rules without
    /// the database that these need.
    fn load(path: &Path) -> World {
        let prepared = prepare(path, None).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let is_of_the_key = |text: &str| text.contains("/try.key` is a secret");
        let is_of_geo_data = |text: &str| text.starts_with("no client is known by its");
        let is_expected = |text: &str| is_of_the_key(text) || is_of_geo_data(text);
        assert!(prepared.warnings.iter().all(|warning| is_expected(&warning.text)), "{}", prepared.warnings);
        World(prepared)
    }

    /// What does not hold of lines `[shares] NAME TYPE [for CLIENT] [from PEER] [, down REGION|ADDRESS]... -> ANSWER [, ttl N] [, scope /N]`.
    fn broken(&self, claims: &str, page: &Path) -> String {
        let mut broken = String::new();
        for claim in claims.lines().filter(|line| !line.is_empty()) {
            let (question, wanted) = claim.split_once(" -> ").unwrap_or_else(|| panic!("{}: no ` -> ` in `{claim}`", page.display()));
            let question = Question::parse(question);
            let world = self.with_down(&question.down);
            let seen = if question.shares { shares(&question, wanted, &world) } else { ask(&question, &world, 0).check(wanted) };
            broken += &seen.err().map(|seen| format!("{}: {claim}\n    but {seen}\n", page.display())).unwrap_or_default();
        }
        broken
    }

    /// The world with some regions or endpoints measured down.
    fn with_down(&self, down: &[String]) -> Snapshot {
        let Prepared { compiled, .. } = &self.0;
        let catalog = &compiled.catalog;
        let candidates = || catalog.steerings.iter().flat_map(|steering| steering.all()).flat_map(|family| family.all_candidates());
        let mut names: HashMap<u32, [String; 2]> = HashMap::new();
        for candidate in candidates() {
            let region = &catalog.regions[usize::from(candidate.region.0)].name;
            names.extend(candidate.endpoints.iter().map(|endpoint| (endpoint.id.0, [region.clone(), endpoint.address.to_string()])));
        }
        let unknown = down.iter().find(|down| !names.values().flatten().any(|name| name == *down));
        assert!(unknown.is_none(), "{unknown:?} can never be answered");
        let is_down = |id: u32| names.get(&id).is_some_and(|names| names.iter().any(|name| down.contains(name)));
        let health = HealthView::new(&compiled.layout, |id| if is_down(id.0) { Measured::DOWN } else { Measured::UP });
        Snapshot { catalog: Arc::clone(catalog), health: Arc::new(health), generation: 1 }
    }
}

#[derive(Debug, Clone)]
struct Question {
    shares: bool,
    name: Name,
    rtype: RecordType,
    subnet: Option<Prefix>,
    peer: IpAddr,
    down: Vec<String>,
}

impl Question {
    fn parse(text: &str) -> Question {
        let mut parts = text.split(", ");
        let mut words = parts.next().unwrap().split_whitespace().peekable();
        let shares = words.next_if_eq(&"shares").is_some();
        let name = Name::from_ascii(words.next().unwrap().trim_end_matches('.').to_owned() + ".").unwrap();
        let rtype = words.next().unwrap().parse().unwrap();
        let (mut subnet, mut peer) = (None, IpAddr::V4(Ipv4Addr::LOCALHOST));
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            match key {
                "for" => subnet = Some(value.parse().map_or_else(|_| value.parse().unwrap(), Prefix::host)),
                "from" => peer = value.parse().unwrap(),
                _ => panic!("`{key}` in `{text}`"),
            }
        }
        let down = parts.map(|part| part.strip_prefix("down ").unwrap_or_else(|| panic!("`{part}` in `{text}`")).to_owned()).collect();
        Question { shares, name, rtype, subnet, peer, down }
    }
}

#[derive(Debug)]
struct Seen {
    answer: Vec<String>,
    ttl: Option<u32>,
    scope: Option<u8>,
}

impl Seen {
    fn check(&self, wanted: &str) -> Result<(), String> {
        let holds = wanted.split(", ").enumerate().all(|(index, part)| match part.split_once(' ') {
            Some(("ttl", ttl)) => self.ttl == ttl.parse().ok(),
            Some(("scope", scope)) => self.scope == scope.trim_start_matches('/').parse().ok() && self.scope.is_some(),
            Some(("one", of)) => of.split(' ').skip(1).any(|one| self.answer == [one]),
            _ if index == 0 => {
                let separator = if part.starts_with('"') { "\" \"" } else { " " };
                let wanted: BTreeSet<&str> = part.trim_matches('"').split(separator).collect();
                wanted == self.answer.iter().map(String::as_str).collect()
            }
            _ => false,
        });
        if holds { Ok(()) } else { Err(format!("{self:?}")) }
    }
}

/// Asks as a client would, through the corridor that every transport takes.
fn ask(question: &Question, world: &Snapshot, seed: u64) -> Seen {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(question.name.clone(), question.rtype));
    if let Some(subnet) = question.subnet {
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(subnet.network(), subnet.length(), 0)));
        message.set_edns(edns);
    }
    let bytes = message.to_vec().unwrap();
    let (peer, local) = (SocketAddr::new(question.peer, 4242), SocketAddr::from(([127, 0, 0, 1], 53)));
    let turns = Turns::new(world.catalog.turn_slots);
    let ask =
        Ask { bytes: &bytes, peer, local, transport: Transport::Tcp, now_ms: 0, wall_s: 0, secret: &Secret([0; 16]), seed, turns: &turns };
    let mut out = vec![0; 65_535];
    let outcome = answer(world, &ask, &mut out);
    let reply = Message::from_vec(&out[..outcome.len]).unwrap();

    let mut options = reply.edns.as_ref().into_iter().flat_map(|edns| edns.options().as_ref().iter());
    let scope = options.find_map(|(_, option)| if let EdnsOption::Subnet(subnet) = option { Some(subnet.scope_prefix()) } else { None });
    let first = reply.answers.first().or(reply.authorities.first());
    let word = match reply.metadata.response_code {
        ResponseCode::NoError => "NODATA",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::Refused => "REFUSED",
        other => panic!("{other}"),
    };
    let answer: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    let answer = if answer.is_empty() { vec![word.to_owned()] } else { answer };
    Seen { answer, ttl: first.map(|record| record.ttl), scope }
}

/// Asks for many client networks and compares how often each answer came.
fn shares(question: &Question, wanted: &str, world: &Snapshot) -> Result<(), String> {
    let from = question.subnet.map_or(Ipv4Addr::new(11, 0, 0, 0), |prefix| match prefix.network() {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(_) => panic!("shares are counted over IPv4"),
    });
    let mut counts: HashMap<String, u32> = HashMap::new();
    for index in 0..SHARE_QUERIES {
        let network = Ipv4Addr::from(u32::from(from) + (index << 8));
        let subnet = Some(format!("{network}/24").parse().unwrap());
        // Multiplied by an odd constant, so that seeds are spread as those of a worker are.
        let seed = u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *counts.entry(ask(&Question { subnet, ..question.clone() }, world, seed).answer.join(" ")).or_default() += 1;
    }
    let share = |answer: &str| f64::from(counts.get(answer).copied().unwrap_or(0)) * 100.0 / f64::from(SHARE_QUERIES);
    let is_near = |part: &str| {
        let (answer, percent) = part.split_once(' ').unwrap();
        (share(answer) - percent.trim_end_matches(" %").parse::<f64>().unwrap()).abs() <= SHARE_TOLERANCE
    };
    if wanted.split(", ").all(is_near) { Ok(()) } else { Err(format!("{counts:?} of {SHARE_QUERIES}")) }
}

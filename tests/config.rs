//! Configurations through `load`, as an operator would write them: bad ones with the exact words of the answer, good ones with the Model that comes out.
//! `MERIDIAN_BLESS=1 cargo test --test config` rewrites the expected outputs; read the difference before committing it.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use meridian::config::model::{Model, Steer};
use meridian::config::{Loaded, load};
use meridian::geo::{Code, Point, RegionId};
use meridian::health::{Combine, MinHealthy, Override, Recovery, Request};
use meridian::name::Name;
use meridian::steer::balance::BalanceSpec;
use meridian::steer::decide::HashFloor;
use meridian::steer::order::OrderSpec;
use meridian::steer::rule::{Action, Fence, When};
use meridian::steer::{Families, OnAllDown, ShareSpec, Weight};
use meridian::wire::rtype;
use meridian::zone::rrset::{Rrset, rdata_from_text, txt_from_strings};

/// Folders of bad configurations, each with the output that it must give.
const BAD: &str = "tests/cases/bad-config";

/// Fewer cases than this means that the folder was not found.
const MIN_CASES: usize = 30;

#[test]
fn bad_configurations_are_refused_in_words_that_help() {
    let bless = std::env::var_os("MERIDIAN_BLESS").is_some();
    let mut folders: Vec<PathBuf> = fs::read_dir(BAD).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= MIN_CASES, "only {} cases", folders.len());
    let mut failures = Vec::new();
    for folder in &folders {
        let Loaded { model, diagnostics } = load(&folder.join("meridian.yaml"));
        assert!(model.is_none() && diagnostics.has_errors(), "{} was accepted", folder.display());
        let shown = relative(&diagnostics.to_string(), folder);
        let golden = folder.join("expected.txt");
        if bless {
            fs::write(&golden, &shown).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            failures.push(format!("== {}\n{shown}", folder.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_missing_server_file_is_named() {
    let Loaded { model, diagnostics } = load(Path::new("no/such/meridian.yaml"));
    assert!(model.is_none());
    assert_eq!(diagnostics.to_string(), "no/such/meridian.yaml: error: cannot read `no/such/meridian.yaml`: there is no such file\n");
}

/// The three files as the design shows them. The regions that it names in passing are added below.
const DESIGN_SERVER: &str = r#"# meridian.yaml: this server
version: 1
listen: ["127.0.0.1:5300", "[::1]:5300"]
geodb: [city.mmdb, asn.mmdb, own.csv]   # one file or several: each field comes from the first that has it; left out: the built-in world table
networks:                          # overrides, longest prefix wins, they win over the geo data; or a CSV file of them
  10.20.0.0/16: {region: eu-west}  # placed at that region's coordinates, and that region is ranked first where offered; no fence
  203.0.113.0/24: {latitude: 48.85, longitude: 2.35}   # fields that are not given keep the geo data's value
regions: regions.yaml              # a file, a list of files, or a glob
zones: "*.zone.yaml"
"#;

const DESIGN_REGIONS: &str = r#"# regions.yaml
regions:
  us-east:
    location: {latitude: 38.95, longitude: -77.45}
    weight: 1                      # see 3
    services:
      web:
        endpoints: [192.0.2.10, {address: 192.0.2.11, weight: 2}, "2001:db8:1::10"]
        monitor: {http: {path: /health, port: 8080}, interval: 5s, timeout: 2s, fall: 3, rise: 5}
"#;

const MORE_REGIONS: &str = r#"  eu-west:
    location: {latitude: 53.35, longitude: -6.26}
    services: {web: 198.51.100.10, api: [198.51.100.20]}
  eu-central:
    location: {latitude: 50.11, longitude: 8.68}
    services: {api: {endpoints: 198.51.100.30}}
"#;

const DESIGN_ZONE: &str = r#"# example.com.zone.yaml
zone: example.com
ttl: 300
soa: {mname: ns1, rname: hostmaster}
ns: [ns1, ns2]
records:
  ns1: {A: 192.0.2.53}
  ns2: {A: 198.51.100.53}
  "@": {MX: "10 mail.example.net.", TXT: "v=spf1 -all"}
  www: {steer: {service: web, ttl: 30}}    # A and AAAA by geography, health and weight
  api:
    steer:
      service: api
      rules: [{when: {country: [DE, FR]}, prefer: [eu-central, eu-west]}]
      order: nearest                       # nearest | priority | latency | any
      spread: 200km                        # regions about as near as the best share clients by weight
      balance: sticky                      # within the region; default round-robin
      answers: 2
      on_all_down: open
"#;

#[test]
fn the_example_of_the_design_is_read_as_it_says() {
    let regions = [DESIGN_REGIONS, MORE_REGIONS].concat();
    let files = [("meridian.yaml", DESIGN_SERVER), ("regions.yaml", &regions), ("example.com.zone.yaml", DESIGN_ZONE)];
    let geo = [("city.mmdb", ""), ("asn.mmdb", ""), ("own.csv", "")];
    let model = model_of(load_files("design", &[&files[..], &geo[..]].concat()));

    assert_eq!(model.server.listen.len(), 2);
    let names: Vec<_> = model.geo.files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["city.mmdb", "asn.mmdb", "own.csv"]);
    let eu_west = RegionId(1);
    assert_eq!(model.geo.overrides[0].pin, Some(eu_west));
    assert_eq!(model.geo.overrides[0].fields.point, Some(model.regions[1].location));
    assert_eq!(model.geo.overrides[1].pin, None);
    assert_eq!(model.geo.overrides[1].fields.point, Point::new(48.85, 2.35).ok());

    let us_east = &model.regions[0];
    assert_eq!((us_east.name.as_str(), us_east.weight, us_east.state), ("us-east", Weight::ONE, None));
    let endpoints = &us_east.offers[0].endpoints;
    assert_eq!(endpoints.iter().map(|e| e.at.to_string()).collect::<Vec<_>>(), ["192.0.2.10", "192.0.2.11", "2001:db8:1::10"]);
    assert_eq!(endpoints[1].weight, weight(2.0));
    let monitor = &us_east.offers[0].monitors[0];
    assert_eq!((monitor.port, monitor.interval_ms, monitor.timeout_ms, monitor.fall, monitor.rise), (8080, 5000, 2000, 3, 5));
    assert!(matches!(&monitor.request, Request::Http(request) if &*request.path == "/health"));
    assert_eq!(model.services, ["web", "api"]);

    let www = steered(&model, "www.example.com");
    assert_eq!((www.ttl_s, &www.regions[..]), (30, &[RegionId(0), eu_west][..]));
    assert_eq!(www.balance, BalanceSpec::Weighted, "the weights of its endpoints differ");
    let api = steered(&model, "api.example.com");
    assert_eq!(api.rules[0].action, Action::Prefer(vec![RegionId(2), eu_west]));
    assert_eq!(api.rules[0].when, When { countries: [Code::parse("DE"), Code::parse("FR")].map(Option::unwrap).into(), ..When::default() });
    assert_eq!((api.order, api.spread_m, api.balance, api.answers), (OrderSpec::Nearest, 200_000, BalanceSpec::Sticky, 2));
    assert_eq!((api.on_all_down, api.ttl_s), (OnAllDown::Open, 60));

    assert_eq!(model.zones[0].apex, name("example.com"));
    assert_eq!(rrset(&model, "example.com", rtype::MX), [rdata(rtype::MX, "10 mail.example.net.")]);
    assert_eq!(rrset(&model, "example.com", rtype::TXT), [txt_from_strings(&["v=spf1 -all"]).unwrap()]);
    assert_eq!(rrset(&model, "example.com", rtype::NS).len(), 2);
}

const PLAIN_SERVER: &str = "version: 1\nlisten: 127.0.0.1:0\nregions: regions.yaml\nzones: example.com.zone.yaml\n";
const PLAIN_REGIONS: &str = "regions:\n  a: {location: {latitude: 1, longitude: 2}, services: {web: 192.0.2.1}}\n  b: {location: {latitude: 3, longitude: 4}, services: {web: \"2001:db8::1\"}}\n";
const PLAIN_ZONE: &str = "zone: example.com\nns: ns.example.net.\nrecords:\n  www: {steer: web}\n";

#[test]
fn what_is_left_out_has_the_documented_defaults() {
    let model = load_plain("defaults", "", PLAIN_ZONE);
    let server = &model.server;
    assert!(server.workers >= 1 && server.ecs.enabled && server.ecs.from.is_none());
    assert_eq!((server.udp_size, server.hash, &server.nsid, &server.state_dir), (1232, HashFloor { v4: 24, v6: 56 }, &None, &None));
    assert!(server.version_text.as_ref().unwrap().starts_with("meridian "));
    assert!(model.geo.files.is_empty() && model.geo.overrides.is_empty());
    let www = steered(&model, "www.example.com");
    assert_eq!((www.order, www.share, www.balance, www.spread_m), (OrderSpec::Nearest, ShareSpec::Hash, BalanceSpec::RoundRobin, 0));
    assert_eq!((www.answers, www.ttl_s, www.ttl_min_s, www.fail_open_ttl_s), (1, 60, 5, 10));
    assert_eq!((www.min_healthy, www.on_all_down, www.families, www.ecs), (MinHealthy::Count(1), OnAllDown::Open, Families::Apart, true));
    assert_eq!((&www.weights[..], www.rules.len()), (&[Weight::ONE; 2][..], 0));
    let soa = rrset(&model, "example.com", rtype::SOA).remove(0);
    let timers: Vec<u32> = soa[soa.len() - 16..].chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
    assert_eq!(timers, [14_400, 3_600, 1_209_600, 300]);
    assert!(soa.starts_with(name("ns.example.net").as_wire()), "the first name server");
}

#[test]
fn every_server_key_is_honoured() {
    let keys = "workers: 3\nudp_size: 1400\necs: {enabled: true, from: [10.0.0.0/8, \"2001:db8::/32\"]}\nhash: {v4: 20, v6: 48}\n\
                nsid: node-1\nversion_text: off\nstate_dir: state\n";
    let server = load_plain("server-keys", keys, PLAIN_ZONE).server;
    assert_eq!((server.workers, server.udp_size, server.hash), (3, 1400, HashFloor { v4: 20, v6: 48 }));
    let believed = server.ecs.from.as_ref().unwrap();
    let peers = ["10.255.0.1", "2001:db8::1", "11.0.0.1", "2001:db9::1"].map(|peer| peer.parse().unwrap());
    assert_eq!(peers.map(|peer| believed.allows(peer)), [true, true, false, false]);
    assert_eq!((server.nsid.as_deref(), server.version_text), (Some(&b"node-1"[..]), None));
    assert!(server.state_dir.unwrap().ends_with("server-keys/state"), "relative to the file that names it");
    assert!(!load_plain("server-ecs", "ecs: false\n", PLAIN_ZONE).server.ecs.enabled);
}

#[test]
fn every_steer_key_is_honoured() {
    let zone = "zone: example.com\nns: ns.example.net.\nttl: 1h\nrecords:\n  \"*.wild\":\n    TXT: beside\n    steer:\n      service: web\n      \
                regions: [b, a]\n      order: priority\n      spread: 1.5km\n      share: random\n      balance: weighted\n      answers: 8\n      \
                ttl: 2m\n      ttl_min: 7\n      fail_open_ttl: 3\n      min_healthy: 50%\n      on_all_down: nodata\n      families: together\n      \
                ecs: false\n      weights: {a: 0, b: 2.125}\n      rules:\n        - {when: {network: 10.0.0.0/8, asn: [64500, AS64501], \
                country: NO, continent: [EU, AS], subdivision: [US-CA, by]}, only: a}\n";
    let model = load_plain("steer-keys", "", zone);
    let steer = steered(&model, "*.wild.example.com");
    assert_eq!((&steer.regions[..], &steer.weights[..]), (&[RegionId(1), RegionId(0)][..], &[weight(2.125), Weight::ZERO][..]));
    assert_eq!((steer.order, steer.share, steer.balance), (OrderSpec::Priority, ShareSpec::Random, BalanceSpec::Weighted));
    assert_eq!((steer.spread_m, steer.answers, steer.ttl_s, steer.ttl_min_s, steer.fail_open_ttl_s), (1500, 8, 120, 7, 3));
    assert_eq!((steer.min_healthy, steer.on_all_down, steer.families), (MinHealthy::Percent(50), OnAllDown::Nodata, Families::Together));
    assert!(!steer.ecs);
    let rule = &steer.rules[0];
    assert_eq!(rule.action, Action::Only(vec![RegionId(0)], Fence::Soft));
    assert_eq!((rule.when.networks[0].to_string().as_str(), &rule.when.asns[..]), ("10.0.0.0/8", &[64500, 64501][..]));
    assert_eq!(rule.when.countries, [Code::parse("NO").unwrap()], "Norway is a country, not a boolean");
    assert_eq!((rule.when.continents.len(), &rule.when.subdivisions[..]), (2, &["US-CA".to_owned(), "BY".to_owned()][..]));
}

#[test]
fn every_region_and_endpoint_key_is_honoured() {
    let regions = "regions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    weight: 0.5\n    state: drain\n    services:\n      web:\n        \
                   endpoints: {address: 192.0.2.1, weight: 3, state: down}\n        monitor: {tcp: 25, address: 192.0.2.9, interval: 1s, timeout: 500ms}\n";
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", regions), ("example.com.zone.yaml", PLAIN_ZONE)];
    let model = model_of(load_files("region-keys", &files));
    let region = &model.regions[0];
    assert_eq!((region.weight, region.state), (weight(0.5), Some(Override::Drain)));
    let endpoint = &region.offers[0].endpoints[0];
    assert_eq!((endpoint.weight, endpoint.state), (weight(3.0), Some(Override::Down)));
    let monitor = &region.offers[0].monitors[0];
    assert_eq!((monitor.address, monitor.port, &monitor.request), (Some("192.0.2.9".parse().unwrap()), 25, &Request::Tcp));
    assert_eq!((monitor.interval_ms, monitor.timeout_ms, monitor.fall, monitor.rise), (1000, 500, 3, 5));
    assert_eq!(steered(&model, "www.example.com").weights, [weight(0.5)]);
}

#[test]
fn records_take_a_value_a_list_or_a_map() {
    let zone = "zone: example.com\nns: [ns1, ns.example.net.]\nsoa: {mname: ns1, rname: host.master@example.com, serial: 7}\nrecords:\n  \
                ns1: {A: {ttl: 60, values: [192.0.2.1, 192.0.2.2]}}\n  txt: {TXT: [one, [two, three], \"\", 1.10]}\n  \
                alias: {CNAME: www}\n  www: {AAAA: 2001:db8::1, SRV: 1 2 443 ns1}\n";
    let model = load_plain("records", "", zone);
    let strings: Vec<Vec<u8>> = [&["one"][..], &["two", "three"], &[""], &["1.10"]].map(|parts| txt_from_strings(parts).unwrap()).into();
    assert_eq!(rrset(&model, "txt.example.com", rtype::TXT), strings, "texts stay as typed");
    assert_eq!(found(&model, "ns1.example.com", rtype::A).ttl_s(), 60);
    assert_eq!(rrset(&model, "alias.example.com", rtype::CNAME), [name("www.example.com").as_wire()]);
    assert_eq!(rrset(&model, "www.example.com", rtype::SRV), [rdata(rtype::SRV, "1 2 443 ns1.example.com.")]);
    let soa = rrset(&model, "example.com", rtype::SOA).remove(0);
    let mailbox = Name::parse(r"host\.master.example.com.", None).unwrap();
    assert!(soa.windows(mailbox.as_wire().len()).any(|part| part == mailbox.as_wire()), "a mailbox as people write it");
    assert_eq!(model.zones[0].serial, 7);
}

#[test]
fn a_master_file_stands_beside_records() {
    let master = "$TTL 1h\n@ IN SOA ns.example.net. hostmaster ( 5 ; serial\n   1 2\n   3 4 )\n  IN NS ns.example.net.\nmail 5m A 192.0.2.25\n     \
                  AAAA 2001:db8::25\n$ORIGIN sub\ntxt TXT \"a ; b\" c\\ d\\059 ( \"\" ;)\n )\n";
    let zone = "zone: example.com\nrecords_file: bulk.zone\nrecords:\n  www: {steer: web}\n";
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", PLAIN_REGIONS), ("example.com.zone.yaml", zone), ("bulk.zone", master)];
    let model = model_of(load_files("master", &files));
    assert_eq!(found(&model, "mail.example.com", rtype::A).ttl_s(), 300);
    assert_eq!(found(&model, "mail.example.com", rtype::AAAA).ttl_s(), 3600);
    assert_eq!(rrset(&model, "txt.sub.example.com", rtype::TXT), [txt_from_strings(&["a ; b", "c d;", ""]).unwrap()]);
    assert_eq!(model.zones[0].serial, 5);
    assert_eq!(rrset(&model, "example.com", rtype::NS).len(), 1);
}

#[test]
fn lists_and_globs_of_files_keep_a_fixed_order() {
    let region = |name: &str| format!("regions:\n  {name}: {{location: {{latitude: 1, longitude: 2}}, services: {{web: 192.0.2.1}}}}\n");
    let server = "version: 1\nlisten: 127.0.0.1:0\nregions: [z.region.yaml, \"*.region.yaml\"]\nzones: [\"?.zone.yaml\"]\n";
    let zone = |apex: &str| format!("zone: {apex}\nns: ns.example.org.\n");
    let texts = [region("z"), region("a"), region("m"), zone("one.example"), zone("two.example")];
    let names = ["z.region.yaml", "m.region.yaml", "a.region.yaml", "2.zone.yaml", "1.zone.yaml", ".3.zone.yaml"];
    let mut files: Vec<(&str, &str)> = names.iter().copied().zip(texts.iter().map(String::as_str)).collect();
    files.extend([("meridian.yaml", server), (".3.zone.yaml", "left behind by an editor")]);
    let model = model_of(load_files("order", &files));
    let regions: Vec<&str> = model.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(regions, ["z", "m", "a"], "files in order: z, then a (holds m), then m (holds a)");
    let apexes: Vec<String> = model.zones.iter().map(|zone| zone.apex.to_string()).collect();
    assert_eq!(apexes, ["two.example.", "one.example."]);
}

#[test]
fn an_override_may_come_from_a_csv_file_and_be_given_twice_alike() {
    let csv = "network,region,country\n10.0.0.0/8,b,\n10.0.0.0/8,b,\n192.0.2.0/24,,FR\n";
    let server = format!("{PLAIN_SERVER}networks: nets.csv\n");
    let files =
        [("meridian.yaml", server.as_str()), ("regions.yaml", PLAIN_REGIONS), ("example.com.zone.yaml", PLAIN_ZONE), ("nets.csv", csv)];
    let overrides = model_of(load_files("csv", &files)).geo.overrides;
    assert_eq!((overrides[0].pin, overrides[0].fields.point), (Some(RegionId(1)), Point::new(3.0, 4.0).ok()));
    assert_eq!((overrides[2].pin, overrides[2].fields.country), (None, Code::parse("FR")));
}

#[test]
fn latency_without_a_table_is_a_warning_only() {
    let zone = PLAIN_ZONE.replace("steer: web", "steer: {service: web, order: latency}");
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", PLAIN_REGIONS), ("example.com.zone.yaml", &zone)];
    let Loaded { model, diagnostics } = load_files("latency", &files);
    assert!(model.is_some() && !diagnostics.has_errors());
    assert!(diagnostics.to_string().contains("warning: `order: latency` has no table"), "{diagnostics}");
}

#[test]
fn a_secret_that_everyone_can_read_is_a_warning_only() {
    let server = format!("{PLAIN_SERVER}cookies: {{secrets: cookies.txt}}\napi: {{tokens: tokens.txt}}\n");
    let secret = "0123456789abcdef0123456789abcdef";
    let tokens = format!("monitor read {secret}\n");
    let files = [
        ("meridian.yaml", server.as_str()),
        ("regions.yaml", PLAIN_REGIONS),
        ("example.com.zone.yaml", PLAIN_ZONE),
        ("cookies.txt", secret),
        ("tokens.txt", &tokens),
    ];
    load_files("secrets", &files);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets");
    for (mode, expected) in [(0o644, 2), (0o640, 0), (0o600, 0)] {
        for file in ["cookies.txt", "tokens.txt"] {
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        let Loaded { model, diagnostics } = load(&folder.join("meridian.yaml"));
        let text = diagnostics.to_string();
        assert!(model.is_some() && !text.contains(secret), "{text}");
        assert_eq!(text.matches("every user of this machine can read it").count(), expected, "{mode:o}: {text}");
        assert_eq!(text.matches("hint: leave it to the server's group: `chmod 640 ").count(), expected, "{text}");
    }
}

#[test]
fn anchors_aliases_and_merge_keys_save_typing() {
    let regions = "regions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    services:\n      web: &web {endpoints: 192.0.2.1, monitor: {tcp: 80}}\n  \
                   b:\n    location: {latitude: 3, longitude: 4}\n    services:\n      web: {<<: *web, endpoints: 192.0.2.2}\n";
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", regions), ("example.com.zone.yaml", PLAIN_ZONE)];
    let model = model_of(load_files("merge", &files));
    let offer = &model.regions[1].offers[0];
    assert_eq!((offer.endpoints[0].at.to_string().as_str(), offer.monitors.len()), ("192.0.2.2", 1));
}

/// Paths as seen from the folder of the case.
fn relative(text: &str, folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    text.replace(&format!("{folder}/"), "").replace(folder, ".")
}

/// Loads files from a folder of their own.
fn load_files(name: &str, files: &[(&str, &str)]) -> Loaded {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    load(&folder.join("meridian.yaml"))
}

/// The plain configuration with further keys of the server file, and a zone.
fn load_plain(folder: &str, server_keys: &str, zone: &str) -> Model {
    let server = [PLAIN_SERVER, server_keys].concat();
    model_of(load_files(folder, &[("meridian.yaml", &server), ("regions.yaml", PLAIN_REGIONS), ("example.com.zone.yaml", zone)]))
}

fn model_of(loaded: Loaded) -> Model {
    loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics))
}

fn name(text: &str) -> Name {
    Name::parse(text, None).unwrap()
}

fn steered<'m>(model: &'m Model, owner: &str) -> &'m Steer {
    model.steerings.iter().find(|steer| steer.owner == name(owner)).unwrap()
}

fn found<'m>(model: &'m Model, owner: &str, record_type: u16) -> &'m Rrset {
    let mut nodes = model.zones.iter().flat_map(|zone| &zone.nodes);
    nodes.find(|node| node.owner == name(owner)).and_then(|node| node.rrset(record_type)).unwrap()
}

fn rrset(model: &Model, owner: &str, record_type: u16) -> Vec<Vec<u8>> {
    found(model, owner, record_type).iter().map(<[u8]>::to_vec).collect()
}

fn rdata(record_type: u16, text: &str) -> Vec<u8> {
    rdata_from_text(record_type, text, &Name::root()).unwrap()
}

fn weight(decimal: f64) -> Weight {
    Weight::from_decimal(decimal).unwrap()
}

#[test]
fn several_monitors_required_checks_and_recovery_are_read() {
    let regions = "checks:\n  db: {tcp: 5432, address: 192.0.2.5}\n  link: {tcp: 179, address: 192.0.2.6}\n\
                   regions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    requires: link\n    services:\n      web:\n        \
                   endpoints: [192.0.2.1, 192.0.2.2]\n        monitor: [{tcp: 80}, {http: /, slow_ms: 500}, {tcp: 22, observe_only: true}]\n        \
                   combine: 2\n        requires: [db]\n        failback: manual\n        ramp: 5m\n        degraded_admit: 25%\n";
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", regions), ("example.com.zone.yaml", PLAIN_ZONE)];
    let model = model_of(load_files("monitors", &files));
    let offer = &model.regions[0].offers[0];
    assert_eq!((offer.monitors.len(), offer.combine, offer.degraded_admit), (3, Combine::AtLeast(2), 256));
    assert_eq!(offer.recovery, Recovery { manual: true, ramp_ms: 300_000 });
    let required: Vec<String> = offer.requires.iter().map(ToString::to_string).collect();
    assert_eq!(required, ["tcp://192.0.2.5:5432", "tcp://192.0.2.6:179"]);
    assert!(offer.can_admit_less());
}

#[test]
fn what_is_wrong_with_checks_is_reported_with_its_place() {
    let regions = "checks:\n  db: {tcp: 5432}\nregions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    services:\n      web:\n        \
                   endpoints: [192.0.2.1]\n        monitor: {tcp: 80}\n        combine: 2\n        requires: [dv]\n        \
                   failback: never\n        degraded_admit: 0%\n";
    let files = [("meridian.yaml", PLAIN_SERVER), ("regions.yaml", regions), ("example.com.zone.yaml", PLAIN_ZONE)];
    let text = load_files("bad-monitors", &files).diagnostics.to_string();
    for expected in [
        "regions.yaml:2:7: error: the check `db` has no address",
        "regions.yaml:10:18: error: `combine` must be",
        "regions.yaml:11:20: error: there is no check `dv`",
        "regions.yaml:12:19: error: `failback` must be",
        "regions.yaml:13:25: error: `degraded_admit` must be",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn programs_run_only_where_the_server_file_allows_it() {
    let regions = "regions:\n  a:\n    location: {latitude: 1, longitude: 2}\n    services:\n      web: {endpoints: 192.0.2.1, monitor: {exec: {command: [/bin/true]}}}\n";
    let load_with = |server: &str| {
        load_files("exec", &[("meridian.yaml", server), ("regions.yaml", regions), ("example.com.zone.yaml", PLAIN_ZONE)])
            .diagnostics
            .to_string()
    };
    assert!(load_with(PLAIN_SERVER).contains("regions.yaml:2:3: error: region `a` has an `exec` monitor"), "{}", load_with(PLAIN_SERVER));
    assert_eq!(load_with(&format!("{PLAIN_SERVER}exec_probes: true\n")), "");
}

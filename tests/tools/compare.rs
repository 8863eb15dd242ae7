//! `simulate`, `diff` and their maps: what they say, their exit codes, and the CI of an operator's repository.

use std::path::Path;
use std::process::Command;

use meridian::name::Name;
use serde_json::Value;

use crate::common::folder::Folder;
use crate::common::server::run;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\nnetworks:\n  \
                      10.1.0.0/16: {latitude: 53, longitude: -6, country: IE}\n  10.2.0.0/16: {latitude: 39, longitude: -77, country: US}\n  \
                      10.3.0.0/16: {latitude: 48, longitude: 2, country: FR}\n";

const REGIONS: &str = "regions:\n  eu: {location: {latitude: 53, longitude: -6}, services: {web: [192.0.2.1, \"2001:db8::1\"]}}\n  \
                       us: {location: {latitude: 39, longitude: -77}, services: {web: 192.0.2.2}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  www: {steer: web}\n  twin: {steer: web}\n  even: {steer: {service: web, order: any}}\n  \
                    fenced:\n    steer:\n      service: web\n      rules: [{when: {country: IE}, only: eu, fence: hard, fallback: [192.0.2.99, \"2001:db8::99\"]}]\n";

const COUNTS: &str = "# a day\ncount,network\n60,10.1.0.0/16\n30,10.2.0.0/16\n10,10.3.4.0/24\n";

fn folder(name: &str) -> Folder {
    let files = [("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE), ("clients.csv", COUNTS)];
    Folder::with(name, &files)
}

/// Exit code, standard output, standard error.
fn told(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(arguments);
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn simulate_tells_shares_moves_and_distances() {
    let folder = folder("simulate");
    let (config, clients) = (folder.join("meridian.yaml"), folder.join("clients.csv"));
    let (config, clients) = (config.to_str().unwrap(), clients.to_str().unwrap());
    let arguments = ["simulate", "--down", "us", "--clients", clients, "--config", config, "--name", "www.example.com"];
    let (code, out, error) = told(&arguments);
    assert_eq!(code, Some(0), "{out}{error}");
    for line in [
        "clients   3 networks with their counts, as given",
        "  eu                     70.00 %  100.00 %          -",
        "  us                     30.00 %    0.00 %          -",
        "  us -> eu                                   30.00 %  +5459 km",
        "  moved                30.00 %, mean +5459 km, 95 of 100 at most +5459 km",
        "  without an answer    0.00 %",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    // Two thirds more clients than before do not fit into a region that is two thirds full.
    let full = [&arguments[..], &["--load", "eu=0.8"]].concat();
    let (code, out, error) = told(&full);
    assert!(code == Some(1) && out.contains("114 %") && error.contains("without us `eu` is at 114 % of its capacity"), "{out}{error}");
    let (_, out, _) = told(&[&arguments[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    let name = &json["outages"][0]["names"][0];
    assert_eq!((&name["moved_percent"], &name["moves"][0]["from"], &name["lost_percent"]), (&30.0.into(), &"us".into(), &0.0.into()));
    assert_eq!(told(&["simulate", "--down", "mars", "--config", config]).0, Some(2));
    assert_eq!(told(&["simulate", "--config", config]).0, Some(2));
}

#[test]
fn a_demand_is_held_against_what_regions_can_bear() {
    let folder = folder("demand");
    let regions = REGIONS.replacen("eu: {", "eu: {capacity: 1000, ", 1).replacen("us: {", "us: {capacity: 400, ", 1);
    folder.write("regions.yaml", &regions);
    let (config, clients) = (folder.join("meridian.yaml"), folder.join("clients.csv"));
    let (config, clients) = (config.to_str().unwrap(), clients.to_str().unwrap());
    let arguments = ["simulate", "--clients", clients, "--config", config, "--name", "www.example.com"];
    let (code, out, error) = told(&[&arguments[..], &["--down", "us", "--demand", "900"]].concat());
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.lines().any(|line| line == "  eu                     70.00 %  100.00 %       90 %"), "{out}");
    let (code, out, error) = told(&[&arguments[..], &["--every-single", "--demand", "900"]].concat());
    assert!(code == Some(1) && out.contains("us 225 %") && error.contains("without eu `us` is at 225 % of its capacity"), "{out}{error}");
    assert_eq!(told(&["simulate", "--down", "us", "--demand", "900", "--config", config]).0, Some(2), "whose demand?");
    folder.write("regions.yaml", REGIONS);
    let (code, _, error) = told(&[&arguments[..], &["--down", "us", "--demand", "900"]].concat());
    assert!(code == Some(2) && error.contains("no region has one for `www.example.com.`"), "{error}");
}

#[test]
fn every_single_loss_is_tried_and_the_worst_is_named() {
    let folder = folder("single");
    let (config, clients) = (folder.join("meridian.yaml"), folder.join("clients.csv"));
    let (code, out, error) =
        told(&["simulate", "--every-single", "--clients", clients.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.lines().any(|line| line.starts_with("eu ")) && out.lines().any(|line| line.starts_with("us ")), "{out}");
    assert!(out.ends_with("worst     eu\n"), "{out}");
    // A name that answers nothing when all is down loses its clients.
    folder.write(
        "example.com.zone.yaml",
        "zone: example.com\nns: [ns.example.net.]\nrecords: {www: {steer: {service: web, regions: eu, on_all_down: nodata}}}\n",
    );
    let (code, out, error) = told(&["simulate", "--down", "eu", "--config", config.to_str().unwrap()]);
    assert!(
        code == Some(1) && out.contains("without an answer    100.00 %") && error.contains("some clients get no answer"),
        "{out}{error}"
    );
}

#[test]
fn diff_tells_who_moves_and_fails_over_the_limit() {
    let (old, new) = (folder("diff-old"), folder("diff-new"));
    new.write("regions.yaml", &REGIONS.replace("longitude: -77}", "longitude: -77}, weight: 100000"));
    new.write("example.com.zone.yaml", &ZONE.replace("twin:", "other:"));
    let clients = old.join("clients.csv");
    let files = [old.join("meridian.yaml"), new.join("meridian.yaml")];
    let arguments = ["diff", files[0].to_str().unwrap(), files[1].to_str().unwrap(), "--clients", clients.to_str().unwrap()];
    let (code, out, error) = told(&arguments);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("no longer steered: twin.example.com.\nnewly steered: other.example.com.\n"), "{out}");
    assert!(out.contains("eu -> us") && out.contains("by country") && out.contains("FR 10.00 %"), "{out}");
    let (code, _, error) = told(&[&arguments[..], &["--max-move", "5%", "--name", "www.example.com"]].concat());
    assert!(code == Some(1) && error.contains("of the clients of www.example.com. A move, more than 5 %"), "{error}");
    let (code, _, error) = told(&[&arguments[..], &["--max-move", "5%", "--name", "nope.example.com"]].concat());
    assert!(code == Some(2) && error.contains("no steered name is `nope.example.com.` in either configuration"), "{code:?} {error}");
    let (code, out, error) = told(&[&arguments[..], &["--max-move", "5%", "--name", "twin.example.com"]].concat());
    assert!(code == Some(1) && out.contains("no longer steered: twin.example.com.\n"), "{code:?} {out}");
    assert!(error.contains("`twin.example.com.` is no longer steered: all of its clients move, more than 5 %"), "{error}");
    let (code, out, error) = told(&[&arguments[..], &["--max-move", "5%", "--name", "other.example.com"]].concat());
    assert!(code == Some(0) && out.contains("newly steered: other.example.com.\n"), "{code:?} {out}{error}");
    let (_, out, _) = told(&[&arguments[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["no_longer_steered"][0], &json["newly_steered"][0]), (&"twin.example.com.".into(), &"other.example.com.".into()));
    let same = ["diff", files[0].to_str().unwrap(), files[0].to_str().unwrap(), "--max-move", "0%"];
    let (code, out, _) = told(&same);
    assert!(code == Some(0) && out.ends_with("8 answers (name and type) stay as they are for every client\n"), "{out}");
}

#[test]
fn a_file_of_counts_that_cannot_be_used_is_told_of_line_by_line() {
    let folder = folder("counts");
    let config = folder.join("meridian.yaml");
    for (text, said) in [
        ("network\n10.0.0.0/8\n", "does not name the columns"),
        ("network,count\n10.0.0.1/8,1\nx,2\n10.0.0.0/8,-1\n", "clients.csv:3:1: error: `x` is not a network"),
        ("network,count\n10.0.0.0/8,0\n", "nobody is counted"),
    ] {
        folder.write("clients.csv", text);
        let clients = folder.join("clients.csv");
        let (code, _, error) =
            told(&["simulate", "--down", "eu", "--clients", clients.to_str().unwrap(), "--config", config.to_str().unwrap()]);
        assert!(code == Some(3) && error.contains(said), "{said}\n{error}");
    }
}

#[test]
fn the_map_shows_regions_clients_and_moves() {
    let folder = folder("map");
    let (config, map, clients) = (folder.join("meridian.yaml"), folder.join("map.svg"), folder.join("clients.csv"));
    let name = Name::parse("www.example.com", None).unwrap().to_string();
    let arguments = [
        "simulate",
        "--down",
        "us",
        "--map",
        map.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--clients",
        clients.to_str().unwrap(),
    ];
    assert_eq!(told(&[&arguments[..], &["--name", &name]].concat()).0, Some(0));
    let svg = std::fs::read_to_string(&map).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("<title>www.example.com., without us</title>") && svg.contains("<title>us to eu: 30.00 %</title>"), "{svg}");
    assert!(svg.contains(">eu: 70.00 % before, 100.00 % after<") && svg.contains(">us: 30.00 % before, 0.00 % after<"));
    assert_eq!(svg.matches("<circle ").count(), 3, "one for each place");
    assert_eq!(svg.matches("stroke-width=\"3\"/>").count(), 1, "the region that is lost is crossed out");
}

#[test]
fn the_ci_of_an_operators_repository_passes_and_refuses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = root.join("examples/ci");
    let binary = Path::new(env!("CARGO_BIN_EXE_meridian")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let ci = |new: &Path| {
        let output = Command::new("sh").arg(example.join("ci.sh")).arg(&example).arg(new).env("PATH", &path).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = ci(&example);
    assert!(code == Some(0) && text.contains("worst     us-east"), "{text}");
    let copy = |change: (&str, &str, &str)| {
        let files = ["meridian.yaml", "regions.yaml", "networks.csv", "example.com.zone.yaml", "tests.yaml", "clients.csv"];
        let read = |file: &&str| (**file == *change.0, std::fs::read_to_string(example.join(file)).unwrap());
        let texts: Vec<(&str, String)> = files
            .iter()
            .map(|file| {
                let (is_changed, text) = read(file);
                assert!(!is_changed || text.contains(change.1), "{}", change.1);
                (*file, if is_changed { text.replace(change.1, change.2) } else { text })
            })
            .collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(file, text)| (*file, text.as_str())).collect();
        Folder::with("ci", &texts)
    };
    for (change, code, said) in [
        (("regions.yaml", "longitude: -6.26}", "longitude: -6.26}\n    weight: 4"), 1, "move, more than 5 %"),
        (("tests.yaml", "expect: {region: us-east}", "expect: {region: eu-west}"), 3, "this test fails"),
        (("example.com.zone.yaml", "service: web", "service: wep"), 3, "did you mean `web`?"),
    ] {
        let new = copy(change);
        let (found, text) = ci(new.join("meridian.yaml").parent().unwrap());
        assert!(found == Some(code) && text.contains(said), "{change:?}: {found:?}\n{text}");
    }
}

//! `meridian explain`: live and assumed health, text and JSON, and exit codes that a script can use.

use serde_json::Value;

use crate::common::folder::Folder;
use crate::common::server::{Server, run};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nworkers: 1\nregions: regions.yaml\nzones: \"*.zone.yaml\"\nstate_dir: state\n\
                      networks: {10.1.0.0/16: {latitude: 53, longitude: -6}}\n";

const REGIONS: &str = "regions:\n  eu: {location: {latitude: 53, longitude: -6}, services: {web: 192.0.2.1}}\n  \
                       us: {location: {latitude: 39, longitude: -77}, services: {web: 192.0.2.2}}\n";

const ZONE: &str = "zone: example.com\nns: [ns.example.net.]\nrecords: {www: {steer: web}, static: {A: 192.0.2.9}}\n";

fn folder() -> Folder {
    Folder::with("explain", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)])
}

/// Exit code, standard output, standard error.
fn told(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = folder.join("meridian.yaml");
    let output = run(&[arguments, &["--config", config.to_str().unwrap()]].concat());
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_exit_code_says_whether_there_are_records() {
    let folder = folder();
    for (name, qtype, code, class) in [
        ("www.example.com", "a", 0, ""),
        ("static.example.com", "a", 0, ""),
        ("www.example.com", "aaaa", 1, "nodata"),
        ("none.example.com", "a", 1, "name-error"),
        ("www.example.org", "a", 1, "refused"),
    ] {
        let (status, out, error) = told(&folder, &["explain", name, "--client", "10.1.2.0/24", "--type", qtype]);
        assert_eq!(status, Some(code), "{name} {qtype}\n{out}{error}");
        assert!(error.contains(class) && out.contains("status  "), "{name} {qtype}\n{out}{error}");
    }
}

#[test]
fn e3_a_client_that_hides_its_address_is_the_peer() {
    let (_, out, _) = told(&folder(), &["explain", "www.example.com", "--client", "0.0.0.0/0"]);
    assert!(out.contains("\nsubnet    none, or not used here (`ecs`): whoever asks is the client, at 0.0.0.0\n"), "{out}");
    assert!(out.contains("\nscope     /0\n"), "{out}");
}

#[test]
fn json_says_what_the_text_says() {
    let folder = folder();
    let arguments = ["explain", "www.example.com", "--client", "10.1.2.0/24", "--down", "eu"];
    let (_, text, _) = told(&folder, &arguments);
    let (code, out, _) = told(&folder, &[&arguments[..], &["--format", "json"]].concat());
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["question"]["client"], "10.1.2.0/24");
    assert_eq!((&json["reason"], &json["status"], &json["scope"]), (&"failover".into(), &"NOERROR".into(), &16.into()));
    assert_eq!((&json["answer"][0]["data"], &json["answer"][0]["ttl"]), (&"192.0.2.2".into(), &json["decision"]["ttl_s"]));
    let regions = json["decision"]["regions"].as_array().unwrap();
    let fates: Vec<(&str, &str)> = regions.iter().map(|row| (row["region"].as_str().unwrap(), row["fate"].as_str().unwrap())).collect();
    assert_eq!(fates, [("eu", "down, passed over"), ("us", "up, chosen")]);
    for (region, fate) in fates {
        assert!(text.lines().any(|line| line.contains(region) && line.ends_with(fate)), "{region} {fate}\n{text}");
    }
    let place = &json["decision"]["place"];
    assert_eq!(
        (&place["latitude"], &place["longitude"], &json["decision"]["network"]),
        (&53.0.into(), &(-6.0).into(), &"10.1.0.0/16".into())
    );
}

#[test]
fn live_asks_the_running_server_for_its_world_and_its_health() {
    let folder = folder();
    let server = Server::start(&folder.join("meridian.yaml"));
    let live = ["explain", "www.example.com", "--client", "10.1.2.0/24", "--live"];
    let (code, out, error) = told(&folder, &live);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("\nhealth    as the server has it, generation 1\n") && out.contains(" A 192.0.2.1\n"), "{out}");
    assert_eq!(told(&folder, &["ctl", "drain", "eu", "--reason", "disk"]).0, Some(0));
    let (_, out, _) = told(&folder, &live);
    assert!(out.contains("forced down, passed over; so for 0s") && out.contains(" A 192.0.2.2\n"), "{out}");
    let (_, out, _) = told(&folder, &[&live[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    let row = &json["decision"]["regions"][0];
    assert_eq!((&row["region"], &row["fate"]), (&"eu".into(), &"forced down, passed over".into()));
    assert!(row["for_s"].as_u64().unwrap() < 60 && json["generation"].as_u64().unwrap() > 1, "{json}");
    // What the files say meanwhile does not matter.
    folder.write("example.com.zone.yaml", "zone: example.com\nns: [ns.example.net.]\nrecords: {}\n");
    assert!(told(&folder, &live).1.contains(" A 192.0.2.2\n"));
    let (code, _, error) = told(&folder, &["explain", "a..b", "--client", "10.1.2.0/24", "--live"]);
    assert!(code == Some(2) && error.contains("`a..b` is not a name"), "{error}");
    server.stop();
    let (code, _, error) = told(&folder, &live);
    assert!(code == Some(1) && error.contains("cannot reach the server"), "{error}");
}

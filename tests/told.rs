//! Health that others tell, and what the API tells beside health: simulations, plans, names, settings with their origin.
//! All over the real binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::net::TcpStream;

use common::api::{Reply, by_socket, get, request};
use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{self, Server};
use common::wait_until;
use serde_json::{Value, json};

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\nworkers: 1\n";
const REGIONS: &str = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n  b:\n    \
                       location: {latitude: 60, longitude: 100}\n    services: {web: 192.0.2.2}\n";
const ZONE: &str = "zone: example.com\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  www: {steer: {service: web, order: priority}}\n  \
                    near: {steer: web}\n";

fn folder(name: &str, more: &str) -> Folder {
    Folder::with(name, &[("meridian.yaml", &format!("{SERVER}{more}")), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE)])
}

fn tell(folder: &Folder, body: &Value) -> Reply {
    by_socket(folder, "POST", "/v1/health", body)
}

fn answers_from(server: &Server) -> u8 {
    *udp(server.address(), &query("www.example.com.", "A")).octets.last().unwrap()
}

fn ctl(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let path = folder.join("meridian.yaml");
    let output = server::run(&[&["ctl"], arguments, &["--config", path.to_str().unwrap()]].concat());
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_a_job_without_a_user_tells_it_can_take_back() {
    let folder = folder("told-job", "");
    let _server = Server::start(&folder.join("meridian.yaml"));
    let path = folder.join("meridian.yaml");
    let told = |state: &str| {
        let mut command = std::process::Command::new(server::BINARY);
        ["SUDO_USER", "USER", "LOGNAME"].iter().for_each(|variable| _ = command.env_remove(variable));
        command.args(["ctl", "tell", "a", state, "--config"]).arg(&path).output().unwrap().status.code()
    };
    assert_eq!(["down", "nothing", "nothing"].map(told), [Some(0), Some(0), Some(1)]);
}

#[test]
fn what_others_tell_takes_a_region_out_until_it_expires_and_what_is_forced_beats_it() {
    let folder = folder("told", "");
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(answers_from(&server), 1);
    let down = json!({ "of": "a/web", "state": "down", "author": "nagios", "reason": "3 of 5", "expires_s": 3600 });
    let told = tell(&folder, &down);
    assert_eq!((told.status, told.json()), (202, json!({ "endpoints": 1, "changed": true, "expires_s": 3600 })));
    assert_eq!(answers_from(&server), 2);
    assert_eq!(tell(&folder, &down).json()["changed"], false, "a repetition is no change");
    server.wait_for_all(0, &["asked by the API", "tell down", "nagios", "3 of 5"]);
    let status = get(&folder, "/v1/status").json();
    assert_eq!((&status["told"][0]["author"], &status["told"][0]["reason"]), (&json!("nagios"), &json!("3 of 5")));
    let history = get(&folder, "/v1/changes?region=a").json();
    assert_eq!((&history["changes"][0]["to"], &history["changes"][0]["evidence"]), (&json!("down"), &json!("told by nagios: 3 of 5")));
    assert!(get(&folder, "/metrics").body.contains("meridian_told{state=\"down\"} 1"));

    // Another author who says up beats nobody; an operator does.
    assert_eq!(tell(&folder, &json!({ "of": "a", "state": "up", "author": "zabbix" })).status, 202);
    assert_eq!(answers_from(&server), 2);
    assert_eq!(ctl(&folder, &["up", "a"]).0, Some(0));
    assert_eq!(answers_from(&server), 1);
    assert_eq!(ctl(&folder, &["clear", "a"]).0, Some(0));
    assert_eq!(answers_from(&server), 2);

    // It outlives a restart, and ends by itself or by its author.
    server.stop();
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(answers_from(&server), 2);
    let (code, shown) = ctl(&folder, &["tell", "a/web", "nothing", "--author", "nagios"]);
    assert!(code == Some(0) && shown.contains("1 report taken back"), "{shown}");
    assert_eq!(answers_from(&server), 1);
    assert_eq!(ctl(&folder, &["tell", "a", "down", "--author", "cron", "--reason", "test", "--expires", "1s"]).0, Some(0));
    wait_until(|| answers_from(&server) == 1, || "it does not expire".to_owned());
    for (body, status) in [
        (json!({ "of": "nowhere", "state": "up" }), 409),
        (json!({ "of": "a", "state": "degraded" }), 400),
        (json!({ "of": "a//", "state": "up" }), 400),
        (json!({ "of": "a", "state": "up", "expires_s": 0 }), 400),
        (json!({ "of": "a" }), 422),
    ] {
        let reply = tell(&folder, &body);
        assert_eq!(reply.status, status, "{}", reply.body);
    }
}

#[test]
fn a_token_that_tells_has_its_own_voice_and_no_other() {
    let folder = folder("told-token", "api: {listen: \"127.0.0.1:0\", tokens: tokens}\n");
    folder.write("tokens", "nagios tell abcdefghijklmnop\n");
    let server = Server::start(&folder.join("meridian.yaml"));
    let line = server.wait_for(0, "the API listens");
    let address = line.split("address=").nth(1).unwrap().trim();
    let ask = |method: &str, path: &str, body: &Value| {
        let headers = "Authorization: Bearer abcdefghijklmnop\r\nContent-Type: application/json\r\n";
        request(TcpStream::connect(address).unwrap(), method, path, headers, &if body.is_null() { String::new() } else { body.to_string() })
    };
    assert_eq!(ask("POST", "/v1/health", &json!({ "of": "a", "state": "down", "author": "somebody else" })).status, 202);
    assert_eq!(get(&folder, "/v1/health").json()["told"][0]["author"], "nagios");
    assert_eq!(ask("POST", "/v1/overrides", &json!({ "selector": "a", "state": "drain" })).status, 403);
    assert_eq!(tell(&folder, &json!({ "of": "a", "state": "down", "author": "kim" })).status, 202);
    assert_eq!(ask("DELETE", "/v1/health?of=a&author=kim", &Value::Null).json(), json!({ "reports": 1 }));
    assert_eq!(get(&folder, "/v1/health").json()["told"][0]["author"], "kim", "it took back its own word");
}

#[test]
fn a_simulation_says_who_would_go_where_from_the_health_of_now() {
    let folder = folder("told-simulate", "");
    let server = Server::start(&folder.join("meridian.yaml"));
    let ask = |query: &str| get(&folder, &format!("/v1/simulate?{query}"));
    let lost = ask("name=www.example.com&down=a").json();
    assert_eq!((&lost["moved_percent"], &lost["lost_percent"], &lost["endpoints"]), (&json!(100.0), &json!(0.0), &json!(1)), "{lost}");
    assert_eq!((&lost["moves"][0]["from"], &lost["moves"][0]["to"]), (&json!("a"), &json!("b")));
    assert_eq!(answers_from(&server), 1, "nobody is answered by it");
    assert_eq!(ctl(&folder, &["drain", "a"]).0, Some(0));
    assert_eq!(ask("name=www.example.com&down=a").json()["moved_percent"], 0.0, "they have moved already");
    let (code, shown) = ctl(&folder, &["simulate", "near.example.com", "--down", "b/web"]);
    assert!(code == Some(0) && shown.contains("moved 0.00 %"), "with the other one forced down it is all there is: {shown}");
    for (query, status) in [
        ("name=www.example.com&down=nowhere", 409),
        ("name=ns1.example.com&down=a", 404),
        ("name=www.example.com&down=a&type=MX", 400),
        ("name=www.example.com&down=a//", 400),
        ("down=a", 400),
    ] {
        assert_eq!(ask(query).status, status, "{query}");
    }
}

#[test]
fn countries_are_told_by_a_sample_of_the_answers() {
    let folder = folder("told-countries", "geodb: own.csv\n");
    folder.write("own.csv", "network,latitude,longitude,country\n198.51.100.0/24,48,11,DE\n203.0.113.0/24,48,2,FR\n");
    let server = Server::start(&folder.join("meridian.yaml"));
    for _ in 0..256 {
        udp(server.address(), &query("www.example.com.", "A").subnet("198.51.100.0/24"));
    }
    let told = get(&folder, "/v1/statistics").json();
    let sampled = told["countries_sampled"].as_u64().unwrap();
    assert!((1..=8).contains(&sampled), "{told}");
    assert_eq!(told["countries"], json!([{ "country": "DE", "answers": sampled, "percent": 100.0 }]));
    let line = format!("meridian_country_samples_total{{country=\"DE\"}} {sampled}");
    assert!(get(&folder, "/metrics").body.contains(&line), "{line}");
}

#[test]
fn names_plans_and_settings_are_told_as_they_are_in_force() {
    let folder = folder("told-settings", "udp_size: 1400\n");
    let _server = Server::start(&folder.join("meridian.yaml"));
    let name = get(&folder, "/v1/names/WWW.example.com").json();
    assert_eq!(name["steering"][0]["candidates"][1]["endpoints"], json!([{ "address": "192.0.2.2", "weight": 1.0 }]), "{name}");
    assert_eq!(get(&folder, "/v1/names/ns1.example.com").status, 404);
    let plans = get(&folder, "/v1/plans").json();
    assert_eq!((&plans["total"], &plans["plans"][0]["names"]), (&json!(2), &json!(["near.example.com."])), "the larger one first: {plans}");

    // The files may be anything by now: what was loaded is told.
    folder.write("meridian.yaml", &format!("{SERVER}udp_size: 600\n"));
    let setting = |key: &str| get(&folder, &format!("/v1/configuration?under={key}")).json()["settings"][0].clone();
    let typed = setting("server/udp_size");
    assert_eq!((&typed["value"], &typed["line"]), (&json!("1400"), &json!(7)));
    assert!(typed["file"].as_str().unwrap().ends_with("meridian.yaml"), "{typed}");
    assert_eq!(
        setting("names/www.example.com/answers"),
        json!({ "key": "names/www.example.com/answers", "value": "1", "file": null, "line": null })
    );
    let (code, shown) = ctl(&folder, &["config", "names/www.example.com"]);
    assert!(code == Some(0) && shown.contains("z.zone.yaml:5") && shown.contains("default"), "{shown}");
    for (arguments, expected) in [
        (&["names"][..], "near.example.com."),
        (&["names", "www.example.com"], "192.0.2.2"),
        (&["zones"], "by content"),
        (&["plans"], "2 plans"),
        (&["statistics"], "queries in"),
    ] {
        let (code, shown) = ctl(&folder, arguments);
        assert!(code == Some(0) && shown.contains(expected), "{arguments:?}: {shown}");
    }
}

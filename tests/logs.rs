//! Logs over the real binary: the log as JSON, and the query log as JSON lines and as dnstap, to a file and to a collector.
//! What the lines mean is documented in docs/operations.md.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;

use common::client::{tcp, udp};
use common::daemon::find;
use common::folder::Folder;
use common::message::query;
use common::server::Server;
use common::{skip_without, wait_until};
use serde_json::Value;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nnsid: ns7\n";
const REGIONS: &str = "regions:\n  a:\n    location: {latitude: 1, longitude: 10}\n    services: {web: 192.0.2.1}\n";
const ZONE: &str = "zone: example.com\nsoa: {mname: ns1, rname: hostmaster}\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  \
                    www: {steer: {service: web}}\n";

fn folder(name: &str, more: &str) -> Folder {
    Folder::with(name, &[("meridian.yaml", &format!("{SERVER}{more}\n")), ("regions.yaml", REGIONS), ("z.zone.yaml", ZONE)])
}

#[test]
fn the_log_is_json_where_the_server_file_says_so() {
    let folder = folder("logs-json", "log: json");
    // Nobody listens there.
    folder.write("regions.yaml", &REGIONS.replace("192.0.2.1}", "{endpoints: [127.0.0.1], monitor: {tcp: 9, fall: 1}}}"));
    let server = Server::start(&folder.join("meridian.yaml"));
    server.wait_for(0, "a target changed");
    let (_, lines) = server.stop();
    // Whoever reads an object keeps one value of a name that stands in it twice.
    let twice =
        |line: &&String| ["target", "level", "message", "timestamp"].iter().any(|key| line.matches(&format!("\"{key}\":")).count() != 1);
    assert_eq!(lines.iter().find(twice), None);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let ready = lines.iter().find(|line| line["message"] == "ready").unwrap();
    assert_eq!((&ready["level"], &ready["zones"]), (&"INFO".into(), &1.into()));
    let changed = lines.iter().find(|line| line["message"] == "a target changed").unwrap();
    assert_eq!(changed["probed"], "tcp://127.0.0.1:9");
}

#[test]
fn the_query_log_says_what_was_asked_and_answered_and_follows_a_renamed_file() {
    let folder = folder("logs-queries", "query_log: {json: queries.jsonl, answers: [positive, refused]}");
    let server = Server::start(&folder.join("meridian.yaml"));
    udp(server.address(), &query("www.example.com.", "A").subnet("198.51.100.0/24"));
    udp(server.address(), &query("nothing.example.com.", "A"));
    tcp(server.address(), &query("www.example.net.", "AAAA"));
    let path = folder.join("queries.jsonl");
    let read = || fs::read_to_string(&path).unwrap_or_default();
    wait_until(|| read().lines().count() == 2, read);
    let lines: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
    let told = of("www.example.com.");
    for (key, expected) in [
        ("type", "A"),
        ("subnet", "198.51.100.0/24"),
        ("answer", "positive"),
        ("zone", "example.com."),
        ("region", "a"),
        ("transport", "udp"),
        ("client", "127.0.0.1"),
    ] {
        assert_eq!(told[key], expected, "{key}: {told}");
    }
    let told = of("www.example.net.");
    assert_eq!(
        (&told["answer"], &told["rcode"], &told["zone"], &told["transport"]),
        (&"refused".into(), &5.into(), &Value::Null, &"tcp".into())
    );

    fs::rename(&path, folder.join("queries.1")).unwrap();
    wait_until(|| path.exists(), || "the file is not opened anew".into());
    udp(server.address(), &query("www.example.com.", "A"));
    wait_until(|| read().lines().count() == 1, read);
}

#[test]
fn one_in_so_many_is_logged_and_only_of_the_zones_that_are_wanted() {
    let folder = folder("logs-sample", "query_log: {json: queries.jsonl, sample: 10, zones: [example.com]}\nworkers: 1");
    let server = Server::start(&folder.join("meridian.yaml"));
    for _ in 0..30 {
        udp(server.address(), &query("www.example.com.", "A"));
    }
    for _ in 0..30 {
        udp(server.address(), &query("www.example.net.", "A"));
    }
    // The end writes what waits.
    server.stop();
    let text = fs::read_to_string(folder.join("queries.jsonl")).unwrap();
    assert_eq!((text.lines().count(), text.matches("www.example.com.").count()), (3, 3), "{text}");
}

#[test]
fn only_queries_of_the_clients_and_for_the_names_that_are_wanted_are_logged() {
    let filters =
        "query_log: {json: queries.jsonl, clients: [198.51.100.0/24], names: [www.example.com, \"*.deep.example.com\"]}\nworkers: 1";
    let folder = folder("logs-filters", filters);
    let server = Server::start(&folder.join("meridian.yaml"));
    let inside = "198.51.100.128/25";
    for (name, subnet) in [
        ("WWW.example.com.", Some(inside)),
        ("a.b.deep.example.com.", Some(inside)),
        ("deep.example.com.", Some(inside)),
        ("ns1.example.com.", Some(inside)),
        ("www.example.com.", Some("203.0.113.0/24")),
        ("www.example.com.", None),
    ] {
        let query = query(name, "A");
        udp(server.address(), &subnet.map_or(query.clone(), |subnet| query.subnet(subnet)));
    }
    // The end writes what waits.
    server.stop();
    let text = fs::read_to_string(folder.join("queries.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<&str> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(seen, ["WWW.example.com.", "a.b.deep.example.com."], "{text}");
}

#[test]
fn a_file_of_dnstap_is_read_by_the_tool_of_bind() {
    let Some(program) = find("dnstap-read") else { return skip_without("dnstap-read") };
    let folder = folder("logs-dnstap", "query_log: {dnstap: queries.dnstap}");
    let server = Server::start(&folder.join("meridian.yaml"));
    udp(server.address(), &query("www.example.com.", "A"));
    tcp(server.address(), &query("nothing.example.com.", "AAAA"));
    server.stop();
    let output = Command::new(program).arg("-y").arg(folder.join("queries.dnstap")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    for expected in ["AUTH_RESPONSE", "identity: ns7", "www.example.com", "status: NOERROR", "status: NXDOMAIN", "socket_protocol: TCP"] {
        assert!(told.contains(expected), "{expected}\n{told}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The names that a file of dnstap has, as often as it has them, and whether it ends in order.
fn frames(octets: &[u8]) -> (usize, bool) {
    let (mut rest, mut count, mut is_ended) = (octets, 0, false);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 {
            let control = u32::from_be_bytes(after[..4].try_into().unwrap()) as usize;
            // STOP is the one that ends a stream.
            is_ended = after[4..8] == [0, 0, 0, 3];
            rest = &after[4 + control..];
        } else {
            assert!(!is_ended, "a frame after the end");
            count += after[..length].windows(4).filter(|window| window == b"\x03www").count().min(1);
            rest = &after[length..];
        }
    }
    assert!(rest.is_empty(), "half a frame");
    (count, is_ended)
}

#[test]
fn two_processes_at_a_takeover_write_two_streams_of_dnstap_and_lines_of_one_file() {
    for kind in ["dnstap", "json"] {
        let folder = folder(&format!("logs-takeover-{kind}"), &format!("query_log: {{{kind}: queries}}\nworkers: 1\nstate_dir: state"));
        let config = folder.join("meridian.yaml");
        let old = Server::start(&config);
        let address = old.address();
        // A connection stays with the process that has it.
        let mut kept = common::client::Tcp::to(address);
        kept.ask(&query("www.example.com.", "A"));
        let new = Server::take_over(&config);
        new.wait_for(0, "took over");
        new.wait_for(0, "ready");
        for _ in 0..20 {
            kept.ask(&query("www.example.com.", "A"));
            udp(address, &query("www.example.com.", "A"));
        }
        drop(kept);
        assert!(old.wait().0.success());
        // It goes on by itself: the process that left has not taken the file away.
        udp(address, &query("www.example.com.", "A"));
        assert!(new.stop().0.success());
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        if kind == "dnstap" {
            let ((by_old, old_is_whole), (by_new, new_is_whole)) = (frames(&read("queries.before")), frames(&read("queries")));
            assert!(old_is_whole && new_is_whole);
            // For a moment both read packets; what came by the connection is the old one's.
            assert!(by_old >= 21 && by_new >= 1 && by_old + by_new == 42, "{by_old} and {by_new}");
        } else {
            let text = String::from_utf8(read("queries")).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 42);
        }
    }
}

#[test]
fn a_takeover_that_fails_leaves_the_stream_of_dnstap_to_the_process_that_goes_on() {
    let folder = folder("logs-takeover-fails", "query_log: {dnstap: queries}\nworkers: 1\nstate_dir: state");
    let config = folder.join("meridian.yaml");
    let old = Server::start(&config);
    let address = old.address();
    let ask = || udp(address, &query("www.example.com.", "A"));
    let read = || fs::read(folder.join("queries")).unwrap_or_default();
    ask();
    wait_until(|| !read().is_empty(), || "nothing is written".into());
    // One more address, which somebody else has.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen: [\"127.0.0.1:0\", \"{}\"]", taken.local_addr().unwrap());
    let server = fs::read_to_string(&config).unwrap().replace("listen: \"127.0.0.1:0\"", &listen);
    fs::write(folder.join("other.yaml"), server).unwrap();
    for _ in 0..2 {
        let (status, lines) = Server::take_over(&folder.join("other.yaml")).wait();
        assert!(!status.success() && lines.iter().any(|line| line.contains("in use")), "{lines:#?}");
        ask();
    }
    assert!(old.stop().0.success());
    assert_eq!(frames(&read()), (3, true));
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("queries")).collect::<Vec<_>>(), ["queries"]);
    if let Some(program) = find("dnstap-read") {
        let output = Command::new(program).arg(folder.join("queries")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told.matches("www.example.com").count(), 3, "{told}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_collector_gets_frames_when_it_comes_and_answers_do_not_wait_for_it() {
    let folder = folder("logs-collector", "query_log: {dnstap_socket: collector.sock}\nstate_dir: state");
    let server = Server::start(&folder.join("meridian.yaml"));
    // Nobody is there yet.
    udp(server.address(), &query("www.example.com.", "A"));
    let listener = UnixListener::bind(folder.join("collector.sock")).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut ready = [0; 42];
    stream.read_exact(&mut ready).unwrap();
    let accept: Vec<u8> = [&ready[..11], &[1], &ready[12..]].concat();
    assert_eq!(ready[11], 4, "READY");
    stream.write_all(&accept).unwrap();
    let mut start = [0; 42];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(start[11], 2, "START");
    server.wait_for(0, "has a collector");
    udp(server.address(), &query("www.example.com.", "A"));
    let mut octets = [0; 4];
    stream.read_exact(&mut octets).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(octets) as usize];
    stream.read_exact(&mut frame).unwrap();
    assert!(frame.windows(4).any(|window| window == b"\x03www"), "{frame:?}");
    drop(stream);
    server.stop();
}

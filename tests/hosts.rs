//! Endpoints that are given as host names, and `meridian probe`, with the real binary: a DNS server on loopback says which addresses
//! the names have, and moves them. What the resolution of a name is worth is tested beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::PATIENCE;
use common::backend::Backend;
use common::client::udp;
use common::folder::Folder;
use common::message::query;
use common::server::{self, Server};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};

const ZONE: &str = "zone: example.com\nsoa: {mname: ns1, rname: hostmaster}\nns: [ns1]\nrecords:\n  ns1: {A: 192.0.2.53}\n  \
                    www: {steer: {service: web, ttl: 60, answers: 8, order: priority}}\n";

/// Names and their addresses, with a TTL of 1 s; a name that is not there is a server failure.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Names {
    /// Gives a name its addresses.
    fn set(&self, name: &str, addresses: &[&str]) {
        self.0.lock().unwrap().insert(format!("{name}."), addresses.iter().map(|text| text.parse().unwrap()).collect());
    }

    /// Fails for the name from now on.
    fn fail(&self, name: &str) {
        self.0.lock().unwrap().remove(&format!("{name}."));
    }

    /// Serves for as long as the test runs.
    fn serve(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let names = self.clone();
        std::thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok((len, peer)) = socket.recv_from(&mut octets) {
                let answer = names.answer(Message::from_vec(&octets[..len]).unwrap());
                _ = socket.send_to(&answer.to_vec().unwrap(), peer);
            }
        });
        address
    }

    fn answer(&self, mut message: Message) -> Message {
        message.metadata.message_type = MessageType::Response;
        let question = message.queries[0].clone();
        let Some(addresses) = self.0.lock().unwrap().get(&question.name().to_ascii()).cloned() else {
            message.metadata.response_code = ResponseCode::ServFail;
            return message;
        };
        for address in addresses {
            let data = match (address, question.query_type()) {
                (IpAddr::V4(v4), RecordType::A) => RData::A(A(v4)),
                (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(v6)),
                _ => continue,
            };
            message.add_answer(Record::from_rdata(question.name().clone(), 1, data));
        }
        message
    }
}

fn folder(name: &str, resolver: SocketAddr, services: &[&str]) -> Folder {
    let server = format!(
        "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: z.zone.yaml\nstate_dir: state\nresolvers: \"{resolver}\"\n"
    );
    let region = |(number, service): (usize, &&str)| {
        format!("  r{number}:\n    location: {{latitude: {number}, longitude: 10}}\n    services: {{web: {service}}}\n")
    };
    let regions: String = (1..).zip(services).map(region).collect();
    Folder::with(name, &[("meridian.yaml", &server), ("regions.yaml", &format!("regions:\n{regions}")), ("z.zone.yaml", ZONE)])
}

fn addresses(server: &Server, rtype: &str) -> Vec<String> {
    let mut found: Vec<String> =
        udp(server.address(), &query("www.example.com", rtype)).addresses().iter().map(IpAddr::to_string).collect();
    found.sort();
    found
}

/// Asks until the answer is as expected.
fn wait_for_answer(server: &Server, rtype: &str, expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    while addresses(server, rtype) != expected {
        assert!(Instant::now() < deadline, "{:?}, not {expected:?}:\n{}", addresses(server, rtype), server.lines().join("\n"));
        std::thread::yield_now();
    }
}

fn meridian(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = folder.join("meridian.yaml");
    let output = server::run(&[arguments, &["--config", config.to_str().unwrap()]].concat());
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_addresses_of_a_host_name_are_answered_follow_its_owner_and_stay_while_it_cannot_be_resolved() {
    let names = Names::default();
    names.set("lb.example.net", &["192.0.2.2", "192.0.2.1", "2001:db8::1"]);
    let resolver = names.serve();
    let folder = folder("hosts-move", resolver, &["[lb.example.net]", "[192.0.2.99]"]);
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(addresses(&server, "A"), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(addresses(&server, "AAAA"), ["2001:db8::1"]);
    let (code, shown, _) = meridian(&folder, &["status"]);
    assert!(code == Some(0) && shown.contains("lb.example.net  192.0.2.1 192.0.2.2 2001:db8::1"), "{shown}");

    let mark = server.mark();
    names.set("lb.example.net", &["192.0.2.2", "192.0.2.3"]);
    server.wait_for_all(mark, &["a host name has new addresses", "lb.example.net"]);
    wait_for_answer(&server, "A", &["192.0.2.2", "192.0.2.3"]);
    let reply = udp(server.address(), &query("www.example.com", "AAAA"));
    assert!(reply.addresses().is_empty() && reply.soa_ttl().is_some_and(|ttl| ttl <= 10), "p3: no address of the family, for a while");
    // A family that the name does not have is no failure.
    assert_eq!(meridian(&folder, &["status"]).0, Some(0));

    let mark = server.mark();
    names.fail("lb.example.net");
    server.wait_for_all(mark, &["a host name cannot be resolved", "lb.example.net"]);
    assert_eq!(addresses(&server, "A"), ["192.0.2.2", "192.0.2.3"]);
    server.stop();
    // What was known last outlives the process too.
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(addresses(&server, "A"), ["192.0.2.2", "192.0.2.3"]);
    let (_, shown, _) = meridian(&folder, &["ctl", "drain", "*/*/lb.example.net"]);
    assert_eq!(shown, "1 endpoint\n");
    assert_eq!(addresses(&server, "A"), ["192.0.2.99"]);
}

#[test]
fn a_host_name_that_was_never_resolved_leaves_its_clients_to_the_next_region() {
    let names = Names::default();
    let folder = folder("hosts-unknown", names.serve(), &["[lb.example.net]", "[192.0.2.99]"]);
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(addresses(&server, "A"), ["192.0.2.99"]);
    let (code, shown, error) = meridian(&folder, &["status"]);
    assert!(code == Some(1) && shown.contains("no address") && error.contains("1 host names have no address"), "{shown}{error}");
    names.set("lb.example.net", &["192.0.2.1"]);
    wait_for_answer(&server, "A", &["192.0.2.1"]);
}

#[test]
fn h1_each_address_of_a_host_is_probed_by_itself_and_before_the_first_answer() {
    let backend = Backend::start();
    let names = Names::default();
    // Nobody listens on the second.
    names.set("lb.example.net", &["127.0.0.1", "127.0.0.2"]);
    let service = format!("{{endpoints: [lb.example.net], monitor: {{http: {{path: /health, port: {}}}}}}}", backend.port());
    let folder = folder("hosts-probed", names.serve(), &[&service]);
    let server = Server::start(&folder.join("meridian.yaml"));
    assert_eq!(addresses(&server, "A"), ["127.0.0.1"]);
    let (code, shown, _) = meridian(&folder, &["probe", "lb.example.net"]);
    assert!(code == Some(1) && shown.contains("  resolve") && shown.contains("verdict      good: HTTP 200"), "{shown}");
    assert!(shown.contains(&format!("(Host lb.example.net:{})", backend.port())), "{shown}");
    assert!(shown.contains("verdict      failed: connection refused"), "{shown}");
    names.fail("lb.example.net");
    let (code, shown, _) = meridian(&folder, &["probe", "web"]);
    assert!(code == Some(1) && shown.starts_with("r1/web/lb.example.net\n  resolve      failed: "), "{shown}");
    names.set("lb.example.net", &["127.0.0.1", "127.0.0.2"]);
    let (_, shown, _) = meridian(&folder, &["explain", "www.example.com", "--client", "192.0.2.7"]);
    assert!(shown.contains("IN A 127.0.0.1") && shown.contains("IN A 127.0.0.2"), "{shown}");
    let (code, shown, _) = meridian(&folder, &["check"]);
    assert!(code == Some(0) && shown.contains("lb.example.net, resolved while serving"), "{shown}");
}

#[test]
fn probe_shows_the_steps_and_its_exit_code_says_whether_all_serve() {
    let backend = Backend::start();
    let service = format!("{{endpoints: [127.0.0.1], monitor: [{{http: {{path: /health, port: {0}}}}}, {{tcp: {0}}}]}}", backend.port());
    let folder = folder("probe", Names::default().serve(), &[&service]);
    for whom in ["web", "r1", "127.0.0.1", "r1/web/127.*"] {
        let (code, shown, _) = meridian(&folder, &["probe", whom]);
        assert_eq!(code, Some(0), "{whom}: {shown}");
        for step in ["for r1/web/127.0.0.1", "connect", "first byte", "body", "assertions", "200, wanted 200-399", "good: connected"] {
            assert!(shown.contains(step), "{step}: {shown}");
        }
    }
    backend.set_status(503);
    let (code, shown, error) = meridian(&folder, &["probe", "web", "--format", "json"]);
    assert_eq!((code, error.as_str()), (Some(1), "error: 1 of 2 probes failed\n"), "{shown}");
    let found: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(found["probes"][0]["outcome"], "failed");
    assert_eq!(found["probes"][0]["assertions"][0]["found"], "503, wanted 200-399");
    assert_eq!(found["probes"][1]["phases"][0]["phase"], "connect");
    let (code, _, error) = meridian(&folder, &["probe", "nothing"]);
    assert!(code == Some(2) && error.contains("names no endpoint; the services are `web`"), "{error}");
}

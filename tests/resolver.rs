//! A resolver in front: unbound caches, randomises letter case, minimises names strictly and forwards client subnets, and every kind of
//! name resolves through it. Nothing here looks at our own replies; where unbound is not installed, the tests say so and end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use common::client::{tcp, udp};
use common::daemon::{Daemon, Recipe};
use common::folder::Folder;
use common::message::{Query, Reply, query};
use common::server::Server;

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

const UNBOUND: &str = include_str!("cases/resolver/unbound.conf");

const FILES: [(&str, &str); 5] = [
    ("meridian.yaml", include_str!("cases/resolver/meridian.yaml")),
    ("regions.yaml", include_str!("cases/resolver/regions.yaml")),
    ("example.test.zone.yaml", include_str!("cases/resolver/example.test.zone.yaml")),
    ("child.example.test.zone.yaml", include_str!("cases/resolver/child.example.test.zone.yaml")),
    ("other.test.zone.yaml", include_str!("cases/resolver/other.test.zone.yaml")),
];

/// What a client asks, and what it must get: type and data of each record, in the order of the chain; RRsets of several are sorted.
const NAMES: [(&str, &str, &[&str]); 32] = [
    ("example.test", "A", &["A 192.0.2.1"]),
    ("example.test", "NS", &["NS ns1.example.test."]),
    ("example.test", "SOA", &["SOA ns1.example.test. hostmaster.example.test. 7 14400 3600 1209600 60"]),
    ("example.test", "MX", &["MX 10 mail.example.test.", "MX 20 mail.other.test."]),
    ("example.test", "CAA", &["CAA 0 issue \"ca.example.net\""]),
    ("mail.example.test", "A", &["A 192.0.2.25"]),
    ("mail.example.test", "AAAA", &["AAAA 2001:db8::25"]),
    ("mixed.example.test", "A", &["A 192.0.2.7"]),
    ("_sip._tcp.example.test", "SRV", &["SRV 1 2 5060 mail.example.test."]),
    ("1.2.0.192.rev.example.test", "PTR", &["PTR mail.example.test."]),
    // Below empty non-terminals: a minimising resolver asks for each of them first.
    ("a.b.c.example.test", "A", &["A 192.0.2.8"]),
    ("host.ent.wild.example.test", "A", &["A 192.0.2.11"]),
    ("x.wild.example.test", "A", &["A 192.0.2.10"]),
    ("x.y.z.wild.example.test", "A", &["A 192.0.2.10"]),
    ("other.wild.example.test", "TXT", &["TXT from the wildcard"]),
    ("x.alias.example.test", "A", &["CNAME mail.example.test.", "A 192.0.2.25"]),
    ("c1.example.test", "A", &["CNAME c2.example.test.", "CNAME c3.example.test.", "CNAME mail.example.test.", "A 192.0.2.25"]),
    ("c1.example.test", "CNAME", &["CNAME c2.example.test."]),
    ("away.example.test", "A", &["CNAME www.other.test.", "A 192.0.2.57"]),
    ("down.example.test", "A", &["CNAME www.child.example.test.", "A 192.0.2.55"]),
    ("www.child.example.test", "A", &["A 192.0.2.55"]),
    ("child.example.test", "NS", &["NS ns.child.example.test."]),
    ("www.other.test", "A", &["A 192.0.2.57"]),
    // Steered; the resolver is of unknown place, so the first region answers.
    ("www.example.test", "A", &["A 192.0.2.10"]),
    ("www.example.test", "AAAA", &["AAAA 2001:db8:1::10"]),
    ("all.example.test", "A", &["A 192.0.2.10"]),
    ("cdn.example.test", "A", &["CNAME www.example.test.", "A 192.0.2.10"]),
    ("back.other.test", "AAAA", &["CNAME cdn.example.test.", "CNAME www.example.test.", "AAAA 2001:db8:1::10"]),
    ("x.apps.example.test", "A", &["A 192.0.2.10"]),
    ("x.y.apps.example.test", "AAAA", &["AAAA 2001:db8:1::10"]),
    ("www.example.test", "TXT", &[]),
    ("x.wild.example.test", "MX", &[]),
];

/// Names that exist without the type, and names that do not exist.
const NEGATIVES: [(&str, &str, u16); 11] = [
    ("v4only.example.test", "AAAA", NOERROR),
    ("b.c.example.test", "A", NOERROR),
    ("c.example.test", "TXT", NOERROR),
    ("wild.example.test", "A", NOERROR),
    ("ent.wild.example.test", "A", NOERROR),
    ("_tcp.example.test", "A", NOERROR),
    ("missing.example.test", "A", NXDOMAIN),
    ("x.y.z.missing.example.test", "AAAA", NXDOMAIN),
    ("x.ent.wild.example.test", "A", NXDOMAIN),
    ("nowhere.example.test", "A", NXDOMAIN),
    ("x.www.example.test", "A", NXDOMAIN),
];

/// The authoritative server, and unbound in front of it.
struct Front {
    unbound: Daemon,
    _server: Server,
    _folder: Folder,
}

impl Front {
    /// `None` where unbound is not installed.
    fn start(modules: &str, subnet: &str) -> Option<Front> {
        let folder = Folder::with("resolver", &FILES);
        let server = Server::start(&folder.join("meridian.yaml"));
        let address = server.address();
        let config = UNBOUND.replace("@MODULES@", modules).replace("@SUBNET@", subnet);
        let config = config.replace("@STUB@", &format!("{}@{}", address.ip(), address.port()));
        let arguments = &["-d", "-c", "@CONFIG@"];
        let recipe = Recipe { program: "unbound", arguments, config: &config, files: &[], ready: "start of service" };
        Daemon::start(&recipe).map(|unbound| Front { unbound, _server: server, _folder: folder })
    }

    fn ask(&self, query: &Query) -> Reply {
        udp(self.unbound.address(), query)
    }

    /// unbound reports a server that does not keep the letters of the question, and one that it gives up on.
    fn assert_content(&self) {
        let complaints: Vec<String> = self.unbound.log().into_iter().filter(|line| !line.contains("info:")).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

/// Type and data of the answers; equal types that follow each other are sorted.
fn records(reply: &Reply) -> Vec<String> {
    let texts = reply.message.answers.iter().map(|record| format!("{} {}", record.record_type(), record.data));
    let mut texts: Vec<String> = texts.collect();
    texts.chunk_by_mut(|a, b| !a.starts_with("CNAME") && a.split(' ').next() == b.split(' ').next()).for_each(<[String]>::sort);
    texts
}

#[test]
fn every_kind_of_name_resolves_through_a_caching_minimising_case_randomising_resolver() {
    let Some(front) = Front::start("iterator", "") else { return };
    // The second time the answers come from the cache.
    for round in ["fresh", "cached"] {
        for (name, qtype, expected) in NAMES {
            let reply = front.ask(&query(name, qtype));
            assert_eq!((reply.rcode(), &records(&reply)[..]), (NOERROR, &expected.map_to_strings()[..]), "{round} {name} {qtype}");
        }
        for (name, qtype, rcode) in NEGATIVES {
            let reply = front.ask(&query(name, qtype));
            let addresses = records(&reply).iter().filter(|record| !record.starts_with("CNAME")).count();
            assert_eq!((reply.rcode(), addresses), (rcode, 0), "{round} {name} {qtype}");
            assert!(reply.soa_ttl().is_some_and(|ttl| ttl <= 60), "{round} {name} {qtype}: {:?}", reply.authorities());
        }
    }
    front.assert_content();
}

#[test]
fn answers_too_large_for_udp_resolve() {
    let Some(front) = Front::start("iterator", "") else { return };
    // The first fits what unbound says that it takes, for the second it must come back over TCP.
    for (name, octets) in [("long.example.test", 600), ("vast.example.test", 3_000)] {
        let reply = tcp(front.unbound.address(), &query(name, "TXT"));
        let text = records(&reply).concat();
        assert_eq!((reply.rcode(), text.len() >= octets), (NOERROR, true), "{name}: {text}");
        let cut = front.ask(&query(name, "TXT"));
        assert!(cut.is_truncated(), "{name}");
    }
    front.assert_content();
}

/// BEHAVIOUR S7: one option with the longest scope for a whole chain is a departure from the SHOULD of RFC 7871 7.2.1; this shows that
/// a caching resolver gives every network its own answer all the same.
#[test]
fn s7_a_resolver_that_forwards_client_subnets_caches_by_our_scope() {
    let subnet = "    send-client-subnet: 127.0.0.1\n    client-subnet-always-forward: yes\n    max-client-subnet-ipv4: 32";
    let Some(front) = Front::start("subnetcache iterator", subnet) else { return };
    let (europe, america) = ("192.0.2.10", "192.0.2.20");
    let clients = [
        ("203.0.113.0/26", america),
        ("198.51.100.0/24", europe),
        // A network of another place inside the first one's: a scope that is too short would answer this one from the cache.
        ("203.0.113.64/26", europe),
        ("203.0.113.128/25", america),
        ("198.51.100.7/32", europe),
        ("203.0.113.1/32", america),
    ];
    for round in ["fresh", "cached"] {
        for name in ["www.example.test", "cdn.example.test", "back.other.test"] {
            for (client, expected) in clients {
                let reply = front.ask(&query(name, "A").subnet(client));
                let addresses: Vec<String> = reply.addresses().iter().map(ToString::to_string).collect();
                assert_eq!(addresses, [expected], "{round} {name} for {client}");
            }
        }
        // Names that do not depend on the client are cached for all.
        assert_eq!(records(&front.ask(&query("mail.example.test", "A").subnet("198.51.100.0/24"))), ["A 192.0.2.25"], "{round}");
    }
    front.assert_content();
}

/// For comparing with texts that were made.
trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

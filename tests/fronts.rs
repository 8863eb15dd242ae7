//! Forwarders and resolvers in front, as operators put them there: dnsdist, dnsmasq, PowerDNS Recursor and Knot Resolver, the first three with
//! client subnets. Each resolves every kind of name, and clients of each place get its answers by scope, fresh and from the cache.
//! Where a program is not installed its test says so and ends. Unbound has tests of its own in `resolver.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use common::PATIENCE;
use common::client::tcp;
use common::daemon::{Daemon, Recipe};
use common::folder::Folder;
use common::message::{Query, Reply, query};
use common::server::Server;

const FILES: [(&str, &str); 5] = [
    ("meridian.yaml", include_str!("cases/fronts/meridian.yaml")),
    ("regions.yaml", include_str!("cases/resolver/regions.yaml")),
    ("example.test.zone.yaml", include_str!("cases/resolver/example.test.zone.yaml")),
    ("child.example.test.zone.yaml", include_str!("cases/resolver/child.example.test.zone.yaml")),
    ("other.test.zone.yaml", include_str!("cases/resolver/other.test.zone.yaml")),
];

const EUROPE: &str = "192.0.2.10";
const AMERICA: &str = "192.0.2.20";

/// Clients by their own address, which whoever stands in front makes a client subnet of; the third network lies inside the second one's.
const CLIENTS: [([u8; 4], &str); 4] =
    [([127, 1, 2, 3], EUROPE), ([127, 2, 2, 3], AMERICA), ([127, 2, 64, 9], EUROPE), ([127, 2, 64, 77], AMERICA)];

/// Names that do not depend on who asks, one of each kind, and the last record of the answer.
const NAMES: [(&str, &str, &str); 6] = [
    ("mail.example.test", "A", "192.0.2.25"),
    ("a.b.c.example.test", "A", "192.0.2.8"),
    ("x.y.wild.example.test", "A", "192.0.2.10"),
    ("c1.example.test", "A", "192.0.2.25"),
    ("host.old.example.test", "A", "192.0.2.58"),
    ("www.child.example.test", "A", "192.0.2.55"),
];

/// Aliases that lead into another zone: a resolver goes on there, a forwarder hands on what it was given.
const ALIASES: [(&str, &str); 2] = [("away.example.test", "192.0.2.57"), ("back.other.test", AMERICA)];

/// The authoritative server, and another program in front of it.
struct Front {
    front: Daemon,
    _server: Server,
    _folder: Folder,
}

impl Front {
    /// `None` where the program is not installed. `@SERVER@` in its configuration is the address of our server, `@SERVER_PORT@` its port.
    fn start(recipe: &Recipe<'_>) -> Option<Front> {
        let folder = Folder::with("fronts", &FILES);
        let server = Server::start(&folder.join("meridian.yaml"));
        let (ip, port) = (server.address().ip().to_string(), server.address().port().to_string());
        let told = |text: &str| text.replace("@SERVER@", &ip).replace("@SERVER_PORT@", &port);
        let files: Vec<(&str, String)> = recipe.files.iter().map(|(name, text)| (*name, told(text))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
        let recipe = Recipe { config: &told(recipe.config), files: &files, ..*recipe };
        Daemon::start(&recipe).map(|front| Front { front, _server: server, _folder: folder })
    }

    fn ask_from(&self, client: [u8; 4], query: &Query) -> Reply {
        let socket = UdpSocket::bind((Ipv4Addr::from(client), 0)).unwrap();
        socket.connect(self.front.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(&query.octets()).unwrap();
        let mut octets = [0; 4_096];
        let length = socket.recv(&mut octets).unwrap_or_else(|error| panic!("{error}: {query:?}"));
        Reply::read(&octets[..length])
    }

    /// Names of every kind resolve, the second time from the cache.
    fn assert_resolves(&self) {
        for round in ["fresh", "cached"] {
            for (name, qtype, last) in NAMES {
                let reply = self.ask_from([127, 0, 0, 1], &query(name, qtype));
                let found = reply.addresses().last().map(ToString::to_string);
                assert_eq!((reply.rcode(), found.as_deref()), (0, Some(last)), "{round} {name}: {:?}", reply.answers());
            }
            let missing = self.ask_from([127, 0, 0, 1], &query("x.missing.example.test", "A"));
            assert_eq!((missing.rcode(), missing.answers().len()), (3, 0), "{round}");
            let nodata = self.ask_from([127, 0, 0, 1], &query("v4only.example.test", "AAAA"));
            assert_eq!((nodata.rcode(), nodata.answers().len()), (0, 0), "{round}");
        }
        let large = tcp(self.front.address(), &query("vast.example.test", "TXT"));
        assert!(large.octets.len() > 3_000, "{} octets", large.octets.len());
    }

    /// Clients of each network get the answer of their place, whoever asked before.
    fn assert_places(&self) {
        for round in ["fresh", "cached", "cached again"] {
            for name in ["www.example.test", "cdn.example.test"] {
                for (client, expected) in CLIENTS {
                    let reply = self.ask_from(client, &query(name, "A"));
                    let addresses: Vec<String> = reply.addresses().iter().map(ToString::to_string).collect();
                    assert_eq!(addresses, [expected], "{round} {name} for {client:?}");
                }
            }
        }
    }
}

#[test]
fn dnsdist_in_front_passes_client_subnets_on_and_caches_by_them() {
    let recipe = Recipe {
        program: "dnsdist",
        arguments: &["--supervised", "--disable-syslog", "-C", "@CONFIG@"],
        config: include_str!("cases/fronts/dnsdist.conf"),
        files: &[],
        ready: "as 'up'",
    };
    let Some(front) = Front::start(&recipe) else { return };
    front.assert_resolves();
    front.assert_places();
}

#[test]
fn dnsmasq_in_front_adds_client_subnets() {
    let recipe = Recipe {
        program: "dnsmasq",
        arguments: &["-k", "-C", "@CONFIG@"],
        config: include_str!("cases/fronts/dnsmasq.conf"),
        files: &[],
        ready: "using nameserver",
    };
    let Some(front) = Front::start(&recipe) else { return };
    front.assert_resolves();
    front.assert_places();
}

#[test]
fn s7_powerdns_recursor_in_front_caches_by_our_scope() {
    let recipe = Recipe {
        program: "pdns_recursor",
        arguments: &["--config-dir=@FOLDER@"],
        config: "",
        files: &[("recursor.conf", include_str!("cases/fronts/recursor.conf"))],
        ready: "Enabled multiplexer",
    };
    let Some(front) = Front::start(&recipe) else { return };
    front.assert_resolves();
    front.assert_places();
    for (name, last) in ALIASES {
        let reply = front.ask_from([127, 2, 2, 3], &query(name, "A"));
        assert_eq!(reply.addresses().last().map(ToString::to_string).as_deref(), Some(last), "{name}: {:?}", reply.answers());
    }
}

#[test]
fn knot_resolver_in_front_resolves_and_has_the_answer_of_its_own_place() {
    let recipe = Recipe {
        program: "kresd",
        arguments: &["-n", "-c", "@CONFIG@", "@FOLDER@"],
        config: include_str!("cases/fronts/kresd.conf"),
        files: &[],
        ready: "listening as configured",
    };
    let Some(front) = Front::start(&recipe) else { return };
    front.assert_resolves();
    // It has no client subnets: whoever asks gets what the resolver gets, which is of unknown place here.
    for (client, _) in CLIENTS {
        assert_eq!(front.ask_from(client, &query("www.example.test", "A")).addresses(), [EUROPE.parse::<IpAddr>().unwrap()]);
    }
}

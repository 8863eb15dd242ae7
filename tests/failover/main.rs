//! Failover with the real binary, real sockets and real back ends: what an operator would see with dig while data centres come and go.
//! Nothing sleeps: what must happen is waited for in the log or in answers, up to a deadline.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "../common/mod.rs"]
mod common;
mod load;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::backend::Backend;
use common::client::{Tcp, Udp, has_ipv6, tcp, udp};
use common::folder::Folder;
use common::message::{Query, Reply, query};
use common::server::Server;

/// Five data centres on five continents: name, place, and a client near each by the built-in world table, in IPv4 and IPv6.
const REGIONS: [(&str, f64, f64, &str, &str); 5] = [
    ("us-east", 38.95, -77.45, "17.1.2.0/24", "2600:1::/48"),
    ("eu-west", 53.35, -6.26, "193.0.6.0/24", "2a00:1::/48"),
    ("ap-southeast", 1.35, 103.82, "1.1.1.0/24", "2400:1::/48"),
    ("sa-east", -23.55, -46.63, "200.1.2.0/24", "2800:1::/48"),
    ("af-south", -33.92, 18.42, "41.1.2.0/24", "2c0f:1::/48"),
];

/// Where the clients of eu-west go when it is out.
const NEXT_NEAREST_TO_EU: &str = "us-east";

const INTERVAL_MS: u64 = 300;
const TIMEOUT_MS: u64 = 250;
const FALL: u64 = 2;
const RISE: u64 = 2;

/// The promise of BEHAVIOUR H2: a change is seen in answers this long after it happened, at the latest.
const DETECTION: Duration = Duration::from_millis(FALL * INTERVAL_MS + TIMEOUT_MS + 1000);
const RECOVERY: Duration = Duration::from_millis(RISE * INTERVAL_MS + TIMEOUT_MS + 1000);

const ZONE: &str = r#"
zone: example.com
ns: [ns.example.net.]
records:
  www: {steer: {service: web, ttl: 30}}
  strict: {steer: {service: web, ttl: 30, on_all_down: nodata}}
  static: {A: 198.51.100.1}
"#;

/// A server file that listens on a free port of 127.0.0.1.
const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nworkers: 2\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n";

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10 * (index as u8 + 1)))
}

fn address_v6(index: usize) -> IpAddr {
    format!("2001:db8:{}::10", index + 1).parse().unwrap()
}

/// The region file for back ends on these ports; `more` are further lines of each service.
fn regions(ports: &[u16], more: &str) -> String {
    let region = |(index, (name, latitude, longitude, ..)): (usize, &(&str, f64, f64, &str, &str))| {
        let monitor = format!(
            "{{http: {{path: /health, port: {}}}, address: 127.0.0.1, interval: {INTERVAL_MS}ms, timeout: {TIMEOUT_MS}ms, fall: {FALL}, rise: {RISE}}}",
            ports[index]
        );
        format!(
            "  {name}:\n    location: {{latitude: {latitude}, longitude: {longitude}}}\n    services:\n      web:\n        endpoints: [{}, \"{}\"]\n        monitor: {monitor}\n{more}",
            address(index),
            address_v6(index)
        )
    };
    format!("regions:\n{}", REGIONS.iter().enumerate().map(region).collect::<String>())
}

fn config(ports: &[u16]) -> Folder {
    config_with(ports, "", ZONE)
}

fn config_with(ports: &[u16], more: &str, zone: &str) -> Folder {
    Folder::with("failover", &[("meridian.yaml", SERVER), ("regions.yaml", &regions(ports, more)), ("example.com.zone.yaml", zone)])
}

/// Five back ends and the server that watches them.
struct Fleet {
    backends: Vec<Backend>,
    folder: Folder,
    server: Server,
    client: Udp,
}

impl Fleet {
    fn start() -> Fleet {
        Fleet::start_with("", ZONE)
    }

    /// With further lines in each service, and a zone of its own.
    fn start_with(more: &str, zone: &str) -> Fleet {
        let backends: Vec<Backend> = REGIONS.iter().map(|_| Backend::start()).collect();
        let ports: Vec<u16> = backends.iter().map(Backend::port).collect();
        let folder = config_with(&ports, more, zone);
        let server = Server::start(&folder.join("meridian.yaml"));
        let client = Udp::to(server.address());
        Fleet { backends, folder, server, client }
    }

    /// The region that answers each continent's client now, with everything else that an answer has.
    fn view(&self) -> BTreeMap<&'static str, (&'static str, u32, u8)> {
        let seen = REGIONS.iter().map(|(name, _, _, subnet, _)| {
            let reply = self.client.ask(&query("www.example.com", "A").subnet(subnet));
            (*name, (region_of(&reply), reply.ttl().unwrap(), reply.scope().unwrap()))
        });
        seen.collect()
    }

    /// The same, regions only.
    fn regions(&self) -> BTreeMap<&'static str, &'static str> {
        self.view().into_iter().map(|(client, (region, ..))| (client, region)).collect()
    }

    /// Asks until the answers are as expected; gives the time it took. On the way there nothing else must be answered.
    fn wait_for(&self, expected: &BTreeMap<&'static str, &'static str>) -> Duration {
        let (before, start) = (self.regions(), Instant::now());
        loop {
            let now = self.regions();
            for (client, region) in &now {
                assert!(*region == before[client] || *region == expected[client], "{client} is sent to {region}");
            }
            if now == *expected {
                return start.elapsed();
            }
            assert!(start.elapsed() < PATIENCE, "{now:?} instead of {expected:?}\n{}", self.server.lines().join("\n"));
        }
    }
}

/// Every client is sent to the region near it.
fn at_home() -> BTreeMap<&'static str, &'static str> {
    REGIONS.iter().map(|(name, ..)| (*name, *name)).collect()
}

/// As at home, but for one client.
fn moved(client: &'static str, to: &'static str) -> BTreeMap<&'static str, &'static str> {
    let mut regions = at_home();
    regions.insert(client, to);
    regions
}

fn region_of(reply: &Reply) -> &'static str {
    let [found] = reply.addresses()[..] else { panic!("{:?}", reply.answers()) };
    let index = (0..REGIONS.len()).find(|index| [address(*index), address_v6(*index)].contains(&found));
    REGIONS[index.unwrap_or_else(|| panic!("{found} is no endpoint"))].0
}

#[test]
fn clients_on_five_continents_get_their_near_region() {
    let fleet = Fleet::start();
    let server = fleet.server.address();
    for (index, (name, _, _, v4, v6)) in REGIONS.iter().enumerate() {
        for (subnet, qtype, expected) in
            [(v4, "A", address(index)), (v6, "A", address(index)), (v4, "AAAA", address_v6(index)), (v6, "AAAA", address_v6(index))]
        {
            let question = query("www.example.com", qtype).subnet(subnet);
            for reply in [udp(server, &question), tcp(server, &question)] {
                assert_eq!(reply.addresses(), [expected], "{name}: {qtype} for {subnet}");
                assert!(reply.is_authoritative() && reply.rcode() == 0 && reply.ttl() == Some(30) && reply.scope() > Some(0));
            }
        }
    }
}

#[test]
fn h2_a_stopped_data_centre_loses_exactly_its_clients_in_time_and_gets_them_back() {
    let mut fleet = Fleet::start();
    let before = fleet.view();
    assert_eq!(fleet.regions(), at_home());

    let stopped = Instant::now();
    fleet.backends[1].stop();
    fleet.wait_for(&moved("eu-west", NEXT_NEAREST_TO_EU));
    assert!(stopped.elapsed() <= DETECTION, "noticed after {:?}, promised were {DETECTION:?}", stopped.elapsed());
    let during = fleet.view();
    assert_eq!(during["eu-west"].2, before["eu-west"].2, "a failover never changes the scope (S4)");
    let others = |view: &BTreeMap<&'static str, (&'static str, u32, u8)>| {
        view.iter()
            .filter(|(client, _)| **client != "eu-west")
            .map(|(client, (region, _, scope))| (*client, *region, *scope))
            .collect::<Vec<_>>()
    };
    assert_eq!(others(&before), others(&during));
    fleet.server.wait_for_all(0, &["a region changed", "eu-west", "from=available", "to=down"]);

    let started = Instant::now();
    fleet.backends[1].start_again();
    fleet.wait_for(&at_home());
    assert!(started.elapsed() <= RECOVERY, "noticed after {:?}, promised were {RECOVERY:?}", started.elapsed());

    // The answer may be there before the line has been read.
    fleet.server.wait_for_all(0, &["a target changed", "from=down", "to=up"]);

    // Each change of a target is logged once, with its evidence (H6): 1 to up at the start of each, then down and up of one.
    let lines = fleet.server.lines();
    let changes: Vec<&String> = lines.iter().filter(|line| line.contains("a target changed")).collect();
    assert_eq!(changes.len(), REGIONS.len() + 2, "{changes:#?}");
    assert!(changes.iter().all(|line| line.contains("evidence=")), "{changes:#?}");
}

#[test]
fn a_failing_status_is_as_good_as_a_closed_port() {
    let fleet = Fleet::start();
    fleet.backends[1].set_status(503);
    fleet.wait_for(&moved("eu-west", NEXT_NEAREST_TO_EU));
    fleet.server.wait_for_all(0, &["a target changed", "to=down", "503"]);
    fleet.backends[1].set_status(204);
    fleet.wait_for(&at_home());
}

#[test]
fn p2_when_everything_is_down_each_name_answers_as_configured() {
    let mut fleet = Fleet::start();
    fleet.backends.iter_mut().for_each(Backend::stop);
    let start = Instant::now();
    let strict = query("strict.example.com", "A").subnet(REGIONS[1].3);
    let reply = loop {
        let reply = fleet.client.ask(&strict);
        if reply.addresses().is_empty() {
            break reply;
        }
        assert!(start.elapsed() < PATIENCE, "{}", fleet.server.lines().join("\n"));
    };
    // NODATA, short-lived, the same for everyone (P3, S6).
    assert_eq!((reply.rcode(), reply.is_authoritative(), reply.answers().len()), (0, true, 0));
    assert!(reply.soa_ttl().is_some_and(|ttl| ttl <= 10), "{:?}", reply.authorities());
    assert_eq!(reply.scope(), Some(0));
    // Fail open: as if everything were up, but short-lived (P3).
    for (client, (region, ttl, _)) in fleet.view() {
        assert_eq!(region, client);
        assert!(ttl <= 10, "a fail-open answer lives for {ttl} s");
    }
    assert_eq!(fleet.client.ask(&query("www.example.com", "AAAA").subnet(REGIONS[3].4)).addresses(), [address_v6(3)]);
    // Static names know nothing of it.
    assert_eq!(fleet.client.ask(&query("static.example.com", "A")).ttl(), Some(300));

    fleet.backends.iter_mut().for_each(Backend::start_again);
    let start = Instant::now();
    while fleet.view().values().any(|(_, ttl, _)| *ttl != 30) || fleet.client.ask(&strict).addresses() != [address(1)] {
        assert!(start.elapsed() < PATIENCE, "{}", fleet.server.lines().join("\n"));
    }
    assert_eq!(fleet.regions(), at_home());
}

/// A data centre that is down before the start is never answered, not even in the first reply: probes come before sockets.
#[test]
fn h1_the_first_reply_of_all_knows_what_is_down() {
    let mut backends: Vec<Backend> = REGIONS.iter().map(|_| Backend::start()).collect();
    backends[1].stop();
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ports: Vec<u16> = backends.iter().map(Backend::port).collect();
    ports[3] = silent.local_addr().unwrap().port();
    let folder = config(&ports);
    // A port known beforehand, so that the queries can be there before the server.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    folder.write("meridian.yaml", &SERVER.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let server = Server::launch(&folder.join("meridian.yaml"));

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let start = Instant::now();
    let (mut replies, mut octets) = (0, [0; 1232]);
    while replies < 400 {
        let near = REGIONS[[1, 3][replies % 2]];
        // Until the server has bound its socket, both calls fail; nothing is lost by asking again.
        _ = client.send(&query("www.example.com", "A").subnet(near.3).octets());
        if let Ok(length) = client.recv(&mut octets) {
            let region = region_of(&Reply::read(&octets[..length]));
            assert!(region != "eu-west" && region != "sa-east", "reply {replies} sends a client to {region}, which is down");
            replies += 1;
        }
        assert!(start.elapsed() < PATIENCE, "{}", server.lines().join("\n"));
    }
    // It did not have to be guessed: the first round was complete.
    assert!(!server.lines().iter().any(|line| line.contains("the first round of probes is not complete")));
    assert!(backends.iter().enumerate().all(|(index, backend)| [1, 3].contains(&index) || backend.requests() > 0));
}

#[test]
fn r1_a_reload_serves_the_new_and_keeps_the_health_of_what_it_has_probed() {
    let mut fleet = Fleet::start();
    fleet.backends[1].stop();
    let down = moved("eu-west", NEXT_NEAREST_TO_EU);
    fleet.wait_for(&down);
    let mark = fleet.server.mark();

    // While the reload is under way and after it no reply goes to the region that is known to be down.
    fleet.folder.write("example.com.zone.yaml", &ZONE.replace("198.51.100.1", "198.51.100.2").replace("web, ttl: 30}}", "web, ttl: 40}}"));
    fleet.server.signal("HUP");
    let start = Instant::now();
    while fleet.client.ask(&query("static.example.com", "A")).addresses() != ["198.51.100.2".parse::<IpAddr>().unwrap()] {
        assert_eq!(fleet.regions(), down);
        assert!(start.elapsed() < PATIENCE, "{}", fleet.server.lines().join("\n"));
    }
    fleet.server.wait_for(mark, "reloaded");
    for _ in 0..50 {
        assert!(fleet.view().iter().all(|(client, (region, ttl, _))| *region == down[client] && *ttl == 40));
    }
    // Two rounds of probes later nothing has become unknown or flapped.
    let rounds = fleet.backends[0].requests() + 2;
    while fleet.backends[0].requests() < rounds {
        assert_eq!(fleet.regions(), down);
    }
    let after: Vec<String> = fleet.server.lines().split_off(mark);
    assert!(!after.iter().any(|line| line.contains("changed")), "{after:#?}");

    // A region that moves to another port is another target: it is measured anew.
    let elsewhere = Backend::start();
    let mut ports: Vec<u16> = fleet.backends.iter().map(Backend::port).collect();
    ports[1] = elsewhere.port();
    fleet.folder.write("regions.yaml", &regions(&ports, ""));
    fleet.server.signal("HUP");
    fleet.wait_for(&at_home());
}

#[test]
fn r1_a_bad_file_changes_nothing_and_the_log_says_why() {
    let fleet = Fleet::start();
    let soa = |fleet: &Fleet| fleet.client.ask(&query("example.com", "SOA")).answers();
    let before = (fleet.view(), soa(&fleet));
    let bad = [
        ("example.com.zone.yaml", ZONE.replace("ttl: 30}}", "tttl: 30}}"), "example.com.zone.yaml:5:"),
        ("example.com.zone.yaml", ZONE.replace("198.51.100.1", "198.51.100.256"), "example.com.zone.yaml:7:"),
        ("example.com.zone.yaml", "zone: [".into(), "example.com.zone.yaml:1:"),
        ("regions.yaml", "regions: {}\n".into(), "no region offers the service `web`"),
    ];
    for (file, text, expected) in bad {
        let mark = fleet.server.mark();
        let good = std::fs::read_to_string(fleet.folder.join(file)).unwrap();
        fleet.folder.write(file, &text);
        fleet.server.signal("HUP");
        fleet.server.wait_for(mark, "reload refused");
        fleet.server.wait_for(mark, expected);
        assert_eq!((fleet.view(), soa(&fleet)), before);
        fleet.folder.write(file, &good);
    }
    // The next good one is taken, and is the first that counts.
    let mark = fleet.server.mark();
    fleet.folder.write("example.com.zone.yaml", &ZONE.replace("198.51.100.1", "198.51.100.9"));
    fleet.server.signal("HUP");
    fleet.server.wait_for(mark, "reloaded");
    assert_eq!(fleet.client.ask(&query("static.example.com", "A")).addresses(), ["198.51.100.9".parse::<IpAddr>().unwrap()]);
    assert_ne!(soa(&fleet), before.1, "another content, another serial (T2)");
    assert_eq!(fleet.regions(), at_home());
}

#[test]
fn t1_while_a_change_is_pending_answers_do_not_outlive_it() {
    let mut backend = Backend::start();
    // 100 failures in a row at 300 ms: half a minute in which the region stays, but might go.
    let monitor =
        format!("{{http: {{port: {}}}, address: 127.0.0.1, interval: 300ms, timeout: 250ms, fall: 100, rise: 1}}", backend.port());
    let regions = format!(
        "regions: {{a: {{location: {{latitude: 0, longitude: 0}}, services: {{web: {{endpoints: [192.0.2.10], monitor: {monitor}}}}}}}}}\n"
    );
    let zone = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  www: {steer: {service: web, ttl: 1h}}\n  floor: {steer: {service: web, ttl: 1h, ttl_min: 10m}}\n";
    let folder = Folder::with("pending", &[("meridian.yaml", SERVER), ("regions.yaml", &regions), ("example.com.zone.yaml", zone)]);
    let server = Server::start(&folder.join("meridian.yaml"));
    let client = Udp::to(server.address());
    let ttl = |name: &str| client.ask(&query(name, "A")).ttl().unwrap();
    let wait_for = |wanted: &dyn Fn(u32) -> bool| {
        let start = Instant::now();
        while !wanted(ttl("www.example.com")) {
            assert!(start.elapsed() < PATIENCE, "{}", server.lines().join("\n"));
        }
    };
    assert_eq!((ttl("www.example.com"), ttl("floor.example.com")), (3600, 3600), "a settled name keeps its TTL");
    backend.stop();
    wait_for(&|ttl| (5..=30).contains(&ttl));
    assert_eq!(ttl("floor.example.com"), 600, "never under `ttl_min`");
    backend.start_again();
    wait_for(&|ttl| ttl == 3600);
    assert_eq!(ttl("floor.example.com"), 3600);
}

#[test]
fn t2_a_written_serial_must_grow_with_the_zone() {
    let fleet = Fleet::start();
    let serial = |fleet: &Fleet| fleet.client.ask(&query("example.com", "SOA")).answers()[0].split(' ').nth(5).unwrap().to_owned();
    let zone =
        |serial: u32, address: &str| ZONE.replace("ns: [", &format!("soa: {{serial: {serial}}}\nns: [")).replace("198.51.100.1", address);
    let reload = |text: &str, outcome: &str| {
        let mark = fleet.server.mark();
        fleet.folder.write("example.com.zone.yaml", text);
        fleet.server.signal("HUP");
        fleet.server.wait_for(mark, outcome);
        serial(&fleet)
    };
    // From a serial worked out to one that is written: whatever the first was, this one is after it.
    let first = serial(&fleet).parse::<u32>().unwrap().wrapping_add(1);
    assert_eq!(reload(&zone(first, "198.51.100.1"), "reloaded"), first.to_string());
    assert_eq!(reload(&zone(first, "198.51.100.2"), "reload refused"), first.to_string(), "changed under the same serial");
    assert_eq!(fleet.client.ask(&query("static.example.com", "A")).addresses(), ["198.51.100.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(reload(&zone(first.wrapping_sub(1), "198.51.100.2"), "reload refused"), first.to_string());
    assert_eq!(reload(&zone(first, "198.51.100.1"), "reloaded"), first.to_string(), "nothing has changed");
    let next = first.wrapping_add(1);
    assert_eq!(reload(&zone(next, "198.51.100.2"), "reloaded"), next.to_string());
}

#[test]
fn r1_what_takes_a_restart_is_said_and_the_rest_is_reloaded() {
    let fleet = Fleet::start();
    let mark = fleet.server.mark();
    fleet.folder.write("meridian.yaml", &SERVER.replace("127.0.0.1:0", "127.0.0.2:0"));
    fleet.server.signal("HUP");
    fleet.server.wait_for(mark, "takes a restart");
    fleet.server.wait_for(mark, "reloaded");
    assert_eq!(fleet.regions(), at_home());
}

#[test]
fn sigterm_and_sigint_drain_and_exit_with_0() {
    for signal in ["TERM", "INT"] {
        let fleet = Fleet::start();
        let question: Query = query("static.example.com", "A").edns(1232);
        let mut connections: Vec<Tcp> = (0..4).map(|_| Tcp::to(fleet.server.address())).collect();
        // One reply each, so that all are known to be accepted.
        connections.iter_mut().for_each(|connection| _ = connection.ask(&question));
        connections[0].send(&question.octets());
        fleet.server.signal(signal);
        assert_eq!(Reply::read(&connections[0].receive().unwrap()).answers().len(), 1, "a query in flight is answered");
        for connection in &mut connections {
            assert!(connection.receive().is_none(), "an idle connection is closed");
        }
        let Fleet { server, .. } = fleet;
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "SIG{signal}\n{}", log.join("\n"));
        let last = log.last().unwrap();
        assert!(log.iter().any(|line| line.contains("draining")) && last.contains("stopped; queries tcp=5"), "{log:#?}");
    }
}

#[test]
fn p5_address_families_fail_apart() {
    if !has_ipv6() {
        println!("skipped: this machine has no ::1");
        return;
    }
    // Endpoints that are probed where they are; one port, and nobody listens on it in IPv6.
    let backend = Backend::start();
    let port = backend.port();
    let region = |name: &str, latitude: i32, endpoints: &str, monitor: &str| {
        format!(
            "  {name}:\n    location: {{latitude: {latitude}, longitude: 0}}\n    services: {{web: {{endpoints: [{endpoints}]{monitor}}}}}\n"
        )
    };
    let monitor = format!(", monitor: {{http: {{port: {port}}}, interval: {INTERVAL_MS}ms, timeout: {TIMEOUT_MS}ms, fall: 2, rise: 2}}");
    let regions =
        format!("regions:\n{}{}", region("near", 50, "127.0.0.1, \"::1\"", &monitor), region("far", 0, "192.0.2.1, \"2001:db8::1\"", ""));
    let zone = "zone: example.com\nns: [ns.example.net.]\nrecords:\n  www: {steer: {service: web}}\n  both: {steer: {service: web, families: together}}\n";
    let files = [("meridian.yaml", SERVER), ("regions.yaml", &regions), ("example.com.zone.yaml", zone)];
    let folder = Folder::with("families", &files);
    let server = Server::start(&folder.join("meridian.yaml"));
    let ask = |name: &str, qtype: &str| udp(server.address(), &query(name, qtype).subnet("193.0.6.0/24")).addresses()[0].to_string();
    assert_eq!((ask("www.example.com", "A"), ask("www.example.com", "AAAA")), ("127.0.0.1".into(), "2001:db8::1".into()));
    assert_eq!((ask("both.example.com", "A"), ask("both.example.com", "AAAA")), ("192.0.2.1".into(), "2001:db8::1".into()));
}

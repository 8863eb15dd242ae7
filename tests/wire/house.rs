//! The one server that all these tests ask, and how they ask it: each question over every transport, each reply judged by what always holds.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use meridian::metrics::Registry;
use meridian::server::{Config, Running, start};
use meridian::snapshot::Shared;

use crate::common::client::{has_ipv6, tcp, udp};
use crate::common::message::{Query, Reply};
use crate::common::readers::{form, seen_by_both};
use crate::common::world::World;

pub(crate) const NOERROR: u16 = 0;
pub(crate) const FORMERR: u16 = 1;
pub(crate) const NXDOMAIN: u16 = 3;
pub(crate) const NOTIMP: u16 = 4;
pub(crate) const REFUSED: u16 = 5;
pub(crate) const NOTAUTH: u16 = 9;
pub(crate) const BADVERS: u16 = 16;

/// The server file. Both loopback addresses stand near `eu`; what nobody knows gets the listed order, `us` first.
pub(crate) const SERVER: &str = r#"
version: 1
listen: "127.0.0.1:0"
regions: regions.yaml
zones: "*.zone.yaml"
nsid: node-1
version_text: tested
geodb: nothing.csv
networks:
  127.0.0.1: {latitude: 53, longitude: -6}
  "::1": {latitude: 53, longitude: -6}
  0.0.0.0: {latitude: 1, longitude: 103}
  "::": {latitude: 1, longitude: 103}
  10.1.0.0/16: {latitude: 53, longitude: -6}
  10.2.0.0/16: {latitude: 39, longitude: -77}
  10.3.0.0/16: {latitude: 1, longitude: 103}
  "2001:db8:1::/48": {latitude: 53, longitude: -6}
  "2001:db8:3::/48": {latitude: 1, longitude: 103}
"#;

pub(crate) const REGIONS: &str = r#"
regions:
  us:
    location: {latitude: 38.95, longitude: -77.45}
    services: {web: [192.0.2.10, "2001:db8::10"], v4: 192.0.2.11, many: [192.0.2.101, 192.0.2.102]}
  eu:
    location: {latitude: 53.35, longitude: -6.26}
    services:
      web: [192.0.2.20, "2001:db8::20"]
      v4: 192.0.2.21
      many: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6, 192.0.2.7, 192.0.2.8, 192.0.2.9, 192.0.2.12]
      few: [192.0.2.31, {address: 192.0.2.32, state: down}, {address: 192.0.2.33, state: drain}, 192.0.2.34]
  ap:
    location: {latitude: 1.35, longitude: 103.82}
    services: {web: [192.0.2.30, "2001:db8::30"], v4: 192.0.2.31}
"#;

const ZONE: &str = r#"
zone: example.com
ttl: 300
soa: {mname: ns1, rname: hostmaster, serial: 7, minimum: 60}
ns: [ns1, NS2]
records:
  ns1: {A: 192.0.2.53, AAAA: "2001:db8::53"}
  ns2: {A: 192.0.2.54}
  "@": {MX: ["10 mail", "20 mail.example.net."], TXT: "v=spf1 -all", CAA: "0 issue \"ca.example.net\""}
  mail: {A: 192.0.2.25}
  _sip._udp: {SRV: "0 5 5060 mail"}
  static: {A: [192.0.2.80, 192.0.2.81], TXT: {ttl: 20, values: [one, two]}}
  v4only: {A: 192.0.2.82}
  www: {steer: {service: web, ttl: 30}, TXT: beside}
  v4: {steer: v4}
  many: {steer: {service: many, answers: 8}}
  few: {steer: {service: few, answers: 4}}
  sticky: {steer: {service: many, balance: sticky}}
  shared: {steer: {service: web, order: any, ttl: 30}}
  random: {steer: {service: web, order: any, share: random}}
  listed: {steer: {service: web, order: priority, regions: [ap, us, eu]}}
  blind: {steer: {service: web, ecs: false}}
  "*.wild": {A: 192.0.2.83, MX: "10 mail"}
  there.wild: {TXT: blocks}
  a.ent.wild: {A: 192.0.2.84}
  "*.apps": {steer: {service: many, balance: sticky}}
  a.b.ent: {A: 192.0.2.85}
  alias: {CNAME: WWW}
  a1: {CNAME: a2}
  a2: {CNAME: a3}
  a3: {CNAME: static}
  a-out: {CNAME: www.example.net.}
  a-none: {CNAME: nowhere}
  a-wild: {CNAME: any.thing.wild}
  a-cut: {CNAME: host.deleg}
  deleg: {NS: [ns.deleg, ns.example.net.]}
  ns.deleg: {A: 192.0.2.90, AAAA: "2001:db8::90"}
  sibling: {NS: [ns1, ns2]}
  sub: {NS: ns.sub}
  ns.sub: {A: 192.0.2.91}
  signed: {NS: ns.signed, DS: "12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"}
  ns.signed: {A: 192.0.2.93}
  kid: {NS: ns.kid, DS: ["54321 13 2 1102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20", "1 8 1 0102030405060708090A0B0C0D0E0F1011121314"]}
  ns.kid: {A: 192.0.2.94}
  a-ds: {CNAME: signed}
"#;

/// Below a cut of the zone above, on the same server.
const CHILD: &str = r#"
zone: sub.example.com
ns: [ns]
records:
  ns: {A: 192.0.2.91}
  deep: {A: 192.0.2.92}
"#;

/// Another, with DS in the zone above.
const KID: &str = r#"
zone: kid.example.com
ns: [ns]
records:
  ns: {A: 192.0.2.94}
  www: {steer: {service: web}}
"#;

/// SOA TTL under its MINIMUM, and RRsets that fit no datagram.
fn big_zone() -> String {
    let texts: Vec<String> = (0..10).map(|index| format!("\"{}{index}\"", "t".repeat(200))).collect();
    let names = |word: &str| (0..30).map(|index| format!("{word}{index:02}.{}", "n".repeat(40))).collect::<Vec<_>>();
    let addresses = |word: &str, below: &str| {
        names(word).iter().map(|name| format!("  {name}{below}: {{A: 192.0.2.7, AAAA: \"2001:db8::7\"}}\n")).collect::<String>()
    };
    let below: Vec<String> = names("in").iter().map(|name| format!("{name}.required")).collect();
    // One TXT each, of which the reply without OPT has 512 and 513 octets.
    let (fit, over) = ("e".repeat(465), "e".repeat(466));
    format!(
        "zone: big.example\nttl: 30\nsoa: {{mname: ns1, minimum: 300}}\nns: [ns1]\nrecords:\n  ns1: {{A: 192.0.2.53}}\n  big: {{TXT: [{}]}}\n  fit: {{TXT: {fit}}}\n  ovr: {{TXT: {over}}}\n  optional: {{NS: [{}]}}\n  required: {{NS: [{}]}}\n{}{}",
        texts.join(", "),
        names("out").join(", "),
        below.join(", "),
        addresses("out", ""),
        addresses("in", ".required"),
    )
}

/// The same world without sockets.
pub(crate) fn world() -> World {
    world_of(SERVER)
}

/// The same zones under another server file.
pub(crate) fn world_of(server: &str) -> World {
    let big = big_zone();
    let nothing = "network,latitude,longitude\n198.19.255.255/32,0,0\n";
    let files = [
        ("meridian.yaml", server),
        ("regions.yaml", REGIONS),
        ("example.com.zone.yaml", ZONE),
        ("sub.zone.yaml", CHILD),
        ("kid.zone.yaml", KID),
        ("big.zone.yaml", &big),
        ("nothing.csv", nothing),
    ];
    World::of("wire", &files)
}

/// The running server; its threads end with the tests.
pub(crate) struct House {
    running: Running,
    pub(crate) registry: Arc<Registry>,
}

pub(crate) static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let mut listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    if has_ipv6() {
        listen.push(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    } else {
        println!("IPv6 is skipped: this machine has no ::1");
    }
    House::start(listen, world())
});

impl House {
    pub(crate) fn start(listen: Vec<SocketAddr>, world: World) -> House {
        let registry = Registry::new();
        let now: meridian::server::NowMs = Arc::new(|| 1_800_000_000);
        let running = start(Config::new(listen, 2), &Shared::new(world.snapshot), &registry, &now).unwrap();
        House { running, registry }
    }

    /// Where it listens: IPv4, and IPv6 if there is any.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.running.addresses()
    }
}

/// Asks over every transport; the replies are judged by [`judge`] and must be the same. Gives the one over UDP and IPv4.
#[track_caller]
pub(crate) fn ask(query: &Query) -> Reply {
    let [first, others @ ..] = &everywhere(query)[..] else { unreachable!() };
    for (transport, reply) in others {
        assert_eq!(reply.octets, first.1.octets, "{} and {transport} differ: {:?} and {:?}", first.0, first.1.message, reply.message);
    }
    first.1.clone()
}

/// Asks over every transport; the replies are judged by [`judge`] but may differ. In the order UDP, TCP, first IPv4.
#[track_caller]
pub(crate) fn everywhere(query: &Query) -> Vec<(String, Reply)> {
    let mut replies = Vec::new();
    for address in HOUSE.addresses() {
        let version = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        for (transport, reply) in [("UDP", udp(*address, query)), ("TCP", tcp(*address, query))] {
            judge(&query.octets(), &reply.octets, if transport == "UDP" { None } else { Some(65_535) });
            replies.push((format!("{transport} over {version}"), reply));
        }
    }
    replies
}

/// What holds for every reply to anything: form, ID, flags, question, size, OPT; and both readers agree on it.
#[track_caller]
pub(crate) fn judge(query: &[u8], reply: &[u8], limit: Option<usize>) {
    judge_form(query, reply, limit);
    seen_by_both(reply);
}

/// The part of [`judge`] that is quick. Without a `limit` it is that of UDP: what the query's OPT says, 512 to 1232.
#[track_caller]
pub(crate) fn judge_form(query: &[u8], reply: &[u8], limit: Option<usize>) {
    let context = || format!("\nquery {query:02x?}\nreply {reply:02x?}");
    assert!(query.len() >= 12 && query[2] & 0x80 == 0, "a reply to what must not be replied to{}", context());
    let read = form(reply).unwrap_or_else(|| panic!("the form of the reply is wrong{}", context()));
    assert_eq!(read.end, reply.len(), "octets after the last record{}", context());
    assert_eq!(reply[..2], query[..2], "another ID{}", context());
    let opcode = query[2] & 0x78;
    let copied = if opcode == 0 { query[2] & 1 } else { 0 };
    assert_eq!(reply[2] & 0xf9, 0x80 | opcode | copied, "QR, opcode or RD{}", context());
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD or CD{}", context());
    let asked = form(query);
    let udp_size = asked.as_ref().and_then(|asked| asked.udp_size).map_or(512, |size| size.clamp(512, 1232));
    assert!(reply.len() <= limit.unwrap_or(usize::from(udp_size)), "{} octets{}", reply.len(), context());
    assert!(read.opts <= 1, "{} OPT records{}", read.opts, context());
    let is_error = matches!(reply[3] & 0x0f, 1 | 4);
    if read.question.is_empty() {
        assert!(is_error && reply[6..10] == [0; 4], "no question{}", context());
    } else {
        assert_eq!(Some(&read.question[..]), query.get(12..12 + read.question.len()), "another question{}", context());
    }
    if let Some(asked) = asked.filter(|_| !is_error) {
        assert_eq!(read.opts, asked.opts.min(1), "OPT in one and not in the other{}", context());
    }
}

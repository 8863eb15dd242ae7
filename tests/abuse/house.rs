//! One worker over a small configuration, with a clock that the test sets and a peer that it chooses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meridian::answer::Transport;
use meridian::clock::FakeClock;
use meridian::metrics::{Registry, Totals};
use meridian::server::{Notes, NowMs, Shares, Worker};
use meridian::snapshot::Shared;

use crate::common::folder::Folder;
use crate::common::message::{Query, Reply};
use crate::common::world::{SECRET, WALL_S, World};

pub(crate) const REGIONS: &str = "regions:\n  us: {location: {latitude: 39, longitude: -77}, services: {web: 192.0.2.10}}\n";

pub(crate) const ZONE: &str = r#"
zone: example.com
ns: [ns1]
records:
  ns1: {A: 192.0.2.53}
  www: {steer: {service: web, ttl: 30}}
  static: {A: 192.0.2.80, TXT: "a text that is longer than what comes instead of it"}
  "*.wild": {A: 192.0.2.83}
  deleg: {NS: ns.example.net.}
"#;

/// A server file with these keys.
pub(crate) fn server_file(keys: &str) -> String {
    format!("version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: \"*.zone.yaml\"\n{keys}\n")
}

/// The files of a configuration with these keys in the server file.
pub(crate) fn folder(name: &str, keys: &str) -> Folder {
    Folder::with(name, &[("meridian.yaml", &server_file(keys)), ("regions.yaml", REGIONS), ("example.com.zone.yaml", ZONE)])
}

/// A worker as a server with these keys has it.
pub(crate) struct Desk {
    pub(crate) worker: Worker,
    pub(crate) shared: Shared,
    clock: FakeClock,
    registry: Arc<Registry>,
}

impl Desk {
    /// One of `of` workers.
    pub(crate) fn new(name: &str, keys: &str, of: usize) -> Desk {
        Desk::of(&folder(name, keys), of)
    }

    pub(crate) fn of(folder: &Folder, of: usize) -> Desk {
        let shared = Shared::new(World::load(&folder.join("meridian.yaml")).snapshot);
        let (clock, registry) = (FakeClock::new(), Registry::new());
        clock.set_wall_s(WALL_S);
        let hands = clock.clock();
        let now: NowMs = Arc::new(move || hands.now_ms());
        let shares = Shares { of_address: of, of_all: of, notes: Notes::default() };
        let worker = Worker::new(&shared, &registry, &now).with_cookies(SECRET, clock.clock()).with_shares(shares);
        Desk { worker, shared, clock, registry }
    }

    /// Time goes on, and a new batch begins.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        self.worker.begin_batch();
    }

    /// So long after the start by the wall clock, and a new batch begins.
    pub(crate) fn at_wall(&mut self, seconds: u64) {
        self.clock.set_wall_s(WALL_S + seconds);
        self.worker.begin_batch();
    }

    /// The octets of a reply, none where nothing is sent.
    pub(crate) fn octets(&mut self, peer: IpAddr, transport: Transport, message: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 65_535];
        let (peer, local) = (SocketAddr::new(peer, 1_053), SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        let octets = self.worker.answer(message, peer, local, transport, &mut out);
        out.truncate(octets);
        (octets > 0).then_some(out)
    }

    /// Asks over UDP.
    pub(crate) fn ask(&mut self, peer: &str, query: &Query) -> Option<Reply> {
        self.octets(peer.parse().unwrap(), Transport::Udp, &query.octets()).map(|octets| Reply::read(&octets))
    }

    /// Asks so often over UDP at this moment: whole replies, truncated ones, and none.
    pub(crate) fn flood(&mut self, peer: &str, query: &Query, times: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..times {
            let reply = self.ask(peer, query);
            counts[reply.map_or(2, |reply| usize::from(reply.is_truncated()))] += 1;
        }
        counts
    }

    pub(crate) fn totals(&self) -> Totals {
        self.registry.totals()
    }
}

//! A configuration loaded and compiled as `serve` does it, with health as the test wants it, and asked through `answer`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meridian::answer::{Ask, Outcome, Transport, Turns, answer, answer_traced};
use meridian::config::compile::Compiled;
use meridian::daemon::prepare;
use meridian::health::{HealthView, Measured};
use meridian::snapshot::Snapshot;
use meridian::steer::decide::NoTrace;
use meridian::wire::cookie::Secret;

use super::folder::Folder;
use super::message::{Query, Reply};

/// The peer of queries for which no other is given: loopback, of which no geo data speaks.
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The wall clock of queries, and what their cookies are made with.
pub(crate) const WALL_S: u64 = 1_800_000_000;
pub(crate) const SECRET: Secret = Secret(*b"sixteen octets..");

/// One endpoint, as health is set for it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) address: IpAddr,
}

/// A compiled configuration with a state of health.
pub(crate) struct World {
    pub(crate) compiled: Compiled,
    pub(crate) snapshot: Snapshot,
    turns: Turns,
    endpoints: Vec<Endpoint>,
    seed: AtomicU64,
    /// The time of the queries, in milliseconds of the clock of health.
    pub(crate) now_ms: u64,
}

impl World {
    /// Everything up. A configuration that is refused is a fault of the test.
    pub(crate) fn load(server_file: &Path) -> World {
        let prepared = prepare(server_file, None).unwrap_or_else(|found| panic!("{found}"));
        let compiled = prepared.compiled;
        let health = Arc::new(HealthView::all_up(&compiled.layout));
        let snapshot = Snapshot { catalog: Arc::clone(&compiled.catalog), health, generation: 1 };
        let turns = Turns::new(compiled.catalog.turn_slots);
        let endpoints = endpoints(&compiled);
        World { compiled, snapshot, turns, endpoints, seed: AtomicU64::new(0), now_ms: 0 }
    }

    /// From files, of which `meridian.yaml` is the first to be read.
    pub(crate) fn of(name: &str, files: &[(&str, &str)]) -> World {
        World::load(&Folder::with(name, files).join("meridian.yaml"))
    }

    /// Measures every endpoint anew: those of which `is_down` says so are down.
    pub(crate) fn measure(&mut self, is_down: impl Fn(&Endpoint) -> bool) {
        let measured = |id: meridian::health::EndpointId| {
            if is_down(&self.endpoints[id.0 as usize]) { Measured::DOWN } else { Measured::UP }
        };
        self.publish(HealthView::new(&self.compiled.layout, measured));
    }

    /// Puts a state of health in force.
    pub(crate) fn publish(&mut self, health: HealthView) {
        let health = Arc::new(health);
        self.snapshot = Snapshot { catalog: Arc::clone(&self.compiled.catalog), health, generation: self.snapshot.generation + 1 };
    }

    /// Regions that are down; all others are up.
    pub(crate) fn down(&mut self, regions: &[&str]) {
        for region in regions {
            assert!(self.endpoints.iter().any(|endpoint| endpoint.region == *region), "no region {region}");
        }
        self.measure(|endpoint| regions.contains(&endpoint.region.as_str()));
    }

    /// All endpoints, by the number that health knows them under.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The name of the region that an outcome names.
    pub(crate) fn region(&self, outcome: &Outcome) -> Option<&str> {
        outcome.region.map(|id| self.compiled.catalog.regions[usize::from(id.0)].name.as_str())
    }

    /// Asks over TCP, so that nothing is cut, from loopback.
    pub(crate) fn ask(&self, query: &Query) -> (Outcome, Reply) {
        self.ask_from(PEER, query)
    }

    /// Asks over TCP from a peer.
    pub(crate) fn ask_from(&self, peer: IpAddr, query: &Query) -> (Outcome, Reply) {
        let (outcome, octets) = self.ask_octets(peer, Transport::Tcp, &query.octets());
        (outcome, Reply::read(&octets))
    }

    /// Any octets over any transport; each call has another seed. Whatever is asked is asked the short way and the long way, which must agree.
    pub(crate) fn ask_octets(&self, peer: IpAddr, transport: Transport, octets: &[u8]) -> (Outcome, Vec<u8>) {
        let (mut out, mut long_out) = (vec![0; 65_535], vec![0; 65_535]);
        let (ask, turns) = (self.question(peer, transport, octets), self.turns.clone());
        let outcome = answer(&self.snapshot, &ask, &mut out);
        let long = answer_traced(&self.snapshot, &Ask { turns: &turns, ..ask }, &mut long_out, &mut NoTrace);
        assert_eq!(format!("{outcome:?}"), format!("{long:?}"), "{octets:?} from {peer}");
        assert_eq!(out[..outcome.len], long_out[..long.len], "{octets:?} from {peer}");
        out.truncate(outcome.len);
        (outcome, out)
    }

    /// The call itself, into a buffer of the caller.
    pub(crate) fn answer_into(&self, peer: IpAddr, transport: Transport, octets: &[u8], out: &mut [u8]) -> Outcome {
        answer(&self.snapshot, &self.question(peer, transport, octets), out)
    }

    fn question<'a>(&'a self, peer: IpAddr, transport: Transport, octets: &'a [u8]) -> Ask<'a> {
        let seed = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let (peer, local) = (SocketAddr::new(peer, 53_000), SocketAddr::new(PEER, 53));
        Ask { bytes: octets, peer, local, transport, now_ms: self.now_ms, wall_s: WALL_S, secret: &SECRET, seed, turns: &self.turns }
    }
}

/// Names for the dense numbers of the layout.
fn endpoints(compiled: &Compiled) -> Vec<Endpoint> {
    let catalog = &compiled.catalog;
    let mut endpoints: Vec<Option<Endpoint>> = vec![None; compiled.layout.endpoints.len()];
    for family in catalog.steerings.iter().flat_map(|steering| steering.all()) {
        for candidate in family.all_candidates() {
            let name = &compiled.pools[candidate.pool.0 as usize];
            for endpoint in candidate.endpoints.iter() {
                endpoints[endpoint.id.0 as usize] = Some(Endpoint {
                    region: catalog.regions[usize::from(name.region.0)].name.clone(),
                    service: catalog.services[usize::from(name.service.0)].clone(),
                    address: endpoint.address,
                });
            }
        }
    }
    endpoints.into_iter().map(|endpoint| endpoint.unwrap_or_else(|| panic!("an endpoint that no name uses"))).collect()
}

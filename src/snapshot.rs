//! The world as one immutable value, and how it is held: written by the keeper alone, read by every worker without a lock.
//! This room builds nothing and decides nothing.

mod limits;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use crate::geo::{Access, Admission, PlaceTable, Point, Prefix, SourceId};
use crate::health::HealthView;
use crate::name::Name;
use crate::steer::Steering;
use crate::steer::decide::HashFloor;
use crate::steer::plan::Plan;
use crate::zone::lookup::Zones;
use crate::zone::rrset::Rrset;
pub use limits::{Cookies, Kind, RateLimit};

/// Everything that comes from the configuration; it changes at a reload only.
#[derive(Debug)]
pub struct Catalog {
    /// Settings that the answer path needs.
    pub settings: Settings,
    /// All zones and the table of their names.
    pub zones: Zones,
    /// Where clients are.
    pub table: Arc<PlaceTable>,
    /// Steered names; a `SteeringId` is an index here.
    pub steerings: Vec<Steering>,
    /// Regions in the order of the files; a `RegionId` is an index here.
    pub regions: Vec<Region>,
    /// The geo files, in the order of their numbers in the place table.
    pub geo_files: Vec<PathBuf>,
    /// Names of services; `Steering::service` is an index here.
    pub services: Vec<String>,
    /// Records that are answered by steering, by region of a service.
    pub records: Vec<Box<[Rrset]>>,
    /// How many round-robin counters a worker needs.
    pub turn_slots: usize,
}

impl Default for Catalog {
    /// A world without zones: every question is refused.
    fn default() -> Catalog {
        let hash_floor = HashFloor::default();
        let settings = Settings {
            udp_size: 1232,
            nsid: None,
            chaos: vec![],
            ecs_enabled: true,
            ecs_from: None,
            explain_from: Some(Access::only([])),
            proxy_from: vec![],
            hash_floor,
            rate_limit: None,
            queries_from: None,
            transfers_from: None,
            extended_errors: true,
            geo_good_until_s: u64::MAX,
            cookies: None,
        };
        let (zones, table) = (Zones::new(vec![]), Arc::new(PlaceTable::empty()));
        Catalog {
            settings,
            zones,
            table,
            steerings: vec![],
            regions: vec![],
            geo_files: vec![],
            services: vec![],
            records: vec![],
            turn_slots: 0,
        }
    }
}

impl Catalog {
    /// The plans; names that are steered alike share one.
    pub fn distinct_plans(&self) -> Vec<&Arc<Plan>> {
        let mut plans: Vec<_> = self.steerings.iter().flat_map(|steering| steering.all()).map(|family| &family.plan).collect();
        plans.sort_by_key(|plan| Arc::as_ptr(plan));
        plans.dedup_by_key(|plan| Arc::as_ptr(plan));
        plans
    }

    /// Who said where a place is, for people.
    pub fn source_text(&self, source: SourceId) -> String {
        let file = |index: u16| self.geo_files.get(usize::from(index));
        match source {
            SourceId::Override => "`networks:`".into(),
            SourceId::File(index) => file(index).map_or_else(|| "a geo file".into(), |path| path.display().to_string()),
            SourceId::BuiltIn => "the built-in world table (one point for a registry's whole region: often 1,000 km off and more)".into(),
            SourceId::Embedded => "nobody: the prefix is too short to hold the IPv4 address inside".into(),
            SourceId::None => "nobody".into(),
        }
    }
}

/// A region as people are told of it.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Point,
}

/// Settings that the answer path needs.
#[derive(Debug)]
pub struct Settings {
    /// Largest UDP reply in octets, and what OPT says that we take.
    pub udp_size: u16,
    /// Name server identifier (RFC 5001).
    pub nsid: Option<Vec<u8>>,
    /// TXT of class CH: owner in lower case and RRset.
    pub chaos: Vec<(Name, Rrset)>,
    /// Whether client subnets are used at all.
    pub ecs_enabled: bool,
    /// Peers whose client subnets are believed; none = all.
    pub ecs_from: Option<Access>,
    /// Peers who may ask why (`TXT _why.NAME`); none = everybody.
    pub explain_from: Option<Access>,
    /// Peers who put a header of the PROXY protocol in front; they are not asked for without one.
    pub proxy_from: Vec<Prefix>,
    /// Granularity of client hashes.
    pub hash_floor: HashFloor,
    /// How many responses clients get; none = as many as they ask for.
    pub rate_limit: Option<RateLimit>,
    /// Who may ask; none = everybody.
    pub queries_from: Option<Access>,
    /// Who is refused a transfer and who gets nothing; none = all are refused. Nobody is allowed.
    pub transfers_from: Option<Access>,
    /// Whether replies say why they are what they are (RFC 8914).
    pub extended_errors: bool,
    /// From then on the geo data is stale, in seconds since 1970; the last there is = never.
    pub geo_good_until_s: u64,
    /// How cookies are dealt with; none = they are ignored.
    pub cookies: Option<Cookies>,
}

impl Settings {
    /// Whether this peer may ask why it is answered as it is.
    pub fn explains_to(&self, peer: IpAddr) -> Admission {
        self.explain_from.as_ref().map_or(Admission::Allow, |access| access.of(peer))
    }

    /// Whether this peer puts a header of the PROXY protocol in front of all that it sends.
    #[inline]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxy_from.iter().any(|prefix| prefix.contains(peer))
    }

    /// Whether client subnets that this peer sends are used (BEHAVIOUR E7).
    #[inline]
    pub fn believes(&self, peer: IpAddr) -> bool {
        self.ecs_enabled && self.ecs_from.as_ref().is_none_or(|access| access.allows(peer))
    }
}

/// One immutable world. A query sees exactly one (BEHAVIOUR T3).
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What the configuration says.
    pub catalog: Arc<Catalog>,
    /// What is up.
    pub health: Arc<HealthView>,
    /// Counts published worlds, from 1.
    pub generation: u64,
}

/// The one place where the current world is published.
#[derive(Debug, Clone)]
pub struct Shared(Arc<ArcSwap<Snapshot>>);

impl Shared {
    /// Publishes a first world.
    pub fn new(first: Snapshot) -> Shared {
        Shared(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// The current world.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts the next world in force and gives back the one before it, so that the caller frees it and no answering thread does.
    pub fn publish(&self, next: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.swap(next)
    }

    /// A worker's own hold on the current world.
    pub fn reader(&self) -> Reader {
        Reader(Cache::new(Arc::clone(&self.0)))
    }
}

/// A worker's hold on the world: asked once per batch, it costs one read of a shared pointer while nothing changed.
#[derive(Debug)]
pub struct Reader(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Reader {
    /// The current world.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}

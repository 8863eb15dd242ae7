//! The Model: what an operator meant, checked, with defaults filled in and every reference resolved.
//! It holds no places in files and no text that still has to be parsed; `compile` turns it into a Catalog.

mod clients;
mod encrypted;
mod expect;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::settings::Settings;
use crate::answer::Class;
use crate::geo::{Access, Family, GeoFile, Override, Point, Prefix, RegionId};
use crate::health::guard::Guard;
use crate::health::hosts::HostName;
use crate::health::view::ADMIT_ALL;
use crate::health::{self, Capacity, Combine, MinHealthy, Monitor, PoolLayout, Recovery, TargetKey};
use crate::name::Name;
use crate::snapshot::{Cookies, RateLimit};
use crate::steer::balance::BalanceSpec;
use crate::steer::decide::HashFloor;
use crate::steer::order::OrderSpec;
use crate::steer::order::latency::Latencies;
use crate::steer::rule::Rule;
use crate::steer::{Families, OnAllDown, ShareSpec, Weight};
use crate::zone::Zone;
use crate::zone::rrset::Rrset;
pub use clients::{Caps, EcsPolicy, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_NETWORK};
pub use encrypted::{ApiTls, Encrypted, Identity};
pub use expect::{Expect, RCODES, Test};

/// The control socket in `state_dir`.
pub(in crate::config) const CONTROL_FILE: &str = "control.sock";

/// Addresses to listen on. Each has a thread per worker and transport, and a buffer of some 350 kB per UDP thread.
pub const MAX_LISTEN: usize = 64;

/// Workers per address: more than there are cores in common machines; the threads of all addresses share these cores.
pub const MAX_WORKERS: usize = 512;

/// Most UDP packets that a worker takes at once. Measured: 32 to 64 are alike, less is slower; more only adds delay and cache misses.
pub const MAX_BATCH: usize = 64;

/// Index of a service in [`Model::services`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u16);

/// A whole checked configuration.
#[derive(Debug)]
pub struct Model {
    /// Settings of this server.
    pub server: Server,
    /// Geo data files and overrides.
    pub geo: GeoData,
    /// Regions in the order of the files; a [`RegionId`] is an index here.
    pub regions: Vec<Region>,
    /// Names of all services, in order of first mention; a [`ServiceId`] is an index here.
    pub services: Vec<String>,
    /// Steered names of all zones; a `SteeringId` is an index here.
    pub steerings: Vec<Steer>,
    /// Checked zones, in the order of the files.
    pub zones: Vec<Zone>,
    /// What some clients shall be answered.
    pub tests: Vec<Test>,
    /// Every setting in force, with where it comes from.
    pub settings: Settings,
}

/// Settings of this server.
#[derive(Debug, Clone)]
pub struct Server {
    /// UDP and TCP addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads per address; at least 1.
    pub workers: usize,
    /// Processors that the workers are kept on (`cpus`); none = any.
    pub cpus: Vec<usize>,
    /// Most packets that a UDP worker takes at once (`batch`).
    pub batch: usize,
    /// Whether it is measured how long UDP queries wait to be read (`timestamps`).
    pub timestamps: bool,
    /// Largest UDP reply in octets (`udp_size`, default 1232).
    pub udp_size: u16,
    /// Whose client subnets are believed.
    pub ecs: EcsPolicy,
    /// Peers who may ask why (`explain_from`; default loopback); none = everybody.
    pub explain_from: Option<Access>,
    /// Peers who put a header of the PROXY protocol in front (`proxy_from`; default none).
    pub proxy_from: Vec<Prefix>,
    /// Granularity of client hashes in prefix lengths (`hash`; default /24 and /56).
    pub hash: HashFloor,
    /// How many responses clients get (`rate_limit`); none = as many as they ask for.
    pub rate_limit: Option<RateLimit>,
    /// How cookies are dealt with (`cookies`); none = they are ignored.
    pub cookies: Option<Cookies>,
    /// Who may ask (`queries_from`); none = everybody.
    pub queries_from: Option<Access>,
    /// Who is refused a transfer and who gets nothing (`transfers_from`); none = all are refused.
    pub transfers_from: Option<Access>,
    /// Whether replies carry extended errors (`extended_errors`, RFC 8914).
    pub extended_errors: bool,
    /// How old geo databases may be before replies say so, in seconds (`geo_max_age`); none = any age.
    pub geo_max_age_s: Option<u32>,
    /// The most TCP connections (`tcp`).
    pub connections: Caps,
    /// NSID of this server (RFC 5001); none = not answered.
    pub nsid: Option<Vec<u8>>,
    /// Text of `version.bind` CH TXT; none hides it.
    pub version_text: Option<String>,
    /// Where state that outlives the process is kept.
    pub state_dir: Option<PathBuf>,
    /// The control socket, where one is named; see [`Server::control_path`].
    pub control: Option<PathBuf>,
    /// The admin API on the network.
    pub api: Api,
    /// The encrypted transports (`encrypted`); none = none.
    pub encrypted: Option<Encrypted>,
    /// How the log is written.
    pub log: Log,
    /// Which queries are logged, and where; none = none.
    pub query_log: Option<QueryLog>,
    /// Who resolves the host names of endpoints; empty = as the system is configured.
    pub resolvers: Vec<SocketAddr>,
    /// The longest hold while our own network is out, in milliseconds (`hold_max`, BEHAVIOUR H5).
    pub hold_max_ms: u64,
    /// Whether monitors may run programs (`exec_probes`, default false).
    pub exec_probes: bool,
    /// Whether the process gives up to write elsewhere and to run programs (`sandbox`, default true unless `exec_probes`).
    pub sandbox: bool,
    /// How many regions of a service may go down by measurement (`guard`); none = all.
    pub guard: Option<Guard>,
    /// Whether a change of a file is a wish for a reload (`watch`, default false).
    pub watch: bool,
    /// Who a server that is started as root becomes (`user`); none = it stays root.
    pub user: Option<RunAs>,
}

/// A user of the system, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub user: String,
    /// Another group than the user's own.
    pub group: Option<String>,
}

/// The admin API on the network (`api:`); without `listen` it is on the control socket only.
#[derive(Debug, Clone, Default)]
pub struct Api {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Who may come in; empty = whoever is on this machine may read.
    pub tokens: Vec<Token>,
    /// The certificate that is shown; none = no TLS.
    pub tls: Option<ApiTls>,
    /// Whether `/metrics` needs no token.
    pub open_metrics: bool,
}

impl Api {
    /// Whether another configuration is served at the same doors, which are the same for strangers; certificates and tokens may differ.
    pub fn has_doors_of(&self, other: &Api) -> bool {
        let tls = |api: &Api| api.tls.as_ref().map(|tls| tls.clients.is_some());
        (&self.listen, tls(self)) == (&other.listen, tls(other))
    }
}

/// Who may come in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What the audit log says.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The secret.
    pub secret: String,
}

impl fmt::Debug for Token {
    /// Without the secret, which must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// How the log is written (`log:`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// The least grave level that is written; none = `info`.
    pub level: Option<String>,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Which queries are logged, and where (`query_log:`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLog {
    /// Where.
    pub to: QueryLogTo,
    /// One in so many of those that are wanted, of each answering thread; at least 1.
    pub sample: u32,
    /// Only these classes of answers; empty = all.
    pub answers: Vec<Class>,
    /// Only these zones; empty = all, and what falls into none.
    pub zones: Vec<Name>,
    /// Only queries of these: the peer or the client subnet lies in one of them; empty = of all.
    pub clients: Vec<Prefix>,
    /// Only queries for these; empty = for all.
    pub names: Vec<LoggedName>,
    /// Who this is, for dnstap.
    pub identity: Vec<u8>,
}

/// A name whose queries are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedName {
    /// The name.
    pub name: Name,
    /// All names below it, and not itself.
    pub is_below: bool,
}

/// Where logged queries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryLogTo {
    /// A file of JSON lines, appended to.
    Json(PathBuf),
    /// A file of dnstap, written anew.
    Dnstap(PathBuf),
    /// A collector of dnstap on a Unix socket.
    DnstapSocket(PathBuf),
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask for everything.
    Read,
    /// Tell health and loads, too.
    Tell,
    /// Change things, too.
    Write,
}

impl Server {
    /// Where the control socket is: as named, else in `state_dir`; none without either.
    pub fn control_path(&self) -> Option<PathBuf> {
        self.control.clone().or_else(|| Some(self.state_dir.as_ref()?.join(CONTROL_FILE)))
    }
}

/// Geo data files and overrides.
#[derive(Debug)]
pub struct GeoData {
    /// Databases in order of precedence; empty = the built-in world table.
    pub files: Vec<GeoFile>,
    /// `networks:`, regions resolved to their point and pin; no prefix twice.
    pub overrides: Vec<Override>,
    /// What `order: latency` compares (`latencies:`).
    pub latencies: Option<Arc<Latencies>>,
}

/// One data centre.
#[derive(Debug)]
pub struct Region {
    /// Unique name.
    pub name: String,
    /// Where it stands.
    pub location: Point,
    /// Its default weight; 0 = standby.
    pub weight: Weight,
    /// Set by hand in the file.
    pub state: Option<health::Override>,
    /// What it can bear, all services together that have no capacity of their own.
    pub capacity: Option<Capacity>,
    /// What it offers; every service at most once.
    pub offers: Vec<Offer>,
}

/// One service of a region.
#[derive(Debug)]
pub struct Offer {
    /// Which service.
    pub service: ServiceId,
    /// Its endpoints in the order of the file; addresses are distinct.
    pub endpoints: Vec<Endpoint>,
    /// Records of other types than addresses, one RRset each; a CNAME stands alone.
    pub records: Vec<Rrset>,
    /// How each endpoint is probed; none = always up.
    pub monitors: Vec<Monitor>,
    /// How many of the monitors must be up.
    pub combine: Combine,
    /// Named checks that must be up besides.
    pub requires: Vec<TargetKey>,
    /// How the service comes back in this region after it was down.
    pub recovery: Recovery,
    /// The share of its clients that it takes while degraded, of 1024.
    pub degraded_admit: u16,
    /// What the service can bear in this region.
    pub capacity: Option<Capacity>,
}

impl Offer {
    /// No endpoints yet, and every setting as when nothing is typed.
    pub fn new(service: ServiceId) -> Offer {
        let PoolLayout { degraded_admit, recovery, .. } = PoolLayout::default();
        let (endpoints, records, monitors, requires) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Offer { service, endpoints, records, monitors, combine: Combine::All, requires, recovery, degraded_admit, capacity: None }
    }

    /// True if the region may at times take only a part of its clients: it comes back in steps, or a monitor can find it degraded.
    pub fn can_admit_less(&self) -> bool {
        let required = self.requires.iter().map(|target| &target.monitor);
        self.recovery.ramp_ms > 0 || self.degraded_admit < ADMIT_ALL && self.monitors.iter().chain(required).any(Monitor::can_degrade)
    }
}

/// One target of a service in a region.
#[derive(Debug)]
pub struct Endpoint {
    /// What is answered: its address, or those that its name has.
    pub at: At,
    /// Its weight inside the region (default 1).
    pub weight: Weight,
    /// Set by hand in the file.
    pub state: Option<health::Override>,
}

/// How an endpoint is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// By its address.
    Address(IpAddr),
    /// By a host name, which the prober resolves.
    Host {
        /// The name, in lower case, without the final dot.
        name: HostName,
        /// The one family that is used of it; none = both.
        family: Option<Family>,
    },
}

impl At {
    /// The host name, where it is given by one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            At::Address(_) => None,
            At::Host { name, .. } => Some(name),
        }
    }

    /// True if it has, or may have, addresses of the family.
    pub fn may_have(&self, family: Family) -> bool {
        match self {
            At::Address(address) => Family::of(*address) == family,
            At::Host { family: only, .. } => only.is_none_or(|only| only == family),
        }
    }
}

impl fmt::Display for At {
    /// `192.0.2.10`, `lb.example.net`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Address(address) => address.fmt(f),
            At::Host { name, .. } => f.write_str(name),
        }
    }
}

/// One steered name.
#[derive(Debug, Clone)]
pub struct Steer {
    /// The owner; a wildcard where it begins with `*`.
    pub owner: Name,
    /// What it serves.
    pub service: ServiceId,
    /// Types other than addresses that any candidate has records of, ascending; CNAME alone or not at all.
    pub types: Vec<u16>,
    /// Candidates in listed order; each offers the service.
    pub regions: Vec<RegionId>,
    /// The tier of each candidate, ascending; empty where they are not listed in tiers.
    pub tiers: Vec<u16>,
    /// Weight of each candidate, in the order of `regions` (`weights:`, else the region's own).
    pub weights: Vec<Weight>,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// How candidates are ordered for a place.
    pub order: OrderSpec,
    /// Regions within this many metres of the best share its clients (`spread`; default 0). Under `order: latency` a millisecond is 100 km.
    pub spread_m: u32,
    /// How a band's clients are shared (`share`).
    pub share: ShareSpec,
    /// How endpoints are picked inside the region (`balance`; default weighted where weights differ, else round-robin).
    pub balance: BalanceSpec,
    /// Addresses in an answer, 1 to 8.
    pub answers: u8,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// Floor for shortened TTLs in seconds (`ttl_min`; default min(5, ttl)).
    pub ttl_min_s: u32,
    /// Cap for fail-open TTLs in seconds (`fail_open_ttl`; default 10).
    pub fail_open_ttl_s: u32,
    /// When a region counts as available (`min_healthy`; default 1).
    pub min_healthy: MinHealthy,
    /// What is answered when nothing is up.
    pub on_all_down: OnAllDown,
    /// Beside [`OnAllDown::Fallback`].
    pub fallback: Option<Fallback>,
    /// The share of clients that standby regions get while others are up, of 2^32 (`trickle`; default 0).
    pub trickle: u32,
    /// Whether IPv4 and IPv6 health are judged apart.
    pub families: Families,
    /// Whether SVCB and HTTPS records beside it have its addresses as hints (`hints`; default true).
    pub hints: bool,
    /// `false`: client subnets are not used for this name.
    pub ecs: bool,
}

/// What `on_all_down: {fallback: ...}` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// These, of both families.
    Addresses(Vec<IpAddr>),
    /// This service, from all regions that offer it.
    Service(ServiceId),
    /// A CNAME to this name, where the name is steered to CNAMEs.
    Name(Rrset),
}

impl Steer {
    /// The same steering for another service: from all regions that offer it, with their own weights, and open when all of them are down.
    pub fn of_service(&self, service: ServiceId, regions: &[Region]) -> Steer {
        let offers = |(index, region): (usize, &Region)| {
            let offers = region.offers.iter().any(|offer| offer.service == service);
            offers.then_some((RegionId(index as u16), region.weight))
        };
        let (ids, weights) = regions.iter().enumerate().filter_map(offers).unzip();
        Steer {
            service,
            regions: ids,
            weights,
            tiers: Vec::new(),
            rules: Vec::new(),
            on_all_down: OnAllDown::Open,
            fallback: None,
            trickle: 0,
            ..self.clone()
        }
    }
}

//! An answer with every step to it, told by a listener in the same corridor that answers queries, so that it cannot differ from them.
//! It is for people: it allocates and formats, and decides nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Ask, Outcome, Transport, Turns, answer_traced};
use crate::geo::{Family, Kind, Leaf, Place, PlaceId, Prefix, distance_m};
use crate::health::view::ADMIT_ALL;
use crate::health::{PoolState, age_text};
use crate::name::Name;
use crate::snapshot::{Catalog, Region, Snapshot};
use crate::steer::decide::{Client, Considered, Decision, Full, Question, Standard, Trace};
use crate::steer::plan::{Entry, Why};
use crate::steer::{FamilySteering, OnAllDown, ShareSpec, Steering};
use crate::wire::cookie::Secret;
use crate::wire::{ask, rtype};

/// The seed of draws, so that asking twice says the same.
const SEED: u64 = 0;

/// Room for any reply.
const REPLY_OCTETS: usize = 65_535;

/// What is asked, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name.
    pub name: Name,
    /// A (IPv4) or AAAA (IPv6).
    pub family: Family,
    /// The client subnet of the query, if it has one.
    pub subnet: Option<Prefix>,
    /// Who sends it.
    pub peer: IpAddr,
}

/// An answer and how it came about.
#[derive(Debug)]
pub struct Explanation<'w> {
    /// What was asked.
    pub asked: Asked,
    /// The world that answered.
    pub world: &'w Snapshot,
    /// What counters would be told.
    pub outcome: Outcome,
    /// The reply.
    pub reply: Vec<u8>,
    /// The decision; none where the answer does not depend on the client.
    pub steps: Option<Steps<'w>>,
}

/// A decision, step by step.
#[derive(Debug)]
pub struct Steps<'w> {
    /// The steered name.
    pub steering: &'w Steering,
    /// The service that it is steered by.
    pub service: &'w str,
    /// Whom the answer is for.
    pub client: Client,
    /// Whether that is the client subnet of the query; else it is the peer.
    pub by_subnet: bool,
    /// The network whose place is the client's.
    pub network: Prefix,
    /// Where that is.
    pub place: Place<'w>,
    /// Who says so.
    pub source: String,
    /// The place of the peer, where it takes the place of a reserved client.
    pub stand_in: Option<Place<'w>>,
    /// The network that is hashed for shares; none where nothing of this name hashes clients.
    pub hashed: Option<Prefix>,
    /// Every region of the name, in the order in which it is tried.
    pub regions: Vec<Row<'w>>,
    /// What became of it where no region is up.
    pub all_down: Option<&'static str>,
    /// What is answered, in order; empty = no data.
    pub addresses: Vec<IpAddr>,
    /// Its TTL in seconds.
    pub ttl_s: u32,
    /// The length of the network that the answer holds for; 0 where it is the same for all, or the query had no client subnet.
    pub scope: u8,
}

/// One region of a decision.
#[derive(Debug)]
pub struct Row<'w> {
    /// From 1.
    pub band: u16,
    /// Its name and where it stands.
    pub region: &'w Region,
    /// Great-circle distance in kilometres; none for clients of unknown place.
    pub km: Option<f64>,
    /// Its weight in its band.
    pub weight: f64,
    /// Why it stands there.
    pub why: Why,
    /// What became of it.
    pub fate: Fate,
    /// The share of its clients that it takes just now, in percent.
    pub admit_percent: f64,
    /// Seconds in this state; only in a running server.
    pub age_s: Option<u64>,
    /// What was seen when it came into it; empty where no probe led to it.
    pub evidence: &'w str,
}

/// What became of a region in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the answer.
    Chosen,
    /// It is the answer although it is not up.
    ChosenAllTheSame,
    /// It is up, but takes only some of its clients, and not this one.
    NotAdmitted,
    /// It is up, but sheds this client for lack of capacity.
    Sheds,
    /// It stands by, and others that shed clients can bear more together.
    StandsBy,
    /// It is up, but another of its band has this client.
    Shared,
    /// It is up, but a better one was found.
    NotNeeded,
    /// It is down.
    Down,
    /// It is forced down.
    ForcedDown,
    /// Its host names have no address.
    Vacant,
}

impl Row<'_> {
    /// Kilometres divided by weight, as `order: nearest` compares them; none where something else put the region there.
    pub fn score(&self) -> Option<f64> {
        self.km.filter(|_| self.why == Why::Order).map(|km| km.max(1.0) / self.weight)
    }
}

impl Fate {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Fate::Chosen => "up, chosen",
            Fate::ChosenAllTheSame => "not up, chosen all the same",
            Fate::NotAdmitted => "up, does not admit this client now",
            Fate::Sheds => "up, at its capacity: does not take this client now",
            Fate::StandsBy => "up, takes no overflow before all others are full",
            Fate::Shared => "up, another of its band has this client",
            Fate::NotNeeded => "up, not needed",
            Fate::Down => "down, passed over",
            Fate::ForcedDown => "forced down, passed over",
            Fate::Vacant => "its host names have no address, passed over",
        }
    }
}

/// Asks a world at `now_ms` of its keeper's clock, and tells how the answer came about.
pub fn explain(world: &Snapshot, asked: Asked, now_ms: u64) -> Explanation<'_> {
    let qtype = if asked.family == Family::V4 { rtype::A } else { rtype::AAAA };
    let bytes = ask::question(&asked.name, qtype, asked.subnet.map(|subnet| (subnet.network(), subnet.length())));
    let turns = Turns::new(world.catalog.turn_slots);
    let (peer, local) = (SocketAddr::new(asked.peer, 0), SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    let ask = Ask {
        bytes: &bytes,
        peer,
        local,
        transport: Transport::Tcp,
        now_ms,
        wall_s: 0,
        secret: &Secret([0; 16]),
        seed: SEED,
        turns: &turns,
    };
    let (mut reply, mut heard) = (vec![0; REPLY_OCTETS], Heard { now_ms, ..Heard::default() });
    let outcome = answer_traced(world, &ask, &mut reply, &mut heard);
    reply.truncate(outcome.len);
    let steps = outcome.steering.and_then(|id| heard.steps(world, &world.catalog.steerings[id.0 as usize], asked.family));
    Explanation { asked, world, outcome, reply, steps }
}

/// What was heard of one decision.
#[derive(Default)]
struct Heard {
    now_ms: u64,
    client: Option<(Client, bool)>,
    located: Option<(Leaf, PlaceId)>,
    hashed: Option<Prefix>,
    standard: Option<Standard>,
    considered: Vec<(Entry, Considered)>,
    chosen: Option<Entry>,
    addresses: Vec<IpAddr>,
    ttl_s: u32,
    scope: u8,
}

impl Trace for Heard {
    fn steered(&mut self, question: &Question<'_>, by_subnet: bool) {
        *self = Heard { now_ms: self.now_ms, client: Some((question.client, by_subnet)), ..Heard::default() };
    }

    fn located(&mut self, client: Leaf, place: PlaceId) {
        self.located = Some((client, place));
    }

    fn hashed(&mut self, address: IpAddr, length: u8) {
        self.hashed = Some(Prefix::masked(address, length));
    }

    fn standard(&mut self, standard: Standard) {
        self.standard = Some(standard);
        self.considered.clear();
    }

    fn considered(&mut self, entry: Entry, considered: Considered) {
        self.considered.push((entry, considered));
    }

    fn chosen(&mut self, entry: Entry) {
        self.chosen = Some(entry);
    }

    fn decided(&mut self, decision: &Decision<'_>) {
        (self.addresses, self.ttl_s, self.scope) = (decision.addresses().collect(), decision.ttl_s, decision.scope);
    }
}

impl Heard {
    fn steps<'w>(self, world: &'w Snapshot, steering: &'w Steering, family: Family) -> Option<Steps<'w>> {
        let (catalog, family) = (&*world.catalog, steering.addresses_or_alias(family)?);
        let ((client, by_subnet), (leaf, place_id)) = (self.client?, self.located?);
        let place = catalog.table.place(leaf.place);
        let ranking = family.plan.ranking(place_id).iter();
        Some(Steps {
            steering,
            service: &catalog.services[usize::from(steering.service)],
            client,
            by_subnet,
            network: catalog.table.prefix_of(leaf.range),
            source: catalog.source_text(place.source),
            stand_in: (place.kind == Kind::UsePeer).then(|| catalog.table.place(place_id)),
            place,
            hashed: self.hashed.filter(|_| family.hashes_clients),
            regions: ranking.map(|entry| self.row(world, family, place_id, entry)).collect(),
            all_down: self.all_down(world, steering, family),
            scope: if by_subnet { self.scope } else { 0 },
            addresses: self.addresses,
            ttl_s: self.ttl_s,
        })
    }

    fn row<'w>(&self, world: &'w Snapshot, family: &'w FamilySteering, place: PlaceId, entry: Entry) -> Row<'w> {
        let Catalog { regions, table, .. } = &*world.catalog;
        let candidate = &family.candidates[usize::from(entry.candidate)];
        let region = &regions[usize::from(candidate.region.0)];
        let (health, story) = (world.health.pool(candidate.pool), world.health.story(candidate.pool));
        Row {
            band: entry.band + 1,
            region,
            km: table.place(place).point.map(|point| f64::from(distance_m(point, region.location)) / 1000.0),
            weight: f64::from(candidate.share) / 1000.0,
            why: entry.why,
            fate: self.fate(health.state, entry),
            admit_percent: f64::from(world.health.taken(candidate.pool)) * 100.0 / f64::from(ADMIT_ALL),
            age_s: story.map(|story| self.now_ms.saturating_sub(story.since_ms) / 1000),
            evidence: story.map_or("", |story| &story.evidence),
        }
    }

    fn fate(&self, state: PoolState, entry: Entry) -> Fate {
        let heard = self.considered.iter().find(|(heard, _)| *heard == entry);
        match (heard, self.chosen == Some(entry), state) {
            (_, true, PoolState::Available) => Fate::Chosen,
            (_, true, _) => Fate::ChosenAllTheSame,
            (Some((_, Considered::NotAdmitted)), ..) => Fate::NotAdmitted,
            (Some((_, Considered::Full(Full::Sheds))), ..) => Fate::Sheds,
            (Some((_, Considered::Full(Full::StandsBy))), ..) => Fate::StandsBy,
            (Some((_, Considered::Offered)), ..) => Fate::Shared,
            (_, _, PoolState::Available) => Fate::NotNeeded,
            (_, _, PoolState::Down) => Fate::Down,
            (_, _, PoolState::ForcedDown) => Fate::ForcedDown,
            (_, _, PoolState::Vacant) => Fate::Vacant,
        }
    }

    fn all_down(&self, world: &Snapshot, steering: &Steering, family: &FamilySteering) -> Option<&'static str> {
        let all = |is: fn(PoolState) -> bool| family.candidates.iter().all(|candidate| is(world.health.pool(candidate.pool).state));
        match (self.chosen, self.standard) {
            (None, _) if all(|state| state == PoolState::ForcedDown) => Some("no data: every region is forced down"),
            (None, _) if steering.on_all_down == OnAllDown::Nodata => Some("no data, as configured"),
            (None, _) if steering.on_all_down == OnAllDown::Fallback => Some("what `on_all_down` names as `fallback`"),
            (None, _) if steering.on_all_down == OnAllDown::Servfail => Some("a failure of the server, as configured"),
            (None, _) if steering.on_all_down == OnAllDown::Refuse => Some("refused, as configured"),
            (None, _) if all(|state| !state.is_open()) => Some("no data: every region is forced down, or has no address of its host names"),
            (None, _) => Some("every region inside the hard fence is forced down: its fallback addresses"),
            (Some(_), Some(Standard::LastGood)) => Some("what was up last"),
            (Some(_), Some(Standard::AnyUp)) => Some("fail open: any region with any endpoint up"),
            (Some(_), Some(Standard::Allowed)) => Some("fail open: any region not forced down"),
            _ => None,
        }
    }
}

impl fmt::Display for Explanation<'_> {
    /// The steps, a line each, from `steering` to `reason`; the answer itself is the reply's to tell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.steps {
            Some(steps) => write!(f, "{steps}")?,
            None => writeln!(f, "steering  none: the answer does not depend on the client")?,
        }
        writeln!(f, "reason    {}", self.outcome.reason.name())
    }
}

impl fmt::Display for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Steps { steering, service, client, network, place, source, .. } = self;
        let share = match steering.share {
            ShareSpec::Hash => "hash",
            ShareSpec::Random => "random",
        };
        writeln!(f, "steering  {}: service {service}, share {share}, balance {}", steering.owner, steering.balance.name())?;
        if !self.by_subnet {
            writeln!(f, "subnet    none, or not used here (`ecs`): whoever asks is the client, at {}", client.peer)?;
        }
        writeln!(f, "client    {network}: {place}")?;
        writeln!(f, "source    {source}")?;
        if let Some(stand_in) = &self.stand_in {
            writeln!(f, "peer      {}: {stand_in}", client.peer)?;
        }
        if let Some(network) = self.hashed {
            writeln!(f, "hashed    {network}: shares are drawn for this network")?;
        }
        writeln!(f, "regions   {:>4} {:<20} {:>9} {:>8}  why there, and what became of it", "band", "name", "km", "weight")?;
        self.regions.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.all_down.iter().try_for_each(|text| writeln!(f, "all down  {text}"))
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let km = self.km.map_or("-".into(), |km| format!("{km:.1}"));
        let Row { band, region, weight, why, .. } = self;
        write!(f, "          {band:>4} {:<20} {km:>9} {weight:>8}  {why}; {}", region.name, self.fate.text())?;
        if self.admit_percent < 100.0 {
            write!(f, "; takes {:.0} % of its clients now", self.admit_percent)?;
        }
        self.age_s.iter().try_for_each(|age_s| write!(f, "; so for {}", age_text(*age_s)))?;
        if self.evidence.is_empty() { Ok(()) } else { write!(f, " by: {}", self.evidence) }
    }
}

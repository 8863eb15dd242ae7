//! The decision: which region and which endpoints a client gets now, from its ranking and the health of this moment.
//! Every transport, `explain` and the tests come through [`decide`]; it allocates nothing, and tells its steps to a [`Trace`].

mod choice;
mod overflow;
mod plain;
mod reason;
mod rest;

use std::net::IpAddr;

use choice::{Choice, Next, PassedOver};
pub use overflow::Full;
pub use plain::{Plain, plain};
pub use reason::Reason;

use super::balance::{Pick, Positions, Turns};
use super::hash::mix;
use super::plan::{Entry, Ranking, Why};
use super::{Candidate, Endpoint, Fallback, FamilySteering, OnAllDown, ShareSpec, Steering};
use crate::geo::{Family, Kind, Leaf, PlaceId, PlaceTable};
use crate::health::view::SETTLED;
use crate::health::{HealthView, PoolHealth, PoolState};

/// What a decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct Question<'w> {
    /// The steered name.
    pub steering: &'w Steering,
    /// Its steering for the address family asked for.
    pub family: &'w FamilySteering,
    /// Where clients are.
    pub table: &'w PlaceTable,
    /// What is up.
    pub health: &'w HealthView,
    /// Prefix lengths to which client networks are masked before they are hashed.
    pub hash_floor: HashFloor,
    /// Whom the answer is for.
    pub client: Client,
    /// The worker's round-robin counters.
    pub turns: &'w Turns,
    /// A number that differs from query to query.
    pub seed: u64,
    /// The time on the clock of the health view, in milliseconds.
    pub now_ms: u64,
}

/// Whom an answer is for: the network of the client subnet, or else the peer itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Network address of the client subnet, host bits zero.
    pub address: IpAddr,
    /// Its source prefix length.
    pub source_length: u8,
    /// Who sent the packet; stands in for reserved client addresses (BEHAVIOUR E6).
    pub peer: IpAddr,
}

impl Client {
    /// The peer is the client.
    pub fn peer(peer: IpAddr) -> Client {
        Client { address: peer, source_length: Family::of(peer).bits(), peer }
    }
}

/// Prefix lengths to which client networks are masked before they are hashed, and below which scopes of such names never fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashFloor {
    /// For IPv4 clients, 8 to 32 (default 24).
    pub v4: u8,
    /// For IPv6 clients, 16 to 128 (default 56).
    pub v6: u8,
}

impl Default for HashFloor {
    /// Resolvers send networks of these lengths (RFC 7871 11.1).
    fn default() -> HashFloor {
        HashFloor { v4: 24, v6: 56 }
    }
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'w> {
    /// The region; none = fallback addresses, or nothing.
    pub chosen: Option<&'w Candidate>,
    endpoints: Endpoints,
    /// Where the addresses of host names stand.
    health: &'w HealthView,
    fallback: &'w [IpAddr],
    /// TTL of the answer, or of the negative answer's SOA at most, in seconds.
    pub ttl_s: u32,
    /// ECS scope prefix length; 0 where nothing depends on the client.
    pub scope: u8,
    /// Why this answer.
    pub reason: Reason,
}

impl Decision<'_> {
    /// The addresses to answer, in order; none = NODATA.
    #[inline]
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let endpoints = self.chosen.map_or(&[][..], |chosen| &chosen.endpoints);
        let address = |endpoint: &Endpoint| self.health.seat(endpoint.id).map_or(endpoint.address, |(address, _)| address);
        let (mut positions, mut fallback) = (self.endpoints.iter(), self.fallback.iter());
        // Plainer than a chain of iterators, which the compiler does not see through: this runs for every address that is sent.
        std::iter::from_fn(move || match positions.next() {
            Some(position) => Some(address(&endpoints[position])),
            None => fallback.next().copied(),
        })
    }

    /// Whether there is no address to answer.
    #[inline]
    pub fn is_negative(&self) -> bool {
        self.chosen.is_none() && self.fallback.is_empty()
    }
}

/// What is answered of a region: a rotation of its living endpoints.
#[derive(Debug, Clone, Copy, Default)]
struct Endpoints {
    living: Positions,
    start: usize,
    /// At most so many.
    count: usize,
}

impl Endpoints {
    /// As the balance of the name says.
    #[inline]
    fn rotated(steering: &Steering, pick: &Pick<'_>) -> Endpoints {
        let start = if pick.living.are_several() { steering.balance.start(pick) } else { 0 };
        Endpoints { living: pick.living, start, count: usize::from(steering.answers) }
    }

    /// Positions of endpoints in their region, in the order of the answer.
    #[inline]
    fn iter(&self) -> impl Iterator<Item = usize> {
        self.living.rotation(self.start, self.count)
    }
}

/// How much is asked of a region: each later standard is tried when the one before it left nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// Enough endpoints up.
    Available,
    /// It was up just before the last one went down (`on_all_down: last-good`).
    LastGood,
    /// Fail open, first step: one endpoint up.
    AnyUp,
    /// Fail open, last step: not forced down.
    Allowed,
}

impl Standard {
    fn is_met(self, health: PoolHealth) -> bool {
        match self {
            Standard::Available => health.state == PoolState::Available,
            Standard::LastGood => health.last_good && health.state != PoolState::ForcedDown,
            Standard::AnyUp => health.any_up,
            Standard::Allowed => health.state.is_open(),
        }
    }
}

impl OnAllDown {
    /// The standards that regions are held to, one after the other.
    #[inline]
    fn standards(self) -> &'static [Standard] {
        match self {
            OnAllDown::Open => &[Standard::Available, Standard::AnyUp, Standard::Allowed],
            OnAllDown::LastGood => &[Standard::Available, Standard::LastGood, Standard::AnyUp, Standard::Allowed],
            OnAllDown::Nodata | OnAllDown::Servfail | OnAllDown::Refuse | OnAllDown::Fallback => &[Standard::Available],
        }
    }
}

/// What became of a region while a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Considered {
    /// It did not meet the standard.
    Out(PoolHealth),
    /// It takes only some of its clients just now, and not this one.
    NotAdmitted,
    /// It takes only some of its clients for lack of capacity, and not this one.
    Full(Full),
    /// It was in the choice.
    Offered,
}

/// Listens to a decision step by step; the hot path listens with [`NoTrace`], of which nothing is left in the program.
pub trait Trace {
    /// A steered name is asked for; `by_subnet`: the client is the client subnet of the query, else the peer.
    fn steered(&mut self, _question: &Question<'_>, _by_subnet: bool) {}
    /// The client was located: the leaf that gives the scope and the place that gives the ranking.
    fn located(&mut self, _client: Leaf, _place: PlaceId) {}
    /// The network that is hashed wherever clients are: an address in it and its length.
    fn hashed(&mut self, _address: IpAddr, _length: u8) {}
    /// A standard is applied.
    fn standard(&mut self, _standard: Standard) {}
    /// A region was looked at.
    fn considered(&mut self, _entry: Entry, _considered: Considered) {}
    /// A region was chosen.
    fn chosen(&mut self, _entry: Entry) {}
    /// The decision is made.
    fn decided(&mut self, _decision: &Decision<'_>) {}
}

/// Listens to nothing.
#[derive(Debug)]
pub struct NoTrace;

impl Trace for NoTrace {}

/// What a client looks like to the steps behind `locate`.
#[derive(Debug, Clone, Copy)]
struct Seen {
    place: PlaceId,
    /// Hash of its network.
    client: u64,
    /// As what its network is looked up: IPv4 also where that stands inside IPv6.
    family: Family,
    scope: u8,
}

/// Makes the decision (DESIGN 3): locate, ranking, health, share, balance, TTL and scope.
pub fn decide<'w, T: Trace>(question: &Question<'w>, trace: &mut T) -> Decision<'w> {
    decided(question, locate(question), trace)
}

/// As [`decide`] for a client whose leaf is known and for whom nobody stands in: who rehearses asks for millions.
pub fn decide_at<'w, T: Trace>(question: &Question<'w>, leaf: Leaf, trace: &mut T) -> Decision<'w> {
    decided(question, (leaf, leaf.place, (question.client.address, leaf)), trace)
}

/// The decision for a client who was located.
#[inline(always)]
fn decided<'w, T: Trace>(question: &Question<'w>, (leaf, place, hashed): Located, trace: &mut T) -> Decision<'w> {
    trace.located(leaf, place);
    trace.hashed(hashed.0, floor_length(question.hash_floor, hashed.0, hashed.1));
    let client = client_hash(question.hash_floor, hashed);
    let scope = scope(question.family, question.hash_floor, question.client.address, leaf);
    let family = if hashed.0.is_ipv4() || hashed.1.shift > 0 { Family::V4 } else { Family::V6 };
    let seen = Seen { place, client, family, scope };
    if question.steering.trickle > 0
        && let Some(decision) = rest::trickled(question, &seen, trace)
    {
        return decision;
    }
    for standard in question.steering.on_all_down.standards() {
        trace.standard(*standard);
        if let Some(decision) = at(question, &seen, *standard, trace) {
            return decision;
        }
    }
    rest::nothing(question, &seen)
}

/// The decision by one standard, if anyone meets it.
#[inline(always)]
fn at<'w, T: Trace>(question: &Question<'w>, seen: &Seen, standard: Standard, trace: &mut T) -> Option<Decision<'w>> {
    let choice = match question.family.plan.harms() {
        None => choose(question, seen, standard, trace),
        Some(harms) => overflow::choose(question, seen, harms, standard, trace),
    };
    answered(question, seen, &choice, standard, trace)
}

/// What is answered from the region that was chosen.
#[inline(always)]
fn answered<'w, T: Trace>(
    question: &Question<'w>,
    seen: &Seen,
    choice: &Choice,
    standard: Standard,
    trace: &mut T,
) -> Option<Decision<'w>> {
    let entry = choice.entry()?;
    trace.chosen(entry);
    let candidate = &question.family.candidates[usize::from(entry.candidate)];
    let endpoints = pick(question, candidate, seen.client, standard);
    let ttl_s = ttl(question, standard, choice.may_change_at_ms);
    let reason = reason(choice, entry.why, standard);
    let health = question.health;
    Some(Decision { chosen: Some(candidate), endpoints, health, fallback: &[], ttl_s, scope: seen.scope, reason })
}

/// The leaf that gives the scope, the place that gives the ranking, and the address that is hashed with its leaf.
type Located = (Leaf, PlaceId, (IpAddr, Leaf));

/// Where the client is: for reserved addresses the peer takes its place in everything but the scope (BEHAVIOUR E6).
#[inline]
fn locate(question: &Question<'_>) -> Located {
    let Client { address, source_length, peer } = question.client;
    let leaf = question.table.locate(address, source_length);
    if question.table.kind(leaf.place) != Kind::UsePeer {
        return (leaf, leaf.place, (address, leaf));
    }
    let stand_in = question.table.locate(peer, Family::of(peer).bits());
    (leaf, stand_in.place, (peer, stand_in))
}

/// The first band with anyone who meets the standard, and in it the client's own region.
#[inline(always)]
fn choose<T: Trace>(question: &Question<'_>, seen: &Seen, standard: Standard, trace: &mut T) -> Choice {
    let client = seen.client;
    let mut choice = Choice::new(sharer(question, seen));
    let ranking = question.family.plan.ranking(seen.place);
    for entry in ranking.head() {
        if choice.consider(question, *entry, client, standard, None, trace) == Next::Complete {
            return choice;
        }
    }
    if choice.offered == 0 { behind(choice, question, ranking, client, standard, trace) } else { choice }
}

/// All of the head is out: goes on with what follows it.
#[cold]
fn behind<T: Trace>(
    mut choice: Choice,
    question: &Question<'_>,
    ranking: Ranking<'_>,
    client: u64,
    standard: Standard,
    trace: &mut T,
) -> Choice {
    _ = ranking.tail().any(|entry| choice.consider(question, entry, client, standard, None, trace) == Next::Complete);
    choice
}

/// What a band is shared by: the client's network, or a draw.
#[inline]
fn sharer(question: &Question<'_>, seen: &Seen) -> u64 {
    if question.steering.share == ShareSpec::Random { question.seed } else { seen.client }
}

/// The endpoints of the chosen region that may be answered, rotated by the balance.
#[inline]
fn pick(question: &Question<'_>, candidate: &Candidate, client: u64, standard: Standard) -> Endpoints {
    let mut living = Positions::default();
    for (position, endpoint) in candidate.endpoints.iter().enumerate() {
        let may_serve = match standard {
            Standard::Available | Standard::AnyUp => question.health.endpoint_up(endpoint.id),
            Standard::LastGood if question.health.pool(candidate.pool).any_up => question.health.endpoint_up(endpoint.id),
            Standard::LastGood | Standard::Allowed => question.health.endpoint_allowed(endpoint.id),
        };
        if may_serve {
            living.add(position);
        }
    }
    let (endpoints, turns, slot, seed) = (&*candidate.endpoints, question.turns, candidate.slot, question.seed);
    Endpoints::rotated(question.steering, &Pick { endpoints, health: question.health, living, turns, slot, seed, client })
}

/// While a change is pending no answer outlives it, but none is shorter than the floor (BEHAVIOUR T1).
#[inline]
fn ttl(question: &Question<'_>, standard: Standard, may_change_at_ms: u64) -> u32 {
    let steering = question.steering;
    let ttl_s = match standard {
        Standard::Available => steering.ttl_s,
        Standard::LastGood | Standard::AnyUp | Standard::Allowed => steering.ttl_s.min(steering.fail_open_ttl_s),
    };
    if may_change_at_ms == SETTLED {
        return ttl_s;
    }
    let left_s = u32::try_from(may_change_at_ms.saturating_sub(question.now_ms) / 1000).unwrap_or(u32::MAX);
    ttl_s.min(left_s.max(steering.ttl_min_s))
}

fn reason(choice: &Choice, why: Why, standard: Standard) -> Reason {
    match (standard, choice.passed_over, choice.offered > 1) {
        (Standard::AnyUp | Standard::Allowed, ..) => Reason::FailOpen,
        (Standard::LastGood, ..) => Reason::LastGood,
        (_, PassedOver::Full, ..) => Reason::Overflow,
        (_, PassedOver::Out, ..) => Reason::Failover,
        (_, _, true) => Reason::Shared,
        _ => Reason::of(why),
    }
}

/// The scope of an answer for a client at a leaf: as compiled, raised to the hash floor where clients are hashed; IPv4 inside IPv6 counts
/// from where it begins (BEHAVIOUR S5, S8).
#[inline]
pub fn scope(family: &FamilySteering, hash_floor: HashFloor, address: IpAddr, leaf: Leaf) -> u8 {
    let own = own_scope(family, hash_floor, address, leaf);
    match family.fallback.as_deref() {
        // Health is no client input (BEHAVIOUR S4): what may be consulted counts always.
        Some(Fallback::Service(fallback)) => own.max(own_scope(fallback, hash_floor, address, leaf)),
        _ => own,
    }
}

#[inline]
fn own_scope(family: &FamilySteering, hash_floor: HashFloor, address: IpAddr, leaf: Leaf) -> u8 {
    if !family.plan.tells_clients_apart() {
        return 0;
    }
    // All of IPv4 may have one ranking (length 0), and the rest of IPv6 another.
    let length = family.plan.scope(leaf).saturating_add(leaf.shift).min(128);
    let floor = if family.hashes_clients { floor_length(hash_floor, address, leaf) } else { 0 };
    length.max(floor)
}

/// Length to which an address is masked before it is hashed.
#[inline]
fn floor_length(hash_floor: HashFloor, address: IpAddr, leaf: Leaf) -> u8 {
    match (address, leaf.shift) {
        (IpAddr::V6(_), 0) => hash_floor.v6,
        (_, shift) => hash_floor.v4 + shift,
    }
}

/// Hash of the client's network, so that a resolver farm's addresses agree (BEHAVIOUR S10).
#[inline]
fn client_hash(hash_floor: HashFloor, (address, leaf): (IpAddr, Leaf)) -> u64 {
    let length = u32::from(floor_length(hash_floor, address, leaf));
    match address {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)), 4),
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & u128::MAX.checked_shl(128 - length).unwrap_or(0);
            mix(mix((network >> 64) as u64, 6), network as u64)
        }
    }
}

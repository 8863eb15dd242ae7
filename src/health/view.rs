//! What the hot path reads of health: a bit or two per endpoint and one small record per pool, worked out beforehand.
//! A view never changes and never measures; reading it does not allocate, hash, lock or ask the time.

mod judge;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::hosts::Seat;
use super::monitor::TargetKey;
use super::{EndpointId, PoolId, Story};
pub(super) use judge::pool_health;
use judge::standing;

/// The value of [`PoolHealth::admit`] that takes every client.
pub const ADMIT_ALL: u16 = 1024;

/// The value of [`PoolHealth::may_change_at_ms`] while nothing is foreseen.
pub const SETTLED: u64 = u64::MAX;

/// Everything that can be healthy or not, in the dense order of the ids. Made by the configuration, kept by the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Index = [`PoolId`].
    pub pools: Vec<PoolLayout>,
    /// Index = [`EndpointId`].
    pub endpoints: Vec<EndpointLayout>,
}

impl Layout {
    /// A pool and those that follow it: the other family of its region, where that is tied to it or stands in for it.
    pub(super) fn concerned(&self, id: PoolId) -> impl Iterator<Item = PoolId> + use<> {
        let of = |other: fn(&PoolLayout) -> Option<PoolId>| self.pools.get(id.0 as usize).and_then(other);
        let (tied, other) = (of(|pool| pool.together_with), of(|pool| pool.other_family));
        let len = self.pools.len();
        [Some(id), tied, other.filter(|other| Some(*other) != tied)].into_iter().flatten().filter(move |id| (id.0 as usize) < len)
    }
}

/// What the book remembers of a pool beyond its measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PoolNote {
    /// It is well again but waits for an operator.
    pub(super) waits: bool,
    /// It comes back in steps: the share of 1024 now, and when the next step is due.
    pub(super) ramp: Option<(u16, u64)>,
}

impl PoolNote {
    fn applied(self, mut health: PoolHealth) -> PoolHealth {
        if self.waits && health.state == PoolState::Available {
            health.state = PoolState::Down;
        }
        if let Some((admit, next_step_ms)) = self.ramp {
            health.admit = health.admit.min(admit);
            health.may_change_at_ms = health.may_change_at_ms.min(next_step_ms);
        }
        health
    }
}

/// One (service, region, address family).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLayout {
    /// What it is called, so that what is remembered of it survives a reload.
    pub key: PoolKey,
    /// The endpoint ids of this pool; no other pool has any of them.
    pub endpoints: Range<u32>,
    /// How many of them must be up for the pool to be available (P4).
    pub min_healthy: MinHealthy,
    /// The operator's word on the whole region.
    pub region_state: Option<Override>,
    /// The pool of the other family in the same region, where both are needed (`families: together`, P5).
    pub together_with: Option<PoolId>,
    /// The pool of the other family in the same region, whose verdict stands in while this family cannot be measured (H5).
    pub other_family: Option<PoolId>,
    /// The share of its clients that it takes while all its endpoints are degraded, of 1024.
    pub degraded_admit: u16,
    /// How it comes back after it was down.
    pub recovery: Recovery,
}

impl Default for PoolLayout {
    /// No endpoints, every setting as when nothing is typed.
    fn default() -> PoolLayout {
        PoolLayout {
            key: PoolKey::default(),
            endpoints: 0..0,
            min_healthy: MinHealthy::Count(1),
            region_state: None,
            together_with: None,
            other_family: None,
            degraded_admit: ADMIT_ALL / 2,
            recovery: Recovery::default(),
        }
    }
}

/// The names of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// The service.
    pub service: Arc<str>,
    /// The region.
    pub region: Arc<str>,
    /// The address family.
    pub ipv6: bool,
}

/// How a pool comes back after it was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Recovery {
    /// It waits for an operator (`failback: manual`).
    pub manual: bool,
    /// Its share of clients grows from a tenth to all of them in this time, in milliseconds; 0 = at once.
    pub ramp_ms: u32,
}

/// One (service, region, address).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointLayout {
    /// What is probed for it.
    pub checks: Checks,
    /// The operator's word on this endpoint.
    pub state: Option<Override>,
    /// The endpoint is one address of a host name, or the place for one.
    pub seat: Option<Seat>,
}

impl EndpointLayout {
    /// An endpoint with at most one monitor.
    pub fn probed_by(target: Option<TargetKey>) -> EndpointLayout {
        EndpointLayout { checks: Checks { targets: target.into_iter().collect(), ..Checks::default() }, ..EndpointLayout::default() }
    }

    /// True for the place of an address that its host does not have: nothing is answered from there, and nothing counts it.
    pub fn is_vacant(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.taken.is_none())
    }

    /// Everything that is probed for it: its own monitors and the checks that it requires.
    pub fn targets(&self) -> impl Iterator<Item = &TargetKey> {
        self.checks.targets.iter().chain(&self.checks.requires)
    }
}

/// The monitors of an endpoint and what they must say together. Without any the endpoint counts as up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// Its own monitors; those that only observe have no say.
    pub targets: Box<[TargetKey]>,
    /// How many of them must be up.
    pub combine: Combine,
    /// Named checks, each of which must be up besides.
    pub requires: Box<[TargetKey]>,
}

/// How many of several monitors must be up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Combine {
    /// Every one.
    #[default]
    All,
    /// One of them.
    Any,
    /// This many, or all where there are fewer; at least 1.
    AtLeast(u32),
}

impl Combine {
    /// The verdict of `verdicts` together: that of the worst which is needed. Up where there are none.
    pub fn judge(self, verdicts: &mut [Verdict]) -> Verdict {
        verdicts.sort_unstable_by(|a, b| b.cmp(a));
        let needed = match self {
            Combine::All => verdicts.len(),
            Combine::Any => 1,
            Combine::AtLeast(count) => (count as usize).clamp(1, verdicts.len().max(1)),
        };
        needed.checked_sub(1).and_then(|at| verdicts.get(at)).copied().unwrap_or(Verdict::Up)
    }
}

/// An operator's override; kept apart from measurement, and stronger. `Down` or `Drain` on either the region or the endpoint
/// takes the endpoint out; else `Up` on either keeps it in, whatever the probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Override {
    /// Serves, whatever the probes say.
    Up,
    /// Does not serve, fail open included; still counts as an endpoint of its region.
    Down,
    /// As `Down`, but on purpose: leaves the count of `min_healthy` (P4) and raises no alarm.
    Drain,
}

/// How many endpoints of a pool must be up (P4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MinHealthy {
    /// This many, or all that are not drained where there are fewer; at least 1.
    Count(u32),
    /// This share of those that are not drained, in percent, rounded up; at least one endpoint.
    Percent(u8),
}

/// The judged measurement of a target, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Measured down.
    Down,
    /// Measured up, but it flaps and is not trusted for now; not served.
    Suppressed,
    /// Measured up, but slow or not well: served to fewer.
    Degraded,
    /// Not measured yet; served as up (H1).
    Unknown,
    /// Measured up.
    Up,
}

impl Verdict {
    /// True if clients may be sent there.
    pub fn serves(self) -> bool {
        !matches!(self, Verdict::Down | Verdict::Suppressed)
    }
}

/// What a view needs to know of one endpoint's measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measured {
    /// The judged state.
    pub verdict: Verdict,
    /// The soonest moment at which the verdict could change, in milliseconds of the book's clock; [`SETTLED`] while nothing speaks
    /// against it (T1).
    pub may_change_at_ms: u64,
    /// For so long only the prober's own faults came that the other family is believed instead (H5).
    pub unmeasurable: bool,
}

impl Measured {
    /// Up, and nothing is pending.
    pub const UP: Measured = Measured { verdict: Verdict::Up, may_change_at_ms: SETTLED, unmeasurable: false };
    /// Down, and nothing is pending.
    pub const DOWN: Measured = Measured { verdict: Verdict::Down, may_change_at_ms: SETTLED, unmeasurable: false };
}

/// Whether a pool may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolState {
    /// Enough endpoints are up.
    Available,
    /// Too few endpoints are up; some may be (see [`PoolHealth::any_up`]).
    Down,
    /// No endpoint is left that is not forced down: the operator's will, which fail open does not override.
    ForcedDown,
    /// Its endpoints are host names, and none of them has an address of the family.
    Vacant,
}

impl PoolState {
    /// True unless nothing could be answered from here, not even when all else is down.
    pub fn is_open(self) -> bool {
        !matches!(self, PoolState::ForcedDown | PoolState::Vacant)
    }
}

/// What the hot path reads of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolHealth {
    /// Whether it may be chosen.
    pub state: PoolState,
    /// Whether at least one of its endpoints is up (the first step of fail open).
    pub any_up: bool,
    /// The share of its clients that it takes just now, of 1024.
    pub admit: u16,
    /// No answer from this pool may live beyond this moment, in milliseconds of the book's clock; [`SETTLED`] while nothing is pending (T1).
    /// The reader raises what is left to `ttl_min`.
    pub may_change_at_ms: u64,
}

impl PoolHealth {
    /// In order, with nothing pending.
    pub const AVAILABLE: PoolHealth = PoolHealth { state: PoolState::Available, any_up: true, admit: ADMIT_ALL, may_change_at_ms: SETTLED };
}

/// The health of the whole configuration at one moment. Ids that the layout does not have read as up and available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthView {
    pools: Box<[PoolHealth]>,
    up: Bits,
    allowed: Bits,
    /// By pool; empty where nobody keeps them.
    stories: Arc<[Story]>,
    /// By endpoint: the address of a host that sits there, with its identity. Empty where no endpoint is given as a host name.
    seats: Box<[Option<(IpAddr, u64)>]>,
}

impl HealthView {
    /// The view of `layout` when its endpoints are measured as `measured` says (asked once for each).
    pub fn new(layout: &Layout, mut measured: impl FnMut(EndpointId) -> Measured) -> HealthView {
        let measured: Vec<Measured> = (0..layout.endpoints.len() as u32).map(|id| measured(EndpointId(id))).collect();
        let mut view = HealthView {
            pools: layout.pools.iter().map(|_| PoolHealth::AVAILABLE).collect(),
            up: Bits::all_set(layout.endpoints.len()),
            allowed: Bits::all_set(layout.endpoints.len()),
            stories: Arc::default(),
            seats: seats(layout),
        };
        let of = |id: EndpointId| measured.get(id.0 as usize).copied().unwrap_or(Measured::UP);
        (0..layout.pools.len() as u32).for_each(|id| view.judge(layout, PoolId(id), &of, &[]));
        view
    }

    /// The view of `layout` with every endpoint measured up; overrides stay in force.
    pub fn all_up(layout: &Layout) -> HealthView {
        HealthView::new(layout, |_| Measured::UP)
    }

    /// The same, with how each pool came to be what it is.
    pub fn with_stories(self, stories: Arc<[Story]>) -> HealthView {
        HealthView { stories, ..self }
    }

    /// How a pool came to be what it is, where somebody keeps that.
    pub fn story(&self, id: PoolId) -> Option<&Story> {
        self.stories.get(id.0 as usize)
    }

    /// State, admit and next possible change of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        self.pools.get(id.0 as usize).copied().unwrap_or(PoolHealth::AVAILABLE)
    }

    /// Shows a pool as it was before, until it is judged again.
    pub(super) fn show(&mut self, id: PoolId, health: PoolHealth) {
        if let Some(pool) = self.pools.get_mut(id.0 as usize) {
            *pool = health;
        }
    }

    /// True if the endpoint serves: forced up, or not forced down and not measured down.
    pub fn endpoint_up(&self, id: EndpointId) -> bool {
        self.up.get(id.0)
    }

    /// True if the endpoint is not forced down: it may serve in the last step of fail open.
    pub fn endpoint_allowed(&self, id: EndpointId) -> bool {
        self.allowed.get(id.0)
    }

    /// The address, and its identity for rendezvous hashing, of an endpoint that is given as a host name; none for all others.
    #[inline]
    pub fn seat(&self, id: EndpointId) -> Option<(IpAddr, u64)> {
        self.seats.get(id.0 as usize).copied().flatten()
    }

    /// Works out one pool and its endpoints again, and every pool that is tied to it. `notes` are by pool; what lacks has none.
    pub(super) fn judge(&mut self, layout: &Layout, id: PoolId, measured: &impl Fn(EndpointId) -> Measured, notes: &[PoolNote]) {
        let Some(pool) = layout.pools.get(id.0 as usize) else { return };
        for endpoint in pool.endpoints.clone() {
            let (serving, allowed) = standing(layout, pool, endpoint, measured(EndpointId(endpoint)).verdict);
            self.up.set(endpoint, serving);
            self.allowed.set(endpoint, allowed);
        }
        for id in layout.concerned(id) {
            let note = notes.get(id.0 as usize).copied().unwrap_or_default();
            self.pools[id.0 as usize] = note.applied(pool_health(layout, id, measured));
        }
    }
}

impl fmt::Display for Override {
    /// As in the files: `up`, `down`, `drain`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Override::Up => "up",
            Override::Down => "down",
            Override::Drain => "drain",
        })
    }
}

impl fmt::Display for Verdict {
    /// `unknown`, `up`, `degraded`, `suppressed`, `down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Unknown => "unknown",
            Verdict::Up => "up",
            Verdict::Degraded => "degraded",
            Verdict::Suppressed => "suppressed",
            Verdict::Down => "down",
        })
    }
}

impl fmt::Display for PoolState {
    /// `available`, `down`, `forced down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolState::Available => "available",
            PoolState::Down => "down",
            PoolState::ForcedDown => "forced down",
            PoolState::Vacant => "no address",
        })
    }
}

fn seats(layout: &Layout) -> Box<[Option<(IpAddr, u64)>]> {
    if layout.endpoints.iter().all(|endpoint| endpoint.seat.is_none()) {
        return Box::default();
    }
    layout.endpoints.iter().map(|endpoint| endpoint.seat.as_ref()?.taken).collect()
}

/// One bit per endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bits(Box<[u64]>);

impl Bits {
    fn all_set(len: usize) -> Bits {
        Bits(vec![u64::MAX; len.div_ceil(64)].into())
    }

    /// A bit that does not exist reads as set.
    fn get(&self, index: u32) -> bool {
        self.0.get(index as usize / 64).is_none_or(|word| word >> (index % 64) & 1 == 1)
    }

    fn set(&mut self, index: u32, value: bool) {
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word = *word & !(1 << (index % 64)) | u64::from(value) << (index % 64);
        }
    }
}

#[cfg(test)]
mod tests;

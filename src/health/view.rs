//! What the hot path reads of health: a bit or two per endpoint and one small record per pool, worked out beforehand.
//! A view never changes and never measures; reading it does not allocate, hash, lock or ask the time.

mod judge;
mod layout;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::overflow::PoolOverflow;
use super::score::Scores;
use super::{EndpointId, PoolId, Story};
use judge::standing;
pub(super) use judge::{pool_health, region_health};
pub use layout::{Addresses, Checks, Combine, EndpointLayout, Layout, MinHealthy, Override, PoolKey, PoolLayout, Recovery};

/// The value of [`PoolHealth::admit`] that takes every client.
pub const ADMIT_ALL: u16 = 1024;

/// The value of [`PoolHealth::may_change_at_ms`] while nothing is foreseen.
pub const SETTLED: u64 = u64::MAX;

/// What the book remembers of a pool beyond its measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PoolNote {
    /// It is well again but waits for an operator.
    pub(super) waits: bool,
    /// It comes back in steps: the share of 1024 now, and when the next step is due.
    pub(super) ramp: Option<(u16, u64)>,
    /// See [`PoolHealth::last_good`].
    pub(super) last_good: bool,
    /// See [`PoolHealth::held`].
    pub(super) held: bool,
}

impl PoolNote {
    fn applied(self, mut health: PoolHealth) -> PoolHealth {
        if self.held && health.state == PoolState::Down {
            // It could change at any moment: an operator decides.
            health = PoolHealth { state: PoolState::Available, any_up: true, held: true, may_change_at_ms: 0, ..health };
        }
        if self.waits && health.state == PoolState::Available {
            health.state = PoolState::Down;
        }
        if let Some((admit, next_step_ms)) = self.ramp {
            health.admit = health.admit.min(admit);
            health.may_change_at_ms = health.may_change_at_ms.min(next_step_ms);
        }
        health.last_good = self.last_good;
        health
    }
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
    /// How quick and how busy it is; none where nobody wants to know (see [`PoolLayout::scored`]).
    pub scores: Scores,
}

impl Measured {
    /// Up, and nothing is pending.
    pub const UP: Measured = Measured { verdict: Verdict::Up, may_change_at_ms: SETTLED, unmeasurable: false, scores: Scores::NONE };
    /// Down, and nothing is pending.
    pub const DOWN: Measured = Measured { verdict: Verdict::Down, may_change_at_ms: SETTLED, unmeasurable: false, scores: Scores::NONE };
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
    /// Whether it was up just before the last pool of its name went down (`on_all_down: last-good`); never while any of them is up.
    pub last_good: bool,
    /// Measured down, and served all the same: the guard allows no further losses.
    pub held: bool,
    /// The share of its clients that it takes just now, of 1024.
    pub admit: u16,
    /// No answer from this pool may live beyond this moment, in milliseconds of the book's clock; [`SETTLED`] while nothing is pending (T1).
    /// The reader raises what is left to `ttl_min`.
    pub may_change_at_ms: u64,
}

impl PoolHealth {
    /// In order, with nothing pending.
    pub const AVAILABLE: PoolHealth = PoolHealth {
        state: PoolState::Available,
        any_up: true,
        last_good: false,
        held: false,
        admit: ADMIT_ALL,
        may_change_at_ms: SETTLED,
    };
}

/// The health of the whole configuration at one moment. Ids that the layout does not have read as up and available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthView {
    pools: Box<[PoolHealth]>,
    up: Bits,
    allowed: Bits,
    /// By endpoint, 0 = none; empty where no pool is scored.
    scores: Box<[u32]>,
    /// By pool; empty where nobody keeps them.
    stories: Arc<[Story]>,
    /// By pool: what it sheds of its clients; empty where nothing has a capacity.
    overflow: Box<[PoolOverflow]>,
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
            scores: if layout.pools.iter().any(|pool| pool.scored.is_some()) {
                vec![0; layout.endpoints.len()].into()
            } else {
                Box::default()
            },
            stories: Arc::default(),
            overflow: Box::default(),
            seats: seats(layout),
        };
        let of = |id: EndpointId| measured.get(id.0 as usize).copied().unwrap_or(Measured::UP);
        view.judge(layout, (0..layout.pools.len() as u32).map(PoolId), &of, &[]);
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

    /// The same, with what pools shed for lack of capacity ([`Overflow::view`](super::Overflow::view)).
    pub fn with_overflow(self, overflow: Box<[PoolOverflow]>) -> HealthView {
        HealthView { overflow, ..self }
    }

    /// What a pool sheds for lack of capacity.
    pub fn overflow(&self, id: PoolId) -> PoolOverflow {
        self.overflow.get(id.0 as usize).copied().unwrap_or(PoolOverflow::NONE)
    }

    /// The share of its clients that a pool takes just now, of 1024, for people: what it admits while it recovers or is not well, less what
    /// it sheds.
    pub fn taken(&self, id: PoolId) -> u16 {
        let kept = u32::from(ADMIT_ALL - self.overflow(id).shed.min(ADMIT_ALL));
        // At most `admit`.
        (u32::from(self.pool(id).admit) * kept / u32::from(ADMIT_ALL)) as u16
    }

    /// How a pool came to be what it is, where somebody keeps that.
    pub fn story(&self, id: PoolId) -> Option<&Story> {
        self.stories.get(id.0 as usize)
    }

    /// State, admit and next possible change of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        // A choice of references, not of each field.
        *self.pools.get(id.0 as usize).unwrap_or(&PoolHealth::AVAILABLE)
    }

    /// Whether a pool takes all its clients and no change is foreseen, as usual.
    #[inline]
    pub fn is_in_order(&self, id: PoolId) -> bool {
        let health = self.pools.get(id.0 as usize).unwrap_or(&PoolHealth::AVAILABLE);
        health.state == PoolState::Available && health.admit >= ADMIT_ALL && health.may_change_at_ms == SETTLED
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

    /// How slow or how busy the endpoint is, by what its name goes by ([`ScoredBy`](super::score::ScoredBy)); none where nothing is known.
    pub fn endpoint_score(&self, id: EndpointId) -> Option<u32> {
        self.scores.get(id.0 as usize).copied().filter(|score| *score > 0)
    }

    /// Works out pools and their endpoints again; the caller names all that are concerned. `notes` are by pool; what lacks has none.
    pub(super) fn judge(
        &mut self,
        layout: &Layout,
        ids: impl Iterator<Item = PoolId>,
        measured: &impl Fn(EndpointId) -> Measured,
        notes: &[PoolNote],
    ) {
        for id in ids {
            let Some(pool) = layout.pools.get(id.0 as usize) else { continue };
            for endpoint in pool.endpoints.clone() {
                let (serving, allowed) = standing(layout, pool, endpoint, measured(EndpointId(endpoint)).verdict);
                self.up.set(endpoint, serving);
                self.allowed.set(endpoint, allowed);
                if let Some((score, by)) = self.scores.get_mut(endpoint as usize).zip(pool.scored) {
                    *score = measured(EndpointId(endpoint)).scores.by(by).unwrap_or(0);
                }
            }
            let note = notes.get(id.0 as usize).copied().unwrap_or_default();
            self.pools[id.0 as usize] = note.applied(pool_health(layout, id, measured));
            if self.pools[id.0 as usize].held && !pool.endpoints.clone().any(|endpoint| self.up.get(endpoint)) {
                // None is up: all of them are served.
                pool.endpoints.clone().for_each(|endpoint| self.up.set(endpoint, self.allowed.get(endpoint)));
            }
        }
    }

    /// Marks the pools that were up last.
    pub(super) fn set_last_good(&mut self, id: PoolId, last_good: bool) {
        if let Some(pool) = self.pools.get_mut(id.0 as usize) {
            pool.last_good = last_good;
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

//! What the hot path reads of health: a bit or two per endpoint and one small record per pool, worked out beforehand.
//! A view never changes and never measures; reading it does not allocate, hash, lock or ask the time.

use std::fmt;
use std::ops::Range;

use super::monitor::TargetKey;
use super::{EndpointId, PoolId};

/// The value of [`PoolHealth::admit`] that takes every client.
pub const ADMIT_ALL: u16 = 1024;

/// The value of [`PoolHealth::ttl_cap_s`] that caps nothing.
pub const NO_TTL_CAP: u32 = u32::MAX;

/// Everything that can be healthy or not, in the dense order of the ids. Made by the configuration, kept by the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Index = [`PoolId`].
    pub pools: Vec<PoolLayout>,
    /// Index = [`EndpointId`].
    pub endpoints: Vec<EndpointLayout>,
}

/// One (service, region, address family).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLayout {
    /// The endpoint ids of this pool; no other pool has any of them.
    pub endpoints: Range<u32>,
    /// How many of them must be up for the pool to be available (P4).
    pub min_healthy: MinHealthy,
    /// The operator's word on the whole region.
    pub region_state: Option<Override>,
    /// The pool of the other family in the same region, where both are needed (`families: together`, P5).
    pub together_with: Option<PoolId>,
}

/// One (service, region, address).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointLayout {
    /// What is probed for it; an endpoint without a monitor counts as up.
    pub target: Option<TargetKey>,
    /// The operator's word on this endpoint.
    pub state: Option<Override>,
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

/// The judged measurement of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Not measured yet; served as up (H1).
    Unknown,
    /// Measured up.
    Up,
    /// Measured down.
    Down,
}

/// What a view needs to know of one endpoint's measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measured {
    /// The judged state.
    pub verdict: Verdict,
    /// Milliseconds after which the verdict could change, while a contrary outcome is pending (T1).
    pub pending_ms: Option<u32>,
}

impl Measured {
    /// Up, and nothing is pending.
    pub const UP: Measured = Measured { verdict: Verdict::Up, pending_ms: None };
    /// Down, and nothing is pending.
    pub const DOWN: Measured = Measured { verdict: Verdict::Down, pending_ms: None };
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
    /// No answer from this pool may live longer, in seconds; [`NO_TTL_CAP`] while nothing is pending. The reader raises it to `ttl_min`.
    pub ttl_cap_s: u32,
}

impl PoolHealth {
    /// In order, with nothing pending.
    pub const AVAILABLE: PoolHealth = PoolHealth { state: PoolState::Available, any_up: true, admit: ADMIT_ALL, ttl_cap_s: NO_TTL_CAP };
}

/// The health of the whole configuration at one moment. Ids that the layout does not have read as up and available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthView {
    pools: Box<[PoolHealth]>,
    up: Bits,
    allowed: Bits,
}

impl HealthView {
    /// The view of `layout` when its endpoints are measured as `measured` says (asked once for each).
    pub fn new(layout: &Layout, mut measured: impl FnMut(EndpointId) -> Measured) -> HealthView {
        let measured: Vec<Measured> = (0..layout.endpoints.len() as u32).map(|id| measured(EndpointId(id))).collect();
        let mut view = HealthView {
            pools: layout.pools.iter().map(|_| PoolHealth::AVAILABLE).collect(),
            up: Bits::all_set(layout.endpoints.len()),
            allowed: Bits::all_set(layout.endpoints.len()),
        };
        let of = |id: EndpointId| measured.get(id.0 as usize).copied().unwrap_or(Measured::UP);
        (0..layout.pools.len() as u32).for_each(|id| view.judge(layout, PoolId(id), &of));
        view
    }

    /// The view of `layout` with every endpoint measured up; overrides stay in force.
    pub fn all_up(layout: &Layout) -> HealthView {
        HealthView::new(layout, |_| Measured::UP)
    }

    /// State, admit and TTL cap of a pool.
    pub fn pool(&self, id: PoolId) -> PoolHealth {
        self.pools.get(id.0 as usize).copied().unwrap_or(PoolHealth::AVAILABLE)
    }

    /// True if at least one endpoint of the pool is up, even when that is too few for the pool to be available.
    pub fn pool_any_up(&self, id: PoolId) -> bool {
        self.pool(id).any_up
    }

    /// True if the endpoint serves: forced up, or not forced down and not measured down.
    pub fn endpoint_up(&self, id: EndpointId) -> bool {
        self.up.get(id.0)
    }

    /// True if the endpoint is not forced down: it may serve in the last step of fail open.
    pub fn endpoint_allowed(&self, id: EndpointId) -> bool {
        self.allowed.get(id.0)
    }

    /// Works out one pool and its endpoints again, and every pool that is tied to it.
    pub(super) fn judge(&mut self, layout: &Layout, id: PoolId, measured: &impl Fn(EndpointId) -> Measured) {
        let Some(pool) = layout.pools.get(id.0 as usize) else { return };
        for endpoint in pool.endpoints.clone() {
            let (serving, allowed) = standing(layout, pool, endpoint, measured(EndpointId(endpoint)).verdict);
            self.up.set(endpoint, serving);
            self.allowed.set(endpoint, allowed);
        }
        self.pools[id.0 as usize] = pool_health(layout, id, measured);
        if let Some(other) = pool.together_with.filter(|other| (other.0 as usize) < layout.pools.len()) {
            self.pools[other.0 as usize] = pool_health(layout, other, measured);
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
    /// `unknown`, `up`, `down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Unknown => "unknown",
            Verdict::Up => "up",
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
        })
    }
}

/// (serves, is not forced down) of an endpoint.
fn standing(layout: &Layout, pool: &PoolLayout, endpoint: u32, verdict: Verdict) -> (bool, bool) {
    match forced(layout, pool, endpoint) {
        Some(Override::Up) => (true, true),
        Some(Override::Down | Override::Drain) => (false, false),
        None => (verdict != Verdict::Down, true),
    }
}

/// The override in force on an endpoint: out wins over in, and a drain wins over a plain down.
fn forced(layout: &Layout, pool: &PoolLayout, endpoint: u32) -> Option<Override> {
    let own = layout.endpoints.get(endpoint as usize).and_then(|endpoint| endpoint.state);
    own.max(pool.region_state)
}

/// The health of a pool, with that of the family that it is tied to.
fn pool_health(layout: &Layout, id: PoolId, measured: &impl Fn(EndpointId) -> Measured) -> PoolHealth {
    let pool = &layout.pools[id.0 as usize];
    let mut health = own_health(layout, pool, measured);
    if let Some(other) = pool.together_with.and_then(|other| layout.pools.get(other.0 as usize)) {
        let other = own_health(layout, other, measured);
        if health.state == PoolState::Available && other.state != PoolState::Available {
            health.state = PoolState::Down;
        }
        health.ttl_cap_s = health.ttl_cap_s.min(other.ttl_cap_s);
    }
    health
}

/// The health of a pool by its own endpoints alone.
fn own_health(layout: &Layout, pool: &PoolLayout, measured: &impl Fn(EndpointId) -> Measured) -> PoolHealth {
    let (mut counted, mut up, mut allowed, mut pending_ms) = (0_u32, 0_u32, 0_u32, None::<u32>);
    for endpoint in pool.endpoints.clone() {
        let forced = forced(layout, pool, endpoint);
        let now = measured(EndpointId(endpoint));
        let (serves, may_serve) = standing(layout, pool, endpoint, now.verdict);
        counted += u32::from(forced != Some(Override::Drain));
        up += u32::from(serves);
        allowed += u32::from(may_serve);
        if forced.is_none() {
            pending_ms = pending_ms.into_iter().chain(now.pending_ms).min();
        }
    }
    let state = match () {
        () if allowed == 0 => PoolState::ForcedDown,
        () if up >= pool.min_healthy.needed(counted) => PoolState::Available,
        () => PoolState::Down,
    };
    // Whole seconds, at least one: a TTL of 0 would turn every client's query into ours.
    let ttl_cap_s = pending_ms.map_or(NO_TTL_CAP, |ms| (ms / 1000).max(1));
    PoolHealth { state, any_up: up > 0, admit: ADMIT_ALL, ttl_cap_s }
}

impl MinHealthy {
    /// How many of `counted` endpoints must be up.
    fn needed(self, counted: u32) -> u32 {
        let wanted = match self {
            MinHealthy::Count(count) => u64::from(count),
            MinHealthy::Percent(percent) => (u64::from(percent) * u64::from(counted)).div_ceil(100),
        };
        // Not over u32: the cast follows a minimum with a u32.
        wanted.min(u64::from(counted)).max(1) as u32
    }
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
mod tests {
    use super::*;

    /// One pool over `states`, every endpoint measured as told.
    fn view(min_healthy: MinHealthy, region_state: Option<Override>, endpoints: &[(Option<Override>, Measured)]) -> HealthView {
        let pool = PoolLayout { endpoints: 0..endpoints.len() as u32, min_healthy, region_state, together_with: None };
        let endpoint = |state: &Option<Override>| EndpointLayout { target: None, state: *state };
        let layout = Layout { pools: vec![pool], endpoints: endpoints.iter().map(|(state, _)| endpoint(state)).collect() };
        HealthView::new(&layout, |id| endpoints[id.0 as usize].1)
    }

    fn pool_state(min_healthy: MinHealthy, endpoints: &[(Option<Override>, Measured)]) -> PoolState {
        view(min_healthy, None, endpoints).pool(PoolId(0)).state
    }

    const UP: (Option<Override>, Measured) = (None, Measured::UP);
    const DOWN: (Option<Override>, Measured) = (None, Measured::DOWN);
    const DRAINED: (Option<Override>, Measured) = (Some(Override::Drain), Measured::UP);
    const FORCED_DOWN: (Option<Override>, Measured) = (Some(Override::Down), Measured::UP);
    const FORCED_UP: (Option<Override>, Measured) = (Some(Override::Up), Measured::DOWN);

    #[test]
    fn p4_a_pool_needs_min_healthy_of_its_endpoints_rounded_up() {
        use MinHealthy::{Count, Percent};
        for (min_healthy, up, down, available) in [
            (Count(1), 1, 3, true),
            (Count(1), 0, 4, false),
            (Count(3), 2, 2, false),
            (Count(3), 3, 1, true),
            (Count(9), 4, 0, true),
            (Count(0), 0, 4, false),
            (Percent(50), 2, 2, true),
            (Percent(50), 1, 2, false),
            (Percent(51), 2, 2, false),
            (Percent(0), 0, 4, false),
            (Percent(100), 4, 0, true),
        ] {
            let endpoints: Vec<_> = std::iter::repeat_n(UP, up).chain(std::iter::repeat_n(DOWN, down)).collect();
            let expected = if available { PoolState::Available } else { PoolState::Down };
            assert_eq!(pool_state(min_healthy, &endpoints), expected, "{min_healthy:?} {up} {down}");
        }
    }

    #[test]
    fn p4_drained_endpoints_leave_the_count_and_forced_down_ones_stay_in_it() {
        assert_eq!(pool_state(MinHealthy::Percent(100), &[UP, DRAINED]), PoolState::Available);
        assert_eq!(pool_state(MinHealthy::Percent(100), &[UP, FORCED_DOWN]), PoolState::Down);
        assert_eq!(pool_state(MinHealthy::Count(2), &[UP, DRAINED]), PoolState::Available);
        assert_eq!(pool_state(MinHealthy::Count(2), &[UP, FORCED_DOWN]), PoolState::Down);
    }

    #[test]
    fn overrides_beat_measurements_and_out_beats_in() {
        let view = view(MinHealthy::Count(1), Some(Override::Up), &[UP, DOWN, FORCED_DOWN, DRAINED]);
        let up: Vec<bool> = (0..4).map(|id| view.endpoint_up(EndpointId(id))).collect();
        let allowed: Vec<bool> = (0..4).map(|id| view.endpoint_allowed(EndpointId(id))).collect();
        assert_eq!((up, allowed), (vec![true, true, false, false], vec![true, true, false, false]));
        assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_UP, DOWN]), PoolState::Available);
    }

    #[test]
    fn p2_a_pool_is_forced_down_only_when_nothing_else_is_left() {
        assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_DOWN, DRAINED]), PoolState::ForcedDown);
        assert_eq!(pool_state(MinHealthy::Count(1), &[FORCED_DOWN, DOWN]), PoolState::Down);
        for state in [Override::Down, Override::Drain] {
            let view = view(MinHealthy::Count(1), Some(state), &[UP, FORCED_UP]);
            assert_eq!(view.pool(PoolId(0)).state, PoolState::ForcedDown);
            assert!(!view.endpoint_allowed(EndpointId(1)) && !view.pool_any_up(PoolId(0)));
        }
    }

    #[test]
    fn a_pool_with_too_few_endpoints_up_still_tells_fail_open_which_are() {
        let view = view(MinHealthy::Count(2), None, &[DOWN, UP]);
        assert_eq!(view.pool(PoolId(0)).state, PoolState::Down);
        assert!(view.pool_any_up(PoolId(0)) && view.endpoint_up(EndpointId(1)) && !view.endpoint_up(EndpointId(0)));
        assert!(view.endpoint_allowed(EndpointId(0)));
    }

    fn two_families(together: bool, v4: Measured, v6: Measured) -> [PoolState; 2] {
        let pool = |id: u32| PoolLayout {
            endpoints: id..id + 1,
            min_healthy: MinHealthy::Count(1),
            region_state: None,
            together_with: together.then_some(PoolId(1 - id)),
        };
        let layout = Layout { pools: vec![pool(0), pool(1)], endpoints: vec![EndpointLayout::default(); 2] };
        let view = HealthView::new(&layout, |id| [v4, v6][id.0 as usize]);
        [view.pool(PoolId(0)).state, view.pool(PoolId(1)).state]
    }

    #[test]
    fn p5_families_are_judged_apart_or_together_as_configured() {
        use PoolState::{Available, Down};
        assert_eq!(two_families(false, Measured::UP, Measured::DOWN), [Available, Down]);
        assert_eq!(two_families(true, Measured::UP, Measured::DOWN), [Down, Down]);
        assert_eq!(two_families(true, Measured::UP, Measured::UP), [Available, Available]);
    }

    #[test]
    fn t1_the_cap_is_the_soonest_possible_change_and_at_least_a_second() {
        let pending = |ms| (None, Measured { verdict: Verdict::Up, pending_ms: Some(ms) });
        let cap = |endpoints: &[_]| view(MinHealthy::Count(1), None, endpoints).pool(PoolId(0)).ttl_cap_s;
        assert_eq!(cap(&[UP, DOWN]), NO_TTL_CAP);
        assert_eq!(cap(&[UP, pending(10_000), pending(5_999)]), 5);
        assert_eq!(cap(&[pending(200)]), 1);
        assert_eq!(cap(&[UP, (Some(Override::Up), pending(200).1)]), NO_TTL_CAP, "an override does not wait for probes");
    }

    #[test]
    fn ids_that_do_not_exist_and_endpoints_past_a_word_are_told_apart() {
        let mut endpoints = vec![UP; 130];
        endpoints[64] = DOWN;
        endpoints[129] = DOWN;
        let view = view(MinHealthy::Count(1), None, &endpoints);
        let down: Vec<u32> = (0..200).filter(|id| !view.endpoint_up(EndpointId(*id))).collect();
        assert_eq!(down, [64, 129]);
        assert_eq!(view.pool(PoolId(9)), PoolHealth::AVAILABLE);
    }
}

//! The judgement of a view: from measurements, overrides and the demands of a pool to what may be chosen of it.
//! It remembers nothing: what a pool was before is the business of the book.

use super::{ADMIT_ALL, EndpointLayout, Layout, Measured, MinHealthy, Override, PoolHealth, PoolLayout, PoolState, SETTLED, Verdict};
use crate::health::{EndpointId, PoolId};

/// (serves, is not forced down) of an endpoint.
pub(super) fn standing(layout: &Layout, pool: &PoolLayout, endpoint: u32, verdict: Verdict) -> (bool, bool) {
    if is_vacant(layout, endpoint) {
        return (false, false);
    }
    match forced(layout, pool, endpoint) {
        Some(Override::Up) => (true, true),
        Some(Override::Down | Override::Drain) => (false, false),
        None => (verdict.serves(), true),
    }
}

fn is_vacant(layout: &Layout, endpoint: u32) -> bool {
    layout.endpoints.get(endpoint as usize).is_some_and(EndpointLayout::is_vacant)
}

/// The override in force on an endpoint: out wins over in, and a drain wins over a plain down.
fn forced(layout: &Layout, pool: &PoolLayout, endpoint: u32) -> Option<Override> {
    let own = layout.endpoints.get(endpoint as usize).and_then(|endpoint| endpoint.state);
    own.max(pool.region_state)
}

/// The health of a pool: its own, and that of its tier.
pub(in crate::health) fn pool_health(layout: &Layout, id: PoolId, measured: &impl Fn(EndpointId) -> Measured) -> PoolHealth {
    let mut health = region_health(layout, id, measured);
    if health.state == PoolState::Available && !tier_holds(layout, &layout.pools[id.0 as usize], measured) {
        health.state = PoolState::Down;
    }
    health
}

/// The health of a pool, with that of the family that it is tied to or that stands in for it.
pub(in crate::health) fn region_health(layout: &Layout, id: PoolId, measured: &impl Fn(EndpointId) -> Measured) -> PoolHealth {
    let pool = &layout.pools[id.0 as usize];
    let (mut health, measurable) = own_health(layout, pool, measured);
    if !measurable
        && health.state.is_open()
        && let Some((other, true)) =
            pool.other_family.and_then(|other| layout.pools.get(other.0 as usize)).map(|other| own_health(layout, other, measured))
        && other.state.is_open()
    {
        health.state = other.state;
    }
    if let Some(other) = pool.together_with.and_then(|other| layout.pools.get(other.0 as usize)) {
        let (other, _) = own_health(layout, other, measured);
        // A family in which the region has no address is none that could fail.
        if health.state == PoolState::Available && !matches!(other.state, PoolState::Available | PoolState::Vacant) {
            health.state = PoolState::Down;
        }
        health.may_change_at_ms = health.may_change_at_ms.min(other.may_change_at_ms);
    }
    health
}

/// How many endpoints of a pool count, and how many of these serve.
fn counted(layout: &Layout, pool: &PoolLayout, measured: &impl Fn(EndpointId) -> Measured) -> (u32, u32) {
    let judged = |endpoint: u32| {
        let counts = forced(layout, pool, endpoint) != Some(Override::Drain);
        let (serves, _) = standing(layout, pool, endpoint, measured(EndpointId(endpoint)).verdict);
        (u32::from(counts), u32::from(serves))
    };
    pool.endpoints
        .clone()
        .filter(|endpoint| !is_vacant(layout, *endpoint))
        .map(judged)
        .fold((0, 0), |sum, (all, up)| (sum.0 + all, sum.1 + up))
}

/// The health of a pool by its own endpoints alone, and whether any of it can be measured.
fn own_health(layout: &Layout, pool: &PoolLayout, measured: &impl Fn(EndpointId) -> Measured) -> (PoolHealth, bool) {
    let (mut counted, mut up, mut allowed, mut degraded, mut may_change_at_ms) = (0_u32, 0_u32, 0_u32, 0_u32, SETTLED);
    let mut measurable = pool.endpoints.is_empty();
    let taken = || pool.endpoints.clone().filter(|endpoint| !is_vacant(layout, *endpoint));
    let is_vacant = !pool.endpoints.is_empty() && taken().next().is_none();
    for endpoint in taken() {
        let forced = forced(layout, pool, endpoint);
        let now = measured(EndpointId(endpoint));
        let (serves, may_serve) = standing(layout, pool, endpoint, now.verdict);
        counted += u32::from(forced != Some(Override::Drain));
        up += u32::from(serves);
        allowed += u32::from(may_serve);
        measurable |= forced.is_some() || !now.unmeasurable;
        if forced.is_none() {
            degraded += u32::from(now.verdict == Verdict::Degraded);
            may_change_at_ms = may_change_at_ms.min(now.may_change_at_ms);
        }
    }
    let state = match () {
        () if is_vacant => PoolState::Vacant,
        // Records alone: nothing is measured, but the operator's word counts.
        () if pool.endpoints.is_empty() && !matches!(pool.region_state, Some(Override::Down | Override::Drain)) => PoolState::Available,
        () if allowed == 0 => PoolState::ForcedDown,
        () if up >= pool.min_healthy.needed(counted) => PoolState::Available,
        () => PoolState::Down,
    };
    // Each degraded endpoint gives up its part; what is down is not counted, its share went to the others.
    let given_up = u32::from(ADMIT_ALL.saturating_sub(pool.degraded_admit)) * degraded / up.max(1);
    let admit = ADMIT_ALL.saturating_sub(u16::try_from(given_up).unwrap_or(ADMIT_ALL));
    (PoolHealth { state, any_up: up > 0, last_good: false, held: false, admit, may_change_at_ms }, measurable)
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

/// Whether a pool's tier is eligible: over all its regions `min_healthy` holds (BEHAVIOUR P4 for the tier). Without a tier it is.
pub(super) fn tier_holds(layout: &Layout, pool: &PoolLayout, measured: &impl Fn(EndpointId) -> Measured) -> bool {
    let members = pool.tier.iter().filter_map(|id| layout.pools.get(id.0 as usize));
    let (all, up) = members.map(|member| counted(layout, member, measured)).fold((0, 0), |sum, (all, up)| (sum.0 + all, sum.1 + up));
    pool.tier.is_empty() || up >= pool.min_healthy.needed(all)
}

//! Pools that are judged together: the tiers of a name.
//! It counts endpoints; which tier is used is settled by the ranking.

use super::{Layout, Measured, PoolLayout, counted};
use crate::health::EndpointId;

/// Whether a pool's tier is eligible: over all its regions `min_healthy` holds (BEHAVIOUR P4 for the tier). Without a tier it is.
pub(super) fn tier_holds(layout: &Layout, pool: &PoolLayout, measured: &impl Fn(EndpointId) -> Measured) -> bool {
    let members = pool.tier.iter().filter_map(|id| layout.pools.get(id.0 as usize));
    let (all, up) = members.map(|member| counted(layout, member, measured)).fold((0, 0), |sum, (all, up)| (sum.0 + all, sum.1 + up));
    pool.tier.is_empty() || up >= pool.min_healthy.needed(all)
}

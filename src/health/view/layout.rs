//! Layouts: everything that can be healthy or not, and what is demanded of it. Made by the configuration, kept by the book.
//! Data only: what is up is said elsewhere.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{ADMIT_ALL, Verdict};
use crate::health::PoolId;
use crate::health::capacity::{CapacityLayout, Sharing};
use crate::health::guard::Guard;
use crate::health::hosts::Seat;
use crate::health::monitor::TargetKey;
use crate::health::score::ScoredBy;

/// Everything that can be healthy or not, in the dense order of the ids. Made by the configuration, kept by the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Index = [`PoolId`].
    pub pools: Vec<PoolLayout>,
    /// Index = [`EndpointId`](crate::health::EndpointId).
    pub endpoints: Vec<EndpointLayout>,
    /// What regions can bear.
    pub capacities: Vec<CapacityLayout>,
    /// The services of which any region has a capacity.
    pub sharing: Vec<Sharing>,
}

impl Layout {
    /// A pool and those that follow it: the other family of its region, where that is tied to it or stands in for it, and the pools that
    /// are judged together with any of these. In ascending order.
    pub(in crate::health) fn concerned(&self, id: PoolId) -> Vec<PoolId> {
        let pool = |id: PoolId| self.pools.get(id.0 as usize);
        let mut all: Vec<PoolId> = [Some(id), pool(id).and_then(|pool| pool.together_with), pool(id).and_then(|pool| pool.other_family)]
            .into_iter()
            .flatten()
            .collect();
        for id in all.clone() {
            all.extend(pool(id).iter().flat_map(|pool| pool.tier.iter().chain(pool.mates.iter())));
        }
        all.retain(|id| pool(*id).is_some());
        all.sort_unstable();
        all.dedup();
        all
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
    /// What tells uses apart that are alike in all else; 0 where the pool is judged alone.
    pub group: u64,
    /// The pools of its tier, itself among them, over all of which `min_healthy` must hold too; empty: no tier.
    pub tier: Arc<[PoolId]>,
    /// The pools of its name, itself among them, of which those shall be remembered that were up last; empty: none.
    pub mates: Arc<[PoolId]>,
    /// By what its endpoints are scored, where anybody wants to know.
    pub scored: Option<ScoredBy>,
    /// How many regions of its service may go down by measurement.
    pub guard: Option<Guard>,
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
            group: 0,
            tier: Arc::default(),
            mates: Arc::default(),
            scored: None,
            guard: None,
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
    /// Which endpoints of it.
    pub addresses: Addresses,
}

/// Which endpoints of a service in a region make a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addresses {
    /// Those of IPv4.
    #[default]
    V4,
    /// Those of IPv6.
    V6,
    /// All of them: for records that are no addresses.
    Both,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Addresses::V4 => "IPv4",
            Addresses::V6 => "IPv6",
            Addresses::Both => "records",
        })
    }
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
    /// What others tell of it, the worst; none = nothing against it.
    pub told: Option<Verdict>,
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

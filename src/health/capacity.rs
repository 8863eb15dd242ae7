//! Capacities: what a region can bear, and how its load becomes known, as the configuration says. Kept in the layout of health.
//! Data only: who sheds clients and how many is worked out by `overflow`.

use std::fmt;
use std::sync::Arc;

use super::PoolId;

/// `capacity:` of a region, or of a service in it. Loads are decimals with three places, held in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// From here on the region sheds clients, while others have room.
    pub soft_milli: u64,
    /// What it bears when all others are over their soft limits, too; never under `soft_milli`, and over 0.
    pub hard_milli: u64,
    /// Where its load comes from.
    pub source: LoadSource,
}

/// Where a load comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoadSource {
    /// This server's own answers in a second, each of which counts so much.
    Answers {
        /// In thousandths (`per_answer`).
        each_milli: u64,
    },
    /// Somebody tells it, and says for how long it holds.
    Pushed,
}

/// Whose load it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapacityKey {
    /// The region.
    pub region: Arc<str>,
    /// The one service; none: all services of the region that have no capacity of their own.
    pub service: Option<Arc<str>>,
}

impl fmt::Display for CapacityKey {
    /// `eu-west`, `eu-west/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{}/{service}", self.region),
            None => f.write_str(&self.region),
        }
    }
}

/// One capacity and what it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityLayout {
    /// Whose it is.
    pub key: CapacityKey,
    /// What can be borne.
    pub capacity: Capacity,
    /// The services that count together.
    pub services: Vec<Arc<str>>,
    /// The longest TTL of the names that are answered from there, in milliseconds, at least a second: so long it takes until clients have
    /// followed a change, and so long it is waited for.
    pub period_ms: u64,
    /// Over what time nobody is shed any more once the load is not known any longer, in milliseconds (`ramp`); 0: five points a period.
    pub ramp_ms: u64,
}

/// The regions of one service, among which clients go from one that sheds them to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// The service.
    pub service: Arc<str>,
    /// Its regions.
    pub members: Vec<Member>,
}

/// One region of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The region.
    pub region: Arc<str>,
    /// What health is kept of.
    pub pools: Vec<PoolId>,
    /// Index of its capacity; none: it bears anything.
    pub capacity: Option<u32>,
    /// For which names it takes clients that others shed only when these are at their hard limits (BEHAVIOUR P1).
    pub standby: Standby,
}

/// For which names of a service a region stands by: names have weights of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// For none.
    Never,
    /// For some; others send clients there by themselves.
    SomeNames,
    /// For every one.
    EveryName,
}

impl Standby {
    /// For this and for one more name.
    #[must_use]
    pub fn and(self, stands_by: bool) -> Standby {
        match (self, stands_by) {
            (Standby::EveryName, true) => Standby::EveryName,
            (Standby::Never, false) => Standby::Never,
            _ => Standby::SomeNames,
        }
    }
}

//! Health: what is probed (`monitor`), what a probe found (`report`), what follows from it (`book`), what others tell (`told`), what keeps it quiet (`damp`, `network`), which addresses host names have (`hosts`), what regions can bear (`capacity`, `overflow`) and what the hot path reads (`view`).
//! All of it is data and pure functions; nothing here opens a socket, asks the time or draws a random number.

pub mod book;
pub mod capacity;
pub mod damp;
pub mod guard;
pub mod hosts;
pub mod monitor;
mod network;
pub mod overflow;
pub mod overrides;
pub mod report;
pub mod score;
mod story;
pub mod told;
pub mod view;
pub mod vote;

pub use book::{Change, Flag, HealthBook, PoolStanding, TargetHealth};
pub use capacity::{Capacity, CapacityKey, CapacityLayout, LoadSource, Member, Sharing, Standby};
pub use hosts::{Hosts, Resolution, Seat};
pub use monitor::{Monitor, MonitorSpec, Request, TargetKey};
pub use network::DEFAULT_HOLD_MAX_MS;
pub use overflow::{Overflow, PoolOverflow};
pub use report::{Evidence, NodeId, Outcome, Report};
pub use story::{Story, age_text};
pub use view::{
    Addresses, Checks, Combine, EndpointLayout, HealthView, Layout, Measured, MinHealthy, Override, PoolHealth, PoolKey, PoolLayout,
    PoolState, Recovery, Verdict,
};

/// Index of a pool: one (service, region, address family) that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// Index of an endpoint, dense over the whole configuration: one (service, region, address). The endpoints of a pool follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

//! What happened since the process started, in numbers: for `meridian status`, and later for metrics.
//! It never judges; it is told of every change once.

use crate::health::{Change, Flag};

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Targets whose judged state changed.
    pub target_changes: u64,
    /// (service, region, family) whose state changed.
    pub region_changes: u64,
    /// Targets that were held because our own network seemed to be out.
    pub holds: u64,
    /// Targets that were suppressed for flapping.
    pub suppressions: u64,
    /// Steps in which a region with a capacity began to shed another share of its clients.
    pub shed_changes: u64,
    /// Overrides that were put in force by hand.
    pub forced: u64,
}

impl Tally {
    /// Takes a change.
    pub(super) fn count(&mut self, change: &Change) {
        match change {
            Change::Target { .. } => self.target_changes += 1,
            Change::Pool { from, to, .. } => self.region_changes += u64::from(from != to),
            Change::Flag { flag: Some(Flag::Held), .. } => self.holds += 1,
            Change::Flag { flag: Some(Flag::Suppressed), .. } => self.suppressions += 1,
            Change::Flag { .. } | Change::Held { .. } => {}
        }
    }
}

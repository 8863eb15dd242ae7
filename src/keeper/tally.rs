//! What happened since the process started, in numbers: for `meridian status` and metrics.
//! It never judges; it is told of every change and every report once.

use crate::health::{Change, Flag, Report, Request};
use crate::metrics::Histogram;

/// Kinds of probes as metrics name them (http and https are one, as in a [`Request`]).
pub const PROBE_KINDS: [&str; 7] = ["http", "tcp", "tls", "dns", "grpc", "icmp", "exec"];

/// How probes end, as metrics name it; the order of [`crate::health::Outcome`].
pub const PROBE_OUTCOMES: [&str; 4] = ["success", "degraded", "failure", "prober-fault"];

/// Upper ends of the buckets of probe durations, in milliseconds: from a neighbour to the longest sensible timeout.
const PROBE_BOUNDS_MS: [u64; 11] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Probes by kind ([`PROBE_KINDS`]) and outcome ([`PROBE_OUTCOMES`]).
    pub probes: [[u64; PROBE_OUTCOMES.len()]; PROBE_KINDS.len()],
    /// How long probes took, in milliseconds, by kind.
    pub probe_ms: [Histogram; PROBE_KINDS.len()],
    /// When the last report came, in milliseconds of the keeper's clock; none before the first.
    pub last_report_ms: Option<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            target_changes: 0,
            region_changes: 0,
            holds: 0,
            suppressions: 0,
            shed_changes: 0,
            forced: 0,
            probes: Default::default(),
            probe_ms: std::array::from_fn(|_| Histogram::new(&PROBE_BOUNDS_MS)),
            last_report_ms: None,
        }
    }
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

    /// Takes what one probe of ours found.
    pub(super) fn report(&mut self, request: &Request, report: &Report, now_ms: u64) {
        let kind = kind_of(request);
        self.probes[kind][report.outcome as usize] += 1;
        self.probe_ms[kind].observe(u64::from(report.took_ms));
        self.last_report_ms = Some(now_ms);
    }
}

/// Index in [`PROBE_KINDS`].
fn kind_of(request: &Request) -> usize {
    match request {
        Request::Http(_) => 0,
        Request::Tcp => 1,
        Request::Tls(_) => 2,
        Request::Dns(_) => 3,
        Request::Grpc(_) => 4,
        Request::Icmp => 5,
        Request::Exec(_) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Evidence, Outcome};

    #[test]
    fn probes_are_counted_by_kind_and_outcome() {
        let mut tally = Tally::default();
        for (at, outcome) in [Outcome::Success, Outcome::Degraded, Outcome::Failure, Outcome::ProberFault].into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            tally.report(&Request::Tcp, &Report { outcome, evidence: Evidence::Timeout, took_ms: 3, active: None }, 7);
        }
        assert_eq!(tally.probes[kind_of(&Request::Tcp)], [1; 4]);
        assert_eq!((tally.probe_ms[1].count(), tally.probe_ms[1].sum, tally.last_report_ms), (4, 12, Some(7)));
        assert_eq!(PROBE_KINDS[kind_of(&Request::Icmp)], "icmp");
    }
}

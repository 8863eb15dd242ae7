//! The prober: runs the monitors, one task a target, and hands each outcome to whoever asked for reports.
//! It judges nothing, knows no region or zone, and never holds the book of health: it gets a report function and nothing else.

mod connect;
mod dns;
mod exec;
mod fault;
mod grpc;
mod handshake;
mod http;
mod icmp;
mod lateness;
mod once;
mod probe;
mod resolve;
mod schedule;
mod steps;
mod tcp;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::health::monitor::TargetKey;
use crate::health::report::Report;
use crate::random::Random;
use lateness::Lateness;
pub use once::{Run, run_once};
use probe::{Finding, Probe, Setup};
pub use resolve::{Resolver, resolve_once};
use schedule::Pace;
pub use steps::{Assertion, Phase, Record};

/// At most this many probes run at once, so that descriptors are bounded. 10,000 targets that all hang for 2 s every 5 s are 4,000 at once;
/// the process needs that many descriptors beside those of its servers (else the probes over the limit are prober faults).
pub const MAX_PROBES_IN_FLIGHT: usize = 4096;

/// The first round of probes is waited for at most this long (H1): a server that does not start is worse than one that knows little.
pub const MAX_FIRST_ROUND_MS: u64 = 10_000;

/// What the first round may take beyond the longest timeout: the spread of the starts and the work itself.
const FIRST_ROUND_SLACK_MS: u64 = 1_000;

/// What the tasks share.
struct Shared {
    clock: Clock,
    in_flight: Semaphore,
    lateness: Lateness,
    reports: Box<dyn Fn(TargetKey, Report) + Send + Sync>,
}

/// Probes a set of targets until it is dropped.
pub struct Prober {
    runtime: Handle,
    shared: Arc<Shared>,
    setup: Setup,
    random: Random,
    tasks: BTreeMap<TargetKey, Task>,
    /// Closes when every target of the start has reported once.
    first_round: mpsc::Receiver<()>,
    first_round_ms: u64,
}

struct Task {
    abort: AbortHandle,
    /// The probe could not be set up; worth another try at the next reload.
    broken: bool,
}

impl Prober {
    /// Starts to probe `targets` (equal ones once) on `runtime`, at once but spread over half a second. `seed` feeds the jitter.
    /// `reports` is called from the runtime after each probe and must not block.
    pub fn start(
        runtime: &Handle,
        clock: Clock,
        seed: u64,
        targets: impl IntoIterator<Item = TargetKey>,
        reports: impl Fn(TargetKey, Report) + Send + Sync + 'static,
    ) -> Prober {
        let setup = Setup::new(&clock);
        let in_flight = Semaphore::new(MAX_PROBES_IN_FLIGHT);
        let shared = Shared { clock, in_flight, lateness: Lateness::new(), reports: Box::new(reports) };
        // Nothing is ever sent: the channel is there to be closed by its last sender.
        let (first_report, first_round) = mpsc::channel(1);
        let mut prober = Prober {
            runtime: runtime.clone(),
            shared: Arc::new(shared),
            setup,
            random: Random::new(seed),
            tasks: BTreeMap::new(),
            first_round,
            first_round_ms: 0,
        };
        prober.add(targets, Some(&first_report));
        let longest_ms = prober.tasks.keys().map(|target| u64::from(target.monitor.timeout_ms)).max().unwrap_or(0);
        prober.first_round_ms = (longest_ms + FIRST_ROUND_SLACK_MS).min(MAX_FIRST_ROUND_MS);
        prober
    }

    /// Waits until every target of the start has reported once, for at most the longest timeout and a second, and never over
    /// [`MAX_FIRST_ROUND_MS`] (H1). True if all have.
    pub async fn first_round(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(self.first_round_ms), self.first_round.recv()).await.is_ok()
    }

    /// Probes these targets from now on: those that were probed already go on undisturbed, new ones start, the others stop.
    pub fn set_targets(&mut self, targets: impl IntoIterator<Item = TargetKey>) {
        let wanted: BTreeSet<TargetKey> = targets.into_iter().collect();
        self.tasks.retain(|target, task| {
            let stays = wanted.contains(target) && !task.broken;
            if !stays {
                task.abort.abort();
            }
            stays
        });
        self.add(wanted, None);
    }

    /// How many distinct targets are probed.
    pub fn target_count(&self) -> usize {
        self.tasks.len()
    }

    /// By how many milliseconds at most this share of all probes so far (0.0 to 1.0) began later than planned; up to about a second.
    pub fn lateness_ms(&self, share: f64) -> u64 {
        self.shared.lateness.quantile_ms(share)
    }

    /// Counts lateness anew from now on.
    pub fn reset_lateness(&self) {
        self.shared.lateness.reset();
    }

    fn add(&mut self, targets: impl IntoIterator<Item = TargetKey>, first_report: Option<&mpsc::Sender<()>>) {
        for target in targets {
            if self.tasks.contains_key(&target) {
                continue;
            }
            let probe = self.setup.probe(&target);
            let broken = matches!(probe, Probe::Broken(_));
            let pace = Pace::new(target.monitor.interval_ms, self.random.split());
            let watch = schedule::watch(target.clone(), probe, pace, Arc::clone(&self.shared), first_report.cloned());
            let abort = self.runtime.spawn(watch).abort_handle();
            self.tasks.insert(target, Task { abort, broken });
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.tasks.values().for_each(|task| task.abort.abort());
    }
}

#[cfg(test)]
mod tests;

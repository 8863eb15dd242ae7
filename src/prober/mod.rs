//! The prober: runs the monitors, one task a target, and hands each outcome to whoever asked for reports.
//! It judges nothing, knows no region or zone, and never holds the book of health: it gets a report function and nothing else.

mod dns;
mod exec;
mod fault;
mod grpc;
mod handshake;
mod http;
mod icmp;
mod schedule;
mod tcp;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::health::monitor::dns::Question;
use crate::health::monitor::{Monitor, Request, TargetKey};
use crate::health::report::{Evidence, Outcome, Report};
use schedule::{Pace, Rng};

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
    reports: Box<dyn Fn(TargetKey, Report) + Send + Sync>,
}

/// Probes a set of targets until it is dropped.
pub struct Prober {
    runtime: Handle,
    shared: Arc<Shared>,
    clients: http::Clients,
    configs: tls::Configs,
    rng: Rng,
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

/// What one run of a probe found.
type Finding = (Outcome, Evidence);

/// What a finding means to this monitor: a good one may have come slowly, and `invert` turns good and bad around.
fn judged(monitor: &Monitor, (outcome, evidence): Finding, took_ms: u32) -> Finding {
    let slow_ms = monitor.slow_ms.filter(|slow_ms| outcome == Outcome::Success && took_ms >= *slow_ms);
    let (outcome, evidence) = match slow_ms {
        Some(slow_ms) => (Outcome::Degraded, Evidence::Other(Evidence::text(&format!("{evidence}, slower than {slow_ms} ms")))),
        None => (outcome, evidence),
    };
    match outcome {
        Outcome::Failure if monitor.invert => (Outcome::Success, evidence),
        Outcome::Success | Outcome::Degraded if monitor.invert => (Outcome::Failure, evidence),
        _ => (outcome, evidence),
    }
}

/// A probe that is ready to run; one variant per kind.
enum Probe {
    Http(Box<http::HttpProbe>),
    Tcp(SocketAddr),
    Tls(Box<handshake::HandshakeProbe>),
    Dns(SocketAddr, Question),
    Grpc(Box<grpc::GrpcProbe>),
    Icmp(IpAddr),
    Exec(SocketAddr, Box<[Box<str>]>),
    /// It cannot be set up on this machine: every run is a prober fault with this reason.
    Broken(Evidence),
}

impl Probe {
    /// Runs once, for at most `timeout`. `number` tells this run's packets from those of others.
    async fn run(&self, number: u16, timeout: Duration) -> Finding {
        match self {
            Probe::Http(probe) => probe.run(timeout).await,
            Probe::Tcp(socket) => tcp::run(*socket, timeout).await,
            Probe::Tls(probe) => probe.run(timeout).await,
            Probe::Dns(socket, question) => dns::run(*socket, question, number, timeout).await,
            Probe::Grpc(probe) => probe.run(timeout).await,
            Probe::Icmp(address) => icmp::run(*address, number, timeout).await,
            Probe::Exec(socket, command) => exec::run(*socket, command, timeout).await,
            Probe::Broken(evidence) => (Outcome::ProberFault, evidence.clone()),
        }
    }
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
        let shared = Shared { clock, in_flight: Semaphore::new(MAX_PROBES_IN_FLIGHT), reports: Box::new(reports) };
        // Nothing is ever sent: the channel is there to be closed by its last sender.
        let (first_report, first_round) = mpsc::channel(1);
        let mut prober = Prober {
            runtime: runtime.clone(),
            shared: Arc::new(shared),
            clients: http::Clients::default(),
            configs: tls::Configs::default(),
            rng: Rng::new(seed),
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

    fn add(&mut self, targets: impl IntoIterator<Item = TargetKey>, first_report: Option<&mpsc::Sender<()>>) {
        for target in targets {
            if self.tasks.contains_key(&target) {
                continue;
            }
            let probe = self.probe(&target);
            let broken = matches!(probe, Probe::Broken(_));
            let pace = Pace::new(target.monitor.interval_ms, self.rng.split());
            let watch = schedule::watch(target.clone(), probe, pace, Arc::clone(&self.shared), first_report.cloned());
            let abort = self.runtime.spawn(watch).abort_handle();
            self.tasks.insert(target, Task { abort, broken });
        }
    }

    fn probe(&mut self, target: &TargetKey) -> Probe {
        match &target.monitor.request {
            Request::Tcp => Probe::Tcp(target.socket),
            Request::Tls(request) => {
                let probe = handshake::HandshakeProbe::new(target.socket, request, &mut self.configs, &self.shared.clock);
                probe.map_or_else(Probe::Broken, |probe| Probe::Tls(Box::new(probe)))
            }
            Request::Dns(question) => Probe::Dns(target.socket, question.clone()),
            Request::Grpc(request) => {
                let probe = grpc::GrpcProbe::new(target.socket, request, &mut self.configs);
                probe.map_or_else(Probe::Broken, |probe| Probe::Grpc(Box::new(probe)))
            }
            Request::Icmp => Probe::Icmp(target.socket.ip()),
            Request::Exec(command) => Probe::Exec(target.socket, command.clone()),
            Request::Http(request) => self
                .clients
                .probe(target.socket, request, &mut self.configs)
                .map_or_else(Probe::Broken, |probe| Probe::Http(Box::new(probe))),
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

//! A probe of one target, ready to run: set up once, run as often as is wanted, by the schedule and by `meridian probe` alike.
//! It never decides when it runs, and one run never makes a verdict.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::steps::Steps;
use super::{dns, exec, grpc, handshake, http, icmp, tcp, tls};
use crate::clock::Clock;
use crate::health::monitor::dns::Question;
use crate::health::monitor::{Monitor, Request, TargetKey};
use crate::health::report::{Evidence, Outcome, Report};

/// What one run of a probe found.
pub(super) type Finding = (Outcome, Evidence);

/// A probe that is ready to run; one variant per kind.
pub(super) enum Probe {
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
    /// Runs once as `monitor` says and reports what came of it. `number` tells this run's packets from those of others.
    pub(super) async fn report(&self, monitor: &Monitor, clock: &Clock, number: u16, steps: &mut Steps) -> Report {
        let began_ms = clock.now_ms();
        let found = self.run(number, Duration::from_millis(u64::from(monitor.timeout_ms)), steps).await;
        let took_ms = u32::try_from(clock.now_ms().saturating_sub(began_ms)).unwrap_or(u32::MAX);
        let (outcome, evidence) = judged(monitor, found, took_ms);
        Report { outcome, evidence, took_ms, active: steps.active() }
    }

    /// Runs once, for at most `timeout`; what it found is not yet held against `slow_ms` and `invert`.
    pub(super) async fn run(&self, number: u16, timeout: Duration, steps: &mut Steps) -> Finding {
        match self {
            Probe::Http(probe) => probe.run(timeout, steps).await,
            Probe::Tcp(socket) => tcp::run(*socket, timeout, steps).await,
            Probe::Tls(probe) => probe.run(timeout, steps).await,
            Probe::Dns(socket, question) => dns::run(*socket, question, number, timeout, steps).await,
            Probe::Grpc(probe) => probe.run(timeout, steps).await,
            Probe::Icmp(address) => icmp::run(*address, number, timeout, steps).await,
            Probe::Exec(socket, command) => exec::run(*socket, command, timeout, steps).await,
            Probe::Broken(evidence) => (Outcome::ProberFault, evidence.clone()),
        }
    }
}

/// Makes probes; what many of them can share is made once.
pub(super) struct Setup {
    clock: Clock,
    configs: tls::Configs,
    patterns: http::Patterns,
}

impl Setup {
    pub(super) fn new(clock: &Clock) -> Setup {
        Setup { clock: clock.clone(), configs: tls::Configs::default(), patterns: http::Patterns::default() }
    }

    /// The probe of a target; a broken one where this machine cannot run it.
    pub(super) fn probe(&mut self, target: &TargetKey) -> Probe {
        self.try_probe(target).unwrap_or_else(Probe::Broken)
    }

    fn try_probe(&mut self, target: &TargetKey) -> Result<Probe, Evidence> {
        let (socket, configs) = (target.socket, &mut self.configs);
        Ok(match &target.monitor.request {
            Request::Tcp => Probe::Tcp(socket),
            Request::Tls(request) => Probe::Tls(Box::new(handshake::HandshakeProbe::new(socket, request, configs, &self.clock)?)),
            Request::Dns(question) => Probe::Dns(socket, question.clone()),
            Request::Grpc(request) => Probe::Grpc(Box::new(grpc::GrpcProbe::new(socket, request, configs)?)),
            Request::Icmp => Probe::Icmp(socket.ip()),
            Request::Exec(command) => Probe::Exec(socket, command.clone()),
            Request::Http(request) => Probe::Http(Box::new(http::HttpProbe::new(socket, request, &mut self.patterns, configs)?)),
        })
    }
}

/// What a finding means to this monitor: a good one may have come slowly, and `invert` turns good and bad around.
pub(super) fn judged(monitor: &Monitor, (outcome, evidence): Finding, took_ms: u32) -> Finding {
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

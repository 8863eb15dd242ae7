//! What the keeper tells of the state of things, for people and scripts: plain rows, made on demand.
//! It never leaves out a region because it is well.

use std::sync::Arc;

use super::state::State;
use super::tally::Tally;
use crate::health::hosts::Host;
use crate::health::overrides::Forced;
use crate::health::{EndpointId, PoolId, Report, TargetKey};

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The published world.
    pub generation: u64,
    /// One row a (service, region, family).
    pub pools: Vec<PoolRow>,
    /// One row a distinct target.
    pub targets: Vec<TargetRow>,
    /// One row a host name.
    pub hosts: Vec<HostRow>,
    /// In force by hand.
    pub overrides: Vec<Forced>,
    /// Counts since the start.
    pub tally: Tally,
}

/// One (service, region, family).
#[derive(Debug, Clone)]
pub struct PoolRow {
    /// The service.
    pub service: String,
    /// The region.
    pub region: String,
    /// `IPv4`, `IPv6`, or `records` for both.
    pub family: String,
    /// `available`, `down` or `forced down`; `HELD`: measured down, and served because of the guard.
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// Endpoints that serve.
    pub up: usize,
    /// All endpoints.
    pub endpoints: usize,
    /// The share of its clients that it takes, in percent.
    pub admit_percent: u32,
    /// It is well again and waits for an operator.
    pub waits: bool,
}

/// One target.
#[derive(Debug, Clone)]
pub struct TargetRow {
    /// What is probed.
    pub target: String,
    /// Its state.
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// Why the state is not what was measured last; empty where it is.
    pub flag: &'static str,
    /// The last report; empty before the first.
    pub evidence: String,
    /// Seconds since then.
    pub evidence_age_s: u64,
    /// Milliseconds until it is probed again, at the latest; none before its first report.
    pub next_probe_ms: Option<u64>,
    /// Times that the prober could not ask, by its own fault.
    pub prober_faults: u64,
    /// Milliseconds that the last probe took; none before the first.
    pub took_ms: Option<u32>,
    /// Days that its certificate lasts, where the monitor looks (`tls`).
    pub certificate_days: Option<i64>,
}

/// One host name.
#[derive(Debug, Clone)]
pub struct HostRow {
    /// The name.
    pub host: String,
    /// The addresses in use.
    pub addresses: Vec<String>,
    /// Seconds since it was last asked for; none before the first time.
    pub age_s: Option<u64>,
    /// Seconds until it is asked for again.
    pub next_s: Option<u64>,
    /// What went wrong the last time; empty where nothing did.
    pub error: String,
}

/// Whether probes still report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The published world.
    pub generation: u64,
    /// Distinct targets.
    pub targets: usize,
    /// Milliseconds since the last report of any of them, or since the start.
    pub silent_ms: u64,
    /// The longest that the laziest target may be silent: three of its intervals and its timeout.
    pub patience_ms: u64,
}

/// A probe report is late once in a while, on a busy machine or after a reload: nobody calls health stale before this.
const MIN_PATIENCE_MS: u64 = 30_000;

/// How many intervals without any report make health stale.
const PATIENCE_INTERVALS: u64 = 3;

impl Pulse {
    /// Nothing was heard of any target for so long that health tells of the past.
    pub fn is_stale(&self) -> bool {
        self.targets > 0 && self.silent_ms > self.patience_ms
    }
}

impl State {
    /// Whether probes still report.
    pub(super) fn pulse(&self, now_ms: u64) -> Pulse {
        let patience =
            |target: &TargetKey| PATIENCE_INTERVALS * u64::from(target.monitor.interval_ms) + u64::from(target.monitor.timeout_ms);
        Pulse {
            generation: self.generation(),
            targets: self.book().targets().count(),
            silent_ms: now_ms.saturating_sub(self.tally.last_report_ms.unwrap_or(self.started_ms)),
            patience_ms: self.book().targets().map(patience).max().unwrap_or(0).max(MIN_PATIENCE_MS),
        }
    }

    /// The rows.
    pub(super) fn status(&self, now_ms: u64) -> Status {
        let age_s = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
        let view = self.book().view();
        let layout = Arc::clone(self.book().layout());
        let pools = (0..).map(PoolId).zip(&self.book().layout().pools).map(|(id, pool)| {
            let (health, standing) = (view.pool(id), self.book().pool(id));
            PoolRow {
                service: pool.key.service.to_string(),
                region: pool.key.region.to_string(),
                family: pool.key.addresses.to_string(),
                state: if health.held { "HELD".to_owned() } else { health.state.to_string() },
                since_s: standing.map_or(0, |standing| age_s(standing.since_ms)),
                up: pool.endpoints.clone().filter(|id| view.endpoint_up(EndpointId(*id))).count(),
                endpoints: pool.endpoints.clone().filter(|id| !layout.endpoints[*id as usize].is_vacant()).count(),
                admit_percent: u32::from(health.admit) * 100 / 1024,
                waits: standing.is_some_and(|standing| standing.waits),
            }
        });
        let targets = self.book().targets().filter_map(|target| {
            let health = self.book().target(target)?;
            Some(TargetRow {
                target: target.to_string(),
                state: health.verdict.to_string(),
                since_s: age_s(health.since_ms),
                flag: health.flag.map_or("", |flag| flag.text()),
                evidence: health.last.map_or(String::new(), |(_, report)| report.to_string()),
                evidence_age_s: health.last.map_or(0, |(at_ms, _)| age_s(at_ms)),
                next_probe_ms: health
                    .last
                    .map(|(at_ms, report)| next_probe_ms(target, health.contrary, at_ms, report).saturating_sub(now_ms)),
                prober_faults: health.faults,
                took_ms: health.last.map(|(_, report)| report.took_ms),
                certificate_days: health.last.and_then(|(_, report)| report.evidence.certificate_days()),
            })
        });
        Status {
            generation: self.generation(),
            pools: pools.collect(),
            targets: targets.collect(),
            hosts: self.hosts.iter().map(|(name, host)| host_row(name, host, now_ms)).collect(),
            tally: self.tally.clone(),
            overrides: self.overrides().iter().cloned().collect(),
        }
    }
}

/// When a target is probed again at the latest: jitter only shortens the gap (BEHAVIOUR H2).
fn next_probe_ms(target: &TargetKey, contrary: u32, ended_ms: u64, report: &Report) -> u64 {
    let monitor = &target.monitor;
    let gap_ms = if contrary > 0 { monitor.recheck_ms } else { monitor.interval_ms };
    (ended_ms.saturating_sub(u64::from(report.took_ms)) + u64::from(gap_ms)).max(ended_ms)
}

fn host_row(name: &str, host: &Host, now_ms: u64) -> HostRow {
    let age_ms = host.last.as_ref().map(|(at_ms, _)| now_ms.saturating_sub(*at_ms));
    let next_s = host.last.as_ref().zip(age_ms).map(|((_, last), age_ms)| u64::from(last.next_s).saturating_sub(age_ms / 1000));
    HostRow {
        host: name.to_owned(),
        addresses: host.addresses().map(|address| address.to_string()).collect(),
        age_s: age_ms.map(|age_ms| age_ms / 1000),
        next_s,
        error: host.last.as_ref().and_then(|(_, last)| last.error.as_deref()).unwrap_or_default().to_owned(),
    }
}

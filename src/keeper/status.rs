//! What the keeper tells of the state of things, for people and scripts: plain rows, made on demand.
//! It never leaves out a region because it is well.

use super::state::State;
use crate::health::overrides::Forced;
use crate::health::{EndpointId, PoolId};

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The published world.
    pub generation: u64,
    /// One row a (service, region, family).
    pub pools: Vec<PoolRow>,
    /// One row a distinct target.
    pub targets: Vec<TargetRow>,
    /// In force by hand.
    pub overrides: Vec<Forced>,
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
}

impl State {
    /// The rows.
    pub(super) fn status(&self, now_ms: u64) -> Status {
        let age_s = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
        let view = self.book().view();
        let pools = (0..).map(PoolId).zip(&self.book().layout().pools).map(|(id, pool)| {
            let (health, standing) = (view.pool(id), self.book().pool(id));
            PoolRow {
                service: pool.key.service.to_string(),
                region: pool.key.region.to_string(),
                family: pool.key.addresses.to_string(),
                state: if health.held { "HELD".to_owned() } else { health.state.to_string() },
                since_s: standing.map_or(0, |standing| age_s(standing.since_ms)),
                up: pool.endpoints.clone().filter(|id| view.endpoint_up(EndpointId(*id))).count(),
                endpoints: pool.endpoints.len(),
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
            })
        });
        Status {
            generation: self.generation(),
            pools: pools.collect(),
            targets: targets.collect(),
            overrides: self.overrides().iter().cloned().collect(),
        }
    }
}

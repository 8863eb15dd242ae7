//! What the keeper tells of the state of things, for people and scripts: plain rows, made on demand.
//! It never leaves out a region because it is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::State;
use super::tally::Tally;
use crate::health::hosts::Host;
use crate::health::overflow::Standing;
use crate::health::overrides::Forced;
use crate::health::told::Told;
use crate::health::view::ADMIT_ALL;
use crate::health::{EndpointId, PoolId, PoolState, Report, TargetKey};

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The published world.
    pub generation: u64,
    /// One row a (service, region, family).
    pub pools: Vec<PoolRow>,
    /// One row a distinct target.
    pub targets: Vec<TargetRow>,
    /// One row a capacity.
    pub capacities: Vec<CapacityRow>,
    /// One row a host name.
    pub hosts: Vec<HostRow>,
    /// In force by hand.
    pub overrides: Vec<Forced>,
    /// Told by others.
    pub told: Vec<Told>,
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
    /// `available`, `down` or `forced down`; `HELD`: measured down, and served because of the guard. Where names ask for different things
    /// (`min_healthy`, tiers) the worst, with `for some names`.
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

/// One capacity.
#[derive(Debug, Clone)]
pub struct CapacityRow {
    /// `REGION`, or `REGION/SERVICE`.
    pub region: String,
    /// The load and its age in seconds; none where it is not known.
    pub load: Option<(f64, u64)>,
    /// From here on clients are shed, while others have room.
    pub soft: f64,
    /// What is borne at most, while others bear less.
    pub hard: f64,
    /// What is borne at present before clients are shed.
    pub limit: f64,
    /// The share of its clients that it sheds, in percent.
    pub shed_percent: f64,
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
        let view = self.book().view().with_overflow(self.loads.view());
        let layout = Arc::clone(self.book().layout());
        let pools = (0..).map(PoolId).zip(&self.book().layout().pools).map(|(id, pool)| {
            let (health, standing) = (view.pool(id), self.book().pool(id));
            let row = PoolRow {
                service: pool.key.service.to_string(),
                region: pool.key.region.to_string(),
                family: pool.key.addresses.to_string(),
                state: if health.held { "HELD".to_owned() } else { health.state.to_string() },
                since_s: standing.map_or(0, |standing| age_s(standing.since_ms)),
                up: pool.endpoints.clone().filter(|id| view.endpoint_up(EndpointId(*id))).count(),
                endpoints: pool.endpoints.clone().filter(|id| !layout.endpoints[*id as usize].is_vacant()).count(),
                admit_percent: u32::from(view.taken(id)) * 100 / u32::from(ADMIT_ALL),
                waits: standing.is_some_and(|standing| standing.waits),
            };
            (health.state, row)
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
            pools: merged(pools),
            targets: targets.collect(),
            capacities: self.loads.standings(now_ms).map(capacity_row).collect(),
            hosts: self.hosts.iter().map(|(name, host)| host_row(name, host, now_ms)).collect(),
            tally: self.tally.clone(),
            overrides: self.overrides().iter().cloned().collect(),
            told: self.told.iter().cloned().collect(),
        }
    }
}

/// One row for each (service, region, family) that the operator wrote: names that judge their regions together have pools of their own for them.
fn merged(pools: impl Iterator<Item = (PoolState, PoolRow)>) -> Vec<PoolRow> {
    let mut merged: Vec<(PoolState, PoolRow)> = Vec::new();
    let mut places: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for (state, row) in pools {
        let place = *places.entry((row.service.clone(), row.region.clone(), row.family.clone())).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push((state, row)),
            Some((known_state, known)) if *known_state == state && known.state == row.state => {
                known.admit_percent = known.admit_percent.min(row.admit_percent);
                known.since_s = known.since_s.max(row.since_s);
                known.waits |= row.waits;
            }
            Some(known) => {
                let worse = if state > known.0 { (state, row) } else { known.clone() };
                let text = worse.1.state.trim_end_matches(FOR_SOME).to_owned() + FOR_SOME;
                *known = (worse.0, PoolRow { state: text, ..worse.1 });
            }
        }
    }
    merged.into_iter().map(|(_, row)| row).collect()
}

/// What is said of a state that only some names see.
const FOR_SOME: &str = " for some names";

impl PoolRow {
    /// Whether its state is that of some names only, and better for others.
    pub fn is_partial(&self) -> bool {
        self.state.ends_with(FOR_SOME)
    }

    /// Whether this is its state, if only for some names.
    pub fn is(&self, state: &str) -> bool {
        self.state.strip_suffix(FOR_SOME).unwrap_or(&self.state) == state
    }
}

fn capacity_row(standing: Standing) -> CapacityRow {
    let Standing { key, load, soft, hard, limit, shed } = standing;
    let load = load.map(|(load, age_ms)| (load, age_ms / 1000));
    CapacityRow { region: key.to_string(), load, soft, hard, limit, shed_percent: f64::from(shed) * 100.0 / f64::from(ADMIT_ALL) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(region: &str, state: PoolState, since_s: u64) -> (PoolState, PoolRow) {
        let (service, family) = ("web".to_owned(), "IPv4".to_owned());
        let row = PoolRow {
            service,
            region: region.to_owned(),
            family,
            state: state.to_string(),
            since_s,
            up: 1,
            endpoints: 2,
            admit_percent: 100,
            waits: false,
        };
        (state, row)
    }

    #[test]
    fn pools_of_one_region_are_one_row_with_the_worst_state_where_they_differ() {
        use PoolState::{Available, Down};
        let rows = [row("a", Available, 5), row("b", Available, 5), row("a", Available, 9), row("b", Down, 3), row("b", Available, 5)];
        let rows: Vec<(String, String, u64)> =
            merged(rows.into_iter()).into_iter().map(|row| (row.region, row.state, row.since_s)).collect();
        let told = |region: &str, state: &str, since_s| (region.to_owned(), state.to_owned(), since_s);
        assert_eq!(rows, [told("a", "available", 9), told("b", "down for some names", 3)]);
    }
}

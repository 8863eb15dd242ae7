//! `meridian probe`: runs the monitors of a service or an endpoint once, from here and now, and shows every step and the verdict.
//! It runs what the prober of `serve` runs and reports it to nobody: no running server is needed, and none hears of it.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigArg, Failure};
use crate::clock::Clock;
use crate::config::load;
use crate::config::model::Model;
use crate::health::overrides::Selector;
use crate::health::{Outcome, TargetKey};
use crate::prober::{Run, run_once};

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// A service, a region, the address of an endpoint, or REGION/SERVICE/ADDRESS with `*` in any part
    #[arg(value_name = "SERVICE|ENDPOINT")]
    whom: String,
    #[command(flatten)]
    config: ConfigArg,
    /// `table` or `json`
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// One thing to probe, and all places that it is probed for.
struct Job {
    target: TargetKey,
    places: Vec<String>,
}

impl Probe {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let loaded = load(&self.config.path()?);
        let model = loaded.model.ok_or_else(|| Failure::Config(loaded.diagnostics.to_string()))?;
        let jobs = self.jobs(&model)?;
        let targets: Vec<TargetKey> = jobs.iter().map(|job| job.target.clone()).collect();
        let runs = run_once(&targets, &Clock::system())?;
        if self.format == "json" {
            let probes: Vec<Value> = jobs.iter().zip(&runs).map(|(job, run)| to_json(job, run)).collect();
            writeln!(out, "{}", json!({ "probes": probes }))?;
        } else {
            jobs.iter().zip(&runs).try_for_each(|(job, run)| print(job, run, out))?;
        }
        let decides = |job: &Job| !job.target.monitor.observe_only;
        let failed = jobs.iter().zip(&runs).filter(|(job, run)| decides(job) && !serves(run.report.outcome)).count();
        match failed {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!("{failed} of {} probes failed", jobs.len()))),
        }
    }

    /// What is to be probed, each target once, in the order of the files.
    fn jobs(&self, model: &Model) -> Result<Vec<Job>, Failure> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut named = false;
        for region in &model.regions {
            for offer in &region.offers {
                let service = model.services.get(usize::from(offer.service.0)).map_or("", String::as_str);
                for endpoint in offer.endpoints.iter().filter(|endpoint| self.names(&region.name, service, endpoint.address)) {
                    named = true;
                    let own = offer.monitors.iter().map(|monitor| monitor.target(endpoint.address));
                    let place = format!("{}/{service}/{}", region.name, endpoint.address);
                    own.chain(offer.requires.iter().cloned()).for_each(|target| add(&mut jobs, target, &place));
                }
            }
        }
        match (named, jobs.is_empty()) {
            (false, _) => Err(Failure::Usage(format!(
                "`{}` names no endpoint; the services are {}",
                self.whom,
                model.services.iter().map(|service| format!("`{service}`")).collect::<Vec<_>>().join(", ")
            ))),
            (true, true) => Err(Failure::Usage(format!("`{}` has no monitor, so that nothing is probed there", self.whom))),
            (true, false) => Ok(jobs),
        }
    }

    fn names(&self, region: &str, service: &str, address: IpAddr) -> bool {
        let whole = self.whom == service || self.whom.parse() == Ok(address);
        whole || Selector::parse(&self.whom).is_ok_and(|selector| selector.matches(region, service, &address.to_string()))
    }
}

/// Equal targets are probed once (BEHAVIOUR H2), here too.
fn add(jobs: &mut Vec<Job>, target: TargetKey, place: &str) {
    match jobs.iter_mut().find(|job| job.target == target) {
        Some(job) => job.places.push(place.to_owned()),
        None => jobs.push(Job { target, places: vec![place.to_owned()] }),
    }
}

fn serves(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Success | Outcome::Degraded)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "good",
        Outcome::Degraded => "degraded",
        Outcome::Failure => "failed",
        Outcome::ProberFault => "prober fault",
    }
}

/// Microseconds as milliseconds with one decimal.
fn ms(took_us: u64) -> f64 {
    (took_us as f64 / 100.0).round() / 10.0
}

fn print(job: &Job, run: &Run, out: &mut impl Write) -> Result<(), Failure> {
    let Run { report, record } = run;
    writeln!(out, "{}  for {}", job.target, job.places.join(", "))?;
    for (phase, took_us) in &record.done {
        writeln!(out, "  {phase:<12} {:>9.1} ms", ms(*took_us))?;
    }
    if let Some((phase, took_us)) = &record.stopped {
        writeln!(out, "  {phase:<12} {:>9.1} ms  stopped here", ms(*took_us))?;
    }
    for assertion in &record.assertions {
        writeln!(out, "    {:<20} {:<9} {}", assertion.what, word(assertion.outcome), assertion.found)?;
    }
    let monitor = &job.target.monitor;
    let inverted = if monitor.invert { ", inverted" } else { "" };
    let observed = if monitor.observe_only { "; observed only, it decides nothing" } else { "" };
    writeln!(out, "  {:<12} {}{inverted}: {}{observed}", "verdict", word(report.outcome), report.evidence)?;
    Ok(())
}

fn to_json(job: &Job, run: &Run) -> Value {
    let Run { report, record } = run;
    let ended = record.done.iter().map(|(phase, took_us)| json!({ "phase": phase.to_string(), "ms": ms(*took_us), "ended": true }));
    let stopped = record.stopped.iter().map(|(phase, took_us)| json!({ "phase": phase.to_string(), "ms": ms(*took_us), "ended": false }));
    let assertion = |assertion: &crate::prober::Assertion| json!({ "what": assertion.what, "outcome": word(assertion.outcome), "found": assertion.found });
    json!({
        "target": job.target.to_string(), "for": job.places, "outcome": word(report.outcome), "evidence": report.evidence.to_string(),
        "ms": report.took_ms, "observe_only": job.target.monitor.observe_only, "phases": ended.chain(stopped).collect::<Vec<_>>(),
        "assertions": record.assertions.iter().map(assertion).collect::<Vec<_>>(),
    })
}

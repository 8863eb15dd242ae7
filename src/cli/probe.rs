//! `meridian probe`: runs the monitors of a service or an endpoint once, from here and now, and shows every step and the verdict.
//! It runs what the prober of `serve` runs and reports it to nobody: no running server is needed, and none hears of it.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};

use super::args::Format;
use super::progress::on_terminal;
use super::{ConfigArg, Failure};
use crate::clock::Clock;
use crate::config::load_telling;
use crate::config::model::{At, Endpoint, Model, Offer};
use crate::geo::Family;
use crate::health::overrides::Selector;
use crate::health::{Hosts, Outcome, TargetKey};
use crate::prober::{Phase, Run, resolve_once, run_once};

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// A service, a region, an endpoint as it is written in the files, or REGION/SERVICE/ADDRESS with `*` in any part
    #[arg(value_name = "SERVICE|ENDPOINT")]
    whom: String,
    #[command(flatten)]
    config: ConfigArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// One thing to probe, and all places that it is probed for.
struct Job {
    target: TargetKey,
    places: Vec<String>,
    /// How long it took to resolve the names that were asked for.
    resolve_us: Option<u64>,
}

impl Job {
    /// The phases that ended, the resolution of the name before all others.
    fn done(&self, run: &Run) -> Vec<(Phase, u64)> {
        self.resolve_us.map(|resolve_us| (Phase::Resolve, resolve_us)).into_iter().chain(run.record.done.iter().copied()).collect()
    }
}

/// `REGION/SERVICE`, what is offered there, and one endpoint of it.
type Chosen<'m> = (String, &'m Offer, &'m Endpoint);

impl Probe {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let progress = on_terminal();
        let loaded = load_telling(&self.config.path()?, &progress);
        progress.end();
        let model = loaded.model.ok_or_else(|| Failure::Config(loaded.diagnostics.to_string()))?;
        let clock = Clock::system();
        let chosen = self.chosen(&model)?;
        let hosts = chosen.iter().filter_map(|(_, _, endpoint)| endpoint.at.host().cloned());
        let hosts = resolve_once(&model.server.resolvers, hosts)?;
        let resolve_us = clock.now_us();
        let (jobs, unresolved) = jobs(&chosen, &hosts, resolve_us);
        let targets: Vec<TargetKey> = jobs.iter().map(|job| job.target.clone()).collect();
        let runs = run_once(&targets, &clock)?;
        if self.format == Format::Json {
            let probes: Vec<Value> = jobs.iter().zip(&runs).map(|(job, run)| to_json(job, run)).collect();
            let unresolved: Vec<Value> = unresolved.iter().map(|(place, why)| json!({ "for": place, "error": why })).collect();
            writeln!(out, "{}", json!({ "probes": probes, "unresolved": unresolved }))?;
        } else {
            jobs.iter().zip(&runs).try_for_each(|(job, run)| print(job, run, out))?;
            unresolved.iter().try_for_each(|(place, why)| writeln!(out, "{place}\n  {:<12} failed: {why}", "resolve"))?;
        }
        let decides = |job: &Job| !job.target.monitor.observe_only;
        let failed = jobs.iter().zip(&runs).filter(|(job, run)| decides(job) && !serves(run.report.outcome)).count();
        match failed + unresolved.len() {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!("{failed} of {} probes failed", jobs.len() + unresolved.len()))),
        }
    }

    /// The endpoints that are meant, with their regions and what they offer there, in the order of the files.
    fn chosen<'m>(&self, model: &'m Model) -> Result<Vec<Chosen<'m>>, Failure> {
        let mut chosen = Vec::new();
        for region in &model.regions {
            for offer in &region.offers {
                let service = model.services.get(usize::from(offer.service.0)).map_or("", String::as_str);
                let meant = offer.endpoints.iter().filter(|endpoint| self.names(&region.name, service, &endpoint.at));
                chosen.extend(meant.map(|endpoint| (format!("{}/{service}", region.name), offer, endpoint)));
            }
        }
        if chosen.is_empty() {
            let services: Vec<String> = model.services.iter().map(|service| format!("`{service}`")).collect();
            return Err(Failure::Usage(format!("`{}` names no endpoint; the services are {}", self.whom, services.join(", "))));
        }
        if chosen.iter().all(|(_, offer, _)| offer.monitors.is_empty() && offer.requires.is_empty()) {
            return Err(Failure::Usage(format!("`{}` has no monitor, so that nothing is probed there", self.whom)));
        }
        Ok(chosen)
    }

    fn names(&self, region: &str, service: &str, at: &At) -> bool {
        let is_address = |address: IpAddr| matches!(at, At::Address(own) if *own == address);
        let whole = self.whom == service || self.whom.parse().is_ok_and(is_address) || self.whom == at.to_string();
        whole || Selector::parse(&self.whom).is_ok_and(|selector| selector.matches(region, service, &at.to_string()))
    }
}

/// What is to be probed, each target once, and the host names that have no address, with the reason.
fn jobs(chosen: &[Chosen<'_>], hosts: &Hosts, resolve_us: u64) -> (Vec<Job>, Vec<(String, String)>) {
    let (mut jobs, mut unresolved) = (Vec::new(), Vec::new());
    for (place, offer, endpoint) in chosen {
        let place = format!("{place}/{}", endpoint.at);
        match &endpoint.at {
            At::Address(address) => {
                offer.monitors.iter().for_each(|monitor| add(&mut jobs, monitor.target(*address), &place, None));
            }
            At::Host { name, .. } => {
                let host = hosts.host(name);
                let addresses: Vec<IpAddr> = host.map(|host| host.addresses().collect()).unwrap_or_default();
                let usable: Vec<&IpAddr> = addresses.iter().filter(|address| endpoint.at.may_have(Family::of(**address))).collect();
                if usable.is_empty() {
                    let why = host.and_then(|host| host.last.as_ref()?.1.error.clone()).unwrap_or_else(|| "no answer in time".into());
                    unresolved.push((place.clone(), why.into()));
                }
                for address in usable {
                    let targets = offer.monitors.iter().map(|monitor| monitor.of_host(name).target(*address));
                    targets.for_each(|target| add(&mut jobs, target, &place, Some(resolve_us)));
                }
            }
        }
        offer.requires.iter().for_each(|target| add(&mut jobs, target.clone(), &place, None));
    }
    (jobs, unresolved)
}

/// Equal targets are probed once (BEHAVIOUR H2), here too.
fn add(jobs: &mut Vec<Job>, target: TargetKey, place: &str, resolve_us: Option<u64>) {
    match jobs.iter_mut().find(|job| job.target == target) {
        Some(job) => job.places.push(place.to_owned()),
        None => jobs.push(Job { target, places: vec![place.to_owned()], resolve_us }),
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
    for (phase, took_us) in job.done(run) {
        writeln!(out, "  {phase:<12} {:>9.1} ms", ms(took_us))?;
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
    let ended = job.done(run).into_iter().map(|(phase, took_us)| json!({ "phase": phase.to_string(), "ms": ms(took_us), "ended": true }));
    let stopped = record.stopped.iter().map(|(phase, took_us)| json!({ "phase": phase.to_string(), "ms": ms(*took_us), "ended": false }));
    let assertion = |assertion: &crate::prober::Assertion| json!({ "what": assertion.what, "outcome": word(assertion.outcome), "found": assertion.found });
    json!({
        "target": job.target.to_string(), "for": job.places, "outcome": word(report.outcome), "evidence": report.evidence.to_string(),
        "ms": report.took_ms, "observe_only": job.target.monitor.observe_only, "phases": ended.chain(stopped).collect::<Vec<_>>(),
        "assertions": record.assertions.iter().map(assertion).collect::<Vec<_>>(),
    })
}

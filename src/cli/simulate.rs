//! `meridian simulate`: who goes where when something is down, and whether what is left can carry it.
//! It reads the files and asks the decision that queries get; no server is asked or touched.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::args::{Format, QType};
use super::progress::on_terminal;
use super::rehearsed::{AudienceArg, names_text, parse_name, percent, sample_json, sample_text, source_json};
use super::{ConfigArg, Failure};
use crate::config::compile::Compiled;
use crate::daemon::Prepared;
use crate::geo::RegionId;
use crate::health::CapacityLayout;
use crate::name::Name;
use crate::rehearsal::compare::Source;
use crate::rehearsal::{Comparer, Comparison, Down, map};

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Take this region, or the endpoint with this address, down; may be given several times
    #[arg(long, value_name = "REGION|ADDRESS", required_unless_present = "every_single")]
    down: Vec<String>,
    /// Try the loss of each region in turn, and say which is the worst
    #[arg(long)]
    every_single: bool,
    /// How full a region is now, as a part of its capacity; may be given several times
    #[arg(long, value_name = "REGION=PART", value_parser = parse_load)]
    load: Vec<(String, f64)>,
    /// What all clients of the name ask of it, in the unit of `capacity`: each region bears its share of that
    #[arg(long, requires = "name", conflicts_with = "load", value_parser = parse_demand)]
    demand: Option<f64>,
    /// Only this steered name, as `check` prints it
    #[arg(long)]
    name: Option<String>,
    /// The type that is asked for
    #[arg(long = "type", value_enum, default_value = "a", ignore_case = true)]
    qtype: QType,
    #[command(flatten)]
    audience: AudienceArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Draw a map of it: of the first name, or of the one that is asked for
    #[arg(long, value_name = "FILE.svg", conflicts_with = "every_single")]
    map: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

/// `REGION=0.9`.
fn parse_load(text: &str) -> Result<(String, f64), String> {
    let (region, part) = text.split_once('=').ok_or("write REGION=PART, such as eu-west=0.9")?;
    let part: f64 = part.parse().map_err(|_| format!("`{part}` is no number"))?;
    if part > 0.0 && part.is_finite() { Ok((region.to_owned(), part)) } else { Err("the part must be over 0".into()) }
}

/// `1200`, `850.5`.
fn parse_demand(text: &str) -> Result<f64, String> {
    let demand: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if demand > 0.0 && demand.is_finite() { Ok(demand) } else { Err("the demand must be over 0".into()) }
}

/// One outage.
struct Outage {
    /// What is down, for people.
    down: String,
    comparisons: Vec<Comparison>,
    /// How full regions become, beside `comparisons`.
    loads: Vec<BTreeMap<String, f64>>,
}

/// How full regions become, as parts of what they can bear.
enum Loads<'s> {
    /// From how full they are now: their clients grow, and the rest with them.
    Grown(&'s [(String, f64)]),
    /// From what all clients ask for, and the `hard` capacity of each region that has one.
    Shared(f64, BTreeMap<&'s str, f64>),
}

impl<'s> Loads<'s> {
    /// What is known of them.
    fn of(simulate: &'s Simulate, compiled: &'s Compiled, only: Option<&Name>) -> Result<Loads<'s>, Failure> {
        let (Some(demand), Some(name)) = (simulate.demand, only) else { return Ok(Loads::Grown(&simulate.load)) };
        let steering = compiled.catalog.steerings.iter().find(|steering| steering.owner == *name);
        let service = steering.map(|steering| &compiled.catalog.services[usize::from(steering.service)]);
        let bears = |capacity: &&CapacityLayout| capacity.services.iter().any(|known| Some(&**known) == service.map(String::as_str));
        let hard = |layout: &'s CapacityLayout| (&*layout.key.region, layout.capacity.hard_milli as f64 / 1000.0);
        let limits: BTreeMap<&str, f64> = compiled.layout.capacities.iter().filter(bears).map(hard).collect();
        if limits.is_empty() {
            return Err(Failure::Usage(format!("`--demand` needs a `capacity`, and no region has one for `{name}`")));
        }
        Ok(Loads::Shared(demand, limits))
    }

    fn after(&self, comparison: &Comparison) -> BTreeMap<String, f64> {
        let of = |region: &str| comparison.sources.get(&Source::Region(region.to_owned())).copied().unwrap_or_default();
        let grown = |(region, part): &(String, f64)| {
            let change = of(region);
            (change.before > 0.0).then(|| (region.clone(), part * change.after / change.before))
        };
        match self {
            Loads::Grown(parts) => parts.iter().filter_map(grown).collect(),
            Loads::Shared(demand, limits) => {
                let part = |(region, hard): (&&str, &f64)| ((*region).to_owned(), demand * of(region).after / comparison.total / hard);
                limits.iter().filter(|_| comparison.total > 0.0).map(part).collect()
            }
        }
    }
}

impl Outage {
    /// The fullest region, and how full it becomes.
    fn fullest(&self) -> Option<(&str, f64)> {
        let parts = self.loads.iter().flatten().map(|(region, part)| (region.as_str(), *part));
        parts.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

impl Simulate {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, .. } = self.config.prepare()?;
        let only = self.name.as_deref().map(parse_name).transpose()?;
        let unknown = |(region, _): &&(String, f64)| !compiled.catalog.regions.iter().any(|known| known.name == *region);
        if let Some((region, _)) = self.load.iter().find(unknown) {
            return Err(Failure::Usage(format!("there is no region `{region}`")));
        }
        let audience = self.audience.read()?;
        let comparer = Comparer::new([&compiled.catalog; 2], &audience).drawn(self.map.is_some());
        let before = Down::default().world(&compiled);
        let downs = self.downs(&compiled)?;
        let known = Loads::of(self, &compiled, only.as_ref())?;
        let (progress, mut done) = (on_terminal(), 0);
        let count = downs.len() * compiled.catalog.steerings.len();
        let mut outages = Vec::new();
        for (text, down) in downs {
            let after = down.world(&compiled);
            let comparisons = comparer.compare([&before, &after], self.qtype.family(), only.as_ref(), || {
                progress.step("names", done, count);
                done += 1;
            });
            let loads = comparisons.iter().map(|comparison| known.after(comparison)).collect();
            outages.push(Outage { down: text, comparisons, loads });
        }
        progress.end();
        if outages.iter().all(|outage| outage.comparisons.is_empty()) {
            return Err(Failure::Usage(
                only.map_or("no name is steered for this type".into(), |name| format!("no steered name is `{name}`")),
            ));
        }
        match self.format {
            Format::Text if self.every_single => Simulate::print_every(&outages, &audience.text(), out)?,
            Format::Text => Simulate::print(&outages[0], &audience.text(), out)?,
            Format::Json => writeln!(out, "{:#}", self.json(&outages, &audience.text()))?,
        }
        if let Some(path) = &self.map {
            let svg = map::draw(&compiled.catalog.regions, &outages[0].comparisons[0], &format!("without {}", outages[0].down));
            std::fs::write(path, svg).map_err(|error| Failure::Failed(format!("`{}`: {error}", path.display())))?;
        }
        verdict(&outages)
    }

    fn downs(&self, compiled: &Compiled) -> Result<Vec<(String, Down)>, Failure> {
        let given = Down::parse(compiled, &self.down).map_err(Failure::Usage)?;
        if !self.every_single {
            return Ok(vec![(self.down.join(", "), given)]);
        }
        let regions = (0..).map(RegionId).zip(&compiled.catalog.regions);
        let besides = |name: &str| self.down.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(", ");
        Ok(regions.map(|(id, region)| (besides(&region.name), given.clone().and(id))).collect())
    }

    fn print(outage: &Outage, clients: &str, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "down      {}", outage.down)?;
        writeln!(out, "clients   {clients}")?;
        for (comparison, loads) in outage.comparisons.iter().zip(&outage.loads) {
            writeln!(out, "\n{}", names_text(comparison))?;
            writeln!(out, "  {:<20} {:>9} {:>9} {:>10}", "region", "before", "after", "capacity")?;
            for (source, change) in &comparison.sources {
                let load = match source {
                    Source::Region(name) => loads.get(name.as_str()).map_or("-".into(), |part| format!("{:.0} %", part * 100.0)),
                    Source::Fallback | Source::Nobody => "-".into(),
                };
                let (before, after) = (comparison.percent(change.before), comparison.percent(change.after));
                writeln!(out, "  {:<20} {before:>7.2} % {after:>7.2} % {load:>10}", source.to_string())?;
            }
            super::rehearsed::print_moves(comparison, out)?;
            writeln!(out, "  without an answer    {}", percent(comparison, comparison.lost()))?;
            write!(out, "{}", sample_text(comparison))?;
        }
        Ok(())
    }

    fn print_every(outages: &[Outage], clients: &str, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "clients   {clients}")?;
        writeln!(out, "{:<24} {:>9} {:>9} {:>12} {:>12}  fullest", "down", "moves", "lost", "mean km", "p95 km")?;
        for outage in outages {
            let (total, moved, lost) = sums(outage);
            let share = |weight: f64| if total > 0.0 { weight * 100.0 / total } else { 0.0 };
            let km = |km: Option<f64>| km.map_or("-".into(), |km| format!("{km:+.0}"));
            let worst = |of: fn(&Comparison) -> Option<f64>| outage.comparisons.iter().filter_map(of).max_by(f64::total_cmp);
            let full = outage.fullest().map_or("-".into(), |(region, part)| format!("{region} {:.0} %", part * 100.0));
            writeln!(
                out,
                "{:<24} {:>7.2} % {:>7.2} % {:>12} {:>12}  {full}",
                outage.down,
                share(moved),
                share(lost),
                km(worst(Comparison::mean_extra_km)),
                km(worst(Comparison::p95_extra_km)),
            )?;
        }
        if let Some(worst) = worst(outages) {
            writeln!(out, "worst     {}", worst.down)?;
        }
        Ok(())
    }

    fn json(&self, outages: &[Outage], clients: &str) -> Value {
        let comparison = |(comparison, loads): (&Comparison, &BTreeMap<String, f64>)| {
            let regions = comparison.sources.iter().map(|(source, change)| {
                let name = source.to_string();
                json!({
                    "source": source_json(source), "before_percent": comparison.percent(change.before),
                    "after_percent": comparison.percent(change.after), "capacity_percent": loads.get(name.as_str()).map(|part| part * 100.0),
                })
            });
            json!({
                "names": comparison.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "regions": regions.collect::<Vec<_>>(),
                "moved_percent": comparison.percent(comparison.moved()), "lost_percent": comparison.percent(comparison.lost()),
                "mean_extra_km": comparison.mean_extra_km(), "p95_extra_km": comparison.p95_extra_km(),
                "moves": super::rehearsed::moves_json(comparison), "sample": sample_json(comparison),
            })
        };
        let outage = |outage: &Outage| json!({ "down": outage.down, "names": outage.comparisons.iter().zip(&outage.loads).map(comparison).collect::<Vec<_>>() });
        let worst = if self.every_single { worst(outages).map(|outage| outage.down.clone()) } else { None };
        json!({ "clients": clients, "outages": outages.iter().map(outage).collect::<Vec<_>>(), "worst": worst })
    }
}

/// Weight of all, of those who move, and of those who get no answer, over all names.
fn sums(outage: &Outage) -> (f64, f64, f64) {
    outage.comparisons.iter().fold((0.0, 0.0, 0.0), |(total, moved, lost), comparison| {
        (total + comparison.total, moved + comparison.moved(), lost + comparison.lost())
    })
}

/// Clients without an answer weigh most, then a region that is too full, then what moves.
fn worst(outages: &[Outage]) -> Option<&Outage> {
    let key = |outage: &Outage| {
        let (_, moved, lost) = sums(outage);
        (lost, outage.fullest().map_or(0.0, |(_, part)| part).max(1.0), moved)
    };
    outages.iter().max_by(|one, other| {
        let (one, other) = (key(one), key(other));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.total_cmp(&other.2))
    })
}

/// An outage that leaves clients without an answer, or a region over its capacity, is an error.
fn verdict(outages: &[Outage]) -> Result<(), Failure> {
    for outage in outages {
        if sums(outage).2 > 0.0 {
            return Err(Failure::Failed(format!("without {} some clients get no answer", outage.down)));
        }
        if let Some((region, part)) = outage.fullest().filter(|(_, part)| *part > 1.0) {
            return Err(Failure::Failed(format!("without {} `{region}` is at {:.0} % of its capacity", outage.down, part * 100.0)));
        }
    }
    Ok(())
}

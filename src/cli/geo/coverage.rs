//! `meridian geo coverage`: which region comes first for how much of the address space, for each steered name and type.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::share::{COUNTED, Counts, sizes};
use crate::cli::{ConfigArg, Failure};
use crate::config::compile::Compiled;
use crate::daemon::Prepared;
use crate::geo::{Family, Kind, PlaceId};
use crate::name::Name;
use crate::rehearsal::{Audience, Comparer, Down, map};
use crate::snapshot::Catalog;
use crate::steer::plan::Plan;
use crate::steer::{FamilySteering, Steering};

#[derive(Debug, Args)]
pub(in crate::cli) struct Coverage {
    /// Only this steered name, as `check` prints it
    #[arg(long)]
    name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Draw a map of it: of the first name, or of the one that is asked for
    #[arg(long, value_name = "FILE.svg")]
    map: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Csv,
    Json,
}

/// One region of one name and type.
struct Row<'c> {
    owner: &'c Name,
    rtype: &'static str,
    region: &'c str,
    counts: Counts,
    percent: Counts,
}

impl Coverage {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, .. } = self.config.prepare()?;
        let steerings = self.wanted(&compiled.catalog.steerings)?;
        let rows = rows(&compiled.catalog, &steerings);
        if let Some(path) = &self.map {
            draw(&compiled, &steerings, path)?;
        }
        match self.format {
            Format::Text => print_text(&rows, out),
            Format::Csv => print_csv(&rows, out),
            Format::Json => print_json(&rows, out),
        }
    }

    fn wanted<'c>(&self, all: &'c [Steering]) -> Result<Vec<&'c Steering>, Failure> {
        let Some(text) = &self.name else { return Ok(all.iter().collect()) };
        let name = Name::parse(text, None).map_err(|error| Failure::Usage(format!("`{text}` is not a name: {error}")))?;
        let found: Vec<&Steering> = all.iter().filter(|steering| steering.owner == name).collect();
        if found.is_empty() { Err(Failure::Usage(format!("no steered name is `{name}`"))) } else { Ok(found) }
    }
}

/// Everything up, and compared with itself: where clients are, and who is first for them.
fn draw(compiled: &Compiled, steerings: &[&Steering], path: &Path) -> Result<(), Failure> {
    let world = Down::default().world(compiled);
    let steering = steerings.first().ok_or_else(|| Failure::Usage("no name is steered".into()))?;
    let family = [Family::V4, Family::V6].into_iter().find(|family| steering.family(*family).is_some());
    let comparer = Comparer::new([&compiled.catalog; 2], &Audience::Addresses).drawn(true);
    let compared = family.map(|family| comparer.compare([&world; 2], family, Some(&steering.owner), || {}));
    let comparison = compared.and_then(|comparisons| comparisons.into_iter().next());
    let comparison = comparison.ok_or_else(|| Failure::Usage("no region has addresses for it".into()))?;
    let svg = map::draw(&compiled.catalog.regions, &comparison, "everything up, by addresses");
    std::fs::write(path, svg).map_err(|error| Failure::Failed(format!("`{}`: {error}", path.display())))
}

fn rows<'c>(catalog: &'c Catalog, steerings: &[&'c Steering]) -> Vec<Row<'c>> {
    let places = by_place(catalog);
    // Many names share few plans, and each has as many places as the geo data.
    let mut known: HashMap<*const Plan, Vec<Counts>> = HashMap::new();
    let mut rows = Vec::new();
    for steering in steerings {
        for (family, rtype) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
            let Some(compiled) = steering.family(family) else { continue };
            let by_ranking = known.entry(Arc::as_ptr(&compiled.plan)).or_insert_with(|| by_ranking(&compiled.plan, &places));
            let by_candidate = by_candidate(compiled, &places, by_ranking);
            let mut whole = Counts::default();
            by_candidate.iter().for_each(|counts| whole.add(*counts));
            rows.extend(compiled.candidates.iter().zip(by_candidate).map(|(candidate, counts)| {
                let region = &catalog.regions[usize::from(candidate.region.0)].name;
                Row { owner: &steering.owner, rtype, region, counts, percent: counts.percent_of(whole) }
            }));
        }
    }
    rows
}

/// What each place with coordinates has of the address space: most of IPv6 is not in use and nowhere, and would hide the rest.
fn by_place(catalog: &Catalog) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); catalog.table.place_count()];
    let located = sizes(&catalog.table).filter(|(place, _)| catalog.table.kind(*place) == Kind::Located);
    located.for_each(|(place, size)| counts[place.0 as usize].add(size));
    counts
}

fn by_ranking(plan: &Plan, places: &[Counts]) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); plan.ranking_count()];
    for (place, size) in (0..).map(PlaceId).zip(places) {
        counts[plan.ranking_id(place) as usize].add(*size);
    }
    counts
}

/// The first band of each ranking has its clients, shared by weight as queries share them.
fn by_candidate(family: &FamilySteering, places: &[Counts], by_ranking: &[Counts]) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); family.candidates.len()];
    let mut seen = vec![false; by_ranking.len()];
    for place in (0..places.len() as u32).map(PlaceId) {
        let ranking = family.plan.ranking_id(place) as usize;
        if std::mem::replace(&mut seen[ranking], true) {
            continue;
        }
        let band: Vec<usize> =
            family.plan.ranking(place).iter().take_while(|entry| entry.band == 0).map(|entry| usize::from(entry.candidate)).collect();
        let weight = |candidate: usize| f64::from(family.candidates[candidate].share.max(1));
        let sum: f64 = band.iter().map(|candidate| weight(*candidate)).sum();
        for candidate in band {
            counts[candidate].add(by_ranking[ranking].times(weight(candidate) / sum));
        }
    }
    counts
}

fn print_text(rows: &[Row<'_>], out: &mut impl Write) -> Result<(), Failure> {
    for of_name in rows.chunk_by(|a, b| (a.owner, a.rtype) == (b.owner, b.rtype)) {
        writeln!(out, "{} {}", of_name[0].owner, of_name[0].rtype)?;
        writeln!(out, "  {:<20} {:>8} {:>8}", "region", "IPv4", "IPv6")?;
        for Row { region, percent, .. } in of_name {
            writeln!(out, "  {region:<20} {:>6.2} % {:>6.2} %", percent.v4, percent.v6)?;
        }
    }
    writeln!(
        out,
        "clients with a place for whom the region is first; in a first band of several by weight; `geo stats` says how many have no place"
    )?;
    writeln!(out, "counted: {COUNTED}")?;
    Ok(())
}

fn print_csv(rows: &[Row<'_>], out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "name,type,region,ipv4_addresses,ipv4_percent,ipv6_sites,ipv6_percent")?;
    for Row { owner, rtype, region, counts, percent } in rows {
        let owner = quoted(&owner.to_string(), "\"\"");
        writeln!(out, "{owner},{rtype},{region},{:.0},{:.4},{:.0},{:.4}", counts.v4, percent.v4, counts.v6, percent.v6)?;
    }
    Ok(())
}

fn print_json(rows: &[Row<'_>], out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "[")?;
    for (index, Row { owner, rtype, region, counts, percent }) in rows.iter().enumerate() {
        let owner = quoted(&owner.to_string().replace('\\', "\\\\"), "\\\"");
        let region = quoted(region, "\\\"");
        let end = if index + 1 < rows.len() { "," } else { "" };
        writeln!(
            out,
            "  {{\"name\": {owner}, \"type\": \"{rtype}\", \"region\": {region}, \"ipv4_addresses\": {:.0}, \"ipv4_percent\": {:.4}, \
             \"ipv6_sites\": {:.0}, \"ipv6_percent\": {:.4}}}{end}",
            counts.v4, percent.v4, counts.v6, percent.v6
        )?;
    }
    writeln!(out, "]")?;
    Ok(())
}

/// In quotes, those inside written as `quote`. Names in text form hold printable ASCII only.
fn quoted(text: &str, quote: &str) -> String {
    format!("\"{}\"", text.replace('"', quote))
}

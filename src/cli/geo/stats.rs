//! `meridian geo stats`: what the geo data holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use clap::Args;

use super::share::{COUNTED, Counts, sizes};
use crate::cli::{ConfigArg, Failure};
use crate::clock::{Clock, modified_s};
use crate::config::compile::GeoSource;
use crate::daemon::Prepared;
use crate::geo::{Family, Kind, PlaceTable};

#[derive(Debug, Args)]
pub(in crate::cli) struct Stats {
    #[command(flatten)]
    config: ConfigArg,
}

impl Stats {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, .. } = self.config.prepare()?;
        writeln!(out, "files")?;
        for source in &compiled.geo_sources {
            writeln!(out, "  {}", file_text(source, Clock::system().wall_s()))?;
        }
        let table = &compiled.catalog.table;
        print_table(table, out)?;
        print_coverage(table, out)
    }
}

fn file_text(source: &GeoSource, now_s: u64) -> String {
    let [v4, v6] = source.networks;
    let age = match (source.built_s, modified_s(&source.path)) {
        (Some(built_s), _) => format!(", built {} ago", age_text(now_s.saturating_sub(built_s))),
        (None, Some(written_s)) => format!(", written {} ago", age_text(now_s.saturating_sub(written_s))),
        (None, None) if is_built_in(&source.path) => ", as old as this program".into(),
        (None, None) => String::new(),
    };
    format!("{}: {v4} IPv4 and {v6} IPv6 networks, {} distinct records{age}", source.path.display(), source.records)
}

fn is_built_in(path: &Path) -> bool {
    path == Path::new(crate::geo::source::builtin::WORLD_NAME)
}

fn age_text(age_s: u64) -> String {
    let (count, unit) = match age_s {
        0..7_200 => (age_s / 60, "minutes"),
        7_200..172_800 => (age_s / 3_600, "hours"),
        _ => (age_s / 86_400, "days"),
    };
    format!("{count} {unit}")
}

fn print_table(table: &PlaceTable, out: &mut impl Write) -> Result<(), Failure> {
    let (v4, v6) = (table.range_count(Family::V4), table.range_count(Family::V6));
    let of_kind = |kind: Kind| table.places().filter(|place| place.kind == kind).count();
    writeln!(out, "place table")?;
    writeln!(out, "  {v4} IPv4 and {v6} IPv6 ranges")?;
    let (located, all) = (of_kind(Kind::Located), table.place_count());
    writeln!(out, "  {all} places, {located} of them with coordinates")?;
    writeln!(out, "  {} KiB", table.memory_bytes().div_ceil(1024))?;
    Ok(())
}

fn print_coverage(table: &PlaceTable, out: &mut impl Write) -> Result<(), Failure> {
    let (mut all, mut unknown) = (Counts::default(), Counts::default());
    let mut continents: BTreeMap<String, Counts> = BTreeMap::new();
    for (id, size) in sizes(table) {
        let place = table.place(id);
        all.add(size);
        let continent = place.continent.map_or_else(|| "none".to_owned(), |code| code.to_string());
        continents.entry(continent).or_default().add(size);
        if place.kind == Kind::Unknown {
            unknown.add(size);
        }
    }
    writeln!(out, "coverage by continent")?;
    writeln!(out, "  {:<10} {:>8} {:>8}", "", "IPv4", "IPv6")?;
    let unknown = ("unknown".to_owned(), unknown);
    for (name, counts) in continents.into_iter().chain([unknown]) {
        let Counts { v4, v6 } = counts.percent_of(all);
        writeln!(out, "  {name:<10} {v4:>6.2} % {v6:>6.2} %")?;
    }
    writeln!(out, "  counted: {COUNTED}")?;
    writeln!(out, "  unknown: without coordinates, with a continent or without")?;
    Ok(())
}

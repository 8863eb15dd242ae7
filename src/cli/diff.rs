//! `meridian diff`: how many clients another configuration would move, from where to where; for reviews and for CI.
//! Both configurations are loaded as `serve` loads them; no server is asked or touched.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::args::Format;
use super::progress::on_terminal;
use super::rehearsed::{AudienceArg, moves_json, names_text, parse_name, percent, print_moves, sample_json, sample_text, source_json};
use crate::daemon::{self, Prepared};
use crate::geo::Family;
use crate::name::Name;
use crate::rehearsal::{Comparer, Comparison, Down};
use crate::snapshot::Snapshot;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The server file as it is
    old: PathBuf,
    /// The server file as it shall be
    new: PathBuf,
    /// Exit with 1 if more clients of any name move
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    max_move: Option<f64>,
    /// Only this steered name, as `check` prints it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    audience: AudienceArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// `5%` or `5`.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse::<f64>();
    number.ok().filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(|| format!("`{text}` is not a share such as 5%"))
}

/// What one type of all names comes to.
struct Compared {
    rtype: &'static str,
    comparisons: Vec<Comparison>,
}

impl Diff {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let only = self.name.as_deref().map(parse_name).transpose()?;
        let audience = self.audience.read()?;
        let (old, new) = (load(&self.old)?, load(&self.new)?);
        if let Some(name) = only.as_ref().filter(|only| [&old, &new].iter().all(|world| !is_steered_in(world, only))) {
            return Err(Failure::Usage(format!("no steered name is `{name}` in either configuration")));
        }
        let comparer = Comparer::new([&old.catalog, &new.catalog], &audience);
        let types = [(Family::V4, "A"), (Family::V6, "AAAA")];
        let (progress, mut done) = (on_terminal(), 0);
        let count = types.len() * old.catalog.steerings.len();
        let compared = types.map(|(family, rtype)| {
            let comparisons = comparer.compare([&old, &new], family, only.as_ref(), || {
                progress.step("names", done, count);
                done += 1;
            });
            Compared { rtype, comparisons }
        });
        progress.end();
        let [gone, come] = [[&old, &new], [&new, &old]].map(|worlds| names_only_in(worlds, only.as_ref()));
        match self.format {
            Format::Text => print(&compared, &gone, &come, &audience.text(), out)?,
            Format::Json => print_json(&compared, &gone, &come, &audience.text(), out)?,
        }
        self.verdict(&compared, &gone)
    }

    /// Who asks for a name that is no longer steered is answered otherwise from now on, whoever it is: all of its clients have moved.
    /// A name that is new has had none.
    fn verdict(&self, compared: &[Compared], gone: &[String]) -> Result<(), Failure> {
        let Some(limit) = self.max_move else { return Ok(()) };
        if let Some(name) = gone.first().filter(|_| limit < 100.0) {
            return Err(Failure::Failed(format!("`{name}` is no longer steered: all of its clients move, more than {limit} %")));
        }
        let all = compared.iter().flat_map(|compared| compared.comparisons.iter().map(|comparison| (compared.rtype, comparison)));
        let worst = all.max_by(|(_, one), (_, other)| one.percent(one.moved()).total_cmp(&other.percent(other.moved())));
        match worst.filter(|(_, comparison)| comparison.percent(comparison.moved()) > limit) {
            None => Ok(()),
            Some((rtype, comparison)) => Err(Failure::Failed(format!(
                "{} of the clients of {} {rtype} move, more than {limit} %",
                percent(comparison, comparison.moved()),
                names_text(comparison),
            ))),
        }
    }
}

/// A configuration with everything up that it does not force by hand.
fn load(path: &Path) -> Result<Snapshot, Failure> {
    let Prepared { compiled, warnings, .. } =
        daemon::prepare_telling(path, None, &on_terminal()).map_err(|found| Failure::Config(found.to_string()))?;
    eprint!("{warnings}");
    Ok(Down::default().world(&compiled))
}

fn is_steered_in(world: &Snapshot, owner: &Name) -> bool {
    world.catalog.steerings.iter().any(|steering| steering.owner == *owner)
}

fn names_only_in([one, other]: [&Snapshot; 2], only: Option<&Name>) -> Vec<String> {
    let owners = one.catalog.steerings.iter().map(|steering| &steering.owner);
    let wanted = owners.filter(|owner| only.is_none_or(|only| only == *owner));
    wanted.filter(|owner| !is_steered_in(other, owner)).map(ToString::to_string).collect()
}

fn print(compared: &[Compared], gone: &[String], come: &[String], clients: &str, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "clients   {clients}")?;
    let mut same = 0;
    for Compared { rtype, comparisons } in compared {
        for comparison in comparisons {
            if comparison.moves.is_empty() {
                same += comparison.names.len();
                continue;
            }
            writeln!(out, "\n{} {rtype}", names_text(comparison))?;
            print_moves(comparison, out)?;
            write!(out, "{}", sample_text(comparison))?;
            let countries = comparison.countries.iter().take(10).map(|(country, weight)| {
                let country = if country.is_empty() { "unknown" } else { country };
                format!("{country} {}", percent(comparison, *weight))
            });
            writeln!(out, "  by country           {}", countries.collect::<Vec<_>>().join(", "))?;
            for mover in &comparison.movers {
                let way = format!("{} -> {}", mover.way.0, mover.way.1);
                writeln!(out, "  {:<40} {:>9}  {} and others: {}", way, percent(comparison, mover.weight), mover.network, mover.place)?;
            }
        }
    }
    let mut list = |label: &str, names: &[String]| -> Result<(), Failure> {
        if names.is_empty() { Ok(()) } else { Ok(writeln!(out, "{label} {}", names.join(" "))?) }
    };
    list("no longer steered:", gone)?;
    list("newly steered:", come)?;
    writeln!(out, "{same} answers (name and type) stay as they are for every client")?;
    Ok(())
}

fn print_json(compared: &[Compared], gone: &[String], come: &[String], clients: &str, out: &mut impl Write) -> Result<(), Failure> {
    let names = compared.iter().flat_map(|Compared { rtype, comparisons }| {
        comparisons.iter().map(move |comparison| {
            let countries = comparison.countries.iter().map(|(country, weight)| json!({ "country": country, "percent": comparison.percent(*weight) }));
            let movers = comparison.movers.iter().map(|mover| {
                json!({
                    "place": mover.place, "country": mover.country, "network": mover.network.to_string(), "percent": comparison.percent(mover.weight),
                    "from": source_json(&mover.way.0), "to": source_json(&mover.way.1),
                })
            });
            json!({
                "names": comparison.names.iter().map(ToString::to_string).collect::<Vec<_>>(), "type": rtype,
                "moved_percent": comparison.percent(comparison.moved()),
                "mean_extra_km": comparison.mean_extra_km(), "p95_extra_km": comparison.p95_extra_km(),
                "moves": moves_json(comparison), "countries": countries.collect::<Vec<_>>(), "movers": movers.collect::<Vec<_>>(),
                "sample": sample_json(comparison),
            })
        })
    });
    let whole = json!({ "clients": clients, "names": names.collect::<Vec<_>>(), "no_longer_steered": gone, "newly_steered": come });
    writeln!(out, "{whole:#}")?;
    Ok(())
}

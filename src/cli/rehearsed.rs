//! What `simulate` and `diff` have in common: who asks, and how a comparison is printed. It works nothing out itself.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use crate::name::Name;
use crate::rehearsal::compare::Source;
use crate::rehearsal::{Audience, Comparison};

/// Names that are listed where many are alike.
const MAX_NAMES: usize = 5;

#[derive(Debug, Args)]
pub(super) struct AudienceArg {
    /// Who asks: a CSV file with the columns `network` and `count` [default: an estimate by addresses]
    #[arg(long, value_name = "FILE.csv", conflicts_with = "builtin")]
    clients: Option<PathBuf>,
    /// Estimate who asks by the number of IPv4 addresses of each network
    #[arg(long)]
    builtin: bool,
}

impl AudienceArg {
    pub(super) fn read(&self) -> Result<Audience, Failure> {
        let Some(path) = &self.clients else { return Ok(Audience::Addresses) };
        Audience::read(path).map_err(|found| Failure::Config(found.to_string()))
    }
}

pub(super) fn parse_name(text: &str) -> Result<Name, Failure> {
    Name::parse(text, None).map_err(|error| Failure::Usage(format!("`{text}` is not a name: {error}")))
}

/// Names that are answered alike, in one line.
pub(super) fn names_text(comparison: &Comparison) -> String {
    let shown: Vec<String> = comparison.names.iter().take(MAX_NAMES).map(ToString::to_string).collect();
    let more = comparison.names.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(" "))
}

pub(super) fn percent(comparison: &Comparison, weight: f64) -> String {
    format!("{:.2} %", comparison.percent(weight))
}

pub(super) fn print_moves(comparison: &Comparison, out: &mut impl Write) -> Result<(), Failure> {
    let km = |km: Option<f64>| km.map_or("-".into(), |km| format!("{km:+.0} km"));
    for ((from, to), moved) in &comparison.moves {
        let way = format!("{from} -> {to}");
        writeln!(out, "  {way:<40} {:>9}  {}", percent(comparison, moved.weight), km(moved.mean_km()))?;
    }
    let (mean, p95) = (km(comparison.mean_extra_km()), km(comparison.p95_extra_km()));
    writeln!(out, "  moved                {}, mean {mean}, 95 of 100 at most {p95}", percent(comparison, comparison.moved()))?;
    Ok(())
}

/// How many of those who are hashed were asked for, and a line break; nothing where the place of a client says it all.
pub(super) fn sample_text(comparison: &Comparison) -> String {
    comparison.sample.map_or_else(String::new, |sample| format!("  shared by hash       {sample}\n"))
}

pub(super) fn sample_json(comparison: &Comparison) -> Value {
    comparison.sample.map_or(Value::Null, |sample| json!({ "asked": sample.asked, "networks": sample.networks }))
}

pub(super) fn source_json(source: &Source) -> Value {
    match source {
        Source::Region(name) => json!(name),
        Source::Fallback => json!({ "fallback": true }),
        Source::Nobody => Value::Null,
    }
}

pub(super) fn moves_json(comparison: &Comparison) -> Vec<Value> {
    let moves = comparison.moves.iter().map(|((from, to), moved)| {
        let (from, to) = (source_json(from), source_json(to));
        json!({ "from": from, "to": to, "percent": comparison.percent(moved.weight), "mean_extra_km": moved.mean_km() })
    });
    moves.collect()
}

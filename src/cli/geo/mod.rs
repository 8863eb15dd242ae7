//! `meridian geo`: what the geo data and the overrides say of an address, what they hold, and which region is nearest to how much of the world.
//! It loads as `serve` does and reads only what queries are answered from.

mod coverage;
mod lookup;
mod share;
mod stats;

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use crate::geo::SourceId;

#[derive(Debug, Subcommand)]
pub(super) enum Geo {
    /// Say where an address is, who says so, and the client-subnet scope of each steered name for it
    Lookup(lookup::Lookup),
    /// Say what the geo data holds: files and their age, ranges, memory, coverage by continent
    Stats(stats::Stats),
    /// Say for each steered name which region comes first for how much of the address space
    Coverage(coverage::Coverage),
}

impl Geo {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Geo::Lookup(lookup) => lookup.run(out),
            Geo::Stats(stats) => stats.run(out),
            Geo::Coverage(coverage) => coverage.run(out),
        }
    }
}

/// Who said where a place is.
pub(super) fn source_text(source: SourceId, geo_files: &[PathBuf]) -> String {
    match source {
        SourceId::Override => "`networks:`".into(),
        SourceId::File(index) => geo_files.get(usize::from(index)).map_or_else(|| "a geo file".into(), |path| path.display().to_string()),
        SourceId::BuiltIn => "the built-in world table (one point for a registry's whole region: often 1,000 km off and more)".into(),
        SourceId::Embedded => "nobody: the prefix is too short to hold the IPv4 address inside".into(),
        SourceId::None => "nobody".into(),
    }
}

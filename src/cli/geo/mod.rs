//! `meridian geo`: what the geo data and the overrides say of an address, what they hold, and which region is nearest to how much of the world.
//! It loads as `serve` does and reads only what queries are answered from.

mod coverage;
mod lookup;
mod share;
mod stats;

use std::io::Write;

use clap::Subcommand;

use super::Failure;

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

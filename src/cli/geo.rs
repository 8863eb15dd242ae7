//! `meridian geo`: what the geo data and the overrides say of an address.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigArg, Failure};
use crate::daemon::Prepared;
use crate::geo::SourceId;

#[derive(Debug, Subcommand)]
pub(super) enum Geo {
    /// Say where an address is, and who says so
    Lookup(Lookup),
}

#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// The address to look up
    address: IpAddr,
    #[command(flatten)]
    config: ConfigArg,
}

impl Geo {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Geo::Lookup(lookup) => lookup.run(out),
        }
    }
}

impl Lookup {
    fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, geo_files, .. } = self.config.prepare()?;
        let table = &compiled.catalog.table;
        let leaf = table.locate(self.address, if self.address.is_ipv4() { 32 } else { 128 });
        let place = table.place(leaf.place);
        writeln!(out, "address  {}", self.address)?;
        writeln!(out, "network  {}{}", table.prefix_of(leaf.range), if leaf.shift > 0 { " (the IPv4 address inside)" } else { "" })?;
        writeln!(out, "place    {place}")?;
        writeln!(out, "source   {}", source_text(place.source, &geo_files))?;
        if let Some(region) = place.pin.and_then(|pin| compiled.catalog.regions.get(usize::from(pin.0))) {
            writeln!(out, "region   {} first, by `networks:`", region.name)?;
        }
        Ok(())
    }
}

/// Who said where a place is.
pub(super) fn source_text(source: SourceId, geo_files: &[PathBuf]) -> String {
    match source {
        SourceId::Override => "`networks:`".into(),
        SourceId::File(index) => geo_files.get(usize::from(index)).map_or_else(|| "a geo file".into(), |path| path.display().to_string()),
        SourceId::BuiltIn => "the built-in world table (as coarse as a registry's service region)".into(),
        SourceId::Embedded => "nobody: the prefix is too short to hold the IPv4 address inside".into(),
        SourceId::None => "nobody".into(),
    }
}

//! `meridian geo lookup`: the place of one address, and how far an answer for it may be shared.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;

use crate::cli::{ConfigArg, Failure};
use crate::daemon::Prepared;
use crate::geo::{Family, Leaf};
use crate::snapshot::Catalog;
use crate::steer::decide::scope;
use crate::steer::{FamilySteering, Steering};

#[derive(Debug, Args)]
pub(in crate::cli) struct Lookup {
    /// The address to look up
    address: IpAddr,
    #[command(flatten)]
    config: ConfigArg,
}

impl Lookup {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, .. } = self.config.prepare()?;
        let catalog = &*compiled.catalog;
        let table = &catalog.table;
        let leaf = table.locate(self.address, Family::of(self.address).bits());
        let place = table.place(leaf.place);
        writeln!(out, "address  {}", self.address)?;
        writeln!(out, "network  {}{}", table.prefix_of(leaf.range), if leaf.shift > 0 { " (the IPv4 address inside)" } else { "" })?;
        writeln!(out, "place    {place}")?;
        writeln!(out, "source   {}", catalog.source_text(place.source))?;
        if let Some(region) = place.pin.and_then(|pin| catalog.regions.get(usize::from(pin.0))) {
            writeln!(out, "region   {} first, by `networks:`", region.name)?;
        }
        for steering in &catalog.steerings {
            let scopes: Vec<String> =
                [Family::V4, Family::V6].iter().filter_map(|family| self.scope(catalog, steering, *family, leaf)).collect();
            writeln!(out, "scope    {}  {}", steering.owner, scopes.join(", "))?;
        }
        Ok(())
    }

    /// `A /24`; none where the name has no such addresses.
    fn scope(&self, catalog: &Catalog, steering: &Steering, family: Family, leaf: Leaf) -> Option<String> {
        let compiled = steering.family(family)?;
        let rtype = if family == Family::V4 { "A" } else { "AAAA" };
        let length = self.length(catalog, steering, compiled, leaf);
        Some(format!("{rtype} /{length}"))
    }

    fn length(&self, catalog: &Catalog, steering: &Steering, compiled: &FamilySteering, leaf: Leaf) -> u8 {
        if steering.ecs && catalog.settings.ecs_enabled { scope(compiled, catalog.settings.hash_floor, self.address, leaf) } else { 0 }
    }
}

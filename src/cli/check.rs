//! `meridian check`: everything that `serve` does short of binding, and a summary of what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use clap::Args;

use super::{ConfigArg, Failure};
use crate::config::compile::Compiled;
use crate::daemon::Prepared;
use crate::geo::Family;
use crate::health::{CapacityLayout, LoadSource};
use crate::snapshot::Catalog;
use crate::steer::FamilySteering;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArg,
}

impl Check {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Prepared { compiled, tests, .. } = self.config.rehearse()?;
        print_zones(&compiled.catalog, out)?;
        print_names(&compiled.catalog, out)?;
        print_regions(&compiled, out)?;
        print_capacities(&compiled, out)?;
        print_guard(&compiled, out)?;
        print_memory(&compiled, out)?;
        if !tests.is_empty() {
            writeln!(out, "tests\n  {} passed", tests.len())?;
        }
        writeln!(out, "the configuration is good")?;
        Ok(())
    }
}

fn print_zones(catalog: &Catalog, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "zones")?;
    for zone in catalog.zones.zones() {
        let origin = if zone.serial_is_written { "written" } else { "from the content" };
        writeln!(out, "  {}  serial {} ({origin}), {} names", zone.apex, zone.serial, zone.nodes.len())?;
    }
    Ok(())
}

fn print_names(catalog: &Catalog, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "steered names")?;
    for steering in &catalog.steerings {
        let service = &catalog.services[usize::from(steering.service)];
        writeln!(out, "  {}  service {service}, ttl {}", steering.owner, steering.ttl_s)?;
        for (family, rtype) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
            let described = steering.family(family).map(|compiled| {
                let scope = scope_class(catalog, compiled);
                format!("{} regions, scope: {scope}", compiled.candidates.len())
            });
            if described.is_some() || steering.others.is_empty() {
                writeln!(out, "    {rtype:<4}  {}", described.unwrap_or_else(|| format!("no region has {family}: no data")))?;
            }
        }
        for (rtype, compiled) in &steering.others {
            let (rtype, scope) = (crate::wire::rtype::name(*rtype).to_string(), scope_class(catalog, compiled));
            writeln!(out, "    {rtype:<4}  {} regions, scope: {scope}", compiled.candidates.len())?;
        }
    }
    Ok(())
}

/// What the ECS scope of a name depends on (BEHAVIOUR S5).
fn scope_class(catalog: &Catalog, family: &FamilySteering) -> String {
    let floor = catalog.settings.hash_floor;
    match (family.plan.tells_clients_apart(), family.hashes_clients) {
        (false, _) => "0, the same for every client".into(),
        (true, false) => "by place".into(),
        (true, true) => {
            // Where all places rank alike (`order: any`) only the hash tells clients apart.
            let place = if family.plan.ranks_by_place() { "place and " } else { "" };
            format!("by {place}client network, at least /{} and /{}", floor.v4, floor.v6)
        }
    }
}

fn print_regions(compiled: &Compiled, out: &mut impl Write) -> Result<(), Failure> {
    let catalog = &compiled.catalog;
    writeln!(out, "regions")?;
    for (index, region) in catalog.regions.iter().enumerate() {
        let pools = compiled.pools.iter().zip(&compiled.layout.pools).filter(|(name, _)| usize::from(name.region.0) == index);
        let described = pools.map(|(name, pool)| {
            let endpoints = || pool.endpoints.clone().map(|id| &compiled.layout.endpoints[id as usize]);
            let (fixed, hosts): (Vec<_>, Vec<_>) = endpoints().partition(|endpoint| endpoint.seat.is_none());
            let probed = fixed.iter().filter(|endpoint| endpoint.targets().next().is_some()).count();
            let hosts: BTreeSet<&str> = hosts.iter().filter_map(|endpoint| Some(&*endpoint.seat.as_ref()?.host)).collect();
            let hosts: String = hosts.iter().map(|host| format!(" + {host}, resolved while serving")).collect();
            let service = &catalog.services[usize::from(name.service.0)];
            format!("{service} {} x {} ({probed} probed){hosts}", pool.key.addresses, fixed.len())
        });
        // Names with demands of their own (`min_healthy`, `families`) have pools of their own over the same endpoints.
        let mut described: Vec<String> = described.collect();
        described.sort();
        described.dedup();
        let offers = if described.is_empty() { "not used by any name".into() } else { described.join(", ") };
        writeln!(out, "  {}  at {}: {offers}", region.name, region.location)?;
    }
    Ok(())
}

/// What regions can bear, and how often that is judged.
fn print_capacities(compiled: &Compiled, out: &mut impl Write) -> Result<(), Failure> {
    if !compiled.layout.capacities.is_empty() {
        writeln!(out, "capacities")?;
    }
    for CapacityLayout { key, capacity, period_ms, .. } in &compiled.layout.capacities {
        let number = |milli: u64| milli as f64 / 1000.0;
        let load = match capacity.source {
            LoadSource::Answers { each_milli: 1000 } => "answers a second".to_owned(),
            LoadSource::Answers { each_milli } => format!("answers a second times {}", number(each_milli)),
            LoadSource::Pushed => "pushed".to_owned(),
        };
        let (soft, hard) = (number(capacity.soft_milli), number(capacity.hard_milli));
        writeln!(out, "  {key}  soft {soft}, hard {hard}; the load: {load}; judged every {} s, the longest TTL", period_ms / 1000)?;
    }
    Ok(())
}

/// Which losses the guard would hold.
fn print_guard(compiled: &Compiled, out: &mut impl Write) -> Result<(), Failure> {
    let mut regions: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    let mut guards = compiled.layout.pools.iter().filter_map(|pool| pool.guard);
    let Some(guard) = guards.next() else { return Ok(()) };
    for pool in compiled.layout.pools.iter().filter(|pool| pool.region_state.is_none()) {
        regions.entry((&pool.key.service, pool.key.addresses.to_string())).or_default().insert(&pool.key.region);
    }
    writeln!(out, "guard, in {} s", guard.window_ms / 1000)?;
    for ((service, addresses), regions) in regions {
        let up = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        let held = match guard.allows(up) {
            0 => "every loss is held".to_owned(),
            all if all >= up => "no loss is held".to_owned(),
            some => format!("{some} may go down, further losses are held"),
        };
        writeln!(out, "  {service} {addresses}  {up} regions: {held}")?;
    }
    Ok(())
}

fn print_memory(compiled: &Compiled, out: &mut impl Write) -> Result<(), Failure> {
    let table = &compiled.catalog.table;
    let plans = compiled.catalog.distinct_plans();
    let (rankings, memory) =
        plans.iter().fold((0, 0), |(rankings, memory), plan| (rankings + plan.ranking_count(), memory + plan.memory_bytes()));
    let ranges = table.range_count(Family::V4) + table.range_count(Family::V6);
    writeln!(out, "place table\n  {} places, {ranges} ranges, {}", table.place_count(), kib(table.memory_bytes()))?;
    writeln!(out, "plans\n  {} plans, {rankings} rankings, {}", plans.len(), kib(memory))?;
    Ok(())
}

fn kib(octets: usize) -> String {
    format!("{} KiB", octets.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the A records of each name.
    fn scopes_of(server_file: &str) -> Vec<String> {
        let mut out = Vec::new();
        Check { config: ConfigArg { config: Some(server_file.into()) } }.run(&mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let of_ipv4 = shown.lines().filter(|line| line.starts_with("    A "));
        of_ipv4.filter_map(|line| line.split_once("scope: ")).map(|(_, scope)| scope.to_owned()).collect()
    }

    #[test]
    fn s5_names_say_what_their_scope_depends_on() {
        // Nearest; `order: any` with a hash, beside a network that is pinned to a region; `order: priority`; nearest.
        let pinned = ["by place", "by place and client network, at least /24 and /56", "0, the same for every client", "by place"];
        assert_eq!(scopes_of("zones/meridian.yaml"), pinned);
        // `order: any` with nothing pinned, shared by hash and at random.
        let alike = scopes_of("examples/weighted-and-sticky/meridian.yaml");
        assert_eq!([&alike[0], &alike[2]], ["by client network, at least /24 and /48", "0, the same for every client"]);
    }
}

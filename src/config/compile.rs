//! From the Model to the Catalog: dense ids, the place table, plans, pools. The last step of every load, and of `check`.
//! It reads the geo files that the Model names and nothing else; what it builds is in force only once the keeper publishes it.

mod capacities;
mod names;
mod pools;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::model::{Model, Region, ServiceId, Steer};
use crate::diag::{Diagnostics, Mark};
use crate::geo::{self, Family, PlaceTable, RegionId, Rows, source};
use crate::health::Layout;
use crate::name::Name;
use crate::progress::Progress;
use crate::snapshot::{self, Catalog, Settings};
use crate::steer::Steering;
use crate::steer::order::OrderSpec;
use crate::steer::plan::{Plan, PlanKey, PlanTooLarge};
use crate::wire::rtype;
use crate::zone::Zone;
use crate::zone::lookup::Zones;
use crate::zone::rrset::{Rrset, txt_from_strings};
use names::{Plans, steering};
use pools::Pools;
pub use pools::identity_of;

/// A configuration ready to be published.
#[derive(Debug)]
pub struct Compiled {
    /// What queries are answered from.
    pub catalog: Arc<Catalog>,
    /// What can be healthy or not; the book is kept over it.
    pub layout: Arc<Layout>,
    /// What each pool is called, by `PoolId`.
    pub pools: Vec<PoolName>,
    /// The geo files that the place table was made of, in order.
    pub geo_sources: Vec<GeoSource>,
    /// The longest hold while our own network is out, in milliseconds.
    pub hold_max_ms: u64,
    /// Plans by key, so that the next load compiles only what changed.
    pub plans: PlanCache,
}

/// A geo file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeoSource {
    /// The file, or what the built-in table is called.
    pub path: PathBuf,
    /// When the vendor built it, in seconds since 1970, where the format says so.
    pub built_s: Option<u64>,
    /// Networks of IPv4 and IPv6.
    pub networks: [usize; 2],
    /// Distinct records.
    pub records: usize,
}

/// Plans by key. Names with equal keys share one plan.
pub type PlanCache = HashMap<PlanKey, Arc<Plan>>;

/// What a load takes over from the one before it.
#[derive(Debug)]
pub struct Earlier {
    catalog: Arc<Catalog>,
    plans: PlanCache,
}

impl Earlier {
    /// What the next load may take over from this one.
    pub fn of(compiled: &Compiled) -> Earlier {
        Earlier { catalog: Arc::clone(&compiled.catalog), plans: compiled.plans.clone() }
    }
}

/// What a pool is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolName {
    /// Index of its service in the catalog.
    pub service: ServiceId,
    /// Its region.
    pub region: RegionId,
}

/// Compiles a checked model; what did not change since `earlier` is shared with it.
///
/// Errors: a geo file that cannot be used, too much geo data, a zone that changed while its written serial did not grow.
pub fn compile(mut model: Model, earlier: Option<&Earlier>, progress: &Progress, diagnostics: &mut Diagnostics) -> Option<Compiled> {
    if let Some(earlier) = earlier {
        check_serials(earlier.catalog.zones.zones(), &model.zones, diagnostics);
    }
    let (table, geo_sources) = place_table(&model, progress, diagnostics)?;
    let table = Arc::new(table);
    let no_plans = PlanCache::new();
    let latencies = model.geo.latencies.clone();
    let mut plans =
        Plans { table: &table, latencies, earlier: earlier.map_or(&no_plans, |earlier| &earlier.plans), used: PlanCache::new(), progress };
    let mut pools = Pools::default();
    let mut steerings: Vec<Steering> = Vec::with_capacity(model.steerings.len());
    for (done, steer) in model.steerings.iter().enumerate() {
        progress.step("steered names", done, model.steerings.len());
        match steering(&model, steer, &mut pools, &mut plans) {
            Ok(steering) => steerings.push(steering),
            Err(error) => refuse(&model, steer, error, diagnostics),
        }
    }
    if steerings.len() < model.steerings.len() {
        return None;
    }
    pools.capacities.finish(&model, &mut pools.layout);
    let (plans, hold_max_ms) = (plans.used, model.server.hold_max_ms);
    // Nothing points into the files from here on: their text would stay in memory for as long as the world does.
    model.zones.iter_mut().for_each(|zone| zone.mark = Mark::path(&zone.mark.source.path));
    let region = |region: &Region| snapshot::Region { name: region.name.clone(), location: region.location };
    let catalog = Catalog {
        settings: settings(&model, &geo_sources),
        zones: Zones::new(model.zones),
        table: Arc::clone(&table),
        steerings,
        regions: model.regions.iter().map(region).collect(),
        geo_files: model.geo.files.iter().map(|file| file.path.clone()).collect(),
        services: model.services,
        records: pools.records,
        turn_slots: pools.turn_slots as usize,
    };
    Some(Compiled { catalog: Arc::new(catalog), layout: Arc::new(pools.layout), pools: pools.names, geo_sources, hold_max_ms, plans })
}

fn refuse(model: &Model, steer: &Steer, error: PlanTooLarge, diagnostics: &mut Diagnostics) {
    let zone = model.zones.iter().find(|zone| steer.owner.ends_with(&zone.apex));
    let mark = zone.map_or_else(|| Mark::path("zones"), |zone| zone.mark.clone());
    diagnostics.error_hint(mark, format!("`{}` cannot be steered: {error}", steer.owner), "lower its `spread`, or list fewer `regions`");
}

/// A zone with a written serial must not change under the same or a smaller one: secondaries would never see it (RFC 1982, BEHAVIOUR T2).
fn check_serials(old: &[Zone], new: &[Zone], diagnostics: &mut Diagnostics) {
    let old: HashMap<&Name, &Zone> = old.iter().map(|zone| (&zone.apex, zone)).collect();
    for zone in new {
        let Some(before) = old.get(&zone.apex).filter(|before| before.content_hash != zone.content_hash) else { continue };
        if zone.serial_is_written && !serial_grew(before.serial, zone.serial) {
            let text = format!("zone `{}` has changed, but its serial `{}` is not after `{}`", zone.apex, zone.serial, before.serial);
            diagnostics.error_hint(zone.mark.clone(), text, "raise `soa: {serial: ...}`, or leave it out to have it worked out");
        }
    }
}

/// Serial number arithmetic (RFC 1982 3.2).
fn serial_grew(from: u32, to: u32) -> bool {
    (1..1 << 31).contains(&to.wrapping_sub(from))
}

/// The first of the geo files to be too old decides; a file that does not say when it was built never is.
fn geo_good_until_s(model: &Model, sources: &[GeoSource]) -> u64 {
    let oldest_s = sources.iter().filter_map(|source| source.built_s).min();
    oldest_s.zip(model.server.geo_max_age_s).map_or(u64::MAX, |(built_s, age_s)| built_s.saturating_add(age_s.into()))
}

fn settings(model: &Model, sources: &[GeoSource]) -> Settings {
    let server = &model.server;
    let id = server.nsid.as_ref().map(|nsid| String::from_utf8_lossy(nsid).into_owned());
    let chaos =
        [("version.bind.", &server.version_text), ("version.server.", &server.version_text), ("id.server.", &id), ("hostname.bind.", &id)];
    let chaos_txt = |(owner, text): (&str, &Option<String>)| {
        let rdata = txt_from_strings(&[text.as_deref()?]).ok()?;
        Some((Name::parse(owner, None).ok()?, Rrset::new(rtype::TXT, 0, &[rdata])))
    };
    Settings {
        udp_size: server.udp_size,
        nsid: server.nsid.clone(),
        chaos: chaos.into_iter().filter_map(chaos_txt).collect(),
        ecs_enabled: server.ecs.enabled,
        ecs_from: server.ecs.from.clone(),
        explain_from: server.explain_from.clone(),
        proxy_from: server.proxy_from.clone(),
        hash_floor: server.hash,
        rate_limit: server.rate_limit.clone(),
        queries_from: server.queries_from.clone(),
        transfers_from: server.transfers_from.clone(),
        extended_errors: server.extended_errors,
        geo_good_until_s: geo_good_until_s(model, sources),
        cookies: server.cookies.clone(),
    }
}

/// The one place table that all plans lie over.
fn place_table(model: &Model, progress: &Progress, diagnostics: &mut Diagnostics) -> Option<(PlaceTable, Vec<GeoSource>)> {
    let mut sources = Vec::new();
    let mut refused = false;
    for (done, file) in model.geo.files.iter().enumerate() {
        progress.step("geo files", done, model.geo.files.len());
        match geo::read_file(file) {
            Ok(rows) => {
                diagnostics.extend(rows.warnings().clone());
                sources.push(rows);
            }
            Err(found) => {
                refused = true;
                diagnostics.extend(found);
            }
        }
    }
    if refused {
        return None;
    }
    if model.geo.files.is_empty() {
        // The built-in table is read like any other; a fault in it would be one of the binary.
        sources.push(source::builtin::world().map_err(|found| diagnostics.extend(found)).ok()?);
    }
    warn_of_missing_families(model, &sources, diagnostics);
    let geo_sources = sources.iter().map(geo_source).collect();
    let (mut named_prefixes, mut named_asns) = (Vec::new(), BTreeSet::new());
    for rule in model.steerings.iter().flat_map(|steer| &steer.rules) {
        rule.when.each(&mut |when| {
            named_prefixes.extend(&when.networks);
            named_asns.extend(&when.asns);
        });
    }
    let ranks_by_latency = model.steerings.iter().any(|steer| steer.order == OrderSpec::Latency);
    if let Some(latencies) = model.geo.latencies.as_ref().filter(|_| ranks_by_latency) {
        named_prefixes.extend(latencies.networks());
        named_asns.extend(latencies.asns());
    }
    let inputs = geo::Inputs { overrides: model.geo.overrides.clone(), sources, named_prefixes, named_asns };
    let place = model.geo.files.first().map_or_else(|| Mark::path("geodb"), |file| Mark::path(&file.path));
    let table = geo::build(inputs).map_err(|error| diagnostics.error(place, error.to_string())).ok()?;
    Some((table, geo_sources))
}

fn geo_source(rows: &Rows) -> GeoSource {
    let networks = [rows.count(Family::V4), rows.count(Family::V6)];
    GeoSource { path: rows.path().to_owned(), built_s: rows.built_s(), networks, records: rows.record_count() }
}

fn warn_of_missing_families(model: &Model, sources: &[Rows], diagnostics: &mut Diagnostics) {
    let Some(file) = model.geo.files.first() else { return };
    for family in source::missing_families(sources) {
        let text = format!("the geo data has no {family} networks: those clients are unknown, and get the listed order");
        diagnostics.warning(Mark::path(&file.path), text);
    }
}

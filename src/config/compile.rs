//! From the Model to the Catalog: dense ids, the place table, plans, pools. The last step of every load, and of `check`.
//! It reads the geo files that the Model names and nothing else; what it builds is in force only once the keeper publishes it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use super::model::{At, Endpoint, Model, Offer, Region, ServiceId, Steer};
use crate::diag::{Diagnostics, Mark};
use crate::geo::{self, Family, PlaceTable, RegionId, Rows, source};
use crate::health::hosts::MAX_HOST_ADDRESSES;
use crate::health::{Checks, EndpointId, EndpointLayout, Layout, MinHealthy, PoolId, PoolKey as PoolNames, PoolLayout, Seat};
use crate::name::Name;
use crate::snapshot::{self, Catalog, Settings};
use crate::steer::hash::identity;
use crate::steer::plan::{Plan, PlanKey, PlanTooLarge};
use crate::steer::rule::{Action, Fence, Rule};
use crate::steer::{self, Candidate, Families, FamilySteering, ShareSpec, Steering, Weight};
use crate::wire::rtype;
use crate::zone::Zone;
use crate::zone::lookup::Zones;
use crate::zone::rrset::{Rrset, txt_from_strings};

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
    /// Its address family.
    pub family: Family,
}

/// Compiles a checked model; what did not change since `earlier` is shared with it.
///
/// Errors: a geo file that cannot be used, too much geo data, a zone that changed while its written serial did not grow.
pub fn compile(mut model: Model, earlier: Option<&Earlier>, diagnostics: &mut Diagnostics) -> Option<Compiled> {
    if let Some(earlier) = earlier {
        check_serials(earlier.catalog.zones.zones(), &model.zones, diagnostics);
    }
    let (table, geo_sources) = place_table(&model, diagnostics)?;
    let table = Arc::new(table);
    let no_plans = PlanCache::new();
    let mut plans = Plans { table: &table, earlier: earlier.map_or(&no_plans, |earlier| &earlier.plans), used: PlanCache::new() };
    let mut pools = Pools::default();
    let mut steerings: Vec<Steering> = Vec::with_capacity(model.steerings.len());
    for steer in &model.steerings {
        match steering(&model, steer, &mut pools, &mut plans) {
            Ok(steering) => steerings.push(steering),
            Err(error) => refuse(&model, steer, error, diagnostics),
        }
    }
    if steerings.len() < model.steerings.len() {
        return None;
    }
    let (plans, hold_max_ms) = (plans.used, model.server.hold_max_ms);
    // Nothing points into the files from here on: their text would stay in memory for as long as the world does.
    model.zones.iter_mut().for_each(|zone| zone.mark = Mark::path(&zone.mark.source.path));
    let region = |region: &Region| snapshot::Region { name: region.name.clone(), location: region.location };
    let catalog = Catalog {
        settings: settings(&model),
        zones: Zones::new(model.zones),
        table: Arc::clone(&table),
        steerings,
        regions: model.regions.iter().map(region).collect(),
        geo_files: model.geo.files.iter().map(|file| file.path.clone()).collect(),
        services: model.services,
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

fn settings(model: &Model) -> Settings {
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
        hash_floor: server.hash,
    }
}

/// The one place table that all plans lie over.
fn place_table(model: &Model, diagnostics: &mut Diagnostics) -> Option<(PlaceTable, Vec<GeoSource>)> {
    let mut sources = Vec::new();
    let mut refused = false;
    for file in &model.geo.files {
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
    let rules = || model.steerings.iter().flat_map(|steer| &steer.rules);
    let inputs = geo::Inputs {
        overrides: model.geo.overrides.clone(),
        sources,
        named_prefixes: rules().flat_map(|rule| rule.when.networks.iter().copied()).collect(),
        named_asns: rules().flat_map(|rule| rule.when.asns.iter().copied()).collect(),
    };
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

/// Plans over one table, compiled once per key.
struct Plans<'a> {
    table: &'a PlaceTable,
    earlier: &'a PlanCache,
    used: PlanCache,
}

impl Plans<'_> {
    fn plan(&mut self, key: &PlanKey) -> Result<Arc<Plan>, PlanTooLarge> {
        if let Some(plan) = self.used.get(key) {
            return Ok(Arc::clone(plan));
        }
        let plan = match self.earlier.get(key) {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(Plan::compile(key, self.table)?),
        };
        self.used.insert(key.clone(), Arc::clone(&plan));
        Ok(plan)
    }
}

/// Stands for the address of a host until the view of health knows one; it is never answered.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// By what an address is known to hashes of clients (BEHAVIOUR P8), wherever it stands.
pub fn identity_of(address: IpAddr) -> u64 {
    identity(&[address.to_string().as_bytes()])
}

impl Endpoint {
    /// How many addresses of one family it may have.
    pub(super) fn places(&self) -> usize {
        match self.at {
            At::Address(_) => 1,
            At::Host { .. } => MAX_HOST_ADDRESSES,
        }
    }
}

/// What makes two uses of a region's service share their health: the place and the demands on it.
type PoolKey = (ServiceId, RegionId, Family, MinHealthy, Families);

/// Pools and endpoints under dense ids.
#[derive(Default)]
struct Pools {
    layout: Layout,
    names: Vec<PoolName>,
    known: HashMap<PoolKey, (PoolId, Arc<[steer::Endpoint]>)>,
    turn_slots: u32,
}

impl Pools {
    /// The pool of a region's service in one family; `None` where the region has no endpoint of the family.
    fn pool(&mut self, model: &Model, region: &Region, offer: &Offer, key: PoolKey) -> Option<(PoolId, Arc<[steer::Endpoint]>)> {
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let (service, region_id, family, min_healthy, _) = key;
        let first = self.layout.endpoints.len() as u32;
        let of_family = offer.endpoints.iter().filter(|endpoint| endpoint.at.may_have(family));
        let places = of_family.flat_map(|endpoint| (0..endpoint.places()).map(move |number| (endpoint, number)));
        let endpoints: Arc<[steer::Endpoint]> =
            (first..).zip(places).map(|(id, (endpoint, number))| self.endpoint(id, endpoint, number, family, offer)).collect();
        if endpoints.is_empty() {
            return None;
        }
        let id = PoolId(self.layout.pools.len() as u32);
        let last = self.layout.endpoints.len() as u32;
        let name = model.services.get(usize::from(service.0)).map_or("", String::as_str);
        self.layout.pools.push(PoolLayout {
            key: PoolNames { service: name.into(), region: region.name.as_str().into(), ipv6: family == Family::V6 },
            endpoints: first..last,
            min_healthy,
            region_state: region.state,
            together_with: None,
            other_family: None,
            degraded_admit: offer.degraded_admit,
            recovery: offer.recovery,
        });
        self.names.push(PoolName { service, region: region_id, family });
        self.known.insert(key, (id, Arc::clone(&endpoints)));
        Some((id, endpoints))
    }

    /// One endpoint, or the place for the address with this number of a host.
    fn endpoint(&mut self, id: u32, endpoint: &Endpoint, number: usize, family: Family, offer: &Offer) -> steer::Endpoint {
        let requires = offer.requires.as_slice().into();
        let (address, targets, seat) = match &endpoint.at {
            At::Address(address) => (*address, offer.monitors.iter().map(|monitor| monitor.target(*address)).collect(), None),
            At::Host { name, .. } => {
                let monitors = offer.monitors.iter().map(|monitor| monitor.of_host(name)).collect();
                let seat = Seat { host: Arc::clone(name), ipv6: family == Family::V6, number, monitors, taken: None };
                (UNKNOWN_ADDRESS, Box::default(), Some(seat))
            }
        };
        let checks = Checks { targets, combine: offer.combine, requires };
        self.layout.endpoints.push(EndpointLayout { checks, state: endpoint.state, seat });
        let (id, identity) = (EndpointId(id), identity_of(address));
        steer::Endpoint { address, id, identity, weight: endpoint.weight.milli() }
    }

    /// The two families of one region stand in for each other where one cannot be measured (BEHAVIOUR H5); `together`: both are
    /// needed (BEHAVIOUR P5).
    fn tie(&mut self, a: PoolId, b: PoolId, together: bool) {
        for (one, other) in [(a, b), (b, a)] {
            let pool = &mut self.layout.pools[one.0 as usize];
            pool.other_family = Some(other);
            pool.together_with = together.then_some(other);
        }
    }

    fn next_slot(&mut self) -> u32 {
        self.turn_slots += 1;
        self.turn_slots - 1
    }
}

fn steering(model: &Model, steer: &Steer, pools: &mut Pools, plans: &mut Plans<'_>) -> Result<Steering, PlanTooLarge> {
    let mut of = |family| family_steering(model, steer, family, pools, plans);
    let families = [of(Family::V4)?, of(Family::V6)?];
    if let [Some(v4), Some(v6)] = &families {
        for candidate in &v4.candidates {
            if let Some(twin) = v6.candidates.iter().find(|twin| twin.region == candidate.region) {
                pools.tie(candidate.pool, twin.pool, steer.families == Families::Together);
            }
        }
    }
    Ok(Steering {
        owner: steer.owner.clone(),
        service: steer.service.0,
        ttl_s: steer.ttl_s,
        ttl_min_s: steer.ttl_min_s,
        fail_open_ttl_s: steer.fail_open_ttl_s,
        answers: steer.answers,
        on_all_down: steer.on_all_down,
        share: steer.share,
        balance: steer.balance.policy(),
        ecs: steer.ecs,
        families,
    })
}

fn family_steering(
    model: &Model,
    steer: &Steer,
    family: Family,
    pools: &mut Pools,
    plans: &mut Plans<'_>,
) -> Result<Option<FamilySteering>, PlanTooLarge> {
    let (mut candidates, mut ranked, mut can_admit_less) = (Vec::new(), Vec::new(), false);
    for (region_id, weight) in steer.regions.iter().zip(&steer.weights) {
        let region = &model.regions[usize::from(region_id.0)];
        let Some(offer) = region.offers.iter().find(|offer| offer.service == steer.service) else { continue };
        can_admit_less |= offer.can_admit_less();
        let key = (steer.service, *region_id, family, steer.min_healthy, steer.families);
        let Some((pool, endpoints)) = pools.pool(model, region, offer, key) else { continue };
        let service = &model.services[usize::from(steer.service.0)];
        candidates.push(Candidate {
            region: *region_id,
            pool,
            identity: identity(&[service.as_bytes(), region.name.as_bytes()]),
            share: if *weight == Weight::ZERO { Weight::ONE.milli() } else { weight.milli() },
            slot: pools.next_slot(),
            endpoints,
        });
        ranked.push((*region_id, region.location, *weight));
    }
    if candidates.is_empty() {
        return Ok(None);
    }
    let (plan, hashes_clients) = plan(steer, family, ranked, can_admit_less, plans)?;
    Ok(Some(FamilySteering { plan, candidates, hashes_clients }))
}

/// The plan, and whether anything hashes clients: `balance`, a region that may take a part of its clients only, or a band of several
/// that is shared by hash (BEHAVIOUR S5).
fn plan(
    steer: &Steer,
    family: Family,
    candidates: Vec<(RegionId, geo::Point, Weight)>,
    can_admit_less: bool,
    plans: &mut Plans<'_>,
) -> Result<(Arc<Plan>, bool), PlanTooLarge> {
    let hashes_endpoints = steer.balance.policy().hashes_client() || can_admit_less;
    let geo = plans.table.generation();
    let key = PlanKey {
        geo,
        candidates,
        order: steer.order,
        rules: steer.rules.iter().map(|rule| of_family(rule, family)).collect(),
        spread_m: steer.spread_m,
        hashes_clients: hashes_endpoints,
    };
    let plan = plans.plan(&key)?;
    let shares_by_hash = steer.share == ShareSpec::Hash && plan.has_shared_bands();
    if shares_by_hash && !hashes_endpoints {
        return Ok((plans.plan(&PlanKey { hashes_clients: true, ..key })?, true));
    }
    Ok((plan, hashes_endpoints))
}

/// A rule as one address family sees it: fallback addresses of the other are no answer.
fn of_family(rule: &Rule, family: Family) -> Rule {
    let mut rule = rule.clone();
    if let Action::Only(_, Fence::Hard { fallback }) = &mut rule.action {
        fallback.retain(|address| Family::of(*address) == family);
    }
    rule
}

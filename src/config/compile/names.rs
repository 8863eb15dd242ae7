//! Steered names: candidates, pools and plans of each, for both address families.
//! What a name means is settled before; what is up comes later.

use std::sync::Arc;

use super::PlanCache;
use super::pools::{PoolKey, Pools, group};
use crate::config::model::{self, Model, Steer};
use crate::geo::{self, Family, PlaceTable, RegionId};
use crate::progress::Progress;
use crate::steer::hash::identity;
use crate::steer::order::OrderSpec;
use crate::steer::order::latency::Latencies;
use crate::steer::plan::{Plan, PlanKey, PlanTooLarge};
use crate::steer::rule::{Action, Fence, Rule};
use crate::steer::{Candidate, Fallback, Families, FamilySteering, ShareSpec, Steering, Weight};
use crate::wire::rtype;

/// One steered name, compiled.
pub(super) fn steering(model: &Model, steer: &Steer, pools: &mut Pools, plans: &mut Plans<'_>) -> Result<Steering, PlanTooLarge> {
    // An alias stands for the addresses, too.
    let has_addresses = !steer.types.contains(&rtype::CNAME);
    let mut of = |asked| if has_addresses { family_steering(model, steer, asked, pools, plans) } else { Ok(None) };
    let families = [of(Asked::Addresses(Family::V4))?, of(Asked::Addresses(Family::V6))?];
    let mut others = Vec::new();
    for rtype in &steer.types {
        others.extend(family_steering(model, steer, Asked::Records(*rtype), pools, plans)?.map(|steering| (*rtype, steering)));
    }
    if let [Some(v4), Some(v6)] = &families {
        for candidate in v4.all_candidates() {
            let is_twin = |twin: &&Candidate| twin.region == candidate.region && pools.serve_alike(twin.pool, candidate.pool);
            if let Some(twin) = v6.all_candidates().find(is_twin) {
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
        trickle: steer.trickle,
        balance: steer.balance.policy(),
        hints: steer.hints,
        ecs: steer.ecs,
        families,
        others: others.into(),
    })
}

/// What is asked of a region.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// Endpoints of a family.
    Addresses(Family),
    /// Records of a type.
    Records(u16),
}

impl Asked {
    fn family(self) -> Option<Family> {
        match self {
            Asked::Addresses(family) => Some(family),
            Asked::Records(_) => None,
        }
    }
}

fn family_steering(
    model: &Model,
    steer: &Steer,
    asked: Asked,
    pools: &mut Pools,
    plans: &mut Plans<'_>,
) -> Result<Option<FamilySteering>, PlanTooLarge> {
    let (mut candidates, mut ranked, mut can_admit_less, mut sheds, mut tiers) = (Vec::new(), Vec::new(), false, false, Vec::new());
    let rtype = match asked {
        Asked::Addresses(_) => None,
        Asked::Records(rtype) => Some(rtype),
    };
    let group = group(model, steer, rtype);
    for (at, (region_id, weight)) in steer.regions.iter().zip(&steer.weights).enumerate() {
        let region = &model.regions[usize::from(region_id.0)];
        let Some(offer) = region.offers.iter().find(|offer| offer.service == steer.service) else { continue };
        let has = |rtype: u16| offer.records.iter().any(|rrset| rrset.rtype() == rtype);
        if matches!(asked, Asked::Records(rtype) if !has(rtype)) {
            continue;
        }
        can_admit_less |= offer.can_admit_less();
        let (service, min_healthy) = (steer.service, steer.min_healthy);
        let key = PoolKey { service, region: *region_id, family: asked.family(), min_healthy, families: steer.families, group };
        let Some((pool, endpoints)) = pools.pool(model, region, offer, key) else { continue };
        sheds |= pools.capacities.enter(model, (steer, *region_id, offer), pool, *weight == Weight::ZERO);
        let service = &model.services[usize::from(steer.service.0)];
        candidates.push(Candidate {
            region: *region_id,
            pool,
            identity: identity(&[service.as_bytes(), region.name.as_bytes()]),
            share: if *weight == Weight::ZERO { Weight::ONE.milli() } else { weight.milli() },
            standby: *weight == Weight::ZERO,
            slot: pools.next_slot(),
            records: if asked.family().is_none() { pools.keep_records(&offer.records) } else { u32::MAX },
            endpoints,
        });
        ranked.push((*region_id, region.location, *weight));
        tiers.extend(steer.tiers.get(at));
    }
    if candidates.is_empty() {
        return Ok(None);
    }
    pools.judge_together(&candidates, &tiers, steer);
    let (plan, hashes_clients) = plan(steer, asked, Ranked { candidates: ranked, tiers, can_admit_less, sheds }, plans)?;
    let fallback = fallback(model, steer, asked, pools, plans)?.map(Box::new);
    Ok(Some(FamilySteering { plan, candidates, hashes_clients, fallback }))
}

/// What is answered when no region can be chosen. Another service is steered as the name is, but without rules and weights of its own.
fn fallback(
    model: &Model,
    steer: &Steer,
    asked: Asked,
    pools: &mut Pools,
    plans: &mut Plans<'_>,
) -> Result<Option<Fallback>, PlanTooLarge> {
    match &steer.fallback {
        None => Ok(None),
        Some(model::Fallback::Addresses(all)) => {
            let of_family = all.iter().copied().filter(|address| Some(Family::of(*address)) == asked.family());
            Ok(Some(Fallback::Addresses(of_family.collect())))
        }
        Some(model::Fallback::Name(cname)) => Ok(Some(Fallback::Records(pools.keep_records(std::slice::from_ref(cname))))),
        Some(model::Fallback::Service(service)) => {
            let service = steer.of_service(*service, &model.regions);
            Ok(family_steering(model, &service, asked, pools, plans)?.map(Fallback::Service))
        }
    }
}

/// What a plan is made of besides the name's own settings.
struct Ranked {
    candidates: Vec<(RegionId, geo::Point, Weight)>,
    tiers: Vec<u16>,
    can_admit_less: bool,
    /// Any region has a capacity.
    sheds: bool,
}

/// The plan, and whether anything hashes clients: `balance`, `trickle`, a region that may take a part of its clients only, be it for its capacity,
/// or a band of several that is shared by hash (BEHAVIOUR S5).
fn plan(steer: &Steer, asked: Asked, ranked: Ranked, plans: &mut Plans<'_>) -> Result<(Arc<Plan>, bool), PlanTooLarge> {
    let Ranked { candidates, tiers, can_admit_less, sheds } = ranked;
    let trickles = steer.trickle > 0 && steer.share == ShareSpec::Hash;
    let hashes_endpoints = steer.balance.policy().hashes_client() || can_admit_less || sheds || trickles;
    let geo = plans.table.generation();
    let key = PlanKey {
        geo,
        candidates,
        order: steer.order,
        rules: steer.rules.iter().map(|rule| of_family(rule, asked)).collect(),
        tiers,
        latencies: plans.latencies.clone().filter(|_| steer.order == OrderSpec::Latency),
        spread_m: steer.spread_m,
        hashes_clients: hashes_endpoints,
        sheds,
    };
    let plan = plans.plan(&key)?;
    let shares_by_hash = steer.share == ShareSpec::Hash && plan.has_shared_bands();
    if shares_by_hash && !hashes_endpoints {
        return Ok((plans.plan(&PlanKey { hashes_clients: true, ..key })?, true));
    }
    Ok((plan, hashes_endpoints))
}

/// A rule as one address family sees it: fallback addresses of the other are no answer.
fn of_family(rule: &Rule, asked: Asked) -> Rule {
    let mut rule = rule.clone();
    if let Action::Only(_, Fence::Hard { fallback }) = &mut rule.action {
        fallback.retain(|address| Some(Family::of(*address)) == asked.family());
    }
    rule
}

/// Plans over one table, compiled once per key.
pub(super) struct Plans<'a> {
    pub(super) table: &'a PlaceTable,
    pub(super) latencies: Option<Arc<Latencies>>,
    pub(super) earlier: &'a PlanCache,
    pub(super) used: PlanCache,
    pub(super) progress: &'a Progress,
}

impl Plans<'_> {
    fn plan(&mut self, key: &PlanKey) -> Result<Arc<Plan>, PlanTooLarge> {
        if let Some(plan) = self.used.get(key) {
            return Ok(Arc::clone(plan));
        }
        let plan = match self.earlier.get(key) {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(Plan::compile(key, self.table, self.progress)?),
        };
        self.used.insert(key.clone(), Arc::clone(&plan));
        Ok(plan)
    }
}

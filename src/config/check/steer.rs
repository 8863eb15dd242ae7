//! A steered name: from `steer:` as typed to candidates, weights, rules and policies with every default filled in.
//! It knows the regions by name only; how clients are ranked is worked out when plans are compiled.

use super::rules::{Candidates, known_region, rules};
use super::{MAX_TTL_S, Regions, weight};
use crate::config::model::{Endpoint, ServiceId, Steer};
use crate::config::spec::{Field, Fields};
use crate::diag::Diagnostics;
use crate::geo::{Family, RegionId};
use crate::health::MinHealthy;
use crate::name::Name;
use crate::steer::balance::{BalanceSpec, MAX_ENDPOINTS};
use crate::steer::order::OrderSpec;
use crate::steer::{Families, MAX_ANSWERS, OnAllDown, Weight};

/// Keys of `steer:`.
const KEYS: [&str; 16] = [
    "service",
    "regions",
    "rules",
    "order",
    "spread",
    "share",
    "balance",
    "answers",
    "ttl",
    "ttl_min",
    "fail_open_ttl",
    "min_healthy",
    "on_all_down",
    "families",
    "ecs",
    "weights",
];

/// A steered name without `ttl` has the TTL of the zone, but no more than this: a failover is not over before caches are.
const DEFAULT_TTL_S: u32 = 60;

/// Floor for shortened TTLs when none is given.
const DEFAULT_TTL_MIN_S: u32 = 5;

/// Cap for TTLs of answers from regions that are down, when none is given.
const DEFAULT_FAIL_OPEN_TTL_S: u32 = 10;

/// No two places are further apart than half way round the Earth, 20,015 km.
const MAX_SPREAD_M: u32 = 20_100_000;

/// A steered name, and whether any candidate has IPv4, IPv6. `None` when it cannot be made sense of; that has been reported.
pub(super) fn steer(
    owner: Name,
    field: &Field<'_>,
    zone_ttl_s: u32,
    regions: &Regions,
    out: &mut Diagnostics,
) -> Option<(Steer, [bool; 2])> {
    if field.scalar().is_some() {
        let service = regions.service(field, out);
        return service.and_then(|service| assemble(owner, Some(service), None, zone_ttl_s, regions, out));
    }
    let fields = field.fields("a service, or a map with the key `service`", &KEYS, out)?;
    let service = fields.need("service", "NAME", out).and_then(|field| regions.service(&field, out));
    assemble(owner, service, Some(&fields), zone_ttl_s, regions, out)
}

/// Reads every key, so that each fault shows, also where the service was not found; then there is no result.
fn assemble(
    owner: Name,
    service: Option<ServiceId>,
    fields: Option<&Fields<'_>>,
    zone_ttl_s: u32,
    regions: &Regions,
    out: &mut Diagnostics,
) -> Option<(Steer, [bool; 2])> {
    let get = |key: &str| fields.and_then(|fields| fields.get(key));
    let candidates = candidates(get("regions"), service, regions, out);
    let known = Candidates { regions, list: &candidates, service };
    let seconds = |key: &str, out: &mut Diagnostics| get(key).and_then(|field| field.seconds(0..=MAX_TTL_S, out));
    let ttl_s = seconds("ttl", out).unwrap_or(zone_ttl_s.min(DEFAULT_TTL_S));
    let steer = Steer {
        owner,
        weights: weights(get("weights"), known, out),
        rules: get("rules").map(|field| rules(&field, known, out)).unwrap_or_default(),
        order: get("order").and_then(|field| order(&field, out)).unwrap_or_default(),
        spread_m: get("spread").and_then(|field| spread_m(&field, out)).unwrap_or(0),
        share: get("share").and_then(|field| field.typed(out)).unwrap_or_default(),
        balance: balance(get("balance"), &candidates, service, regions, out),
        answers: get("answers").and_then(|field| field.whole(1..=u64::from(MAX_ANSWERS), out)).unwrap_or(1),
        ttl_s,
        ttl_min_s: get("ttl_min").and_then(|field| ttl_min_s(&field, ttl_s, out)).unwrap_or(DEFAULT_TTL_MIN_S.min(ttl_s)),
        fail_open_ttl_s: seconds("fail_open_ttl", out).unwrap_or(DEFAULT_FAIL_OPEN_TTL_S),
        min_healthy: get("min_healthy").and_then(|field| min_healthy(&field, out)).unwrap_or(MinHealthy::Count(1)),
        on_all_down: get("on_all_down").and_then(|field| on_all_down(&field, out)).unwrap_or_default(),
        families: get("families").and_then(|field| field.typed(out)).unwrap_or(Families::Apart),
        ecs: get("ecs").and_then(|field| field.flag(out)).unwrap_or(true),
        // Last, so that every key above was read.
        service: service?,
        regions: candidates.clone(),
    };
    if let Some(field) = get("on_all_down").filter(|_| steer.on_all_down == OnAllDown::Nodata && has_hard_fence(&steer)) {
        let text = "`on_all_down: nodata` does not go with a hard fence: what is empty for clients inside is not for others, and resolvers mix them up";
        out.error_hint(field.mark(), text, "write `on_all_down: open`, or make the fence soft");
    }
    let has = |family| endpoints(&candidates, service, regions).any(|endpoint| endpoint.at.may_have(family));
    Some((steer, [has(Family::V4), has(Family::V6)]))
}

fn has_hard_fence(steer: &Steer) -> bool {
    steer.rules.iter().any(|rule| rule.hard_fence().is_some())
}

/// What is answered when nothing is up; words of later releases are told apart from slips.
fn on_all_down(field: &Field<'_>, out: &mut Diagnostics) -> Option<OnAllDown> {
    if let Some(word @ ("last-good" | "servfail" | "refuse" | "fallback")) = field.scalar() {
        let hint = "write `open` (any region that is not forced down) or `nodata`";
        out.error_hint(field.mark(), format!("`on_all_down: {word}` is not in this release"), hint);
        return None;
    }
    field.typed(out)
}

/// All endpoints of the service in the candidates.
fn endpoints<'r>(candidates: &'r [RegionId], service: Option<ServiceId>, regions: &'r Regions) -> impl Iterator<Item = &'r Endpoint> {
    candidates.iter().filter_map(move |id| regions.offer(*id, service?)).flat_map(|offer| &offer.endpoints)
}

/// `regions:` in listed order, or all that offer the service (all there are, where it was not found).
fn candidates(field: Option<Field<'_>>, service: Option<ServiceId>, regions: &Regions, out: &mut Diagnostics) -> Vec<RegionId> {
    let Some(field) = field else { return regions.offering(service) };
    let mut ids = Vec::new();
    for item in field.filled_list("one or more regions", out) {
        let Some(name) = item.text("the name of a region", out) else { continue };
        let Some(id) = known_region(name, &item.node.mark, regions, out) else { continue };
        if let Some(service) = service.filter(|service| regions.offer(id, *service).is_none()) {
            let service = regions.service_name(service);
            let text = format!("region `{name}` does not offer the service `{service}`");
            out.error_hint(item.mark(), text, format!("add `{service}` to the services of `{name}`, or remove it from this list"));
        } else if ids.contains(&id) {
            out.error_hint(item.mark(), format!("region `{name}` stands twice in this list"), "remove one of them");
        } else {
            ids.push(id);
        }
    }
    ids
}

/// The weight of each candidate: `weights:`, else the region's own.
fn weights(field: Option<Field<'_>>, candidates: Candidates<'_>, out: &mut Diagnostics) -> Vec<Weight> {
    let mut weights: Vec<Weight> = candidates.list.iter().map(|id| candidates.regions.weight(*id)).collect();
    let entries = field.and_then(|field| field.map("a map of weights by region", out)).unwrap_or_default();
    for (key, node) in entries {
        let id = candidates.region_named(&key.text, &key.mark, out);
        let weight = weight(&Field { key: &key.text, node }, out);
        let at = id.and_then(|id| candidates.list.iter().position(|have| *have == id));
        if let (Some(at), Some(weight)) = (at, weight) {
            weights[at] = weight;
        }
    }
    weights
}

fn order(field: &Field<'_>, out: &mut Diagnostics) -> Option<OrderSpec> {
    let order = field.typed(out)?;
    if order == OrderSpec::Latency {
        let hint = "write `order: nearest` if that is what you want";
        out.warning_hint(field.mark(), "`order: latency` has no table of latencies yet, so distance is used instead", hint);
    }
    Some(order)
}

/// `200km`, `500m` or `0`, in metres.
fn spread_m(field: &Field<'_>, out: &mut Diagnostics) -> Option<u32> {
    const WANTED: &str = "a distance such as `200km`, `500m` or `0`, up to 20100km";
    let text = field.text(WANTED, out)?;
    let (number, unit_m) = match (text.strip_suffix("km"), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1000.0),
        (None, Some(number)) => (number, 1.0),
        (None, None) if text == "0" => return Some(0),
        (None, None) => {
            let bare = text.bytes().all(|b| b.is_ascii_digit());
            let hint = if bare { format!("give it a unit: `{text}km`") } else { "the units are `km` and `m`".to_owned() };
            field.refuse_hint(WANTED, hint, out);
            return None;
        }
    };
    let decimal = number.trim_end().bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let metres = number.trim_end().parse::<f64>().ok().map(|number| (number * unit_m).round());
    let fits = metres.filter(|metres| decimal && (0.0..=f64::from(MAX_SPREAD_M)).contains(metres));
    if fits.is_none() {
        field.refuse(WANTED, out);
    }
    fits.map(|metres| metres as u32)
}

/// As written; left out, `weighted` where the endpoints of any region differ in weight, else `round-robin`.
fn balance(
    field: Option<Field<'_>>,
    candidates: &[RegionId],
    service: Option<ServiceId>,
    regions: &Regions,
    out: &mut Diagnostics,
) -> BalanceSpec {
    let offers = candidates.iter().filter_map(|id| regions.offer(*id, service?));
    let defaults = offers.map(|offer| BalanceSpec::default_for(offer.endpoints.iter().map(|endpoint| endpoint.weight)));
    let default = defaults.into_iter().find(|balance| *balance == BalanceSpec::Weighted).unwrap_or_default();
    let Some(field) = field else { return default };
    let Some(balance) = field.typed(out) else { return default };
    let weighted = endpoints(candidates, service, regions).find(|endpoint| endpoint.weight != Weight::ONE);
    if let (BalanceSpec::RoundRobin, Some(Endpoint { at, weight, .. })) = (balance, weighted) {
        let text = format!("`round-robin` gives every endpoint the same share, but `{at}` has the weight {weight}");
        out.error_hint(field.mark(), text, "write `balance: weighted`, or remove the weights of the endpoints");
    }
    balance
}

fn ttl_min_s(field: &Field<'_>, ttl_s: u32, out: &mut Diagnostics) -> Option<u32> {
    let ttl_min_s = field.seconds(0..=MAX_TTL_S, out)?;
    if ttl_min_s > ttl_s {
        out.error_hint(
            field.mark(),
            format!("`ttl_min` ({ttl_min_s}) is over the TTL of the name ({ttl_s})"),
            "lower `ttl_min` or raise `ttl`",
        );
    }
    Some(ttl_min_s)
}

/// `1` or `50%`.
fn min_healthy(field: &Field<'_>, out: &mut Diagnostics) -> Option<MinHealthy> {
    let wanted = format!("a number of endpoints from 1 to {MAX_ENDPOINTS}, or a share from `1%` to `100%`");
    field.parsed(&wanted, out, |text| match text.strip_suffix('%') {
        Some(share) => share.parse().ok().filter(|share| (1..=100).contains(share)).map(MinHealthy::Percent),
        None => text.parse().ok().filter(|count| (1..=MAX_ENDPOINTS as u32).contains(count)).map(MinHealthy::Count),
    })
}

//! A steered name: from `steer:` as typed to candidates, weights, rules and policies with every default filled in.
//! It knows the regions by name only; how clients are ranked is worked out when plans are compiled.

use std::collections::BTreeSet;

use super::all_down::{check_fenced_records, check_fences, on_all_down};
use super::latencies::metres_from_text;
use super::rules::{Candidates, known_region, rules};
use super::{Areas, MAX_TTL_S, Regions, weight};
use crate::config::model::{Endpoint, Offer, ServiceId, Steer};
use crate::config::spec::{Field, Fields, Value};
use crate::diag::{Diagnostics, Mark};
use crate::geo::{Family, RegionId};
use crate::health::{MinHealthy, Request};
use crate::name::Name;
use crate::steer::balance::{BalanceSpec, MAX_ENDPOINTS};
use crate::steer::order::OrderSpec;
use crate::steer::order::latency::MAX_MS;
use crate::steer::{Families, MAX_ANSWERS, Weight};
use crate::wire::rtype;
use crate::zone::rrset::Rrset;

/// Keys of `steer:`.
const KEYS: [&str; 18] = [
    "service",
    "regions",
    "rules",
    "order",
    "spread",
    "share",
    "trickle",
    "balance",
    "answers",
    "ttl",
    "ttl_min",
    "fail_open_ttl",
    "min_healthy",
    "on_all_down",
    "families",
    "hints",
    "ecs",
    "weights",
];

/// A steered name without `ttl` has the TTL of the zone, but no more than this: a failover is not over before caches are.
const DEFAULT_TTL_S: u32 = 60;

/// Longer TTLs deserve a warning where the service is probed: caches would send clients for hours to a region that has failed.
const MAX_FAILOVER_TTL_S: u32 = 3_600;

/// Floor for shortened TTLs when none is given.
const DEFAULT_TTL_MIN_S: u32 = 5;

/// Cap for TTLs of answers from regions that are down, when none is given.
const DEFAULT_FAIL_OPEN_TTL_S: u32 = 10;

/// A standby region with more than half of the clients would be none.
const MAX_TRICKLE_PERCENT: f64 = 50.0;

/// No two places are further apart than half way round the Earth, 20,015 km.
const MAX_SPREAD_M: u32 = 20_100_000;

/// What a steered name may refer to.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Known<'k> {
    /// The regions of all files.
    pub(in crate::config) regions: &'k Regions,
    /// The areas of the server file.
    pub(in crate::config) areas: &'k Areas,
    /// Whether there is a table of latencies.
    pub(in crate::config) has_latencies: bool,
}

/// A steered name, and whether any candidate has IPv4, IPv6. `None` when it cannot be made sense of; that has been reported.
pub(super) fn steer(
    owner: Name,
    field: &Field<'_>,
    zone_ttl_s: u32,
    known: Known<'_>,
    out: &mut Diagnostics,
) -> Option<(Steer, [bool; 2])> {
    let regions = known.regions;
    if field.scalar().is_some() {
        let service = regions.service(field, out);
        return service.and_then(|service| assemble((owner, &field.node.mark), Some(service), None, zone_ttl_s, known, out));
    }
    let fields = field.fields("a service, or a map with the key `service`", &KEYS, out)?;
    let service = fields.need("service", "NAME", out).and_then(|field| regions.service(&field, out));
    assemble((owner, &field.node.mark), service, Some(&fields), zone_ttl_s, known, out)
}

/// Reads every key, so that each fault shows, also where the service was not found; then there is no result.
fn assemble(
    (owner, mark): (Name, &Mark),
    service: Option<ServiceId>,
    fields: Option<&Fields<'_>>,
    zone_ttl_s: u32,
    known: Known<'_>,
    out: &mut Diagnostics,
) -> Option<(Steer, [bool; 2])> {
    let Known { regions, areas, has_latencies } = known;
    let get = |key: &str| fields.and_then(|fields| fields.get(key));
    let (candidates, tiers) = candidates(get("regions"), service, regions, out);
    let order = get("order").and_then(|field| order(&field, has_latencies, out)).unwrap_or_default();
    if let Some(field) = get("regions").filter(|_| !tiers.is_empty() && order != OrderSpec::Priority) {
        let text = "`regions` is a list of tiers, which only `order: priority` knows";
        out.error_hint(field.mark(), text, "write `order: priority`, or one list of regions");
    }
    let known = Candidates { regions, areas, list: &candidates, service };
    let seconds = |key: &str, out: &mut Diagnostics| get(key).and_then(|field| field.seconds(0..=MAX_TTL_S, out));
    let ttl_s = seconds("ttl", out).unwrap_or(zone_ttl_s.min(DEFAULT_TTL_S));
    if let Some(field) = get("ttl").filter(|_| ttl_s > MAX_FAILOVER_TTL_S && is_probed(&candidates, service, regions)) {
        let hint = format!("{DEFAULT_TTL_S} s is usual; up to {MAX_FAILOVER_TTL_S} s (1h) nothing is said");
        out.warning_hint(field.mark(), format!("caches send clients to a region for {ttl_s} s after it has failed"), hint);
    }
    let balance = balance(get("balance"), &candidates, service, regions, out);
    let (on_all_down, fallback) = get("on_all_down").map(|field| on_all_down(&field, known, out)).unwrap_or_default();
    let steer = Steer {
        owner,
        weights: weights(get("weights"), known, out),
        rules: get("rules").map(|field| rules(&field, known, out)).unwrap_or_default(),
        order,
        spread_m: get("spread").and_then(|field| spread_m(&field, order, out)).unwrap_or(0),
        share: get("share").and_then(|field| field.typed(out)).unwrap_or_default(),
        balance,
        answers: answers(get("answers"), balance, out),
        ttl_s,
        ttl_min_s: get("ttl_min").and_then(|field| ttl_min_s(&field, ttl_s, out)).unwrap_or(DEFAULT_TTL_MIN_S.min(ttl_s)),
        fail_open_ttl_s: seconds("fail_open_ttl", out).unwrap_or(DEFAULT_FAIL_OPEN_TTL_S),
        min_healthy: get("min_healthy").and_then(|field| min_healthy(&field, out)).unwrap_or(MinHealthy::Count(1)),
        on_all_down,
        fallback,
        trickle: get("trickle").and_then(|field| trickle(&field, out)).unwrap_or(0),
        families: get("families").and_then(|field| field.typed(out)).unwrap_or(Families::Apart),
        hints: get("hints").and_then(|field| field.flag(out)).unwrap_or(true),
        ecs: get("ecs").and_then(|field| field.flag(out)).unwrap_or(true),
        // Last, so that every key above was read.
        service: service?,
        types: types(&candidates, service, regions),
        regions: candidates.clone(),
        tiers,
    };
    check_aliases(mark, &steer, known, out);
    if let Some(field) = get("rules") {
        check_fenced_records(&field, &steer, out);
    }
    if let Some(field) = get("on_all_down") {
        check_fences(&field, &steer, known, out);
    }
    if let Some(field) = get("trickle").filter(|_| steer.trickle > 0 && !steer.weights.contains(&Weight::ZERO)) {
        let hint = "give one of its regions the weight 0, here under `weights` or in the region file";
        out.error_hint(field.mark(), "`trickle` is for standby regions, and this name has none", hint);
    }
    let has = |family| endpoints(&candidates, service, regions).any(|endpoint| endpoint.at.may_have(family));
    // An alias stands for the addresses, too.
    let has_addresses = !steer.types.contains(&rtype::CNAME);
    Some((steer, [Family::V4, Family::V6].map(|family| has_addresses && has(family))))
}

/// Types of which any candidate has records.
fn types(candidates: &[RegionId], service: Option<ServiceId>, regions: &Regions) -> Vec<u16> {
    let offers = candidates.iter().filter_map(|id| regions.offer(*id, service?));
    let types: BTreeSet<u16> = offers.flat_map(|offer| &offer.records).map(Rrset::rtype).collect();
    types.into_iter().collect()
}

/// Where one region has a CNAME, all have: what is an alias for some clients cannot be none for others (BEHAVIOUR C1).
fn check_aliases(mark: &Mark, steer: &Steer, known: Candidates<'_>, out: &mut Diagnostics) {
    if !steer.types.contains(&rtype::CNAME) {
        return;
    }
    let is_alias = |id: &&RegionId| {
        let offer = known.regions.offer(**id, steer.service);
        offer.is_some_and(|offer| offer.records.iter().any(|rrset| rrset.rtype() == rtype::CNAME))
    };
    if let Some(id) = steer.regions.iter().find(|id| !is_alias(id)) {
        let text = format!("region `{}` has no CNAME for this service, which others of this name have", known.regions.name(*id));
        out.error_hint(mark.clone(), text, "add `records: {CNAME: NAME}` to its service, or list other `regions`");
    }
}

/// `1%`, as a share of 2^32.
fn trickle(field: &Field<'_>, out: &mut Diagnostics) -> Option<u32> {
    let wanted = format!("a share from `0.01%` to `{MAX_TRICKLE_PERCENT}%`");
    let percent = field.parsed(&wanted, out, |text| {
        let number = text.strip_suffix('%')?;
        let is_decimal = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        number.parse::<f64>().ok().filter(|percent| is_decimal && (0.01..=MAX_TRICKLE_PERCENT).contains(percent))
    });
    percent.map(|percent| (percent / 100.0 * f64::from(1u32 << 31) * 2.0).round() as u32)
}

/// All endpoints of the service in the candidates.
fn endpoints<'r>(candidates: &'r [RegionId], service: Option<ServiceId>, regions: &'r Regions) -> impl Iterator<Item = &'r Endpoint> {
    candidates.iter().filter_map(move |id| regions.offer(*id, service?)).flat_map(|offer| &offer.endpoints)
}

/// `regions:` in listed order, or all that offer the service (all there are, where it was not found); and the tier of each, where any
/// item of the list is a list itself.
fn candidates(field: Option<Field<'_>>, service: Option<ServiceId>, regions: &Regions, out: &mut Diagnostics) -> (Vec<RegionId>, Vec<u16>) {
    let Some(field) = field else { return (regions.offering(service), Vec::new()) };
    let (mut ids, mut tiers) = (Vec::new(), Vec::new());
    let items = field.filled_list("one or more regions", out);
    let in_tiers = items.iter().any(|item| matches!(item.node.value, Value::List(_)));
    for (tier, item) in (0..).zip(&items) {
        for item in item.filled_list("one or more regions", out) {
            if let Some(id) = candidate(&item, service, &ids, regions, out) {
                ids.push(id);
                tiers.extend(in_tiers.then_some(tier));
            }
        }
    }
    (ids, tiers)
}

/// One region of the list.
fn candidate(item: &Field<'_>, service: Option<ServiceId>, ids: &[RegionId], regions: &Regions, out: &mut Diagnostics) -> Option<RegionId> {
    let name = item.text("the name of a region", out)?;
    let id = known_region(name, &item.node.mark, regions, out)?;
    if let Some(service) = service.filter(|service| regions.offer(id, *service).is_none()) {
        let service = regions.service_name(service);
        let text = format!("region `{name}` does not offer the service `{service}`");
        out.error_hint(item.mark(), text, format!("add `{service}` to the services of `{name}`, or remove it from this list"));
        return None;
    }
    if ids.contains(&id) {
        out.error_hint(item.mark(), format!("region `{name}` stands twice in this list"), "remove one of them");
        return None;
    }
    Some(id)
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

fn order(field: &Field<'_>, has_latencies: bool, out: &mut Diagnostics) -> Option<OrderSpec> {
    let order = field.typed(out)?;
    if order == OrderSpec::Latency && !has_latencies {
        let hint = "name a table under `latencies:` of the server file, or write `order: nearest` if that is what you want";
        out.warning_hint(field.mark(), "`order: latency` has no table of latencies, so distance is used instead", hint);
    }
    Some(order)
}

/// `200km`, `500m` or `0`, in metres; under `order: latency` `20ms`.
fn spread_m(field: &Field<'_>, order: OrderSpec, out: &mut Diagnostics) -> Option<u32> {
    if order == OrderSpec::Latency {
        let wanted = format!("a time such as `20ms` or `0`, up to {MAX_MS}ms");
        return field.parsed(&wanted, out, |text| match text {
            "0" => Some(0),
            _ => metres_from_text(text.strip_suffix("ms")?.trim_end()),
        });
    }
    const WANTED: &str = "a distance such as `200km`, `500m` or `0`, up to 20100km";
    let text = field.text(WANTED, out)?;
    let (number, unit_m) = match (text.strip_suffix("km"), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1000.0),
        (None, Some(number)) => (number, 1.0),
        (None, None) if text == "0" => return Some(0),
        (None, None) => {
            let hint = match text {
                _ if text.bytes().all(|b| b.is_ascii_digit()) => format!("give it a unit: `{text}km`"),
                _ if text.ends_with("ms") => "milliseconds go with `order: latency`".to_owned(),
                _ => "the units are `km` and `m`".to_owned(),
            };
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
    if balance == BalanceSpec::LeastConnections && !candidates.iter().filter_map(|id| regions.offer(*id, service?)).any(tells_active) {
        let hint = "add `active: /POINTER` to an `http` monitor of the service; the number there is what counts";
        out.warning_hint(field.mark(), "`least-connections`, and no probe tells how much an endpoint works on: all are alike", hint);
    }
    if balance == BalanceSpec::LeastResponseTime && !is_probed(candidates, service, regions) {
        let hint = "add a `monitor` to the service in the region files; its probes are what is timed";
        out.warning_hint(field.mark(), "`least-response-time` without any probe: all endpoints are alike", hint);
    }
    let weighted = endpoints(candidates, service, regions).find(|endpoint| endpoint.weight != Weight::ONE);
    if let (BalanceSpec::RoundRobin, Some(Endpoint { at, weight, .. })) = (balance, weighted) {
        let text = format!("`round-robin` gives every endpoint the same share, but `{at}` has the weight {weight}");
        out.error_hint(field.mark(), text, "write `balance: weighted`, or remove the weights of the endpoints");
    }
    balance
}

/// Whether any candidate has a monitor for the service.
fn is_probed(candidates: &[RegionId], service: Option<ServiceId>, regions: &Regions) -> bool {
    candidates.iter().filter_map(|id| regions.offer(*id, service?)).any(|offer| !offer.monitors.is_empty())
}

/// Whether a monitor of the service asks endpoints how much they work on.
fn tells_active(offer: &Offer) -> bool {
    offer.monitors.iter().any(|monitor| matches!(&monitor.request, Request::Http(request) if request.content.active.is_some()))
}

/// `answers:`; `balance: all` answers as many as there may be.
fn answers(field: Option<Field<'_>>, balance: BalanceSpec, out: &mut Diagnostics) -> u8 {
    let Some(field) = field else { return if balance == BalanceSpec::All { MAX_ANSWERS } else { 1 } };
    if balance == BalanceSpec::All {
        let hint = format!("remove `answers`: up to {MAX_ANSWERS} addresses are answered");
        out.error_hint(field.mark(), "`answers` does not go with `balance: all`", hint);
    }
    field.whole(1..=u64::from(MAX_ANSWERS), out).unwrap_or(1)
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

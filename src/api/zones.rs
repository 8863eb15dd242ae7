//! Zones and steered names of the world in force, a page at a time where there are many.
//! It prints what was compiled and works nothing out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::plans::plan_json;
use super::problem::Problem;
use crate::geo::Family;
use crate::name::Name;
use crate::snapshot::Catalog;
use crate::steer::{Candidate, Endpoint, FamilySteering, Steering};
use crate::wire::rtype;
use crate::zone::Zone;

/// Rows in one answer.
const MAX_LIMIT: usize = 1_000;

/// Which page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) from: Option<usize>,
    pub(super) limit: Option<usize>,
}

/// `GET /v1/zones?from=&limit=`.
pub(super) async fn zones(State(app): State<Arc<App>>, page: Result<Query<Page>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let (from, limit) = bounds(&of(page)?)?;
    let world = app.world.load();
    let all = world.catalog.zones.zones();
    let zones: Vec<Value> = all.iter().skip(from).take(limit).map(zone_json).collect();
    Ok(Json(json!({ "total": all.len(), "zones": zones })))
}

/// `GET /v1/zones/{zone}`.
pub(super) async fn zone(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let apex = Name::parse(&name, None).map_err(|error| Problem::bad(format!("`{name}` is not a name: {error}")))?;
    let world = app.world.load();
    let zone = world.catalog.zones.zones().iter().find(|zone| zone.apex == apex);
    zone.map(|zone| Json(zone_json(zone))).ok_or_else(|| Problem::unknown(format!("there is no zone `{apex}`")))
}

/// `GET /v1/names?from=&limit=`.
pub(super) async fn names(State(app): State<Arc<App>>, page: Result<Query<Page>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let (from, limit) = bounds(&of(page)?)?;
    let world = app.world.load();
    let all = &world.catalog.steerings;
    let names: Vec<Value> = all.iter().skip(from).take(limit).map(|steering| name_json(&world.catalog, steering)).collect();
    Ok(Json(json!({ "total": all.len(), "names": names })))
}

/// `GET /v1/names/{name}`.
pub(super) async fn name(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let owner = Name::parse(&name, None).map_err(|error| Problem::bad(format!("`{name}` is not a name: {error}")))?;
    let world = app.world.load();
    let steering = world.catalog.steerings.iter().find(|steering| steering.owner == owner);
    steering
        .map(|steering| Json(name_details(&world.catalog, steering)))
        .ok_or_else(|| Problem::unknown(format!("no steered name is `{owner}`")))
}

/// All that is known of a steered name: beside what the list tells, its candidates and plans by type.
fn name_details(catalog: &Catalog, steering: &Steering) -> Value {
    let by_family = [Family::V4, Family::V6].into_iter().zip(["A", "AAAA"]);
    let by_family = by_family.filter_map(|(family, rtype)| Some((rtype.to_owned(), steering.family(family)?)));
    let others = steering.others.iter().map(|(rtype, family)| (rtype::name(*rtype).to_string(), family));
    let of_type = |(rtype, family): (String, &FamilySteering)| {
        let candidate = |candidate: &Candidate| {
            let region = catalog.regions.get(usize::from(candidate.region.0)).map_or("?", |region| region.name.as_str());
            let endpoint =
                |endpoint: &Endpoint| json!({ "address": endpoint.address.to_string(), "weight": f64::from(endpoint.weight) / 1000.0 });
            json!({
                "region": region, "share": f64::from(candidate.share) / 1000.0, "standby": candidate.standby,
                "endpoints": candidate.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            })
        };
        json!({ "type": rtype, "candidates": family.candidates.iter().map(candidate).collect::<Vec<_>>(), "plan": plan_json(family) })
    };
    let mut value = name_json(catalog, steering);
    value["steering"] = by_family.chain(others).map(of_type).collect();
    value["answers"] = json!(steering.answers);
    value["ttl_min_s"] = json!(steering.ttl_min_s);
    value["fail_open_ttl_s"] = json!(steering.fail_open_ttl_s);
    value["ecs"] = json!(steering.ecs);
    value
}

fn of(page: Result<Query<Page>, QueryRejection>) -> Result<Page, Problem> {
    Ok(page.map(|Query(page)| page)?)
}

/// How many rows are left out, and how many follow at most.
pub(super) fn bounds(page: &Page) -> Result<(usize, usize), Problem> {
    let limit = page.limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad(format!("`limit` must be from 1 to {MAX_LIMIT}")));
    }
    Ok((page.from.unwrap_or(0), limit))
}

fn zone_json(zone: &Zone) -> Value {
    json!({ "name": zone.apex.to_string(), "serial": zone.serial, "serial_is_written": zone.serial_is_written, "names": zone.nodes.len() })
}

fn name_json(catalog: &Catalog, steering: &Steering) -> Value {
    let addresses = [(Family::V4, rtype::A), (Family::V6, rtype::AAAA)].into_iter();
    let addresses = addresses.filter(|(family, _)| steering.family(*family).is_some()).map(|(_, rtype)| rtype);
    let types = addresses.chain(steering.others.iter().map(|(rtype, _)| *rtype)).map(|rtype| rtype::name(rtype).to_string());
    let mut regions: Vec<&str> = Vec::new();
    for candidate in steering.all().flat_map(|family| &family.candidates) {
        let name = catalog.regions.get(usize::from(candidate.region.0)).map_or("?", |region| region.name.as_str());
        if !regions.contains(&name) {
            regions.push(name);
        }
    }
    json!({
        "name": steering.owner.to_string(), "service": catalog.services.get(usize::from(steering.service)), "ttl_s": steering.ttl_s,
        "balance": steering.balance.name(), "types": types.collect::<Vec<_>>(), "regions": regions,
    })
}

//! The state of things as JSON: everything, or one region, service or target of it.
//! It works nothing out: the rows are the keeper's.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use super::{loads, overrides, told};
use crate::keeper::{HostRow, PoolRow, Status, TargetRow};

/// `GET /v1/status`.
pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| {
        let Status { generation, pools, targets, capacities, hosts, overrides, told, tally } = app.health.status()?;
        let since_start = json!({
            "target_changes": tally.target_changes, "region_changes": tally.region_changes, "holds": tally.holds,
            "suppressions": tally.suppressions, "shed_changes": tally.shed_changes, "forced": tally.forced,
        });
        Ok(Json(json!({
            "phase": app.phase.name(),
            "generation": generation,
            "watched_load": app.journal.read().watched.map(|(outcome, at_s)| json!({ "outcome": outcome.name(), "at_s": at_s })),
            "regions": pools.iter().map(pool).collect::<Vec<_>>(),
            "capacities": loads::rows(&capacities),
            "targets": targets.iter().map(target).collect::<Vec<_>>(),
            "hosts": hosts.iter().map(host).collect::<Vec<_>>(),
            "overrides": overrides::rows(&overrides),
            "told": told::rows(&told),
            "since_start": since_start,
        })))
    })
    .await
}

/// `GET /v1/regions`.
pub(super) async fn regions(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| {
        let pools = app.health.status()?.pools;
        let world = app.world.load();
        let regions: Vec<Value> = world.catalog.regions.iter().map(|region| region_json(region, &pools)).collect();
        Ok(Json(json!({ "regions": regions })))
    })
    .await
}

/// `GET /v1/regions/{region}`.
pub(super) async fn region(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    app.wait_for(move |app| {
        let pools = app.health.status()?.pools;
        let world = app.world.load();
        let region = world.catalog.regions.iter().find(|region| region.name == name);
        region.map(|region| Json(region_json(region, &pools))).ok_or_else(|| Problem::unknown(format!("there is no region `{name}`")))
    })
    .await
}

/// `GET /v1/services`.
pub(super) async fn services(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| {
        let pools = app.health.status()?.pools;
        let world = app.world.load();
        let services: Vec<Value> = world.catalog.services.iter().map(|service| service_json(service, &pools)).collect();
        Ok(Json(json!({ "services": services })))
    })
    .await
}

/// `GET /v1/services/{service}`.
pub(super) async fn service(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    app.wait_for(move |app| {
        let pools = app.health.status()?.pools;
        let is_known = app.world.load().catalog.services.contains(&name);
        is_known.then(|| Json(service_json(&name, &pools))).ok_or_else(|| Problem::unknown(format!("there is no service `{name}`")))
    })
    .await
}

/// `GET /v1/targets`.
pub(super) async fn targets(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| {
        let status = app.health.status()?;
        Ok(Json(json!({
            "targets": status.targets.iter().map(target).collect::<Vec<_>>(),
            "hosts": status.hosts.iter().map(host).collect::<Vec<_>>(),
        })))
    })
    .await
}

fn region_json(region: &crate::snapshot::Region, pools: &[PoolRow]) -> Value {
    let own = pools.iter().filter(|pool| pool.region == region.name);
    json!({
        "name": region.name, "latitude": region.location.latitude(), "longitude": region.location.longitude(),
        "services": own.map(pool).collect::<Vec<_>>(),
    })
}

fn service_json(service: &str, pools: &[PoolRow]) -> Value {
    let own = pools.iter().filter(|pool| pool.service == service);
    json!({ "name": service, "regions": own.map(pool).collect::<Vec<_>>() })
}

fn pool(pool: &PoolRow) -> Value {
    json!({
        "service": pool.service, "region": pool.region, "family": pool.family, "state": pool.state, "since_s": pool.since_s,
        "endpoints_up": pool.up, "endpoints": pool.endpoints, "admit_percent": pool.admit_percent, "waits": pool.waits,
    })
}

fn target(target: &TargetRow) -> Value {
    json!({
        "target": target.target, "state": target.state, "since_s": target.since_s, "flag": target.flag,
        "evidence": target.evidence, "evidence_age_s": target.evidence_age_s, "next_probe_ms": target.next_probe_ms,
        "prober_faults": target.prober_faults, "took_ms": target.took_ms, "certificate_days": target.certificate_days,
    })
}

fn host(host: &HostRow) -> Value {
    json!({ "host": host.host, "addresses": host.addresses, "age_s": host.age_s, "next_s": host.next_s, "error": host.error })
}

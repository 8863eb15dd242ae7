//! Loads that others measure: a load balancer or a script tells them here, for regions whose `capacity` says so.
//! What follows from a load the keeper works out.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::app::App;
use super::problem::Problem;
use crate::health::CapacityKey;
use crate::keeper::{CapacityRow, ToldLoad};

/// Longest time that a load holds, in seconds: who tells none for an hour measures none.
const MAX_EXPIRES_S: u64 = 3_600;

/// For how long a load holds when nothing is said.
const DEFAULT_EXPIRES_S: u64 = 60;

/// A load that is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    of: String,
    load: f64,
    expires_s: Option<u64>,
}

/// `GET /v1/loads`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| Ok(Json(json!({ "capacities": rows(&app.health.status()?.capacities) })))).await
}

/// `POST /v1/loads`. It comes again and again, so its line of the audit log is one of level DEBUG.
pub(super) async fn tell(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    told: Result<Json<Told>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(told) = told.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let expires_s = told.expires_s.unwrap_or(DEFAULT_EXPIRES_S);
    if !(1..=MAX_EXPIRES_S).contains(&expires_s) {
        return Err(Problem::bad(format!("`expires_s` must be from 1 to {MAX_EXPIRES_S}")));
    }
    app.wait_for(move |app| {
        let whom = told.of.clone();
        let (region, service) = told.of.split_once('/').map_or((told.of.as_str(), None), |(region, service)| (region, Some(service)));
        let key = CapacityKey { region: region.into(), service: service.map(Into::into) };
        let told = ToldLoad { key, load: told.load, holds_ms: expires_s * 1000 };
        let did = app.health.load(told).map_err(|why| Problem::new(StatusCode::CONFLICT, why));
        let outcome = did.as_ref().map_or_else(Problem::detail, |()| "taken");
        tracing::debug!(target: "meridian::audit", caller = caller.name, action = "tell load", whom, outcome, "asked by the API");
        did?;
        Ok((StatusCode::ACCEPTED, Json(json!({ "expires_s": expires_s }))))
    })
    .await
}

/// What regions with a capacity bear.
pub(super) fn rows(capacities: &[CapacityRow]) -> Vec<Value> {
    let row = |row: &CapacityRow| {
        json!({
            "region": row.region, "load": row.load.map(|(load, _)| load), "load_age_s": row.load.map(|(_, age_s)| age_s),
            "soft": row.soft, "hard": row.hard, "limit": row.limit, "shed_percent": row.shed_percent,
        })
    };
    capacities.iter().map(row).collect()
}

//! Loads that others measure: a load balancer or a script tells them here, for regions whose `capacity` says so.
//! What follows from a load the keeper works out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::app::App;
use super::problem::{Problem, lasting};
use crate::health::CapacityKey;
use crate::keeper::{CapacityRow, ToldLoad};

/// Longest time that a load holds, in seconds: who tells none for an hour measures none.
const MAX_EXPIRES_S: u64 = 3_600;

/// For how long a load holds when nothing is said.
const DEFAULT_EXPIRES_S: u64 = 60;

/// Regions of which it is remembered who tells: more than a network of servers has. Beyond that all are forgotten, which costs a line of the log each.
const MAX_REMEMBERED: usize = 10_000;

/// Who told the load of what at last, and what came of it.
#[derive(Debug, Default)]
pub struct Tellers(Mutex<HashMap<String, (String, String)>>);

impl Tellers {
    /// Whether that is not what was said the time before.
    fn is_news(&self, whom: &str, caller: &str, outcome: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(whom).is_some_and(|(by, came_to)| (by.as_str(), came_to.as_str()) == (caller, outcome)) {
            return false;
        }
        if last.len() >= MAX_REMEMBERED {
            last.clear();
        }
        last.insert(whom.to_owned(), (caller.to_owned(), outcome.to_owned()));
        true
    }
}

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

/// `POST /v1/loads`. It comes again and again: the audit log has a line where another tells, or where it comes to something else than the time
/// before; all others are of level DEBUG.
pub(super) async fn tell(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    told: Result<Json<Told>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(told) = told?;
    let expires_s = lasting(told.expires_s.unwrap_or(DEFAULT_EXPIRES_S), MAX_EXPIRES_S)?;
    app.wait_for(move |app| {
        let whom = told.of.clone();
        let (region, service) = told.of.split_once('/').map_or((told.of.as_str(), None), |(region, service)| (region, Some(service)));
        let key = CapacityKey { region: region.into(), service: service.map(Into::into) };
        let told = ToldLoad { key, load: told.load, holds_ms: expires_s * 1000 };
        let did = app.health.load(told).map_err(|why| Problem::new(StatusCode::CONFLICT, why));
        let outcome = did.as_ref().map_or_else(Problem::detail, |()| "taken");
        if app.tellers.is_news(&whom, &caller.name, outcome) {
            tracing::info!(target: "meridian::audit", caller = caller.name, action = "tell load", whom, outcome, "asked by the API");
        } else {
            tracing::debug!(target: "meridian::audit", caller = caller.name, action = "tell load", whom, outcome, "asked by the API");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_teller_and_another_outcome_are_news() {
        let tellers = Tellers::default();
        assert!(tellers.is_news("a", "haproxy", "taken"));
        assert!(!tellers.is_news("a", "haproxy", "taken"));
        assert!(tellers.is_news("b", "haproxy", "taken"));
        assert!(tellers.is_news("a", "cron", "taken"));
        assert!(tellers.is_news("a", "cron", "`a` has no `capacity`"));
        assert!(!tellers.is_news("a", "cron", "`a` has no `capacity`"));
        (0..2 * MAX_REMEMBERED).for_each(|at| assert!(tellers.is_news(&format!("made up {at}"), "cron", "unknown")));
        assert!(tellers.0.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}

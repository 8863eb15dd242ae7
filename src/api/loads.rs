//! Loads that others measure: a load balancer or a script tells them here, for regions whose `capacity` says so.
//! What follows from a load the keeper works out.

use std::collections::HashSet;
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

/// Pairs of a region and a caller that are remembered: more than a network of servers has. Beyond that all are forgotten, which costs a line of
/// the log each.
const MAX_REMEMBERED: usize = 10_000;

/// Octets of a name that the log shows of one that was refused: no region has a longer one.
const MAX_SHOWN_OCTETS: usize = 255;

/// Who tells the load of what. Of loads that were refused only the caller is remembered, as anything may stand in them.
#[derive(Debug, Default)]
pub struct Tellers(Mutex<HashSet<(Option<String>, String)>>);

impl Tellers {
    /// Whether this caller's loads of that region were not taken before, or were refused since.
    fn is_first_taken(&self, whom: &str, caller: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        let is_first = known.insert((Some(whom.to_owned()), caller.to_owned()));
        if is_first {
            known.remove(&(None, caller.to_owned()));
        }
        is_first
    }

    /// Whether none of this caller's was refused since one was taken for the first time.
    fn is_first_refused(&self, whom: &str, caller: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(Some(whom.to_owned()), caller.to_owned()));
        known.insert((None, caller.to_owned()))
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
        let (outcome, is_news) = match &did {
            Ok(()) => ("taken", app.tellers.is_first_taken(&whom, &caller.name)),
            Err(problem) => (problem.detail(), app.tellers.is_first_refused(&whom, &caller.name)),
        };
        let whom = whom.get(..whom.floor_char_boundary(MAX_SHOWN_OCTETS)).unwrap_or(&whom);
        let outcome = outcome.get(..outcome.floor_char_boundary(2 * MAX_SHOWN_OCTETS)).unwrap_or(outcome);
        if is_news {
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
        assert!(tellers.is_first_taken("a", "haproxy") && !tellers.is_first_taken("a", "haproxy"));
        assert!(tellers.is_first_taken("b", "haproxy") && tellers.is_first_taken("a", "cron"));
        // Two that take turns are no news each time.
        assert!(!tellers.is_first_taken("a", "haproxy") && !tellers.is_first_taken("a", "cron"));
        assert!(tellers.is_first_refused("a", "cron") && !tellers.is_first_refused("a", "cron"));
        assert!(tellers.is_first_taken("a", "cron") && tellers.is_first_refused("a", "cron"));
        // Whatever stands in loads that are refused, it is not kept.
        (0..2 * MAX_REMEMBERED).for_each(|at| assert!(!tellers.is_first_refused(&format!("made up {at}"), "cron")));
        assert_eq!(tellers.0.lock().unwrap().len(), 3);
        (0..2 * MAX_REMEMBERED).for_each(|at| assert!(tellers.is_first_taken(&at.to_string(), "cron")));
        assert!(tellers.0.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}

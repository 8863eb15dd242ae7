//! Who is asked for most: names, zones and regions, by the counters of the answers.
//! It counts nothing itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use crate::answer::{Class, Reason, Transport};

/// Longest list.
const MAX_LIMIT: usize = 1_000;

/// How long the lists may be.
#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    limit: Option<usize>,
}

/// `GET /v1/statistics`.
pub(super) async fn get(State(app): State<Arc<App>>, limit: Result<Query<Limit>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(Limit { limit }) = limit?;
    let limit = limit.unwrap_or(20);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad(format!("`limit` must be from 1 to {MAX_LIMIT}")));
    }
    app.wait_for(move |app| {
        let totals = app.registry.totals();
        let named = |key: &'static str, counts: Vec<(&str, u64)>| -> Vec<Value> {
            counts.into_iter().map(|(name, count)| json!({ key: name, "answers": count })).collect()
        };
        let regions = totals.top_regions(limit).into_iter();
        let regions = regions.map(|((service, region), count)| json!({ "service": service, "region": region, "answers": count }));
        let all = totals.top_countries(usize::MAX);
        let sampled: u64 = all.iter().map(|(_, count)| count).sum();
        let countries = all.into_iter().take(limit).map(
            |(country, count)| json!({ "country": country, "answers": count, "percent": count as f64 * 100.0 / sampled.max(1) as f64 }),
        );
        let classes = Class::ALL.iter().map(|class| (class.name().to_owned(), totals.answers(*class).into()));
        let reasons = Reason::ALL.iter().map(|reason| (reason.name().to_owned(), totals.decisions(*reason).into()));
        Ok(Json(json!({
            "queries": Transport::ALL.iter().map(|transport| totals.queries(*transport)).sum::<u64>(),
            "since": app.journal.read().started_s,
            "now_ms": app.clock.now_ms(),
            "classes": classes.collect::<serde_json::Map<String, Value>>(),
            "reasons": reasons.collect::<serde_json::Map<String, Value>>(),
            "names": named("name", totals.top_names(limit)),
            "zones": named("zone", totals.top_zones(limit)),
            "regions": regions.collect::<Vec<_>>(),
            "countries": countries.collect::<Vec<_>>(),
            "countries_sampled": sampled,
        })))
    })
    .await
}

//! What happened: the last changes of targets, regions and overrides, each with its evidence.
//! The keeper remembers them; this file only chooses and prints.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use crate::keeper::{Event, Subject};

/// Changes in one answer.
const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

/// Which changes.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    region: Option<String>,
    service: Option<String>,
    target: Option<String>,
    limit: Option<usize>,
}

impl Which {
    fn takes(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        match &event.subject {
            Subject::Region { service, region, .. } => self.target.is_none() && is(&self.service, service) && is(&self.region, region),
            Subject::Target(target) => {
                self.region.is_none()
                    && self.service.is_none()
                    && self.target.as_ref().is_none_or(|wanted| target.contains(wanted.as_str()))
            }
            Subject::Override(_) | Subject::Told(_) => self.region.is_none() && self.service.is_none() && self.target.is_none(),
        }
    }
}

/// `GET /v1/changes?region=&service=&target=&limit=`.
pub(super) async fn get(State(app): State<Arc<App>>, which: Result<Query<Which>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(which) = which?;
    let limit = which.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad(format!("`limit` must be from 1 to {MAX_LIMIT}")));
    }
    app.wait_for(move |app| {
        let events = app.health.history(limit, move |event| which.takes(event))?;
        let (now_ms, now_s) = (app.clock.now_ms(), app.clock.wall_s());
        let changes: Vec<Value> =
            events.iter().map(|event| row(event, now_s.saturating_sub(now_ms.saturating_sub(event.at_ms) / 1000))).collect();
        Ok(Json(json!({ "changes": changes })))
    })
    .await
}

fn row(event: &Event, at_s: u64) -> Value {
    let (kind, name) = match &event.subject {
        Subject::Target(target) => ("target", target.clone()),
        Subject::Region { service, region, family } => ("region", format!("{region}/{service} {family}")),
        Subject::Override(selector) => ("override", selector.clone()),
        Subject::Told(selector) => ("told", selector.clone()),
    };
    json!({ "at": at_s, "kind": kind, "name": name, "from": event.from, "to": event.to, "evidence": event.evidence })
}

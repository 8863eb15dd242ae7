//! Plans: what the steering of names was compiled to, each once with the names that share it, the largest first.
//! It works nothing out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use crate::geo::Family;
use crate::snapshot::Catalog;
use crate::steer::FamilySteering;
use crate::steer::plan::Plan;

/// Plans in one answer; more differ than anybody reads.
const MAX_PLANS: usize = 1_000;

/// Names that are told of one plan.
const MAX_NAMES: usize = 5;

/// `GET /v1/plans`.
pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| {
        let world = app.world.load();
        let plans = plans(&world.catalog);
        let table = &world.catalog.table;
        Ok(Json(json!({
            "places": table.place_count(), "ranges": table.range_count(Family::V4) + table.range_count(Family::V6),
            "place_table_bytes": table.memory_bytes(), "total": plans.len(),
            "memory_bytes": plans.iter().map(|shared| shared.plan.memory_bytes()).sum::<usize>(),
            "plans": plans.iter().take(MAX_PLANS).map(Shared::json).collect::<Vec<_>>(),
        })))
    })
    .await
}

/// A plan, and who shares it.
struct Shared<'c> {
    plan: &'c Arc<Plan>,
    first: &'c FamilySteering,
    names: Vec<&'c crate::name::Name>,
    count: usize,
}

impl Shared<'_> {
    fn json(&self) -> Value {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let mut value = plan_json(self.first);
        value["names"] = json!(names);
        value["shared_by"] = json!(self.count);
        value
    }
}

fn plans(catalog: &Catalog) -> Vec<Shared<'_>> {
    let mut known: BTreeMap<*const Plan, usize> = BTreeMap::new();
    let mut plans: Vec<Shared<'_>> = Vec::new();
    for (steering, family) in catalog.steerings.iter().flat_map(|steering| steering.all().map(move |family| (steering, family))) {
        let at = *known.entry(Arc::as_ptr(&family.plan)).or_insert_with(|| {
            plans.push(Shared { plan: &family.plan, first: family, names: Vec::new(), count: 0 });
            plans.len() - 1
        });
        plans[at].count += 1;
        if plans[at].names.len() < MAX_NAMES {
            plans[at].names.push(&steering.owner);
        }
    }
    plans.sort_by_key(|shared| std::cmp::Reverse(shared.plan.memory_bytes()));
    plans
}

/// What one plan is.
pub(super) fn plan_json(family: &FamilySteering) -> Value {
    let plan = &family.plan;
    json!({
        "rankings": plan.ranking_count(), "memory_bytes": plan.memory_bytes(), "ranks_by_place": plan.ranks_by_place(),
        "tells_clients_apart": plan.tells_clients_apart(), "hashes_clients": family.hashes_clients, "shares_bands": plan.has_shared_bands(),
        "sheds": plan.harms().is_some(), "candidates": family.candidates.len(),
    })
}

//! Overrides by hand: list them, force, end them. Each change is told in the audit log.
//! Whether one is possible the keeper decides.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::app::App;
use super::problem::{Problem, lasting};
use crate::health::Override;
use crate::health::overrides::{Forced, MAX_TEXT, Selector};

/// Longest time that an override may be given: a decade, in seconds. Longer ones have no end.
const MAX_EXPIRES_S: u64 = 315_360_000;

/// A wish to force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    selector: String,
    state: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    author: String,
    expires_s: Option<u64>,
}

/// Whose overrides end.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    selector: String,
}

/// `GET /v1/overrides`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| Ok(Json(json!({ "overrides": rows(&app.health.status()?.overrides) })))).await
}

/// `POST /v1/overrides`.
pub(super) async fn force(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(wish) = wish?;
    app.wait_for(move |app| {
        let state = [Override::Up, Override::Down, Override::Drain].into_iter().find(|known| known.to_string() == wish.state);
        let expires_s = wish.expires_s.map(|expires_s| lasting(expires_s, MAX_EXPIRES_S)).transpose()?;
        let now_s = app.clock.wall_s();
        let author = author(&caller, &wish.author);
        let forced = Forced {
            selector: Selector::parse(&wish.selector).map_err(Problem::bad)?,
            state: state.ok_or_else(|| Problem::bad("`state` is not `up`, `down` or `drain`"))?,
            reason: text(&wish.reason),
            author: text(author),
            since_s: now_s,
            until_s: expires_s.map(|expires_s| now_s.saturating_add(expires_s)),
        };
        let did = app.health.force(forced).map_err(|why| Problem::new(StatusCode::CONFLICT, why));
        let outcome = did.as_ref().map_or_else(|problem| problem.detail().to_owned(), |endpoints| format!("{endpoints} endpoints"));
        app.audit(&caller, &format!("force {}", wish.state), &format!("{} by {author}: {}", wish.selector, wish.reason), &outcome);
        Ok((StatusCode::CREATED, Json(json!({ "endpoints": did? }))))
    })
    .await
}

/// `DELETE /v1/overrides?selector=`.
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    whose: Result<Query<Whose>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(whose) = whose?;
    app.wait_for(move |app| {
        let (overrides, regions) = app.health.clear(Selector::parse(&whose.selector).map_err(Problem::bad)?)?;
        app.audit(&caller, "clear", &whose.selector, &format!("{overrides} overrides, {regions} regions"));
        if (overrides, regions) == (0, 0) {
            return Err(Problem::unknown(format!("nothing is forced or waits at `{}`", whose.selector)));
        }
        Ok(Json(json!({ "overrides": overrides, "regions": regions })))
    })
    .await
}

/// Who says so: whoever has a token is who the token says.
pub(super) fn author<'n>(caller: &'n Caller, named: &'n str) -> &'n str {
    if caller.may_name_others && !named.is_empty() { named } else { &caller.name }
}

/// In force.
pub(super) fn rows(overrides: &[Forced]) -> Vec<Value> {
    let row = |forced: &Forced| {
        json!({
            "selector": forced.selector.as_str(), "state": forced.state.to_string(), "reason": forced.reason, "author": forced.author,
            "since": forced.since_s, "until": forced.until_s,
        })
    };
    overrides.iter().map(row).collect()
}

/// One line of bounded length: it goes to logs and tables.
pub(super) fn text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

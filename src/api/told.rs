//! Health that others tell: a monitor elsewhere, a script, the alarm of a cloud. Each report has an author, a reason and an end.
//! What follows from it the book judges; what is forced by hand beats it.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Caller;
use super::app::App;
use super::overrides::{author, text};
use super::problem::{Problem, lasting};
use crate::health::overrides::Selector;
use crate::health::told::{self, MAX_EXPIRES_S, Told};

/// For how long a report holds when nothing is said.
const DEFAULT_EXPIRES_S: u64 = 60;

/// A report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    of: String,
    state: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    author: String,
    expires_s: Option<u64>,
}

/// Which reports.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    of: String,
    author: Option<String>,
}

/// `GET /v1/health`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    app.wait_for(|app| Ok(Json(json!({ "told": rows(&app.health.status()?.told) })))).await
}

/// `POST /v1/health`. Only what says something else than before is a line of the audit log: reports come again and again.
pub(super) async fn tell(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    report: Result<Json<Report>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(report) = report?;
    app.wait_for(move |app| {
        let expires_s = lasting(report.expires_s.unwrap_or(DEFAULT_EXPIRES_S), MAX_EXPIRES_S)?;
        let state = told::State::ALL.into_iter().find(|known| known.name() == report.state);
        let author = text(author(&caller, &report.author));
        let now_s = app.clock.wall_s();
        let told = Told {
            selector: Selector::parse(&report.of).map_err(Problem::bad)?,
            state: state.ok_or_else(|| Problem::bad("`state` is not `up` or `down`"))?,
            reason: text(&report.reason),
            author: author.clone(),
            since_s: now_s,
            until_s: now_s.saturating_add(expires_s),
        };
        let did = app.health.tell(told).map_err(|why| Problem::new(StatusCode::CONFLICT, why));
        if did.as_ref().map_or(true, |heard| heard.is_news) {
            let outcome = did.as_ref().map_or_else(|problem| problem.detail().to_owned(), |heard| format!("{} endpoints", heard.endpoints));
            app.audit(&caller, &format!("tell {}", report.state), &format!("{} by {author}: {}", report.of, report.reason), &outcome);
        }
        let heard = did?;
        Ok((StatusCode::ACCEPTED, Json(json!({ "endpoints": heard.endpoints, "changed": heard.is_news, "expires_s": expires_s }))))
    })
    .await
}

/// `DELETE /v1/health?of=&author=`. Who may only tell takes back its own word only.
pub(super) async fn take_back(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(which) = which?;
    app.wait_for(move |app| {
        let selector = Selector::parse(&which.of).map_err(Problem::bad)?;
        let whose = if caller.may_change() { which.author } else { Some(caller.name.clone()) };
        let reports = app.health.take_back(selector, whose.clone())?;
        let whom = whose.map_or_else(|| which.of.clone(), |author| format!("{} by {author}", which.of));
        app.audit(&caller, "take back", &whom, &format!("{reports} reports"));
        if reports == 0 {
            return Err(Problem::unknown(format!("nothing is told of `{whom}`")));
        }
        Ok(Json(json!({ "reports": reports })))
    })
    .await
}

/// Not expired.
pub(super) fn rows(told: &[Told]) -> Vec<Value> {
    let row = |told: &Told| {
        json!({
            "of": told.selector.as_str(), "state": told.state.name(), "reason": told.reason, "author": told.author,
            "since": told.since_s, "until": told.until_s,
        })
    };
    told.iter().map(row).collect()
}

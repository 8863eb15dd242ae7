//! A reload that is asked for by a request, which is answered with what became of it.
//! It passes the wish on to the daemon and loads nothing itself.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::access::Caller;
use super::app::App;
use super::problem::Problem;

/// Wishes that may wait: who asks for more meanwhile is told to come back.
const QUEUE: usize = 4;

/// Why a reload is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The configuration was refused, for these reasons.
    Configuration(String),
    /// The machine failed it.
    Machine(String),
}

/// Who waits for the end of a reload: it is told the new generation, or why there is none.
pub type Waiting = oneshot::Sender<Result<u64, Refused>>;

/// The end that asks.
pub type Reload = mpsc::Sender<Waiting>;

/// The end that reloads.
pub type Reloads = mpsc::Receiver<Waiting>;

/// Both ends.
pub fn reloads() -> (Reload, Reloads) {
    mpsc::channel(QUEUE)
}

/// `POST /v1/reload`.
pub(super) async fn post(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Response<Body>, Problem> {
    let (done, told) = oneshot::channel();
    // Whoever asked may not live to see what came of it.
    app.audit(&caller, "reload", "", "begun");
    app.reload.try_send(done).map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other reloads wait already; ask again later"))?;
    // At once: whoever reads the log while the load takes its time shall know why.
    app.audit(&caller, "reload", "", "asked");
    let outcome = told.await.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the process ends"))?;
    app.audit(
        &caller,
        "reload",
        "",
        &outcome.as_ref().map_or_else(|_| "refused".to_owned(), |generation| format!("generation {generation}")),
    );
    match outcome {
        Ok(generation) => Ok(Json(json!({ "generation": generation, "warnings": app.journal.read().text })).into_response()),
        Err(Refused::Configuration(diagnostics)) => {
            let body = json!({
                "type": "about:blank", "title": "The configuration was refused", "status": 422,
                "detail": "the configuration in force stays", "diagnostics": diagnostics,
            });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response())
        }
        Err(Refused::Machine(error)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)),
    }
}

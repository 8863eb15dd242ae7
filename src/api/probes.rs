//! `/livez` and `/readyz`: for keepalived, Kubernetes, load balancers and scripts that announce anycast routes.
//! Neither looks at the health of regions: a server that answers with what is left is ready.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::app::App;
use super::problem::Problem;

/// A keeper that does not answer in this time is stuck: it never waits for anything.
const KEEPER_PATIENCE: Duration = Duration::from_secs(2);

/// The process runs and its keeper answers.
pub(super) async fn livez(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    pulse(&app).await.map(|_| "live\n")
}

/// Queries are answered, from health that is not stale.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let pulse = pulse(&app).await?;
    if !app.phase.is_serving() {
        return Err(unavailable(app.phase.name()));
    }
    if pulse.is_stale() {
        return Err(unavailable(&format!("stale: no probe has reported for {} s", pulse.silent_ms / 1000)));
    }
    Ok("ready\n")
}

async fn pulse(app: &Arc<App>) -> Result<crate::keeper::Pulse, Problem> {
    // No thread waits meanwhile: heavy requests may hold all of them.
    let (tell, told) = oneshot::channel();
    app.health.pulse(move |pulse| _ = tell.send(pulse));
    let told = tokio::time::timeout(KEEPER_PATIENCE, told).await.ok().and_then(Result::ok);
    told.ok_or_else(|| unavailable("the keeper of health does not answer"))
}

fn unavailable(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

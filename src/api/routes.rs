//! Every route in one list: method, path, who may, and what does it. The OpenAPI document names the same, which a test compares.
//! It decides nothing but who comes through; what a request does stands in the file of its resource.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Router};

use super::access::Caller;
use super::app::App;
use super::problem::Problem;
use super::{
    changes, configuration, explain, loads, metrics, overrides, plans, probes, reload, simulate, statistics, status, takeover, told, zones,
};
use crate::handover;

/// Largest body of a request: the largest sensible one has a selector and two texts.
const MAX_BODY_OCTETS: usize = 64 << 10;

/// A request that is not done in this time is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reload reads everything anew, gigabytes of geo data perhaps.
const RELOAD_PATIENCE: Duration = Duration::from_secs(300);

/// What a caller must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// To read, unless metrics are open to all.
    Metrics,
    /// To read.
    Read,
    /// To tell health and loads.
    Tell,
    /// To change.
    Write,
}

type Route = (Method, &'static str, Access, MethodRouter<Arc<App>>);

fn routes() -> Vec<Route> {
    vec![
        (Method::GET, "/livez", Access::Open, get(probes::livez)),
        (Method::GET, "/readyz", Access::Open, get(probes::readyz)),
        (Method::GET, "/metrics", Access::Metrics, get(metrics::get)),
        (Method::GET, "/openapi.json", Access::Open, get(document)),
        (Method::GET, "/v1/status", Access::Read, get(status::get)),
        (Method::GET, "/v1/regions", Access::Read, get(status::regions)),
        (Method::GET, "/v1/regions/{region}", Access::Read, get(status::region)),
        (Method::GET, "/v1/services", Access::Read, get(status::services)),
        (Method::GET, "/v1/services/{service}", Access::Read, get(status::service)),
        (Method::GET, "/v1/targets", Access::Read, get(status::targets)),
        (Method::GET, "/v1/changes", Access::Read, get(changes::get)),
        (Method::GET, "/v1/zones", Access::Read, get(zones::zones)),
        (Method::GET, "/v1/zones/{zone}", Access::Read, get(zones::zone)),
        (Method::GET, "/v1/names", Access::Read, get(zones::names)),
        (Method::GET, "/v1/explain", Access::Read, get(explain::get)),
        (Method::GET, "/v1/statistics", Access::Read, get(statistics::get)),
        (Method::GET, "/v1/overrides", Access::Read, get(overrides::list)),
        (Method::POST, "/v1/overrides", Access::Write, post(overrides::force)),
        (Method::DELETE, "/v1/overrides", Access::Write, delete(overrides::clear)),
        (Method::GET, "/v1/loads", Access::Read, get(loads::list)),
        (Method::POST, "/v1/loads", Access::Tell, post(loads::tell)),
        (Method::GET, "/v1/health", Access::Read, get(told::list)),
        (Method::POST, "/v1/health", Access::Tell, post(told::tell)),
        (Method::DELETE, "/v1/health", Access::Tell, delete(told::take_back)),
        (Method::GET, "/v1/simulate", Access::Read, get(simulate::get)),
        (Method::GET, "/v1/names/{name}", Access::Read, get(zones::name)),
        (Method::GET, "/v1/configuration", Access::Read, get(configuration::get)),
        (Method::GET, "/v1/plans", Access::Read, get(plans::get)),
        (Method::POST, "/v1/reload", Access::Write, post(reload::post)),
        (Method::POST, handover::PATH, Access::Write, post(takeover::post)),
    ]
}

/// The OpenAPI document.
pub fn openapi() -> &'static str {
    include_str!("openapi.json")
}

/// All routes, with everything around them: access, time limits, the size of bodies.
pub(super) fn router(app: Arc<App>) -> Router {
    let needed: HashMap<_, _> = routes().into_iter().map(|(method, path, access, _)| ((method, path), access)).collect();
    let gate = Arc::new(Gate { app: Arc::clone(&app), needed });
    let router = routes().into_iter().fold(Router::new(), |router, (_, path, _, handler)| router.route(path, handler));
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(gate, pass))
        .layer(DefaultBodyLimit::max(MAX_BODY_OCTETS))
        .with_state(app)
}

// Functions, not closures: rustc 1.95 with optimisation meets a query cycle on async closures beside computed array lengths.

async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

async fn unknown_path() -> Problem {
    Problem::unknown("there is no such path; /openapi.json names all")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}

struct Gate {
    app: Arc<App>,
    needed: HashMap<(Method, &'static str), Access>,
}

/// Lets a request through that its caller may make, and no longer than it may take.
async fn pass(State(gate): State<Arc<Gate>>, Extension(caller): Extension<Caller>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    // A HEAD is a GET whose body is left out.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let wanted = gate.needed.iter().find(|((known, of), _)| known == method && *of == path).map(|(_, access)| *access);
    // What does not exist is nobody's secret: the document that names all is open. A method that a path has and the list does not, is.
    let wanted = wanted.unwrap_or(if path.is_empty() { Access::Open } else { Access::Write });
    let patience = if path == "/v1/reload" { RELOAD_PATIENCE } else { PATIENCE };
    match gate.app.guard.admit(&caller, wanted, request.headers()) {
        Ok(_) if wanted == Access::Write && gate.app.phase.is_leaving() => {
            let why = "another process takes over just now, and would not hear of a change; ask again in a moment";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let done = tokio::time::timeout(patience, next.run(request)).await;
            done.unwrap_or_else(|_elapsed| Problem::new(StatusCode::GATEWAY_TIMEOUT, "this took too long").into_response())
        }
        Err(problem) => {
            let challenge = (problem.status() == StatusCode::UNAUTHORIZED).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
            (challenge.map(IntoResponse::into_response).map(|response| response.headers().clone()).unwrap_or_default(), problem)
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_names_every_route_and_no_other() {
        let document: Value = serde_json::from_str(openapi()).unwrap();
        let methods = ["get", "post", "put", "delete"];
        let told: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let here = methods.iter().filter(|method| item.get(**method).is_some());
                here.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
            })
            .collect();
        let served: BTreeSet<(String, String)> =
            routes().into_iter().map(|(method, path, ..)| (method.to_string(), path.to_owned())).collect();
        assert_eq!(told, served);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

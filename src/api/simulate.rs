//! Who would go where if more were down than is now: one name, by the decision that queries get, from the health of this moment.
//! It changes nothing, stands back behind the answers, and runs once at a time.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use super::app::App;
use super::explain::family_of;
use super::problem::Problem;
use crate::geo::Family;
use crate::health::overrides::Selector;
use crate::keeper::Rehearsed;
use crate::name::Name;
use crate::rehearsal::compare::Source;
use crate::rehearsal::{Audience, Comparer, Comparison};

/// Selectors in one request.
const MAX_DOWN: usize = 64;

/// Countries that are told of, those that move most.
const MAX_COUNTRIES: usize = 20;

/// One simulation at a time: each may take a core for some seconds.
#[derive(Debug)]
pub struct Simulations {
    seat: Arc<Semaphore>,
    stand_back: fn() -> io::Result<()>,
}

impl Simulations {
    /// `stand_back` has a thread stand back behind those that answer; the room of sockets has it, which this one must not know.
    pub fn new(stand_back: fn() -> io::Result<()>) -> Simulations {
        Simulations { seat: Arc::new(Semaphore::new(1)), stand_back }
    }
}

/// What is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    name: String,
    down: String,
    #[serde(rename = "type", default)]
    rtype: String,
}

/// `GET /v1/simulate?name=&down=&type=`.
pub(super) async fn get(State(app): State<Arc<App>>, wanted: Result<Query<Wanted>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted?;
    let name = Name::parse(&wanted.name, None).map_err(|error| Problem::bad(format!("`name`: {error}")))?;
    let family = family_of(&wanted.rtype)?;
    let down: Vec<Selector> = wanted.down.split(',').map(Selector::parse).collect::<Result<_, _>>().map_err(Problem::bad)?;
    if down.len() > MAX_DOWN {
        return Err(Problem::bad(format!("`down` names {} selectors, at most {MAX_DOWN} are allowed", down.len())));
    }
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "another simulation is under way; ask again later");
    let seat = Arc::clone(&app.simulations.seat).try_acquire_owned().map_err(|_| busy())?;
    let worlds = app.wait_for(move |app| app.health.rehearse(down).map_err(|why| Problem::new(StatusCode::CONFLICT, why))).await?;
    if !worlds.now.catalog.steerings.iter().any(|steering| steering.owner == name && steering.family(family).is_some()) {
        return Err(Problem::unknown(format!("`{name}` is not steered for this type")));
    }
    let (done, compared) = oneshot::channel();
    let stand_back = app.simulations.stand_back;
    let work = move || {
        if let Err(error) = stand_back() {
            tracing::debug!(%error, "a simulation takes as much time as the answers");
        }
        let told = compare(&worlds, family, &name);
        // First, so that whoever has the answer may ask the next; whoever asked may also have gone.
        drop(seat);
        _ = done.send(told);
    };
    let no_thread = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("there is no thread for it: {error}"));
    std::thread::Builder::new().name("simulation".into()).spawn(work).map_err(no_thread)?;
    let ended = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the simulation ended in a panic; this is a bug");
    Ok(Json(json(&compared.await.map_err(ended)?, &wanted)))
}

/// What is told of it.
struct Told {
    endpoints: usize,
    clients: String,
    comparison: Option<Comparison>,
}

fn compare(worlds: &Rehearsed, family: Family, name: &Name) -> Told {
    let audience = Audience::Addresses;
    // A reload between both questions would compare two configurations: each side has the catalog that it was made with.
    let catalogs = [&*worlds.now.catalog, &*worlds.then.catalog];
    let comparisons = Comparer::new(catalogs, &audience).compare([&worlds.now, &worlds.then], family, Some(name), || {});
    Told { endpoints: worlds.endpoints, clients: audience.text(), comparison: comparisons.into_iter().next() }
}

fn json(told: &Told, wanted: &Wanted) -> Value {
    let comparison = told.comparison.clone().unwrap_or_default();
    // The sum of nothing is a negative zero, which reads oddly.
    let percent = |weight| comparison.percent(weight) + 0.0;
    let regions = comparison.sources.iter().map(|(source, change)| {
        json!({ "source": named(source), "before_percent": percent(change.before), "after_percent": percent(change.after) })
    });
    let moves = comparison.moves.iter().map(|((from, to), moved)| {
        json!({ "from": named(from), "to": named(to), "percent": percent(moved.weight), "mean_extra_km": moved.mean_km() })
    });
    let countries = comparison.countries.iter().take(MAX_COUNTRIES);
    let countries = countries.map(|(country, weight)| json!({ "country": country, "percent": percent(*weight) }));
    json!({
        "name": wanted.name, "down": wanted.down.split(',').collect::<Vec<_>>(), "endpoints": told.endpoints, "clients": told.clients,
        "regions": regions.collect::<Vec<_>>(), "moves": moves.collect::<Vec<_>>(), "countries": countries.collect::<Vec<_>>(),
        "moved_percent": percent(comparison.moved()), "lost_percent": percent(comparison.lost()),
        "mean_extra_km": comparison.mean_extra_km(), "p95_extra_km": comparison.p95_extra_km(),
    })
}

/// A region by its name, else `(fallback)` or `(no answer)`, which no region can be called.
fn named(source: &Source) -> String {
    source.to_string()
}

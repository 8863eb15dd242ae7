//! What every request can reach: the narrow handles of the other rooms, and in which phase of its life the process is.
//! It changes nothing by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use axum::http::StatusCode;

use super::access::{Caller, Guard};
use super::journal::Journal;
use super::loads::Tellers;
use super::problem::Problem;
use super::reload::Reload;
use super::simulate::Simulations;
use super::takeover::Claim;
use crate::clock::Clock;
use crate::keeper::HealthHandle;
use crate::metrics::Registry;
use crate::querylog::Taps;
use crate::snapshot::Shared;

/// What requests are answered from.
#[derive(Debug)]
pub struct App {
    /// Health: to read, and to force.
    pub health: HealthHandle,
    /// The world that queries see.
    pub world: Shared,
    /// What was counted of them.
    pub registry: Arc<Registry>,
    /// The query log, where there is one.
    pub query_log: Option<Taps>,
    /// The time.
    pub clock: Clock,
    /// What became of loads.
    pub journal: Arc<Journal>,
    /// Asks for a reload.
    pub reload: Reload,
    /// Asks for all that this process has, for another.
    pub claim: Claim,
    /// Where the process stands.
    pub phase: Arc<Phase>,
    /// Who may do what.
    pub guard: Arc<Guard>,
    /// Who may simulate.
    pub simulations: Simulations,
    /// Who tells loads.
    pub tellers: Tellers,
}

impl App {
    /// Tells in the log who changed what, and what came of it.
    pub(super) fn audit(&self, caller: &Caller, action: &str, whom: &str, outcome: &str) {
        tracing::warn!(target: "meridian::audit", caller = caller.name, action, whom, outcome, "asked by the API");
    }

    /// Does what waits for another thread on a thread that may wait.
    pub(super) async fn wait_for<T: Send + 'static>(
        self: &Arc<App>,
        work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.unwrap_or_else(|_panic| Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request ended in a panic; this is a bug")))
    }
}

/// Where the process stands; readiness depends on it.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const LEAVING: u8 = 2;
const DRAINING: u8 = 3;

impl Phase {
    /// Queries are answered from now on.
    pub fn serving(&self) {
        self.0.store(SERVING, Relaxed);
    }

    /// Another process is about to take over: queries are answered, and nothing is changed that it would not hear of.
    pub fn leaving(&self) {
        self.0.store(LEAVING, Relaxed);
    }

    /// The process ends: whoever routes to it should stop.
    pub fn draining(&self) {
        self.0.store(DRAINING, Relaxed);
    }

    /// `starting`, `serving` or `draining`.
    pub fn name(&self) -> &'static str {
        match self.0.load(Relaxed) {
            STARTING => "starting",
            SERVING | LEAVING => "serving",
            _ => "draining",
        }
    }

    /// Whether queries are answered.
    pub fn is_serving(&self) -> bool {
        matches!(self.0.load(Relaxed), SERVING | LEAVING)
    }

    /// Whether another process is about to take over.
    pub fn is_leaving(&self) -> bool {
        self.0.load(Relaxed) == LEAVING
    }
}

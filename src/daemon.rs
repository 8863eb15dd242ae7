//! Wiring and order: load, first probes, bind, serve, reload, drain. Every room is started and stopped here and nowhere else.
//! Nothing is decided here: what is answered, judged or refused is the business of the rooms.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::{self, Control};
use crate::clock::Clock;
use crate::config::compile::{Compiled, Earlier, compile};
use crate::config::load;
use crate::config::model::{Server, Test};
use crate::diag::Diagnostics;
use crate::health::{Layout, NodeId, TargetKey};
use crate::keeper::Keeper;
use crate::metrics::Registry;
use crate::prober::Prober;
use crate::rehearsal::{expectations, summary};
use crate::server::{self, NowMs, Running};

/// Threads of the runtime that probes and signals share; both only wait.
const RUNTIME_THREADS: usize = 2;

/// Why the server did not start or had to end.
#[derive(Debug)]
pub enum DaemonError {
    /// The configuration was refused; it was said why.
    Config(Diagnostics),
    /// The system refused something: an address, a thread, a signal handler.
    System(String),
}

/// A configuration that is ready to serve.
#[derive(Debug)]
pub struct Prepared {
    /// Settings of this server.
    pub server: Server,
    /// The compiled world.
    pub compiled: Compiled,
    /// What some clients shall be answered; nobody has asked yet, see [`rehearse`].
    pub tests: Vec<Test>,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Loads, compiles and asks the configuration's own tests; exactly this is what `check` runs, what `serve` starts from and what a reload does.
pub fn rehearse(path: &Path, earlier: Option<&Earlier>) -> Result<Prepared, Diagnostics> {
    let mut prepared = prepare(path, earlier)?;
    expectations::run(&prepared.compiled, &prepared.tests, &mut prepared.warnings);
    if prepared.warnings.has_errors() { Err(prepared.warnings) } else { Ok(prepared) }
}

/// Loads and compiles, as tools do that look into a configuration, with failing tests too.
pub fn prepare(path: &Path, earlier: Option<&Earlier>) -> Result<Prepared, Diagnostics> {
    let loaded = load(path);
    let mut diagnostics = loaded.diagnostics;
    let Some(model) = loaded.model else { return Err(diagnostics) };
    let server = model.server.clone();
    let tests = model.tests.clone();
    match compile(model, earlier, &mut diagnostics) {
        Some(compiled) if !diagnostics.has_errors() => Ok(Prepared { server, compiled, tests, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}

/// Serves until SIGTERM or SIGINT, reloads at SIGHUP.
pub fn serve(path: &Path) -> Result<(), DaemonError> {
    let prepared = rehearse(path, None).map_err(DaemonError::Config)?;
    if let Err(error) = server::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    let runtime = Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build().map_err(system("start the runtime"))?;
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(system("watch signals"))?;
    let mut daemon = Daemon::start(path, prepared, &runtime)?;
    while let Wish::Reload = runtime.block_on(signals.next()) {
        daemon.reload();
    }
    daemon.stop();
    Ok(())
}

/// The running server and what a reload needs.
struct Daemon {
    path: PathBuf,
    server: Server,
    earlier: Earlier,
    keeper: Keeper,
    /// Held so that the socket goes with the daemon.
    control: Option<Control>,
    prober: Prober,
    running: Running,
    registry: Arc<Registry>,
}

impl Daemon {
    /// The order that nobody may change: a world, its first probes, and only then the sockets (BEHAVIOUR H1).
    fn start(path: &Path, prepared: Prepared, runtime: &Runtime) -> Result<Daemon, DaemonError> {
        let Prepared { server, compiled, warnings, .. } = prepared;
        log_warnings(&warnings);
        let clock = Clock::system();
        let earlier = Earlier::of(&compiled);
        let targets = targets(&compiled.layout);
        let keeper = Keeper::start(compiled, server.state_dir.clone(), clock.clone()).map_err(system("start the keeper"))?;

        let health = keeper.health();
        let report = move |target: TargetKey, report| health.report(NodeId::LOCAL, &target, report);
        let mut prober = Prober::start(runtime.handle(), clock.clone(), clock.wall_s(), targets, report);
        if keeper.knew_all() {
            tracing::info!("the health of every target was saved a moment ago; its probes are not waited for");
        } else if !runtime.block_on(prober.first_round()) {
            tracing::warn!("the first round of probes is not complete; targets that were not heard of are served as up");
        }
        keeper.world().settle();

        let registry = Registry::new();
        let control = match server.control_path() {
            None => None,
            Some(path) => Some(
                api::listen(&path, keeper.health(), keeper.shared().clone(), clock.clone()).map_err(system("open the control socket"))?,
            ),
        };
        let now: NowMs = Arc::new(move || clock.now_ms());
        let config = server::Config::new(server.listen.clone(), server.workers);
        let running = server::start(config, keeper.shared(), &registry, &now).map_err(|error| DaemonError::System(error.to_string()))?;
        let catalog = &keeper.shared().load().catalog;
        let (zones, names, regions) = (catalog.zones.zones().len(), catalog.steerings.len(), catalog.regions.len());
        for address in running.addresses() {
            tracing::info!(%address, "serving");
        }
        tracing::info!(zones, steered_names = names, regions, targets = prober.target_count(), "ready");
        Ok(Daemon { path: path.to_owned(), server, earlier, keeper, control, prober, running, registry })
    }

    /// All or nothing: with any error the world in force stays (BEHAVIOUR R1).
    fn reload(&mut self) {
        let Prepared { server, compiled, warnings, .. } = match rehearse(&self.path, Some(&self.earlier)) {
            Ok(prepared) => prepared,
            Err(diagnostics) => {
                tracing::error!("reload refused, the configuration in force stays:\n{}", diagnostics.to_string().trim_end());
                return;
            }
        };
        log_warnings(&warnings);
        if (&server.listen, server.workers) != (&self.server.listen, self.server.workers) {
            tracing::warn!("a change of `listen` or `workers` takes a restart");
        }
        let before = Arc::clone(&self.keeper.shared().load().catalog);
        self.earlier = Earlier::of(&compiled);
        let targets = targets(&compiled.layout);
        self.keeper.world().install(compiled);
        self.prober.set_targets(targets);
        let world = self.keeper.shared().load();
        tracing::info!(generation = world.generation, zones = world.catalog.zones.zones().len(), "reloaded");
        tracing::info!("with everything up, by addresses: {}", summary(&before, &world.catalog));
    }

    /// Sockets first, so that nobody is left without an answer; then the rest.
    fn stop(self) {
        tracing::info!("draining");
        self.running.stop();
        drop(self.control);
        drop(self.prober);
        self.keeper.stop();
        tracing::info!("stopped; {}", self.registry.totals());
    }
}

/// Every distinct target of a layout is probed.
fn targets(layout: &Layout) -> Vec<TargetKey> {
    layout.endpoints.iter().flat_map(|endpoint| endpoint.targets()).cloned().collect()
}

fn log_warnings(warnings: &Diagnostics) {
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> DaemonError {
    move |error| DaemonError::System(format!("cannot {what}: {error}"))
}

/// What the operator asked of the process.
enum Wish {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }
}

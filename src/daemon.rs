//! Wiring and order: load, first probes, bind, serve, reload, drain. Every room is started and stopped here and nowhere else.
//! Nothing is decided here: what is answered, judged or refused is the business of the rooms.

mod manager;
mod wishes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::api::{self, Control};
use crate::clock::Clock;
use crate::config::compile::{Compiled, Earlier, compile};
use crate::config::load;
use crate::config::model::{Server, Test};
use crate::diag::Diagnostics;
use crate::health::{NodeId, TargetKey};
use crate::keeper::{Ended, Keeper};
use crate::metrics::Registry;
use crate::prober::{Prober, Resolver};
use crate::rehearsal::{expectations, summary};
use crate::server::{self, NowMs, Running};
use manager::Manager;
use wishes::{Wish, Wishes};

/// Threads of the runtime that probes and signals share; both only wait. Loads have threads of their own.
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

/// Serves until SIGTERM or SIGINT, reloads at SIGHUP. Both are heard at every moment: while files are read, while first probes are awaited.
pub fn serve(path: &Path) -> Result<(), DaemonError> {
    if let Err(error) = server::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    let runtime = Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build().map_err(system("start the runtime"))?;
    let done = run(path, &runtime);
    // A load that nobody waits for any more goes with the process.
    runtime.shutdown_background();
    done
}

fn run(path: &Path, runtime: &Runtime) -> Result<(), DaemonError> {
    let (mut wishes, keeper_ended) = runtime.block_on(async { Wishes::new() }).map_err(system("watch signals"))?;
    let Some(prepared) = wishes.prepare(runtime, path, None)? else { return Ok(()) };
    let Some(mut daemon) = Daemon::start(path, prepared, runtime, &mut wishes, keeper_ended)? else { return Ok(()) };
    let manager = Manager::of_environment();
    manager.ready();
    manager.watch(runtime, daemon.keeper.world());
    while let Wish::Reload = runtime.block_on(wishes.next()) {
        manager.reloading();
        if !daemon.reload(runtime, &mut wishes) {
            break;
        }
        manager.ready();
    }
    manager.stopping();
    daemon.stop()
}

/// The running server and what a reload needs.
struct Daemon {
    path: PathBuf,
    server: Server,
    earlier: Arc<Earlier>,
    keeper: Keeper,
    /// Held so that the socket goes with the daemon.
    control: Option<Control>,
    resolver: Resolver,
    /// The prober, which follows the keeper.
    probing: AbortHandle,
    running: Running,
    registry: Arc<Registry>,
}

impl Daemon {
    /// The order that nobody may change: a world, its first probes, and only then the sockets (BEHAVIOUR H1).
    /// None if the process was asked to end meanwhile.
    fn start(
        path: &Path,
        prepared: Prepared,
        runtime: &Runtime,
        wishes: &mut Wishes,
        keeper_ended: impl FnMut() + Send + 'static,
    ) -> Result<Option<Daemon>, DaemonError> {
        let Prepared { server, compiled, warnings, .. } = prepared;
        log_warnings(&warnings);
        let clock = Clock::system();
        let earlier = Arc::new(Earlier::of(&compiled));
        let hosts = compiled.layout.hosts();
        let registry = Registry::new();
        let keeper = Keeper::start(compiled, server.state_dir.clone(), clock.clone(), Arc::clone(&registry), keeper_ended)
            .map_err(system("start the keeper"))?;

        let health = keeper.health();
        let mut resolver = Resolver::start(runtime.handle(), &server.resolvers, hosts, move |host, found| health.resolved(host, found));
        if !keeper.knew_hosts() {
            match runtime.block_on(wishes.unless_stopped(resolver.first_round())) {
                Some(true) => {}
                Some(false) => tracing::warn!("not all host names are resolved yet; their regions have no address until they are"),
                None => return Ok(None),
            }
            keeper.world().settle()?;
        }
        let (health, targets) = (keeper.health(), keeper.health().targets()?);
        let report = move |target: TargetKey, report| health.report(NodeId::LOCAL, &target, report);
        let mut prober = Prober::start(runtime.handle(), clock.clone(), clock.wall_s(), targets, report);
        if keeper.knew_all() {
            tracing::info!("the health of every target was saved a moment ago; its probes are not waited for");
        } else {
            match runtime.block_on(wishes.unless_stopped(prober.first_round())) {
                Some(true) => {}
                Some(false) => tracing::warn!("the first round of probes is not complete; targets that were not heard of are served as up"),
                None => return Ok(None),
            }
        }
        keeper.world().settle()?;

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
        let probing = follow(runtime, prober, &keeper);
        let path = path.to_owned();
        Ok(Some(Daemon { path, server, earlier, keeper, control, resolver, probing, running, registry }))
    }

    /// All or nothing: with any error the world in force stays (BEHAVIOUR R1). False if the process was asked to end meanwhile.
    fn reload(&mut self, runtime: &Runtime, wishes: &mut Wishes) -> bool {
        match wishes.prepare(runtime, &self.path, Some(Arc::clone(&self.earlier))) {
            Ok(Some(prepared)) => self.install(prepared).unwrap_or_else(|ended| tracing::error!("reload failed: {ended}")),
            Ok(None) => return false,
            Err(DaemonError::Config(diagnostics)) => {
                tracing::error!("reload refused, the configuration in force stays:\n{}", diagnostics.to_string().trim_end());
            }
            Err(DaemonError::System(error)) => tracing::error!("reload failed, the configuration in force stays: {error}"),
        }
        true
    }

    fn install(&mut self, prepared: Prepared) -> Result<(), Ended> {
        let Prepared { server, compiled, warnings, .. } = prepared;
        log_warnings(&warnings);
        self.warn_of_restart(&server);
        let before = Arc::clone(&self.keeper.shared().load().catalog);
        let earlier = Arc::new(Earlier::of(&compiled));
        let hosts = compiled.layout.hosts();
        self.keeper.world().install(compiled)?;
        self.earlier = earlier;
        self.resolver.set(&server.resolvers, hosts);
        let world = self.keeper.shared().load();
        tracing::info!(generation = world.generation, zones = world.catalog.zones.zones().len(), "reloaded");
        // Some seconds over a large database, for which no signal shall wait.
        let after = Arc::clone(&world.catalog);
        let tell = move || tracing::info!("with everything up, by addresses: {}", summary(&before, &after));
        if let Err(error) = std::thread::Builder::new().name("summary".into()).spawn(tell) {
            tracing::warn!(%error, "what the reload moves cannot be told");
        }
        Ok(())
    }

    /// What is bound or opened at start only.
    fn warn_of_restart(&self, new: &Server) {
        let old = &self.server;
        let changes = [
            ("listen", new.listen != old.listen),
            ("workers", new.workers != old.workers),
            ("control", new.control_path() != old.control_path()),
            ("state_dir", new.state_dir != old.state_dir),
        ];
        for (key, _) in changes.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("a change of `{key}` takes a restart");
        }
    }

    /// Sockets first, so that nobody is left without an answer; then the rest.
    fn stop(self) -> Result<(), DaemonError> {
        tracing::info!("draining");
        self.running.stop();
        drop(self.control);
        drop(self.resolver);
        self.probing.abort();
        self.keeper.stop()?;
        tracing::info!("stopped; {}", self.registry.totals());
        Ok(())
    }
}

/// From now on the prober probes what the keeper says: that changes with reloads and with the addresses of host names.
fn follow(runtime: &Runtime, mut prober: Prober, keeper: &Keeper) -> AbortHandle {
    let (tell, mut told) = watch::channel(Vec::new());
    keeper.health().tell_targets(move |targets| _ = tell.send(targets));
    let following = async move {
        while told.changed().await.is_ok() {
            let targets = told.borrow_and_update().clone();
            prober.set_targets(targets);
        }
    };
    runtime.spawn(following).abort_handle()
}

fn log_warnings(warnings: &Diagnostics) {
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> DaemonError {
    move |error| DaemonError::System(format!("cannot {what}: {error}"))
}

impl From<Ended> for DaemonError {
    fn from(ended: Ended) -> DaemonError {
        DaemonError::System(ended.to_string())
    }
}

//! Wiring and order: load, first probes, bind, serve, reload, hand over, drain. Every room is started and stopped here and nowhere else.
//! Nothing is decided here: what is answered, judged or refused is the business of the rooms.

#[cfg(target_os = "linux")]
mod certificates;
mod confine;
mod manager;
mod restart;
mod rights;
mod succession;
mod watch;
mod wishes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::api::{Api, App, Claim, Doors, Guard, InForce, Journal, LoadOutcome, Phase, Refused, Reload, Simulations, Tellers};
use crate::clock::Clock;
use crate::config::compile::{Compiled, Earlier, compile};
use crate::config::model::{Server, Test};
use crate::config::settings::Settings;
use crate::config::{load_server, load_telling};
use crate::diag::Diagnostics;
use crate::health::{NodeId, TargetKey};
use crate::keeper::{Ended, Keeper};
use crate::metrics::Registry;
use crate::prober::{Prober, Resolver};
use crate::progress::Progress;
use crate::querylog::{QueryLog, Taps};
use crate::rehearsal::{expectations, summary};
use crate::server::{self, NowMs, Running};
use certificates::{identities, warn_of_expiry};
use manager::Manager;
use succession::{Estate, Outcome, Program};
use watch::Watch;
use wishes::{Asking, Wish, Wishes};

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
    /// Every setting in force, with where it comes from.
    pub settings: Arc<Settings>,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Loads, compiles and asks the configuration's own tests; exactly this is what `check` runs, what `serve` starts from and what a reload does.
pub fn rehearse(path: &Path, earlier: Option<&Earlier>, progress: &Progress) -> Result<Prepared, Diagnostics> {
    let mut prepared = prepare_telling(path, earlier, progress)?;
    expectations::run(&prepared.compiled, &prepared.tests, &mut prepared.warnings);
    if prepared.warnings.has_errors() { Err(prepared.warnings) } else { Ok(prepared) }
}

/// Loads and compiles, as tools do that look into a configuration, with failing tests too.
pub fn prepare(path: &Path, earlier: Option<&Earlier>) -> Result<Prepared, Diagnostics> {
    prepare_telling(path, earlier, &Progress::default())
}

/// The same, and tells how far it is.
pub fn prepare_telling(path: &Path, earlier: Option<&Earlier>, progress: &Progress) -> Result<Prepared, Diagnostics> {
    let prepared = prepared(path, earlier, progress);
    progress.end();
    prepared
}

fn prepared(path: &Path, earlier: Option<&Earlier>, progress: &Progress) -> Result<Prepared, Diagnostics> {
    let loaded = load_telling(path, progress);
    let mut diagnostics = loaded.diagnostics;
    let Some(mut model) = loaded.model else { return Err(diagnostics) };
    let settings = Arc::new(std::mem::take(&mut model.settings));
    let server = model.server.clone();
    let tests = model.tests.clone();
    warn_of_expiry(&server, &mut diagnostics);
    match compile(model, earlier, progress, &mut diagnostics) {
        Some(compiled) if !diagnostics.has_errors() => Ok(Prepared { server, compiled, tests, settings, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}

/// Serves until SIGTERM or SIGINT, reloads at SIGHUP. Both are heard at every moment: while files are read, while first probes are awaited.
/// With `takeover` it gets the sockets and the health of the process that runs, and serves in its place once it is ready.
pub fn serve(path: &Path, takeover: bool, progress: &Progress) -> Result<(), DaemonError> {
    let mut estate = Estate::of_manager()?;
    // What else is wrong with the files is told by the load, which reads them as whoever the process is by then.
    let settings = load_server(path).ok();
    if let Some(settings) = &settings {
        rights::settle(settings, takeover, &mut estate)?;
    }
    let program = Program::of_this_process();
    if let Err(error) = server::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    // Before there is another thread: those that are started later have it from this one. Files that are refused are told of by the load.
    #[cfg(target_os = "linux")]
    if let Some(settings) = &settings {
        confine::confine(settings);
    }
    let runtime = Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build().map_err(system("start the runtime"))?;
    let done = run(path, &runtime, estate, (takeover, progress), &program);
    // A load that nobody waits for any more goes with the process.
    runtime.shutdown_background();
    done
}

fn run(
    path: &Path,
    runtime: &Runtime,
    mut estate: Estate,
    (takeover, progress): (bool, &Progress),
    program: &Program,
) -> Result<(), DaemonError> {
    let (mut wishes, keeper_ended, Asking { reload, claim, change }) =
        runtime.block_on(async { Wishes::new() }).map_err(system("watch signals"))?;
    let clock = Clock::system();
    let journal = Journal::new(clock.wall_s());
    let Some(mut prepared) = wishes.prepare(runtime, path, None, progress)? else { return Ok(()) };
    let watch = Watch::start(clock.clone(), change).map_err(system("start a thread"))?;
    let seen = prepared.warnings.take_seen();
    journal.done(clock.wall_s(), clock.now_ms(), in_force(&prepared));
    let told = Told { clock, phase: Arc::default(), journal: Arc::new(journal), reload, claim };
    if takeover {
        // Not before: a configuration that is refused costs the running process nothing.
        estate.claim(&prepared.server)?;
    }
    let Some(mut daemon) = Daemon::start(path, prepared, runtime, &mut wishes, keeper_ended, told, estate)? else { return Ok(()) };
    watch.follow(daemon.server.watch.then_some(seen));
    let manager = Manager::of_environment();
    manager.ready();
    manager.watch(runtime, daemon.keeper.world());
    loop {
        match runtime.block_on(wishes.next()) {
            Wish::Reload(waiting) => {
                manager.reloading();
                let Some(outcome) = daemon.reload(runtime, &mut wishes, &watch) else { break };
                manager.ready();
                // Whoever asked may have gone.
                waiting.into_iter().for_each(|waiting| _ = waiting.send(outcome.clone()));
            }
            Wish::Follow => {
                tracing::info!("files of the configuration have changed, reloading");
                manager.reloading();
                if daemon.reload(runtime, &mut wishes, &watch).is_none() {
                    break;
                }
                daemon.told.journal.was_watched();
                manager.ready();
            }
            Wish::Upgrade => program.start_heir(runtime),
            Wish::HandOver(heir) => match daemon.hand_over(heir, runtime, &mut wishes, &manager) {
                Outcome::Theirs => return Ok(daemon.leave()?),
                Outcome::Ours => {}
                Outcome::Stop => break,
            },
            Wish::Stop => break,
        }
    }
    manager.stopping();
    daemon.stop()
}

/// What there is before anything runs.
struct Told {
    clock: Clock,
    phase: Arc<Phase>,
    journal: Arc<Journal>,
    reload: Reload,
    claim: Claim,
}

/// The running server and what a reload needs.
struct Daemon {
    path: PathBuf,
    server: Server,
    earlier: Arc<Earlier>,
    keeper: Keeper,
    /// Held so that its socket goes with the daemon.
    api: Api,
    told: Told,
    resolver: Resolver,
    /// The prober, which follows the keeper.
    probing: AbortHandle,
    /// Held so that what it has is written at the end.
    query_log: Option<QueryLog>,
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
        told: Told,
        mut estate: Estate,
    ) -> Result<Option<Daemon>, DaemonError> {
        let Prepared { server, compiled, warnings, .. } = prepared;
        log_warnings(&warnings);
        told.journal.shows(identities(&server));
        let clock = told.clock.clone();
        let earlier = Arc::new(Earlier::of(&compiled));
        let hosts = compiled.layout.hosts();
        let registry = Registry::new();
        let keeper = Keeper::start(compiled, estate.store(server.state_dir.clone()), clock.clone(), Arc::clone(&registry), keeper_ended)
            .map_err(system("start the keeper"))?;
        let query_log = server.query_log.as_ref().map(|settings| QueryLog::start(settings, keeper.shared().clone(), clock.clone()));
        let query_log = query_log.transpose().map_err(system("open the query log"))?;
        let open_api = |estate: &mut Estate| open_api(&told, &server, &keeper, &registry, query_log.as_ref().map(QueryLog::taps), estate);
        // Before the first probes, so that whoever waits for the server can see that it lives; but while another process serves, whoever
        // asks shall hear it from that one.
        let api = if estate.is_takeover() { None } else { Some(open_api(&mut estate)?) };

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

        let now: NowMs = Arc::new(move || clock.now_ms());
        let config = server::Config {
            taps: query_log.as_ref().map(QueryLog::taps),
            connections: server.connections,
            encrypted: server.encrypted.clone(),
            cpus: server.cpus.clone(),
            reading: server::Reading { most: server.batch, has_stamps: server.timestamps },
            ..server::Config::new(server.listen.clone(), server.workers)
        };
        let bound = server::bind(config, &mut estate.sockets).map_err(|error| DaemonError::System(error.to_string()))?;
        let running = bound.run(keeper.shared(), &registry, &now).map_err(system("start the answering threads"))?;
        let catalog = &keeper.shared().load().catalog;
        let (zones, names, regions) = (catalog.zones.zones().len(), catalog.steerings.len(), catalog.regions.len());
        for address in running.addresses() {
            tracing::info!(%address, "serving");
        }
        for (transport, address) in running.encrypted_addresses() {
            tracing::info!(transport = transport.name(), %address, "serving");
        }
        told.phase.serving();
        let api = api.map_or_else(|| open_api(&mut estate), Ok)?;
        if let Err(error) = estate.settle(&keeper) {
            api.leave();
            return Err(error);
        }
        tracing::info!(zones, steered_names = names, regions, targets = prober.target_count(), "ready");
        let probing = follow(runtime, prober, &keeper);
        let path = path.to_owned();
        Ok(Some(Daemon { path, server, earlier, keeper, api, told, resolver, probing, query_log, running, registry }))
    }

    /// All or nothing: with any error the world in force stays (BEHAVIOUR R1). The new generation, or why there is none; nothing at
    /// all if the process was asked to end meanwhile.
    fn reload(&mut self, runtime: &Runtime, wishes: &mut Wishes, watch: &Watch) -> Option<Result<u64, Refused>> {
        let start_ms = self.told.clock.now_ms();
        let mut prepared = wishes.prepare(runtime, &self.path, Some(Arc::clone(&self.earlier)), &Progress::default());
        match &mut prepared {
            Ok(Some(prepared)) => {
                self.server.watch = prepared.server.watch;
                watch.follow(prepared.server.watch.then(|| prepared.warnings.take_seen()));
            }
            // What was refused is mended where it was read.
            Err(DaemonError::Config(found)) if self.server.watch => watch.follow(Some(found.take_seen())),
            _ => {}
        }
        let refused = match prepared {
            Ok(Some(prepared)) => {
                let mut in_force = in_force(&prepared);
                for warning in restart::warnings(&self.server, &prepared.server) {
                    tracing::warn!("{warning}");
                    in_force.warnings += &format!("warning: {warning}\n");
                }
                match self.install(prepared) {
                    Ok(generation) => {
                        self.told.journal.done(self.told.clock.wall_s(), self.told.clock.now_ms() - start_ms, in_force);
                        return Some(Ok(generation));
                    }
                    Err(ended) => Refused::Machine(ended.to_string()),
                }
            }
            Ok(None) => return None,
            Err(DaemonError::Config(diagnostics)) => Refused::Configuration(diagnostics.to_string()),
            Err(DaemonError::System(error)) => Refused::Machine(error),
        };
        let (outcome, why) = match &refused {
            Refused::Configuration(why) => {
                tracing::error!("reload refused, the configuration in force stays:\n{}", why.trim_end());
                (LoadOutcome::Refused, why)
            }
            Refused::Machine(why) => {
                tracing::error!("reload failed, the configuration in force stays: {why}");
                (LoadOutcome::Failed, why)
            }
        };
        self.told.journal.came_to_nothing(outcome, self.told.clock.wall_s(), why.clone());
        Some(Err(refused))
    }

    fn install(&mut self, prepared: Prepared) -> Result<u64, Ended> {
        let Prepared { server, compiled, warnings, .. } = prepared;
        log_warnings(&warnings);
        let before = Arc::clone(&self.keeper.shared().load().catalog);
        let earlier = Arc::new(Earlier::of(&compiled));
        let hosts = compiled.layout.hosts();
        self.keeper.world().install(compiled)?;
        self.follow(&server);
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
        Ok(world.generation)
    }

    /// The certificates and tokens of the configuration in force.
    fn follow(&self, server: &Server) {
        // One that is new needs listeners, hence a restart.
        let encrypted = server.encrypted.as_ref().filter(|_| self.server.encrypted.is_some());
        encrypted.into_iter().for_each(|encrypted| self.running.show(&encrypted.identity));
        if let Err(error) = self.api.follow(&server.api) {
            tracing::error!(%error, "the API shows its certificate of before");
        }
        let of_api = self.api.identity();
        self.told.journal.shows(encrypted.map(|encrypted| &encrypted.identity).into_iter().chain(&of_api));
    }

    /// Sockets first, so that nobody is left without an answer; then the rest.
    fn stop(self) -> Result<(), DaemonError> {
        tracing::info!("draining");
        let is_leaving = self.told.phase.is_leaving();
        self.told.phase.draining();
        self.running.stop();
        drop(self.query_log);
        if is_leaving {
            // The other process goes on at the same control socket.
            self.api.leave();
        } else {
            drop(self.api);
        }
        drop(self.resolver);
        self.probing.abort();
        self.keeper.stop()?;
        tracing::info!("stopped; {}", self.registry.totals());
        Ok(())
    }
}

fn open_api(
    told: &Told,
    server: &Server,
    keeper: &Keeper,
    registry: &Arc<Registry>,
    query_log: Option<Taps>,
    estate: &mut Estate,
) -> Result<Api, DaemonError> {
    let app = App {
        health: keeper.health(),
        world: keeper.shared().clone(),
        registry: Arc::clone(registry),
        query_log,
        clock: told.clock.clone(),
        journal: Arc::clone(&told.journal),
        reload: told.reload.clone(),
        claim: told.claim.clone(),
        phase: Arc::clone(&told.phase),
        guard: Guard::new(server.api.clone()).into(),
        simulations: Simulations::new(server::stand_back),
        tellers: Tellers::default(),
    };
    let doors = Doors { socket: server.control_path(), network: server.api.clone() };
    let api = Api::start(&doors, Arc::new(app), &mut estate.sockets).map_err(system("open the API"))?;
    for address in api.addresses() {
        tracing::info!(%address, "the API listens");
    }
    Ok(api)
}

/// From now on the prober probes what the keeper says: that changes with reloads and with the addresses of host names.
fn follow(runtime: &Runtime, mut prober: Prober, keeper: &Keeper) -> AbortHandle {
    let (tell, mut told) = tokio::sync::watch::channel(Vec::new());
    keeper.health().tell_targets(move |targets| _ = tell.send(targets));
    let following = async move {
        while told.changed().await.is_ok() {
            let targets = told.borrow_and_update().clone();
            prober.set_targets(targets);
        }
    };
    runtime.spawn(following).abort_handle()
}

/// What the API tells of a configuration.
fn in_force(prepared: &Prepared) -> InForce {
    let (geo, settings) = (prepared.compiled.geo_sources.clone(), Arc::clone(&prepared.settings));
    InForce { geo, settings, warnings: prepared.warnings.to_string() }
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

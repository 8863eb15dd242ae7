//! One process after another: what this one gets from a service manager or from the process that runs, and what it gives to the next.
//! Until the last word is said the running process serves as if nothing were; it is the only one that writes files until then.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::thread;

use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::manager::Manager;
use super::wishes::Wishes;
use super::{Daemon, DaemonError};
use crate::config::model::Server;
use crate::handover::{self, Heir, Legacy, Sockets, Word};
use crate::keeper::{Ended, Keeper, Store};

/// The option that has a new process take over.
const OPTION: &str = "--takeover";

/// What the service manager says to one process only: it would keep the next from giving signs of life, or have it take descriptors that it
/// has not.
const OF_ONE_PROCESS: [&str; 4] = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// What was there before this process: sockets, and perhaps a process that serves them.
#[derive(Debug, Default)]
pub(super) struct Estate {
    /// Sockets that nobody has taken yet.
    pub(super) sockets: Sockets,
    legacy: Option<Legacy>,
}

impl Estate {
    /// The sockets that a service manager has opened. To be called before there are threads.
    pub(super) fn of_manager() -> Result<Estate, DaemonError> {
        Ok(Estate { sockets: handover::inherit().map_err(DaemonError::System)?, legacy: None })
    }

    /// What the process has that listens at our control socket. Where nobody does there is nothing to take over, and this is a start as any.
    pub(super) fn claim(&mut self, server: &Server) -> Result<(), DaemonError> {
        let Some(path) = server.control_path() else {
            let text = "nobody can be found to take over from: the server file has neither `control` nor `state_dir`";
            return Err(DaemonError::System(text.into()));
        };
        let refused = |error| {
            let text = format!("cannot take over from the process at `{}`, which goes on: {error}", path.display());
            Err(DaemonError::System(text))
        };
        match handover::claim(&path).or_else(refused)? {
            Some(mut legacy) => {
                self.sockets = std::mem::take(&mut legacy.sockets);
                self.legacy = Some(legacy);
            }
            None => tracing::warn!("nobody listens at `{}`, so there is nothing to take over: this is a start as any", path.display()),
        }
        Ok(())
    }

    /// Whether another process serves until we say that we do.
    pub(super) fn is_takeover(&self) -> bool {
        self.legacy.is_some()
    }

    /// Where health is kept, and what the process that runs knows of it.
    pub(super) fn store(&self, folder: Option<PathBuf>) -> Store {
        Store { folder, legacy: self.legacy.as_ref().map(|legacy| legacy.health.clone()) }
    }

    /// All that is served is served: what nobody has taken is closed, and the process that ran is told to end. An error says that it goes on
    /// and that we must end.
    pub(super) fn settle(self, keeper: &Keeper) -> Result<(), DaemonError> {
        for (kind, place) in self.sockets.places() {
            tracing::warn!(kind, place, "a socket that was handed over is in no list of this configuration, and is closed");
        }
        drop(self.sockets);
        let Some(mut legacy) = self.legacy else { return Ok(()) };
        match legacy.serving() {
            Ok(Word::Yours) => tracing::info!("took over: the process that ran before drains and ends"),
            Ok(Word::Gone) => tracing::warn!("took over: the process that ran before is gone"),
            Err(error) => return Err(DaemonError::System(format!("cannot take over from the process that runs, which goes on: {error}"))),
        }
        Ok(keeper.world().save(true)?)
    }
}

/// How a handover ended.
pub(super) enum Outcome {
    /// All is the other process's.
    Theirs,
    /// All is still ours.
    Ours,
    /// The process was asked to end meanwhile.
    Stop,
}

impl Daemon {
    /// Gives another process all that it needs, and goes when it serves.
    pub(super) fn hand_over(&self, heir: Heir, runtime: &Runtime, wishes: &mut Wishes, manager: &Manager) -> Outcome {
        let process = heir.process();
        tracing::info!(process, "another process wants to take over");
        self.told.phase.leaving();
        let outcome = self.follow_heir(heir, runtime, wishes, manager).unwrap_or_else(|error| {
            tracing::warn!(process, "the takeover came to nothing, this process goes on: {error}");
            Outcome::Ours
        });
        if matches!(outcome, Outcome::Ours) {
            self.told.phase.serving();
        }
        outcome
    }

    fn follow_heir(&self, mut heir: Heir, runtime: &Runtime, wishes: &mut Wishes, manager: &Manager) -> Result<Outcome, String> {
        let world = self.keeper.world();
        heir.give([self.running.sockets(), self.api.sockets()], &world.legacy()?).map_err(|error| error.to_string())?;
        let (done, served) = oneshot::channel();
        let wait = move || {
            let served = heir.wait_until_it_serves();
            // Nobody waits where this process ends; the heir then sees that it is gone.
            _ = done.send((heir, served));
        };
        thread::Builder::new().name("heir".into()).spawn(wait).map_err(|error| error.to_string())?;
        let Some(answer) = runtime.block_on(wishes.unless_stopped(served)) else { return Ok(Outcome::Stop) };
        let (mut heir, served) = answer.map_err(|_gone| "its thread ended in a panic")?;
        if let Err(error) = served {
            heir.refuse("it took too long");
            return Err(error.to_string());
        }
        // Before the last word: the heir may write as soon as it has heard it, and its word to the manager counts only if ours came first.
        world.save(false)?;
        heir.process().into_iter().for_each(|process| manager.follow(process));
        if let Err(error) = heir.yours() {
            manager.follow(std::process::id());
            world.save(true)?;
            return Err(error.to_string());
        }
        Ok(Outcome::Theirs)
    }

    /// Ends after another process has taken over: what came to us is answered to its end.
    pub(super) fn leave(self) -> Result<(), Ended> {
        tracing::info!("another process has taken over, draining");
        // First, so that whoever asks whether all is well hears it from the one that serves.
        self.api.leave();
        self.told.phase.draining();
        self.running.leave();
        drop(self.query_log);
        drop(self.resolver);
        self.probing.abort();
        self.keeper.stop()?;
        tracing::info!("stopped; {}", self.registry.totals());
        Ok(())
    }
}

/// How this process was started, so that another can be.
#[derive(Debug)]
pub(super) struct Program {
    path: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Program {
    /// To be called at the start: once the file of the program is replaced, the system knows only the old one.
    pub(super) fn of_this_process() -> Program {
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let path = called.or_else(|| std::env::current_exe().ok());
        Program { path, arguments: arguments.filter(|argument| argument != OPTION).collect() }
    }

    /// Starts the program that is there now, with the arguments that we had, to take over.
    pub(super) fn start_heir(&self, runtime: &Runtime) {
        if let Err(error) = self.spawn(runtime) {
            tracing::error!(%error, "cannot start the program to take over; this process goes on");
        }
    }

    fn spawn(&self, runtime: &Runtime) -> io::Result<()> {
        let path = self.path.as_ref().ok_or_else(|| io::Error::other("the path of the program is not known"))?;
        let mut command = Command::new(path);
        command.args(&self.arguments).arg(OPTION);
        OF_ONE_PROCESS.iter().for_each(|name| _ = command.env_remove(name));
        let _inside = runtime.enter();
        let mut child = command.spawn()?;
        tracing::info!(process = child.id(), "started `{}` to take over", path.display());
        runtime.spawn(async move {
            if let Ok(status) = child.wait().await {
                tracing::error!(%status, "the process that was started to take over has ended, this one goes on");
            }
        });
        Ok(())
    }
}

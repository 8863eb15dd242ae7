//! What may be asked of the process while it does something else: to reload, to end; and that its keeper has ended.
//! It does none of it: it waits, and whoever works says for what a wish may interrupt it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{DaemonError, Prepared, rehearse, system};
use crate::api::{Claim, Claims, Reload, Reloads, Waiting, claims, reloads};
use crate::config::compile::Earlier;
use crate::handover::Heir;
use crate::progress::Progress;
use crate::server;

/// What the process is asked to do.
pub(super) enum Wish {
    /// By a signal, or by someone who waits to be told what became of it.
    Reload(Option<Waiting>),
    /// As a file that was loaded has changed.
    Follow,
    /// By a process that asks for all that we have.
    HandOver(Heir),
    /// By the operator: to start the program anew, which then asks.
    Upgrade,
    /// By the operator, or because the keeper has ended and health stands still.
    Stop,
}

/// How others wish for something.
pub(super) struct Asking {
    /// For a reload, by the API.
    pub(super) reload: Reload,
    /// For all that we have, by the API.
    pub(super) claim: Claim,
    /// For a reload, as a file has changed.
    pub(super) change: mpsc::Sender<()>,
}

/// Whatever may ask something of the process while it does something else.
pub(super) struct Wishes {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
    keeper_ended: mpsc::Receiver<()>,
    requested: Reloads,
    claims: Claims,
    changed: mpsc::Receiver<()>,
}

impl Wishes {
    /// Also what the keeper is to call when it ends, and how others wish for something.
    pub(super) fn new() -> io::Result<(Wishes, impl FnMut() + Send + 'static, Asking)> {
        let (ended, keeper_ended) = mpsc::channel(1);
        let (reload, requested) = reloads();
        let (claim, claims) = claims();
        let (change, changed) = mpsc::channel(1);
        let wishes = Wishes {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
            keeper_ended,
            requested,
            claims,
            changed,
        };
        Ok((wishes, move || _ = ended.try_send(()), Asking { reload, claim, change }))
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            () = Wishes::stop(&mut self.terminate, &mut self.interrupt, &mut self.keeper_ended) => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload(None),
            Some(waiting) = self.requested.recv() => Wish::Reload(Some(waiting)),
            Some(heir) = self.claims.recv() => Wish::HandOver(heir),
            Some(()) = self.changed.recv() => Wish::Follow,
            _ = self.upgrade.recv() => Wish::Upgrade,
        }
    }

    /// What `work` gives; none if the process is to end before. A wish for a reload is kept for later.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = Wishes::stop(&mut self.terminate, &mut self.interrupt, &mut self.keeper_ended) => None,
        }
    }

    async fn stop(terminate: &mut Signal, interrupt: &mut Signal, keeper_ended: &mut mpsc::Receiver<()>) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Some(()) = keeper_ended.recv() => tracing::error!("the keeper of health has ended in a panic, the server cannot go on"),
        }
    }

    /// Loads, compiles and asks the tests on a thread of its own, which stands back where queries are answered meanwhile; none if the process
    /// is to end before that is done.
    pub(super) fn prepare(
        &mut self,
        runtime: &Runtime,
        path: &Path,
        earlier: Option<Arc<Earlier>>,
        progress: &Progress,
    ) -> Result<Option<Prepared>, DaemonError> {
        let (path, progress) = (path.to_owned(), progress.clone());
        let (done, load) = oneshot::channel();
        let work = move || {
            if earlier.is_some()
                && let Err(error) = server::stand_back()
            {
                tracing::warn!(%error, "the load takes as much time as the answers");
            }
            // Whoever asked may be gone: the process ends.
            _ = done.send(rehearse(&path, earlier.as_deref(), &progress));
        };
        thread::Builder::new().name("load".to_owned()).spawn(work).map_err(system("start a thread"))?;
        match runtime.block_on(self.unless_stopped(load)) {
            None => Ok(None),
            Some(Ok(prepared)) => prepared.map(Some).map_err(DaemonError::Config),
            Some(Err(_gone)) => Err(DaemonError::System("cannot load the configuration: its thread ended in a panic".to_owned())),
        }
    }
}

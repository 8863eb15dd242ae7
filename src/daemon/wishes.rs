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
use crate::api::{Reload, Reloads, Waiting, reloads};
use crate::config::compile::Earlier;
use crate::server;

/// What the process is asked to do.
pub(super) enum Wish {
    /// By a signal, or by someone who waits to be told what became of it.
    Reload(Option<Waiting>),
    /// By the operator, or because the keeper has ended and health stands still.
    Stop,
}

/// Whatever may ask something of the process while it does something else.
pub(super) struct Wishes {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    keeper_ended: mpsc::Receiver<()>,
    requested: Reloads,
}

impl Wishes {
    /// Also what the keeper is to call when it ends, and how the API asks for a reload.
    pub(super) fn new() -> io::Result<(Wishes, impl FnMut() + Send + 'static, Reload)> {
        let (ended, keeper_ended) = mpsc::channel(1);
        let (reload, requested) = reloads();
        let wishes = Wishes {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            keeper_ended,
            requested,
        };
        Ok((wishes, move || _ = ended.try_send(()), reload))
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            () = Wishes::stop(&mut self.terminate, &mut self.interrupt, &mut self.keeper_ended) => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload(None),
            Some(waiting) = self.requested.recv() => Wish::Reload(Some(waiting)),
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
    ) -> Result<Option<Prepared>, DaemonError> {
        let path = path.to_owned();
        let (done, load) = oneshot::channel();
        let work = move || {
            if earlier.is_some()
                && let Err(error) = server::stand_back()
            {
                tracing::warn!(%error, "the load takes as much time as the answers");
            }
            // Whoever asked may be gone: the process ends.
            _ = done.send(rehearse(&path, earlier.as_deref()));
        };
        thread::Builder::new().name("load".to_owned()).spawn(work).map_err(system("start a thread"))?;
        match runtime.block_on(self.unless_stopped(load)) {
            None => Ok(None),
            Some(Ok(prepared)) => prepared.map(Some).map_err(DaemonError::Config),
            Some(Err(_gone)) => Err(DaemonError::System("cannot load the configuration: its thread ended in a panic".to_owned())),
        }
    }
}

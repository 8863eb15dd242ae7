//! The keeper: the single writer. It owns the book of health, publishes the next snapshot and frees the old ones.
//! It gives out two narrow handles, one for health and one for new worlds; nobody else can change what is answered.

mod state;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::compile::Compiled;
use crate::health::{NodeId, Report, TargetKey};
use crate::snapshot::Shared;
use state::State;

/// Messages that may wait for the keeper: several reports for every endpoint of a large configuration. When they do not
/// fit, the keeper is not running; a lost report is made good by the next.
const QUEUE_LIMIT: usize = 65_536;

/// The keeper looks after retired snapshots at least this often while there are any.
const IDLE: Duration = Duration::from_millis(500);

/// What the keeper is told.
enum Message {
    Report { node: NodeId, target: TargetKey, report: Report },
    World { compiled: Box<Compiled>, done: SyncSender<()> },
    Settle { done: SyncSender<()> },
    Stop,
}

/// All that probers, the API and other nodes may do to health.
#[derive(Debug, Clone)]
pub struct HealthHandle(SyncSender<Message>);

impl HealthHandle {
    /// Reports what a node found at a target. Never blocks.
    pub fn report(&self, node: NodeId, target: &TargetKey, report: Report) {
        match self.0.try_send(Message::Report { node, target: target.clone(), report }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => tracing::warn!(target = %target, "the keeper is behind, a probe report is lost"),
        }
    }
}

/// All that a reload may do.
#[derive(Debug, Clone)]
pub struct WorldHandle(SyncSender<Message>);

impl WorldHandle {
    /// Puts a compiled configuration in force; returns when queries are answered from it.
    pub fn install(&self, compiled: Compiled) {
        self.ask(|done| Message::World { compiled: Box::new(compiled), done });
    }

    /// Returns when everything that was reported before is in force.
    pub fn settle(&self) {
        self.ask(|done| Message::Settle { done });
    }

    fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message) {
        let (done, wait) = sync_channel(1);
        if self.0.send(message(done)).is_ok() {
            // An error means that the keeper stopped, and then nothing is left to wait for.
            let _stopped = wait.recv();
        }
    }
}

/// The running keeper.
#[derive(Debug)]
pub struct Keeper {
    messages: SyncSender<Message>,
    thread: JoinHandle<()>,
    shared: Shared,
}

impl Keeper {
    /// Publishes a first world, in which nothing is measured yet, and starts the keeper's thread.
    pub fn start(first: Compiled, clock: Clock) -> std::io::Result<Keeper> {
        let (messages, inbox) = sync_channel(QUEUE_LIMIT);
        let state = State::new(first, clock.now_ms());
        let shared = state.shared().clone();
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || run(state, &inbox, &clock))?;
        Ok(Keeper { messages, thread, shared })
    }

    /// Where the current world is read.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A handle for whoever measures.
    pub fn health(&self) -> HealthHandle {
        HealthHandle(self.messages.clone())
    }

    /// A handle for whoever loads.
    pub fn world(&self) -> WorldHandle {
        WorldHandle(self.messages.clone())
    }

    /// Ends the thread after what was sent before.
    pub fn stop(self) {
        if self.messages.send(Message::Stop).is_ok() && self.thread.join().is_err() {
            tracing::error!("the keeper ended in a panic");
        }
    }
}

/// Drains the inbox, then publishes once: however many reports came, queries see one change.
fn run(mut state: State, inbox: &Receiver<Message>, clock: &Clock) {
    let mut waiting: Vec<SyncSender<()>> = Vec::new();
    loop {
        let pause = state.wake_in_ms(clock.now_ms()).map_or(IDLE, |wake_ms| Duration::from_millis(wake_ms).min(IDLE));
        let first = match inbox.recv_timeout(if waiting.is_empty() { pause } else { Duration::ZERO }) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for message in first.into_iter().chain(inbox.try_iter()) {
            match message {
                Message::Report { node, target, report } => state.report(node, &target, report, clock.now_ms()),
                Message::World { compiled, done } => {
                    state.install(*compiled, clock.now_ms());
                    waiting.push(done);
                }
                Message::Settle { done } => waiting.push(done),
                Message::Stop => return,
            }
        }
        state.tick(clock.now_ms());
        // Whoever waits is not made to wait for the next tenth of a second.
        state.publish_if_due(clock.now_ms(), !waiting.is_empty());
        waiting.drain(..).for_each(|done| _ = done.send(()));
        state.free_retired();
    }
}

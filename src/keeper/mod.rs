//! The keeper: the single writer. It owns the book of health, publishes the next snapshot and frees the old ones.
//! It gives out two narrow handles, one for health and one for new worlds; nobody else can change what is answered.

mod history;
mod hosts;
mod loads;
mod log;
mod memory;
mod rehearse;
mod state;
mod status;
mod stories;
mod tally;
mod told;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::compile::Compiled;
use crate::health::hosts::HostName;
use crate::health::overrides::{Forced, Selector};
use crate::health::told::Told;
use crate::health::{NodeId, Report, Resolution, TargetKey};
use crate::metrics::Registry;
use crate::snapshot::Shared;
pub use history::{Event, Subject};
pub use loads::ToldLoad;
pub use memory::FILES;
use memory::Memory;
pub use rehearse::Rehearsed;
use state::State;
pub use status::{CapacityRow, HostRow, PoolRow, Pulse, Status, TargetRow};
pub use tally::{PROBE_KINDS, PROBE_OUTCOMES, Tally};
pub use told::Heard;
use writer::Save;

/// Messages that may wait for the keeper: a report of every target of a large configuration (10,000, which are all probed within half a
/// second at the start) and more. When they do not fit, the keeper is not running; a lost report is made good by the next. All of the
/// room is taken from the beginning, 128 octets a message.
const QUEUE_LIMIT: usize = 16_384;

/// The keeper looks after retired snapshots at least this often while there are any.
const IDLE: Duration = Duration::from_millis(500);

/// Which events someone asks for.
type Wanted = Box<dyn Fn(&Event) -> bool + Send>;

/// What the keeper is told.
enum Message {
    Report { node: NodeId, target: TargetKey, report: Report },
    Resolved { host: HostName, resolution: Resolution },
    TellTargets { tell: Box<dyn Fn(Vec<TargetKey>) + Send> },
    World { compiled: Box<Compiled>, done: SyncSender<()> },
    Targets { done: SyncSender<Vec<TargetKey>> },
    Settle { done: SyncSender<()> },
    Legacy { done: SyncSender<Save> },
    Saving { is_wanted: bool, done: SyncSender<()> },
    Force { forced: Forced, done: SyncSender<Result<usize, String>> },
    Load { told: ToldLoad, done: SyncSender<Result<(), String>> },
    Status { done: SyncSender<Status> },
    History { limit: usize, is_wanted: Wanted, done: SyncSender<Vec<Event>> },
    Pulse { tell: Box<dyn FnOnce(Pulse) + Send> },
    Tell { told: Told, done: SyncSender<Result<Heard, String>> },
    TakeBack { selector: Selector, author: Option<String>, done: SyncSender<usize> },
    Rehearse { down: Vec<Selector>, done: SyncSender<Result<Rehearsed, String>> },
    Clear { selector: Selector, done: SyncSender<(usize, usize)> },
    Stop,
}

/// All that probers, the API and other nodes may do to health.
#[derive(Debug, Clone)]
pub struct HealthHandle(SyncSender<Message>);

impl HealthHandle {
    /// Reports what a node found at a target. Never blocks.
    pub fn report(&self, node: NodeId, target: &TargetKey, report: Report) {
        match self.0.try_send(Message::Report { node, target: target.clone(), report }) {
            Ok(()) => {}
            // The keeper has ended. Whoever started it was told, and ends the process.
            Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => tracing::warn!(probed = %target, "the keeper is behind, a probe report is lost"),
        }
    }

    /// Forces endpoints up, down or to drain; gives back how many are concerned, or why it cannot be. Waits until it is in force.
    pub fn force(&self, forced: Forced) -> Result<usize, String> {
        ask(&self.0, |done| Message::Force { forced, done })?
    }

    /// Tells the load of a region whose `capacity` says that it is told. It is acted on once a period of the capacity.
    pub fn load(&self, told: ToldLoad) -> Result<(), String> {
        ask(&self.0, |done| Message::Load { told, done })?
    }

    /// The state of things.
    pub fn status(&self) -> Result<Status, Ended> {
        ask(&self.0, |done| Message::Status { done })
    }

    /// The last changes that are wanted, newest first.
    pub fn history(&self, limit: usize, is_wanted: impl Fn(&Event) -> bool + Send + 'static) -> Result<Vec<Event>, Ended> {
        ask(&self.0, |done| Message::History { limit, is_wanted: Box::new(is_wanted), done })
    }

    /// Has `tell` hear whether probes still report; quick, for whoever asks every second. Never blocks, and `tell` must not either; where the
    /// keeper has ended or is far behind it is dropped unheard.
    pub fn pulse(&self, tell: impl FnOnce(Pulse) + Send + 'static) {
        _ = self.0.try_send(Message::Pulse { tell: Box::new(tell) });
    }

    /// Takes what others tell of endpoints; the book judges it. Gives back whom it concerns, or why it cannot be taken. Waits until it is
    /// in force.
    pub fn tell(&self, told: Told) -> Result<Heard, String> {
        ask(&self.0, |done| Message::Tell { told, done })?
    }

    /// Takes back what one author, or all, told of a selector; gives back how many reports there were.
    pub fn take_back(&self, selector: Selector, author: Option<String>) -> Result<usize, Ended> {
        ask(&self.0, |done| Message::TakeBack { selector, author, done })
    }

    /// The world as it is, and as it would be if the endpoints of these selectors were down, too.
    pub fn rehearse(&self, down: Vec<Selector>) -> Result<Rehearsed, String> {
        ask(&self.0, |done| Message::Rehearse { down, done })?
    }

    /// Takes overrides out of force, and lets regions that wait for an operator (`failback: manual`) take clients again;
    /// gives back how many of each.
    pub fn clear(&self, selector: Selector) -> Result<(usize, usize), Ended> {
        ask(&self.0, |done| Message::Clear { selector, done })
    }
}

impl HealthHandle {
    /// Tells which addresses a host name has. Never blocks; what is lost is told again when the name is resolved again.
    pub fn resolved(&self, host: &HostName, resolution: Resolution) {
        _ = self.0.try_send(Message::Resolved { host: host.clone(), resolution });
    }

    /// Every distinct target.
    pub fn targets(&self) -> Result<Vec<TargetKey>, Ended> {
        ask(&self.0, |done| Message::Targets { done })
    }

    /// Has `tell` hear what is to be probed, soon and after each change: a reload, or a name with new addresses. It must not block.
    pub fn tell_targets(&self, tell: impl Fn(Vec<TargetKey>) + Send + 'static) {
        // An error says that the keeper stopped: then nothing is to be probed any more.
        _ = self.0.send(Message::TellTargets { tell: Box::new(tell) });
    }
}

/// What is known at the start, and where it is kept.
#[derive(Debug, Default)]
pub struct Store {
    /// Where overrides and verdicts outlive the process; none = nowhere.
    pub folder: Option<PathBuf>,
    /// What another process knows that runs still ([`WorldHandle::legacy`]): that counts instead of the file, and the file stays its own until
    /// [`WorldHandle::save`].
    pub legacy: Option<String>,
}

impl From<Option<PathBuf>> for Store {
    fn from(folder: Option<PathBuf>) -> Store {
        Store { folder, legacy: None }
    }
}

/// All that a reload may do.
#[derive(Debug, Clone)]
pub struct WorldHandle(SyncSender<Message>);

impl WorldHandle {
    /// Puts a compiled configuration in force; returns when queries are answered from it.
    pub fn install(&self, compiled: Compiled) -> Result<(), Ended> {
        ask(&self.0, |done| Message::World { compiled: Box::new(compiled), done })
    }

    /// Returns when everything that was reported before is in force.
    pub fn settle(&self) -> Result<(), Ended> {
        ask(&self.0, |done| Message::Settle { done })
    }

    /// What outlives the process, for one that takes over: in the form in which it is saved.
    pub fn legacy(&self) -> Result<String, Ended> {
        ask(&self.0, |done| Message::Legacy { done }).map(|save| Memory::of(save).text())
    }

    /// Saves from now on, or no more; returns when no save is under way. One process at a time may.
    pub fn save(&self, is_wanted: bool) -> Result<(), Ended> {
        ask(&self.0, |done| Message::Saving { is_wanted, done })
    }
}

/// The keeper has ended: nothing is taken any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keeper of health has ended")
    }
}

impl From<Ended> for String {
    fn from(ended: Ended) -> String {
        ended.to_string()
    }
}

/// Tells the keeper something and waits for its answer.
fn ask<T>(keeper: &SyncSender<Message>, message: impl FnOnce(SyncSender<T>) -> Message) -> Result<T, Ended> {
    let (done, wait) = sync_channel(1);
    keeper.send(message(done)).map_err(|_| Ended)?;
    wait.recv().map_err(|_| Ended)
}

/// Calls its function when it goes, which a panic does not prevent.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The running keeper.
#[derive(Debug)]
pub struct Keeper {
    messages: SyncSender<Message>,
    thread: JoinHandle<()>,
    shared: Shared,
    knows_all: bool,
    knows_hosts: bool,
}

impl Keeper {
    /// Publishes a first world, in which nothing is measured yet, and starts the keeper's thread.
    /// `registry` is where workers count answers, which are the load of regions; `ended` is called when the thread has ended, be it in a panic.
    pub fn start(
        first: Compiled,
        store: Store,
        clock: Clock,
        registry: Arc<Registry>,
        ended: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Keeper> {
        let (messages, inbox) = sync_channel(QUEUE_LIMIT);
        let mut state = State::new(first, store, clock.now_ms(), clock.wall_s());
        state.loads.count_in(registry);
        let (shared, knows_all, knows_hosts) = (state.shared().clone(), state.knows_all(), state.knows_hosts());
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || {
            let _at_end = AtEnd(ended);
            run(state, &inbox, &clock);
        })?;
        Ok(Keeper { messages, thread, shared, knows_all, knows_hosts })
    }

    /// Where the current world is read.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// True if at the start every target had a verdict that was saved a moment ago: no probe need be waited for.
    pub fn knew_all(&self) -> bool {
        self.knows_all
    }

    /// True if at the start every host name had an address that was saved: no resolution need be waited for.
    pub fn knew_hosts(&self) -> bool {
        self.knows_hosts
    }

    /// A handle for whoever measures.
    pub fn health(&self) -> HealthHandle {
        HealthHandle(self.messages.clone())
    }

    /// A handle for whoever loads.
    pub fn world(&self) -> WorldHandle {
        WorldHandle(self.messages.clone())
    }

    /// Ends the thread after what was sent before; an error if it had ended by itself, which is only by a panic.
    pub fn stop(self) -> Result<(), Ended> {
        let told = self.messages.send(Message::Stop);
        let joined = self.thread.join();
        told.map_err(|_| Ended)?;
        joined.map_err(|_| Ended)
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
                Message::Resolved { host, resolution } => state.resolved(&host, resolution, clock.now_ms()),
                Message::Targets { done } => _ = done.send(state.targets()),
                Message::TellTargets { tell } => state.tell_targets_to(tell),
                Message::World { compiled, done } => {
                    state.install(*compiled, clock.now_ms());
                    waiting.push(done);
                }
                Message::Settle { done } => waiting.push(done),
                Message::Legacy { done } => _ = done.send(state.legacy(clock.wall_s())),
                Message::Saving { is_wanted, done } => {
                    state.set_saving(is_wanted);
                    _ = done.send(());
                }
                Message::Force { forced, done } => {
                    let forced = state.force(forced, clock.now_ms());
                    state.publish_if_due(clock.now_ms(), true);
                    _ = done.send(forced);
                }
                Message::Load { told, done } => _ = done.send(state.told_load(&told, clock.now_ms())),
                Message::Status { done } => _ = done.send(state.status(clock.now_ms())),
                Message::History { limit, is_wanted, done } => _ = done.send(state.history.last(limit, is_wanted)),
                Message::Pulse { tell } => tell(state.pulse(clock.now_ms())),
                Message::Tell { told, done } => {
                    let heard = state.tell(&told, clock.now_ms());
                    state.publish_if_due(clock.now_ms(), true);
                    _ = done.send(heard);
                }
                Message::TakeBack { selector, author, done } => {
                    let count = state.take_back(&selector, author.as_deref(), clock.now_ms());
                    state.publish_if_due(clock.now_ms(), true);
                    _ = done.send(count);
                }
                Message::Rehearse { down, done } => _ = done.send(state.rehearse(&down)),
                Message::Clear { selector, done } => {
                    let cleared = state.clear(&selector, clock.now_ms());
                    state.publish_if_due(clock.now_ms(), true);
                    _ = done.send(cleared);
                }
                Message::Stop => {
                    state.save_if_due(clock.now_ms(), clock.wall_s(), true);
                    return;
                }
            }
        }
        state.tick(clock.now_ms());
        state.expire(clock.now_ms(), clock.wall_s());
        // Whoever waits is not made to wait for the next tenth of a second.
        state.publish_if_due(clock.now_ms(), !waiting.is_empty());
        waiting.drain(..).for_each(|done| _ = done.send(()));
        state.save_if_due(clock.now_ms(), clock.wall_s(), false);
        state.free_retired();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_a_keeper_that_has_ended_is_told() {
        let (messages, inbox) = sync_channel(1);
        drop(inbox);
        assert_eq!(WorldHandle(messages.clone()).settle(), Err(Ended));
        assert_eq!(HealthHandle(messages.clone()).status().map(|_| ()), Err(Ended));
        // One that ends while it is asked.
        let (messages, inbox) = sync_channel(1);
        let keeper = std::thread::spawn(move || drop(inbox.recv()));
        assert_eq!(WorldHandle(messages).settle(), Err(Ended));
        keeper.join().unwrap();
    }

    #[test]
    fn the_end_of_the_thread_is_told_even_if_it_panics() {
        let (told, heard) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let _at_end = AtEnd(|| _ = told.send(()));
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert_eq!(heard.recv(), Ok(()));
    }
}

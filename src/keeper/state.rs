//! What the keeper knows and does, without its thread: time is an argument, so every rule here is tested on a fake clock.
//! It logs each change once, with its evidence (BEHAVIOUR H6); it never waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::Store;
use super::history::{Event, History, Subject};
use super::hosts::{Place, TellTargets, in_force, place, places};
use super::loads::Loads;
use super::memory::{self, Memory};
use super::stories::Stories;
use super::tally::Tally;
use super::told::said;
use super::writer::{Save, Writer};
use crate::config::compile::{Compiled, PoolName};
use crate::health::book::{Change, HealthBook};
use crate::health::overrides::{Forced, Overrides, Selector};
use crate::health::told::AllTold;
use crate::health::{HealthView, Hosts, Layout, NodeId, PoolId, Report, TargetKey, Verdict};
use crate::snapshot::{Catalog, Shared, Snapshot};

/// The first change is published at once, the next not before this: at most ten a second, however many probes report.
const PUBLISH_GAP_MS: u64 = 100;

/// A change is saved at once, the next not before this: a flapping target is not worth a disk.
const SAVE_GAP_MS: u64 = 1_000;

/// Without a change the verdicts are saved this often, so that they are fresh whenever the process ends.
const SAVE_EVERY_MS: u64 = 30_000;

/// The book, the current catalog and what was published of them.
pub(super) struct State {
    book: HealthBook,
    /// What the files say; the book has it with the overrides.
    pub(super) layout: Arc<Layout>,
    /// What each endpoint is called, and its address where it has one of its own.
    pub(super) places: Vec<Place>,
    /// Which addresses host names have.
    pub(super) hosts: Hosts,
    /// They have changed, and the book has not heard of it.
    pub(super) moved: bool,
    /// Who wants to know what is to be probed.
    pub(super) tell: Option<TellTargets>,
    pub(super) tally: Tally,
    pub(super) started_ms: u64,
    overrides: Overrides,
    /// What others tell.
    pub(super) told: AllTold,
    /// Keeps overrides, verdicts and addresses; none = only in memory.
    writer: Option<Writer>,
    folder: Option<PathBuf>,
    /// Changed since it was saved, and when that was.
    pub(super) unsaved: bool,
    saved_at_ms: u64,
    pub(super) catalog: Arc<Catalog>,
    pub(super) pools: Vec<PoolName>,
    stories: Stories,
    pub(super) history: History,
    /// What regions with a capacity bear and shed.
    pub(super) loads: Loads,
    shared: Shared,
    generation: u64,
    /// Revisions of book and loads in the published world; none = a new catalog waits.
    published: Option<(u64, u64)>,
    published_at_ms: u64,
    /// Worlds that were replaced; the last reference to each is dropped here, never by an answering thread.
    retired: Vec<Arc<Snapshot>>,
}

impl State {
    /// `store` is where what outlives the process is read from and kept.
    pub(super) fn new(first: Compiled, store: Store, now_ms: u64, now_s: u64) -> State {
        let Store { folder, legacy } = store;
        let memory = match (&legacy, &folder) {
            (Some(told), _) => Memory::told(told),
            (None, Some(folder)) => Memory::read(folder),
            (None, None) => Ok(Memory::default()),
        };
        let memory = memory.unwrap_or_else(|error| {
            tracing::error!("{error}; no override of it is in force");
            Memory::default()
        });
        let verdicts: BTreeMap<u64, Verdict> = memory.fresh(now_s).iter().copied().collect();
        let mut overrides = memory.overrides;
        overrides.expire(now_s);
        let mut told = memory.told;
        told.expire(now_s);
        let places = places(&first);
        let mut hosts = Hosts::default();
        memory.hosts.iter().for_each(|(host, addresses)| hosts.restore(host, addresses));
        hosts.retain_of(&first.layout);
        let mut book = HealthBook::new(Arc::new(in_force(&first.layout, &places, &hosts, &overrides, &told)), now_ms);
        book.hold_at_most(first.hold_max_ms);
        let known: Vec<(TargetKey, Verdict)> =
            book.targets().filter_map(|target| Some((target.clone(), *verdicts.get(&memory::key(target))?))).collect();
        known.iter().for_each(|(target, verdict)| book.restore(target, *verdict, now_ms));
        let loads = Loads::new(book.layout(), now_ms);
        let health = Arc::new(book.view().with_overflow(loads.view()));
        let snapshot = Snapshot { catalog: Arc::clone(&first.catalog), health, generation: 1 };
        State {
            published: Some((book.revision(), loads.revision())),
            book,
            layout: first.layout,
            places,
            hosts,
            moved: false,
            tell: None,
            tally: Tally::default(),
            started_ms: now_ms,
            overrides,
            told,
            writer: folder.clone().filter(|_| legacy.is_none()).and_then(start_writer),
            folder,
            unsaved: false,
            saved_at_ms: now_ms,
            catalog: first.catalog,
            pools: first.pools,
            stories: Stories::default(),
            history: History::default(),
            loads,
            shared: Shared::new(snapshot),
            generation: 1,
            published_at_ms: now_ms,
            retired: Vec::new(),
        }
    }

    pub(super) fn book(&self) -> &HealthBook {
        &self.book
    }

    pub(super) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes a report; what follows from it is in force with the next publication.
    pub(super) fn report(&mut self, node: NodeId, target: &TargetKey, report: Report, now_ms: u64) {
        self.tally.report(&target.monitor.request, &report, now_ms);
        let changes = self.book.report(node, target, report, now_ms);
        self.unsaved |= !changes.is_empty();
        self.take(&changes);
    }

    /// Does what time alone has made due (ramps, hold-downs, the end of a hold), and takes new addresses of host names into the book:
    /// once for however many were told of since the last call.
    pub(super) fn tick(&mut self, now_ms: u64) {
        if self.moved {
            let changes = self.reapply(now_ms);
            self.take(&changes);
        }
        let changes = self.book.tick(now_ms);
        self.take(&changes);
        self.step_loads(now_ms);
    }

    /// Milliseconds until [`State::tick`] or [`State::publish_if_due`] has something to do; none while nothing is foreseen.
    pub(super) fn wake_in_ms(&self, now_ms: u64) -> Option<u64> {
        let events_ms = self.book.next_event_ms().into_iter().chain(self.loads.next_step_ms());
        events_ms.map(|due_ms| due_ms.saturating_sub(now_ms)).chain(self.publish_in_ms(now_ms)).min()
    }

    /// Takes a new configuration; targets that it still has keep their health (BEHAVIOUR R1).
    pub(super) fn install(&mut self, compiled: Compiled, now_ms: u64) {
        self.places = places(&compiled);
        self.layout = compiled.layout;
        self.hosts.retain_of(&self.layout);
        self.book.hold_at_most(compiled.hold_max_ms);
        let changes = self.reapply(now_ms);
        self.catalog = compiled.catalog;
        self.pools = compiled.pools;
        self.published = None;
        self.stories.renumber(&self.book);
        self.take(&changes);
    }

    /// Milliseconds until the next publication is due; none while nothing waits.
    pub(super) fn publish_in_ms(&self, now_ms: u64) -> Option<u64> {
        (self.published != Some(self.revisions())).then(|| (self.published_at_ms + PUBLISH_GAP_MS).saturating_sub(now_ms))
    }

    /// Publishes what waits, if it is due or `at_once`.
    pub(super) fn publish_if_due(&mut self, now_ms: u64, at_once: bool) {
        if self.publish_in_ms(now_ms).is_none_or(|wait_ms| wait_ms > 0 && !at_once) {
            return;
        }
        self.generation += 1;
        let health = Arc::new(self.health());
        let next = Snapshot { catalog: Arc::clone(&self.catalog), health, generation: self.generation };
        self.retired.push(self.shared.publish(Arc::new(next)));
        self.published = Some(self.revisions());
        self.published_at_ms = now_ms;
    }

    /// What queries shall read now.
    pub(super) fn health(&mut self) -> HealthView {
        self.book.view().with_stories(self.stories.all(&self.book)).with_overflow(self.loads.view())
    }

    fn revisions(&self) -> (u64, u64) {
        (self.book.revision(), self.loads.revision())
    }

    /// Frees the worlds that nobody reads any more.
    pub(super) fn free_retired(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// True if every host name has an address and every target a verdict: nothing need be waited for.
    pub(super) fn knows_all(&self) -> bool {
        self.knows_hosts()
            && self.book.targets().all(|target| self.book.target(target).is_some_and(|health| health.verdict != Verdict::Unknown))
    }

    /// Puts an override in force. The error says why not.
    pub(super) fn force(&mut self, forced: Forced, now_ms: u64) -> Result<usize, String> {
        let concerned = self.concerned(&forced.selector);
        if concerned == 0 {
            return Err(format!("`{}` names no endpoint", forced.selector.as_str()));
        }
        let (selector, state) = (forced.selector.as_str().to_owned(), forced.state);
        let (author, reason) = (forced.author.clone(), forced.reason.clone());
        self.overrides.force(forced)?;
        self.tally.forced += 1;
        tracing::warn!(selector, %state, author, reason, endpoints = concerned, "forced by hand");
        let why = said(&author, &reason);
        self.note_override(now_ms, selector, &state.to_string(), why.clone());
        self.took_overrides(now_ms, &format!("forced by {why}"));
        Ok(concerned)
    }

    /// Takes overrides out of force, and lets regions that wait for an operator take clients again; gives back how many of each.
    pub(super) fn clear(&mut self, selector: &Selector, now_ms: u64) -> (usize, usize) {
        let cleared = self.overrides.clear(selector);
        if cleared > 0 {
            tracing::warn!(selector = selector.as_str(), cleared, "overrides cleared by hand");
            self.note_override(now_ms, selector.as_str().to_owned(), "cleared", String::new());
            self.took_overrides(now_ms, "overrides cleared by hand");
        }
        let layout = Arc::clone(self.book.layout());
        let chosen = |id: PoolId| {
            let pool = &layout.pools[id.0 as usize];
            pool.endpoints.clone().any(|id| selector.matches(&pool.key.region, &pool.key.service, place(&self.places, id)))
        };
        let changes = self.book.fail_back(chosen, now_ms);
        self.take(&changes);
        (cleared, changes.len())
    }

    /// Takes out of force what has expired.
    pub(super) fn expire(&mut self, now_ms: u64, now_s: u64) {
        self.expire_told(now_ms, now_s);
        if self.overrides.next_expiry_s().is_none_or(|due_s| due_s > now_s) {
            return;
        }
        for forced in self.overrides.expire(now_s) {
            tracing::warn!(selector = forced.selector.as_str(), state = %forced.state, "an override has expired");
            self.note_override(now_ms, forced.selector.as_str().to_owned(), "expired", String::new());
        }
        self.took_overrides(now_ms, "an override has expired");
    }

    /// Saves what outlives the process, if something changed or the verdicts are about to be stale; `at_once` does not wait.
    pub(super) fn save_if_due(&mut self, now_ms: u64, now_s: u64, at_once: bool) {
        let Some(writer) = &self.writer else { return };
        let gap_ms = if self.unsaved { SAVE_GAP_MS } else { SAVE_EVERY_MS };
        if !at_once && now_ms < self.saved_at_ms + gap_ms {
            return;
        }
        let save = self.legacy(now_s);
        if at_once {
            writer.write(save);
        } else if !writer.offer(save) {
            // The disk is slow: what is newest then is saved when it has caught up.
            self.saved_at_ms = now_ms;
            return;
        }
        (self.unsaved, self.saved_at_ms) = (false, now_ms);
    }

    /// What outlives the process, as it is now.
    pub(super) fn legacy(&self, now_s: u64) -> Save {
        let verdict = |target: &TargetKey| Some((target.clone(), self.book.target(target)?.verdict));
        let verdicts = self.book.targets().filter_map(verdict).filter(|(_, verdict)| *verdict != Verdict::Unknown).collect();
        let hosts = self.hosts.iter().map(|(name, host)| (Arc::clone(name), host.addresses().collect())).collect();
        Save { saved_s: now_s, overrides: self.overrides.clone(), told: self.told.clone(), verdicts, hosts }
    }

    /// Saves from now on, or no more. What is being written is written before this returns: the file has one writer at a time.
    pub(super) fn set_saving(&mut self, is_wanted: bool) {
        self.writer = None;
        if is_wanted {
            self.writer = self.folder.clone().and_then(start_writer);
            self.unsaved = true;
        }
    }

    fn note_override(&mut self, at_ms: u64, selector: String, to: &str, evidence: String) {
        self.history.push(Event { at_ms, subject: Subject::Override(selector), from: String::new(), to: to.to_owned(), evidence });
    }

    pub(super) fn note_told(&mut self, at_ms: u64, selector: String, to: &str, evidence: String) {
        self.history.push(Event { at_ms, subject: Subject::Told(selector), from: String::new(), to: to.to_owned(), evidence });
    }

    /// Judges anew; `why` is what happened to the overrides.
    fn took_overrides(&mut self, now_ms: u64, why: &str) {
        let changes = self.reapply(now_ms);
        self.take_because(&changes, why);
        self.unsaved = true;
    }

    /// The layout of the files with addresses and overrides, into the book; whoever probes is told what.
    pub(super) fn reapply(&mut self, now_ms: u64) -> Vec<Change> {
        let layout = in_force(&self.layout, &self.places, &self.hosts, &self.overrides, &self.told);
        self.moved = false;
        let changes = self.book.reconcile(Arc::new(layout), now_ms);
        self.loads.reconcile(self.book.layout(), now_ms);
        self.tell_targets();
        changes
    }

    pub(super) fn take(&mut self, changes: &[Change]) {
        self.take_because(changes, "");
    }

    /// `why` is what led to those changes of pools that no probe led to.
    pub(super) fn take_because(&mut self, changes: &[Change], why: &str) {
        let changes = &once(changes, self.book.layout());
        for change in changes {
            self.tally.count(change);
            self.log(change);
        }
        self.stories.hear(changes, why, &self.book);
        self.history.hear(changes, why, &self.book);
    }
}

/// Each change of a region once: names that judge it in ways of their own have pools of their own for it, most of which change together.
fn once(changes: &[Change], layout: &Layout) -> Vec<Change> {
    let key = |pool: &PoolId| layout.pools.get(pool.0 as usize).map(|pool| &pool.key);
    let mut seen = BTreeSet::new();
    let mut is_news = |change: &&Change| match change {
        Change::Pool { pool, from, to, waits, .. } => seen.insert((key(pool), Some((*from, *to)), *waits)),
        Change::Held { pool, held } => seen.insert((key(pool), None, *held)),
        Change::Target { .. } | Change::Flag { .. } => true,
    };
    changes.iter().filter(|change| is_news(change)).cloned().collect()
}

fn start_writer(folder: PathBuf) -> Option<Writer> {
    let refused = |error: &std::io::Error| tracing::error!(%error, "health state will not be saved: there is no thread for it");
    Writer::start(folder).inspect_err(refused).ok()
}

#[cfg(test)]
mod tests;

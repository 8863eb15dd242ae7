//! What the keeper knows and does, without its thread: time is an argument, so every rule here is tested on a fake clock.
//! It logs each change once, with its evidence (BEHAVIOUR H6); it never waits.

use std::sync::Arc;

use crate::config::compile::{Compiled, PoolName};
use crate::health::book::{Change, HealthBook};
use crate::health::{NodeId, PoolState, Report, TargetKey, Verdict};
use crate::snapshot::{Catalog, Shared, Snapshot};

/// The first change is published at once, the next not before this: at most ten a second, however many probes report.
const PUBLISH_GAP_MS: u64 = 100;

/// The book, the current catalog and what was published of them.
pub(super) struct State {
    book: HealthBook,
    catalog: Arc<Catalog>,
    pools: Vec<PoolName>,
    shared: Shared,
    generation: u64,
    /// Book revision of the published world; none = a new catalog waits.
    published: Option<u64>,
    published_at_ms: u64,
    /// Worlds that were replaced; the last reference to each is dropped here, never by an answering thread.
    retired: Vec<Arc<Snapshot>>,
}

impl State {
    pub(super) fn new(first: Compiled, now_ms: u64) -> State {
        let book = HealthBook::new(first.layout, now_ms);
        let snapshot = Snapshot { catalog: Arc::clone(&first.catalog), health: Arc::new(book.view()), generation: 1 };
        State {
            published: Some(book.revision()),
            book,
            catalog: first.catalog,
            pools: first.pools,
            shared: Shared::new(snapshot),
            generation: 1,
            published_at_ms: now_ms,
            retired: Vec::new(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes a report; what follows from it is in force with the next publication.
    pub(super) fn report(&mut self, node: NodeId, target: &TargetKey, report: Report, now_ms: u64) {
        for change in self.book.report(node, target, report, now_ms) {
            self.log(&change);
        }
    }

    /// Takes a new configuration; targets that it still has keep their health (BEHAVIOUR R1).
    pub(super) fn install(&mut self, compiled: Compiled, now_ms: u64) {
        self.book.reconcile(compiled.layout, now_ms);
        self.catalog = compiled.catalog;
        self.pools = compiled.pools;
        self.published = None;
    }

    /// Milliseconds until the next publication is due; none while nothing waits.
    pub(super) fn publish_in_ms(&self, now_ms: u64) -> Option<u64> {
        (self.published != Some(self.book.revision())).then(|| (self.published_at_ms + PUBLISH_GAP_MS).saturating_sub(now_ms))
    }

    /// Publishes what waits, if it is due or `at_once`.
    pub(super) fn publish_if_due(&mut self, now_ms: u64, at_once: bool) {
        if self.publish_in_ms(now_ms).is_none_or(|wait_ms| wait_ms > 0 && !at_once) {
            return;
        }
        self.generation += 1;
        let next = Snapshot { catalog: Arc::clone(&self.catalog), health: Arc::new(self.book.view()), generation: self.generation };
        self.retired.push(self.shared.publish(Arc::new(next)));
        self.published = Some(self.book.revision());
        self.published_at_ms = now_ms;
    }

    /// Frees the worlds that nobody reads any more.
    pub(super) fn free_retired(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    fn log(&self, change: &Change) {
        match change {
            Change::Target { target, from, to, outcomes, report, .. } => {
                let (from, to) = (verdict_word(*from), verdict_word(*to));
                tracing::info!(%target, from, to, outcomes, evidence = %report, "a target changed");
            }
            Change::Pool { pool, from, to, .. } => {
                let Some(name) = self.pools.get(pool.0 as usize) else { return };
                let service = self.catalog.services.get(usize::from(name.service.0)).map_or("?", String::as_str);
                let region = self.catalog.regions.get(usize::from(name.region.0)).map_or("?", |region| region.name.as_str());
                let (from, to) = (pool_word(*from), pool_word(*to));
                tracing::warn!(service, region, family = %name.family, from, to, "a region changed");
            }
        }
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown => "unknown",
        Verdict::Up => "up",
        Verdict::Down => "down",
    }
}

fn pool_word(state: PoolState) -> &'static str {
    match state {
        PoolState::Available => "available",
        PoolState::Down => "down",
        PoolState::ForcedDown => "forced down",
    }
}

//! What the keeper knows and does, without its thread: time is an argument, so every rule here is tested on a fake clock.
//! It logs each change once, with its evidence (BEHAVIOUR H6); it never waits.

use std::sync::Arc;

use crate::config::compile::{Compiled, PoolName};
use crate::health::book::{Change, Flag, HealthBook};
use crate::health::{NodeId, Report, TargetKey};
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
        let changes = self.book.report(node, target, report, now_ms);
        self.log_all(&changes);
    }

    /// Does what time alone has made due: ramps, hold-downs, the end of a hold.
    pub(super) fn tick(&mut self, now_ms: u64) {
        let changes = self.book.tick(now_ms);
        self.log_all(&changes);
    }

    /// Milliseconds until [`State::tick`] or [`State::publish_if_due`] has something to do; none while nothing is foreseen.
    pub(super) fn wake_in_ms(&self, now_ms: u64) -> Option<u64> {
        let event_ms = self.book.next_event_ms().map(|due_ms| due_ms.saturating_sub(now_ms));
        event_ms.into_iter().chain(self.publish_in_ms(now_ms)).min()
    }

    /// Takes a new configuration; targets that it still has keep their health (BEHAVIOUR R1).
    pub(super) fn install(&mut self, compiled: Compiled, now_ms: u64) {
        let changes = self.book.reconcile(compiled.layout, now_ms);
        self.catalog = compiled.catalog;
        self.pools = compiled.pools;
        self.published = None;
        self.log_all(&changes);
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

    fn log_all(&self, changes: &[Change]) {
        changes.iter().for_each(|change| self.log(change));
    }

    fn log(&self, change: &Change) {
        match change {
            Change::Flag { target, flag: Some(flag @ (Flag::Held | Flag::Unmeasurable | Flag::Suppressed)), .. } => {
                tracing::warn!(%target, reason = flag.text(), "a target does not follow its probes");
            }
            Change::Flag { target, flag: Some(flag), .. } => tracing::debug!(%target, reason = flag.text(), "a target waits"),
            Change::Flag { target, flag: None, .. } => tracing::info!(%target, "a target follows its probes again"),
            Change::Target { target, from, to, outcomes, report, .. } => {
                tracing::info!(%target, %from, %to, outcomes, evidence = %report, "a target changed");
            }
            Change::Pool { pool, from, to, waits, .. } => {
                let Some(name) = self.pools.get(pool.0 as usize) else { return };
                let service = self.catalog.services.get(usize::from(name.service.0)).map_or("?", String::as_str);
                let region = self.catalog.regions.get(usize::from(name.region.0)).map_or("?", |region| region.name.as_str());
                let family = name.family;
                if *waits {
                    tracing::warn!(service, region, %family, "a region is well again and waits for `meridian ctl clear` (failback: manual)");
                } else {
                    tracing::warn!(service, region, %family, %from, %to, "a region changed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::compile::compile;
    use crate::config::load;
    use crate::diag::Diagnostics;
    use crate::health::{Evidence, Outcome, PoolId, PoolState};

    /// The sample, compiled: five regions, each probed, `fall` and `rise` of 2.
    fn sample() -> Compiled {
        let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("zones/meridian.yaml"));
        let model = loaded.model.unwrap_or_else(|| panic!("{}", loaded.diagnostics));
        compile(model, None, &mut Diagnostics::new()).unwrap()
    }

    fn state() -> (State, Vec<TargetKey>) {
        let compiled = sample();
        let targets = compiled.layout.endpoints.iter().flat_map(|endpoint| endpoint.targets()).cloned().collect();
        (State::new(compiled, 0), targets)
    }

    fn report(state: &mut State, target: &TargetKey, outcome: Outcome, now_ms: u64) {
        state.report(NodeId::LOCAL, target, Report { outcome, evidence: Evidence::Refused, took_ms: 1 }, now_ms);
    }

    fn pool_state(state: &State) -> PoolState {
        state.shared.load().health.pool(PoolId(0)).state
    }

    #[test]
    fn the_first_change_is_published_at_once_and_the_next_a_tenth_of_a_second_later() {
        let (mut state, targets) = state();
        report(&mut state, &targets[0], Outcome::Failure, 5000);
        assert_eq!(state.publish_in_ms(5000), Some(0));
        state.publish_if_due(5000, false);
        assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));

        report(&mut state, &targets[0], Outcome::Success, 5010);
        report(&mut state, &targets[0], Outcome::Success, 5020);
        assert_eq!(state.publish_in_ms(5020), Some(80));
        state.publish_if_due(5099, false);
        assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));
        state.publish_if_due(5100, false);
        assert_eq!((state.generation, pool_state(&state)), (3, PoolState::Available));
        assert_eq!(state.publish_in_ms(5100), None);
    }

    #[test]
    fn whoever_waits_is_served_at_once() {
        let (mut state, targets) = state();
        report(&mut state, &targets[0], Outcome::Failure, 10);
        state.publish_if_due(10, true);
        assert_eq!(pool_state(&state), PoolState::Down);
    }

    #[test]
    fn r1_a_reload_keeps_the_health_of_unchanged_targets() {
        let (mut state, targets) = state();
        report(&mut state, &targets[0], Outcome::Failure, 10);
        state.install(sample(), 20);
        state.publish_if_due(20, true);
        assert_eq!((state.generation, pool_state(&state)), (2, PoolState::Down));
        assert!(!Arc::ptr_eq(&state.shared.load().catalog, &sample().catalog));
    }

    #[test]
    fn nothing_new_is_not_published() {
        let (mut state, targets) = state();
        report(&mut state, &targets[0], Outcome::Success, 1000);
        state.publish_if_due(1000, false);
        let generation = state.generation;
        report(&mut state, &targets[0], Outcome::Success, 2000);
        state.publish_if_due(2000, true);
        assert_eq!(state.generation, generation);
    }

    #[test]
    fn a_retired_world_is_freed_here_and_not_before_its_last_reader_has_gone() {
        let (mut state, targets) = state();
        let reading = state.shared.load();
        report(&mut state, &targets[0], Outcome::Failure, 1000);
        state.publish_if_due(1000, false);
        state.free_retired();
        assert_eq!(state.retired.len(), 1);
        drop(reading);
        state.free_retired();
        assert!(state.retired.is_empty());
    }
}

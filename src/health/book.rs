//! The book of health: takes reports, keeps what is measured of each target, and says what changed and what the hot path shall read.
//! It is pure: time is an argument, and it never probes, logs or publishes; whoever keeps the book does, and wakes it when it asks.

mod entry;
mod pool;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::guard::Window;
use super::monitor::TargetKey;
use super::network::{self, Family, Others, Trust};
use super::report::{NodeId, Report};
use super::score::Scores;
use super::view::{
    Checks, HealthView, Layout, Measured, PoolHealth, PoolLayout, PoolNote, PoolState, SETTLED, Verdict, pool_health, region_health,
};
use super::{EndpointId, PoolId};
use entry::Entry;
use pool::{GuardKey, Memory};

/// All measured state and the view that follows from it and from the overrides of the layout.
#[derive(Debug)]
pub struct HealthBook {
    layout: Arc<Layout>,
    /// Where each target's entry is.
    index: BTreeMap<TargetKey, usize>,
    /// One entry a distinct target, in the order in which the layout names them first.
    entries: Vec<Entry>,
    /// For each endpoint, the entries of its monitors and of the checks that it requires.
    probes: Vec<Probes>,
    /// By pool: what outlives its state of the moment, and what follows for the view.
    memories: Vec<Memory>,
    notes: Vec<PoolNote>,
    /// How many regions of a service went down lately, where that is guarded.
    windows: BTreeMap<GuardKey, Window>,
    /// IPv4 and IPv6.
    families: [Family; 2],
    /// Entries that wait for a sign of life from anywhere: few, while every report may be the sign.
    waiting: BTreeSet<usize>,
    /// What changes by the mere passing of time.
    wakes: BTreeSet<(u64, Wake)>,
    /// See [`HealthBook::hold_at_most`].
    hold_max_ms: u64,
    view: HealthView,
    revision: u64,
}

/// Entries of one endpoint.
#[derive(Debug, Default)]
struct Probes {
    own: Box<[usize]>,
    required: Box<[usize]>,
}

/// What is to be looked at when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Entry(usize),
    Pool(PoolId),
}

/// Something that changed, with its evidence; to be logged once (H6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The judged state of a target.
    Target {
        /// What was probed.
        target: TargetKey,
        /// Judged so far.
        from: Verdict,
        /// Judged now.
        to: Verdict,
        /// How many outcomes in a row led to it.
        outcomes: u32,
        /// The last of them.
        report: Report,
        /// When, in milliseconds of the caller's clock.
        at_ms: u64,
    },
    /// Why the served state of a target is not simply what was measured last.
    Flag {
        /// Which target.
        target: TargetKey,
        /// The reason; none = it is again.
        flag: Option<Flag>,
        /// When, in milliseconds of the caller's clock.
        at_ms: u64,
    },
    /// Whether a (service, region, family) may be chosen; follows the change of a target.
    Pool {
        /// Which.
        pool: PoolId,
        /// State so far.
        from: PoolState,
        /// State now.
        to: PoolState,
        /// It is well again and waits for an operator (`failback: manual`).
        waits: bool,
        /// When, in milliseconds of the caller's clock.
        at_ms: u64,
    },
    /// A pool is measured down and served all the same, as the guard allows no further losses; or that is over.
    Held {
        /// Which.
        pool: PoolId,
        /// It is held from now on.
        held: bool,
    },
}

/// Why the served state of a target is not what was measured last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// It has not been in this state for its least time (`min_up`, `min_down`).
    HeldDown,
    /// It flaps.
    Suppressed,
    /// It is silent, and so far nothing shows that our own network works.
    Doubted,
    /// Every target is silent: our own network is out, the last state is held.
    Held,
    /// Only the prober's own faults have come for long: the other family is believed.
    Unmeasurable,
}

impl Flag {
    /// In words, for logs and tables.
    pub fn text(self) -> &'static str {
        match self {
            Flag::HeldDown => "in this state for less than its least time",
            Flag::Suppressed => "suppressed for flapping",
            Flag::Doubted => "silent, and nothing else was heard yet",
            Flag::Held => "held: every target is silent, our own network may be out",
            Flag::Unmeasurable => "cannot be measured from here, the other family is believed",
        }
    }
}

/// What the book knows of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetHealth<'a> {
    /// The judged state.
    pub verdict: Verdict,
    /// Since when, in milliseconds of the caller's clock.
    pub since_ms: u64,
    /// Outcomes in a row that speak against the local verdict.
    pub contrary: u32,
    /// Why the state is not simply what was measured last.
    pub flag: Option<Flag>,
    /// Times that the prober could not ask, by its own fault.
    pub faults: u64,
    /// The last local report, prober faults included, and when it came.
    pub last: Option<(u64, &'a Report)>,
}

/// What the book knows of one pool beyond the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStanding {
    /// Since when its state is what it is.
    pub since_ms: u64,
    /// It is well again and waits for an operator.
    pub waits: bool,
}

impl HealthBook {
    /// A book over `layout` in which nothing is measured yet.
    pub fn new(layout: Arc<Layout>, now_ms: u64) -> HealthBook {
        let mut book = HealthBook {
            layout: Arc::default(),
            index: BTreeMap::new(),
            entries: Vec::new(),
            probes: Vec::new(),
            memories: Vec::new(),
            notes: Vec::new(),
            windows: BTreeMap::new(),
            families: [Family::default(); 2],
            waiting: BTreeSet::new(),
            wakes: BTreeSet::new(),
            hold_max_ms: network::DEFAULT_HOLD_MAX_MS,
            view: HealthView::default(),
            revision: 0,
        };
        book.reconcile(layout, now_ms);
        book
    }

    /// How long a state is held while our own network is out, and a family believed that cannot be measured (H5), in milliseconds; from
    /// the next judgement on.
    pub fn hold_at_most(&mut self, hold_max_ms: u64) {
        self.hold_max_ms = hold_max_ms;
    }

    /// Takes a new layout: targets that are in it again keep their health (R1), new ones are unknown, the others are forgotten.
    /// Overrides are those of the new layout. Gives back what changed by it in pools that stay.
    pub fn reconcile(&mut self, layout: Arc<Layout>, now_ms: u64) -> Vec<Change> {
        self.take_entries(&layout, now_ms);
        let old: BTreeMap<_, Memory> = self.layout.pools.iter().map(Memory::key).zip(std::mem::take(&mut self.memories)).collect();
        self.memories = layout.pools.iter().map(|pool| old.get(&Memory::key(pool)).copied().unwrap_or(Memory::new(now_ms))).collect();
        drop(old);
        let shown: BTreeMap<_, _> =
            (0..).map(PoolId).zip(&self.layout.pools).map(|(id, pool)| (Memory::key(pool), self.view.pool(id))).collect();
        let shown: Vec<Option<PoolHealth>> = layout.pools.iter().map(|pool| shown.get(&Memory::key(pool)).copied()).collect();
        self.layout = layout;
        self.notes = vec![PoolNote::default(); self.layout.pools.len()];
        self.view = HealthView::new(&self.layout, |id| measured(&self.entries, &self.probes, &self.layout, id));
        // What differs from what was shown so far is a change, whatever it is due to (H6).
        (0..).map(PoolId).zip(shown).for_each(|(id, shown)| shown.into_iter().for_each(|health| self.view.show(id, health)));
        let mut changes = Vec::new();
        self.wakes.clear();
        self.waiting.clear();
        (0..self.entries.len()).for_each(|at| self.settle(at, now_ms, &mut changes));
        let all: Vec<PoolId> = (0..self.layout.pools.len() as u32).map(PoolId).collect();
        self.judge_pools(&all, now_ms, &mut changes);
        self.revision += 1;
        changes
    }

    /// Takes what `node` found at `target`; gives back what changed by it, targets before their pools.
    /// A report on a target that is not in the book (it went with a reload) changes nothing.
    pub fn report(&mut self, node: NodeId, target: &TargetKey, report: Report, now_ms: u64) -> Vec<Change> {
        let Some(&at) = self.index.get(target) else { return Vec::new() };
        let heard = node == NodeId::LOCAL && !network::is_silent(&report);
        let waiting = if heard { self.hear(family_of(target), now_ms) } else { Vec::new() };
        self.entries[at].take(node, report, now_ms);
        let mut changes = Vec::new();
        self.settle(at, now_ms, &mut changes);
        waiting.into_iter().for_each(|other| self.settle(other, now_ms, &mut changes));
        changes
    }

    /// Does what is due by now without any report; gives back what changed.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((_, wake)) = self.wakes.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.wakes.pop_first();
            match wake {
                Wake::Entry(at) => self.settle(at, now_ms, &mut changes),
                Wake::Pool(id) => self.judge_pools(&[id], now_ms, &mut changes),
            }
        }
        changes
    }

    /// When [`HealthBook::tick`] has something to do, in milliseconds of the caller's clock.
    pub fn next_event_ms(&self) -> Option<u64> {
        self.wakes.first().map(|(due_ms, _)| *due_ms)
    }

    /// Lets the pools that wait for an operator (`failback: manual`) and that `chosen` names take clients again.
    pub fn fail_back(&mut self, chosen: impl Fn(PoolId) -> bool, now_ms: u64) -> Vec<Change> {
        let waiting = |id: &PoolId| self.memories[id.0 as usize].waits && chosen(*id);
        let ids: Vec<PoolId> = (0..self.memories.len() as u32).map(PoolId).filter(waiting).collect();
        ids.iter().for_each(|id| self.memories[id.0 as usize].fail_back(&self.layout.pools[id.0 as usize], now_ms));
        let mut changes = Vec::new();
        self.judge_pools(&ids, now_ms, &mut changes);
        changes
    }

    /// Takes a verdict over that was measured before this book was made, where the target is still unknown.
    pub fn restore(&mut self, target: &TargetKey, verdict: Verdict, now_ms: u64) {
        let Some(&at) = self.index.get(target) else { return };
        if self.entries[at].restore(verdict, now_ms) {
            self.settle(at, now_ms, &mut Vec::new());
        }
    }

    /// What the hot path shall read now.
    pub fn view(&self) -> HealthView {
        self.view.clone()
    }

    /// The same if the endpoints that `is_down` names were measured down besides.
    pub fn with_down(&self, is_down: impl Fn(EndpointId) -> bool) -> HealthView {
        let mut view = self.view.clone();
        let measured = |id| if is_down(id) { Measured::DOWN } else { self.measured(id) };
        view.judge(&self.layout, (0..self.layout.pools.len() as u32).map(PoolId), &measured, &self.notes);
        view
    }

    /// Grows whenever [`HealthBook::view`] may differ from before: a state, or only a TTL cap. An unchanged number needs no publishing.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The layout in force.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Every distinct target, in a stable order: what is to be probed.
    pub fn targets(&self) -> impl Iterator<Item = &TargetKey> {
        self.index.keys()
    }

    /// What is known of a target; none if it is not in the layout.
    pub fn target(&self, target: &TargetKey) -> Option<TargetHealth<'_>> {
        Some(self.entries[*self.index.get(target)?].health())
    }

    /// What is known of a pool beyond the view; none if it is not in the layout.
    pub fn pool(&self, id: PoolId) -> Option<PoolStanding> {
        self.memories.get(id.0 as usize).map(Memory::standing)
    }

    /// The measurement of an endpoint, overrides left aside; up where nothing is probed.
    pub fn measured(&self, id: EndpointId) -> Measured {
        measured(&self.entries, &self.probes, &self.layout, id)
    }

    /// Something was heard in a family: a hold of it is over. Gives back who waited for that.
    fn hear(&mut self, family: usize, now_ms: u64) -> Vec<usize> {
        let was = std::mem::replace(&mut self.families[family], Family { heard_ms: Some(now_ms), held_since_ms: None });
        if was.held_since_ms.is_some() {
            self.entries.iter_mut().filter(|entry| family_of(&entry.target) == family).for_each(Entry::forget_silence);
        }
        self.waiting.iter().copied().filter(|at| family_of(&self.entries[*at].target) == family).collect()
    }

    /// Builds index, entries and the ways between entries, endpoints and pools for a new layout.
    fn take_entries(&mut self, layout: &Layout, now_ms: u64) {
        let mut old = std::mem::take(&mut self.index);
        let mut old_entries: Vec<Option<Entry>> = std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        for key in layout.endpoints.iter().flat_map(|endpoint| endpoint.targets()) {
            if !self.index.contains_key(key) {
                let kept = old.remove(key).and_then(|at| old_entries[at].take());
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push(kept.unwrap_or_else(|| Entry::new(key, now_ms)));
            }
        }
        let of = |targets: &[TargetKey]| targets.iter().filter_map(|key| self.index.get(key).copied()).collect();
        let probes = |checks: &Checks| Probes { own: of(&checks.targets), required: of(&checks.requires) };
        self.probes = layout.endpoints.iter().map(|endpoint| probes(&endpoint.checks)).collect();
        self.entries.iter_mut().for_each(Entry::leave_pools);
        for (id, pool) in (0..).map(PoolId).zip(&layout.pools) {
            for probes in pool.endpoints.clone().filter_map(|endpoint| self.probes.get(endpoint as usize)) {
                for at in probes.own.iter().chain(&probes.required) {
                    self.entries[*at].enter_pool(id, pool);
                }
            }
        }
    }

    /// Works out what is served of the target at `at`, and what follows for its pools.
    fn settle(&mut self, at: usize, now_ms: u64, changes: &mut Vec<Change>) {
        let trust = self.entries[at].doubt(now_ms).map(|_| self.trust(at, now_ms));
        if let Some(Trust::Out { .. }) = trust {
            self.families[family_of(&self.entries[at].target)].held_since_ms.get_or_insert(now_ms);
        }
        let entry = &mut self.entries[at];
        let old_wake_ms = entry.wake_ms;
        let before = entry.measured;
        entry.settle(trust, self.hold_max_ms, now_ms, changes);
        if old_wake_ms != entry.wake_ms {
            old_wake_ms.iter().for_each(|due_ms| _ = self.wakes.remove(&(*due_ms, Wake::Entry(at))));
        }
        let entry = &self.entries[at];
        if entry.waits_for_a_sign() {
            self.waiting.insert(at);
        } else {
            self.waiting.remove(&at);
        }
        entry.wake_ms.iter().for_each(|due_ms| _ = self.wakes.insert((*due_ms, Wake::Entry(at))));
        if before != entry.measured {
            let pools = entry.pools.clone();
            self.judge_pools(&pools, now_ms, changes);
        }
    }

    /// Whether the silence of a target that is about to fall may be our own (H5).
    fn trust(&self, at: usize, now_ms: u64) -> Trust {
        let entry = &self.entries[at];
        let Some(silence) = entry.silence else { return Trust::Works };
        let family = family_of(&entry.target);
        let mut others = Others::default();
        let (mut regions, mut reported_regions) = (BTreeSet::new(), BTreeSet::new());
        let peers = self.entries.iter().filter(|other| other.measured.verdict.serves() && family_of(&other.target) == family);
        for peer in peers.filter(|other| other.measured.verdict != Verdict::Unknown) {
            others.targets += 1;
            regions.extend(peer.regions.iter());
            if peer.reported_since(silence.first_start_ms) {
                others.reported += 1;
                reported_regions.extend(peer.regions.iter());
            }
        }
        others.regions = regions.len();
        others.reported_regions = reported_regions.len();
        let monitor = &entry.target.monitor;
        let deadline_ms = silence.deadline_ms(monitor.fall, monitor.interval_ms, monitor.timeout_ms);
        network::judge(self.families[family], silence, others, deadline_ms, self.hold_max_ms, now_ms)
    }

    /// Where the last pool of a name went down, those that were up before stay in mind until one comes back (`on_all_down: last-good`).
    fn remember_last_good(&mut self, concerned: &[PoolId], before: &[PoolState]) {
        let HealthBook { layout, view, memories, .. } = self;
        let was_up = |id: &PoolId| concerned.binary_search(id).is_ok_and(|at| before[at] == PoolState::Available);
        for id in concerned {
            let mates = &layout.pools[id.0 as usize].mates;
            let any_up = mates.iter().any(|mate| view.pool(*mate).state == PoolState::Available);
            let memory = &mut memories[id.0 as usize];
            // Nothing new while all stay down.
            if any_up || mates.iter().any(was_up) {
                memory.last_good = !any_up && was_up(id);
            }
            view.set_last_good(*id, memory.last_good);
        }
    }

    /// Works out these pools again, and those tied to them.
    fn judge_pools(&mut self, ids: &[PoolId], now_ms: u64, changes: &mut Vec<Change>) {
        let mut concerned: Vec<PoolId> = ids.iter().flat_map(|id| self.layout.concerned(*id)).collect();
        concerned.sort_unstable();
        concerned.dedup();
        let HealthBook { layout, entries, probes, view, memories, notes, windows, wakes, .. } = self;
        let measured = |id: EndpointId| measured(entries, probes, layout, id);
        let before: Vec<PoolState> = concerned.iter().map(|id| view.pool(*id).state).collect();
        for (id, before) in concerned.iter().zip(&before) {
            let (memory, pool) = (&mut memories[id.0 as usize], &layout.pools[id.0 as usize]);
            let was_held = memory.held;
            memory.held = pool.guard.is_some()
                && region_health(layout, *id, &measured).state == PoolState::Down
                && (was_held || *before == PoolState::Available && !may_fall(windows, view, layout, pool, now_ms));
            if memory.held != was_held {
                changes.push(Change::Held { pool: *id, held: memory.held });
            }
            let state = pool_health(layout, *id, &measured).state;
            let state = if memory.held && state == PoolState::Down { PoolState::Available } else { state };
            let wake_ms = memory.take(state, pool, now_ms);
            notes[id.0 as usize] = memory.note(pool, now_ms);
            wake_ms.iter().for_each(|due_ms| _ = wakes.insert((*due_ms, Wake::Pool(*id))));
        }
        view.judge(layout, concerned.iter().copied(), &measured, notes);
        self.remember_last_good(&concerned, &before);
        self.revision += 1;
        for (pool, from) in concerned.into_iter().zip(before) {
            let to = self.view.pool(pool).state;
            let memory = &mut self.memories[pool.0 as usize];
            let news = memory.news();
            if from != to {
                memory.since_ms = now_ms;
            }
            if from != to || news {
                changes.push(Change::Pool { pool, from, to, waits: memory.waits, at_ms: now_ms });
            }
        }
    }
}

/// Whether the guard lets one more region of this pool's service go down.
fn may_fall(windows: &mut BTreeMap<GuardKey, Window>, view: &HealthView, layout: &Layout, pool: &PoolLayout, now_ms: u64) -> bool {
    let Some(guard) = &pool.guard else { return true };
    let key = Memory::guard_key(pool);
    let alike = (0..).map(PoolId).zip(&layout.pools).filter(|(_, other)| Memory::guard_key(other) == key);
    let up = alike.filter(|(id, _)| view.pool(*id).state == PoolState::Available).count();
    windows.entry(key).or_default().may_fall(guard, u32::try_from(up).unwrap_or(u32::MAX), now_ms)
}

/// 0 for IPv4, 1 for IPv6.
fn family_of(target: &TargetKey) -> usize {
    usize::from(target.socket.is_ipv6())
}

/// What the monitors of an endpoint and others say together.
fn measured(entries: &[Entry], probes: &[Probes], layout: &Layout, id: EndpointId) -> Measured {
    let at = id.0 as usize;
    let (Some(probes), Some(endpoint)) = (probes.get(at), layout.endpoints.get(at)) else { return Measured::UP };
    let own = || with_say(entries, &probes.own);
    let required = || with_say(entries, &probes.required);
    let voting = || own().chain(required());
    let mut verdicts: Vec<Verdict> = own().map(|measured| measured.verdict).collect();
    let worst_required = required().map(|measured| measured.verdict).min().unwrap_or(Verdict::Up);
    Measured {
        verdict: endpoint.checks.combine.judge(&mut verdicts).min(worst_required).min(endpoint.told.unwrap_or(Verdict::Up)),
        may_change_at_ms: voting().map(|measured| measured.may_change_at_ms).min().unwrap_or(SETTLED),
        unmeasurable: endpoint.told.is_none() && voting().count() > 0 && voting().all(|measured| measured.unmeasurable),
        scores: voting().fold(Scores::NONE, |scores, measured| scores.worse(measured.scores)),
    }
}

/// The measurements of those that are not only observed.
fn with_say(entries: &[Entry], of: &[usize]) -> impl Iterator<Item = Measured> {
    of.iter().map(|at| &entries[*at]).filter(|entry| entry.has_say()).map(|entry| entry.measured)
}

#[cfg(test)]
mod tests;

//! The book of health: takes reports, keeps what is measured of each target, and says what changed and what the hot path shall read.
//! It is pure: time is an argument, and it never probes, logs or publishes; whoever keeps the book does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::monitor::{Monitor, TargetKey};
use super::report::{NodeId, Outcome, Report};
use super::view::{HealthView, Layout, Measured, PoolState, Verdict};
use super::{EndpointId, PoolId};

/// All measured state and the view that follows from it and from the overrides of the layout.
#[derive(Debug)]
pub struct HealthBook {
    layout: Arc<Layout>,
    /// Where each target's entry is.
    index: BTreeMap<TargetKey, usize>,
    /// One entry a distinct target, in the order in which the layout names them first.
    entries: Vec<Entry>,
    /// For each endpoint, its entry; none = no monitor.
    entry_of: Vec<Option<usize>>,
    view: HealthView,
    revision: u64,
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
    /// Whether a (service, region, family) may be chosen; follows the change of a target.
    Pool {
        /// Which.
        pool: PoolId,
        /// State so far.
        from: PoolState,
        /// State now.
        to: PoolState,
        /// When, in milliseconds of the caller's clock.
        at_ms: u64,
    },
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
    /// The last local report, prober faults included, and when it came.
    pub last: Option<(u64, &'a Report)>,
}

impl HealthBook {
    /// A book over `layout` in which nothing is measured yet.
    pub fn new(layout: Arc<Layout>, now_ms: u64) -> HealthBook {
        let mut book = HealthBook {
            layout: Arc::default(),
            index: BTreeMap::new(),
            entries: Vec::new(),
            entry_of: Vec::new(),
            view: HealthView::default(),
            revision: 0,
        };
        book.reconcile(layout, now_ms);
        book
    }

    /// Takes a new layout: targets that are in it again keep their health (R1), new ones are unknown, the others are forgotten.
    /// Overrides are those of the new layout.
    pub fn reconcile(&mut self, layout: Arc<Layout>, now_ms: u64) {
        let mut old = std::mem::take(&mut self.index);
        let mut old_entries: Vec<Option<Entry>> = std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        for key in layout.endpoints.iter().filter_map(|endpoint| endpoint.target.as_ref()) {
            if !self.index.contains_key(key) {
                let kept = old.remove(key).and_then(|at| old_entries[at].take());
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push(kept.unwrap_or_else(|| Entry::new(now_ms)));
            }
        }
        self.entry_of = layout.endpoints.iter().map(|endpoint| self.index.get(endpoint.target.as_ref()?).copied()).collect();
        self.entries.iter_mut().for_each(|entry| entry.pools.clear());
        for (id, pool) in (0..).map(PoolId).zip(&layout.pools) {
            for entry in pool.endpoints.clone().filter_map(|endpoint| *self.entry_of.get(endpoint as usize)?) {
                let pools = &mut self.entries[entry].pools;
                if pools.last() != Some(&id) {
                    pools.push(id);
                }
            }
        }
        for (key, at) in &self.index {
            self.entries[*at].judge(&key.monitor);
        }
        self.layout = layout;
        self.view = HealthView::new(&self.layout, |id| measured(&self.entries, &self.entry_of, id));
        self.revision += 1;
    }

    /// Takes what `node` found at `target`; gives back what changed by it, the target before its pools.
    /// A report on a target that is not in the book (it went with a reload) changes nothing.
    pub fn report(&mut self, node: NodeId, target: &TargetKey, report: Report, now_ms: u64) -> Vec<Change> {
        let Some(&at) = self.index.get(target) else { return Vec::new() };
        let entry = &mut self.entries[at];
        let before = entry.measured;
        let outcomes = entry.votes.entry(node).or_insert_with(Vote::new).count(report.clone(), &target.monitor, now_ms);
        entry.judge(&target.monitor);
        let (from, to) = (before.verdict, entry.measured.verdict);
        if before == entry.measured {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if from != to {
            entry.since_ms = now_ms;
            changes.push(Change::Target { target: target.clone(), from, to, outcomes, report, at_ms: now_ms });
        }
        self.judge_pools(at, now_ms, &mut changes);
        changes
    }

    /// What the hot path shall read now.
    pub fn view(&self) -> HealthView {
        self.view.clone()
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
        let entry = &self.entries[*self.index.get(target)?];
        let local = entry.votes.get(&NodeId::LOCAL);
        Some(TargetHealth {
            verdict: entry.measured.verdict,
            since_ms: entry.since_ms,
            contrary: local.map_or(0, |vote| vote.contrary),
            last: local.and_then(|vote| vote.last.as_ref()).map(|(at_ms, report)| (*at_ms, report)),
        })
    }

    /// The measurement of an endpoint, overrides left aside; up where nothing is probed.
    pub fn measured(&self, id: EndpointId) -> Measured {
        measured(&self.entries, &self.entry_of, id)
    }

    /// Works out again the pools that the entry at `at` has a part in, and those tied to them.
    fn judge_pools(&mut self, at: usize, now_ms: u64, changes: &mut Vec<Change>) {
        let HealthBook { layout, entries, entry_of, view, revision, .. } = self;
        let tied = |id: &PoolId| layout.pools.get(id.0 as usize).and_then(|pool| pool.together_with);
        let mut concerned: Vec<PoolId> = entries[at].pools.iter().flat_map(|id| std::iter::once(*id).chain(tied(id))).collect();
        concerned.sort_unstable();
        concerned.dedup();
        let before: Vec<PoolState> = concerned.iter().map(|id| view.pool(*id).state).collect();
        entries[at].pools.iter().for_each(|id| view.judge(layout, *id, &|endpoint| measured(entries, entry_of, endpoint)));
        *revision += 1;
        for (pool, from) in concerned.into_iter().zip(before) {
            let to = view.pool(pool).state;
            if from != to {
                changes.push(Change::Pool { pool, from, to, at_ms: now_ms });
            }
        }
    }
}

/// What is kept of one target.
#[derive(Debug)]
struct Entry {
    votes: BTreeMap<NodeId, Vote>,
    /// What follows from the votes.
    measured: Measured,
    since_ms: u64,
    /// The pools with an endpoint that this target stands for, ascending.
    pools: Vec<PoolId>,
}

impl Entry {
    fn new(now_ms: u64) -> Entry {
        let measured = Measured { verdict: Verdict::Unknown, pending_ms: None };
        Entry { votes: BTreeMap::new(), measured, since_ms: now_ms, pools: Vec::new() }
    }

    fn judge(&mut self, monitor: &Monitor) {
        self.measured = judge(self.votes.values(), monitor);
    }
}

/// What one node measures of one target.
#[derive(Debug)]
struct Vote {
    verdict: Verdict,
    /// Outcomes in a row that speak against the verdict; always fewer than it takes to turn it.
    contrary: u32,
    last: Option<(u64, Report)>,
}

impl Vote {
    fn new() -> Vote {
        Vote { verdict: Verdict::Unknown, contrary: 0, last: None }
    }

    /// Takes one outcome (H1, H2, H5); gives how many in a row now speak for what the vote says.
    fn count(&mut self, report: Report, monitor: &Monitor, now_ms: u64) -> u32 {
        let seen = match report.outcome {
            Outcome::Success | Outcome::Degraded => Some(Verdict::Up),
            Outcome::Failure => Some(Verdict::Down),
            Outcome::ProberFault => None,
        };
        self.last = Some((now_ms, report));
        let Some(seen) = seen else { return 0 };
        if seen == self.verdict {
            self.contrary = 0;
            return 0;
        }
        self.contrary += 1;
        let outcomes = self.contrary;
        if outcomes >= threshold(self.verdict, monitor) {
            self.verdict = seen;
            self.contrary = 0;
        }
        outcomes
    }

    /// Milliseconds until this vote could turn, while something speaks against it (T1).
    fn pending_ms(&self, monitor: &Monitor) -> Option<u32> {
        (self.contrary > 0).then(|| (threshold(self.verdict, monitor) - self.contrary).saturating_mul(monitor.interval_ms))
    }
}

/// How many contrary outcomes in a row turn a verdict; from unknown the first real one decides (H1).
fn threshold(verdict: Verdict, monitor: &Monitor) -> u32 {
    match verdict {
        Verdict::Unknown => 1,
        Verdict::Up => monitor.fall.max(1),
        Verdict::Down => monitor.rise.max(1),
    }
}

/// The verdict of all votes: the majority of those who know, and up when they are even. With the local vote alone it is that vote.
fn judge<'a>(votes: impl ExactSizeIterator<Item = &'a Vote>, monitor: &Monitor) -> Measured {
    if votes.len() == 0 {
        // Nobody has asked yet, and the first outcome decides: until then no answer may live longer than it takes to ask.
        return Measured { verdict: Verdict::Unknown, pending_ms: Some(monitor.interval_ms) };
    }
    let (mut up, mut down, mut pending_ms) = (0, 0, None::<u32>);
    for vote in votes {
        up += u32::from(vote.verdict == Verdict::Up);
        down += u32::from(vote.verdict == Verdict::Down);
        pending_ms = pending_ms.into_iter().chain(vote.pending_ms(monitor)).min();
    }
    let verdict = match (up, down) {
        (0, 0) => Verdict::Unknown,
        _ if down > up => Verdict::Down,
        _ => Verdict::Up,
    };
    Measured { verdict, pending_ms }
}

fn measured(entries: &[Entry], entry_of: &[Option<usize>], id: EndpointId) -> Measured {
    entry_of.get(id.0 as usize).copied().flatten().and_then(|at| entries.get(at)).map_or(Measured::UP, |entry| entry.measured)
}

#[cfg(test)]
mod tests;

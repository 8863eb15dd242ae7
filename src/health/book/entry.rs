//! What the book keeps of one target: the votes of the nodes, their dampers, and what is served of it.
//! It knows no other target; whether our own network works is told to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, Flag, TargetHealth};
use crate::health::PoolId;
use crate::health::damp::Damper;
use crate::health::monitor::{Monitor, TargetKey};
use crate::health::network::{self, Silence, Trust};
use crate::health::report::{NodeId, Outcome, Report};
use crate::health::score::{Scores, Told, Wanted};
use crate::health::view::{Measured, PoolLayout, SETTLED, Verdict};
use crate::health::vote::Vote;

/// One target.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) target: TargetKey,
    votes: BTreeMap<NodeId, Vote>,
    /// The verdict of all votes, before damping and doubt.
    voted: Verdict,
    damper: Damper,
    /// What is served.
    pub(super) measured: Measured,
    since_ms: u64,
    flag: Option<Flag>,
    /// The local report that came last, when, and the length of the row that it was part of.
    last: Option<(u64, Report)>,
    outcomes: u32,
    /// The prober's own faults so far, which are no evidence (H5).
    faults: u64,
    /// Reports in a row in which nothing was heard.
    pub(super) silence: Option<Silence>,
    /// Since when only the prober's own faults came.
    faults_since_ms: Option<u64>,
    /// When to look again although nothing was reported.
    pub(super) wake_ms: Option<u64>,
    /// The pools with an endpoint that this target stands for, ascending.
    pub(super) pools: Vec<PoolId>,
    pub(super) regions: BTreeSet<Arc<str>>,
    /// How quick and how busy it is, and which of it any pool wants to know.
    told: Told,
    scored: Wanted,
}

impl Entry {
    pub(super) fn new(target: &TargetKey, now_ms: u64) -> Entry {
        // Nobody has heard of it yet, and the first outcome decides, which may come at any moment.
        let measured = Measured { verdict: Verdict::Unknown, may_change_at_ms: now_ms, unmeasurable: false, scores: Scores::NONE };
        Entry {
            target: target.clone(),
            votes: BTreeMap::new(),
            voted: Verdict::Unknown,
            damper: Damper::default(),
            measured,
            since_ms: now_ms,
            flag: None,
            last: None,
            outcomes: 0,
            faults: 0,
            silence: None,
            faults_since_ms: None,
            wake_ms: None,
            pools: Vec::new(),
            regions: BTreeSet::new(),
            told: Told::default(),
            scored: Wanted::default(),
        }
    }

    pub(super) fn leave_pools(&mut self) {
        self.pools.clear();
        self.regions.clear();
        self.wake_ms = None;
        self.scored = Wanted::default();
    }

    pub(super) fn enter_pool(&mut self, id: PoolId, pool: &PoolLayout) {
        pool.scored.iter().for_each(|by| self.scored.add(*by));
        if self.pools.last() != Some(&id) {
            self.pools.push(id);
            self.regions.insert(Arc::clone(&pool.key.region));
        }
    }

    /// False for a target that is only watched.
    pub(super) fn has_say(&self) -> bool {
        !self.target.monitor.observe_only
    }

    /// True while its silence may be our own: it waits for a sign of life from anywhere.
    pub(super) fn waits_for_a_sign(&self) -> bool {
        matches!(self.flag, Some(Flag::Doubted | Flag::Held))
    }

    /// The silence was ours: what it counted is void, also for targets that had not been silent for long enough to be held. Probes that
    /// are still under way may have begun in it; they alone turn nothing.
    pub(super) fn forget_silence(&mut self) {
        if self.silence.take().is_some() {
            self.votes.insert(NodeId::LOCAL, Vote::of(self.measured.verdict));
        }
    }

    pub(super) fn reported_since(&self, start_ms: u64) -> bool {
        self.last.as_ref().is_some_and(|(at_ms, _)| *at_ms >= start_ms)
    }

    pub(super) fn health(&self) -> TargetHealth<'_> {
        TargetHealth {
            verdict: self.measured.verdict,
            since_ms: self.since_ms,
            contrary: self.votes.get(&NodeId::LOCAL).map_or(0, Vote::contrary),
            flag: self.flag,
            faults: self.faults,
            last: self.last.as_ref().map(|(at_ms, report)| (*at_ms, report)),
        }
    }

    /// True if the verdict was taken over.
    pub(super) fn restore(&mut self, verdict: Verdict, now_ms: u64) -> bool {
        if !self.votes.is_empty() || verdict == Verdict::Unknown {
            return false;
        }
        let verdict = if verdict == Verdict::Suppressed { Verdict::Down } else { verdict };
        self.votes.insert(NodeId::LOCAL, Vote::of(verdict));
        self.since_ms = now_ms;
        true
    }

    /// Counts a report; what is served follows from `settle`.
    pub(super) fn take(&mut self, node: NodeId, report: Report, now_ms: u64) {
        if node == NodeId::LOCAL {
            let well = matches!(report.outcome, Outcome::Success | Outcome::Degraded);
            if well {
                self.told.take(report.took_ms, report.active);
            }
            if well && self.waits_for_a_sign() {
                self.forget_silence();
            }
            self.silence = network::is_silent(&report).then(|| Silence::longer(self.silence, report.took_ms, now_ms));
            let is_fault = report.outcome == Outcome::ProberFault;
            self.faults += u64::from(is_fault);
            self.faults_since_ms = if is_fault { self.faults_since_ms.or(Some(now_ms)) } else { None };
        }
        let outcomes = self.votes.entry(node).or_default().count(report.outcome, &self.target.monitor);
        if outcomes > 0 {
            self.outcomes = outcomes;
        }
        self.last = Some((now_ms, report));
    }

    /// The damped verdict if the target is about to fall in silence, so that our own network has to be asked about.
    pub(super) fn doubt(&mut self, now_ms: u64) -> Option<Verdict> {
        let shown = self.measured.verdict;
        let asked = shown.serves() && shown != Verdict::Unknown && self.silence.is_some();
        let verdict = judge(self.votes.values());
        let damped = self.damper.judge(&self.target.monitor.damping, verdict, shown, self.since_ms, now_ms).verdict;
        (asked && damped == Verdict::Down).then_some(damped)
    }

    /// Works out what is served; `trust` is what is known of our own network, where that was asked. After `hold_max_ms` of nothing but the
    /// prober's own faults the target counts as one that cannot be measured.
    pub(super) fn settle(&mut self, trust: Option<Trust>, hold_max_ms: u64, now_ms: u64, changes: &mut Vec<Change>) {
        let target = self.target.clone();
        let monitor: &Monitor = &target.monitor;
        let voted = judge(self.votes.values());
        // A silence that may be our own is no fall.
        if matches!(trust, None | Some(Trust::Works)) {
            if self.voted.serves() && self.voted != Verdict::Unknown && !voted.serves() {
                self.damper.fell(&monitor.damping, now_ms);
            }
            self.voted = voted;
        }
        let shown = self.measured.verdict;
        let damped = self.damper.judge(&monitor.damping, voted, shown, self.since_ms, now_ms);
        let flag = match damped.verdict {
            Verdict::Suppressed => Some(Flag::Suppressed),
            verdict if verdict != voted => Some(Flag::HeldDown),
            _ => None,
        };
        let (verdict, until_ms, flag) = match trust {
            Some(Trust::Unclear { until_ms }) => (shown, Some(until_ms), Some(Flag::Doubted)),
            Some(Trust::Out { until_ms }) => (shown, Some(until_ms), Some(Flag::Held)),
            Some(Trust::Works) | None => (damped.verdict, damped.until_ms, flag),
        };
        let lost_at_ms = self.faults_since_ms.map(|since_ms| since_ms.saturating_add(hold_max_ms));
        let unmeasurable = lost_at_ms.is_some_and(|lost_at_ms| now_ms >= lost_at_ms);
        let flag = if unmeasurable { flag.or(Some(Flag::Unmeasurable)) } else { flag };
        self.wake_ms = until_ms.into_iter().chain(lost_at_ms.filter(|_| !unmeasurable)).min().map(|due_ms| due_ms.max(now_ms + 1));
        let may_change_at_ms = self.vote_may_turn_at_ms(monitor).min(until_ms.unwrap_or(SETTLED));
        let scores = self.told.scores().only(self.scored);
        self.measured = Measured { verdict, may_change_at_ms, unmeasurable, scores };
        if verdict != shown {
            self.since_ms = now_ms;
            if let Some((_, report)) = &self.last {
                let report = report.clone();
                changes.push(Change::Target {
                    target: target.clone(),
                    from: shown,
                    to: verdict,
                    outcomes: self.outcomes,
                    report,
                    at_ms: now_ms,
                });
            }
        }
        if flag != self.flag {
            self.flag = flag;
            changes.push(Change::Flag { target, flag, at_ms: now_ms });
        }
    }

    /// The soonest moment at which a vote could turn, while something speaks against it (T1): all that is missing comes as fast as the
    /// prober asks, which counts its gaps from start to start.
    fn vote_may_turn_at_ms(&self, monitor: &Monitor) -> u64 {
        let Some((reported_at_ms, report)) = &self.last else { return if self.votes.is_empty() { self.since_ms } else { SETTLED } };
        let Some(missing) = self.votes.values().filter_map(|vote| vote.missing(monitor)).min() else { return SETTLED };
        let gap_ms = u64::from(monitor.least_recheck_ms());
        reported_at_ms + gap_ms.saturating_sub(u64::from(report.took_ms)) + u64::from(missing - 1) * gap_ms
    }
}

/// The verdict of all votes: the majority of those who know, and up when they are even; degraded if any who serves says so.
/// With the local vote alone it is that vote.
fn judge<'a>(votes: impl Iterator<Item = &'a Vote>) -> Verdict {
    let (mut serves, mut down, mut degraded) = (0_u32, 0_u32, false);
    for vote in votes {
        match vote.verdict() {
            Verdict::Unknown => {}
            Verdict::Down | Verdict::Suppressed => down += 1,
            verdict => {
                serves += 1;
                degraded |= verdict == Verdict::Degraded;
            }
        }
    }
    match (serves, down) {
        (0, 0) => Verdict::Unknown,
        _ if down > serves => Verdict::Down,
        _ if degraded => Verdict::Degraded,
        _ => Verdict::Up,
    }
}

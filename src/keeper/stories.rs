//! How pools came to be what they are, for those who ask why: since when, and what was seen. Published with the health view.
//! It listens to what changed and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::health::{Change, HealthBook, PoolId, PoolKey, Story};

/// Why a pool is down whose targets are well.
const WAITS: &str = "failback: manual, it waits for `meridian ctl clear`";

/// What was last seen of each pool when it changed.
#[derive(Debug, Default)]
pub(super) struct Stories {
    evidence: BTreeMap<PoolKey, Arc<str>>,
    /// By pool, as published; none = something changed since.
    made: Option<Arc<[Story]>>,
}

impl Stories {
    /// Hears what changed: a target's change comes right before those of its pools; `why` is what led to those that no target led to.
    pub(super) fn hear(&mut self, changes: &[Change], why: &str, book: &HealthBook) {
        let mut seen: Arc<str> = why.into();
        for change in changes {
            match change {
                Change::Target { report, .. } => seen = report.to_string().into(),
                Change::Pool { pool, waits, .. } => {
                    let key = book.layout().pools.get(pool.0 as usize).map(|pool| pool.key.clone());
                    // What was seen says that it is well; that is not why it is down.
                    let why = if *waits { WAITS.into() } else { Arc::clone(&seen) };
                    key.into_iter().for_each(|key| _ = self.evidence.insert(key, Arc::clone(&why)));
                    self.made = None;
                }
                Change::Flag { .. } | Change::Held { .. } => {}
            }
        }
    }

    /// Pools have other numbers from now on; those that are gone are forgotten.
    pub(super) fn renumber(&mut self, book: &HealthBook) {
        let known: BTreeSet<&PoolKey> = book.layout().pools.iter().map(|pool| &pool.key).collect();
        self.evidence.retain(|key, _| known.contains(key));
        self.made = None;
    }

    /// By pool; made anew only when one has changed.
    pub(super) fn all(&mut self, book: &HealthBook) -> Arc<[Story]> {
        let evidence = &self.evidence;
        let stories = (0..).map(PoolId).zip(&book.layout().pools).map(|(id, pool)| Story {
            since_ms: book.pool(id).map_or(0, |standing| standing.since_ms),
            evidence: evidence.get(&pool.key).cloned().unwrap_or_default(),
        });
        Arc::clone(self.made.get_or_insert_with(|| stories.collect()))
    }
}

//! How late probes start: counted by every task in a histogram of milliseconds, so that a machine too small for its targets is found out.
//! It never slows a probe down (one relaxed addition each) and never changes when one starts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds that are told apart; what is later counts as this late.
const MAX_MS: usize = 1024;

/// Later than this the bound of detection (H2) has no slack left, and the operator is told.
const ALARM_MS: u64 = 1_000;

/// Told at most this often.
const ALARM_GAP_MS: u64 = 60_000;

/// Counts by lateness.
pub(super) struct Lateness {
    by_ms: Box<[AtomicU64]>,
    alarm_due_ms: AtomicU64,
}

impl Lateness {
    pub(super) fn new() -> Lateness {
        Lateness { by_ms: (0..=MAX_MS).map(|_| AtomicU64::new(0)).collect(), alarm_due_ms: AtomicU64::new(0) }
    }

    /// Counts a probe that was planned for `planned_ms` and began at `began_ms`; true if the operator shall be told now.
    pub(super) fn count(&self, planned_ms: u64, began_ms: u64) -> bool {
        let late_ms = began_ms.saturating_sub(planned_ms);
        let cell = usize::try_from(late_ms).map_or(MAX_MS, |late_ms| late_ms.min(MAX_MS));
        self.by_ms[cell].fetch_add(1, Ordering::Relaxed);
        let due_ms = self.alarm_due_ms.load(Ordering::Relaxed);
        let next_ms = began_ms + ALARM_GAP_MS;
        // Of all tasks that are late at once one tells it.
        late_ms > ALARM_MS
            && began_ms >= due_ms
            && self.alarm_due_ms.compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts anew from now on.
    pub(super) fn reset(&self) {
        self.by_ms.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// The lateness in milliseconds that this share of all probes so far did not exceed, from 0.0 to 1.0; at most [`MAX_MS`].
    pub(super) fn quantile_ms(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.by_ms.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let wanted = counts.iter().sum::<u64>() as f64 * share;
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen as f64 >= wanted
        };
        counts.iter().position(reached).unwrap_or(MAX_MS) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let lateness = Lateness::new();
        assert_eq!(lateness.quantile_ms(0.99), 0);
        (0..100).for_each(|late_ms| _ = lateness.count(5_000, 5_000 + late_ms));
        assert_eq!([0.5, 0.99, 1.0].map(|share| lateness.quantile_ms(share)), [49, 98, 99]);
        assert!(!lateness.count(5_000, 4_000), "early is not late");
        lateness.count(0, 1 << 40);
        assert_eq!(lateness.quantile_ms(1.0), MAX_MS as u64);
        lateness.reset();
        assert_eq!(lateness.quantile_ms(1.0), 0);
    }

    #[test]
    fn the_operator_is_told_once_a_minute() {
        let lateness = Lateness::new();
        let told = [(9_000, 10_000), (9_000, 10_001), (9_000, 10_002), (60_000, 70_000), (60_000, 70_001)];
        assert_eq!(told.map(|(planned_ms, began_ms)| lateness.count(planned_ms, began_ms)), [false, true, false, false, true]);
    }
}

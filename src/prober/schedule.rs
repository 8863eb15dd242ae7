//! When a target is probed: starts are spread, gaps are the interval less a little jitter, and a target is never probed twice at once.
//! It never lengthens a gap (H2), so that detection takes at most fall x interval + timeout + 1 s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::probe::Probe;
use super::steps::Steps;
use crate::health::monitor::{JITTER_DIVISOR, TargetKey};
use crate::health::vote::Vote;
use crate::random::Random;

/// The first probes of a new set of targets start within this time, so that a thousand of them are no burst, yet within the second that
/// the first round has beyond the longest timeout.
const FIRST_SPREAD_MS: u32 = 500;

/// Probes one target for ever. `first_report` is dropped when the first report is out.
pub(super) async fn watch(
    target: TargetKey,
    probe: Probe,
    mut pace: Pace,
    shared: Arc<Shared>,
    mut first_report: Option<mpsc::Sender<()>>,
) {
    let mut vote = Vote::new();
    let mut start_ms = shared.clock.now_ms() + u64::from(pace.next_ms());
    loop {
        tokio::time::sleep(Duration::from_millis(start_ms.saturating_sub(shared.clock.now_ms()))).await;
        // The semaphore is never closed; if it were, the probe would run without a permit rather than not at all.
        let permit = shared.in_flight.acquire().await.ok();
        let began_ms = shared.clock.now_ms();
        if shared.lateness.count(start_ms, began_ms) {
            tracing::warn!(
                late_ms = began_ms - start_ms,
                "probes start late: this machine has too little time or too few descriptors for its targets"
            );
        }
        let report = probe.report(&target.monitor, &shared.clock, pace.number(), &mut Steps::off()).await;
        drop(permit);
        let ended_ms = shared.clock.now_ms();
        let outcome = report.outcome;
        (shared.reports)(target.clone(), report);
        vote.count(outcome, &target.monitor);
        drop(first_report.take());
        // Counted from the planned start, so that being late once does not delay all that follow; what was missed is not made up for.
        let gap_ms = pace.next_ms();
        // While outcomes speak against the verdict the next one is asked for soon: a change is found fast, and settled states cost little.
        let gap_ms = if vote.missing(&target.monitor).is_some() { gap_ms.min(target.monitor.recheck_ms) } else { gap_ms };
        start_ms = (start_ms + u64::from(gap_ms)).max(ended_ms);
    }
}

/// The gaps between the starts of one target's probes.
#[derive(Debug)]
pub(super) struct Pace {
    interval_ms: u32,
    random: Random,
    given: u32,
}

impl Pace {
    pub(super) fn new(interval_ms: u32, random: Random) -> Pace {
        Pace { interval_ms, random, given: 0 }
    }

    /// A number for the packets of one run.
    pub(super) fn number(&mut self) -> u16 {
        // The high bits are the best mixed; the cast keeps sixteen of them.
        (self.random.next() >> 48) as u16
    }

    /// Milliseconds to the first start, then to each next one. The second gap is anything from half the interval, which
    /// spreads the targets over it; the others are the interval less the jitter.
    fn next_ms(&mut self) -> u32 {
        let gap_ms = match self.given {
            0 => self.below(FIRST_SPREAD_MS.min(self.interval_ms)),
            1 => self.interval_ms - self.below(self.interval_ms / 2 + 1),
            _ => self.interval_ms - self.below(self.interval_ms / JITTER_DIVISOR + 1),
        };
        self.given = self.given.saturating_add(1);
        gap_ms
    }

    fn below(&mut self, bound_ms: u32) -> u32 {
        // Under `bound_ms`, so the cast loses nothing.
        self.random.below(bound_ms as usize) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_jitter_only_shortens_and_by_a_tenth_at_most() {
        for interval_ms in [100, 1000, 5000, 3_600_000] {
            let mut pace = Pace::new(interval_ms, Random::new(7));
            assert!(pace.next_ms() < FIRST_SPREAD_MS);
            let second_ms = pace.next_ms();
            assert!((interval_ms / 2..=interval_ms).contains(&second_ms), "{second_ms}");
            for _ in 0..1000 {
                let gap_ms = pace.next_ms();
                assert!((interval_ms - interval_ms / 10..=interval_ms).contains(&gap_ms), "{gap_ms}");
            }
        }
    }

    #[test]
    fn h2_the_worst_case_detects_within_fall_intervals_a_timeout_and_a_second() {
        // A target dies just after a probe started that it still answered: `fall` further starts, the last of which ends by timeout.
        let (interval_ms, timeout_ms, fall) = (5000_u64, 2000_u64, 3_u64);
        for seed in 0..200 {
            let mut pace = Pace::new(5000, Random::new(seed));
            let mut starts_ms = vec![u64::from(pace.next_ms())];
            (0..50).for_each(|_| starts_ms.push(starts_ms[starts_ms.len() - 1] + u64::from(pace.next_ms())));
            for window in starts_ms.windows(fall as usize + 1) {
                assert!(window[fall as usize] - window[0] + timeout_ms <= fall * interval_ms + timeout_ms + 1000);
            }
        }
    }

    #[test]
    fn h2_starts_are_spread() {
        let mut seeds = Random::new(1);
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let mut pace = Pace::new(5000, seeds.split());
            tenths[(pace.next_ms() / (FIRST_SPREAD_MS / 10)) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn equal_seeds_give_equal_paces_and_split_ones_differ() {
        let gaps = |random: Random| {
            let mut pace = Pace::new(3_600_000, random);
            (0..8).map(|_| pace.next_ms()).collect::<Vec<_>>()
        };
        let mut random = Random::new(3);
        let (one, other) = (random.split(), random.split());
        assert_eq!(gaps(one.clone()), gaps(one.clone()));
        assert_ne!(gaps(one), gaps(other));
    }
}

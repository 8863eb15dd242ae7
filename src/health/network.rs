//! Whether our own network can be trusted: when every target of a family falls silent at once, it is we who are cut off (H5).
//! It only judges what it is told of the targets; it holds nothing back itself.

use super::report::{Evidence, Outcome, Report};

/// A state is held for at most this long while our own network is in doubt, where the files do not say (`hold_max`): then the operator's
/// clients need an answer that moves.
pub const DEFAULT_HOLD_MAX_MS: u64 = 60_000;

/// A verdict of our own network takes this many silent targets, in as many regions: one that dies alone proves nothing.
const MIN_SILENT: usize = 2;

/// Beyond its last timeout a target's fall is delayed by at most this much, so that detection keeps its bound (H2).
const SLACK_MS: u64 = 900;

/// True if a report proves nothing about our own network: nothing was heard. A refusal, a status or any octet is heard;
/// an "unreachable" may come from our own gateway and is not.
pub(super) fn is_silent(report: &Report) -> bool {
    report.outcome == Outcome::ProberFault || matches!(report.evidence, Evidence::Timeout | Evidence::Unreachable)
}

/// A row of silent reports of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    /// When the first of these probes started.
    pub(super) first_start_ms: u64,
    /// When the last of them started.
    pub(super) last_start_ms: u64,
}

impl Silence {
    /// The row with one more probe, which took `took_ms` and ended at `now_ms`.
    pub(super) fn longer(row: Option<Silence>, took_ms: u32, now_ms: u64) -> Silence {
        let start_ms = now_ms.saturating_sub(u64::from(took_ms));
        Silence { first_start_ms: row.map_or(start_ms, |row| row.first_start_ms), last_start_ms: start_ms }
    }

    /// When the fall of this target is decided at the latest, whatever is known of the others by then.
    pub(super) fn deadline_ms(&self, fall: u32, interval_ms: u32, timeout_ms: u32) -> u64 {
        let rows_ms = u64::from(fall.saturating_sub(1)) * u64::from(interval_ms);
        self.first_start_ms + rows_ms + u64::from(timeout_ms) + SLACK_MS
    }
}

/// What is known of one address family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Family {
    /// When something was last heard from any target.
    pub(super) heard_ms: Option<u64>,
    /// Since when states are held.
    pub(super) held_since_ms: Option<u64>,
}

/// What the other targets of a family that were up say of a silence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Targets that were up, the silent one included.
    pub(super) targets: usize,
    /// Regions that they stand in.
    pub(super) regions: usize,
    /// Those that have reported since the silence began, itself included; while nothing was heard all of them are silent.
    pub(super) reported: usize,
    /// Regions that those stand in.
    pub(super) reported_regions: usize,
}

/// Whether a silent target may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Our network works, or nothing speaks against it: it falls.
    Works,
    /// Not clear yet; asked again at this time at the latest.
    Unclear { until_ms: u64 },
    /// Everything is silent: its state is held until this time.
    Out { until_ms: u64 },
}

/// The rule. States are held for at most `hold_max_ms`; `deadline_ms` is when this target is decided at the latest.
pub(super) fn judge(family: Family, silence: Silence, others: Others, deadline_ms: u64, hold_max_ms: u64, now_ms: u64) -> Trust {
    let heard_since = |start_ms: u64| family.heard_ms.is_some_and(|heard_ms| heard_ms >= start_ms);
    if others.targets < MIN_SILENT || others.regions < MIN_SILENT || heard_since(silence.last_start_ms) {
        return Trust::Works;
    }
    if now_ms < deadline_ms && (others.reported < others.targets || heard_since(silence.first_start_ms)) {
        return Trust::Unclear { until_ms: deadline_ms };
    }
    if heard_since(silence.first_start_ms) || others.reported < MIN_SILENT || others.reported_regions < MIN_SILENT {
        return Trust::Works;
    }
    let until_ms = family.held_since_ms.unwrap_or(now_ms).saturating_add(hold_max_ms);
    if now_ms < until_ms { Trust::Out { until_ms } } else { Trust::Works }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_a_silence_is_ours_only_when_all_are_silent_and_nothing_is_heard() {
        let silence = Silence { first_start_ms: 10_000, last_start_ms: 14_000 };
        let all = Others { targets: 3, regions: 2, reported: 3, reported_regions: 2 };
        let heard = |heard_ms| Family { heard_ms, held_since_ms: None };
        let held = |held_since_ms| Family { heard_ms: None, held_since_ms: Some(held_since_ms) };
        for (family, others, now_ms, expected, why) in [
            (heard(None), all, 16_000, Trust::Out { until_ms: 76_000 }, "all silent"),
            (heard(Some(9_000)), all, 16_000, Trust::Out { until_ms: 76_000 }, "heard only before"),
            (heard(Some(14_500)), all, 16_000, Trust::Works, "heard during its last probe"),
            (heard(Some(11_000)), all, 16_000, Trust::Unclear { until_ms: 22_900 }, "heard between its probes"),
            (heard(Some(11_000)), all, 22_900, Trust::Works, "and nothing more came"),
            (heard(None), Others { reported: 1, ..all }, 16_000, Trust::Unclear { until_ms: 22_900 }, "others are not asked yet"),
            (heard(None), Others { reported: 1, reported_regions: 1, ..all }, 22_900, Trust::Works, "nobody else is silent"),
            (heard(None), Others { reported: 2, ..all }, 22_900, Trust::Out { until_ms: 82_900 }, "two of three, the third is slow"),
            (heard(None), Others { targets: 1, ..all }, 16_000, Trust::Works, "it is the only one"),
            (heard(None), Others { regions: 1, ..all }, 16_000, Trust::Works, "one region alone"),
            (held(1_000), all, 60_999, Trust::Out { until_ms: 61_000 }, "held for a while"),
            (held(1_000), all, 61_000, Trust::Works, "held long enough"),
        ] {
            let deadline_ms = silence.deadline_ms(3, 5000, 2000);
            assert_eq!(judge(family, silence, others, deadline_ms, DEFAULT_HOLD_MAX_MS, now_ms), expected, "{why}");
        }
    }

    #[test]
    fn h5_the_hold_lasts_as_long_as_it_is_told_and_0_is_none() {
        let silence = Silence { first_start_ms: 10_000, last_start_ms: 14_000 };
        let all = Others { targets: 3, regions: 2, reported: 3, reported_regions: 2 };
        let judged = |hold_max_ms| judge(Family::default(), silence, all, 22_900, hold_max_ms, 16_000);
        assert_eq!(judged(5_000), Trust::Out { until_ms: 21_000 });
        assert_eq!(judged(3_600_000), Trust::Out { until_ms: 3_616_000 });
        assert_eq!(judged(0), Trust::Works);
    }

    #[test]
    fn h2_the_delay_keeps_the_bound_of_detection() {
        for (fall, interval_ms, timeout_ms) in [(1, 5000, 2000), (3, 5000, 2000), (100, 1000, 900)] {
            let silence = Silence { first_start_ms: 0, last_start_ms: 0 };
            // The target died at most one interval before its first silent probe.
            let bound_ms = u64::from(fall) * u64::from(interval_ms) + u64::from(timeout_ms) + 1000;
            assert!(u64::from(interval_ms) + silence.deadline_ms(fall, interval_ms, timeout_ms) <= bound_ms);
        }
    }
}

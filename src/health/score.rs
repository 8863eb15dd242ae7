//! The score of a target: how long its probes take, smoothed, for balances that prefer the quick.
//! It never judges; a slow target is as well as a quick one.

/// A score in milliseconds plus one, from 1 to [`MAX_SCORE`]; smoothed, and in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score(Option<u32>);

/// Over a minute nothing is told apart any more.
pub const MAX_SCORE: u32 = 60_000;

/// Steps to the double: a change of less than a fifth is none, so that a healthy fleet publishes nothing new.
const STEPS_PER_OCTAVE: f64 = 4.0;

impl Score {
    /// Takes the time of one good probe: at most to the double or the half of the score so far. A balance that followed every probe at
    /// once would send everyone to and fro.
    pub fn take(&mut self, took_ms: u32) {
        let found = took_ms.saturating_add(1).min(MAX_SCORE);
        self.0 = Some(self.0.map_or(found, |score| found.clamp(score.div_ceil(2), score.saturating_mul(2))));
    }

    /// The score in steps; none before the first good probe.
    pub fn stepped(self) -> Option<u32> {
        let octaves = f64::from(self.0?).log2();
        Some(((octaves * STEPS_PER_OCTAVE).round() / STEPS_PER_OCTAVE).exp2().round() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_at_most_by_two_a_probe_and_arrives() {
        let mut score = Score::default();
        assert_eq!(score.stepped(), None);
        let seen: Vec<Option<u32>> = [9, 79, 79, 79, 79, 0, 0]
            .into_iter()
            .map(|took_ms| {
                score.take(took_ms);
                score.0
            })
            .collect();
        assert_eq!(seen, [Some(10), Some(20), Some(40), Some(80), Some(80), Some(40), Some(20)]);
    }

    #[test]
    fn small_changes_are_none() {
        let stepped = |took_ms| {
            let mut score = Score::default();
            score.take(took_ms);
            score.stepped()
        };
        assert_eq!(stepped(99), stepped(104));
        assert_ne!(stepped(99), stepped(130));
        assert_eq!([stepped(0), stepped(u32::MAX)], [Some(1), stepped(MAX_SCORE)]);
    }
}

//! The scores of a target, for balances that prefer the quick or the idle: how long its probes take, and how much it says it works on.
//! They never judge; a slow target is as well as a quick one.

/// What a balance goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScoredBy {
    /// The time that probes take, in milliseconds plus one, times what it works on plus one where it says so.
    Time,
    /// What it works on plus one.
    Active,
}

/// Both scores of a target as far as they are known, in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scores {
    /// See [`ScoredBy::Time`].
    pub time: Option<u32>,
    /// See [`ScoredBy::Active`].
    pub active: Option<u32>,
}

impl Scores {
    /// Nothing is known.
    pub const NONE: Scores = Scores { time: None, active: None };

    /// The one that a balance goes by.
    pub fn by(self, by: ScoredBy) -> Option<u32> {
        match by {
            ScoredBy::Time => self.time,
            ScoredBy::Active => self.active,
        }
    }

    /// Without the one that nobody goes by: what nobody reads need not be told.
    pub fn only(self, wanted: Wanted) -> Scores {
        Scores { time: self.time.filter(|_| wanted.time), active: self.active.filter(|_| wanted.active) }
    }

    /// Of two targets that stand for one endpoint the worse scores.
    pub fn worse(self, other: Scores) -> Scores {
        Scores { time: self.time.max(other.time), active: self.active.max(other.active) }
    }
}

/// Which scores of a target anybody goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    time: bool,
    active: bool,
}

impl Wanted {
    /// One more wants to know.
    pub fn add(&mut self, by: ScoredBy) {
        match by {
            ScoredBy::Time => self.time = true,
            ScoredBy::Active => self.active = true,
        }
    }
}

/// What a target's good probes have told so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    time: Score,
    active: Score,
}

impl Told {
    /// Takes a good probe: how long it took, and what the target says it works on.
    pub fn take(&mut self, took_ms: u32, active: Option<u32>) {
        let work = active.map(|active| active.saturating_add(1));
        self.time.take(took_ms.saturating_add(1).saturating_mul(work.unwrap_or(1)));
        work.into_iter().for_each(|work| self.active.take(work));
    }

    /// As balances see it.
    pub fn scores(self) -> Scores {
        Scores { time: self.time.stepped(), active: self.active.stepped() }
    }
}

/// A score from 1 to [`MAX_SCORE`]; smoothed, and in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score(Option<u32>);

/// Over this nothing is told apart any more: four hours, or as many connections as no machine has. Beyond it shares would round to nothing.
const MAX_SCORE: u32 = 1 << 24;

/// Steps to the double: a change of less than a fifth is none, so that a healthy fleet publishes nothing new.
const STEPS_PER_OCTAVE: f64 = 4.0;

impl Score {
    /// Takes what one good probe found: at most to the double or the half of the score so far. A balance that followed every probe at
    /// once would send everyone to and fro.
    fn take(&mut self, found: u32) {
        let found = found.clamp(1, MAX_SCORE);
        self.0 = Some(self.0.map_or(found, |score| found.clamp(score.div_ceil(2), score.saturating_mul(2))));
    }

    /// The score in steps; none before the first good probe.
    fn stepped(self) -> Option<u32> {
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
        let seen: Vec<Option<u32>> = [10, 80, 80, 80, 80, 1, 1]
            .into_iter()
            .map(|found| {
                score.take(found);
                score.0
            })
            .collect();
        assert_eq!(seen, [Some(10), Some(20), Some(40), Some(80), Some(80), Some(40), Some(20)]);
    }

    #[test]
    fn small_changes_are_none() {
        let stepped = |found| {
            let mut score = Score::default();
            score.take(found);
            score.stepped()
        };
        assert_eq!(stepped(100), stepped(105));
        assert_ne!(stepped(100), stepped(131));
        assert_eq!([stepped(0), stepped(u32::MAX)], [Some(1), stepped(MAX_SCORE)]);
    }

    #[test]
    fn what_a_target_works_on_counts_by_itself_and_with_the_time() {
        let told = |probes: &[(u32, Option<u32>)]| {
            let mut told = Told::default();
            probes.iter().for_each(|(took_ms, active)| told.take(*took_ms, *active));
            told.scores()
        };
        assert_eq!(told(&[(15, None)]), Scores { time: Some(16), active: None });
        assert_eq!(told(&[(15, Some(7))]), Scores { time: Some(128), active: Some(8) });
        assert_eq!(
            told(&[(15, Some(7)), (15, Some(63)), (15, None)]).active,
            Some(16),
            "at most the double, and kept while nothing is said"
        );
        let (quick, idle) = (Scores { time: Some(1), active: Some(9) }, Scores { time: Some(5), active: None });
        assert_eq!(quick.worse(idle), Scores { time: Some(5), active: Some(9) });
        let mut wanted = Wanted::default();
        wanted.add(ScoredBy::Active);
        assert_eq!((quick.only(wanted), idle.only(Wanted::default())), (Scores { time: None, active: Some(9) }, Scores::NONE));
        assert_eq!((quick.by(ScoredBy::Time), quick.by(ScoredBy::Active)), (Some(1), Some(9)));
    }
}

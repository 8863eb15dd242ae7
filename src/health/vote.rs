//! What one node makes of the outcomes of one target: consecutive ones turn its verdict, single ones do not (H1, H2).
//! It knows neither other nodes nor dampers nor overrides; the prober paces itself by one of its own.

use super::monitor::Monitor;
use super::report::Outcome;
use super::view::Verdict;

/// Counts outcomes in a row; a prober fault is none (H5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    verdict: Verdict,
    /// Failures in a row.
    bad: u32,
    /// Outcomes in a row that were no success: failed or degraded.
    not_good: u32,
    /// Outcomes in a row that were no failure: good or degraded.
    not_bad: u32,
    /// Successes in a row.
    good: u32,
}

impl Vote {
    /// Nothing is known.
    pub fn new() -> Vote {
        Vote::of(Verdict::Unknown)
    }

    /// A verdict that was reached before; nothing speaks against it yet.
    pub fn of(verdict: Verdict) -> Vote {
        Vote { verdict, bad: 0, not_good: 0, not_bad: 0, good: 0 }
    }

    /// The verdict: unknown, up, degraded or down.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Takes one outcome; gives how many in a row led to the verdict if it turned, else how many speak against it.
    pub fn count(&mut self, outcome: Outcome, monitor: &Monitor) -> u32 {
        let (good, bad) = match outcome {
            Outcome::Success => (true, false),
            Outcome::Degraded => (false, false),
            Outcome::Failure => (false, true),
            Outcome::ProberFault => return 0,
        };
        let row = |holds: bool, so_far: u32| if holds { so_far.saturating_add(1) } else { 0 };
        self.bad = row(bad, self.bad);
        self.not_good = row(!good, self.not_good);
        self.not_bad = row(!bad, self.not_bad);
        self.good = row(good, self.good);
        match self.turned(monitor) {
            Some((verdict, outcomes)) => {
                self.verdict = verdict;
                outcomes
            }
            None => self.contrary(),
        }
    }

    /// Outcomes in a row that speak against the verdict.
    pub fn contrary(&self) -> u32 {
        match self.verdict {
            Verdict::Unknown => 0,
            Verdict::Up => self.not_good,
            Verdict::Degraded => self.bad.max(self.good),
            Verdict::Down | Verdict::Suppressed => self.not_bad,
        }
    }

    /// How many more contrary outcomes could turn the verdict; none while nothing speaks against it.
    pub fn missing(&self, monitor: &Monitor) -> Option<u32> {
        let missing = |row: u32, threshold: u32| (row > 0).then(|| threshold.saturating_sub(row).max(1));
        match self.verdict {
            Verdict::Unknown => None,
            Verdict::Up => missing(self.not_good, monitor.fall),
            Verdict::Degraded => missing(self.bad, monitor.fall).into_iter().chain(missing(self.good, monitor.rise)).min(),
            Verdict::Down | Verdict::Suppressed => missing(self.not_bad, monitor.rise),
        }
    }

    /// The verdict that the rows now demand, and the length of the row; from unknown the first outcome decides.
    fn turned(&self, monitor: &Monitor) -> Option<(Verdict, u32)> {
        let (fall, rise) = match self.verdict {
            Verdict::Unknown => (1, 1),
            _ => (monitor.fall.max(1), monitor.rise.max(1)),
        };
        let to_down = || (self.bad >= fall).then_some((Verdict::Down, self.bad));
        let to_up = || (self.good >= rise).then_some((Verdict::Up, self.good));
        match self.verdict {
            Verdict::Unknown => to_down().or_else(to_up).or((self.not_bad > 0).then_some((Verdict::Degraded, 1))),
            Verdict::Up => to_down().or_else(|| (self.not_good >= fall).then_some((Verdict::Degraded, self.not_good))),
            Verdict::Degraded => to_down().or_else(to_up),
            Verdict::Down | Verdict::Suppressed => to_up().or_else(|| (self.not_bad >= rise).then_some((Verdict::Degraded, self.not_bad))),
        }
    }
}

impl Default for Vote {
    fn default() -> Vote {
        Vote::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::monitor::Request;

    /// The verdict after each letter: `+` good, `~` degraded, `-` failed, `!` the prober's fault.
    fn verdicts(fall: u32, rise: u32, letters: &str) -> String {
        let monitor = Monitor { fall, rise, ..Monitor::new(1, Request::Tcp) };
        let mut vote = Vote::new();
        let letter = |letter: char| {
            let outcome = match letter {
                '+' => Outcome::Success,
                '~' => Outcome::Degraded,
                '-' => Outcome::Failure,
                _ => Outcome::ProberFault,
            };
            vote.count(outcome, &monitor);
            match vote.verdict() {
                Verdict::Unknown => 'u',
                Verdict::Up => 'U',
                Verdict::Degraded => 'd',
                Verdict::Down | Verdict::Suppressed => 'D',
            }
        };
        letters.chars().map(letter).collect()
    }

    #[test]
    fn degraded_lies_between_up_and_down_and_each_step_takes_its_row() {
        for (letters, expected) in [
            ("~", "d"),
            ("+~~", "UUd"),
            ("+~-", "UUd"),
            ("+-~", "UUd"),
            ("+--", "UUD"),
            ("+~--", "UUdD"),
            ("+~+~+~", "UUUUUU"),
            ("-~~~", "DDDd"),
            ("-+++", "DDDU"),
            ("-+~+", "DDDd"),
            ("-+~++", "DDDdd"),
            ("-+~+++", "DDDddU"),
            ("~!-!-", "ddddD"),
            ("-~-~-~~~", "DDDDDDDd"),
        ] {
            assert_eq!(verdicts(2, 3, letters), expected, "{letters}");
        }
    }

    #[test]
    fn what_is_missing_is_never_more_than_what_turns_it() {
        let monitor = Monitor { fall: 3, rise: 5, ..Monitor::new(1, Request::Tcp) };
        let mut vote = Vote::new();
        for (outcome, missing) in
            [(Outcome::Success, None), (Outcome::Failure, Some(2)), (Outcome::Degraded, Some(1)), (Outcome::Failure, None)]
        {
            vote.count(outcome, &monitor);
            if vote.verdict() == Verdict::Degraded {
                assert_eq!(vote.missing(&monitor), Some(2), "one failure is part of the next row");
            } else {
                assert_eq!(vote.missing(&monitor), missing);
            }
        }
    }
}

//! Dampers between what is measured and what is served: the least time in a state, and a penalty for flapping.
//! Pure: times are arguments, and nothing happens by itself; whoever keeps a damper asks when to look again.

use super::view::Verdict;

/// What a monitor asks of its damper. All off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Damping {
    /// A target that came up stays up at least this long, in milliseconds.
    pub min_up_ms: u32,
    /// A target that went down stays down at least this long, in milliseconds.
    pub min_down_ms: u32,
    /// Suppression of targets that flap; none = off.
    pub flap: Option<Flap>,
}

/// Each time a target goes down counts one; the count halves every `half_life_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flap {
    /// The count halves in this time, in milliseconds.
    pub half_life_ms: u32,
    /// Suppressed from this count on, in thousandths.
    pub suppress_milli: u32,
    /// Trusted again under this count, in thousandths; under `suppress_milli`.
    pub reuse_milli: u32,
}

/// The count never goes over this many times the reuse limit, so that the longest suppression is four half-lives.
const MAX_OVER_REUSE: f64 = 16.0;

/// What the damper of one target remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Damper {
    /// Flaps as of `at_ms`.
    count: f64,
    at_ms: u64,
    suppressed: bool,
}

/// What a damper says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damped {
    /// What is to be served.
    pub verdict: Verdict,
    /// When that could change although nothing new is measured.
    pub until_ms: Option<u64>,
}

impl Damper {
    /// Notes that the measured verdict went from serving to not serving.
    pub fn fell(&mut self, damping: &Damping, now_ms: u64) {
        let Some(flap) = damping.flap else { return };
        self.count = (self.count_at(flap, now_ms) + 1.0).min(MAX_OVER_REUSE * f64::from(flap.reuse_milli) / 1000.0).max(1.0);
        self.at_ms = now_ms;
        self.suppressed |= self.count * 1000.0 >= f64::from(flap.suppress_milli);
    }

    /// What is to be served where `measured` is measured and `shown` has been served since `since_ms`.
    pub fn judge(&mut self, damping: &Damping, measured: Verdict, shown: Verdict, since_ms: u64, now_ms: u64) -> Damped {
        let settled = |verdict| Damped { verdict, until_ms: None };
        let held = |until_ms| Damped { verdict: shown, until_ms: Some(until_ms) };
        if measured == Verdict::Unknown || shown == Verdict::Unknown {
            return settled(measured);
        }
        if let Some(flap) = damping.flap.filter(|_| self.suppressed) {
            let reuse_at_ms = self.reuse_at_ms(flap);
            if now_ms < reuse_at_ms {
                let verdict = if measured.serves() { Verdict::Suppressed } else { measured };
                return Damped { verdict, until_ms: measured.serves().then_some(reuse_at_ms) };
            }
            self.suppressed = false;
        }
        let least_ms = match (shown.serves(), measured.serves()) {
            (true, false) => damping.min_up_ms,
            (false, true) => damping.min_down_ms,
            _ => 0,
        };
        let until_ms = since_ms + u64::from(least_ms);
        if least_ms > 0 && now_ms < until_ms { held(until_ms) } else { settled(measured) }
    }

    fn count_at(&self, flap: Flap, now_ms: u64) -> f64 {
        let half_lives = now_ms.saturating_sub(self.at_ms) as f64 / f64::from(flap.half_life_ms.max(1));
        self.count * (-half_lives).exp2()
    }

    /// The first millisecond at which the count is under the reuse limit.
    fn reuse_at_ms(&self, flap: Flap) -> u64 {
        let over = (self.count * 1000.0 / f64::from(flap.reuse_milli.max(1))).max(1.0);
        // At most four half-lives (MAX_OVER_REUSE), so the cast loses nothing.
        self.at_ms + (over.log2() * f64::from(flap.half_life_ms)).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn a_state_lasts_its_least_time_and_then_follows_what_is_measured() {
        let damping = Damping { min_up_ms: 10_000, min_down_ms: 30_000, flap: None };
        for (measured, shown, since_ms, now_ms, expected, until_ms) in [
            (Verdict::Down, Verdict::Up, 5_000, 14_999, Verdict::Up, Some(15_000)),
            (Verdict::Down, Verdict::Up, 5_000, 15_000, Verdict::Down, None),
            (Verdict::Up, Verdict::Down, 5_000, 34_999, Verdict::Down, Some(35_000)),
            (Verdict::Degraded, Verdict::Down, 5_000, 35_000, Verdict::Degraded, None),
            (Verdict::Degraded, Verdict::Up, 5_000, 5_001, Verdict::Degraded, None),
            (Verdict::Down, Verdict::Unknown, 0, 1, Verdict::Down, None),
        ] {
            let damped = Damper::default().judge(&damping, measured, shown, since_ms, now_ms);
            assert_eq!(damped, Damped { verdict: expected, until_ms }, "{measured:?} {shown:?} {now_ms}");
        }
    }

    #[test]
    fn a_target_that_flaps_is_suppressed_until_its_count_has_decayed() {
        let flap = Flap { half_life_ms: 5 * 60_000, suppress_milli: 3_000, reuse_milli: 1_000 };
        let damping = Damping { flap: Some(flap), ..Damping::default() };
        let mut damper = Damper::default();
        let judge = |damper: &mut Damper, measured, now_ms| damper.judge(&damping, measured, Verdict::Up, 0, now_ms).verdict;
        damper.fell(&damping, 0);
        damper.fell(&damping, 10_000);
        assert_eq!(judge(&mut damper, Verdict::Up, 11_000), Verdict::Up, "two falls are no flapping");
        damper.fell(&damping, 20_000);
        assert_eq!(judge(&mut damper, Verdict::Up, 21_000), Verdict::Up, "2.9: decay counts");
        damper.fell(&damping, 30_000);
        assert_eq!(judge(&mut damper, Verdict::Up, 31_000), Verdict::Suppressed);
        assert_eq!(judge(&mut damper, Verdict::Down, 32_000), Verdict::Down);
        // About 3.86 falls: log2(3.86) half-lives, 9.7 minutes.
        let until_ms = damper.judge(&damping, Verdict::Up, Verdict::Up, 0, 40_000).until_ms.unwrap();
        assert!((9 * MINUTE..11 * MINUTE).contains(&until_ms), "{until_ms}");
        assert_eq!(judge(&mut damper, Verdict::Up, until_ms - 1), Verdict::Suppressed);
        assert_eq!(judge(&mut damper, Verdict::Up, until_ms), Verdict::Up);
    }

    #[test]
    fn the_longest_suppression_is_four_half_lives() {
        let flap = Flap { half_life_ms: 60_000, suppress_milli: 3_000, reuse_milli: 1_000 };
        let damping = Damping { flap: Some(flap), ..Damping::default() };
        let mut damper = Damper::default();
        (0..1000).for_each(|_| damper.fell(&damping, 0));
        assert_eq!(damper.judge(&damping, Verdict::Up, Verdict::Down, 0, 1).until_ms, Some(4 * MINUTE));
    }
}

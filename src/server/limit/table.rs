//! The buckets of one worker: a hash table of constant size, in which each entry says when its bucket will be full again.
//! It never allocates after the start, never looks at more than one line of cache, and never lets two keys share a bucket.

/// Entries that a key may stand in: they fill one line of cache.
const WAYS: usize = 4;

/// One bucket that leaks at a constant rate (the generic cell rate algorithm, ITU-T I.371): what was taken from it is the time until it
/// is full again. One that is full holds nothing to remember, so age alone frees its place.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// The whole hash of its key.
    key: u64,
    full_ns: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Set([Bucket; WAYS]);

/// What taking from a bucket came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// There was enough.
    Yes,
    /// There was enough, and another bucket that was not full yet was forgotten for it.
    Displacing,
    /// It is empty; nothing was taken.
    No,
}

/// How much fits into a bucket and how fast it fills, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// From one response to the next at the full rate.
    pub(super) cost_ns: u64,
    /// Of an empty bucket until it is full; at least one response.
    pub(super) depth_ns: u64,
}

impl Rate {
    /// `responses` a second spread over `workers`, of which those of `window_ms` may come at once.
    pub(super) fn new(responses: u32, workers: usize, window_ms: u64) -> Rate {
        const SECOND_NS: u64 = 1_000_000_000;
        let cost_ns = SECOND_NS.saturating_mul(workers as u64) / u64::from(responses.max(1));
        Rate { cost_ns: cost_ns.max(1), depth_ns: (window_ms * 1_000_000).max(cost_ns) }
    }

    /// Takes one response out of a bucket that is full at a time; the time then, or nothing if it is empty.
    #[inline]
    pub(super) fn take(&self, full_ns: u64, now_ns: u64) -> Option<u64> {
        let then = full_ns.max(now_ns) + self.cost_ns;
        (then - now_ns <= self.depth_ns).then_some(then)
    }
}

/// Buckets by the hash of their keys.
#[derive(Debug)]
pub(super) struct Table {
    sets: Box<[Set]>,
}

impl Table {
    /// At least so many buckets, rounded up to a power of two; 16 octets each.
    pub(super) fn new(entries: usize) -> Table {
        Table { sets: vec![Set::default(); entries.div_ceil(WAYS).next_power_of_two()].into() }
    }

    /// Takes one response out of the bucket of a key. Where there is no place, the bucket that is nearest to full is forgotten: a flood of
    /// keys can make others forgotten, never limited.
    #[inline]
    pub(super) fn take(&mut self, key: u64, rate: Rate, now_ns: u64) -> Taken {
        let mask = self.sets.len() - 1;
        let Set(buckets) = &mut self.sets[key as usize & mask];
        let mut fullest = 0;
        for way in 0..WAYS {
            if buckets[way].key == key {
                let Some(then) = rate.take(buckets[way].full_ns, now_ns) else { return Taken::No };
                buckets[way].full_ns = then;
                return Taken::Yes;
            }
            if buckets[way].full_ns < buckets[fullest].full_ns {
                fullest = way;
            }
        }
        let displaces = buckets[fullest].full_ns > now_ns;
        buckets[fullest] = Bucket { key, full_ns: now_ns + rate.cost_ns };
        if displaces { Taken::Displacing } else { Taken::Yes }
    }

    /// Octets of memory.
    #[cfg(test)]
    fn octets(&self) -> usize {
        size_of_val(&*self.sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    /// How many of `asked` responses a second over `seconds` one key gets.
    fn granted(rate: Rate, asked: u64, seconds: u64) -> u64 {
        let mut table = Table::new(64);
        let times = (0..asked * seconds).map(|at| 7 * MS + at * 1_000 * MS / asked);
        times.filter(|now_ns| table.take(9, rate, *now_ns) != Taken::No).count() as u64
    }

    proptest! {
        #[test]
        fn the_rate_holds_within_one_percent_and_the_burst(
            responses in 1u32..2_000, workers in 1usize..9, window_s in 1u64..20, times in 2u64..20,
        ) {
            let rate = Rate::new(responses, workers, window_s * 1_000);
            let each = f64::from(responses) / workers as f64;
            let seconds = 30;
            let asked = (each.ceil() as u64 * times).max(1);
            let (granted, burst) = (granted(rate, asked, seconds) as f64, (each * window_s as f64).max(1.0));
            let steady = each * seconds as f64;
            prop_assert!(granted <= (steady + burst) * 1.01 + 1.0, "{granted} of {asked}/s at {each}/s");
            prop_assert!(granted >= (steady + burst).min(asked as f64 * seconds as f64) * 0.99 - 2.0, "{granted} of {asked}/s at {each}/s");
        }

        #[test]
        fn whoever_stays_under_the_rate_is_never_limited_whatever_others_do(seed: u64, responses in 1u32..100) {
            let mut random = Random::new(seed);
            let (rate, mut table) = (Rate::new(responses, 1, 1_000), Table::new(256));
            let gap_ns = rate.cost_ns + 1;
            for turn in 1..200 {
                let now_ns = turn * gap_ns;
                for _ in 0..500 {
                    table.take(random.next(), rate, now_ns);
                }
                for _ in 0..50 {
                    table.take(1 + random.below(8) as u64, rate, now_ns);
                }
                prop_assert_ne!(table.take(0xfeed_beef, rate, now_ns), Taken::No);
            }
        }
    }

    #[test]
    fn memory_is_constant_and_what_was_limited_is_remembered_in_a_flood_of_others() {
        let (rate, mut table) = (Rate::new(10, 1, 4_000), Table::new(1_000));
        let before = table.octets();
        assert_eq!(before, 1_024 * 16);
        let (mut random, mut granted, mut displaced) = (Random::new(1), 0, 0);
        for ms in 0..10_000 {
            let now_ns = (1 + ms) * MS;
            granted += u32::from(table.take(42, rate, now_ns) != Taken::No);
            // Ten thousand new keys a second: each has taken one response, the offender all of them.
            (0..10).for_each(|_| displaced += u32::from(table.take(random.next(), rate, now_ns) == Taken::Displacing));
        }
        assert!((138..=142).contains(&granted), "40 at once and 10 a second: {granted}");
        assert!(displaced > 0 && table.octets() == before, "{displaced}");
    }

    #[test]
    fn a_rate_that_is_shared_by_many_still_grants_one() {
        let rate = Rate::new(1, 512, 1_000);
        let mut table = Table::new(1);
        assert_eq!(table.take(1, rate, 5), Taken::Yes);
        assert_eq!(table.take(1, rate, 6), Taken::No);
        assert_eq!(table.take(1, rate, 5 + 512_000 * MS), Taken::Yes);
    }
}

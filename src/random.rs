//! Numbers that only look random: to spread probes, to break ties between equals, to make up worlds in tests and benchmarks.
//! The same seed gives the same numbers on every machine; they are never for secrets.

/// SplitMix64 (Steele, Lea, Flood 2014): a few cycles a number, and every seed is a good one.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A generator whose sequence is another than what comes next here.
    pub fn split(&mut self) -> Random {
        Random(self.next())
    }

    /// Any number of 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so an Option would only be in the way")]
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound` - 1, each about as often; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Under `bound`, which is a usize, so the cast loses nothing.
        self.next().checked_rem(bound as u64).unwrap_or(0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first numbers of the reference implementation (Vigna, splitmix64.c) for the seed 1234567.
        let mut random = Random::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }

    #[test]
    fn equal_seeds_give_equal_numbers_and_split_ones_differ() {
        let mut random = Random::new(3);
        let (mut one, mut other) = (random.split(), random.split());
        assert_eq!(one.clone().next(), one.clone().next());
        assert_ne!(one.next(), other.next());
    }

    #[test]
    fn numbers_are_under_their_bound() {
        let mut random = Random::new(1);
        assert_eq!((random.below(0), random.below(1)), (0, 0));
        let mut drawn = [0_u32; 10];
        (0..10_000).for_each(|_| drawn[random.below(10)] += 1);
        assert!(drawn.iter().all(|count| (800..1200).contains(count)), "{drawn:?}");
    }
}

//! Times in buckets of equal relative width, for percentiles.
//! It keeps counts, never the times themselves: a percentile is at most one part in 64 too low.

/// Buckets of each power of two.
const PER_OCTAVE: usize = 64;

/// Times under this have a bucket each.
const EXACT: u64 = PER_OCTAVE as u64;

/// Of a u64: the exact ones, and the octaves from 2^6 to 2^63.
const BUCKETS: usize = PER_OCTAVE * (64 - EXACT.ilog2() as usize + 1);

/// How often which time was seen, in nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS].into(), count: 0 }
    }

    pub(crate) fn add(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
    }

    /// The time that a share (0 to 1) of all are at or under, in microseconds; 0 when there are none.
    pub(crate) fn percentile_us(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, |bucket| lowest(bucket) as f64 / 1000.0)
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < EXACT {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - EXACT.ilog2();
    // The leading bit says the octave, the six behind it the place in it.
    (shift as usize + 1) * PER_OCTAVE + (nanoseconds >> shift) as usize - PER_OCTAVE
}

/// The lowest time of a bucket.
fn lowest(bucket: usize) -> u64 {
    let (octave, place) = (bucket / PER_OCTAVE, (bucket % PER_OCTAVE) as u64);
    if octave == 0 { place } else { (EXACT + place) << (octave - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_that_begins_less_than_a_sixty_fourth_below() {
        for time in (0..64).map(|bit| 1_u64 << bit).flat_map(|power| [power - 1, power, power + power / 3]).chain([u64::MAX]) {
            let from = lowest(bucket(time));
            assert!(from <= time && time - from <= time / 64, "{time} is in the bucket from {from}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut histogram = Histogram::new();
        assert!(histogram.percentile_us(0.5) == 0.0);
        (1..=1000).for_each(|time| histogram.add(time * 1000));
        for (share, expected_us) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.percentile_us(share);
            assert!(found <= expected_us && found > expected_us * 63.0 / 64.0, "{share}: {found}");
        }
    }
}

//! The ranges of one family: where each aligned block begins and which place it has, and how the block of an address is found.
//! Total and disjoint by construction; it knows places by number only.

mod ahead;

use std::hint::black_box;

use super::place::PlaceId;
use super::prefix::{Prefix, bits_address};
use super::sweep::Address;

/// Ranges are found by the top bits first: 64 Ki entries (256 KiB a family) stay in the second-level cache.
const INDEX_BITS: u32 = 16;

/// One key of this many is kept once more: what is dense (half of all IPv6 networks have one of a dozen values of the top bits) is searched there
/// first, in the cache, and then only these keys are read from memory: one or two lines of it.
const SAMPLE: usize = 16;

/// What is searched first: the address for IPv4, the high half of it for IPv6, as hardly any range is longer than /64.
pub(crate) trait Key: Copy + Ord + std::fmt::Debug {}
impl Key for u32 {}
impl Key for u64 {}

/// Sorted first addresses and their places. The first range starts at 0, each is one aligned block.
#[derive(Debug)]
pub(crate) struct Ranges<A: Address> {
    keys: Box<[A::Key]>,
    /// Where a first address is more than its key: the range and the rest of it, sorted. The range before such a one has the same key.
    lows: Box<[(u32, u64)]>,
    places: Box<[PlaceId]>,
    /// For each value of the top bits the first range that starts there or later; one more entry at the end.
    index: Box<[u32]>,
    /// Every [`SAMPLE`]th key, from the first.
    samples: Box<[A::Key]>,
}

/// Ranges while they are collected, in the order of addresses.
pub(crate) struct RangeList<A: Address> {
    keys: Vec<A::Key>,
    lows: Vec<(u32, u64)>,
    places: Vec<PlaceId>,
}

impl<A: Address> RangeList<A> {
    /// No range yet.
    pub(crate) fn new() -> RangeList<A> {
        RangeList { keys: Vec::new(), lows: Vec::new(), places: Vec::new() }
    }

    /// The next block; the caller guarantees that they are aligned, disjoint and total.
    pub(crate) fn push(&mut self, first: A, place: PlaceId) {
        let (key, low) = first.split();
        if low != 0 {
            self.lows.push((self.keys.len() as u32, low));
        }
        self.keys.push(key);
        self.places.push(place);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// All of them.
    pub(crate) fn finish(self) -> Ranges<A> {
        let mut index = Vec::with_capacity((1 << INDEX_BITS) + 1);
        let mut range = 0u32;
        for top in 0..=1u128 << INDEX_BITS {
            while self.keys.get(range as usize).is_some_and(|key| (top_bits(A::join(*key, 0)) as u128) < top) {
                range += 1;
            }
            index.push(range);
        }
        let samples = self.keys.iter().step_by(SAMPLE).copied().collect();
        Ranges { keys: self.keys.into(), lows: self.lows.into(), places: self.places.into(), index: index.into(), samples }
    }
}

impl<A: Address> Ranges<A> {
    /// One range over everything.
    pub(crate) fn one(place: PlaceId) -> Ranges<A> {
        let mut list = RangeList::new();
        list.push(A::narrow(0), place);
        list.finish()
    }

    /// How many there are; at least one.
    pub(crate) fn count(&self) -> u32 {
        self.keys.len() as u32
    }

    /// The place of a range.
    pub(crate) fn place(&self, range: u32) -> PlaceId {
        self.places[range as usize]
    }

    /// The range that contains the address, and its place.
    #[inline]
    pub(crate) fn find(&self, address: A) -> (u32, PlaceId) {
        let (key, low) = address.split();
        let (from, to) = self.narrowed(key, self.bucket(address));
        // The place of what is left is asked for before the keys are searched, so that two lines of memory come in the time of one.
        black_box(self.places.get(from));
        let inside = self.keys[from..to].partition_point(|start| *start <= key);
        // Range 0 starts at address 0, so there is always one at or before the address.
        let last = (from + inside).saturating_sub(1);
        // No IPv4 range is: its keys are whole addresses.
        let is_split = !self.lows.is_empty() && last > 0 && self.keys[last - 1] == self.keys[last] && self.keys[last] == key;
        let range = if is_split { self.find_low(key, low) } else { last as u32 };
        (range, self.places[range as usize])
    }

    /// The ranges that start with the top bits of an address.
    #[inline]
    fn bucket(&self, address: A) -> (usize, usize) {
        let top = top_bits(address);
        (self.index[top] as usize, self.index[top + 1] as usize)
    }

    /// Few enough of them to be searched: where there are many, the samples say which.
    #[inline]
    fn narrowed(&self, key: A::Key, (from, to): (usize, usize)) -> (usize, usize) {
        if to - from <= SAMPLE {
            return (from, to);
        }
        // The samples inside: those before `from` are not over the key, those from `to` on are.
        let (first, last) = (from.div_ceil(SAMPLE), to.div_ceil(SAMPLE));
        let sample = first + self.samples[first..last].partition_point(|sample| *sample <= key);
        (from.max(sample.saturating_sub(1) * SAMPLE), to.min(sample * SAMPLE))
    }

    /// Several ranges have the key of an address: the last of them that starts at or before it.
    #[cold]
    fn find_low(&self, key: A::Key, low: u64) -> u32 {
        let at_or_before = self.lows.partition_point(|(range, start)| (self.keys[*range as usize], *start) <= (key, low));
        let long = at_or_before.checked_sub(1).map(|index| self.lows[index].0).filter(|range| self.keys[*range as usize] == key);
        // The first with the key starts where the key does.
        long.unwrap_or_else(|| self.keys.partition_point(|start| *start < key) as u32)
    }

    /// The aligned block that a range covers: its last address is the one before the next.
    pub(crate) fn prefix(&self, range: u32) -> Prefix {
        Prefix::masked(bits_address(A::FAMILY, self.first(range)), self.length(range))
    }

    /// The length of that block.
    pub(crate) fn length(&self, range: u32) -> u8 {
        let last = if range + 1 < self.count() { self.first(range + 1) - 1 } else { A::MAX };
        let free = (last - self.first(range)).checked_add(1).map_or(128, u128::trailing_zeros);
        A::FAMILY.bits() - free as u8
    }

    /// The first address of a range.
    #[inline]
    pub(crate) fn first(&self, range: u32) -> u128 {
        let key = self.keys[range as usize];
        let is_split = range > 0 && self.keys[range as usize - 1] == key;
        A::join(key, if is_split { self.low(range) } else { 0 }).wide()
    }

    #[cold]
    fn low(&self, range: u32) -> u64 {
        self.lows.binary_search_by_key(&range, |(range, _)| *range).map_or(0, |index| self.lows[index].1)
    }

    /// In octets.
    pub(crate) fn memory_bytes(&self) -> usize {
        let search = size_of_val(&*self.index) + size_of_val(&*self.samples);
        size_of_val(&*self.keys) + size_of_val(&*self.lows) + size_of_val(&*self.places) + search
    }
}

#[inline]
fn top_bits<A: Address>(address: A) -> usize {
    (address.wide() >> (u32::from(A::FAMILY.bits()) - INDEX_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::sweep::cut;
    use proptest::prelude::*;

    /// Ranges from edges: each stretch between two of them cut into blocks.
    fn ranges<A: Address>(edges: &[u128]) -> (Ranges<A>, Vec<u128>) {
        let mut edges: Vec<u128> = edges.iter().copied().chain([0]).filter(|edge| *edge <= A::MAX).collect();
        edges.sort_unstable();
        edges.dedup();
        let (mut list, mut firsts) = (RangeList::new(), Vec::new());
        for (index, first) in edges.iter().enumerate() {
            let last = edges.get(index + 1).map_or(A::MAX, |next| next - 1);
            cut(A::FAMILY, *first, last, |block, _| {
                list.push(A::narrow(block), PlaceId(firsts.len() as u32));
                firsts.push(block);
            });
        }
        (list.finish(), firsts)
    }

    fn finds_what_a_plain_search_finds<A: Address>(edges: &[u128], asked: &[u128]) {
        let (ranges, firsts) = ranges::<A>(edges);
        let beside = firsts.iter().flat_map(|first| [*first, first.wrapping_sub(1), first.wrapping_add(1)]);
        for address in beside.chain(asked.iter().copied()).map(|address| address & A::MAX) {
            let plain = firsts.partition_point(|first| *first <= address) - 1;
            // Only that it reads nothing that is not there.
            ranges.read_ahead([address, !address & A::MAX].into_iter().map(A::narrow));
            assert_eq!(ranges.find(A::narrow(address)), (plain as u32, PlaceId(plain as u32)), "{address:x}");
        }
        for (range, first) in firsts.iter().enumerate() {
            let last = firsts.get(range + 1).map_or(A::MAX, |next| next - 1);
            let prefix = ranges.prefix(range as u32);
            assert_eq!((prefix.first_bits(), prefix.last_bits()), (*first, last));
        }
    }

    #[test]
    fn dense_and_long_ranges_are_found() {
        let dense: Vec<u128> = (0..3000u128).map(|site| (0x2a00 << 112) | (site << 80)).collect();
        let long: Vec<u128> = (0..200u128).map(|host| (0x2a00 << 112) | (7 << 80) | (host * 3)).collect();
        finds_what_a_plain_search_finds::<u128>(&[dense, long].concat(), &[u128::MAX, 1 << 127]);
        let dense: Vec<u128> = (0..3000u128).map(|network| (80 << 24) | (network << 4)).collect();
        finds_what_a_plain_search_finds::<u32>(&dense, &[0xffff_ffff]);
    }

    proptest! {
        #[test]
        fn any_ranges_are_found(edges: Vec<u128>, near in prop::collection::vec(any::<u8>(), 0..40), asked: [u128; 16]) {
            // Some in one /64, some anywhere.
            let near = near.iter().map(|low| 0x20_0100_0000_0000_0000 << 64 | (u128::from(*low) << 50));
            let all: Vec<u128> = edges.iter().copied().chain(near).collect();
            finds_what_a_plain_search_finds::<u128>(&all, &asked);
            finds_what_a_plain_search_finds::<u32>(&all.iter().map(|edge| edge >> 90).collect::<Vec<_>>(), &asked);
        }
    }
}

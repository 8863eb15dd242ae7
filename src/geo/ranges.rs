//! The ranges of one family: where each aligned block begins and which place it has, and how the block of an address is found.
//! Total and disjoint by construction; it knows places by number only.

mod ahead;

use std::hint::black_box;

use super::place::PlaceId;
use super::prefix::{Prefix, bits_address};
use super::sweep::Address;

/// Blocks are found by the top bits of their first keys first: 64 Ki entries (256 KiB a family) stay in the second-level cache.
const INDEX_BITS: u32 = 16;

/// Ranges of a block. Its keys and its places lie side by side in two or three lines of memory, which come in the time of one; the first key of
/// each block is kept once more, so that what is dense (half of all IPv6 networks have one of a dozen values of the top bits) is searched in the
/// cache.
const BLOCK: usize = 16;

/// What is searched first: the address for IPv4, the high half of it for IPv6, as hardly any range is longer than /64.
pub(crate) trait Key: Copy + Ord + std::fmt::Debug {}
impl Key for u32 {}
impl Key for u64 {}

/// Some ranges one after the other; behind the last range of all, that one again.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Block<K> {
    keys: [K; BLOCK],
    places: [PlaceId; BLOCK],
}

/// Sorted first addresses and their places. The first range starts at 0, each is one aligned block.
#[derive(Debug)]
pub(crate) struct Ranges<A: Address> {
    blocks: Box<[Block<A::Key>]>,
    count: u32,
    /// Where a first address is more than its key: the range and the rest of it, sorted. The range before such a one has the same key.
    lows: Box<[(u32, u64)]>,
    /// The first key of each block.
    firsts: Box<[A::Key]>,
    /// For each value of the top bits the first block that starts there or later; one more entry at the end.
    index: Box<[u32]>,
}

/// Ranges while they are collected, in the order of addresses.
pub(crate) struct RangeList<A: Address> {
    blocks: Vec<Block<A::Key>>,
    count: usize,
    lows: Vec<(u32, u64)>,
}

impl<A: Address> RangeList<A> {
    /// No range yet.
    pub(crate) fn new() -> RangeList<A> {
        RangeList { blocks: Vec::new(), count: 0, lows: Vec::new() }
    }

    /// The next block; the caller guarantees that they are aligned, disjoint and total.
    pub(crate) fn push(&mut self, first: A, place: PlaceId) {
        let (key, low) = first.split();
        if low != 0 {
            self.lows.push((self.count as u32, low));
        }
        match (self.blocks.last_mut(), self.count % BLOCK) {
            // What follows in the block is overwritten by the ranges to come.
            (Some(block), at @ 1..) => {
                block.keys[at..].fill(key);
                block.places[at..].fill(place);
            }
            _ => self.blocks.push(Block { keys: [key; BLOCK], places: [place; BLOCK] }),
        }
        self.count += 1;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All of them.
    pub(crate) fn finish(self) -> Ranges<A> {
        let firsts: Box<[A::Key]> = self.blocks.iter().map(|block| block.keys[0]).collect();
        let mut index = Vec::with_capacity((1 << INDEX_BITS) + 1);
        let mut block = 0u32;
        for top in 0..=1u128 << INDEX_BITS {
            while firsts.get(block as usize).is_some_and(|key| (top_bits(A::join(*key, 0)) as u128) < top) {
                block += 1;
            }
            index.push(block);
        }
        Ranges { blocks: self.blocks.into(), count: self.count as u32, lows: self.lows.into(), firsts, index: index.into() }
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
        self.count
    }

    /// The place of a range.
    pub(crate) fn place(&self, range: u32) -> PlaceId {
        self.blocks[range as usize / BLOCK].places[range as usize % BLOCK]
    }

    fn key(&self, range: u32) -> A::Key {
        self.blocks[range as usize / BLOCK].keys[range as usize % BLOCK]
    }

    /// The range that contains the address, and its place.
    #[inline]
    pub(crate) fn find(&self, address: A) -> (u32, PlaceId) {
        let (key, low) = address.split();
        let at = self.block_of(key, self.slot(address));
        let block = &self.blocks[at];
        // The line of the places is asked for before the keys are searched.
        black_box(block.places[0]);
        let mut inside = 0;
        for step in [8, 4, 2, 1] {
            // No branch, which would be foretold wrongly half of the time.
            inside += step * usize::from(block.keys[inside + step] <= key);
        }
        // Behind the last range of all there is only itself.
        let range = ((at * BLOCK + inside) as u32).min(self.count - 1);
        // No IPv4 range is: its keys are whole addresses.
        if !self.lows.is_empty() && range > 0 && block.keys[inside] == key && self.key(range - 1) == key {
            let range = self.find_low(key, low);
            return (range, self.place(range));
        }
        (range, block.places[inside])
    }

    /// The blocks that begin with the top bits of an address: the first, and the one behind the last.
    #[inline]
    fn slot(&self, address: A) -> (usize, usize) {
        let top = top_bits(address);
        (self.index[top] as usize, self.index[top + 1] as usize)
    }

    /// The block that a key falls into: those before the slot start before it, those behind start after it, and block 0 starts at address 0.
    #[inline]
    fn block_of(&self, key: A::Key, (from, to): (usize, usize)) -> usize {
        (from + self.firsts[from..to].partition_point(|first| *first <= key)).saturating_sub(1)
    }

    /// Several ranges have the key of an address: the last of them that starts at or before it.
    #[cold]
    fn find_low(&self, key: A::Key, low: u64) -> u32 {
        let at_or_before = self.lows.partition_point(|(range, start)| (self.key(*range), *start) <= (key, low));
        let long = at_or_before.checked_sub(1).map(|index| self.lows[index].0).filter(|range| self.key(*range) == key);
        long.unwrap_or_else(|| {
            // The first with the key starts where the key does; it is in the last block that starts before, or begins the next.
            let at = self.firsts.partition_point(|first| *first < key).saturating_sub(1);
            (at * BLOCK + self.blocks[at].keys.partition_point(|start| *start < key)) as u32
        })
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
        let key = self.key(range);
        let is_split = range > 0 && self.key(range - 1) == key;
        A::join(key, if is_split { self.low(range) } else { 0 }).wide()
    }

    #[cold]
    fn low(&self, range: u32) -> u64 {
        self.lows.binary_search_by_key(&range, |(range, _)| *range).map_or(0, |index| self.lows[index].1)
    }

    /// In octets.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.lows) + size_of_val(&*self.firsts) + size_of_val(&*self.index)
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

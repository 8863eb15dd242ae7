//! The sweep: networks sorted by address, possibly nested, seen as a run of disjoint segments without building a trie.
//! It never decides what a segment means; it hands out the most specific network's number for each stretch of addresses.

use super::prefix::{Family, Prefix, bits_address};
use super::ranges::Key;

/// An address as a number of its own width, so that a million IPv4 networks do not pay for IPv6.
pub(crate) trait Address: Copy + Ord {
    /// The family that it numbers.
    const FAMILY: Family;
    /// The highest address.
    const MAX: u128 = u128::MAX >> (128 - Self::FAMILY.bits() as u32);
    /// As a 128-bit number.
    fn wide(self) -> u128;
    /// From a 128-bit number that fits.
    fn narrow(bits: u128) -> Self;
    /// What ranges are searched by.
    type Key: Key;
    /// The key and the rest: nothing for IPv4, the low half for IPv6.
    fn split(self) -> (Self::Key, u64);
    /// Both together again.
    fn join(key: Self::Key, low: u64) -> Self;
}

impl Address for u32 {
    const FAMILY: Family = Family::V4;
    fn wide(self) -> u128 {
        u128::from(self)
    }
    fn narrow(bits: u128) -> u32 {
        bits as u32
    }
    type Key = u32;
    fn split(self) -> (u32, u64) {
        (self, 0)
    }
    fn join(key: u32, _: u64) -> u32 {
        key
    }
}

impl Address for u128 {
    const FAMILY: Family = Family::V6;
    fn wide(self) -> u128 {
        self
    }
    fn narrow(bits: u128) -> u128 {
        bits
    }
    type Key = u64;
    fn split(self) -> (u64, u64) {
        ((self >> 64) as u64, self as u64)
    }
    fn join(key: u64, low: u64) -> u128 {
        u128::from(key) << 64 | u128::from(low)
    }
}

/// One network of a source: first address, length, and the number of what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Net<A> {
    pub(crate) first: A,
    pub(crate) length: u8,
    pub(crate) value: u32,
}

impl<A: Address> Net<A> {
    /// The network of a prefix of the right family.
    pub(crate) fn new(prefix: &Prefix, value: u32) -> Net<A> {
        Net { first: A::narrow(prefix.first_bits()), length: prefix.length(), value }
    }

    /// The prefix again.
    pub(crate) fn prefix(&self) -> Prefix {
        Prefix::masked(bits_address(A::FAMILY, self.first.wide()), self.length)
    }

    fn last(&self) -> u128 {
        // A shift by the whole width would overflow for length 0.
        self.first.wide() | (A::MAX.checked_shr(u32::from(self.length)).unwrap_or(0) & A::MAX)
    }
}

/// Puts networks into the order that [`Layer`] needs: by first address, the shorter first.
pub(crate) fn sort<A: Address>(nets: &mut [Net<A>]) {
    // Databases come in order; then this is one pass.
    nets.sort_unstable_by_key(|net| (net.first, net.length));
}

/// A cursor over one sorted list of nested networks.
pub(crate) struct Layer<'a, A> {
    nets: &'a [Net<A>],
    next: usize,
    /// The networks around the current address, outermost first: (last address, value). At most one per length.
    open: Vec<(u128, u32)>,
    value: u32,
    last: Option<u128>,
}

/// The value of a segment of which a layer says nothing.
pub(crate) const NOTHING: u32 = 0;

impl<'a, A: Address> Layer<'a, A> {
    /// A cursor before the first address. `nets` are sorted by [`sort`] and no two are the same block.
    pub(crate) fn new(nets: &'a [Net<A>]) -> Layer<'a, A> {
        Layer { nets, next: 0, open: Vec::new(), value: NOTHING, last: None }
    }

    /// The value at `position` and the last address up to which it holds. Positions never go back.
    fn at(&mut self, position: u128) -> (u32, u128) {
        match self.last {
            Some(last) if position <= last => (self.value, last),
            _ => self.step(position),
        }
    }

    fn step(&mut self, position: u128) -> (u32, u128) {
        while self.open.last().is_some_and(|(last, _)| *last < position) {
            self.open.pop();
        }
        while let Some(net) = self.nets.get(self.next).filter(|net| net.first.wide() <= position) {
            self.open.push((net.last(), net.value));
            self.next += 1;
        }
        let (end, value) = self.open.last().map_or((A::MAX, NOTHING), |(last, value)| (*last, *value));
        let last = self.nets.get(self.next).map_or(end, |net| end.min(net.first.wide() - 1));
        (self.value, self.last) = (value, Some(last));
        (value, last)
    }
}

/// Walks all addresses of the family once; `segment(first, last, values)` gets the value of every layer, in order.
/// O(n log n) by the sort before it; here every network is opened and closed once. Stops at the first error.
pub(crate) fn sweep<A: Address, E>(
    layers: &mut [Layer<'_, A>],
    mut segment: impl FnMut(u128, u128, &[u32]) -> Result<(), E>,
) -> Result<(), E> {
    let mut values = vec![NOTHING; layers.len()];
    let mut first = 0u128;
    loop {
        let mut last = A::MAX;
        for (layer, slot) in layers.iter_mut().zip(values.iter_mut()) {
            let (value, end) = layer.at(first);
            *slot = value;
            last = last.min(end);
        }
        segment(first, last, &values)?;
        if last == A::MAX {
            return Ok(());
        }
        first = last + 1;
    }
}

/// Cuts an interval into the fewest aligned blocks, in order: (first address, length).
pub(crate) fn cut(family: Family, first: u128, last: u128, mut block: impl FnMut(u128, u8)) {
    let width = u32::from(family.bits());
    let mut first = first;
    loop {
        let aligned = first.trailing_zeros().min(width);
        // The count is last - first + 1; its floor logarithm, safe for the full range.
        let fitting = (last - first).checked_add(1).map_or(128, |count| 127 - count.leading_zeros());
        let free = aligned.min(fitting);
        block(first, (width - free) as u8);
        let size_less_one = u128::MAX.checked_shr(128 - free).unwrap_or(0);
        match first.checked_add(size_less_one) {
            Some(end) if end < last => first = end + 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<Net<u32>> {
        let mut nets: Vec<_> = list.iter().enumerate().map(|(i, text)| Net::new(&text.parse().unwrap(), i as u32 + 1)).collect();
        sort(&mut nets);
        nets
    }

    fn segments(layers: &[&[Net<u32>]]) -> Vec<(u128, u128, Vec<u32>)> {
        let mut layers: Vec<_> = layers.iter().map(|nets| Layer::new(nets)).collect();
        let mut out = Vec::new();
        sweep::<u32, ()>(&mut layers, |first, last, values| {
            out.push((first, last, values.to_vec()));
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn nested_networks_become_disjoint_segments() {
        let list = nets(&["128.0.0.0/1", "128.0.0.0/8", "255.0.0.0/8"]);
        let found = segments(&[&list]);
        let expected = [(0, 0x7fff_ffff, 0), (0x8000_0000, 0x80ff_ffff, 2), (0x8100_0000, 0xfeff_ffff, 1), (0xff00_0000, 0xffff_ffff, 3)];
        assert_eq!(found, expected.map(|(first, last, value)| (first, last, vec![value])));
    }

    #[test]
    fn layers_are_cut_at_each_others_edges() {
        let (a, b) = (nets(&["0.0.0.0/1"]), nets(&["64.0.0.0/2", "0.0.0.0/0"]));
        let found = segments(&[&a, &b]);
        assert_eq!(found, [(0, 0x3fff_ffff, vec![1, 2]), (0x4000_0000, 0x7fff_ffff, vec![1, 1]), (0x8000_0000, 0xffff_ffff, vec![0, 2])]);
    }

    #[test]
    fn no_networks_are_one_segment() {
        assert_eq!(segments(&[&[]]), [(0, 0xffff_ffff, vec![0])]);
    }

    #[test]
    fn intervals_are_cut_into_the_fewest_aligned_blocks() {
        let blocks = |family, first, last| {
            let mut out = Vec::new();
            cut(family, first, last, |first, length| out.push((first, length)));
            out
        };
        assert_eq!(blocks(Family::V4, 0, 0xffff_ffff), [(0, 0)]);
        assert_eq!(blocks(Family::V6, 0, u128::MAX), [(0, 0)]);
        assert_eq!(blocks(Family::V4, 1, 6), [(1, 32), (2, 31), (4, 31), (6, 32)]);
        assert_eq!(blocks(Family::V4, 0xffff_ffff, 0xffff_ffff), [(0xffff_ffff, 32)]);
        assert_eq!(blocks(Family::V6, 1 << 127, u128::MAX), [(1 << 127, 1)]);
    }
}

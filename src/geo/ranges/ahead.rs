//! Reading ahead: brings what the addresses of a batch will be looked up in into the cache, all of them a step further at a time.
//! It decides nothing: what it reads is thrown away.

use std::hint::black_box;

use super::{Address, Ranges};

/// Addresses that go step by step together.
const TOGETHER: usize = 64;

impl<A: Address> Ranges<A> {
    /// Reads what these addresses will be found by; of more than [`TOGETHER`] only the first.
    pub(crate) fn read_ahead(&self, addresses: impl Iterator<Item = A> + Clone) {
        let mut slots = [(0, 0); TOGETHER];
        let mut count = 0;
        // Each loop is one step; its reads do not depend on one another, so that the processor has many of them under way.
        for (slot, address) in slots.iter_mut().zip(addresses.clone()) {
            *slot = self.slot(address);
            count += 1;
        }
        for (slot, address) in slots[..count].iter_mut().zip(addresses) {
            slot.0 = self.block_of(address.split().0, *slot);
        }
        let blocks = || slots[..count].iter().map(|(at, _)| &self.blocks[*at]);
        // A block lies on two or three lines of memory; a search begins in the middle.
        black_box(blocks().map(|block| block.keys[0].max(block.keys[block.keys.len() / 2])).max());
        black_box(blocks().map(|block| block.places[0]).max());
    }
}

//! Reading ahead: brings what the addresses of a batch will be looked up in into the cache, all of them a step further at a time.
//! It decides nothing: what it reads is thrown away.

use std::hint::black_box;

use super::{Address, BLOCK, Ranges};

/// Addresses that go step by step together.
const TOGETHER: usize = 64;

impl<A: Address> Ranges<A> {
    /// Reads what these addresses will be found by; of more than [`TOGETHER`] only the first.
    pub(crate) fn read_ahead(&self, addresses: impl Iterator<Item = A> + Clone) {
        let mut spans = [(0, 0); TOGETHER];
        let mut count = 0;
        // Each loop is one step; its reads do not depend on one another, so that the processor has many of them under way.
        for (span, address) in spans.iter_mut().zip(addresses.clone()) {
            *span = self.bucket(address);
            count += 1;
        }
        let mut blocks = [0; TOGETHER];
        for ((block, span), address) in blocks.iter_mut().zip(spans).zip(addresses) {
            *block = self.block_of(address.split().0, span);
        }
        // A block lies on two or three cache lines: the first and the last of its keys, and its places.
        let found = || blocks[..count].iter().map(|at| &self.blocks[*at]);
        black_box(found().flat_map(|block| [block.keys[0], block.keys[BLOCK - 1]]).max());
        black_box(found().map(|block| block.places[0]).max());
    }
}

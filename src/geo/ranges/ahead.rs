//! Reading ahead: brings what the addresses of a batch will be looked up in into the cache, all of them a step further at a time.
//! It decides nothing: what it reads is thrown away.

use std::hint::black_box;

use super::{Address, Ranges};

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
        let spans = &mut spans[..count];
        for (span, address) in spans.iter_mut().zip(addresses) {
            *span = self.narrowed(address.split().0, *span);
        }
        // The first range and the last: what is left lies on two cache lines at most.
        let ends = || spans.iter().flat_map(|(from, to)| [*from, to.saturating_sub(1)]);
        black_box(ends().filter_map(|at| self.keys.get(at)).max());
        black_box(ends().filter_map(|at| self.places.get(at)).max());
    }
}

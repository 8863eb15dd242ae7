//! What tests draw: one of a list, yes or no, over the crate's own numbers. The same seed draws the same, on every machine.

pub(crate) use meridian::random::Random;

/// Draws of other things than numbers.
pub(crate) trait Draws {
    /// True once in `of` draws.
    fn one_in(&mut self, of: usize) -> bool;

    /// One of the list, which is not empty.
    fn pick<T: Clone>(&mut self, list: &[T]) -> T;
}

impl Draws for Random {
    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

//! Interning: equal values get one number and are kept once.
//! It never forgets a value; it lives only as long as one load.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

/// A map that a load fills with millions of entries: quicker to hash than the usual one, and seeded, so that no file is slow by design.
pub(crate) type LoadMap<K, V> = HashMap<K, V, RandomState>;

/// Distinct values, numbered from 1 in the order of their first appearance, each held once (0 is nobody's number).
pub(crate) struct Interned<T> {
    pub(crate) list: Vec<T>,
    /// Open addressing, at most half full: the number of a value at or after the slot of its hash; 0 = free.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl<T> Default for Interned<T> {
    fn default() -> Interned<T> {
        Interned { list: Vec::new(), slots: vec![0; 16], hasher: RandomState::default() }
    }
}

impl<T: Hash + Eq> Interned<T> {
    /// The number of an equal value, or a new one.
    pub(crate) fn number(&mut self, value: T) -> u32 {
        let slot = self.slot(&value);
        if self.slots[slot] != 0 {
            return self.slots[slot];
        }
        self.list.push(value);
        let number = self.list.len() as u32;
        self.slots[slot] = number;
        if self.list.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    /// The value of a number; none for 0.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.list.get((number as usize).checked_sub(1)?)
    }

    /// The slot of an equal value, or the free one where it belongs. There is always a free one.
    fn slot(&self, value: &T) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(value) as usize & mask;
        while self.slots[slot] != 0 && self.get(self.slots[slot]) != Some(value) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for index in 0..self.list.len() {
            let slot = self.slot(&self.list[index]);
            self.slots[slot] = index as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number_and_numbers_follow_first_appearance() {
        let mut interned = Interned::default();
        let numbers: Vec<u32> = (0..1000).chain(0..1000).map(|i| interned.number(format!("{i}"))).collect();
        assert_eq!(numbers, (1..=1000).chain(1..=1000).collect::<Vec<u32>>());
        assert_eq!(interned.get(7).map(String::as_str), Some("6"));
        assert!(interned.get(0).is_none() && interned.list.len() == 1000);
    }
}

//! The name of the question as lookups want it: lower-cased, with the offset of every label and the hash of every suffix, on the stack.
//! This room never allocates and never reads a name that was not checked.

use crate::name::{MAX_LABELS, MAX_NAME_OCTETS, ROOT_HASH, label_hash};

/// Suffixes of up to this many labels have their hash stored: more than real names have.
const DIRECT: usize = 16;

/// Beyond [`DIRECT`], the hash of each suffix whose label count is a multiple of this is stored, and the rest is folded on demand:
/// a hostile name of 127 labels costs at most seven folds a suffix, and usual names do not pay for an array that only it fills.
const STRIDE: usize = 8;

/// Hashes stored: none to `DIRECT` labels, then every `STRIDE` labels up to the longest name.
const STORED: usize = 1 + DIRECT + (MAX_LABELS - DIRECT) / STRIDE;

/// Octets that are lower-cased in one step.
const BLOCK: usize = 16;

/// A lower-cased name with the offset of every label and the hash of every suffix (see [`label_hash`]).
#[derive(Clone)]
pub struct QName {
    octets: u8,
    labels: u8,
    /// Offset of each label; those after the last are 0.
    offsets: [u8; MAX_LABELS],
    /// The name, then anything.
    wire: [u8; (MAX_NAME_OCTETS / BLOCK + 1) * BLOCK],
    /// By label count of the suffix, see [`DIRECT`] and [`STRIDE`].
    hashes: [u64; STORED],
}

impl QName {
    /// The name at the start of `message`, which is valid and `octets` long; what follows it is not looked at (but may be copied).
    #[inline]
    pub(super) fn new(message: &[u8], octets: usize) -> QName {
        let mut name = QName { octets: octets as u8, labels: 0, offsets: [0; MAX_LABELS], wire: [0; _], hashes: [ROOT_HASH; STORED] };
        name.copy_lowercase(message);
        name.split();
        name
    }

    /// The lower-cased wire form, root label included.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.octets)]
    }

    /// The number of labels, root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// The lower-cased wire form without the leftmost `skip_labels` labels; the root if there are not so many.
    #[inline]
    pub fn suffix(&self, skip_labels: usize) -> &[u8] {
        let octets = usize::from(self.octets);
        let start = if skip_labels < self.label_count() { usize::from(self.offsets[skip_labels]) } else { octets - 1 };
        &self.wire[start..octets]
    }

    /// The hash of [`QName::suffix`], equal to `Name::hash64` of that name.
    #[inline]
    pub fn suffix_hash(&self, skip_labels: usize) -> u64 {
        let labels = self.label_count().saturating_sub(skip_labels);
        if labels <= DIRECT { self.hashes[labels] } else { self.deep_hash(labels) }
    }

    /// Copies whole blocks: a copy of constant size is a few instructions, and octets after the name do no harm.
    #[inline]
    fn copy_lowercase(&mut self, message: &[u8]) {
        let mut rest = message;
        for block in self.wire.as_chunks_mut::<BLOCK>().0.iter_mut().take(usize::from(self.octets).div_ceil(BLOCK)) {
            if let Some((chunk, tail)) = rest.split_first_chunk::<BLOCK>() {
                *block = *chunk;
                rest = tail;
            } else {
                block[..rest.len()].copy_from_slice(rest);
            }
            // Length octets are at most 63, below every letter.
            block.make_ascii_lowercase();
        }
    }

    /// Finds the labels from the left, then hashes them from the right.
    #[inline]
    fn split(&mut self) {
        let (mut at, mut labels) = (0, 0);
        let last = usize::from(self.octets) - 1;
        while at < last {
            self.offsets[labels] = at as u8;
            labels += 1;
            at += 1 + usize::from(self.wire[at]);
        }
        self.labels = labels as u8;
        let mut hash = ROOT_HASH;
        for suffix_labels in 1..=labels {
            hash = self.fold_label(hash, suffix_labels);
            if suffix_labels <= DIRECT {
                self.hashes[suffix_labels] = hash;
            } else if suffix_labels % STRIDE == 0 {
                self.hashes[stored_at(suffix_labels)] = hash;
            }
        }
    }

    /// The hash of a suffix from that of the suffix one label shorter.
    #[inline]
    fn fold_label(&self, hash: u64, suffix_labels: usize) -> u64 {
        let at = usize::from(self.offsets[self.label_count() - suffix_labels]);
        label_hash(hash, &self.wire[at..=at + usize::from(self.wire[at])])
    }

    #[cold]
    fn deep_hash(&self, labels: usize) -> u64 {
        let stored = labels / STRIDE * STRIDE;
        (stored + 1..=labels).fold(self.hashes[stored_at(stored)], |hash, suffix_labels| self.fold_label(hash, suffix_labels))
    }
}

/// Where the hash of a suffix of `labels` labels stands: a multiple of [`STRIDE`], [`DIRECT`] or more.
fn stored_at(labels: usize) -> usize {
    DIRECT + (labels - DIRECT) / STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use proptest::prelude::*;

    #[test]
    fn suffixes_are_counted_from_the_left() {
        let message = b"\x03wWw\x07EXAMPLE\x03com\x00\x00\x01\x00\x01";
        let name = QName::new(message, 17);
        assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.suffix(1), b"\x07example\x03com\x00");
        assert_eq!(name.suffix(3), b"\x00");
        assert_eq!(name.suffix(200), b"\x00");
        assert_eq!(name.suffix_hash(200), ROOT_HASH);
        assert_eq!(QName::new(b"\x00", 1).as_wire(), b"\x00");
    }

    proptest! {
        #[test]
        fn every_suffix_has_the_text_and_the_hash_of_that_name(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..8), 0..=MAX_LABELS),
            long in prop::collection::vec(any::<u8>(), 1..=63),
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let name = labels.iter().chain([&long]).fold(Name::root(), |name, label| name.prepend(label).unwrap_or(name));
            let message = [name.as_wire(), &after].concat();
            let qname = QName::new(&message, name.as_wire().len());
            prop_assert_eq!(qname.label_count(), name.label_count());
            let mut ancestor = Some(name);
            for skip in 0..=qname.label_count() {
                let name = ancestor.unwrap();
                let lower = name.to_lowercase();
                prop_assert_eq!(qname.suffix(skip), lower.as_wire());
                prop_assert_eq!(qname.suffix_hash(skip), name.hash64());
                ancestor = name.parent();
            }
        }

        #[test]
        fn names_of_any_depth_have_exact_hashes(depth in 0..=MAX_LABELS) {
            let name = (0..depth).fold(Name::root(), |name, _| name.prepend(b"X").unwrap());
            let qname = QName::new(name.as_wire(), name.as_wire().len());
            let mut ancestor = Some(name);
            for skip in 0..=depth {
                let name = ancestor.unwrap();
                prop_assert_eq!(qname.suffix_hash(skip), name.hash64());
                ancestor = name.parent();
            }
        }
    }
}

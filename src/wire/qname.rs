//! The name of the question as lookups want it: lower-cased, with the offset of every label and the hash of every suffix, on the stack.
//! This room never allocates and never reads a name that was not checked.

use super::query::Question;
use super::{HEADER_OCTETS, QUESTION_FIXED_OCTETS};
use crate::name::{HASH_READ_OCTETS, MAX_LABELS, MAX_NAME_OCTETS, ROOT_HASH, label_hash_within, name_octets};

/// Suffixes of up to this many labels have their hash stored: more than real names have.
const DIRECT: usize = 16;

/// Beyond [`DIRECT`], the hash of each suffix whose label count is a multiple of this is stored, and the rest is folded on demand:
/// a hostile name of 127 labels costs at most seven folds a suffix, and usual names do not pay for an array that only it fills.
const STRIDE: usize = 8;

/// Hashes stored: none to `DIRECT` labels, then every `STRIDE` labels up to the longest name.
const STORED: usize = 1 + DIRECT + (MAX_LABELS - DIRECT) / STRIDE;

/// Octets that are lower-cased in one step.
const BLOCK: usize = 16;

/// The longest question in whole blocks, which is also what the hash may read behind the longest name.
const WIRE_OCTETS: usize = (MAX_NAME_OCTETS + HASH_READ_OCTETS).next_multiple_of(BLOCK);
const _: () = assert!(WIRE_OCTETS >= MAX_NAME_OCTETS + QUESTION_FIXED_OCTETS);

/// A lower-cased name with the offset of every label and the hash of every suffix (see [`label_hash`](crate::name::label_hash)).
#[derive(Clone)]
pub struct QName {
    octets: u8,
    labels: u8,
    /// Offset of each label.
    offsets: [u8; MAX_LABELS + 1],
    /// The question, then anything.
    wire: [u8; WIRE_OCTETS],
    /// By label count of the suffix, see [`DIRECT`] and [`STRIDE`].
    hashes: [u64; STORED],
}

impl Default for QName {
    /// No name yet: [`QName::read`] makes it one.
    #[inline]
    fn default() -> QName {
        QName { octets: 1, labels: 0, offsets: [0; _], wire: [0; _], hashes: [0; _] }
    }
}

impl QName {
    /// Makes this the name of a question; nothing is left of what it was. It is filled in place because it is too large to be moved about.
    #[inline]
    pub fn read(&mut self, question: &Question<'_>) {
        self.read_raw(question.raw);
    }

    /// From a valid question: name, type and class.
    #[inline]
    pub fn read_raw(&mut self, question: &[u8]) {
        self.octets = (question.len() - QUESTION_FIXED_OCTETS) as u8;
        self.copy_lowercase(question);
        self.split();
    }

    /// Reads the name in a message that was not judged yet, and returns its hash; `None` where there is none.
    pub fn read_early(&mut self, message: &[u8]) -> Option<u64> {
        let body = message.get(HEADER_OCTETS..)?;
        self.read_raw(body.get(..name_octets(body).ok()? + QUESTION_FIXED_OCTETS)?);
        Some(self.suffix_hash(0))
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

    /// Copies whole blocks: a copy of constant size is a few instructions. Length octets are at most 63, below every letter.
    #[inline]
    fn copy_lowercase(&mut self, question: &[u8]) {
        let (blocks, rest) = question.as_chunks::<BLOCK>();
        for (to, from) in self.wire.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
            *to = from.map(|octet| octet.to_ascii_lowercase());
        }
        if rest.is_empty() {
            return;
        }
        let to = &mut self.wire[..question.len()];
        match (to.last_chunk_mut::<BLOCK>(), question.last_chunk::<BLOCK>()) {
            // Overlaps the block before it.
            (Some(to), Some(from)) => *to = from.map(|octet| octet.to_ascii_lowercase()),
            _ => to.iter_mut().zip(question).for_each(|(to, from)| *to = from.to_ascii_lowercase()),
        }
    }

    /// Finds the labels from the left, then hashes them from the right.
    #[inline]
    fn split(&mut self) {
        // An offset in an octet needs no check against the 272 octets.
        let (mut at, mut labels) = (0_u8, 0_u8);
        let end = self.octets - 1;
        while at < end {
            self.offsets[usize::from(labels) % (MAX_LABELS + 1)] = at;
            labels += 1;
            at = at.wrapping_add(1 + self.wire[usize::from(at)]);
        }
        self.labels = labels;
        let mut hash = ROOT_HASH;
        self.hashes[0] = hash;
        let direct = self.label_count().min(DIRECT);
        for (stored, label) in (0..self.label_count()).rev().take(direct).enumerate() {
            hash = self.fold_label(hash, label);
            self.hashes[stored + 1] = hash;
        }
        if self.label_count() > DIRECT {
            self.store_deep_hashes(hash);
        }
    }

    /// Goes on from the hash of the suffix of [`DIRECT`] labels.
    #[cold]
    fn store_deep_hashes(&mut self, mut hash: u64) {
        for suffix_labels in DIRECT + 1..=self.label_count() {
            hash = self.fold_label(hash, self.label_count() - suffix_labels);
            if suffix_labels % STRIDE == 0 {
                self.hashes[stored_at(suffix_labels)] = hash;
            }
        }
    }

    /// The hash of the suffix that begins with this label, from that of the suffix after it.
    #[inline]
    fn fold_label(&self, hash: u64, label: usize) -> u64 {
        let at = usize::from(self.offsets[label % (MAX_LABELS + 1)]);
        label_hash_within(hash, &self.wire, at, 1 + usize::from(self.wire[at]))
    }

    #[cold]
    fn deep_hash(&self, labels: usize) -> u64 {
        let stored = labels / STRIDE * STRIDE;
        let first = self.label_count() - labels;
        let between = first..self.label_count() - stored;
        between.rev().fold(self.hashes[stored_at(stored)], |hash, label| self.fold_label(hash, label))
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

    fn qname(question: &[u8]) -> QName {
        // Not fresh: what an earlier, longer name left must not matter.
        let mut name = QName::default();
        name.read_raw(&[b"\x01Z".repeat(127).as_slice(), &[0, 0, 1, 0, 1]].concat());
        name.read_raw(question);
        name
    }

    #[test]
    fn suffixes_are_counted_from_the_left() {
        let message = b"\x03wWw\x07EXAMPLE\x03com\x00\x00\x01\x00\x01";
        let name = qname(message);
        assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.suffix(1), b"\x07example\x03com\x00");
        assert_eq!(name.suffix(3), b"\x00");
        assert_eq!(name.suffix(200), b"\x00");
        assert_eq!(name.suffix_hash(200), ROOT_HASH);
        assert_eq!(qname(b"\x00\x00\x01\x00\x01").as_wire(), b"\x00");
    }

    #[test]
    fn a_name_is_read_early_as_it_is_read_later_or_not_at_all() {
        let message = [&[0; HEADER_OCTETS], b"\x03WWW\x02ab\x00\x00\x01\x00\x01".as_slice()].concat();
        let mut early = QName::default();
        assert_eq!(early.read_early(&message), Some(Name::parse("www.ab.", None).unwrap().hash64()));
        assert!((0..message.len()).all(|octets| early.read_early(&message[..octets]).is_none()));
        assert_eq!(early.read_early(&[&[0; HEADER_OCTETS], b"\xc0\x0c\x00\x01\x00\x01".as_slice()].concat()), None);
    }

    proptest! {
        #[test]
        fn every_suffix_has_the_text_and_the_hash_of_that_name(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..8), 0..=MAX_LABELS),
            long in prop::collection::vec(any::<u8>(), 1..=63),
            after in any::<[u8; 4]>(),
        ) {
            let name = labels.iter().chain([&long]).fold(Name::root(), |name, label| name.prepend(label).unwrap_or(name));
            let message = [name.as_wire(), &after].concat();
            let qname = qname(&message);
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
            let qname = qname(&[name.as_wire(), &[0, 1, 0, 1]].concat());
            let mut ancestor = Some(name);
            for skip in 0..=depth {
                let name = ancestor.unwrap();
                prop_assert_eq!(qname.suffix_hash(skip), name.hash64());
                ancestor = name.parent();
            }
        }
    }
}

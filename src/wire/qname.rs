//! The name of the question as lookups want it: lower-cased, with its hash and those of its suffixes, on the stack.
//! This room never allocates and never reads a name that was not checked.

use super::query::Question;
use super::usual::{MAX_USUAL_OCTETS, UsualName};
use super::{HEADER_OCTETS, QUESTION_FIXED_OCTETS};
use crate::name::{HASH_READ_OCTETS, HASH_STEP, HASH_STEP_BACK, MAX_NAME_OCTETS, ROOT_HASH, label_hash_within, name_octets};

/// Octets that are lower-cased in one step.
const BLOCK: usize = 16;

/// The longest question in whole blocks, which is also what the hash may read behind the longest name.
pub(super) const WIRE_OCTETS: usize = (MAX_NAME_OCTETS + HASH_READ_OCTETS).next_multiple_of(BLOCK);
const _: () = assert!(WIRE_OCTETS >= MAX_NAME_OCTETS + QUESTION_FIXED_OCTETS);

/// A lower-cased name with its hash, from which those of its suffixes follow.
///
/// It has room for `N` octets: for every name, if not said otherwise.
#[derive(Clone)]
pub struct QName<const N: usize = WIRE_OCTETS> {
    octets: u8,
    labels: u8,
    /// Equal to `Name::hash64` of the name.
    hash: u64,
    /// The question, then anything.
    wire: [u8; N],
}

impl<const N: usize> Default for QName<N> {
    /// No name yet: [`QName::read`] makes it one.
    #[inline]
    fn default() -> QName<N> {
        QName { octets: 1, labels: 0, hash: ROOT_HASH, wire: [0; _] }
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
        self.hash_labels();
    }

    /// Reads the name in a message that was not judged yet, and returns its hash; `None` where there is none.
    pub fn read_early(&mut self, message: &[u8]) -> Option<u64> {
        let body = message.get(HEADER_OCTETS..)?;
        self.read_raw(body.get(..name_octets(body).ok()? + QUESTION_FIXED_OCTETS)?);
        Some(self.hash)
    }
}

impl UsualName {
    /// Reads the name that a message has behind its header, and returns its octets; `None` if it is no name, or a longer one than is usual,
    /// or the message ends before type and class.
    #[inline(always)]
    pub fn read_usual(&mut self, body: &[u8]) -> Option<usize> {
        self.copy_lowercase(&body[..body.len().min(MAX_USUAL_OCTETS + QUESTION_FIXED_OCTETS)]);
        let (mut at, mut labels, mut hash, mut weight) = (0_usize, 0, 0_u64, 1_u64);
        loop {
            let length = usize::from(self.wire[at]);
            if length == 0 {
                break;
            }
            let octets = 1 + length;
            // A length of more than 63 is too long as well.
            if at + octets >= MAX_USUAL_OCTETS {
                return None;
            }
            hash = hash.wrapping_add(label_hash_within(ROOT_HASH, &self.wire, at, octets).wrapping_mul(weight));
            weight = weight.wrapping_mul(HASH_STEP);
            labels += 1;
            at += octets;
        }
        // Behind a message that ends early there are zeros, which are no root of its own.
        let octets = at + 1;
        (self.octets, self.labels, self.hash) = (octets as u8, labels, hash.wrapping_add(ROOT_HASH.wrapping_mul(weight)));
        (octets + QUESTION_FIXED_OCTETS <= body.len()).then_some(octets)
    }
}

impl<const N: usize> QName<N> {
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

    /// The hash of the name, equal to `Name::hash64`.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The name and each of its ancestors up to the root, as [`QName::as_wire`] and [`QName::hash`] give them.
    #[inline]
    pub fn suffixes(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let (mut at, mut hash, mut left) = (0, self.hash, self.label_count() + 1);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let suffix = (self.wire.get(usize::from(at)..usize::from(self.octets))?, hash);
            hash = hash.wrapping_sub(self.label_hash(at)).wrapping_mul(HASH_STEP_BACK);
            at = self.next_label(at);
            Some(suffix)
        })
    }

    /// The lower-cased wire form without its leftmost label; the root for the root.
    pub fn parent(&self) -> &[u8] {
        let start = usize::from(if self.labels == 0 { 0 } else { self.next_label(0) });
        &self.as_wire()[start..]
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

    /// Goes over the labels from the left; each counts by a step more than the one before it, and the root by as many as there are labels.
    #[inline]
    fn hash_labels(&mut self) {
        let (mut at, mut labels, mut hash, mut weight) = (0, 0, 0_u64, 1_u64);
        let end = self.octets - 1;
        while at < end {
            hash = hash.wrapping_add(self.label_hash(at).wrapping_mul(weight));
            weight = weight.wrapping_mul(HASH_STEP);
            labels += 1;
            at = self.next_label(at);
        }
        self.labels = labels;
        self.hash = hash.wrapping_add(ROOT_HASH.wrapping_mul(weight));
    }

    /// The hash of the label at an offset; an offset in an octet needs no check against the 272 octets.
    #[inline]
    fn label_hash(&self, at: u8) -> u64 {
        label_hash_within(ROOT_HASH, &self.wire, usize::from(at), 1 + usize::from(self.wire[usize::from(at)]))
    }

    /// The offset behind the label at another. The name was checked: nothing wraps.
    #[inline]
    fn next_label(&self, at: u8) -> u8 {
        at.wrapping_add(1 + self.wire[usize::from(at)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{MAX_LABELS, Name};
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
        assert_eq!(name.parent(), b"\x07example\x03com\x00");
        assert_eq!(name.suffixes().last(), Some((&b"\x00"[..], ROOT_HASH)));
        let root = qname(b"\x00\x00\x01\x00\x01");
        assert_eq!((root.as_wire(), root.parent(), root.suffixes().count()), (&b"\x00"[..], &b"\x00"[..], 1));
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
            for (suffix, hash) in qname.suffixes() {
                let name = ancestor.unwrap();
                let lower = name.to_lowercase();
                prop_assert_eq!(suffix, lower.as_wire());
                prop_assert_eq!(hash, name.hash64());
                ancestor = name.parent();
            }
            prop_assert!(ancestor.is_none());
        }

        #[test]
        fn names_of_any_depth_have_exact_hashes(depth in 0..=MAX_LABELS) {
            let name = (0..depth).fold(Name::root(), |name, _| name.prepend(b"X").unwrap());
            let qname = qname(&[name.as_wire(), &[0, 1, 0, 1]].concat());
            let mut ancestor = Some(name);
            for (_, hash) in qname.suffixes() {
                let name = ancestor.unwrap();
                prop_assert_eq!(hash, name.hash64());
                ancestor = name.parent();
            }
            prop_assert!(ancestor.is_none());
        }
    }
}

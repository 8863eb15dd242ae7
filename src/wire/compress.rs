//! Name compression (RFC 1035 4.1.4): where in a message each name and each of its suffixes was written, and which of them a new name may point to.
//! This room never writes and never allocates. Letter case is ignored, as RFC 4343 4.1 has it: what is pointed to keeps the letters in which it stands first.

use super::HEADER_OCTETS;
use crate::name::name_octets;

/// Suffixes that are remembered: a reply has few different names, and beyond this it only becomes a little larger.
const MAX_SUFFIXES: usize = 64;

/// Of those, how many the question may take (its rightmost ones), so that a question of many labels leaves room for what we write.
const MAX_QUESTION_SUFFIXES: usize = 32;

/// The first offset that a pointer cannot express in its 14 bits.
const POINTER_END: usize = 0x4000;

/// The two high bits that make a pointer.
const POINTER_BITS: u16 = 0xc000;

/// The bit in which an ASCII letter differs from itself in the other case; so do other octets, hence it only tells what surely differs.
const CASE_BIT: u8 = 0x20;

/// The suffixes in a message that may be pointed to, by their offsets, ascending.
pub(super) struct Suffixes {
    offsets: [u16; MAX_SUFFIXES],
    /// The octets of each suffix, pointers followed and root included: only names of equal length are compared.
    octets: [u8; MAX_SUFFIXES],
    count: usize,
    /// The question's suffixes are entered when the first name needs them: most answers never do.
    question_entered: bool,
}

/// How to write a name: its first `keep` octets as they are, then a pointer.
pub(super) struct Match {
    pub(super) keep: usize,
    pub(super) pointer: u16,
}

impl Suffixes {
    pub(super) fn new() -> Suffixes {
        Suffixes { offsets: [0; MAX_SUFFIXES], octets: [0; MAX_SUFFIXES], count: 0, question_entered: false }
    }

    /// The longest suffix of `name`, root excepted, that stands in `message` in any letter case.
    pub(super) fn find(&mut self, message: &[u8], name: &[u8]) -> Option<Match> {
        if !self.question_entered {
            self.enter_question(message);
        }
        self.longest(message, name, &mut 0)
    }

    /// The longest suffix; `steps` counts the labels that are compared.
    ///
    /// Where a name was written, its suffixes stand one after the other. What differs in one of them differs in all that still hold it,
    /// so that a name is compared with each name before it at most once, whatever labels a client has chosen.
    fn longest(&self, message: &[u8], name: &[u8], steps: &mut usize) -> Option<Match> {
        let starts = Starts::of(name);
        let (mut found, mut found_octets) = (None, 1);
        let (mut next, mut differs) = (0, usize::MAX);
        for (offset, octets) in self.offsets[..self.count].iter().zip(&self.octets) {
            let (at, octets) = (usize::from(*offset), usize::from(*octets));
            if at != next {
                differs = usize::MAX;
            }
            next = at + 1 + message.get(at).map_or(0, |length| usize::from(*length));
            let keep = name.len().wrapping_sub(octets);
            if octets <= found_octets || octets >= differs || !starts.contains(keep) {
                continue;
            }
            match first_difference(message, at, &name[keep..], steps) {
                None => (found, found_octets) = (Some(Match { keep, pointer: POINTER_BITS | offset }), octets),
                Some(octets) => differs = octets,
            }
        }
        found
    }

    /// Remembers the labels in the first `keep` octets of `name`, which were just written at `at`: all of it, or what stands before a pointer.
    /// Returns the pointer to it, if there can be one that is not longer than what it points to.
    pub(super) fn enter(&mut self, at: usize, name: &[u8], keep: usize) -> Option<u16> {
        label_starts(&name[..keep]).for_each(|label| self.push(at + label, name.len() - label));
        (at < POINTER_END && name.first() != Some(&0)).then_some(POINTER_BITS | at as u16)
    }

    /// Forgets all from `end` on, as the message was cut there.
    pub(super) fn cut(&mut self, end: usize) {
        while self.count > 0 && usize::from(self.offsets[self.count - 1]) >= end {
            self.count -= 1;
        }
    }

    fn enter_question(&mut self, message: &[u8]) {
        self.question_entered = true;
        let name = &message[HEADER_OCTETS..];
        let Ok(octets) = name_octets(name) else { return };
        let beyond = label_starts(name).count().saturating_sub(MAX_QUESTION_SUFFIXES);
        label_starts(name).skip(beyond).for_each(|label| self.push(HEADER_OCTETS + label, octets - label));
    }

    fn push(&mut self, offset: usize, octets: usize) {
        if let (true, Ok(octets)) = (offset < POINTER_END && self.count < MAX_SUFFIXES, u8::try_from(octets)) {
            self.offsets[self.count] = offset as u16;
            self.octets[self.count] = octets;
            self.count += 1;
        }
    }
}

/// The offsets of the labels of an uncompressed name, root excepted; ends where the octets end.
fn label_starts(name: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let length = *name.get(start).filter(|length| **length != 0)?;
        at += 1 + usize::from(length);
        Some(start)
    })
}

/// Where in a name its labels begin, as a set of offsets.
struct Starts([u64; 4]);

impl Starts {
    fn of(name: &[u8]) -> Starts {
        let mut set = [0; 4];
        // A name has at most 255 octets.
        label_starts(name).take_while(|start| *start < 256).for_each(|start| set[start / 64] |= 1 << (start % 64));
        Starts(set)
    }

    fn contains(&self, offset: usize) -> bool {
        self.0.get(offset / 64).is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }
}

/// The first label in which `name` is not what stands at an offset of the message, pointers followed, letter case ignored: as octets from
/// there to the end of `name`. `None` if they are equal.
///
/// It ends, as only pointers that lead backwards are followed.
fn first_difference(message: &[u8], mut at: usize, mut name: &[u8], steps: &mut usize) -> Option<usize> {
    loop {
        let Some(&length) = message.get(at) else { return Some(name.len()) };
        if u16::from(length) >= POINTER_BITS >> 8 {
            let Some(&low) = message.get(at + 1) else { return Some(name.len()) };
            let target = usize::from(u16::from_be_bytes([length, low]) & !POINTER_BITS);
            if target >= at {
                return Some(name.len());
            }
            at = target;
            continue;
        }
        *steps += 1;
        // Most suffixes differ in the length or in the first letter.
        let starts_alike = |(a, b): (&[u8], &[u8])| a[0] == b[0] && (a[1] | CASE_BIT) == (b[1] | CASE_BIT);
        if length != 0 && !name.get(..2).zip(message.get(at..at + 2)).is_some_and(starts_alike) {
            return Some(name.len());
        }
        let octets = 1 + usize::from(length);
        match (message.get(at..at + octets), name.split_at_checked(octets)) {
            (Some(label), Some((expected, rest))) if label == expected || label.eq_ignore_ascii_case(expected) => {
                (at, name) = (at + octets, rest);
            }
            _ => return Some(name.len()),
        }
        if length == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"............\x01q\x07example\x00\x00\x01\x00\x01\x03www\xc0\x0e";

    fn found(suffixes: &mut Suffixes, name: &[u8]) -> Option<(usize, u16)> {
        suffixes.find(MESSAGE, name).map(|found| (found.keep, found.pointer))
    }

    #[test]
    fn the_longest_suffix_is_found() {
        let mut suffixes = Suffixes::new();
        assert_eq!(found(&mut suffixes, b"\x03www\x07example\x00"), Some((4, 0xc00e)));
        assert_eq!(suffixes.enter(27, b"\x03www\x07example\x00", 4), Some(0xc01b));
        assert_eq!(found(&mut suffixes, b"\x01a\x03www\x07example\x00"), Some((2, 0xc01b)));
        assert_eq!(found(&mut suffixes, b"\x03www\x00"), None);
        assert_eq!(found(&mut suffixes, b"\x03wWw\x07eXAMPLE\x00"), Some((0, 0xc01b)), "in any letter case");
        assert_eq!(found(&mut suffixes, b"\x03www\x07examplE\x01a\x00"), None);
        assert_eq!(found(&mut suffixes, b"\x00"), None);
    }

    #[test]
    fn only_the_letters_a_to_z_have_case() {
        for (one, other, equal) in [(b'a', b'A', true), (b'z', b'Z', true), (b'@', b'`', false), (b'[', b'{', false), (0xc0, 0xe0, false)] {
            let difference = first_difference(&[2, one, b'x', 0], 0, &[2, other, b'X', 0], &mut 0);
            assert_eq!(difference.is_none(), equal, "{one:#x} {other:#x}");
            let difference = first_difference(&[2, b'x', one, 0], 0, &[2, b'X', other, 0], &mut 0);
            assert_eq!(difference.is_none(), equal, "{one:#x} {other:#x}");
        }
    }

    #[test]
    fn what_was_cut_off_is_not_found() {
        let mut suffixes = Suffixes::new();
        assert_eq!(found(&mut suffixes, b"\x03www\x00"), None);
        suffixes.enter(27, b"\x03www\x07example\x00", 4);
        suffixes.cut(27);
        assert_eq!(found(&mut suffixes, b"\x03www\x07example\x00"), Some((4, 0xc00e)), "the question is still known");
    }

    #[test]
    fn pointers_that_do_not_lead_backwards_are_not_followed() {
        for message in [&b"\x01a\xc0\x02"[..], b"\x01a\xc0\x00", b"\x01a\xc0"] {
            assert_eq!(first_difference(message, 0, b"\x01a\x01b\x00", &mut 0), Some(3));
        }
    }

    #[test]
    fn no_suffix_begins_inside_a_label() {
        // The end of the one label looks like the name `www.example`.
        let mut suffixes = Suffixes::new();
        suffixes.find(MESSAGE, b"\x00");
        suffixes.enter(27, b"\x03www\x07example\x00", 4);
        assert_eq!(found(&mut suffixes, b"\x0d\x03www\x07example\x00"), None);
    }

    #[test]
    fn the_work_is_bounded_for_names_of_many_equal_labels() {
        const NAMES: usize = 8;
        let labels = b"\x01a".repeat(119);
        let name = |last: u8| [&labels[..], &[5, b'o', b'w', b'n', b'e', last, 0]].concat();
        let mut message = [&[0; HEADER_OCTETS][..], &name(0), &[0, 1, 0, 1]].concat();
        let mut suffixes = Suffixes::new();
        for last in 1..NAMES as u8 {
            let (name, mut steps) = (name(last), 0);
            assert!(suffixes.find(&message, &name).is_none());
            assert!(suffixes.longest(&message, &name, &mut steps).is_none());
            assert!(steps <= usize::from(last) * 128, "{steps} labels compared for name {last}");
            suffixes.enter(message.len(), &name, name.len());
            message.extend_from_slice(&name);
        }
    }
}

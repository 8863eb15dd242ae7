//! Name compression (RFC 1035 4.1.4): where in a message each name and each of its suffixes was written, and which of them a new name may point to.
//! This room never writes and never allocates; it compares octet by octet, so that compression changes no letter case.

use super::HEADER_OCTETS;

/// Suffixes that are remembered: a reply has few different names, and beyond this it only becomes a little larger.
const MAX_SUFFIXES: usize = 64;

/// Of those, how many the question may take (its rightmost ones), so that a question of many labels leaves room for what we write.
const MAX_QUESTION_SUFFIXES: usize = 32;

/// The first offset that a pointer cannot express in its 14 bits.
const POINTER_END: usize = 0x4000;

/// The two high bits that make a pointer.
const POINTER_BITS: u16 = 0xc000;

/// The suffixes in a message that may be pointed to, by their offsets, ascending.
pub(super) struct Suffixes {
    offsets: [u16; MAX_SUFFIXES],
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
        Suffixes { offsets: [0; MAX_SUFFIXES], count: 0, question_entered: false }
    }

    /// The longest suffix of `name`, root excepted, that stands in `message` in the same letter case.
    pub(super) fn find(&mut self, message: &[u8], name: &[u8]) -> Option<Match> {
        if !self.question_entered {
            self.enter_question(message);
        }
        let known = &self.offsets[..self.count];
        label_starts(name).find_map(|keep| {
            let offset = known.iter().find(|&&offset| stands_at(message, usize::from(offset), &name[keep..]))?;
            Some(Match { keep, pointer: POINTER_BITS | offset })
        })
    }

    /// Remembers the labels of `written`, which was just written at `at`: a name, or the labels of one before a pointer.
    /// Returns the pointer to it, if there can be one that is not longer than what it points to.
    pub(super) fn enter(&mut self, at: usize, written: &[u8]) -> Option<u16> {
        label_starts(written).for_each(|label| self.push(at + label));
        (at < POINTER_END && written.first() != Some(&0)).then_some(POINTER_BITS | at as u16)
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
        let beyond = label_starts(name).count().saturating_sub(MAX_QUESTION_SUFFIXES);
        label_starts(name).skip(beyond).for_each(|label| self.push(HEADER_OCTETS + label));
    }

    fn push(&mut self, offset: usize) {
        if offset < POINTER_END && self.count < MAX_SUFFIXES {
            self.offsets[self.count] = offset as u16;
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

/// Whether the name at an offset of the message, pointers followed, is `name`, letter case included.
///
/// It ends, as only pointers that lead backwards are followed.
fn stands_at(message: &[u8], mut at: usize, mut name: &[u8]) -> bool {
    loop {
        let Some(&length) = message.get(at) else { return false };
        if u16::from(length) >= POINTER_BITS >> 8 {
            let Some(&low) = message.get(at + 1) else { return false };
            let target = usize::from(u16::from_be_bytes([length, low]) & !POINTER_BITS);
            if target >= at {
                return false;
            }
            at = target;
            continue;
        }
        // Most suffixes differ in the length or in the first letter.
        if name.get(..2) != message.get(at..at + 2) && length != 0 {
            return false;
        }
        let octets = 1 + usize::from(length);
        match (message.get(at..at + octets), name.split_at_checked(octets)) {
            (Some(label), Some((expected, rest))) if label == expected => (at, name) = (at + octets, rest),
            _ => return false,
        }
        if length == 0 {
            return true;
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
        assert_eq!(suffixes.enter(27, b"\x03www"), Some(0xc01b));
        assert_eq!(found(&mut suffixes, b"\x01a\x03www\x07example\x00"), Some((2, 0xc01b)));
        assert_eq!(found(&mut suffixes, b"\x03www\x00"), None);
        assert_eq!(found(&mut suffixes, b"\x03www\x07eXample\x00"), None);
        assert_eq!(found(&mut suffixes, b"\x00"), None);
    }

    #[test]
    fn what_was_cut_off_is_not_found() {
        let mut suffixes = Suffixes::new();
        assert_eq!(found(&mut suffixes, b"\x03www\x00"), None);
        suffixes.enter(27, b"\x03www");
        suffixes.cut(27);
        assert_eq!(found(&mut suffixes, b"\x03www\x07example\x00"), Some((4, 0xc00e)), "the question is still known");
    }

    #[test]
    fn pointers_that_do_not_lead_backwards_are_not_followed() {
        assert!(!stands_at(b"\x01a\xc0\x02", 0, b"\x01a\x01b\x00"));
        assert!(!stands_at(b"\x01a\xc0\x00", 0, b"\x01a\x01b\x00"));
        assert!(!stands_at(b"\x01a\xc0", 0, b"\x01a\x01b\x00"));
    }
}

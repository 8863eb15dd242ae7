//! Names: the uncompressed wire form of a domain name, its comparison without regard to letter case, its canonical order, its text form, its hash.
//! This room never reads compression pointers (the wire rooms refuse or write them) and knows nothing of zones.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Most octets of a name in wire form, length octets and root included (RFC 1035 2.3.4).
pub const MAX_NAME_OCTETS: usize = 255;

/// Most octets of one label, without its length octet (RFC 1035 2.3.4).
pub const MAX_LABEL_OCTETS: usize = 63;

/// Most labels of a name, root not counted: 127 labels of one octet fill the 255 octets.
pub const MAX_LABELS: usize = 127;

/// The hash of the root name, and the seed of each label's hash (a digit string of pi, nothing up the sleeve).
pub const ROOT_HASH: u64 = 0x243f_6a88_85a3_08d3;

/// Odd multiplier of the octets of a label, with evenly spread bits (the golden ratio).
const HASH_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Odd multiplier that finishes each label: with one multiplication alone, names that differ in a digit fill buckets unevenly (measured).
const HASH_FINISHER: u64 = 0xe703_7ed1_a0b4_28db;

/// What the hash of a name counts in the hash of a name below it: odd, so that it can be undone, with evenly spread bits (Stafford, Evensen),
/// and 3 more than a multiple of 4, so that names of the same labels in another order differ in all bits but the lowest.
pub const HASH_STEP: u64 = 0xd6e8_feb8_6659_fd93;

/// The other way: `HASH_STEP * HASH_STEP_BACK == 1` in 64 bits.
pub const HASH_STEP_BACK: u64 = inverse(HASH_STEP);

/// The inverse of an odd number in 64 bits, by Newton's method: each turn doubles the bits that are right, of which a number has three in itself.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut turn = 0;
    while turn < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        turn += 1;
    }
    inverse
}

/// The hash of the name that has one more label than the name of hash `parent`: the label's own hash and a step of the parent's.
///
/// So one pass from the left gives the hash of a name, and the hash of its parent follows from it and the label.
#[inline]
fn hash_below(parent: u64, label: &[u8]) -> u64 {
    label_hash(ROOT_HASH, label).wrapping_add(parent.wrapping_mul(HASH_STEP))
}

/// The hash of some octets, from a seed.
///
/// A label is lower-case and begins with its length octet, so that equal octets split differently give different hashes.
#[inline]
pub fn label_hash(seed: u64, label: &[u8]) -> u64 {
    let mut hash = seed;
    let mut rest = label;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        hash = fold(hash ^ u64::from_le_bytes(*chunk), HASH_MULTIPLIER);
        rest = tail;
    }
    if !rest.is_empty() {
        hash = fold(hash ^ short_word(rest), HASH_MULTIPLIER);
    }
    fold(hash, HASH_FINISHER)
}

/// Octets from the start of its last word that [`label_hash_within`] reads, label or not.
pub const HASH_READ_OCTETS: usize = 8;

/// [`label_hash`] of the label of `octets` octets at `at`, length octet included, for labels with [`HASH_READ_OCTETS`] more octets behind them:
/// reading whole words and masking the last is faster than minding the end of a slice.
#[inline]
pub fn label_hash_within<const N: usize>(seed: u64, buffer: &[u8; N], at: usize, octets: usize) -> u64 {
    let word = |at: usize| match buffer.get(at..at + HASH_READ_OCTETS).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => 0,
    };
    let (mut hash, mut at, mut left) = (seed, at, octets);
    while left >= 8 {
        hash = fold(hash ^ word(at), HASH_MULTIPLIER);
        (at, left) = (at + 8, left - 8);
    }
    if left > 0 {
        hash = fold(hash ^ (word(at) & !(u64::MAX << (8 * left))), HASH_MULTIPLIER);
    }
    fold(hash, HASH_FINISHER)
}

/// One to seven octets as one little-endian word with zeros above, without a loop (the reads overlap).
#[inline]
fn short_word(octets: &[u8]) -> u64 {
    let length = octets.len();
    match (octets.first_chunk::<4>(), octets.last_chunk::<4>(), octets) {
        (Some(low), Some(high), _) => u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (length - 4)),
        (_, _, [first, .., last]) => {
            u64::from(*first) | u64::from(octets[length / 2]) << (8 * (length / 2)) | u64::from(*last) << (8 * (length - 1))
        }
        (_, _, [only]) => u64::from(*only),
        _ => 0,
    }
}

/// One multiplication to 128 bits, halves joined: the bits of the input reach high and low bits of the result.
#[inline]
fn fold(word: u64, multiplier: u64) -> u64 {
    let product = u128::from(word) * u128::from(multiplier);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Octets of the uncompressed name at the start of `wire`, root label included.
#[inline]
pub fn name_octets(wire: &[u8]) -> Result<usize, NameError> {
    let mut at = 0;
    loop {
        let length = usize::from(*wire.get(at).ok_or(NameError::Truncated)?);
        if length > MAX_LABEL_OCTETS {
            return Err(NameError::BadLabelType);
        }
        at += 1 + length;
        if at > MAX_NAME_OCTETS {
            return Err(NameError::NameTooLong);
        }
        if length == 0 {
            return Ok(at);
        }
    }
}

/// A domain name in uncompressed wire form, at most 255 octets, letter case kept.
///
/// Equality, order and hash ignore the case of ASCII letters; the order is the canonical one (RFC 4034 6.1).
#[derive(Clone)]
pub struct Name(Box<[u8]>);

/// Why some octets or some text are not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// Two dots in a row, or a leading dot.
    EmptyLabel,
    /// A label of more than 63 octets.
    LabelTooLong,
    /// More than 255 octets in wire form.
    NameTooLong,
    /// A backslash that is followed neither by three digits up to 255 nor by another character.
    BadEscape,
    /// A character that must be escaped, or that is not ASCII.
    BadCharacter(char),
    /// `@` where no origin is known.
    NoOrigin,
    /// Wire form that ends before the root label.
    Truncated,
    /// Wire form with octets after the root label.
    TrailingOctets,
    /// Wire form with a compression pointer or another label type (RFC 1035 4.1.4, RFC 6891 5).
    BadLabelType,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a name must not be empty"),
            NameError::EmptyLabel => f.write_str("a name must not have an empty label"),
            NameError::LabelTooLong => write!(f, "a label must not be longer than {MAX_LABEL_OCTETS} octets"),
            NameError::NameTooLong => write!(f, "a name must not be longer than {MAX_NAME_OCTETS} octets"),
            NameError::BadEscape => f.write_str("`\\` must be followed by a character or by three digits up to 255"),
            NameError::BadCharacter(c) if c.is_ascii() => write!(f, "the character {c:?} must be escaped in a name"),
            NameError::BadCharacter(c) => write!(f, "the character {c:?} is not ASCII; write the name in its `xn--` form"),
            NameError::NoOrigin => f.write_str("`@` has no meaning here, as there is no origin"),
            NameError::Truncated => f.write_str("the name ends before its root label"),
            NameError::TrailingOctets => f.write_str("there are octets after the name"),
            NameError::BadLabelType => f.write_str("the name has a compression pointer or an unknown label type"),
        }
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root, one octet.
    pub fn root() -> Name {
        Name(Box::new([0]))
    }

    /// A name from wire form: the whole slice must be exactly one uncompressed name.
    pub fn from_wire(wire: &[u8]) -> Result<Name, NameError> {
        if name_octets(wire)? != wire.len() {
            return Err(NameError::TrailingOctets);
        }
        Ok(Name(wire.into()))
    }

    /// A name from master-file text (RFC 1035 5.1): `\.` and `\DDD` are escapes, `@` is the origin, `.` the root.
    ///
    /// Text without a final dot is relative to `origin`; without an origin it is taken as absolute.
    pub fn parse(text: &str, origin: Option<&Name>) -> Result<Name, NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "@" => return origin.cloned().ok_or(NameError::NoOrigin),
            "." => return Ok(Name::root()),
            _ => {}
        }
        let (mut wire, absolute) = labels_from_text(text)?;
        match origin {
            Some(origin) if !absolute => wire.extend_from_slice(origin.as_wire()),
            _ => wire.push(0),
        }
        if wire.len() > MAX_NAME_OCTETS {
            return Err(NameError::NameTooLong);
        }
        Ok(Name(wire.into()))
    }

    /// The wire form, root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The same name with ASCII letters in lower case.
    pub fn to_lowercase(&self) -> Name {
        // Length octets are at most 63, below every letter, so the whole wire form can be lower-cased at once.
        Name(self.0.to_ascii_lowercase().into())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The number of labels, root not counted.
    pub fn label_count(&self) -> usize {
        self.labels().len()
    }

    /// The labels from left to right, without their length octets and without the root.
    pub fn labels(&self) -> Labels<'_> {
        Labels::new(&self.0)
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        let label = self.labels().next()?;
        Some(Name(self.0[1 + label.len()..].into()))
    }

    /// Whether this name is `suffix` or below it, letter case ignored.
    pub fn ends_with(&self, suffix: &Name) -> bool {
        let mut rest = self.as_wire();
        while rest.len() > suffix.0.len() {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        rest.eq_ignore_ascii_case(&suffix.0)
    }

    /// The name with one more label on its left.
    pub fn prepend(&self, label: &[u8]) -> Result<Name, NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL_OCTETS {
            return Err(NameError::LabelTooLong);
        }
        let octets = 1 + label.len() + self.0.len();
        if octets > MAX_NAME_OCTETS {
            return Err(NameError::NameTooLong);
        }
        let mut wire = Vec::with_capacity(octets);
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Ok(Name(wire.into()))
    }

    /// Whether the leftmost label is `*` (RFC 4592 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The canonical order (RFC 4034 6.1): label by label from the right, as lower-case octets, a parent before its children.
    pub fn canonical_cmp(&self, other: &Name) -> Ordering {
        let (mut left, mut right) = (self.labels().rev(), other.labels().rev());
        loop {
            return match (left.next(), right.next()) {
                (Some(a), Some(b)) => match a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase)) {
                    Ordering::Equal => continue,
                    decided => decided,
                },
                (a, b) => a.is_some().cmp(&b.is_some()),
            };
        }
    }

    /// The hash of the name, letter case ignored: each label's [`label_hash`], [`HASH_STEP`] times that of the name to its right added.
    pub fn hash64(&self) -> u64 {
        let mut lower = [0; 1 + MAX_LABEL_OCTETS];
        self.labels().rev().fold(ROOT_HASH, |hash, label| {
            let lower = &mut lower[..=label.len()];
            lower[0] = label.len() as u8;
            lower[1..].copy_from_slice(label);
            lower.make_ascii_lowercase();
            hash_below(hash, lower)
        })
    }
}

/// The labels of a name, from either end; see [`Name::labels`].
#[derive(Clone)]
pub struct Labels<'a> {
    wire: &'a [u8],
    /// Offsets of the length octets; those in `next..end` are still to come.
    offsets: [u8; MAX_LABELS],
    next: usize,
    end: usize,
}

impl<'a> Labels<'a> {
    /// `wire` is a valid name: the only callers hold one.
    fn new(wire: &'a [u8]) -> Labels<'a> {
        let mut labels = Labels { wire, offsets: [0; MAX_LABELS], next: 0, end: 0 };
        let mut at = 0;
        while wire[at] != 0 {
            labels.offsets[labels.end] = at as u8;
            labels.end += 1;
            at += 1 + usize::from(wire[at]);
        }
        labels
    }

    fn label(&self, index: usize) -> &'a [u8] {
        let at = usize::from(self.offsets[index]);
        &self.wire[at + 1..][..usize::from(self.wire[at])]
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        Some(self.label(self.next - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl DoubleEndedIterator for Labels<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        self.end -= 1;
        Some(self.label(self.end))
    }
}

impl ExactSizeIterator for Labels<'_> {}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash64());
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        self.canonical_cmp(other)
    }
}

/// Absolute text with its final dot; what [`Name::parse`] would take otherwise is escaped, so that the text reads back as the same name.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                    _ if must_be_escaped(octet) && octet.is_ascii_graphic() => write!(f, "\\{}", char::from(octet))?,
                    _ if must_be_escaped(octet) => write!(f, "\\{octet:03}")?,
                    _ => write!(f, "{}", char::from(octet))?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// Octets that a master file would take as the end of the name, as quoting or as a comment, and those that are not printable.
fn must_be_escaped(octet: u8) -> bool {
    !octet.is_ascii_graphic() || matches!(octet, b'"' | b'(' | b')' | b';')
}

/// The labels of the text in wire form without the root label, and whether the text ended in a dot that was not escaped.
fn labels_from_text(text: &str) -> Result<(Vec<u8>, bool), NameError> {
    let mut wire = Vec::with_capacity(text.len().min(MAX_NAME_OCTETS) + 2);
    let mut rest = text;
    loop {
        let start = wire.len();
        wire.push(0);
        let dot;
        (rest, dot) = label_from_text(rest, &mut wire)?;
        match wire.len() - start - 1 {
            0 => return Err(NameError::EmptyLabel),
            length @ 1..=MAX_LABEL_OCTETS => wire[start] = length as u8,
            _ => return Err(NameError::LabelTooLong),
        }
        // Stopping here bounds the work on a long text.
        if wire.len() > MAX_NAME_OCTETS {
            return Err(NameError::NameTooLong);
        }
        if rest.is_empty() {
            return Ok((wire, dot));
        }
    }
}

/// Appends the octets of one label; returns the text after it and whether a dot ended it.
fn label_from_text<'t>(text: &'t str, label: &mut Vec<u8>) -> Result<(&'t str, bool), NameError> {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => return Ok((chars.as_str(), true)),
            '\\' => label.push(escaped_octet(&mut chars)?),
            c if c.is_ascii() && !must_be_escaped(c as u8) => label.push(c as u8),
            c => return Err(NameError::BadCharacter(c)),
        }
    }
    Ok(("", false))
}

/// What stands after a backslash: three digits, or any other one ASCII character.
fn escaped_octet(chars: &mut std::str::Chars<'_>) -> Result<u8, NameError> {
    let first = chars.next().filter(char::is_ascii).ok_or(NameError::BadEscape)?;
    let Some(hundreds) = first.to_digit(10) else { return Ok(first as u8) };
    let mut digit = || chars.next().and_then(|c| c.to_digit(10)).ok_or(NameError::BadEscape);
    let value = hundreds * 100 + digit()? * 10 + digit()?;
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

#[cfg(test)]
mod tests;

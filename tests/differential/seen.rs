//! A reply as it stands on the wire, brought into a form that can be compared: names expanded and lower-cased, sections sorted.
//! It is a reader of its own, so that neither Meridian's codec nor a library that it uses judges Meridian.

use std::fmt;

/// Types whose data is compared with names expanded and lower-cased: octets before the names, and how many names there are.
const NAMES_IN_DATA: [(u16, usize, usize); 8] =
    [(2, 0, 1), (5, 0, 1), (6, 0, 2), (12, 0, 1), (15, 2, 1), (33, 6, 1), (39, 0, 1), (107, 2, 1)];

/// OPT, which is a record in form only.
const OPT: u16 = 41;

/// One record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rr {
    pub(crate) owner: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<u8>,
}

/// A whole reply.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// With the extended bits of OPT.
    pub(crate) rcode: u16,
    /// Name, type and class as sent; empty without a question.
    pub(crate) question: Vec<u8>,
    /// In the order of the message.
    pub(crate) chain: Vec<Rr>,
    pub(crate) answer: Vec<Rr>,
    pub(crate) authority: Vec<Rr>,
    /// Without OPT.
    pub(crate) additional: Vec<Rr>,
    pub(crate) has_opt: bool,
    pub(crate) octets: usize,
}

impl Seen {
    pub(crate) fn is_reply(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(crate) fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Flags that the servers must have alike: opcode, RD, RA, Z, AD, CD.
    pub(crate) fn other_flags(&self) -> u16 {
        self.flags & 0x79f0
    }

    /// Reads a message; `None` if it is malformed anywhere, or has octets behind its last record.
    pub(crate) fn read(message: &[u8]) -> Option<Seen> {
        let header = message.first_chunk::<12>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (id, flags, questions) = (word(0), word(2), word(4));
        let mut at = 12;
        if questions > 1 {
            return None;
        }
        if questions == 1 {
            at = name(message, at)?.1 + 4;
        }
        let question = message.get(12..at)?.to_vec();
        let mut sections = [6, 8, 10].map(|count| vec![(); usize::from(word(count))].into_iter());
        let mut read = |section: usize| -> Option<Vec<Rr>> {
            sections[section]
                .by_ref()
                .map(|()| {
                    let (rr, end) = record(message, at)?;
                    at = end;
                    Some(rr)
                })
                .collect()
        };
        let (chain, mut authority, mut additional) = (read(0)?, read(1)?, read(2)?);
        if at != message.len() {
            return None;
        }
        let opts: Vec<Rr> = additional.iter().filter(|rr| rr.rtype == OPT).cloned().collect();
        additional.retain(|rr| rr.rtype != OPT);
        let extended = opts.first().map_or(0, |opt| (opt.ttl >> 24) as u16);
        let mut answer = chain.clone();
        [&mut answer, &mut authority, &mut additional].into_iter().for_each(|section| section.sort());
        let rcode = extended << 4 | flags & 0xf;
        (opts.len() < 2).then_some(Seen {
            id,
            flags,
            rcode,
            question,
            chain,
            answer,
            authority,
            additional,
            has_opt: !opts.is_empty(),
            octets: message.len(),
        })
    }

    /// The addresses in the additional section.
    pub(crate) fn glue(&self) -> Vec<&Rr> {
        self.additional.iter().filter(|rr| matches!(rr.rtype, 1 | 28)).collect()
    }
}

/// The name at an offset, expanded, and where it ends. Pointers must lead backwards.
fn name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let (mut expanded, mut at, mut end) = (Vec::new(), start, None);
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => {
                expanded.push(0);
                return (expanded.len() <= 255).then_some((expanded, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                expanded.extend_from_slice(message.get(at..=at + length)?);
                at += 1 + length;
            }
            0xc0.. => {
                end = end.or(Some(at + 2));
                let target = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
    }
}

fn record(message: &[u8], start: usize) -> Option<(Rr, usize)> {
    let (owner, at) = name(message, start)?;
    let fixed = message.get(at..)?.first_chunk::<10>()?;
    let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let (rtype, class, length) = (word(0), word(2), usize::from(word(8)));
    let ttl = u32::from(word(4)) << 16 | u32::from(word(6));
    let data_at = at + 10;
    let end = data_at + length;
    message.get(data_at..end)?;
    let data = data(message, rtype, data_at, end)?;
    Some((Rr { owner: owner.to_ascii_lowercase(), rtype, class, ttl, data }, end))
}

fn data(message: &[u8], rtype: u16, start: usize, end: usize) -> Option<Vec<u8>> {
    let Some((_, before, names)) = NAMES_IN_DATA.iter().find(|(known, ..)| *known == rtype) else {
        return Some(message[start..end].to_vec());
    };
    let mut data = message.get(start..start + before)?.to_vec();
    let mut at = start + before;
    for _ in 0..*names {
        let (expanded, after) = name(message, at)?;
        data.extend(expanded.to_ascii_lowercase());
        at = after;
    }
    data.extend_from_slice(message.get(at..end)?);
    Some(data)
}

/// A name for people; octets that are not plain are escaped.
pub(crate) fn text(name: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), name);
    while let Some((&length, tail)) = rest.split_first().filter(|(length, _)| **length != 0) {
        let (label, tail) = tail.split_at(usize::from(length));
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'@' => text.extend(['\\', char::from(octet)]),
                0x21..=0x7e => text.push(char::from(octet)),
                _ => text.push_str(&format!("\\{octet:03}")),
            }
        }
        text.push('.');
        rest = tail;
    }
    if text.is_empty() { ".".into() } else { text }
}

impl fmt::Debug for Rr {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let type_name = meridian::wire::rtype::name(self.rtype);
        write!(to, "{} {} {type_name} {}", text(&self.owner), self.ttl, self.data.escape_ascii())?;
        if self.class == 1 { Ok(()) } else { write!(to, " class {}", self.class) }
    }
}

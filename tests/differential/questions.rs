//! The questions: every owner with every common type first, then names made from the owners by a fixed rule and a fixed seed.
//! The same build asks the same questions everywhere, unless `MERIDIAN_DIFFERENTIAL_SEED` gives another seed.

use std::collections::BTreeSet;

use meridian::name::Name;
use meridian::wire::rtype;

use super::seen;
use crate::common::random::{Draws, Random};

/// Types that every owner is asked for, besides its own.
const COMMON: [u16; 7] = [rtype::A, rtype::AAAA, rtype::NS, rtype::TXT, rtype::CNAME, rtype::DS, rtype::ANY];

/// Types of the random questions; those that stand twice come twice as often.
const TYPES: [u16; 42] = [
    rtype::A,
    rtype::A,
    rtype::A,
    rtype::A,
    rtype::AAAA,
    rtype::AAAA,
    rtype::MX,
    rtype::MX,
    rtype::TXT,
    rtype::TXT,
    rtype::NS,
    rtype::NS,
    rtype::SOA,
    rtype::CNAME,
    rtype::CNAME,
    rtype::SRV,
    rtype::PTR,
    rtype::CAA,
    rtype::DS,
    rtype::DS,
    rtype::DNSKEY,
    rtype::RRSIG,
    rtype::NSEC,
    rtype::NSEC3,
    rtype::NSEC3PARAM,
    rtype::HINFO,
    rtype::DNAME,
    rtype::SVCB,
    rtype::HTTPS,
    rtype::URI,
    rtype::LOC,
    rtype::KEY,
    rtype::NULL,
    65_280,
    rtype::ANY,
    rtype::ANY,
    rtype::AXFR,
    rtype::IXFR,
    rtype::MAILB,
    rtype::MAILA,
    rtype::TKEY,
    0,
];

/// What a client says in OPT; `None` is no OPT.
const SIZES: [Option<u16>; 8] = [None, None, None, Some(512), Some(512), Some(1232), Some(1232), Some(4096)];

/// Where the random questions start.
const SEED: u64 = 0x4d65_7269_6469_616e;

/// Another start, for those who look for more.
const SEED_VARIABLE: &str = "MERIDIAN_DIFFERENTIAL_SEED";

/// One question.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// In wire form.
    pub(crate) name: Vec<u8>,
    pub(crate) qtype: u16,
    pub(crate) class: u16,
    pub(crate) rd: bool,
    pub(crate) udp_size: Option<u16>,
    pub(crate) tcp: bool,
}

impl Question {
    /// Name, type and class.
    pub(crate) fn octets(&self) -> Vec<u8> {
        [&self.name[..], &self.qtype.to_be_bytes(), &self.class.to_be_bytes()].concat()
    }

    /// The whole query.
    pub(crate) fn message(&self, id: u16) -> Vec<u8> {
        let counts = [1, 0, 0, u16::from(self.udp_size.is_some())];
        let header: Vec<u8> = [id, u16::from(self.rd) << 8].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
        let [high, low] = self.udp_size.unwrap_or(0).to_be_bytes();
        let opt = if self.udp_size.is_some() { vec![0, 0, 41, high, low, 0, 0, 0, 0, 0, 0] } else { vec![] };
        [header, self.octets(), opt].concat()
    }

    /// The most octets of a reply.
    pub(crate) fn limit(&self) -> usize {
        if self.tcp { 65_535 } else { usize::from(self.udp_size.unwrap_or(0).clamp(512, 1232)) }
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, qtype) = (seen::text(&self.name), rtype::name(self.qtype));
        let transport = if self.tcp { "TCP" } else { "UDP" };
        write!(to, "{name} {qtype} class {} over {transport}, size {:?}, RD {}", self.class, self.udp_size, self.rd)
    }
}

/// The owners of master files that have one record a line, with the types that they have.
pub(crate) fn owners(files: &[(&str, &str)]) -> Vec<(Name, u16)> {
    let mut owners = BTreeSet::new();
    for (apex, text) in files {
        let apex = Name::parse(apex, None).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with([';', '$'])) {
            let mut words = line.split_whitespace();
            let owner = Name::parse(words.next().unwrap(), Some(&apex)).unwrap();
            let rtype = words.find_map(rtype::parse).unwrap();
            owners.insert((owner, rtype));
        }
    }
    owners.into_iter().collect()
}

/// So many different questions.
pub(crate) fn questions(owners: &[(Name, u16)], count: usize) -> Vec<Question> {
    let mut dice = Dice(Random::new(std::env::var(SEED_VARIABLE).map_or(SEED, |seed| seed.parse().unwrap())));
    let mut questions: Vec<Question> = Vec::new();
    let plain =
        |name: &Name, qtype| Question { name: name.as_wire().to_vec(), qtype, class: 1, rd: false, udp_size: Some(1232), tcp: false };
    for (owner, rtype) in owners {
        questions.push(plain(owner, *rtype));
        questions.extend(COMMON.iter().map(|qtype| plain(owner, *qtype)));
    }
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    questions.retain(|question| seen.insert(question.octets()));
    while questions.len() < count {
        let (name, own_type) = dice.name(owners);
        let question = Question {
            name: dice.case(name.as_wire()),
            qtype: if dice.0.one_in(3) { own_type } else { dice.0.pick(&TYPES) },
            class: if dice.0.one_in(50) { dice.0.pick(&[3, 4, 254, 255, 2]) } else { 1 },
            rd: dice.0.one_in(2),
            udp_size: dice.0.pick(&SIZES),
            tcp: dice.0.one_in(6),
        };
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
    questions
}

/// Draws of names near our own.
struct Dice(Random);

impl Dice {
    /// A name near the owners, and a type that one of them has.
    fn name(&mut self, owners: &[(Name, u16)]) -> (Name, u16) {
        let (owner, rtype) = owners[self.0.below(owners.len())].clone();
        let name = match self.0.below(12) {
            0..=3 => Some(owner.clone()),
            4 | 5 => self.child(&owner, owners),
            6 => self.child(&owner, owners).and_then(|child| self.child(&child, owners)),
            7 => owner.parent().and_then(|parent| self.child(&parent, owners)),
            8 => owner.parent(),
            9 => owner.parent().and_then(|parent| parent.parent()),
            10 => self.neighbour(&owner),
            _ => self.elsewhere(),
        };
        (name.unwrap_or(owner), rtype)
    }

    fn child(&mut self, parent: &Name, owners: &[(Name, u16)]) -> Option<Name> {
        let label = match self.0.below(4) {
            0 => b"*".to_vec(),
            1 => owners[self.0.below(owners.len())].0.labels().next()?.to_vec(),
            2 => b"www".to_vec(),
            _ => self.label(),
        };
        parent.prepend(&label).ok()
    }

    /// One to six octets of any value.
    fn label(&mut self) -> Vec<u8> {
        let any = self.0.one_in(3);
        (0..=self.0.below(6)).map(|_| if any { self.0.next() as u8 } else { b'a' + self.0.below(26) as u8 }).collect()
    }

    /// The name with one octet of its first label changed: next to it in the canonical order, or in the same slot of a bad hash.
    fn neighbour(&mut self, owner: &Name) -> Option<Name> {
        let mut label = owner.labels().next()?.to_vec();
        let at = self.0.below(label.len());
        label[at] = label[at].wrapping_add(if self.0.one_in(2) { 1 } else { 0xff });
        owner.parent()?.prepend(&label).ok()
    }

    /// Outside our zones, or just outside.
    fn elsewhere(&mut self) -> Option<Name> {
        let names =
            [".", "test.", "www.test.", "example.com.", "www.example.test.net.", "xexample.test.", "other.test.", "www.other.test."];
        let name = Name::parse(self.0.pick(&names), None).ok()?;
        if self.0.one_in(3) { name.prepend(&self.label()).ok() } else { Some(name) }
    }

    /// The letters in another case, now and then.
    fn case(&mut self, name: &[u8]) -> Vec<u8> {
        if !self.0.one_in(3) {
            return name.to_vec();
        }
        // Length octets are below all letters.
        name.iter().map(|octet| if octet.is_ascii_alphabetic() && self.0.one_in(2) { octet ^ 0x20 } else { *octet }).collect()
    }
}

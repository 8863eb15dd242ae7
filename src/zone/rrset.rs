//! RRsets: record data encoded once, at load, in the form that replies are written from.
//! Their text is read in `text`; nothing is encoded while a query is answered.

use std::collections::HashSet;

use crate::name::Name;
use crate::wire::rtype;

pub use super::text::rdata_from_text;

/// Most octets of one character-string (RFC 1035 3.3).
pub const MAX_STRING_OCTETS: usize = 255;

/// Most octets of one record's data: its length field has 16 bits.
pub const MAX_RDATA_OCTETS: usize = 65_535;

/// All records of one owner and type, encoded once.
///
/// `rdatas` is a run of (length: 16 bits big-endian, data) with names uncompressed; the RRSIG of an RRset is one more such run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rrset {
    rtype: u16,
    ttl_s: u32,
    rdatas: Box<[u8]>,
}

/// The data of the records of one owner and type while they are collected, in the form of [`Rrset::rdatas`].
#[derive(Debug, Clone, Default)]
pub struct Run {
    octets: Vec<u8>,
    records: u32,
}

impl Run {
    /// Adds the data of one more record (at most [`MAX_RDATA_OCTETS`]).
    pub fn push(&mut self, rdata: &[u8]) {
        debug_assert!(rdata.len() <= MAX_RDATA_OCTETS, "checked where the text is read");
        // Most sets hold one record: room for exactly that.
        self.octets.reserve_exact(if self.records == 0 { rdata.len() + 2 } else { 0 });
        self.octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(rdata);
        self.records += 1;
    }

    /// How many records were added.
    pub fn records(&self) -> usize {
        self.records as usize
    }

    /// Without the second and later records of equal data (RFC 2181 5); the order stays.
    fn distinct(self) -> Vec<u8> {
        let mut seen = HashSet::new();
        if self.records < 2 || rdatas(&self.octets).all(|rdata| seen.insert(rdata)) {
            return self.octets;
        }
        let mut kept = Run::default();
        seen.clear();
        rdatas(&self.octets).filter(|rdata| seen.insert(rdata)).for_each(|rdata| kept.push(rdata));
        kept.octets
    }
}

impl Rrset {
    /// An RRset of these record data, without duplicates (RFC 2181 5), in the given order.
    pub fn new(rtype: u16, ttl_s: u32, rdatas: &[Vec<u8>]) -> Rrset {
        let mut run = Run::default();
        rdatas.iter().for_each(|rdata| run.push(rdata));
        Rrset::from_run(rtype, ttl_s, run)
    }

    /// The same from data that were collected one by one.
    pub fn from_run(rtype: u16, ttl_s: u32, run: Run) -> Rrset {
        Rrset { rtype, ttl_s, rdatas: run.distinct().into() }
    }

    /// The type.
    pub fn rtype(&self) -> u16 {
        self.rtype
    }

    /// The TTL in seconds.
    pub fn ttl_s(&self) -> u32 {
        self.ttl_s
    }

    /// The same records with another TTL.
    pub fn with_ttl(&self, ttl_s: u32) -> Rrset {
        Rrset { ttl_s, ..self.clone() }
    }

    /// The encoded run, as replies take it.
    pub fn rdatas(&self) -> &[u8] {
        &self.rdatas
    }

    /// The data of each record.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        rdatas(&self.rdatas)
    }

    /// The names that NS, CNAME, DNAME, PTR, MX or SRV records point to; none for other types.
    pub fn targets(&self) -> impl Iterator<Item = Name> {
        let before = match self.rtype {
            rtype::NS | rtype::CNAME | rtype::DNAME | rtype::PTR => Some(0),
            rtype::MX => Some(2),
            rtype::SRV => Some(6),
            _ => None,
        };
        self.iter().filter_map(move |rdata| Name::from_wire(rdata.get(before?..)?).ok())
    }
}

/// The data of each record of a run.
fn rdatas(run: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (rdata, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        rest = tail;
        Some(rdata)
    })
}

/// The data of a TXT record from plain text; each string is split at 255 octets.
pub fn txt_from_strings(strings: &[&str]) -> Result<Vec<u8>, String> {
    let mut rdata = Vec::new();
    for string in strings {
        if string.is_empty() {
            rdata.push(0);
        }
        for part in string.as_bytes().chunks(MAX_STRING_OCTETS) {
            rdata.push(part.len() as u8);
            rdata.extend_from_slice(part);
        }
    }
    match rdata.len() {
        0 => Err("a TXT record needs at least one string".into()),
        octets if octets > MAX_RDATA_OCTETS => Err(format!("record data of {octets} octets is over {MAX_RDATA_OCTETS}")),
        _ => Ok(rdata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn txt_is_split_at_255_octets() {
        let rdata = txt_from_strings(&[&"x".repeat(300), ""]).unwrap();
        assert_eq!((rdata[0], rdata[256], rdata.len()), (255, 45, 256 + 46 + 1));
    }

    #[test]
    fn duplicates_are_dropped() {
        let rrset = Rrset::new(rtype::A, 60, &[vec![192, 0, 2, 1], vec![192, 0, 2, 1], vec![192, 0, 2, 2]]);
        assert_eq!(rrset.iter().collect::<Vec<_>>(), [[192, 0, 2, 1], [192, 0, 2, 2]]);
    }

    #[test]
    fn targets_stand_behind_the_numbers() {
        let origin = Name::parse("example.com.", None).unwrap();
        for (rtype, text) in [(rtype::NS, "a"), (rtype::MX, "10 a"), (rtype::SRV, "1 2 3 a"), (rtype::DNAME, "a")] {
            let rrset = Rrset::new(rtype, 60, &[rdata_from_text(rtype, text, &origin).unwrap()]);
            assert_eq!(rrset.targets().collect::<Vec<_>>(), [Name::parse("a.example.com.", None).unwrap()]);
        }
        assert_eq!(Rrset::new(rtype::TXT, 60, &[b"\x01a\0".to_vec()]).targets().count(), 0);
    }
}

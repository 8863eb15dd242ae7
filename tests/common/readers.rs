//! Two independent readers of a reply, hickory-proto and domain, held against each other; and a third look at its plain form.

use std::cmp::Ordering;
use std::ops::Range;

use domain::base::rdata::ComposeRecordData;
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

/// One record: section, owner, type, class, TTL and data, names uncompressed.
pub(crate) type Seen = (u8, Vec<u8>, u16, u16, u32, Vec<u8>);

/// What both readers see, OPT apart; they must agree.
#[track_caller]
pub(crate) fn seen_by_both(octets: &[u8]) -> Vec<Seen> {
    let (hickory, domain) = (seen_by_hickory(octets), seen_by_domain(octets));
    assert_eq!(hickory, domain, "hickory-proto and domain read another meaning in {octets:02x?}");
    hickory
}

fn seen_by_domain(octets: &[u8]) -> Vec<Seen> {
    let message = domain::base::Message::from_octets(octets).unwrap();
    let mut seen = Vec::new();
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (section, records) in [(1, answer), (2, authority), (3, additional)] {
        for record in records {
            let record = record.unwrap();
            if record.rtype().to_int() == 41 {
                continue;
            }
            let (mut owner, mut data) = (Vec::new(), Vec::new());
            domain::base::ToName::compose(&record.owner(), &mut owner).unwrap();
            let parsed = record.to_any_record::<domain::rdata::AllRecordData<_, _>>().unwrap();
            parsed.data().compose_rdata(&mut data).unwrap();
            seen.push((section, owner, record.rtype().to_int(), record.class().to_int(), record.ttl().as_secs(), data));
        }
    }
    seen
}

fn seen_by_hickory(octets: &[u8]) -> Vec<Seen> {
    let message = read_by_hickory(octets);
    let plain = |item: &dyn Fn(&mut BinEncoder<'_>)| {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        item(&mut encoder);
        octets
    };
    let mut seen = Vec::new();
    for (section, records) in [(1, &message.answers), (2, &message.authorities), (3, &message.additionals)] {
        for record in records {
            let owner = plain(&|encoder| record.name.emit(encoder).unwrap());
            let data = plain(&|encoder| record.data.emit(encoder).unwrap());
            seen.push((section, owner, record.record_type().into(), record.dns_class.into(), record.ttl, data));
        }
    }
    seen
}

/// What the plain form of a message shows without knowing any record type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// The octets of the question; empty without one.
    pub(crate) question: Vec<u8>,
    /// The UDP size of the first OPT.
    pub(crate) udp_size: Option<u16>,
    /// OPT records.
    pub(crate) opts: usize,
    /// Where the options of the first OPT stand.
    pub(crate) options: Range<usize>,
    /// Where the last record ends.
    pub(crate) end: usize,
}

/// Walks over all sections; `None` where something is cut off or a name is none. Pointers must lead backwards.
pub(crate) fn form(octets: &[u8]) -> Option<Form> {
    let count = |at: usize| Some(usize::from(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?])));
    let mut form = Form { question: Vec::new(), udp_size: None, opts: 0, options: 0..0, end: 12 };
    for _ in 0..count(4)? {
        form.end = name_end(octets, form.end)? + 4;
        form.question = octets.get(12..form.end)?.to_vec();
    }
    for _ in 0..count(6)? + count(8)? + count(10)? {
        let fixed = name_end(octets, form.end)?;
        form.end = fixed + 10 + count(fixed + 8)?;
        octets.get(..form.end)?;
        if count(fixed)? == 41 {
            if form.opts == 0 {
                form.udp_size = u16::try_from(count(fixed + 2)?).ok();
                form.options = fixed + 10..form.end;
            }
            form.opts += 1;
        }
    }
    Some(form)
}

/// Where the data of an option of the first OPT stands; the first, if there are several.
pub(crate) fn option(octets: &[u8], code: u16) -> Option<Range<usize>> {
    let Range { start: mut at, end } = form(octets)?.options;
    while let Some(&[code_high, code_low, length_high, length_low]) = octets[..end].get(at..at + 4) {
        let data = at + 4..at + 4 + usize::from(u16::from_be_bytes([length_high, length_low]));
        if u16::from_be_bytes([code_high, code_low]) == code {
            return Some(data);
        }
        at = data.end;
    }
    None
}

/// hickory-proto refuses client subnets of families that it does not know, even without an address; it is shown one that it knows.
pub(crate) fn read_by_hickory(octets: &[u8]) -> Message {
    let mut octets = octets.to_vec();
    if let Some(data) = option(&octets, 8)
        && octets[data.clone()][..2] != [0, 2]
        && data.len() == 4
    {
        octets[data.start..data.start + 2].copy_from_slice(&[0, 1]);
    }
    Message::from_vec(&octets).unwrap_or_else(|error| panic!("hickory-proto cannot read {octets:02x?}: {error}"))
}

/// The octet after a name.
fn name_end(octets: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            length @ 1..64 => at += 1 + usize::from(length),
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*octets.get(at + 1)?);
                return (target.cmp(&start) == Ordering::Less && target >= 12).then_some(at + 2);
            }
            _ => return None,
        }
    }
}

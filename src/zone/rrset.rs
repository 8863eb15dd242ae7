//! RRsets: record data encoded once, at load, in the form that replies are written from.
//! Text forms come from hickory-proto, which knows them all; the few whose errors an operator meets daily are read here.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use hickory_proto::serialize::txt::Parser;

use crate::name::Name;
use crate::wire::rtype;

/// Most octets of one character-string (RFC 1035 3.3).
const MAX_STRING_OCTETS: usize = 255;

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

impl Rrset {
    /// An RRset of these record data, without duplicates (RFC 2181 5), in the given order.
    pub fn new(rtype: u16, ttl_s: u32, rdatas: &[Vec<u8>]) -> Rrset {
        let mut run = Vec::with_capacity(rdatas.iter().map(|rdata| rdata.len() + 2).sum());
        for (index, rdata) in rdatas.iter().enumerate() {
            debug_assert!(rdata.len() <= MAX_RDATA_OCTETS, "checked where the text is read");
            if !rdatas[..index].contains(rdata) {
                run.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
                run.extend_from_slice(rdata);
            }
        }
        Rrset { rtype, ttl_s, rdatas: run.into() }
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
        let mut rest = &self.rdatas[..];
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (rdata, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            rest = tail;
            Some(rdata)
        })
    }

    /// The names that NS, CNAME or PTR records point to.
    pub fn targets(&self) -> impl Iterator<Item = Name> {
        self.iter().filter_map(|rdata| Name::from_wire(rdata).ok())
    }
}

/// The data of one record from its master-file text (RFC 1035 5.1); names without a final dot are relative to `origin`.
///
/// The error is a message without a full stop that fits behind the place of the text.
pub fn rdata_from_text(record_type: u16, text: &str, origin: &Name) -> Result<Vec<u8>, String> {
    let name = |text: &str| Name::parse(text, Some(origin)).map_err(|error| format!("`{text}` is not a name: {error}"));
    if let Some(control) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!("record data must not hold the control character {control:?}"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    match (record_type, &fields[..]) {
        (rtype::A, [address]) => Ok(parsed::<Ipv4Addr>(address, "an IPv4 address")?.octets().to_vec()),
        (rtype::AAAA, [address]) => Ok(parsed::<Ipv6Addr>(address, "an IPv6 address")?.octets().to_vec()),
        (rtype::NS | rtype::CNAME | rtype::PTR, [target]) => Ok(name(target)?.as_wire().to_vec()),
        (rtype::MX, [preference, exchange]) => {
            Ok([&parsed::<u16>(preference, "a preference (0 to 65535)")?.to_be_bytes()[..], name(exchange)?.as_wire()].concat())
        }
        (rtype::A | rtype::AAAA, _) => Err(format!("`{text}` is not one address")),
        (rtype::NS | rtype::CNAME | rtype::PTR, _) => Err(format!("`{text}` is not one name")),
        (rtype::MX, _) => Err(format!("`{text}` is not an MX: write `PREFERENCE NAME`, as in `10 mail.example.net.`")),
        _ => rdata_by_library(record_type, text, origin),
    }
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
    if rdata.is_empty() {
        return Err("a TXT record needs at least one string".into());
    }
    bounded(rdata)
}

fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not {what}"))
}

fn bounded(rdata: Vec<u8>) -> Result<Vec<u8>, String> {
    if rdata.len() > MAX_RDATA_OCTETS {
        Err(format!("record data of {} octets is over {MAX_RDATA_OCTETS}", rdata.len()))
    } else {
        Ok(rdata)
    }
}

/// How many fields a type has, where it is a fixed number: the library overlooks what stands behind the last.
fn field_count(record_type: u16) -> Option<usize> {
    match record_type {
        rtype::SRV => Some(4),
        rtype::SOA => Some(7),
        rtype::CAA => Some(3),
        _ => None,
    }
}

fn rdata_by_library(record_type: u16, text: &str, origin: &Name) -> Result<Vec<u8>, String> {
    let type_name = rtype::name(record_type);
    let refused = |error: &dyn Display| format!("`{text}` is not valid {type_name} data: {error}");
    if let Some(expected) = field_count(record_type)
        && !text.contains('"')
        && text.split_whitespace().count() != expected
    {
        return Err(refused(&format!("it needs {expected} fields")));
    }
    let library_origin = hickory_proto::rr::Name::from_str(&origin.to_string()).map_err(|error| refused(&error))?;
    let line = format!("@ 0 IN {type_name} {text}\n");
    let (_, sets) = Parser::new(line, None, Some(library_origin)).parse().map_err(|error| refused(&error))?;
    let mut records = sets.values().flat_map(|set| set.records_without_rrsigs());
    let (Some(record), None) = (records.next(), records.next()) else { return Err(refused(&"it is not exactly one record")) };
    if u16::from(record.record_type()) != u16::from(RecordType::from(record_type)) {
        return Err(refused(&"it is of another type"));
    }
    let mut rdata = Vec::new();
    let mut encoder = BinEncoder::new(&mut rdata);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record.data.emit(&mut encoder).map_err(|error| refused(&error))?;
    bounded(rdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Name {
        Name::parse("example.com.", None).unwrap()
    }

    #[test]
    fn common_types_are_encoded_as_the_rfcs_say() {
        let encode = |record_type, text| rdata_from_text(record_type, text, &origin()).unwrap();
        assert_eq!(encode(rtype::A, "192.0.2.1"), [192, 0, 2, 1]);
        assert_eq!(encode(rtype::NS, "ns1"), b"\x03ns1\x07example\x03com\0");
        assert_eq!(encode(rtype::MX, "10 mail.example.net."), b"\x00\x0a\x04mail\x07example\x03net\0");
        assert_eq!(encode(rtype::SRV, "1 2 443 www"), b"\0\x01\0\x02\x01\xbb\x03www\x07example\x03com\0");
        assert_eq!(encode(rtype::CAA, "0 issue \"ca.example.net\""), b"\0\x05issueca.example.net");
        let soa = encode(rtype::SOA, "ns1 hostmaster 1 2 3 4 5");
        assert_eq!(&soa[soa.len() - 20..], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
    }

    #[test]
    fn bad_text_names_what_is_wrong() {
        let refuse = |record_type, text| rdata_from_text(record_type, text, &origin()).unwrap_err();
        assert_eq!(refuse(rtype::A, "192.0.2.256"), "`192.0.2.256` is not an IPv4 address");
        assert_eq!(refuse(rtype::A, "192.0.2.1 192.0.2.2"), "`192.0.2.1 192.0.2.2` is not one address");
        assert_eq!(refuse(rtype::MX, "ten mail"), "`ten` is not a preference (0 to 65535)");
        assert!(refuse(rtype::SRV, "1 2 443").starts_with("`1 2 443` is not valid SRV data: it needs 4 fields"));
        assert!(refuse(rtype::SRV, "1 2 443 www extra").contains("it needs 4 fields"));
        assert!(refuse(rtype::CNAME, "a..b").contains("empty label"));
        assert!(refuse(rtype::TXT, "a\nevil 0 IN A 192.0.2.1").contains("control character"));
    }

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
}

//! Record types: their numbers, their text, and which query types are never looked up.
//! This room never reads or writes record data.

use std::borrow::Cow;

use super::Rcode;

macro_rules! types {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(
            #[doc = concat!("Type ", stringify!($name), ".")]
            pub const $name: u16 = $number;
        )*

        /// Numbers and mnemonics, in the order of the numbers.
        const MNEMONICS: &[(u16, &str)] = &[$(($number, stringify!($name))),*];
    };
}

// The IANA registry "Resource Record (RR) TYPEs", without the obsolete and experimental ones that nobody serves.
types! {
    A = 1, NS = 2, CNAME = 5, SOA = 6, NULL = 10, PTR = 12, HINFO = 13, MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18,
    SIG = 24, KEY = 25, AAAA = 28, LOC = 29, SRV = 33, NAPTR = 35, KX = 36, CERT = 37, DNAME = 39, OPT = 41, APL = 42,
    DS = 43, SSHFP = 44, IPSECKEY = 45, RRSIG = 46, NSEC = 47, DNSKEY = 48, DHCID = 49, NSEC3 = 50, NSEC3PARAM = 51,
    TLSA = 52, SMIMEA = 53, HIP = 55, CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63, SVCB = 64, HTTPS = 65,
    DSYNC = 66, SPF = 99, NID = 104, L32 = 105, L64 = 106, LP = 107, EUI48 = 108, EUI64 = 109, NXNAME = 128,
    TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255, URI = 256, CAA = 257, AVC = 258,
    RESINFO = 261, WALLET = 262, TA = 32768, DLV = 32769,
}

/// The text of a type: its mnemonic, else `TYPEnnn` (RFC 3597 5).
pub fn name(rtype: u16) -> Cow<'static, str> {
    match MNEMONICS.binary_search_by_key(&rtype, |&(number, _)| number) {
        Ok(index) => Cow::Borrowed(MNEMONICS[index].1),
        Err(_) => Cow::Owned(format!("TYPE{rtype}")),
    }
}

/// The type that a text names, letter case ignored: a mnemonic or `TYPEnnn` (RFC 3597 5).
pub fn parse(text: &str) -> Option<u16> {
    if let Some((number, _)) = MNEMONICS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Some(*number);
    }
    let digits = text.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("TYPE")).and(text.get(4..))?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Whether records of this type never stand in a zone: OPT and the range of meta and question types (RFC 6895 3.1).
pub fn is_meta(rtype: u16) -> bool {
    rtype == OPT || (128..=255).contains(&rtype)
}

/// The answer to a query type that is never looked up in a zone; `None` for all that are, ANY included.
#[inline]
pub fn refusal(qtype: u16) -> Option<Rcode> {
    // Nearly all that is asked for has a number below these.
    match qtype {
        1..OPT => None,
        // OPT and TSIG belong into the additional section; NXNAME is never asked for (RFC 9824).
        OPT | TSIG | NXNAME => Some(Rcode::FORMERR),
        TKEY | MAILB | MAILA => Some(Rcode::NOTIMP),
        AXFR | IXFR => Some(Rcode::REFUSED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_are_sorted_and_distinct() {
        assert!(MNEMONICS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn every_type_reads_back_from_its_text() {
        for rtype in 0..=u16::MAX {
            let text = name(rtype);
            assert_eq!(parse(&text), Some(rtype), "{text}");
            assert_eq!(parse(&text.to_lowercase()), Some(rtype), "{text}");
        }
        assert_eq!(parse("TYPE1"), Some(A));
    }

    #[test]
    fn other_text_is_no_type() {
        for text in ["", "TYPE", "TYPE65536", "TYPE+1", "TYPE-1", "TYPEA", "AAAAA", "TYPé", "Ä"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn n4_meta_query_types_have_their_rcodes() {
        assert_eq!([41, 250, 249, 253, 254, 251, 252].map(refusal), [1, 1, 4, 4, 4, 5, 5].map(|code| Some(Rcode(code))));
        assert_eq!([A, ANY, URI, 65_280].map(refusal), [None; 4]);
        assert!(is_meta(OPT) && is_meta(ANY) && is_meta(NXNAME) && !is_meta(A) && !is_meta(URI));
    }
}

//! What the data of each known record type is made of: one table, from which text is read, written and checked (RFC 1035 3.3 and successors).
//! A type that is not here has the generic form only (RFC 3597 5); this room reads and writes nothing itself.

use crate::wire::rtype;

/// The parts of a type's data, in their order.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) rtype: u16,
    pub(super) parts: &'static [Part],
    /// How the text is written, for messages.
    pub(super) form: &'static str,
    pub(super) example: &'static str,
}

/// One part of a type's data; the texts say what it is, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A domain name.
    Name,
    /// The name of a host, where people write addresses by mistake.
    Host,
    /// A number of 8 bits.
    U8(&'static str),
    /// A number of 16 bits.
    U16(&'static str),
    /// A number of 32 bits.
    U32(&'static str),
    /// Seconds of 32 bits, with units or without.
    Seconds(&'static str),
    /// A number of 8 bits that has mnemonics.
    Code8(&'static str, &'static [(u16, &'static str)]),
    /// A number of 16 bits that has mnemonics.
    Code16(&'static str, &'static [(u16, &'static str)]),
    /// A character-string, at most 255 octets.
    String,
    /// All that is left as character-strings, at least one.
    Strings,
    /// All that is left as one text of any length.
    Text,
    /// Letters and digits with a length octet (RFC 8659 4.1).
    Tag,
    /// All that is left in hexadecimal.
    Hex(&'static str),
    /// All that is left in base64.
    Base64(&'static str),
    /// So many octets in hexadecimal with hyphens (RFC 7043).
    Eui(usize),
    /// A location (RFC 1876).
    Location,
    /// The parameters of SVCB and HTTPS (RFC 9460 2.1).
    Params,
}

use Part::{Base64, Code8, Code16, Eui, Hex, Host, Location, Name, Params, Seconds, Strings, Tag, Text, U8, U16, U32, V4, V6};

const fn shape(rtype: u16, parts: &'static [Part], form: &'static str, example: &'static str) -> Shape {
    Shape { rtype, parts, form, example }
}

/// The shape of a type's data, if it is known.
pub(super) fn of(rtype: u16) -> Option<&'static Shape> {
    SHAPES.binary_search_by_key(&rtype, |shape| shape.rtype).ok().map(|index| &SHAPES[index])
}

/// The types of which the shape is known, ascending.
#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = &'static Shape> {
    SHAPES.iter()
}

impl Shape {
    /// How the text is written.
    pub(super) fn hint(&self) -> String {
        format!("write `{}`, as in `{}`", self.form, self.example)
    }
}

/// Algorithms of DNSSEC keys (IANA, RFC 8624).
const ALGORITHMS: &[(u16, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (6, "NSEC3DSA"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (7, "NSEC3RSASHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Digests of DS (IANA).
const DIGESTS: &[(u16, &str)] = &[(1, "SHA-1"), (1, "SHA1"), (2, "SHA-256"), (2, "SHA256"), (3, "GOST"), (4, "SHA-384"), (4, "SHA384")];

/// Kinds of certificates (RFC 4398 2.1).
const CERTIFICATES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

const DS: &[Part] = &[U16("key tag"), Code8("algorithm", ALGORITHMS), Code8("digest type", DIGESTS), Hex("digest")];
const DS_FORM: &str = "KEY-TAG ALGORITHM DIGEST-TYPE DIGEST";
const DS_EXAMPLE: &str = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
const KEY: &[Part] = &[U16("flags"), U8("protocol"), Code8("algorithm", ALGORITHMS), Base64("key")];
const KEY_FORM: &str = "FLAGS 3 ALGORITHM KEY";
const KEY_EXAMPLE: &str = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
const TLSA: &[Part] = &[U8("usage"), U8("selector"), U8("matching type"), Hex("certificate data")];
const TLSA_FORM: &str = "USAGE SELECTOR MATCHING-TYPE DATA";
const TLSA_EXAMPLE: &str = "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971";
const STRINGS_FORM: &str = "\"TEXT\" ...";
const NAMED: (&str, &str) = ("NAME", "www.example.net.");
const PARAMS_FORM: &str = "PRIORITY TARGET KEY=VALUE ...";
const SERVICE: &[Part] = &[U16("priority"), Name, Params];

/// Ascending by type.
const SHAPES: &[Shape] = &[
    shape(rtype::A, &[V4], "ADDRESS", "192.0.2.1"),
    shape(rtype::NS, &[Host], "NAME", "ns1.example.net."),
    shape(rtype::CNAME, &[Name], NAMED.0, NAMED.1),
    shape(
        rtype::SOA,
        &[Name, Name, U32("serial"), Seconds("refresh"), Seconds("retry"), Seconds("expire"), Seconds("minimum")],
        "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM",
        "ns1 hostmaster 1 4h 1h 2w 5m",
    ),
    shape(rtype::PTR, &[Name], NAMED.0, NAMED.1),
    shape(rtype::HINFO, &[Part::String, Part::String], "\"CPU\" \"OS\"", "\"x86-64\" \"Linux\""),
    shape(rtype::MINFO, &[Name, Name], "NAME NAME", "list-owner errors"),
    shape(rtype::MX, &[U16("preference"), Host], "PREFERENCE NAME", "10 mail.example.net."),
    shape(rtype::TXT, &[Strings], STRINGS_FORM, "\"v=spf1 -all\""),
    shape(rtype::RP, &[Name, Name], "MAILBOX NAME", "hostmaster info"),
    shape(rtype::AFSDB, &[U16("subtype"), Name], "SUBTYPE NAME", "1 db.example.net."),
    shape(rtype::AAAA, &[V6], "ADDRESS", "2001:db8::1"),
    shape(rtype::LOC, &[Location], "D [M [S]] N|S D [M [S]] E|W ALTITUDE [SIZE [HP [VP]]]", "52 22 23.000 N 4 53 32.000 E -2.00m"),
    shape(rtype::SRV, &[U16("priority"), U16("weight"), U16("port"), Host], "PRIORITY WEIGHT PORT NAME", "0 5 5060 sip.example.net."),
    shape(
        rtype::NAPTR,
        &[U16("order"), U16("preference"), Part::String, Part::String, Part::String, Name],
        "ORDER PREFERENCE \"FLAGS\" \"SERVICES\" \"REGEXP\" REPLACEMENT",
        "100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.net.",
    ),
    shape(rtype::KX, &[U16("preference"), Name], "PREFERENCE NAME", "10 kx.example.net."),
    shape(
        rtype::CERT,
        &[Code16("type", CERTIFICATES), U16("key tag"), Code8("algorithm", ALGORITHMS), Base64("certificate")],
        "TYPE KEY-TAG ALGORITHM CERTIFICATE",
        "PGP 0 0 mQINBFit2jsBEADrbl5vjVxYeAE0g0IDYCBpHirv1Sjlqxx5gjtPhb2YhvyDMXjq",
    ),
    shape(rtype::DNAME, &[Name], "NAME", "example.net."),
    shape(rtype::DS, DS, DS_FORM, DS_EXAMPLE),
    shape(
        rtype::SSHFP,
        &[U8("algorithm"), U8("fingerprint type"), Hex("fingerprint")],
        "ALGORITHM TYPE FINGERPRINT",
        "4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789",
    ),
    shape(rtype::DNSKEY, KEY, KEY_FORM, KEY_EXAMPLE),
    shape(rtype::DHCID, &[Base64("digest")], "DIGEST", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    shape(rtype::TLSA, TLSA, TLSA_FORM, TLSA_EXAMPLE),
    shape(rtype::SMIMEA, TLSA, TLSA_FORM, TLSA_EXAMPLE),
    shape(rtype::CDS, DS, DS_FORM, DS_EXAMPLE),
    shape(rtype::CDNSKEY, KEY, KEY_FORM, KEY_EXAMPLE),
    shape(rtype::OPENPGPKEY, &[Base64("key")], "KEY", "mQINBFit2jsBEADrbl5vjVxYeAE0g0IDYCBpHirv1Sjlqxx5gjtPhb2YhvyDMXjq"),
    shape(rtype::SVCB, SERVICE, PARAMS_FORM, "1 svc.example.net. alpn=h2,h3 port=8443"),
    shape(rtype::HTTPS, SERVICE, PARAMS_FORM, "1 . alpn=h2,h3 ipv4hint=192.0.2.1"),
    shape(rtype::SPF, &[Strings], STRINGS_FORM, "\"v=spf1 -all\""),
    shape(rtype::L32, &[U16("preference"), V4], "PREFERENCE LOCATOR", "10 10.1.2.0"),
    shape(rtype::LP, &[U16("preference"), Name], "PREFERENCE NAME", "10 l64-subnet.example.net."),
    shape(rtype::EUI48, &[Eui(6)], "XX-XX-XX-XX-XX-XX", "00-00-5e-00-53-2a"),
    shape(rtype::EUI64, &[Eui(8)], "XX-XX-XX-XX-XX-XX-XX-XX", "00-00-5e-ef-10-00-00-2a"),
    shape(rtype::URI, &[U16("priority"), U16("weight"), Text], "PRIORITY WEIGHT \"TARGET\"", "10 1 \"https://www.example.net/\""),
    shape(rtype::CAA, &[U8("flags"), Tag, Text], "FLAGS TAG \"VALUE\"", "0 issue \"ca.example.net\""),
    shape(rtype::AVC, &[Strings], STRINGS_FORM, "\"app-name:WOLFGANG\""),
    shape(rtype::RESINFO, &[Strings], STRINGS_FORM, "qnamemin exterr=15-17"),
    shape(rtype::WALLET, &[Strings], STRINGS_FORM, "\"BTC\" \"bc1qexample\""),
    shape(rtype::TA, DS, DS_FORM, DS_EXAMPLE),
    shape(rtype::DLV, DS, DS_FORM, DS_EXAMPLE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_ascend() {
        assert!(SHAPES.windows(2).all(|pair| pair[0].rtype < pair[1].rtype));
    }
}

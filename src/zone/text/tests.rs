//! Every known type through text and wire form in both directions, the samples of the RFCs, and what is refused in which words.
//! Nothing here tests zones or files.

use proptest::prelude::*;

use super::shape::{self, Part};
use super::*;
use crate::name::Name;
use crate::wire::rtype;

fn origin() -> Name {
    Name::parse("example.com.", None).unwrap()
}

fn wire(record_type: u16, text: &str) -> Vec<u8> {
    rdata_from_text(record_type, text, &origin()).unwrap_or_else(|fault| panic!("{} {text}: {fault}", rtype::name(record_type)))
}

fn refused(record_type: u16, text: &str) -> String {
    let fault =
        rdata_from_text(record_type, text, &origin()).err().unwrap_or_else(|| panic!("{} {text} was taken", rtype::name(record_type)));
    fault.hint.into_iter().fold(fault.text, |text, hint| format!("{text}; {hint}"))
}

/// Text, wire form, text, wire form: the last two must be as the first two, the text in its canonical spelling.
fn both_ways(record_type: u16, text: &str, canonical: &str) {
    let octets = wire(record_type, text);
    let written = text_from_rdata(record_type, &octets, Some(&origin())).unwrap();
    assert_eq!(written, canonical, "{}", rtype::name(record_type));
    assert_eq!(wire(record_type, &written), octets, "{written}");
    let generic = write::generic(&octets);
    assert_eq!(wire(record_type, &generic), octets, "{generic}");
    let absolute = text_from_rdata(record_type, &octets, None).unwrap();
    assert_eq!(wire(record_type, &absolute), octets, "{absolute}");
}

#[test]
fn every_type_reads_back_what_it_writes() {
    for shape in shape::known() {
        let octets = wire(shape.rtype, shape.example);
        let written = text_from_rdata(shape.rtype, &octets, None).unwrap();
        assert_eq!(wire(shape.rtype, &written), octets, "{written}");
    }
}

#[test]
fn texts_become_the_octets_that_the_rfcs_give() {
    assert_eq!(wire(rtype::A, "192.0.2.1"), [192, 0, 2, 1]);
    assert_eq!(wire(rtype::NS, "ns1"), b"\x03ns1\x07example\x03com\0");
    assert_eq!(wire(rtype::MX, "10 mail.example.net."), b"\x00\x0a\x04mail\x07example\x03net\0");
    assert_eq!(wire(rtype::SRV, "1 2 443 www"), b"\0\x01\0\x02\x01\xbb\x03www\x07example\x03com\0");
    assert_eq!(wire(rtype::CAA, "0 issue \"ca.example.net\""), b"\0\x05issueca.example.net");
    assert_eq!(wire(rtype::TXT, r#"a\"b "c d" \065\255"#), b"\x03a\"b\x03c d\x02A\xff");
    assert_eq!(wire(rtype::URI, "10 1 \"ftp://ftp1.example.com/public\"")[..8], *b"\0\x0a\0\x01ftp:");
    assert_eq!(wire(rtype::NAPTR, "1 2 \"u\" \"E2U\" \"!^.*$!\" .")[..9], *b"\0\x01\0\x02\x01u\x03E2");
    assert_eq!(wire(rtype::DNAME, "@"), origin().as_wire());
    let soa = wire(rtype::SOA, "ns1 hostmaster 1 2m 1h30m 4W 5");
    assert_eq!(soa[soa.len() - 20..], [1_u32, 120, 5_400, 2_419_200, 5].map(u32::to_be_bytes).concat());
}

#[test]
fn canonical_texts_are_what_operators_write() {
    both_ways(rtype::AAAA, "2001:DB8:0::1", "2001:db8::1");
    both_ways(rtype::CNAME, "WWW", "WWW");
    both_ways(rtype::CNAME, "example.com.", "@");
    both_ways(rtype::CNAME, "a.Example.com.", "a.Example.com.");
    both_ways(rtype::PTR, r"a\.b\032c\@.example.net.", r"a\.b\032c\@.example.net.");
    both_ways(rtype::HINFO, "PC \"Linux 6\"", "\"PC\" \"Linux 6\"");
    both_ways(rtype::TXT, "\"\" a \"b;c\"", "\"\" \"a\" \"b;c\"");
    both_ways(rtype::SSHFP, "1 1 DD465C09CFA51FB45020CC83316FFF21B9EC74AC", "1 1 dd465c09cfa51fb45020cc83316fff21b9ec74ac");
    both_ways(rtype::SSHFP, "4 9 AB cd", "4 9 abcd");
    both_ways(
        rtype::DS,
        "60485 RSASHA1 SHA-1 2BB183AF5F22588179A5 3B0A98631FAD1A292118",
        "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118",
    );
    both_ways(rtype::CDS, "0 0 0 00", "0 0 0 00");
    both_ways(rtype::CAA, "128 iodef mailto:a@example.com", "128 iodef \"mailto:a@example.com\"");
    both_ways(rtype::CAA, "0 issue \"\"", "0 issue \"\"");
    both_ways(rtype::LOC, "52 22 23 N 4 53 32 E -2m 0m", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m");
    both_ways(rtype::MX, "0 .", "0 .");
    both_ways(rtype::EUI48, "00-00-5E-00-53-2A", "00-00-5e-00-53-2a");
    both_ways(65_280, "\\# 3 01 0203", "\\# 3 010203");
    both_ways(65_280, "\\# 0", "\\# 0");
    both_ways(rtype::NULL, "\\# 1 00", "\\# 1 00");
}

/// RFC 9460 appendix D.
#[test]
fn service_parameters_are_those_of_rfc_9460() {
    both_ways(rtype::HTTPS, "0 foo.example.com.", "0 foo");
    both_ways(rtype::SVCB, "1 .", "1 .");
    both_ways(rtype::SVCB, "16 foo port=53", "16 foo port=53");
    both_ways(rtype::SVCB, "1 foo key667=hello", "1 foo key667=\"hello\"");
    both_ways(rtype::SVCB, r#"1 foo key667="hello\210qoo""#, r#"1 foo key667="hello\210qoo""#);
    both_ways(rtype::SVCB, r#"1 foo ipv6hint="2001:db8::1,2001:db8::53:1""#, "1 foo ipv6hint=2001:db8::1,2001:db8::53:1");
    both_ways(rtype::SVCB, "1 foo ipv6hint=2001:db8:122:344::192.0.2.33", "1 foo ipv6hint=2001:db8:122:344::c000:221");
    let any_order = "16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1";
    both_ways(rtype::SVCB, any_order, "16 foo.example.org. mandatory=alpn,ipv4hint alpn=\"h2,h3-19\" ipv4hint=192.0.2.1");
    for text in [r#"16 foo alpn="f\\\\oo\\,bar,h2""#, r"16 foo alpn=f\\\092oo\092,bar,h2"] {
        both_ways(rtype::SVCB, text, r#"16 foo alpn="f\\\\oo\\,bar,h2""#);
        assert!(wire(rtype::SVCB, text).ends_with(b"\0\x01\0\x0c\x08f\\oo,bar\x02h2"));
    }
    both_ways(
        rtype::HTTPS,
        "1 . alpn=h2 no-default-alpn ech=AEX+DQ== ohttp key65333",
        "1 . alpn=\"h2\" no-default-alpn ech=AEX+DQ== ohttp key65333",
    );
    assert_eq!(wire(rtype::SVCB, r"1 . key1=\002h2"), wire(rtype::SVCB, "1 . alpn=h2"));

    for (text, part) in [
        ("1 foo. key123=abc key123=def", "`key123` stands twice"),
        ("1 foo. mandatory", "`mandatory` needs a value"),
        ("1 foo. alpn", "`alpn` needs a value"),
        ("1 foo. port", "`port` needs a value"),
        ("1 foo. alpn=a,", "not a valid value of `alpn`"),
        ("1 foo. no-default-alpn=abc", "`no-default-alpn` takes no value"),
        ("1 foo. no-default-alpn", "`no-default-alpn` needs `alpn`"),
        ("1 foo. mandatory=key123", "`mandatory` names `key123`, which is not there"),
        ("1 foo. mandatory=mandatory", "the value of `mandatory` is not valid"),
        ("1 foo. mandatory=key123,key123 key123=abc", "not a valid value of `mandatory`"),
        ("1 foo. port=65536", "not a valid value of `port`"),
        ("1 foo. ipv4hint=192.0.2", "not a valid value of `ipv4hint`"),
        ("1 foo. key65535=a", "is not a parameter"),
        ("1 foo. alpn=\"h2", "not closed"),
        ("0 foo. port=1", "makes an alias"),
        ("1", "HTTPS data ends too early"),
        ("\\# 8 0001 00 0003 0001 35", "octets are not valid HTTPS data"),
        ("\\# 15 0001 00 0003 0002 0035 0001 0003 0268", "octets are not valid HTTPS data"),
        ("\\# 16 0001 00 0003 0002 0035 0001 0003 026832", "do not ascend"),
    ] {
        let shown = refused(rtype::HTTPS, text);
        assert!(shown.contains(part), "{text}: {shown}");
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    for (record_type, text, expected) in [
        (rtype::A, "192.0.2.256", "`192.0.2.256` is not an IPv4 address"),
        (rtype::A, "", "A data ends too early; write `ADDRESS`, as in `192.0.2.1`"),
        (rtype::A, "192.0.2.1 192.0.2.2", "`192.0.2.2` is too much for A data; write `ADDRESS`, as in `192.0.2.1`"),
        (rtype::AAAA, "192.0.2.1", "`192.0.2.1` is not an IPv6 address"),
        (rtype::NS, "192.0.2.1", "`192.0.2.1` is an address: give a name that has it as its A or AAAA"),
        (rtype::MX, "10 192.0.2.1.", "`192.0.2.1.` is an address: give a name that has it as its A or AAAA"),
        (rtype::MX, "ten mail", "`ten` is not a number for `preference` (0 to 65535)"),
        (rtype::MX, "65536 mail", "`65536` is not a number for `preference` (0 to 65535)"),
        (rtype::MX, "-1 mail", "`-1` is not a number for `preference` (0 to 65535)"),
        (rtype::SRV, "1 2 443", "SRV data ends too early; write `PRIORITY WEIGHT PORT NAME`, as in `0 5 5060 sip.example.net.`"),
        (rtype::SRV, "1 2 443 www x", "`x` is too much for SRV data"),
        (rtype::CNAME, "a..b", "`a..b` is not a name: a name must not have an empty label"),
        (rtype::TXT, "a\nevil 0 IN A 192.0.2.1", "record data must not hold the control character '\\n'"),
        (rtype::TXT, "a\\256", "`a\\256` has a bad escape: write `\\` and three digits up to 255, or `\\` and another character"),
        (rtype::TXT, "k=\"v\"", "`k=\"v\"` has a quote inside: quote the whole text, or write `\\\"`"),
        (rtype::CAA, "0 issue ;", "`;` begins a comment, and there is none here: quote the text that holds it"),
        (rtype::CAA, "0 is-sue \"a\"", "`is-sue` is not a tag: letters and digits"),
        (rtype::CAA, "256 issue \"a\"", "`256` is not a number for `flags` (0 to 255)"),
        (rtype::URI, "1 1 \"\"", "the target of a URI must not be empty (RFC 7553 4.4)"),
        (rtype::TLSA, "3 1 1 abcd", "matching type 1 has 32 octets of data (64 hexadecimal digits), not 2"),
        (rtype::TLSA, "3 1 0 abc", "the certificate data must be hexadecimal digits in pairs, not `abc`"),
        (rtype::DS, "1 RSASHA9 2 00", "`RSASHA9` is not a number for `algorithm` (0 to 255), or its mnemonic"),
        (rtype::DNSKEY, "256 3 8 A", "the key must be base64, not `A`"),
        (rtype::EUI48, "+0-00-5e-00-53-2a", "`+0-00-5e-00-53-2a` is not 6 octets in hexadecimal with hyphens between them"),
        (rtype::SOA, "a b 1 2 3 4 5x", "`5x` is not a time for `minimum`: seconds, or as in `1h30m`"),
        (rtype::A, "\\# 4 c00002", "`\\# 4` is followed by 3 octets"),
        (rtype::A, "\\# 3 c00002", "these 3 octets are not valid A data; write `ADDRESS`, as in `192.0.2.1`"),
        (rtype::A, "\\# c0000201", "there is no length behind `\\#`; write `\\# LENGTH HEX`, as in `\\# 4 c0000201` (RFC 3597)"),
        (rtype::A, "\\# 4 c000020g", "the data behind `\\# 4` is not hexadecimal"),
        (rtype::CNAME, "\\# 2 c00c", "these 2 octets are not valid CNAME data"),
        (65_280, "anything", "TYPE65280 has no text form of its own here"),
    ] {
        let shown = refused(record_type, text);
        assert!(shown == expected || shown.starts_with(&format!("{expected}; write `")), "{} {text}: {shown}", rtype::name(record_type));
    }
}

#[test]
fn strings_have_at_most_255_octets_and_names_their_limits() {
    let long = |octets: usize| "x".repeat(octets);
    assert_eq!(wire(rtype::TXT, &long(255)).len(), 256);
    assert!(refused(rtype::TXT, &long(256)).contains("has 256 octets, a string at most 255: split it"));
    assert!(refused(rtype::HINFO, &format!("a \"{}\"", long(256))).contains("at most 255"));
    assert_eq!(wire(rtype::URI, &format!("1 1 {}", long(300))).len(), 304);
    assert!(refused(rtype::CNAME, &long(64)).contains("a label must not be longer than 63 octets"));
    assert!(refused(rtype::CNAME, &format!("{}{0}", format!("{}.", long(60)).repeat(4))).contains("255 octets"));
    let whole = vec![long(255); 257].join(" ");
    assert!(refused(rtype::TXT, &whole).contains("over 65535"));
    assert!(refused(65_280, &format!("\\# 65536 {}", "00".repeat(65_536))).contains("no length behind `\\#`"));
}

/// Octets that fit a part.
fn part(part: Part) -> BoxedStrategy<Vec<u8>> {
    let octets = |range| prop::collection::vec(any::<u8>(), range);
    let string = move || octets(0..=255).prop_map(|octets| [&[octets.len() as u8][..], &octets].concat());
    let name = || {
        let label = prop::collection::vec(any::<u8>(), 1..=63).prop_map(|label| [&[label.len() as u8][..], &label].concat());
        prop::collection::vec(label, 0..=3).prop_map(|labels| [labels.concat(), vec![0]].concat())
    };
    match part {
        Part::V4 | Part::U32(_) | Part::Seconds(_) => octets(4..=4).boxed(),
        Part::V6 => octets(16..=16).boxed(),
        Part::Name | Part::Host => name().boxed(),
        Part::U8(_) => octets(1..=1).boxed(),
        // Above the digests of known length.
        Part::Code8(..) => (5_u8..).prop_map(|code| vec![code]).boxed(),
        Part::U16(_) | Part::Code16(..) => octets(2..=2).boxed(),
        Part::String => string().boxed(),
        Part::Strings => prop::collection::vec(string(), 1..4).prop_map(|strings| strings.concat()).boxed(),
        Part::Text => octets(1..=600).boxed(),
        Part::Tag => "[a-zA-Z0-9]{1,20}".prop_map(|tag| [&[tag.len() as u8][..], tag.as_bytes()].concat()).boxed(),
        Part::Hex(_) | Part::Base64(_) => octets(1..=100).boxed(),
        Part::Eui(count) => octets(count..=count).boxed(),
        Part::Location => location().boxed(),
        Part::Params => params().boxed(),
    }
}

fn location() -> impl Strategy<Value = Vec<u8>> {
    let precision = (0_u8..=9, 0_u8..=9).prop_map(|(mantissa, exponent)| mantissa << 4 | exponent);
    let angle = |most: u32| ((1 << 31) - most * 3_600_000..=(1_u32 << 31) + most * 3_600_000).prop_map(u32::to_be_bytes);
    (prop::collection::vec(precision, 3), angle(90), angle(180), any::<[u8; 4]>())
        .prop_map(|(precisions, latitude, longitude, altitude)| [&[0], &precisions[..], &latitude, &longitude, &altitude].concat())
}

fn params() -> impl Strategy<Value = Vec<u8>> {
    let octets = |range| prop::collection::vec(any::<u8>(), range);
    let alpn = prop::collection::vec(octets(1..=20), 1..4)
        .prop_map(|ids| ids.into_iter().flat_map(|id| [vec![id.len() as u8], id].concat()).collect::<Vec<u8>>());
    let value = (any::<u8>(), alpn, octets(0..=40), any::<[u8; 32]>()).prop_map(|(key, alpn, other, hints)| match key % 8 {
        0 => (1, alpn),
        1 => (3, hints[..2].to_vec()),
        2 => (4, hints[..8].to_vec()),
        3 => (5, hints.to_vec()),
        4 => (6, hints.to_vec()),
        5 => (8, Vec::new()),
        6 => (9, hints[..6].to_vec()),
        _ => (10 + u16::from(key), other),
    });
    prop::collection::btree_map(any::<u8>(), value, 0..5).prop_map(|values| {
        let params: std::collections::BTreeMap<u16, Vec<u8>> = values.into_values().collect();
        let one = |(key, value): (u16, Vec<u8>)| [&key.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), &value].concat();
        params.into_iter().flat_map(one).collect()
    })
}

fn data() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let shapes: Vec<_> = shape::known().collect();
    prop::sample::select(shapes).prop_flat_map(|shape| {
        let parts: Vec<_> = shape.parts.iter().map(|kind| part(*kind)).collect();
        parts.prop_map(move |parts| (shape.rtype, parts.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn octets_survive_their_text((record_type, octets) in data()) {
        // Digests of known kinds have one length; priority 0 takes no parameters.
        prop_assume!(check::meaning(record_type, &octets).is_ok());
        let text = text_from_rdata(record_type, &octets, Some(&origin())).unwrap();
        // A name that looks like an address is written by nobody.
        prop_assume!(!text.contains("is an address"));
        prop_assert_eq!(rdata_from_text(record_type, &text, &origin()), Ok(octets.clone()), "{}", text);
        let generic = write::generic(&octets);
        prop_assert_eq!(rdata_from_text(record_type, &generic, &origin()), Ok(octets), "{}", generic);
    }

    #[test]
    fn odd_octets_are_refused_or_survive(record_type in prop::sample::select(shape::known().map(|shape| shape.rtype).collect::<Vec<_>>()),
        octets in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 3, 4, 9, 63, 64, b'a', b'.', 192, 255]), 0..40)) {
        if let Ok(octets) = rdata_from_text(record_type, &write::generic(&octets), &origin()) {
            let text = text_from_rdata(record_type, &octets, None).unwrap();
            prop_assert_eq!(rdata_from_text(record_type, &text, &origin()), Ok(octets), "{}", text);
        }
    }

    #[test]
    fn odd_texts_are_refused_or_survive(record_type in prop::sample::select(shape::known().map(|shape| shape.rtype).collect::<Vec<_>>()),
        text in "([a-z0-9.=,\\\\\"# -]|alpn=|1 |N |\\\\# ){0,40}") {
        if let Ok(octets) = rdata_from_text(record_type, &text, &origin()) {
            let again = text_from_rdata(record_type, &octets, Some(&origin())).unwrap();
            prop_assert_eq!(rdata_from_text(record_type, &again, &origin()), Ok(octets), "{} -> {}", text, again);
        }
    }
}

//! Master files through `read`: what is inherited, joined and grouped, and the words of every refusal.
//! The record data itself is tested where it is encoded.

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> (MasterFile, String) {
    let apex = Name::parse("example.com.", None).unwrap();
    let mut out = Diagnostics::new();
    let file = read(&Source::new("t.zone", text), &apex, 300, &mut out);
    (file, out.to_string())
}

fn owners(file: &MasterFile) -> Vec<String> {
    file.rrsets.iter().map(|set| format!("{} {} {}", set.owner, rtype::name(set.rrset.rtype()), set.rrset.ttl_s())).collect()
}

#[test]
fn owner_ttl_and_class_are_inherited_or_left_out() {
    let (file, shown) =
        read_text("a A 192.0.2.1\n  IN 60 AAAA ::1\n\tMX 10 a\nb 1h30m IN A 192.0.2.2\n$TTL 2h\n@ NS a\nc.example.com. CLASS A\n");
    assert_eq!(owners(&file)[..4], ["a.example.com. A 300", "a.example.com. AAAA 60", "a.example.com. MX 300", "b.example.com. A 5400"]);
    assert_eq!(owners(&file)[4], "example.com. NS 7200");
    assert!(shown.starts_with("t.zone:7:16: error: unknown record type `CLASS`"), "{shown}");
}

#[test]
fn parentheses_join_lines_and_comments_end_them() {
    let (file, shown) = read_text("a ( ; first\n  A ; then\n 192.0.2.1 ) ; done\n; nothing\n\n   \nb TXT \"(;\" x\\;y\n");
    assert_eq!(shown, "");
    assert_eq!(owners(&file), ["a.example.com. A 300", "b.example.com. TXT 300"]);
    assert_eq!(file.rrsets[1].rrset.iter().next().unwrap(), b"\x02(;\x03x;y");
}

#[test]
fn records_of_one_owner_and_type_become_one_rrset() {
    let (file, shown) = read_text("a 60 A 192.0.2.1\nb A 192.0.2.3\nA 90 A 192.0.2.2\n");
    assert_eq!(owners(&file), ["a.example.com. A 60", "b.example.com. A 300"]);
    assert_eq!(file.rrsets[0].rrset.iter().count(), 2);
    assert!(shown.contains("warning: this record has the TTL 90, and the one on line 1 has 60"), "{shown}");
}

#[test]
fn every_fault_is_reported_and_reading_goes_on() {
    let text = "  A 192.0.2.1\na A 192.0.2.1 )\nb A 192.0.2\n@ SOA ns hostmaster 1 2 3 4 5\n@ SOA ns hostmaster 1 2 3 4 5\nc NSEC d A\nd CH A 192.0.2.1\n\
                e TXT a\\999\n$GENERATE 1-9 a A 192.0.2.1\nf A 192.0.2.9\ng A ( 192.0.2.9\n";
    let (file, shown) = read_text(text);
    for (line, part) in
        [(1, "no owner"), (2, "no partner"), (3, "not an IPv4"), (5, "not the one of the zone"), (6, "`NSEC` records cannot")]
    {
        assert!(shown.lines().any(|shown| shown.starts_with(&format!("t.zone:{line}:")) && shown.contains(part)), "{line} {part}: {shown}");
    }
    for (line, part) in [(7, "class `CH`"), (8, "bad escape"), (9, "not supported"), (11, "never closed")] {
        assert!(shown.lines().any(|shown| shown.starts_with(&format!("t.zone:{line}:")) && shown.contains(part)), "{line} {part}: {shown}");
    }
    assert_eq!(owners(&file), ["f.example.com. A 300"]);
    let (soa, _) = file.soa.unwrap();
    assert_eq!((soa.serial, soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s), (Some(1), 2, 3, 4, 5));
    assert_eq!(soa.rname.to_string(), "hostmaster.example.com.");
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "([a-z@$*.();\"\\\\ \t\n0-9]|A |TXT |SOA |\\$TTL |IN ){0,60}") {
        read_text(&text);
    }
}

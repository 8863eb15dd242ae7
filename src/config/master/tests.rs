//! Master files as operators have them, what is said of bad ones and where, and texts of any kind.
//! Files are written for `$INCLUDE` only.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::zone::text::text_from_rdata;

fn apex() -> Name {
    Name::parse("example.com.", None).unwrap()
}

fn read_source(source: &Arc<Source>, ttl_s: Option<u32>) -> (MasterFile, String) {
    let mut out = Diagnostics::new();
    let file = read(source, &Zone { apex: &apex(), ttl_s, drops_signatures: false }, &mut out);
    (file, out.to_string())
}

fn read_text(text: &str) -> (MasterFile, String) {
    read_source(&Source::new("t.zone", text), Some(300))
}

/// Each record as `owner ttl TYPE data`.
fn records(file: &MasterFile) -> Vec<String> {
    let of = |set: &Placed| {
        let head = format!("{} {} {}", set.owner, set.rrset.ttl_s(), rtype::name(set.rrset.rtype()));
        let data = |rdata: &[u8]| text_from_rdata(set.rrset.rtype(), rdata, None).unwrap();
        set.rrset.iter().map(|rdata| format!("{head} {}", data(rdata))).collect::<Vec<_>>()
    };
    file.rrsets.iter().flat_map(of).collect()
}

/// The records of a file without a fault.
fn sound(text: &str) -> Vec<String> {
    let (file, shown) = read_text(text);
    assert_eq!(shown, "");
    records(&file)
}

/// The first lines of all that is said: place, severity, text.
fn said(text: &str) -> Vec<String> {
    let (_, shown) = read_text(text);
    shown.lines().filter_map(|line| line.strip_prefix("t.zone:")).map(str::to_owned).collect()
}

#[test]
fn owner_ttl_and_class_are_inherited_or_left_out() {
    let text = "a A 192.0.2.1\n  IN 60 AAAA ::1\n\tMX 10 a\nb 1h30m IN A 192.0.2.2\n$TTL 2h\n@ NS a\nc.example.com. CLASS1 1W TXT x\n\
                d in a 192.0.2.3\n";
    assert_eq!(
        sound(text),
        [
            "a.example.com. 300 A 192.0.2.1",
            "a.example.com. 60 AAAA ::1",
            "a.example.com. 60 MX 10 a.example.com.",
            "b.example.com. 5400 A 192.0.2.2",
            "example.com. 7200 NS a.example.com.",
            "c.example.com. 604800 TXT \"x\"",
            "d.example.com. 7200 A 192.0.2.3",
        ]
    );
}

#[test]
fn a_ttl_left_out_comes_from_the_zone_file_or_the_soa() {
    let soa = "@ SOA ns hostmaster 1 2 3 4 50\n";
    let ttls = |text: &str, ttl_s: Option<u32>| {
        let (file, shown) = read_source(&Source::new("t.zone", text), ttl_s);
        assert_eq!(shown, "");
        (file.soa.map(|(soa, _)| soa.ttl_s), file.rrsets.iter().map(|set| set.rrset.ttl_s()).collect::<Vec<_>>())
    };
    assert_eq!(ttls(&format!("{soa}a A 192.0.2.1"), None), (Some(50), vec![50]));
    assert_eq!(ttls(&format!("{soa}a A 192.0.2.1"), Some(7)), (Some(7), vec![7]));
    assert_eq!(ttls(&format!("$TTL 9\n{soa}a A 192.0.2.1"), Some(7)), (Some(9), vec![9]));
    assert_eq!(ttls(&format!("a 8 A 192.0.2.1\n{soa}"), None), (Some(8), vec![8]));
    assert_eq!(ttls("a A 192.0.2.1", None), (None, vec![DEFAULT_TTL_S]));
}

#[test]
fn parentheses_join_lines_and_comments_end_them() {
    let text = "a ( ; first\n  A ; then\n 192.0.2.1 ) ; done\n; nothing\n\n   \nb TXT \"(;\" x\\;y (z\n)\n@ IN SOA ns hostmaster (\n\
                2024010101 ; serial\n4h\n1h )\n";
    let (file, shown) = read_text(text);
    assert!(shown.starts_with("t.zone:12:1: error: SOA data ends too early"), "{shown}");
    assert_eq!(records(&file), ["a.example.com. 300 A 192.0.2.1", "b.example.com. 300 TXT \"(;\" \"x;y\" \"z\""]);
}

#[test]
fn names_are_relative_to_the_origin() {
    let text =
        "$ORIGIN sub.example.com.\na CNAME b\n@ MX 10 mail\n$ORIGIN deep\na\\.b PTR @\n$ORIGIN example.com.\n* A 192.0.2.1\n@ TXT @\n";
    assert_eq!(
        sound(text),
        [
            "a.sub.example.com. 300 CNAME b.sub.example.com.",
            "sub.example.com. 300 MX 10 mail.sub.example.com.",
            "a\\.b.deep.sub.example.com. 300 PTR deep.sub.example.com.",
            "*.example.com. 300 A 192.0.2.1",
            "example.com. 300 TXT \"@\"",
        ]
    );
}

#[test]
fn records_of_one_owner_and_type_become_one_rrset_with_one_ttl() {
    let (file, shown) = read_text("a 60 A 192.0.2.1\nb 300 A 192.0.2.3\nA 90 A 192.0.2.2\na 60 A 192.0.2.1\n");
    let expected = ["a.example.com. 60 A 192.0.2.1", "a.example.com. 60 A 192.0.2.2", "b.example.com. 300 A 192.0.2.3"];
    assert_eq!(records(&file), expected);
    let first = "t.zone:3:1: warning: this A of `A.example.com.` has the TTL 90, and the one on line 1 has 60";
    assert!(shown.starts_with(first), "{shown}");
}

#[test]
fn the_soa_is_the_one_of_the_zone() {
    let (file, shown) = read_text("@ 60 SOA ns hostmaster 1 2 3 4 5\n@ SOA ns hostmaster 1 2 3 4 5\nwww SOA ns hostmaster 1 2 3 4 5\n");
    let (soa, _) = file.soa.unwrap();
    assert_eq!((soa.ttl_s, soa.serial, soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s), (60, Some(1), 2, 3, 4, 5));
    assert_eq!(soa.rname.to_string(), "hostmaster.example.com.");
    assert!(shown.contains("t.zone:2:1: error: a second SOA; the first is at t.zone:1"), "{shown}");
    assert!(shown.contains("t.zone:3:1: error: this SOA is of `www.example.com.`, and the zone is `example.com.`"), "{shown}");
}

#[test]
fn every_fault_is_told_with_its_place_and_reading_goes_on() {
    let faults = [
        ("  A 192.0.2.1", "3: error: this record has no owner"),
        ("a A 192.0.2.1 )", "15: error: this parenthesis has no partner"),
        ("b A 192.0.2", "5: error: `192.0.2` is not an IPv4 address"),
        ("b A", "3: error: A data ends too early"),
        ("b MX 10 m x", "11: error: `x` is too much for MX data"),
        ("c NSEC d A", "3: error: `NSEC` records cannot be written here"),
        ("c TYPE250 \\# 0", "3: error: `TSIG` records cannot be written here"),
        ("c TYPE65280 192.0.2.1", "13: error: TYPE65280 has no text form of its own here"),
        ("d CH A 192.0.2.1", "3: error: class `CH` is not served: zones are of class IN"),
        ("d CLASS2 A 192.0.2.1", "3: error: class `CLASS2` is not served: zones are of class IN"),
        ("e TXT ä a\\999", "9: error: `a\\999` has a bad escape: write `\\` and three digits up to 255, or `\\` and another character"),
        ("e TXT \"a", "7: error: the quote that opens here is not closed on this line"),
        ("f AAAAA ::1", "3: error: unknown record type `AAAAA`"),
        ("f 2147483648 A 192.0.2.1", "3: error: `2147483648` is not a TTL"),
        ("f 1h30 A 192.0.2.1", "3: error: `1h30` is not a TTL"),
        ("f 60", "3: error: the record ends before its type"),
        ("f", "1: error: the record ends before its type"),
        ("g..h A 192.0.2.1", "1: error: `g..h` is not a name: a name must not have an empty label"),
        ("g.example.net. A 192.0.2.1", "1: error: `g.example.net.` is outside the zone `example.com.`"),
        ("$TTL", "1: error: `$TTL` has no value"),
        ("$TTL 5x", "6: error: `5x` is not a TTL"),
        ("$ORIGIN a b", "11: error: this is too much behind `$ORIGIN`"),
        ("$ORIGIN a..b", "9: error: `a..b` is not a name: a name must not have an empty label"),
        ("$TLL 5", "1: error: unknown directive `$TLL`"),
        ("$GENERATE 9-1 a A 192.0.2.$", "11: error: `9-1` is not a range"),
        ("$GENERATE 1-9 a", "15: error: the record ends before its type"),
        ("$GENERATE 250-260 h$ A 192.0.2.$", "1: error: `192.0.2.256` is not an IPv4 address"),
        ("$GENERATE 1-9 h${0,x} A 192.0.2.$", "1: error: `${0,x}` must be"),
        ("$INCLUDE nothing.zone", "10: error: cannot read `nothing.zone`: there is no such file"),
    ];
    let text: String = faults.iter().map(|(line, _)| format!("{line}\n")).collect();
    let shown = said(&text);
    for ((line, (text, expected)), shown) in (1..).zip(faults).zip(&shown) {
        assert!(shown.starts_with(&format!("{line}:{expected}")), "{text}: {shown}");
    }
    assert_eq!(shown.len(), faults.len());
}

#[test]
fn an_open_parenthesis_hides_no_other_fault() {
    let (file, shown) = read_text("a A ( 192.0.2.1\n  192.0.2.2\nb A 192.0.2\nc A 192.0.2.3\n");
    assert!(shown.contains("t.zone:1:5: error: this parenthesis is never closed"), "{shown}");
    assert!(shown.contains("t.zone:3:5: error: `192.0.2` is not an IPv4 address"), "{shown}");
    assert_eq!(records(&file), ["c.example.com. 300 A 192.0.2.3"]);
}

#[test]
fn generate_makes_records_as_bind_does() {
    assert_eq!(
        sound(
            "$GENERATE 1-3/2 host-${0,3} 60 IN A 192.0.2.$\n$GENERATE 1-2 $ CNAME $.sub\n$GENERATE 1-1 @ MX \"10 mail$\"\n$GENERATE 1-1 t TXT \"a $\" b\n"
        ),
        [
            "host-001.example.com. 60 A 192.0.2.1",
            "host-003.example.com. 60 A 192.0.2.3",
            "1.example.com. 60 CNAME 1.sub.example.com.",
            "2.example.com. 60 CNAME 2.sub.example.com.",
            "example.com. 60 MX 10 mail1.example.com.",
            "t.example.com. 60 TXT \"a 1\" \"b\"",
        ]
    );
    assert_eq!(sound("$GENERATE 16-16 ${0,7,n} PTR h$$\n"), ["0.1.0.0.example.com. 300 PTR h\\$.example.com."]);
}

#[test]
fn the_zone_of_a_file_is_the_owner_of_its_soa() {
    let found = |text: &str| apex_of(text).map(|name| name.to_string());
    assert_eq!(found("example.com. 3600 IN SOA a b 1 2 3 4 5").as_deref(), Some("example.com."));
    assert_eq!(found("$TTL 1\n$ORIGIN com.\nexample ( SOA a b 1 2 3 4 5 )").as_deref(), Some("example.com."));
    assert_eq!(found("$ORIGIN example.com.\n@ IN SOA a b 1 2 3 4 5").as_deref(), Some("example.com."));
    assert_eq!(found("@ IN SOA a b 1 2 3 4 5"), None);
    assert_eq!(found("example IN SOA a b 1 2 3 4 5"), None);
    assert_eq!(found("a. A 192.0.2.1"), None);
}

/// A folder of files for one test.
fn files(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("master-tests").join(name);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read_file(folder: &Path, file: &str) -> (MasterFile, String) {
    let path = folder.join(file);
    let (file, shown) = read_source(&Source::new(&path, fs::read_to_string(&path).unwrap()), Some(300));
    (file, shown.replace(&format!("{}/", folder.display()), ""))
}

#[test]
fn include_keeps_origin_and_owner_and_passes_the_ttl_on() {
    let folder = files(
        "include",
        &[
            ("main.zone", "a A 192.0.2.1\n$INCLUDE more/sub.zone sub\n  AAAA ::1\nb A 192.0.2.2\n$INCLUDE more/plain.zone ; same origin\n"),
            ("more/sub.zone", "$ORIGIN deep\n@ A 192.0.2.3\n$TTL 77\n$INCLUDE plain.zone\n"),
            ("more/plain.zone", "plain TXT a\n"),
        ],
    );
    let (file, shown) = read_file(&folder, "main.zone");
    assert_eq!(shown, "");
    assert_eq!(
        records(&file),
        [
            "a.example.com. 300 A 192.0.2.1",
            "deep.sub.example.com. 300 A 192.0.2.3",
            "plain.deep.sub.example.com. 77 TXT \"a\"",
            "a.example.com. 77 AAAA ::1",
            "b.example.com. 77 A 192.0.2.2",
            "plain.example.com. 77 TXT \"a\"",
        ]
    );
}

#[test]
fn include_stays_in_the_folder_and_ends() {
    let folder = files(
        "include-bounds",
        &[
            ("in/main.zone", "$INCLUDE ../out.zone\n$INCLUDE /etc/hostname\n$INCLUDE loop.zone\n$INCLUDE bad.zone\nz A 192.0.2.1\n"),
            ("in/loop.zone", "$INCLUDE loop.zone\n"),
            ("in/bad.zone", "a A 192.0.2\n  A 192.0.2.1\n"),
            ("out.zone", "x A 192.0.2.1\n"),
        ],
    );
    let (file, shown) = read_file(&folder, "in/main.zone");
    assert!(shown.contains("in/main.zone:1:10: error: `in/../out.zone` lies outside the folder of the zone's file"), "{shown}");
    assert!(shown.contains("in/loop.zone:1:10: error: files include each other more than 10 deep"), "{shown}");
    assert!(shown.contains("in/bad.zone:1:5: error: `192.0.2` is not an IPv4 address"), "{shown}");
    assert_eq!(records(&file), ["a.example.com. 300 A 192.0.2.1", "z.example.com. 300 A 192.0.2.1"]);
}

#[test]
fn includes_that_multiply_are_bounded() {
    let twice = "$INCLUDE b.zone\n".repeat(40);
    let folder = files("include-many", &[("a.zone", &twice), ("b.zone", &twice.replace('b', "c")), ("c.zone", "")]);
    let (_, shown) = read_file(&folder, "a.zone");
    assert!(shown.contains("more than 1000 files are included"), "{shown}");
}

#[test]
fn records_of_signed_zones_are_left_out_where_that_is_wanted() {
    let source = Source::new("t.zone", "a A 192.0.2.1\na RRSIG A 8 2 3600 (\n 2024 1 2 3 abc= )\na NSEC b A RRSIG\nb A 192.0.2.2\n");
    let mut out = Diagnostics::new();
    let file = read(&source, &Zone { apex: &apex(), ttl_s: None, drops_signatures: true }, &mut out);
    assert_eq!(records(&file).len(), 2);
    assert!(out.to_string().starts_with("t.zone: warning: 2 records are left out that are made when a zone is signed"), "{out}");
}

#[test]
fn names_have_their_limits() {
    let label = "x".repeat(64);
    let shown = said(&format!("{label} A 192.0.2.1\n{0}.{0}.{0}.{0} A 192.0.2.1\n", &label[..62]));
    assert!(
        shown[0].starts_with("1:1: error: ") && shown[0].ends_with("is not a name: a label must not be longer than 63 octets"),
        "{shown:?}"
    );
    assert!(
        shown[1].starts_with("2:1: error: ") && shown[1].ends_with("is not a name: a name must not be longer than 255 octets"),
        "{shown:?}"
    );
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "([a-z@$*.();\"\\\\ \t\n0-9{}-]|A |TXT |SOA |\\$TTL |\\$GENERATE |\\$ORIGIN |IN |\\$\\{){0,60}") {
        read_text(&text);
        apex_of(&text);
    }

    /// What is read is not changed by writing it again, and every fault lies inside the text.
    #[test]
    fn records_read_back_as_they_are_written(text in "((a|b|@|\\*\\.c) (60 |IN )?(A 192\\.0\\.2\\.[1-9]|MX 1 [a-c]|TXT [a-z]{1,3}|A)\n){0,20}") {
        let (file, shown) = read_text(&text);
        for line in shown.lines().filter_map(|line| line.strip_prefix("t.zone:")) {
            let place: Vec<usize> = line.splitn(3, ':').take(2).map(|number| number.parse().unwrap()).collect();
            let width = text.lines().nth(place[0] - 1).unwrap().len();
            prop_assert!(place[1] >= 1 && place[1] <= width, "{}", line);
        }
        let written = records(&file);
        let (again, shown) = read_text(&written.join("\n"));
        prop_assert_eq!(shown, "");
        prop_assert_eq!(records(&again), written);
    }
}

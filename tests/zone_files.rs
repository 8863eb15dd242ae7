//! Zone files from end to end: a master file, the same zone imported as YAML, and the same file as NSD prints it must be one zone;
//! DNAMEs are answered from both kinds of file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod common;

use std::fs;
use std::process::Command;

use common::folder::Folder;
use common::message::query;
use common::world::World;
use meridian::config::{import, load};
use meridian::name::Name;
use meridian::zone::rrset::Rrset;

const SERVER: &str = "version: 1\nlisten: \"127.0.0.1:0\"\nregions: regions.yaml\nzones: zone.yaml\n";

const REGIONS: &str = "regions:\n  eu:\n    location: {latitude: 53.35, longitude: -6.26}\n    services: {web: [192.0.2.1]}\n";

/// Every type that NSD knows as well, in spellings as different as operators are.
const MASTER: &str = r#"$ORIGIN example.com.
$TTL 1h
@   3600 IN SOA ns1 hostmaster.example.com. (
            2024010101 ; serial
            4h 1h 2w   ; refresh, retry, expire
            5m )       ; minimum
    NS  ns1
    NS  ns2.example.net.
    MX  10 mail
    MX  20 mail.example.net.
    TXT "v=spf1 -all"
    CAA 0 issue "ca.example.net; policy=ev"
ns1 A   192.0.2.53
    AAAA 2001:db8::53
mail 300 A 192.0.2.25
*.wild  60 IN A 192.0.2.3
www     IN 60 CNAME web.example.net.
old     DNAME new
*.new   A 192.0.2.4
4       PTR host.example.net.
_sip._tcp SRV 0 5 5060 sip
sip     A 192.0.2.5
_443._tcp.sip TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b9 7983a1d16e8a410e4561cb106618e971
sip     SSHFP 1 1 dd465c09cfa51fb45020cc83316fff21b9ec74ac
sip     NAPTR 100 10 "S" "SIP+D2U" "!^.*$!sip:info@example.com!" _sip._udp
sip     LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
sip     URI 10 1 "https://www.example.net/a?b=c"
sip     HINFO "x86-64" "Linux 6"
sip     RP hostmaster info
sip     AFSDB 1 db.example.net.
sip     EUI48 00-00-5e-00-53-2a
svc     HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1,192.0.2.2 ech=AEX+DQ== ipv6hint=2001:db8::1
svc     SVCB 16 foo.example.org. port=53 key667="a b"
alias   HTTPS 0 svc
txt     TXT "a \"quoted\" \\ text" bare \065\255 "" "semi;colon" ( "more"
            "lines" )
odd\.name\032\@ TXT "odd"
sub     NS ns.sub
sub     DS 60485 RSASHA1 1 ( 2BB183AF5F22588179A53B0A 98631FAD1A292118 )
ns.sub  A 192.0.2.6
any     TYPE65280 \# 3 01 0203
any     TYPE1 \# 4 c0000207
long    TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789abcde" "and then some"
"#;

/// All names of the one zone with their records.
fn zone_of(world: &World) -> Vec<(Name, Vec<Rrset>)> {
    let zones = world.compiled.catalog.zones.zones();
    assert_eq!(zones.len(), 1);
    zones[0].nodes.iter().map(|node| (node.owner.clone(), node.rrsets.to_vec())).collect()
}

fn world_of_master(text: &str) -> World {
    let zone = "zone: example.com\nrecords_file: db.example.com\n";
    World::of("zone-files", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", zone), ("db.example.com", text)])
}

#[test]
fn an_imported_zone_is_the_zone_that_the_master_file_holds() {
    let folder = Folder::with("import", &[("db.example.com", MASTER)]);
    let imported = import(&folder.join("db.example.com"), None);
    let yaml = imported.yaml.unwrap_or_else(|| panic!("{}", imported.diagnostics));
    assert!(imported.diagnostics.is_empty(), "{}", imported.diagnostics);
    assert!(yaml.starts_with("zone: example.com\nttl: 3600\nsoa: {mname: ns1, rname: hostmaster, serial: 2024010101, "), "{yaml}");
    assert!(
        yaml.contains("\nns: [ns1, ns2.example.net.]\n") && yaml.contains("\n  www: {CNAME: {ttl: 60, values: web.example.net.}}\n"),
        "{yaml}"
    );
    let world = World::of("imported", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", &yaml)]);
    assert_eq!(zone_of(&world), zone_of(&world_of_master(MASTER)));
}

/// What only BIND knows.
const GENERATED: &str = r#"
$ORIGIN gen.example.com.
$GENERATE 1-3/2 host-${0,3} 60 IN A 192.0.2.$
$GENERATE 1-2 $ CNAME $.sub
$GENERATE 1-2 @ MX "$0 mail$"
$GENERATE 1-1 t TXT "a $"
$GENERATE 1-1 u TXT "\"a $\""
$GENERATE 16-16 ${0,7,n}.x PTR h$$
$GENERATE 31-31 ${0,3,n}.y PTR h${0,4,o}.${2,0,X}
$GENERATE 31-31 ${0,8,n}z PTR a\$$
$GENERATE 5-5 ${-1}.s A 192.0.2.${1}
mail1 A 192.0.2.1
$INCLUDE more.db inc
after TXT "origin as before"
"#;

const INCLUDED: &str = "$TTL 77\n@ A 192.0.2.1\n  TXT here\n$ORIGIN deeper\na A 192.0.2.2\n";

/// The zone with the data of each RRset in order and in lower case, as others print names.
fn comparable(world: &World) -> Vec<(Name, Vec<Rrset>)> {
    let sorted = |rrset: &Rrset| {
        let mut rdatas: Vec<Vec<u8>> = rrset.iter().map(<[u8]>::to_ascii_lowercase).collect();
        rdatas.sort();
        Rrset::new(rrset.rtype(), rrset.ttl_s(), &rdatas)
    };
    zone_of(world).into_iter().map(|(owner, rrsets)| (owner, rrsets.iter().map(sorted).collect())).collect()
}

fn assert_same(ours: &World, printed: &str) {
    let (ours, theirs) = (comparable(ours), comparable(&world_of_master(printed)));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "\n{printed}");
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn nsd_reads_the_same_zone() {
    let folder = Folder::with("nsd", &[("db.example.com", MASTER)]);
    let Ok(printed) = Command::new("nsd-checkzone").arg("-p").arg("example.com").arg(folder.join("db.example.com")).output() else {
        common::skip_without("nsd-checkzone");
        return;
    };
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.status.success(), "{text}");
    let records: String = text.lines().filter(|line| !line.starts_with("zone ")).map(|line| format!("{line}\n")).collect();
    assert_same(&world_of_master(MASTER), &records);
}

#[test]
fn bind_reads_the_same_zone() {
    let master = format!("{MASTER}{GENERATED}");
    let folder = Folder::with("bind", &[("db.example.com", &master), ("more.db", INCLUDED)]);
    let arguments = ["-q", "-i", "none", "-k", "ignore", "-s", "full", "-o", "out", "example.com", "db.example.com"];
    let Ok(compiled) = Command::new("named-compilezone").args(arguments).current_dir(folder.path()).output() else {
        eprintln!("skipped: named-compilezone is not installed");
        return;
    };
    assert!(compiled.status.success(), "{}{}", String::from_utf8_lossy(&compiled.stdout), String::from_utf8_lossy(&compiled.stderr));
    let zone = "zone: example.com\nrecords_file: db\n";
    let files = [("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", zone), ("db", &master), ("more.db", INCLUDED)];
    assert_same(&World::of("bind-ours", &files), &fs::read_to_string(folder.join("out")).unwrap());
}

#[test]
fn import_says_what_is_wrong_and_gives_nothing() {
    let folder = Folder::with(
        "import-bad",
        &[("bad", "$ORIGIN example.com.\n@ SOA ns hostmaster 1 2 3 4 5\na A 192.0.2\n"), ("nameless", "@ NS ns1\n")],
    );
    let bad = import(&folder.join("bad"), None);
    assert!(bad.yaml.is_none() && bad.diagnostics.to_string().contains("bad:3:5: error: `192.0.2` is not an IPv4 address"));
    let nameless = import(&folder.join("nameless"), None);
    assert!(nameless.yaml.is_none() && nameless.diagnostics.to_string().contains("hint: name it with `--origin NAME`"));
    let named = import(&folder.join("nameless"), Some(&Name::parse("example.com", None).unwrap()));
    assert_eq!(named.yaml.as_deref(), Some("zone: example.com\nttl: 300\nns: ns1\n"));
    assert!(named.diagnostics.to_string().contains("warning: no SOA of `example.com.` is in this file"));
}

#[test]
fn the_program_imports() {
    let folder = Folder::with("import-cli", &[("db", MASTER)]);
    let run =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_meridian")).args(arguments).current_dir(folder.path()).output().unwrap();
    let good = run(&["zone", "import", "db"]);
    assert!(good.status.success() && good.stderr.is_empty());
    assert!(String::from_utf8(good.stdout).unwrap().starts_with("zone: example.com\n"));
    let missing = run(&["zone", "import", "nothing"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("there is no such file"));
    assert_eq!(run(&["zone", "import", "db", "--origin", "a..b"]).status.code(), Some(2));
    let outside = run(&["zone", "import", "db", "--origin", "example.net"]);
    assert!(String::from_utf8(outside.stderr).unwrap().contains("is outside the zone `example.net.`"));
}

const RENAMED: &str = "zone: example.com\nns: ns.example.net.\nrecords:\n  old: {DNAME: {ttl: 77, values: New}, TXT: here}\n  www.new: {A: 192.0.2.1}\n\
    \x20 \"*.wild.new\": {A: 192.0.2.2}\n  gone: {DNAME: example.net.}\n  twice: {DNAME: old}\n  alias: {CNAME: www.old}\n  in: {CNAME: www.in.old}\n\
    \x20 www.in.new: {CNAME: www.new}\n  steered: {DNAME: to}\n  www.to: {steer: {service: web, ttl: 60}}\n  grow: {DNAME: \"b.xgrow\"}\n  xgrow: {DNAME: example.com.}\n  b.xgrow2: {A: 192.0.2.9}\n";

/// `New.example.com.` in base64: the reader of replies does not know the data of DNAME.
const NEW: &str = "A05ldwdleGFtcGxlA2NvbQA=";

fn renamed() -> World {
    World::of("renamed", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", RENAMED)])
}

#[test]
fn c1_a_name_below_a_dname_gets_it_with_the_cname_that_it_stands_for() {
    let world = renamed();
    let (outcome, reply) = world.ask(&query("WWW.old.Example.com", "A"));
    assert_eq!(reply.rcode(), 0);
    assert!(reply.is_authoritative() && outcome.zone.is_some());
    assert_eq!(
        reply.answers(),
        [
            // Names point to the question where they are the same in any letters (RFC 4343 4.1).
            &format!("old.Example.com. 77 DNAME {NEW}"),
            "WWW.old.Example.com. 77 CNAME WWW.New.Example.com.",
            "WWW.New.Example.com. 300 A 192.0.2.1",
        ]
    );
}

#[test]
fn c1_a_dname_is_answered_at_its_owner_like_any_record() {
    let world = renamed();
    assert_eq!(world.ask(&query("old.example.com", "TYPE39")).1.answers(), [format!("old.example.com. 77 DNAME {NEW}")]);
    assert_eq!(world.ask(&query("old.example.com", "TXT")).1.answers(), ["old.example.com. 300 TXT here"]);
    let (_, none) = world.ask(&query("old.example.com", "A"));
    assert_eq!((none.rcode(), none.answers().len(), none.authorities().len()), (0, 0, 1));
}

#[test]
fn c2_chains_through_dnames_go_on_inside_the_zone() {
    let world = renamed();
    let last = |name: &str| world.ask(&query(name, "A")).1.answers().last().cloned().unwrap_or_default();
    assert_eq!(last("x.wild.old.example.com"), "x.wild.New.example.com. 300 A 192.0.2.2");
    assert_eq!(last("www.twice.example.com"), "www.New.example.com. 300 A 192.0.2.1");
    assert_eq!(last("alias.example.com"), "www.New.example.com. 300 A 192.0.2.1");
    assert_eq!(last("in.example.com"), "www.New.example.com. 300 A 192.0.2.1");
    assert_eq!(last("www.steered.example.com"), "www.to.example.com. 60 A 192.0.2.1");
    assert_eq!(last("www.gone.example.com"), "www.gone.example.com. 300 CNAME www.example.net.");
    let (_, missing) = world.ask(&query("nobody.old.example.com", "A"));
    assert_eq!((missing.rcode(), missing.answers().len(), missing.authorities().len()), (3, 2, 1));
}

#[test]
fn c2_a_name_that_becomes_too_long_gets_yxdomain() {
    let world = renamed();
    let label = "x".repeat(60);
    let long = format!("{label}.{label}.{label}.{}.gone.example.com", "x".repeat(53));
    let (_, reply) = world.ask(&query(&long, "A"));
    assert_eq!(reply.answers().len(), 2, "{:?}", reply.answers());
    let too_long = format!("{label}.{label}.{label}.{}.grow.example.com", "x".repeat(53));
    let (_, reply) = world.ask(&query(&too_long, "A"));
    assert_eq!((reply.rcode(), reply.answers()), (6, vec!["grow.example.com. 300 DNAME AWIFeGdyb3cHZXhhbXBsZQNjb20A".to_owned()]));
    assert!(reply.is_authoritative() && reply.authorities().is_empty());
}

#[test]
fn c2_a_dname_stands_once_in_a_reply() {
    let zone = "zone: example.com\nns: ns.example.net.\nrecords:\n  a: {DNAME: b}\n  b: {DNAME: \"@\"}\n  x: {A: 192.0.2.1}\n";
    let world = World::of("meet-again", &[("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", zone)]);
    let owners = |name: &str| -> Vec<String> {
        let (_, reply) = world.ask(&query(name, "A"));
        assert_eq!(reply.rcode(), 0);
        reply.answers().iter().map(|answer| answer.split(' ').next().unwrap().to_owned()).collect()
    };
    let once = ["a.example.com.", "x.a.example.com.", "b.example.com.", "x.b.example.com.", "x.example.com."];
    assert_eq!(owners("x.a.example.com"), once);
    let again = owners("x.a.a.example.com");
    assert_eq!(again[..4], ["a.example.com.", "x.a.a.example.com.", "b.example.com.", "x.a.b.example.com."]);
    assert_eq!(again[4..], ["x.a.example.com.", "x.b.example.com.", "x.example.com."]);
    // Two DNAMEs and nine CNAMEs, the last of which the client follows by itself.
    assert_eq!(owners(&format!("x{}.example.com", ".a".repeat(20))).len(), 11);
}

#[test]
fn a_large_file_is_read_whole() {
    let mut text = String::from("$TTL 60\n@ SOA ns.example.net. hostmaster 1 2 3 4 5\n@ NS ns.example.net.\n");
    (0..20_000).for_each(|number| text += &format!("host-{number} A 10.{}.{}.{}\n", number >> 16, number >> 8 & 255, number & 255));
    assert_eq!(zone_of(&world_of_master(&text)).len(), 20_001);
}

/// What is said of a configuration of these zone files.
fn said_of_zones(name: &str, zones: &[(&str, &str)]) -> String {
    let folder = Folder::with(name, &[("meridian.yaml", &SERVER.replace("zone.yaml", "\"*.zone.yaml\"")), ("regions.yaml", REGIONS)]);
    zones.iter().for_each(|(file, text)| folder.write(file, text));
    let loaded = load(&folder.join("meridian.yaml"));
    assert_eq!(loaded.model.is_none(), loaded.diagnostics.has_errors());
    loaded.diagnostics.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn n7_a_child_zone_that_its_parent_does_not_delegate_is_told() {
    let parent = |records: &str| format!("zone: example.com\nns: ns.example.net.\nrecords:\n  www: {{A: 192.0.2.1}}\n{records}");
    let child = "zone: a.b.example.com\nns: ns.example.net.\n";
    let said = |name: &str, records: &str| said_of_zones(name, &[("a.zone.yaml", &parent(records)), ("b.zone.yaml", child)]);
    let shown = said("child-1", "");
    assert!(
        shown.starts_with(
            "b.zone.yaml:1:7: warning: the zone `a.b.example.com.` lies in the zone `example.com.`, which does not delegate it\n"
        ),
        "{shown}"
    );
    assert!(shown.ends_with("hint: add its NS records to the zone at a.zone.yaml:1\n"), "{shown}");
    assert!(said("child-2", "  a.b: {TXT: no cut}\n").contains("does not delegate it"));
    assert_eq!(said("child-3", "  a.b: {NS: ns.example.net.}\n"), "");
    assert_eq!(said("child-4", "  b: {NS: ns.example.net.}\n"), "");
    assert_eq!(said_of_zones("child-5", &[("a.zone.yaml", child), ("b.zone.yaml", "zone: xa.b.example.com\nns: ns.example.net.\n")]), "");
}

#[test]
fn the_soa_and_the_name_servers_may_stand_in_either_file() {
    let world = |name: &str, zone: &str, master: &str| {
        let files = [("meridian.yaml", SERVER), ("regions.yaml", REGIONS), ("zone.yaml", zone), ("db", master)];
        World::of(name, &files)
    };
    let soa = |world: &World| world.ask(&query("example.com", "SOA")).1.answers().concat();
    let all_there = world("soa-1", "zone: example.com\nrecords_file: db\n", "@ 60 SOA a b 7 2 3 4 5\n@ NS ns.example.net.\n");
    assert_eq!(soa(&all_there), "example.com. 60 SOA a.example.com. b.example.com. 7 2 3 4 5");
    let only_ns = world("soa-2", "zone: example.com\nsoa: {serial: 9, ttl: 77}\nrecords_file: db\n", "@ NS ns.example.net.\n");
    assert_eq!(soa(&only_ns), "example.com. 77 SOA ns.example.net. hostmaster.example.com. 9 14400 3600 1209600 300");
    let nothing = world("soa-3", "zone: example.com\nns: ns1.example.net.\nrecords_file: db\n", "www A 192.0.2.1\n");
    assert!(soa(&nothing).starts_with("example.com. 300 SOA ns1.example.net. hostmaster.example.com. "));
}

//! N1 to N3, N6 to N8, C1, C2 and P6: what zones answer, positive and negative, from records and from regions.

use std::collections::BTreeSet;

use super::common::message::{Reply, query};
use super::house::{NOERROR, NXDOMAIN, ask, everywhere, world};

const SOA: &str = "example.com. 60 SOA ns1.example.com. hostmaster.example.com. 7 14400 3600 1209600 60";

/// NOERROR or NXDOMAIN with the SOA and nothing else.
#[track_caller]
fn assert_negative(name: &str, qtype: &str, rcode: u16) {
    let reply = ask(&query(name, qtype).edns(1232));
    assert_eq!((reply.rcode(), reply.is_authoritative()), (rcode, true), "{name} {qtype}");
    assert!(reply.answers().is_empty() && reply.additionals().is_empty(), "{name} {qtype}: {:?}", reply.answers());
    assert_eq!(reply.authorities(), [SOA], "{name} {qtype}");
}

#[test]
fn n1_negative_answers_carry_the_soa_with_the_lesser_ttl() {
    assert_negative("static.example.com", "AAAA", NOERROR);
    assert_negative("nowhere.example.com", "A", NXDOMAIN);
    // There the SOA's own TTL (30) is under its MINIMUM (300).
    for (name, rcode) in [("ns1.big.example", NOERROR), ("nowhere.big.example", NXDOMAIN)] {
        let reply = ask(&query(name, "AAAA"));
        assert_eq!((reply.rcode(), reply.soa_ttl()), (rcode, Some(30)), "{name}");
    }
    // Asked for itself, the SOA has its own TTL.
    assert_eq!(ask(&query("example.com", "SOA")).ttl(), Some(300));
}

#[test]
fn n2_aaaa_at_names_with_ipv4_only_is_nodata() {
    for name in ["v4only", "v4", "mail", "static", "x.wild"] {
        assert_negative(&format!("{name}.example.com"), "AAAA", NOERROR);
    }
}

#[test]
fn n2_types_that_nobody_knows_are_nodata_at_names_that_exist() {
    for qtype in ["TYPE65280", "TYPE999", "TYPE3", "TYPE260", "TYPE0", "DS", "SRV", "HINFO", "RRSIG", "NSEC", "TYPE48", "TYPE65535"] {
        for name in ["www", "static", "x.wild", "b.ent", "x.apps"] {
            assert_negative(&format!("{name}.example.com"), qtype, NOERROR);
        }
        assert_negative("nowhere.example.com", qtype, NXDOMAIN);
    }
}

#[test]
fn n3_empty_non_terminals_exist() {
    for name in ["ent", "b.ent", "_udp", "wild", "apps", "ent.wild"] {
        for qtype in ["A", "AAAA", "NS", "SOA", "ANY", "TXT"] {
            assert_negative(&format!("{name}.example.com"), qtype, NOERROR);
        }
    }
    assert_negative("x.ent.example.com", "A", NXDOMAIN);
    assert_eq!(ask(&query("a.b.ent.example.com", "A")).addresses().len(), 1);
}

#[test]
fn n6_wildcards_are_blocked_by_what_exists() {
    for name in ["x.wild", "x.y.z.wild", "*.wild"] {
        let owner = format!("{name}.example.com");
        assert_eq!(ask(&query(&owner, "A")).answers(), [format!("{owner}. 300 A 192.0.2.83")]);
        assert_eq!(ask(&query(&owner, "MX")).answers(), [format!("{owner}. 300 MX 10 mail.example.com.")]);
    }
    // Below the wildcard itself the closest encloser is the wildcard, and that has none of its own (RFC 4592 2.1.3).
    assert_negative("x.*.wild.example.com", "A", NXDOMAIN);
    assert_negative("wild.example.com", "A", NOERROR);
    assert_negative("there.wild.example.com", "A", NOERROR);
    assert_negative("x.there.wild.example.com", "A", NXDOMAIN);
    assert_negative("ent.wild.example.com", "A", NOERROR);
    assert_negative("x.ent.wild.example.com", "A", NXDOMAIN);
    assert_negative("x.a.ent.wild.example.com", "A", NXDOMAIN);
}

#[test]
fn n6_steered_wildcards_never_hash_the_name() {
    for subnet in ["10.1.1.0/24", "10.1.2.0/24", "10.2.7.0/24", "2001:db8:1::/56"] {
        let answers: BTreeSet<_> = ["a", "b", "c.d", "E", "f-f", "*"]
            .map(|label| ask(&query(&format!("{label}.apps.example.com"), "A").subnet(subnet)).addresses())
            .into();
        assert_eq!(answers.len(), 1, "{subnet}: {answers:?}");
    }
    let clients: BTreeSet<_> =
        (0..64).map(|third| ask(&query("x.apps.example.com", "A").subnet(&format!("10.1.{third}.0/24"))).addresses()).collect();
    assert!(clients.len() > 5, "clients are spread: {clients:?}");
}

#[test]
fn n7_below_a_cut_is_a_referral_with_glue_and_without_aa() {
    for (name, qtype) in
        [("deleg", "A"), ("deleg", "NS"), ("deleg", "SOA"), ("host.deleg", "A"), ("ns.deleg", "A"), ("a.b.deleg", "ANY"), ("x.deleg", "DS")]
    {
        let reply = ask(&query(&format!("{name}.example.com"), qtype).edns(1232));
        assert_eq!((reply.rcode(), reply.is_authoritative(), reply.answers().len()), (NOERROR, false, 0), "{name} {qtype}");
        let expected = ["deleg.example.com. 300 NS ns.deleg.example.com.", "deleg.example.com. 300 NS ns.example.net."];
        assert_eq!(reply.authorities(), expected, "{name} {qtype}");
        assert_eq!(reply.additionals(), ["ns.deleg.example.com. 300 A 192.0.2.90", "ns.deleg.example.com. 300 AAAA 2001:db8::90"]);
    }
    // Addresses of name servers elsewhere in the zone are given too.
    let sibling = ask(&query("x.sibling.example.com", "A"));
    assert_eq!((sibling.authorities().len(), sibling.additionals().len()), (2, 3));
}

#[test]
fn n7_ds_at_the_cut_is_ours() {
    for name in ["deleg", "sibling"] {
        assert_negative(&format!("{name}.example.com"), "DS", NOERROR);
    }
}

#[test]
fn n7_ds_at_a_cut_and_at_the_apex_of_a_child_comes_from_the_parent() {
    // The data in base64, as the reader shows what it has no words for.
    let signed = "signed.example.com. 300 DS MDkNAgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
    for name in ["signed", "SIGNED"] {
        let reply = ask(&query(&format!("{name}.example.com"), "DS").edns(1232));
        assert_eq!((reply.rcode(), reply.is_authoritative()), (NOERROR, true), "the answer of the zone above, not a referral");
        assert_eq!(lower(&reply.answers()), lower(&[signed]));
        assert!(reply.authorities().is_empty() && reply.additionals().is_empty());
    }
    // The child is served here too: its apex is asked for, and the parent answers.
    let kid = ask(&query("kid.example.com", "DS"));
    assert_eq!((kid.rcode(), kid.is_authoritative(), kid.answers().len()), (NOERROR, true, 2), "{:?}", kid.answers());
    assert!(ask(&query("kid.example.com", "SOA")).answers()[0].starts_with("kid.example.com. 300 SOA ns.kid.example.com. "));
    // Behind an alias too, and below the cut it is the child's affair.
    let alias = ask(&query("a-ds.example.com", "DS")).answers();
    assert_eq!(lower(&alias), lower(&["a-ds.example.com. 300 CNAME signed.example.com.", signed]));
    let below = ask(&query("x.signed.example.com", "DS"));
    assert_eq!((below.is_authoritative(), below.answers().len(), below.authorities().len()), (false, 0, 1));
    assert_negative_of("kid.example.com.", "x.kid.example.com", "DS", NXDOMAIN);
    // DS is an answer only: a referral to those who ask for other types.
    let referral = ask(&query("signed.example.com", "A"));
    assert_eq!((referral.is_authoritative(), referral.answers().len()), (false, 0));
}

fn lower(lines: &[impl AsRef<str>]) -> Vec<String> {
    lines.iter().map(|line| line.as_ref().to_ascii_lowercase()).collect()
}

/// A negative answer of another zone than `example.com`.
#[track_caller]
fn assert_negative_of(zone: &str, name: &str, qtype: &str, rcode: u16) {
    let reply = ask(&query(name, qtype).edns(1232));
    assert_eq!((reply.rcode(), reply.is_authoritative(), reply.answers().len()), (rcode, true, 0), "{name} {qtype}");
    assert!(reply.authorities().len() == 1 && reply.authorities()[0].starts_with(&format!("{zone} ")), "{:?}", reply.authorities());
}

/// Resolvers mix the letters of what they ask (draft-vixie-dnsext-dns0x20): that must cost no octets, let alone a second query over TCP.
#[test]
fn n5_mixed_letters_make_no_reply_longer() {
    for (name, qtype) in [
        ("x.required.big.example", "A"),
        ("nowhere.example.com", "A"),
        ("host.deleg.example.com", "A"),
        ("a1.example.com", "A"),
        ("example.com", "NS"),
        ("example.com", "MX"),
        ("example.com", "SOA"),
    ] {
        let mixed: String = name.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
        for (asked, letters) in everywhere(&query(name, qtype)).into_iter().zip(everywhere(&query(&mixed, qtype))) {
            assert_eq!(asked.1.octets.len(), letters.1.octets.len(), "{mixed} {qtype} {}", asked.0);
            assert_eq!(lower(&asked.1.answers()), lower(&letters.1.answers()), "{mixed} {qtype} {}", asked.0);
            assert_eq!(lower(&asked.1.authorities()), lower(&letters.1.authorities()), "{mixed} {qtype} {}", asked.0);
        }
    }
}

#[test]
fn n7_the_deepest_apex_wins_and_ds_comes_from_the_parent() {
    let deep = ask(&query("deep.sub.example.com", "A"));
    assert_eq!((deep.is_authoritative(), deep.answers()), (true, vec!["deep.sub.example.com. 300 A 192.0.2.92".into()]));
    let none = ask(&query("nowhere.sub.example.com", "A"));
    assert_eq!(none.rcode(), NXDOMAIN);
    assert!(none.authorities()[0].starts_with("sub.example.com. "), "{:?}", none.authorities());
    assert!(ask(&query("sub.example.com", "NS")).is_authoritative());
    // The SOA tells which zone speaks: the parent.
    assert_negative("sub.example.com", "DS", NOERROR);
    // The topmost apex has nobody above it here: its own zone says that there is none.
    assert_negative("example.com", "DS", NOERROR);
}

#[test]
fn n8_any_is_hinfo_and_at_an_alias_the_cname() {
    for name in ["www", "static", "x.wild", "x.apps", "ns1"] {
        let owner = format!("{name}.example.com");
        assert_eq!(ask(&query(&owner, "ANY")).answers(), [format!("{owner}. 300 HINFO RFC8482 ")], "the zone's TTL");
    }
    assert_eq!(ask(&query("alias.example.com", "ANY")).answers(), ["alias.example.com. 300 CNAME WWW.example.com."]);
    assert_negative("b.ent.example.com", "ANY", NOERROR);
    assert_negative("nowhere.example.com", "ANY", NXDOMAIN);
}

#[test]
fn c1_a_cname_answers_every_type_but_itself_and_those_of_dnssec() {
    for qtype in ["A", "AAAA", "MX", "TXT", "TYPE65280"] {
        let reply = ask(&query("alias.example.com", qtype));
        assert_eq!(reply.answers()[0], "alias.example.com. 300 CNAME WWW.example.com.", "{qtype}");
    }
    assert_eq!(ask(&query("alias.example.com", "CNAME")).answers().len(), 1, "the alias itself, not followed");
    assert_negative("alias.example.com", "NSEC", NOERROR);
    assert_negative("alias.example.com", "RRSIG", NOERROR);
}

#[test]
fn c2_aliases_are_followed_inside_the_zone_only() {
    let answers = |name: &str, qtype: &str| ask(&query(&format!("{name}.example.com"), qtype)).answers();
    assert_eq!(answers("a1", "A").len(), 3 + 2);
    assert_eq!(answers("a-out", "A"), ["a-out.example.com. 300 CNAME www.example.net."]);
    assert_eq!(answers("a-wild", "A")[1], "any.thing.wild.example.com. 300 A 192.0.2.83");
    let nodata = ask(&query("a1.example.com", "AAAA"));
    assert_eq!((nodata.rcode(), nodata.answers().len(), nodata.soa_ttl()), (NOERROR, 3, Some(60)), "the chain, and then no data");
    let none = ask(&query("a-none.example.com", "A"));
    assert_eq!((none.rcode(), none.answers().len(), none.soa_ttl()), (NXDOMAIN, 1, Some(60)), "RFC 6604: the rcode of the last name");
    let cut = ask(&query("a-cut.example.com", "A"));
    assert_eq!((cut.rcode(), cut.answers().len(), cut.is_authoritative()), (NOERROR, 1, true));
    assert_eq!((cut.authorities().len(), cut.additionals().len()), (2, 2), "the chain ends in a referral");
}

#[test]
fn p6_answer_sets_are_distinct_rotate_and_have_one_ttl() {
    let mut firsts = BTreeSet::new();
    for _ in 0..10 {
        for (transport, reply) in everywhere(&query("many.example.com", "A").subnet("10.1.0.0/16")) {
            let addresses = reply.addresses();
            let distinct: BTreeSet<_> = addresses.iter().collect();
            assert_eq!((addresses.len(), distinct.len()), (8, 8), "{transport}: {addresses:?}");
            assert_eq!(reply.ttl(), Some(60));
            firsts.insert(addresses[0]);
        }
    }
    assert_eq!(firsts.len(), 10, "each of ten endpoints comes first in its turn");
}

#[test]
fn p6_answers_never_span_regions_and_only_the_living_are_given() {
    // Asked for 8, the region nearest to this client has 2.
    for (_, reply) in everywhere(&query("many.example.com", "A").subnet("10.2.0.0/16")) {
        let addresses: BTreeSet<String> = reply.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.101".to_owned(), "192.0.2.102".to_owned()].into());
    }
    // Four endpoints, one down and one drained by hand.
    for (_, reply) in everywhere(&query("few.example.com", "A")) {
        let addresses: BTreeSet<String> = reply.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.31".to_owned(), "192.0.2.34".to_owned()].into());
    }
}

#[test]
fn p6_a_reply_is_the_same_set_over_every_transport() {
    let sets: BTreeSet<_> = everywhere(&query("static.example.com", "A")).into_iter().map(|(_, reply)| sorted(&reply)).collect();
    assert_eq!(sets.len(), 1);
    assert_eq!(ask(&query("static.example.com", "TXT")).ttl(), Some(20), "a TTL of its own");
}

/// A serial that is not written is a hash of the zone: the same on every node and after every start.
#[test]
fn t2_the_serial_is_the_same_on_every_start_and_whatever_is_up() {
    let asked = query("kid.example.com", "SOA");
    let served = ask(&asked).answers();
    let mut again = world();
    assert_eq!(again.ask(&asked).1.answers(), served, "loaded a second time");
    again.measure(|_| true);
    assert_eq!(again.ask(&asked).1.answers(), served, "everything is down");
}

fn sorted(reply: &Reply) -> Vec<String> {
    let mut answers = reply.answers();
    answers.sort();
    answers
}

/// Records of every type that the zone has, through both readers, as they were written.
#[test]
fn records_come_out_as_they_were_written() {
    let answers = |name: &str, qtype: &str| sorted(&ask(&query(name, qtype)));
    assert_eq!(answers("example.com", "NS"), ["example.com. 300 NS NS2.example.com.", "example.com. 300 NS ns1.example.com."]);
    assert_eq!(answers("example.com", "MX"), ["example.com. 300 MX 10 mail.example.com.", "example.com. 300 MX 20 mail.example.net."]);
    assert_eq!(answers("example.com", "TXT"), ["example.com. 300 TXT v=spf1 -all"]);
    assert_eq!(answers("_sip._udp.example.com", "SRV"), ["_sip._udp.example.com. 300 SRV 0 5 5060 mail.example.com."]);
    assert_eq!(answers("example.com", "CAA").len(), 1);
    assert_eq!(answers("www.example.com", "TXT"), ["www.example.com. 300 TXT beside"], "other types stand beside a steered name");
    assert_eq!(world().compiled.catalog.zones.zones().len(), 4);
}

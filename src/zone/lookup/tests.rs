//! Look-ups in small zones, rule by rule.
//! Nothing here writes a reply; what is found is compared as a word and a detail.

use super::*;
use crate::diag::{Diagnostics, Mark};
use crate::wire::query;
use crate::zone::build::{Builder, Soa};
use crate::zone::rrset::rdata_from_text;

fn name(text: &str) -> Name {
    Name::parse(text, None).unwrap()
}

fn builder(apex: &str, records: &[(&str, u16, &str)]) -> (Builder, Mark) {
    let (apex, mark) = (name(apex), Mark::path("test.zone.yaml"));
    let mut builder = Builder::new(apex.clone(), 300, mark.clone());
    let (mname, rname) = (apex.prepend(b"ns1").unwrap(), apex.prepend(b"hostmaster").unwrap());
    builder.soa(Soa { mname, rname, serial: Some(1), refresh_s: 1, retry_s: 1, expire_s: 1, minimum_s: 60, ttl_s: 300 });
    for (owner, rtype, text) in records {
        let owner = Name::parse(owner, Some(&apex)).unwrap();
        builder.rrset(&owner, Rrset::new(*rtype, 300, &[rdata_from_text(*rtype, text, &apex).unwrap()]), mark.clone());
    }
    (builder, mark)
}

fn zone(apex: &str, records: &[(&str, u16, &str)]) -> Zone {
    let mut diagnostics = Diagnostics::new();
    let zone = builder(apex, records).0.finish(&mut diagnostics);
    zone.unwrap_or_else(|| panic!("{diagnostics}"))
}

fn errors(apex: &str, records: &[(&str, u16, &str)]) -> String {
    let mut diagnostics = Diagnostics::new();
    assert!(builder(apex, records).0.finish(&mut diagnostics).is_none());
    diagnostics.to_string()
}

/// What the zones say of a name and type, as one word and a detail.
fn find(zones: &Zones, qname: &str, qtype: u16) -> String {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name(qname).as_wire());
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let query = query::parse(&message).unwrap_or_else(|fault| panic!("{fault:?}"));
    let mut lower = QName::default();
    lower.read(&query.question);
    let Some(found) = zones.find(&lower, qtype) else { return "not ours".into() };
    match found.matched {
        Match::Rrset(rrset) => format!("{} in {}", rtype::name(rrset.rtype()), found.zone.apex),
        Match::Steered(id) => format!("steered {}", id.0),
        Match::SteeredRecords(id) => format!("other types steered {}", id.0),
        Match::Hinted(rrset, id) => format!("{} with hints of steered {}", rtype::name(rrset.rtype()), id.0),
        Match::Alias(_, alias) => format!("alias of {}", alias.name),
        Match::Dname(_, node) => format!("renamed by {}", node.owner),
        Match::NoData => format!("nodata in {}", found.zone.apex),
        Match::Referral(cut) => format!("referral to {}", cut.owner),
        Match::NameError => format!("name error in {}", found.zone.apex),
    }
}

const NS: (&str, u16, &str) = ("@", rtype::NS, "ns1");
const NS1: (&str, u16, &str) = ("ns1", rtype::A, "192.0.2.53");

fn sample() -> Zones {
    Zones::new(vec![
        zone(
            "example.com.",
            &[
                NS,
                NS1,
                ("www", rtype::A, "192.0.2.1"),
                ("a.b.c", rtype::A, "192.0.2.2"),
                ("*.wild", rtype::A, "192.0.2.3"),
                ("below.wild", rtype::MX, "10 mail"),
                ("sub.below2.wild", rtype::A, "192.0.2.4"),
                ("alias", rtype::CNAME, "www"),
                ("deleg", rtype::NS, "ns.deleg"),
                ("ns.deleg", rtype::A, "192.0.2.5"),
                ("child", rtype::NS, "ns1"),
            ],
        ),
        zone("child.example.com.", &[NS, NS1, ("deep", rtype::A, "192.0.2.6")]),
    ])
}

#[test]
fn n2_a_type_that_is_not_there_is_nodata() {
    assert_eq!(find(&sample(), "www.example.com.", rtype::A), "A in example.com.");
    assert_eq!(find(&sample(), "WWW.eXample.com.", rtype::AAAA), "nodata in example.com.");
    assert_eq!(find(&sample(), "www.example.com.", 65_280), "nodata in example.com.");
}

#[test]
fn n3_empty_non_terminals_exist() {
    assert_eq!(find(&sample(), "c.example.com.", rtype::A), "nodata in example.com.");
    assert_eq!(find(&sample(), "x.c.example.com.", rtype::A), "name error in example.com.");
}

#[test]
fn n4_outside_our_zones_nothing_is_found() {
    assert_eq!(find(&sample(), "example.net.", rtype::A), "not ours");
    assert_eq!(find(&sample(), ".", rtype::NS), "not ours");
}

#[test]
fn n6_wildcards_are_blocked_by_existing_names_and_empty_non_terminals() {
    let zones = sample();
    assert_eq!(find(&zones, "x.wild.example.com.", rtype::A), "A in example.com.");
    assert_eq!(find(&zones, "y.x.wild.example.com.", rtype::A), "A in example.com.");
    assert_eq!(find(&zones, "below.wild.example.com.", rtype::A), "nodata in example.com.");
    assert_eq!(find(&zones, "x.below.wild.example.com.", rtype::A), "name error in example.com.");
    assert_eq!(find(&zones, "below2.wild.example.com.", rtype::A), "nodata in example.com.");
    assert_eq!(find(&zones, "wild.example.com.", rtype::A), "nodata in example.com.");
    assert_eq!(find(&zones, "*.wild.example.com.", rtype::A), "A in example.com.");
}

#[test]
fn n7_below_a_cut_is_a_referral_and_ds_is_ours() {
    let zones = sample();
    for (qname, qtype) in [("deleg.example.com.", rtype::A), ("x.deleg.example.com.", rtype::A), ("ns.deleg.example.com.", rtype::A)] {
        assert_eq!(find(&zones, qname, qtype), "referral to deleg.example.com.");
    }
    assert_eq!(find(&zones, "deleg.example.com.", rtype::NS), "referral to deleg.example.com.");
    assert_eq!(find(&zones, "deleg.example.com.", rtype::DS), "nodata in example.com.");
    assert_eq!(find(&zones, "x.deleg.example.com.", rtype::DS), "referral to deleg.example.com.");
}

#[test]
fn n7_the_deepest_apex_wins_and_ds_comes_from_the_parent() {
    let zones = sample();
    assert_eq!(find(&zones, "deep.child.example.com.", rtype::A), "A in child.example.com.");
    assert_eq!(find(&zones, "x.child.example.com.", rtype::A), "name error in child.example.com.");
    assert_eq!(find(&zones, "child.example.com.", rtype::NS), "NS in child.example.com.");
    assert_eq!(find(&zones, "child.example.com.", rtype::DS), "nodata in example.com.");
    assert_eq!(find(&zones, "example.com.", rtype::DS), "nodata in example.com.");
}

#[test]
fn n7_ds_of_an_apex_whose_parent_is_delegated_elsewhere_is_a_referral() {
    let parent = zone("example.com.", &[NS, NS1, ("b", rtype::NS, "ns.example.net."), ("x.c", rtype::A, "192.0.2.1")]);
    let child = |apex: &str| zone(apex, &[NS, NS1]);
    let zones = Zones::new(vec![parent, child("a.b.example.com."), child("y.c.example.com."), child("b.example.org.")]);
    assert_eq!(find(&zones, "a.b.example.com.", rtype::DS), "referral to b.example.com.");
    assert_eq!(find(&zones, "a.b.example.com.", rtype::NS), "NS in a.b.example.com.");
    assert_eq!(find(&zones, "y.c.example.com.", rtype::DS), "nodata in example.com.");
    assert_eq!(find(&zones, "b.example.org.", rtype::DS), "nodata in b.example.org.");
    let glued = [NS, NS1, ("b", rtype::NS, "ns.a.b"), ("ns.a.b", rtype::A, "192.0.2.1")];
    let zones = Zones::new(vec![zone("example.com.", &glued), child("a.b.example.com.")]);
    assert_eq!(find(&zones, "a.b.example.com.", rtype::DS), "referral to b.example.com.");
}

#[test]
fn n7_required_glue_comes_before_what_others_can_give() {
    let apex = name("example.com.");
    let (mut builder, mark) =
        builder("example.com.", &[NS, NS1, ("ns.deleg", rtype::A, "192.0.2.5"), ("ns.deleg", rtype::AAAA, "2001:db8::5")]);
    let hosts = ["ns1", "ns.deleg"].map(|host| rdata_from_text(rtype::NS, host, &apex).unwrap());
    builder.rrset(&name("deleg.example.com."), Rrset::new(rtype::NS, 300, &hosts), mark);
    let zone = builder.finish(&mut Diagnostics::new()).unwrap();
    let cut = zone.nodes.iter().find(|node| !node.glue.is_empty()).unwrap();
    let glue: Vec<_> = cut.glue.iter().map(|glue| (glue.owner.to_string(), glue.rrset.rtype(), glue.required)).collect();
    let required = |rtype: u16| ("ns.deleg.example.com.".to_string(), rtype, true);
    assert_eq!(glue, [required(rtype::A), required(rtype::AAAA), ("ns1.example.com.".into(), rtype::A, false)]);
}

#[test]
fn n8_any_gets_hinfo_and_at_an_alias_the_cname() {
    let zones = sample();
    assert_eq!(find(&zones, "www.example.com.", rtype::ANY), "HINFO in example.com.");
    assert_eq!(find(&zones, "alias.example.com.", rtype::ANY), "CNAME in example.com.");
    assert_eq!(find(&zones, "c.example.com.", rtype::ANY), "nodata in example.com.");
}

#[test]
fn c1_a_cname_answers_every_type_but_itself_and_those_of_dnssec() {
    let zones = sample();
    assert_eq!(find(&zones, "alias.example.com.", rtype::A), "alias of www.example.com.");
    assert_eq!(find(&zones, "alias.example.com.", rtype::CNAME), "CNAME in example.com.");
    assert_eq!(find(&zones, "alias.example.com.", rtype::NSEC), "nodata in example.com.");
}

/// What follows an alias for a type.
fn followed(zones: &Zones, qname: &str, qtype: u16) -> String {
    let zone = &zones.zones()[0];
    let node = zone.nodes.iter().find(|node| node.owner == name(qname)).unwrap();
    match zone.follow(node.alias.as_ref().unwrap(), qtype) {
        None => "outside".into(),
        Some(Match::Rrset(rrset)) => rtype::name(rrset.rtype()).to_string(),
        Some(Match::Referral(cut)) => format!("referral to {}", cut.owner),
        Some(Match::NoData) => "nodata".into(),
        Some(Match::NameError) => "name error".into(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn c2_what_an_alias_leads_to_in_another_zone_is_left_to_that_zone() {
    let aliases = [
        NS,
        NS1,
        ("www", rtype::CNAME, "x.sub"),
        ("apex", rtype::CNAME, "sub"),
        ("cut", rtype::CNAME, "x.cutsub"),
        ("cutsub", rtype::NS, "ns1"),
        ("here", rtype::CNAME, "xsub"),
    ];
    let parent = || zone("example.com.", &aliases);
    let child = |apex: &str| zone(apex, &[NS, NS1, ("x", rtype::A, "192.0.2.1")]);
    let zones = Zones::new(vec![parent(), child("sub.example.com."), child("cutsub.example.com.")]);
    for owner in ["www.example.com.", "apex.example.com."] {
        assert_eq!(followed(&zones, owner, rtype::A), "outside", "{owner}");
    }
    // Where the zone is delegated too, the referral says where it is.
    assert_eq!(followed(&zones, "cut.example.com.", rtype::A), "referral to cutsub.example.com.");
    assert_eq!(followed(&zones, "here.example.com.", rtype::A), "name error");
    let alone = Zones::new(vec![parent()]);
    assert_eq!(followed(&alone, "www.example.com.", rtype::A), "name error");
    assert_eq!(followed(&alone, "cut.example.com.", rtype::A), "referral to cutsub.example.com.");
}

#[test]
fn n7_ds_at_a_cut_is_ours_through_an_alias_too() {
    let ds = "1 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
    let records = [
        NS,
        NS1,
        ("signed", rtype::NS, "ns1"),
        ("signed", rtype::DS, ds),
        ("plain", rtype::NS, "ns1"),
        ("to-signed", rtype::CNAME, "SIGNED"),
        ("to-plain", rtype::CNAME, "plain"),
        ("below", rtype::CNAME, "x.signed"),
    ];
    let zones = Zones::new(vec![zone("example.com.", &records)]);
    assert_eq!(followed(&zones, "to-signed.example.com.", rtype::DS), "DS");
    assert_eq!(followed(&zones, "to-plain.example.com.", rtype::DS), "nodata");
    assert_eq!(followed(&zones, "below.example.com.", rtype::DS), "referral to signed.example.com.");
    assert_eq!(followed(&zones, "to-signed.example.com.", rtype::A), "referral to signed.example.com.");
}

#[test]
fn c1_a_dname_renames_all_below_it_and_answers_at_its_owner() {
    let renamed = [NS, NS1, ("old", rtype::DNAME, "new"), ("old", rtype::TXT, "a"), ("*.new", rtype::A, "192.0.2.1")];
    let zones = Zones::new(vec![zone("example.com.", &renamed)]);
    assert_eq!(find(&zones, "old.example.com.", rtype::DNAME), "DNAME in example.com.");
    assert_eq!(find(&zones, "old.example.com.", rtype::TXT), "TXT in example.com.");
    assert_eq!(find(&zones, "old.example.com.", rtype::A), "nodata in example.com.");
    for qtype in [rtype::A, rtype::DNAME, rtype::CNAME, rtype::ANY, rtype::DS] {
        assert_eq!(find(&zones, "x.old.example.com.", qtype), "renamed by old.example.com.");
    }
    assert_eq!(find(&zones, "*.y.x.OLD.example.com.", rtype::A), "renamed by old.example.com.");
    assert_eq!(find(&zones, "xold.example.com.", rtype::A), "name error in example.com.");
}

#[test]
fn c2_loops_and_long_chains_are_refused_at_load() {
    let loops = errors("example.com.", &[NS, NS1, ("a", rtype::CNAME, "b"), ("b", rtype::CNAME, "a")]);
    assert!(loops.contains("the CNAME of `a.example.com.` leads in a circle"), "{loops}");
    let chain: Vec<(String, String)> = (0..10).map(|step| (format!("c{step}"), format!("c{}", step + 1))).collect();
    let mut records = vec![NS, NS1];
    records.extend(chain.iter().map(|(owner, target)| (owner.as_str(), rtype::CNAME, target.as_str())));
    assert!(errors("example.com.", &records).contains("over more than 8 steps"));
}

#[test]
fn c1_a_cname_stands_alone() {
    assert!(errors("example.com.", &[NS, NS1, ("a", rtype::CNAME, "b"), ("a", rtype::A, "192.0.2.1")]).contains("beside other data"));
    assert!(errors("example.com.", &[NS, NS1, ("@", rtype::CNAME, "b")]).contains("beside other data"));
}

#[test]
fn names_deeper_than_all_of_ours_cost_no_more_probes() {
    let deep = format!("{}x.wild.example.com.", "a.".repeat(100));
    assert_eq!(find(&sample(), &deep, rtype::A), "A in example.com.");
}

#[test]
fn t2_the_serial_left_out_is_a_hash_of_the_content() {
    let serial = |text: &str| {
        let apex = name("example.com.");
        let (mut builder, _) = builder("example.com.", &[NS, NS1, ("www", rtype::A, text)]);
        let soa = Soa { mname: apex.clone(), rname: apex, serial: None, refresh_s: 1, retry_s: 1, expire_s: 1, minimum_s: 1, ttl_s: 1 };
        builder.soa(soa);
        builder.finish(&mut Diagnostics::new()).unwrap().serial
    };
    assert_eq!(serial("192.0.2.1"), serial("192.0.2.1"));
    assert_ne!(serial("192.0.2.1"), serial("192.0.2.2"));
}

//! Look-up: from a name to what the zones say of it, through one flat table of all names (RFC 1034 4.3.2, RFC 4592).
//! Allocates nothing; the work is bounded by the depth of the deepest name that we hold.

use super::rrset::Rrset;
use super::{Alias, Node, SteeringId, Target, Zone, ZoneId};
use crate::name::Name;
use crate::wire::qname::QName;
use crate::wire::rtype;

/// All zones of a catalog and the one table of their names.
#[derive(Debug)]
pub struct Zones {
    zones: Vec<Zone>,
    slots: Box<[Slot]>,
    /// The zone above each zone's apex, if it is here.
    parents: Vec<Option<u32>>,
    /// Labels of the deepest name: a longer question cannot match, so its ancestors are tried from here.
    deepest: usize,
}

/// One place of the open-addressing table; `node` [`FREE`] is an empty one.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    zone: u32,
    node: u32,
}

const FREE: u32 = u32::MAX;

/// In canonical order the apex comes first.
const APEX: u32 = 0;

/// What stands at a node for a question's type.
#[derive(Debug, Clone, Copy)]
pub enum Match<'z> {
    /// Records of the type.
    Rrset(&'z Rrset),
    /// A and AAAA of this name are steered.
    Steered(SteeringId),
    /// An alias; its target is followed inside the zone.
    Alias(&'z Rrset, &'z Alias),
    /// The name lies below the owner of this DNAME: it is renamed, and the new name is looked up (RFC 6672 3.2).
    Dname(&'z Rrset, &'z Node),
    /// The name exists without the type.
    NoData,
    /// Delegated: the node of the cut.
    Referral(&'z Node),
    /// The name does not exist.
    NameError,
}

/// The zone that a question falls into, and what stands there.
#[derive(Debug, Clone, Copy)]
pub struct Found<'z> {
    /// The zone.
    pub zone: &'z Zone,
    /// Its id.
    pub zone_id: ZoneId,
    /// Hash of the owner that answered: the wildcard's own where it was synthesised, the apex's for a name error.
    pub owner_hash: u64,
    /// What stands there.
    pub matched: Match<'z>,
}

impl Zones {
    /// The table over `zones`; a name belongs to the zone with the deepest apex above it (BEHAVIOUR N7).
    pub fn new(zones: Vec<Zone>) -> Zones {
        let count: usize = zones.iter().map(|zone| zone.nodes.len()).sum();
        let free = Slot { hash: 0, zone: 0, node: FREE };
        let mut slots = vec![free; (count * 2).next_power_of_two().max(2)];
        let mut deepest = 0;
        let mut apexes: Vec<(&Name, u32)> = zones.iter().enumerate().map(|(index, zone)| (&zone.apex, index as u32)).collect();
        apexes.sort();
        let parents = zones.iter().map(|zone| zone.apex.parent().and_then(|above| deepest_apex(&apexes, &above))).collect();
        for (zone_index, zone) in zones.iter().enumerate() {
            for (node_index, node) in zone.nodes.iter().enumerate() {
                if deepest_apex(&apexes, &node.owner) == Some(zone_index as u32) {
                    insert(&mut slots, Slot { hash: node.hash, zone: zone_index as u32, node: node_index as u32 });
                    deepest = deepest.max(node.owner.label_count());
                }
            }
        }
        Zones { zones, slots: slots.into(), parents, deepest }
    }

    /// All zones; a [`ZoneId`] is an index here.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// What the zones say of a question; `None` outside all of them.
    pub fn find(&self, qname: &QName, qtype: u16) -> Option<Found<'_>> {
        let labels = qname.label_count();
        let mut skip = labels.saturating_sub(self.deepest);
        let slot = loop {
            match self.probe(qname, skip) {
                Some(slot) => break slot,
                None if skip == labels => return None,
                None => skip += 1,
            }
        };
        let zone = &self.zones[slot.zone as usize];
        let node = &zone.nodes[slot.node as usize];
        if skip == 0
            && slot.node == APEX
            && qtype == rtype::DS
            && let Some(parent) = self.parents[slot.zone as usize]
        {
            return Some(self.delegation_signer(parent, zone));
        }
        Some(self.found(slot.zone, node, skip > 0, qtype))
    }

    /// What a node of a zone answers: for its own name, or (`below`) for a name under it that does not exist.
    fn found<'z>(&'z self, zone_index: u32, node: &'z Node, below: bool, qtype: u16) -> Found<'z> {
        let zone = &self.zones[zone_index as usize];
        let at = |node: u32| &zone.nodes[node as usize];
        let (owner, matched) = match (node.cut.map(at), node.wildcard.map(at)) {
            (Some(cut), _) => (cut, at_cut(cut, below, node, qtype)),
            (None, _) if !below => (node, zone.matched(node, qtype)),
            (None, wildcard) => match (node.rrset(rtype::DNAME), wildcard) {
                (Some(dname), _) => (node, Match::Dname(dname, node)),
                (None, Some(wildcard)) => (wildcard, zone.matched(wildcard, qtype)),
                (None, None) => (at(APEX), Match::NameError),
            },
        };
        Found { zone, zone_id: ZoneId(zone_index), owner_hash: owner.hash, matched }
    }

    /// DS of a zone's apex, asked of the zone above it that is here too: it belongs to the parent's side (RFC 4035 3.1.4.1).
    fn delegation_signer<'z>(&'z self, parent: u32, child: &'z Zone) -> Found<'z> {
        let zone = &self.zones[parent as usize];
        let cut = zone.nodes.binary_search_by(|node| node.owner.cmp(&child.apex)).ok().map(|node| &zone.nodes[node]);
        let matched = cut.and_then(|node| node.rrset(rtype::DS)).map_or(Match::NoData, Match::Rrset);
        Found { zone, zone_id: ZoneId(parent), owner_hash: child.nodes[APEX as usize].hash, matched }
    }

    fn probe(&self, qname: &QName, skip: usize) -> Option<Slot> {
        let hash = qname.suffix_hash(skip);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.node == FREE {
                return None;
            }
            if slot.hash == hash && self.zones[slot.zone as usize].nodes[slot.node as usize].owner.as_wire() == qname.suffix(skip) {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
    }
}

impl Zone {
    /// What a node that is not delegated holds for a type.
    pub fn matched<'z>(&'z self, node: &'z Node, qtype: u16) -> Match<'z> {
        if let Some((steering, [v4, v6])) = node.steering
            && (qtype == rtype::A && v4 || qtype == rtype::AAAA && v6)
        {
            return Match::Steered(steering);
        }
        if let Some(rrset) = node.rrset(qtype) {
            return Match::Rrset(rrset);
        }
        let exists = node.steering.is_some() || !node.rrsets.is_empty();
        match (qtype, &node.alias, node.rrset(rtype::CNAME)) {
            (rtype::RRSIG | rtype::NSEC, ..) => Match::NoData,
            (rtype::ANY, _, Some(cname)) => Match::Rrset(cname),
            (_, Some(alias), Some(cname)) => Match::Alias(cname, alias),
            (rtype::ANY, ..) if exists => Match::Rrset(&self.any),
            _ => Match::NoData,
        }
    }

    /// What stands at an alias's target for a type; `None` when it lies outside the zone.
    pub fn follow<'z>(&'z self, alias: &Alias, qtype: u16) -> Option<Match<'z>> {
        match alias.target {
            Target::Outside => None,
            Target::NameError => Some(Match::NameError),
            Target::Renamed(node) => {
                let node = &self.nodes[node as usize];
                node.rrset(rtype::DNAME).map(|dname| Match::Dname(dname, node))
            }
            Target::Node(node) => {
                let node = &self.nodes[node as usize];
                Some(if node.cut.is_some() { Match::Referral(node) } else { self.matched(node, qtype) })
            }
        }
    }
}

/// At the cut itself DS is ours (RFC 4035 3.1.4.1); everything else there and below is delegated.
fn at_cut<'z>(cut: &'z Node, below: bool, asked: &Node, qtype: u16) -> Match<'z> {
    if !below && qtype == rtype::DS && asked.owner == cut.owner {
        return cut.rrset(rtype::DS).map_or(Match::NoData, Match::Rrset);
    }
    Match::Referral(cut)
}

/// Puts a name into the open-addressing table, which is at most half full.
fn insert(slots: &mut [Slot], slot: Slot) {
    let mask = slots.len() - 1;
    let mut at = slot.hash as usize & mask;
    while slots[at].node != FREE {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

/// The zone with the deepest apex at or above `name`; `apexes` is sorted.
fn deepest_apex(apexes: &[(&Name, u32)], name: &Name) -> Option<u32> {
    let mut at = Some(name.clone());
    while let Some(name) = at {
        if let Ok(index) = apexes.binary_search_by(|(apex, _)| (*apex).cmp(&name)) {
            return Some(apexes[index].1);
        }
        at = name.parent();
    }
    None
}

#[cfg(test)]
mod tests {
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
}

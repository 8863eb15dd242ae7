//! Look-up: from a name to what the zones say of it, through one flat table of all names (RFC 1034 4.3.2, RFC 4592).
//! Allocates nothing; the work is bounded by the depth of the deepest name that we hold.

mod ahead;

use super::rrset::Rrset;
use super::{Alias, Node, Steered, SteeringId, Target, Zone, ZoneId};
use crate::name::Name;
use crate::wire::qname::QName;
use crate::wire::rtype;

/// All zones of a catalog and the one table of their names.
#[derive(Debug)]
pub struct Zones {
    zones: Vec<Zone>,
    slots: Box<[Slot]>,
    /// The zone above each zone's apex, if it is here, and in it the deepest node at or above the apex.
    parents: Vec<Option<(u32, u32)>>,
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
    /// SVCB or HTTPS records beside steered addresses, which are hints of theirs (RFC 9460 7.3).
    Hinted(&'z Rrset, SteeringId),
    /// Some other types of this name are steered: perhaps this one, or the alias that stands for all.
    SteeredRecords(SteeringId),
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
    pub fn new(mut zones: Vec<Zone>) -> Zones {
        leave_to_other_zones(&mut zones);
        let count: usize = zones.iter().map(|zone| zone.nodes.len()).sum();
        let free = Slot { hash: 0, zone: 0, node: FREE };
        let mut slots = vec![free; (count * 2).next_power_of_two().max(2)];
        let mut deepest = 0;
        let apexes = sorted_apexes(&zones);
        let parents = zones.iter().map(|zone| {
            let parent = deepest_apex(&apexes, &zone.apex.parent()?)?;
            Some((parent, deepest_node(&zones[parent as usize], &zone.apex)))
        });
        let parents = parents.collect();
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
    #[inline]
    pub fn find<const N: usize>(&self, qname: &QName<N>, qtype: u16) -> Option<Found<'_>> {
        // Most ask for names that are there.
        match self.probe((qname.as_wire(), qname.hash())) {
            Some((APEX, zone, _)) if qtype == rtype::DS => Some(self.apex_signer(zone)),
            Some((_, zone, node)) => Some(self.found(zone, node, false, qtype)),
            None => self.find_above(qname, qtype),
        }
    }

    /// The same for a name that is not there itself.
    fn find_above<const N: usize>(&self, qname: &QName<N>, qtype: u16) -> Option<Found<'_>> {
        let too_deep = qname.label_count().saturating_sub(self.deepest);
        let (_, zone, node) = qname.suffixes().skip(too_deep.max(1)).find_map(|suffix| self.probe(suffix))?;
        Some(self.found(zone, node, true, qtype))
    }

    /// What one zone says of a name that it has led to itself; of a zone below it, it says only where that is delegated.
    pub fn find_in(&self, zone: ZoneId, qname: &QName, qtype: u16) -> Option<Found<'_>> {
        let found = self.find(qname, qtype)?;
        if found.zone_id == zone {
            return Some(found);
        }
        let above = |below: &u32| self.parents[*below as usize].map(|(parent, _)| parent);
        let child = std::iter::successors(Some(found.zone_id.0), above).find(|below| above(below) == Some(zone.0))?;
        let (zone_id, zone) = (zone, &self.zones[zone.0 as usize]);
        let cut = zone.node(&self.zones[child as usize].apex).and_then(|node| node.cut)?;
        let node = &zone.nodes[cut as usize];
        Some(Found { zone, zone_id, owner_hash: node.hash, matched: Match::Referral(node) })
    }

    /// DS of an apex.
    #[cold]
    fn apex_signer(&self, zone_index: u32) -> Found<'_> {
        let zone = &self.zones[zone_index as usize];
        match self.parents[zone_index as usize] {
            Some((parent, above)) => self.delegation_signer(parent, above, zone),
            None => self.found(zone_index, &zone.nodes[APEX as usize], false, rtype::DS),
        }
    }

    /// What a node of a zone answers: for its own name, or (`below`) for a name under it that does not exist.
    #[inline]
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

    /// DS of a zone's apex, asked of the zone above it that is here too: it belongs to the parent's side (RFC 4035 3.1.4.1),
    /// which is elsewhere when a delegation lies between the two.
    fn delegation_signer<'z>(&'z self, parent: u32, above: u32, child: &'z Zone) -> Found<'z> {
        let zone = &self.zones[parent as usize];
        let (node, child) = (&zone.nodes[above as usize], &child.nodes[APEX as usize]);
        let below = node.owner != child.owner;
        let (owner, matched) = match node.cut.map(|cut| &zone.nodes[cut as usize]) {
            Some(cut) => (cut, at_cut(cut, below, node, rtype::DS)),
            None => (child, node.rrset(rtype::DS).filter(|_| !below).map_or(Match::NoData, Match::Rrset)),
        };
        Found { zone, zone_id: ZoneId(parent), owner_hash: owner.hash, matched }
    }

    /// A name with its hash: its place in its zone, the zone, and the node.
    #[inline]
    fn probe(&self, (name, hash): (&[u8], u64)) -> Option<(u32, u32, &Node)> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.node == FREE {
                return None;
            }
            if slot.hash == hash {
                let node = &self.zones[slot.zone as usize].nodes[slot.node as usize];
                if node.owner.as_wire() == name {
                    return Some((slot.node, slot.zone, node));
                }
            }
            at = (at + 1) & mask;
        }
    }
}

impl Zone {
    /// The node of a name, if it exists.
    fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.owner.cmp(name)).ok().map(|index| &self.nodes[index])
    }

    /// Where a name leads, if it has a CNAME here.
    pub fn alias_of(&self, name: &Name) -> Option<Name> {
        Some(self.node(name)?.alias.as_ref()?.name.to_lowercase())
    }

    /// What a node that is not delegated holds for a type.
    #[inline]
    pub fn matched<'z>(&'z self, node: &'z Node, qtype: u16) -> Match<'z> {
        if let Some((steering, Steered { families: [v4, v6], .. })) = node.steering
            && (qtype == rtype::A && v4 || qtype == rtype::AAAA && v6)
        {
            return Match::Steered(steering);
        }
        match node.rrset(qtype) {
            Some(rrset) if matches!(qtype, rtype::SVCB | rtype::HTTPS) => match node.steering {
                Some((steering, _)) => Match::Hinted(rrset, steering),
                None => Match::Rrset(rrset),
            },
            Some(rrset) => Match::Rrset(rrset),
            None => self.matched_otherwise(node, qtype),
        }
    }

    /// The same where no records of the type are.
    fn matched_otherwise<'z>(&'z self, node: &'z Node, qtype: u16) -> Match<'z> {
        let exists = node.steering.is_some() || !node.rrsets.is_empty();
        match (qtype, &node.alias, node.rrset(rtype::CNAME)) {
            (rtype::RRSIG | rtype::NSEC, ..) => Match::NoData,
            _ if let Some(steering) = node.steers_besides(qtype) => Match::SteeredRecords(steering),
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
                Some(match node.cut {
                    // The name of the cut itself, or one below it: only of the former is DS ours.
                    Some(_) => at_cut(node, alias.name != node.owner, node, qtype),
                    None => self.matched(node, qtype),
                })
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

/// The deepest node of a zone at or above a name inside it.
fn deepest_node(zone: &Zone, name: &Name) -> u32 {
    let mut at = Some(name.clone());
    while let Some(name) = at {
        if let Ok(index) = zone.nodes.binary_search_by(|node| node.owner.cmp(&name)) {
            return index as u32;
        }
        at = name.parent();
    }
    APEX
}

/// The apexes with the indexes of their zones, in canonical order.
fn sorted_apexes(zones: &[Zone]) -> Vec<(&Name, u32)> {
    let mut apexes: Vec<(&Name, u32)> = zones.iter().enumerate().map(|(index, zone)| (&zone.apex, index as u32)).collect();
    apexes.sort();
    apexes
}

/// A zone was built knowing itself alone: what its aliases lead to may lie in a zone below it that is here too. Where that zone
/// is delegated the answer ends in the referral all the same; else nothing here may speak for it.
fn leave_to_other_zones(zones: &mut [Zone]) {
    let apexes = sorted_apexes(zones);
    let mut outside = Vec::new();
    for (zone_index, zone) in zones.iter().enumerate() {
        let aliases = zone.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.alias.as_ref()?)));
        let is_delegated = |target| matches!(target, Target::Node(node) if zone.nodes[node as usize].cut.is_some());
        let is_ours = |alias: &Alias| deepest_apex(&apexes, &alias.name) == Some(zone_index as u32);
        let leaves = |alias: &Alias| alias.target != Target::Outside && !is_delegated(alias.target) && !is_ours(alias);
        outside.extend(aliases.filter(|(_, alias)| leaves(alias)).map(|(index, _)| (zone_index, index)));
    }
    for (zone, node) in outside {
        if let Some(alias) = &mut zones[zone].nodes[node].alias {
            alias.target = Target::Outside;
        }
    }
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
mod tests;

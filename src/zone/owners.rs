//! The existing names of a zone in canonical order, each with its parent, its cut and its wildcard: the shape that checks and nodes are made from.
//! Linear after one sort; a name is found by its hash. Nothing here runs per query.

use std::ops::Range;

use super::rrset::Rrset;
use super::{Steered, SteeringId};
use crate::diag::{Diagnostics, Mark};
use crate::name::Name;
use crate::wire::rtype;

/// Octets of a sort key that are compared without following a pointer.
const KEY_PREFIX: usize = 16;

/// No owner.
const FREE: u32 = u32::MAX;

/// The apex comes first in canonical order.
pub(super) const APEX: u32 = 0;

/// One thing that was written for an owner.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) owner: Name,
    pub(super) what: What,
    pub(super) mark: Mark,
}

/// What was written.
#[derive(Debug)]
pub(super) enum What {
    /// All records of one type.
    Records(Rrset),
    /// What is steered, and of which other types (no address families) any region has records.
    Steered(SteeringId, Steered, Box<[u16]>),
}

/// One existing name, empty non-terminals included.
#[derive(Debug)]
pub(super) struct Owner {
    /// In lower case.
    pub(super) name: Name,
    pub(super) hash: u64,
    /// The name without its first label; the apex is its own.
    pub(super) parent: u32,
    /// The delegation at or above it.
    pub(super) cut: Option<u32>,
    /// The node `*` directly below it.
    pub(super) wildcard: Option<u32>,
    pub(super) steering: Option<(SteeringId, Steered, Box<[u16]>, Mark)>,
    sets: Range<u32>,
}

impl Owner {
    /// How many RRsets it has.
    pub(super) fn set_count(&self) -> usize {
        self.sets.len()
    }
}

/// All existing names.
#[derive(Debug)]
pub(super) struct Owners {
    list: Vec<Owner>,
    /// By owner, then by type.
    sets: Vec<(Rrset, Mark)>,
    /// Open addressing over `list`, at most half full.
    slots: Box<[u32]>,
}

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Another zone's.
    Outside,
    /// At or below this delegation.
    Delegated(u32),
    /// This owner answers: the name itself, or the wildcard that covers it (RFC 4592 3.3.1).
    Owner(u32),
    /// Below this owner of a DNAME (RFC 6672).
    Renamed(u32),
    /// Nothing.
    NameError,
}

impl Owners {
    /// Sorts what was written; types that stand twice at an owner and owners outside the zone are reported and left out.
    pub(super) fn new(apex: &Name, mut entries: Vec<Entry>, out: &mut Diagnostics) -> Owners {
        entries.retain(|entry| is_inside(apex, entry, out));
        entries.sort_by_cached_key(|entry| (Key::of(&entry.owner, apex), entry.what.rtype()));
        let mut owners =
            Owners { list: Vec::with_capacity(entries.len() + 1), sets: Vec::with_capacity(entries.len()), slots: Box::default() };
        owners.push(apex.to_lowercase(), APEX);
        for entry in entries {
            owners.make_current(&entry.owner);
            owners.add(entry, out);
        }
        owners.inherit_cuts();
        owners.index();
        owners
    }

    /// All, in canonical order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Owner)> {
        (0..).zip(&self.list)
    }

    pub(super) fn at(&self, index: u32) -> &Owner {
        &self.list[index as usize]
    }

    pub(super) fn apex(&self) -> &Name {
        &self.at(APEX).name
    }

    /// The RRsets of an owner by ascending type, each with its place.
    pub(super) fn sets(&self, owner: &Owner) -> &[(Rrset, Mark)] {
        &self.sets[owner.sets.start as usize..owner.sets.end as usize]
    }

    /// The RRset of an owner and type.
    pub(super) fn set(&self, owner: &Owner, rtype: u16) -> Option<&(Rrset, Mark)> {
        self.sets(owner).iter().find(|(rrset, _)| rrset.rtype() == rtype)
    }

    /// Where the only record of an alias leads: a CNAME's or a DNAME's target.
    pub(super) fn target(&self, owner: &Owner, rtype: u16) -> Option<Name> {
        self.set(owner, rtype)?.0.targets().next()
    }

    /// Whether an owner has addresses, steered or not.
    pub(super) fn has_address(&self, owner: &Owner) -> bool {
        owner.steering.is_some() || self.set(owner, rtype::A).is_some() || self.set(owner, rtype::AAAA).is_some()
    }

    /// Where an owner was written, or for an empty non-terminal the first owner below it.
    pub(super) fn first_mark(&self, index: u32) -> Option<&Mark> {
        let written = |owner: &'_ Owner| owner.steering.is_some() || !owner.sets.is_empty();
        let owner = self.list[index as usize..].iter().find(|owner| written(owner))?;
        self.sets(owner).first().map(|(_, mark)| mark).or(owner.steering.as_ref().map(|(.., mark)| mark))
    }

    /// The owner of exactly this name.
    pub(super) fn find(&self, name: &Name) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let hash = name.hash64();
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                FREE => return None,
                index if self.at(index).hash == hash && self.at(index).name == *name => return Some(index),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// What stands at a name, as a look-up would see it.
    pub(super) fn place(&self, name: &Name) -> Place {
        if !name.ends_with(self.apex()) {
            return Place::Outside;
        }
        let exact = self.find(name);
        let encloser = exact.unwrap_or_else(|| self.encloser(name));
        let owner = self.at(encloser);
        match (owner.cut, exact, owner.wildcard) {
            (Some(cut), ..) => Place::Delegated(cut),
            (None, Some(index), _) => Place::Owner(index),
            (None, None, _) if self.set(owner, rtype::DNAME).is_some() => Place::Renamed(encloser),
            (None, None, Some(wildcard)) => Place::Owner(wildcard),
            (None, None, None) => Place::NameError,
        }
    }

    /// The names with their hashes, cuts and so on, and all RRsets in the order of the names, for the nodes.
    pub(super) fn into_parts(self) -> (Vec<Owner>, impl Iterator<Item = Rrset>) {
        (self.list, self.sets.into_iter().map(|(rrset, _)| rrset))
    }

    /// The closest existing ancestor of a name in the zone that does not exist (RFC 4592 3.3.1).
    fn encloser(&self, name: &Name) -> u32 {
        let mut at = name.parent();
        while let Some(name) = at {
            if let Some(index) = self.find(&name) {
                return index;
            }
            at = name.parent();
        }
        APEX
    }

    /// Makes `name` the last owner; the names between it and its closest ancestor exist as well (RFC 4592 2.2.2, RFC 8020).
    fn make_current(&mut self, name: &Name) {
        let mut above = self.list.len() as u32 - 1;
        if self.at(above).name == *name {
            return;
        }
        // In canonical order the closest ancestor is the last owner or one of its ancestors.
        while !name.ends_with(&self.at(above).name) {
            above = self.at(above).parent;
        }
        let missing = name.label_count() - self.at(above).name.label_count();
        let wire = name.as_wire();
        for skip in (0..missing).rev() {
            let octets: usize = name.labels().take(skip).map(|label| label.len() + 1).sum();
            let Ok(name) = Name::from_wire(&wire[octets..]) else { continue };
            above = self.push(name.to_lowercase(), above);
        }
    }

    fn push(&mut self, name: Name, parent: u32) -> u32 {
        let index = self.list.len() as u32;
        if name.is_wildcard() && index != APEX {
            self.list[parent as usize].wildcard = Some(index);
        }
        let sets = self.sets.len() as u32;
        self.list.push(Owner { hash: name.hash64(), name, parent, cut: None, wildcard: None, steering: None, sets: sets..sets });
        index
    }

    /// Adds to the last owner.
    fn add(&mut self, entry: Entry, out: &mut Diagnostics) {
        let Entry { owner, what, mark } = entry;
        let Some(last) = self.list.last_mut() else { return };
        match what {
            What::Steered(id, steered, types) => last.steering = Some((id, steered, types, mark)),
            What::Records(rrset) => {
                let before = self.sets.last().filter(|_| !last.sets.is_empty());
                if before.is_some_and(|(before, _)| before.rtype() == rrset.rtype()) {
                    let text = format!("`{owner}` has {} twice", rtype::name(rrset.rtype()));
                    out.error_hint(mark, text, "put all values of one type into one list");
                    return;
                }
                self.sets.push((rrset, mark));
                last.sets.end += 1;
            }
        }
    }

    /// Parents stand before their children, so that one pass hands every cut down.
    fn inherit_cuts(&mut self) {
        for index in 1..self.list.len() {
            let owner = &self.list[index];
            let is_cut = self.set(owner, rtype::NS).is_some();
            let above = self.at(owner.parent).cut;
            self.list[index].cut = above.or(is_cut.then_some(index as u32));
        }
    }

    fn index(&mut self) {
        let mut slots = vec![FREE; (self.list.len() * 2).next_power_of_two()];
        let mask = slots.len() - 1;
        for (index, owner) in self.iter() {
            let mut at = owner.hash as usize & mask;
            while slots[at] != FREE {
                at = (at + 1) & mask;
            }
            slots[at] = index;
        }
        self.slots = slots.into();
    }
}

impl What {
    /// The type, for the order; 0 for steering.
    fn rtype(&self) -> u16 {
        match self {
            What::Records(rrset) => rrset.rtype(),
            What::Steered(..) => 0,
        }
    }
}

fn is_inside(apex: &Name, entry: &Entry, out: &mut Diagnostics) -> bool {
    let inside = entry.owner.ends_with(apex);
    if !inside {
        out.error(entry.mark.clone(), format!("`{}` is not in zone `{apex}`", entry.owner));
    }
    inside
}

/// What orders as the names do (RFC 4034 6.1), without the apex that they share: labels from the right in lower case, each ended by a 0.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Big-endian, filled up with zeros.
    prefix: u128,
    rest: Box<[u8]>,
}

impl Key {
    fn of(name: &Name, apex: &Name) -> Key {
        let labels = name.label_count().saturating_sub(apex.label_count());
        let mut octets = Vec::with_capacity(name.as_wire().len() + KEY_PREFIX);
        for label in name.labels().take(labels).rev() {
            for octet in label {
                match octet.to_ascii_lowercase() {
                    // So that no octet of a label is 0, and the order stays.
                    low @ 0..=1 => octets.extend([1, low + 1]),
                    octet => octets.push(octet),
                }
            }
            octets.push(0);
        }
        let rest = octets.get(KEY_PREFIX..).unwrap_or_default().into();
        octets.resize(octets.len().max(KEY_PREFIX), 0);
        Key { prefix: octets.first_chunk().map_or(0, |prefix| u128::from_be_bytes(*prefix)), rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn below(labels: &[Vec<u8>]) -> Name {
        let apex = Name::parse("example.com.", None).unwrap();
        labels.iter().fold(apex, |name, label| name.prepend(label).unwrap())
    }

    proptest! {
        #[test]
        fn keys_order_as_names_do(
            a in prop::collection::vec(prop::collection::vec(0_u8..4, 1..20), 0..4),
            b in prop::collection::vec(prop::collection::vec(0_u8..4, 1..20), 0..4),
            c in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3), 0..4),
        ) {
            let apex = below(&[]);
            let names = [below(&a), below(&b), below(&c), below(&[a.clone(), b.clone()].concat())];
            for (x, y) in names.iter().zip(names.iter().cycle().skip(1)) {
                prop_assert_eq!(Key::of(x, &apex).cmp(&Key::of(y, &apex)), x.canonical_cmp(y), "{} {}", x, y);
            }
        }

        #[test]
        fn every_name_is_found_and_every_ancestor_exists(
            names in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![b"a".to_vec(), b"B".to_vec(), b"*".to_vec()]), 0..4), 0..12)
        ) {
            let mark = Mark::path("t");
            let rrset = Rrset::new(rtype::TXT, 1, &[b"\x01a".to_vec()]);
            let entries = names.iter().map(|labels| Entry { owner: below(labels), what: What::Records(rrset.clone()), mark: mark.clone() });
            let owners = Owners::new(&below(&[]), entries.collect(), &mut Diagnostics::new());
            prop_assert!(owners.list.windows(2).all(|pair| pair[0].name < pair[1].name));
            for labels in &names {
                for depth in 0..=labels.len() {
                    let name = below(&labels[..depth]);
                    let index = owners.find(&name).unwrap();
                    let above = if depth == 0 { name.clone() } else { name.parent().unwrap() };
                    prop_assert_eq!(&owners.at(owners.at(index).parent).name, &above);
                    let wildcard = name.prepend(b"*").ok().and_then(|name| owners.find(&name));
                    prop_assert_eq!(owners.at(index).wildcard, wildcard);
                }
            }
        }
    }
}

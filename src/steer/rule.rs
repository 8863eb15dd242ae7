//! Rules: which clients get some regions first, or only some regions.
//! Matching happens at load against places, never per query; networks and ASNs that rules name are carved into the place table.

use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::{Code, Place, Prefix, RegionId};

/// One rule: if the client matches, some regions first, or these only. The first that matches wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Which clients.
    pub when: When,
    /// What then.
    pub action: Action,
}

/// Keys are AND, the values of one key OR; an empty list does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct When {
    /// Client networks.
    pub networks: Vec<Prefix>,
    /// Autonomous systems.
    pub asns: Vec<u32>,
    /// ISO 3166-1 alpha-2.
    pub countries: Vec<Code>,
    /// Two letters: AF AN AS EU NA OC SA.
    pub continents: Vec<Code>,
    /// ISO 3166-2, with the country and a hyphen (`US-CA`) or without (`CA`).
    pub subdivisions: Vec<String>,
    /// Areas: in any of them.
    pub areas: Vec<Area>,
    /// None of these may match. What is unknown of a client matches nothing, hence any negation.
    pub not: Vec<When>,
}

/// A named set of clients that rules share: whoever matches one of the alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Area {
    /// As the operator calls it.
    pub name: Arc<str>,
    /// Any of them.
    pub alternatives: Arc<[When]>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// These first, in listed order, each its own band; the rest follow by `order`.
    Prefer(Vec<RegionId>),
    /// These by `order`; what becomes of the others says the fence.
    Only(Vec<RegionId>, Fence),
}

/// What `only` means when all inside is out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fence {
    /// The others follow.
    Soft,
    /// The others never follow (BEHAVIOUR S6): inside, fail open holds; where the operator has forced all of it down, these addresses are answered.
    Hard {
        /// Of the plan's address family; at least one where the name offers the family.
        fallback: Vec<IpAddr>,
    },
}

impl Rule {
    /// The regions that are never left, and what is answered when all of them are forced down.
    pub fn hard_fence(&self) -> Option<(&[RegionId], &[IpAddr])> {
        match &self.action {
            Action::Only(regions, Fence::Hard { fallback }) => Some((regions, fallback)),
            _ => None,
        }
    }
}

impl When {
    /// Whether clients at `place` match. The place of a leaf knows the longest named prefix around it, so
    /// membership in every named network follows from that one.
    pub fn matches(&self, place: &Place<'_>) -> bool {
        let any = |list_is_empty: bool, hit: bool| list_is_empty || hit;
        any(self.networks.is_empty(), place.named.is_some_and(|named| self.networks.iter().any(|network| network.covers(&named))))
            && any(self.asns.is_empty(), place.asn.is_some_and(|asn| self.asns.contains(&asn)))
            && any(self.countries.is_empty(), place.country.is_some_and(|code| self.countries.contains(&code)))
            && any(self.continents.is_empty(), place.continent.is_some_and(|code| self.continents.contains(&code)))
            && any(self.subdivisions.is_empty(), self.subdivisions.iter().any(|wanted| subdivision_matches(wanted, place)))
            && any(self.areas.is_empty(), self.areas.iter().any(|area| area.alternatives.iter().any(|when| when.matches(place))))
            && !self.not.iter().any(|when| when.matches(place))
    }

    /// Tells `hear` of this condition and of all that it is made of.
    pub fn each<'w>(&'w self, hear: &mut impl FnMut(&'w When)) {
        hear(self);
        let inner = self.areas.iter().flat_map(|area| area.alternatives.iter()).chain(&self.not);
        inner.for_each(|when| when.each(hear));
    }
}

/// `US-CA` needs the country as well, `CA` only the subdivision.
fn subdivision_matches(wanted: &str, place: &Place<'_>) -> bool {
    let Some(have) = place.subdivision else { return false };
    match wanted.split_once('-') {
        Some((country, part)) => {
            part.eq_ignore_ascii_case(have) && place.country.is_some_and(|code| code.as_str().eq_ignore_ascii_case(country))
        }
        None => wanted.eq_ignore_ascii_case(have),
    }
}

//! Plans: a steering compiled to two arrays over the place table, place -> ranking and range -> scope length.
//! Everything that depends on the client's network only is worked out here, at load; health never enters, so a failover changes no scope.

mod head;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;

use super::Weight;
use super::order::OrderSpec;
use super::rule::Rule;
use crate::geo::{Leaf, PlaceId, PlaceTable, Point, RegionId};
use head::{Ingredients, head};
use tail::{Tail, Tails};

/// Whole bands are ranked, best first, until this many regions are (BEHAVIOUR G4); the rest follow as listed.
/// Eight regions down at once is beyond what nearness can still help with, and rankings stay few and short.
pub const RANKED_REGIONS: usize = 8;

/// Everything that a plan depends on. Names with equal keys share one plan, across reloads too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanKey {
    /// [`PlaceTable::generation`] of the table that the plan lies over.
    pub geo: u64,
    /// Regions that have the address family, in listed order, with the weight that they have for this name.
    pub candidates: Vec<(RegionId, Point, Weight)>,
    /// How they are ordered.
    pub order: OrderSpec,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// Width of a band in metres.
    pub spread_m: u32,
    /// Whether the client's own network may enter the answer beside its ranking (sticky, share by hash).
    pub hashes_clients: bool,
}

/// Why a region stands where it stands in a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// `order` put it there.
    Order,
    /// `networks: {region: X}`.
    Pinned,
    /// `prefer:` of the rule with this index.
    Preferred(u16),
    /// `only:` of the rule with this index: inside the fence.
    Inside(u16),
    /// Outside that fence: used when all inside is out.
    Outside(u16),
    /// Listed order: the place is unknown, or eight regions were ranked already.
    Listed,
    /// Weight 0: behind all others.
    Standby,
}

/// One region of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Index into the candidates.
    pub candidate: u16,
    /// Regions of equal band share their clients; bands count from 0.
    pub band: u16,
    /// Why it stands here.
    pub why: Why,
}

/// A compiled steering of one address family.
///
/// A ranking is a head, stored where it differs, and a tail, which many rankings share: with a thousand regions
/// only the nearest few are stored for each place.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    entries: Box<[Entry]>,
    /// The head of ranking r is `entries[starts[r]..starts[r + 1]]`.
    starts: Box<[u32]>,
    /// Which of `tails` follows the head of each ranking.
    tail_of: Box<[u16]>,
    /// The first as listed, then one for each rule with a fence.
    tails: Box<[Tail]>,
    by_place: Box<[u32]>,
    /// By range; empty where no answer depends on the client.
    scopes: Box<[u8]>,
    has_shared_bands: bool,
}

impl Plan {
    /// Compiles a key over its table. The same inputs give the same plan, bit for bit.
    pub fn compile(key: &PlanKey, table: &PlaceTable) -> Plan {
        let tails = Tails::of(key);
        let (mut entries, mut starts, mut tail_of) = (Vec::new(), vec![0], Vec::new());
        let mut interned: HashMap<Interned, u32> = HashMap::new();
        let mut ranked: HashMap<Ingredients, u32> = HashMap::new();
        let mut ranking_of = |ingredients: &Ingredients| {
            let ranking = Interned { head: head(key, ingredients), tail: tails.after(ingredients.rule) };
            *interned.entry(ranking).or_insert_with_key(|ranking| {
                entries.extend_from_slice(&ranking.head);
                starts.push(entries.len() as u32);
                tail_of.push(ranking.tail);
                tail_of.len() as u32 - 1
            })
        };
        let ranking_of_place = |place| *ranked.entry(Ingredients::of(key, place)).or_insert_with_key(&mut ranking_of);
        let by_place: Box<[u32]> = table.places().iter().map(ranking_of_place).collect();

        let has_shared_bands = interned.keys().any(|ranking| ranking.head.windows(2).any(|pair| pair[0].band == pair[1].band));
        let orders = distinct_orders(&interned);
        // An answer that is the same for every client has scope 0 (BEHAVIOUR S4), and whether the peer stands in for one does not matter.
        let tells_clients_apart = key.hashes_clients || orders.iter().any(|order| *order > 0);
        let scope_key = |place: PlaceId| (orders[by_place[place.0 as usize] as usize], table.kind(place));
        let scopes = if tells_clients_apart { table.scopes(scope_key) } else { Box::default() };
        let tails = tails.list.into();
        Plan { entries: entries.into(), starts: starts.into(), tail_of: tail_of.into(), tails, by_place, scopes, has_shared_bands }
    }

    /// The ranking for a place: all candidates (those inside, under a hard fence), best first, each once.
    #[inline]
    pub fn ranking(&self, place: PlaceId) -> Ranking<'_> {
        Ranking { plan: self, id: self.by_place[place.0 as usize] }
    }

    /// The id of a place's ranking, equal for equal rankings of this plan.
    pub fn ranking_id(&self, place: PlaceId) -> u32 {
        self.by_place[place.0 as usize]
    }

    /// Length of the largest network around a leaf's range on which ranking and kind are constant (BEHAVIOUR S1).
    pub fn scope(&self, leaf: Leaf) -> u8 {
        self.scopes.get(leaf.range.0 as usize).copied().unwrap_or(0)
    }

    /// Whether the place of a client, or its own network, enters the answer.
    pub fn tells_clients_apart(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// How many different rankings there are.
    pub fn ranking_count(&self) -> usize {
        self.tail_of.len()
    }

    /// Whether clients are shared among several regions anywhere.
    pub fn has_shared_bands(&self) -> bool {
        self.has_shared_bands
    }

    /// Memory that the plan holds, in octets.
    pub fn memory_bytes(&self) -> usize {
        let tails: usize = self.tails.iter().map(Tail::memory_bytes).sum();
        let rankings = size_of_val(&*self.entries) + size_of_val(&*self.starts) + size_of_val(&*self.tail_of);
        rankings + tails + size_of_val(&*self.by_place) + size_of_val(&*self.scopes)
    }
}

/// A ranking while it is interned: its head, and which tail follows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Interned {
    head: Vec<Entry>,
    tail: u16,
}

/// For each ranking a number that is equal where candidates and bands are, whatever put them there: what a scope must hold constant.
fn distinct_orders(rankings: &HashMap<Interned, u32>) -> Vec<u32> {
    let mut numbers = vec![0; rankings.len()];
    let mut by_id: Vec<(&u32, &Interned)> = rankings.iter().map(|(ranking, id)| (id, ranking)).collect();
    by_id.sort_by_key(|(id, _)| **id);
    let mut known: HashMap<(Vec<(u16, u16)>, u16), u32> = HashMap::new();
    for (id, ranking) in by_id {
        let bands = ranking.head.iter().map(|entry| (entry.candidate, entry.band)).collect();
        let next = known.len() as u32;
        numbers[*id as usize] = *known.entry((bands, ranking.tail)).or_insert(next);
    }
    numbers
}

/// The order of the candidates for one client.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'p> {
    plan: &'p Plan,
    id: u32,
}

impl<'p> Ranking<'p> {
    /// The regions that are ranked for the place, best first; those of one band follow one another. All that most questions need.
    #[inline]
    pub fn head(self) -> &'p [Entry] {
        let at = |ranking: u32| self.plan.starts[ranking as usize] as usize;
        &self.plan.entries[at(self.id)..at(self.id + 1)]
    }

    /// Those that follow when all of the head is out, each its own band.
    #[cold]
    pub fn tail(self) -> impl Iterator<Item = Entry> + 'p {
        let head = self.head();
        let next_band = head.last().map_or(0, |entry| entry.band + 1);
        let behind = self.tail_of_plan().order.iter().filter(move |candidate| head.iter().all(|entry| entry.candidate != **candidate));
        (next_band..).zip(behind).map(|(band, candidate)| Entry { candidate: *candidate, band, why: Why::Listed })
    }

    /// All of it, best first.
    pub fn iter(self) -> impl Iterator<Item = Entry> + 'p {
        self.head().iter().copied().chain(self.tail())
    }

    /// Under a hard fence: the addresses that are answered when everything inside is forced down.
    #[cold]
    pub fn fallback(self) -> Option<&'p [IpAddr]> {
        self.tail_of_plan().fallback.as_deref()
    }

    fn tail_of_plan(self) -> &'p Tail {
        &self.plan.tails[usize::from(self.plan.tail_of[self.id as usize])]
    }
}

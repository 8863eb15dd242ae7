//! Plans: a steering compiled to two arrays over the place table, place -> ranking and range -> scope length.
//! Everything that depends on the client's network only is worked out here, at load; health never enters, so a failover changes no scope.

mod harm;
mod head;
mod rankings;
mod shortlist;
mod tail;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Weight;
use super::order::OrderSpec;
use super::order::latency::Latencies;
use super::rule::Rule;
use crate::geo::intern::LoadMap;
use crate::geo::{Leaf, PlaceId, PlaceTable, Point, RegionId};
use crate::progress::Progress;
pub use harm::Harms;
use head::PlaceReader;
use rankings::Rankings;
use tail::{Tail, Tails};

/// Whole bands are ranked, best first, until this many regions are (BEHAVIOUR G4); the rest follow as listed.
/// Eight regions down at once is beyond what nearness can still help with, and rankings stay few and short.
pub const RANKED_REGIONS: usize = 8;

/// Most entries of all rankings of a plan (128 MiB; as much for each thread while it is compiled): only a `spread` of thousands of kilometres over hundreds of regions comes near it.
const MAX_ENTRIES: usize = 16 << 20;

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
    /// The tier of each candidate, ascending; empty where they are not listed in tiers.
    pub tiers: Vec<u16>,
    /// What `order: latency` compares.
    pub latencies: Option<Arc<Latencies>>,
    /// Width of a band in metres.
    pub spread_m: u32,
    /// Whether the client's own network may enter the answer beside its ranking (sticky, share by hash).
    pub hashes_clients: bool,
    /// Whether a region may shed clients for lack of capacity, those first who are least worse off elsewhere.
    pub sheds: bool,
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

impl fmt::Display for Why {
    /// For people; rules count from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Order => f.write_str("by order"),
            Why::Pinned => f.write_str("first by `networks:`"),
            Why::Preferred(rule) => write!(f, "preferred by rule {}", rule + 1),
            Why::Inside(rule) => write!(f, "inside the fence of rule {}", rule + 1),
            Why::Outside(rule) => write!(f, "outside the fence of rule {}", rule + 1),
            Why::Listed => f.write_str("as listed"),
            Why::Standby => f.write_str("standby (weight 0)"),
        }
    }
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
    ranks_by_place: bool,
    has_shared_bands: bool,
    /// Who leaves a region first that sheds clients; none where no region does.
    harms: Option<Box<Harms>>,
}

/// Why a key cannot be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanTooLarge;

impl fmt::Display for PlanTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its bands hold so many regions for so many places that the plan would be over {} MiB",
            (MAX_ENTRIES * size_of::<Entry>()) >> 20
        )
    }
}

impl std::error::Error for PlanTooLarge {}

impl Plan {
    /// Compiles a key over its table. The same inputs give the same plan, bit for bit.
    pub fn compile(key: &PlanKey, table: &PlaceTable, progress: &Progress) -> Result<Plan, PlanTooLarge> {
        let tails = Tails::of(key);
        let (mut places, mut clients, mut known) = (PlaceReader::new(key), Vec::new(), LoadMap::default());
        let mut by_place = Vec::with_capacity(table.place_count());
        for place in table.places() {
            let client = places.read(&place);
            by_place.push(*known.entry(client).or_insert_with(|| {
                clients.push(client);
                clients.len() as u32 - 1
            }));
        }
        let (mut rankings, by_client) = Rankings::of(key, &places, &tails, &clients, progress)?;
        by_place.iter_mut().for_each(|client| *client = by_client[*client as usize]);
        let orders = rankings.distinct_orders();
        // An answer that is the same for every client has scope 0 (BEHAVIOUR S4), and whether the peer stands in for one does not matter.
        let ranks_by_place = orders.iter().any(|order| *order > 0);
        let tells_clients_apart = key.hashes_clients || ranks_by_place;
        let scope_key = |place: PlaceId| (orders[by_place[place.0 as usize] as usize], table.kind(place));
        let scopes = if tells_clients_apart { table.scopes(scope_key) } else { Box::default() };
        let (has_shared_bands, starts, buckets) = (rankings.have_shared_bands(), rankings.starts(), std::mem::take(&mut rankings.buckets));
        let harms = key.sheds.then(|| Box::new(Harms::weighed(key, table, &by_place, &rankings.entries, &starts, buckets)));
        Ok(Plan {
            entries: rankings.entries.into(),
            starts,
            tail_of: rankings.tail_of.into(),
            tails: tails.list.into(),
            by_place: by_place.into(),
            scopes,
            ranks_by_place,
            has_shared_bands,
            harms,
        })
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

    /// Whether the place of a client enters the answer: with `order: any` all places may rank alike.
    pub fn ranks_by_place(&self) -> bool {
        self.ranks_by_place
    }

    /// How many different rankings there are.
    pub fn ranking_count(&self) -> usize {
        self.tail_of.len()
    }

    /// Whether clients are shared among several regions anywhere.
    pub fn has_shared_bands(&self) -> bool {
        self.has_shared_bands
    }

    /// Who leaves a region first that sheds clients; none where no region of the name has a capacity.
    #[inline]
    pub fn harms(&self) -> Option<&Harms> {
        self.harms.as_deref()
    }

    /// Memory that the plan holds, in octets.
    pub fn memory_bytes(&self) -> usize {
        let tails: usize = self.tails.iter().map(Tail::memory_bytes).sum();
        let rankings = size_of_val(&*self.entries) + size_of_val(&*self.starts) + size_of_val(&*self.tail_of);
        let harms = self.harms.as_deref().map_or(0, Harms::memory_bytes);
        rankings + tails + harms + size_of_val(&*self.by_place) + size_of_val(&*self.scopes)
    }
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

    /// Where the head begins in the list of all heads, which [`Harms`] speaks of.
    pub fn first_entry(self) -> usize {
        self.plan.starts[self.id as usize] as usize
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

//! Heads of rankings: the regions that are worked out for one place, best first, in bands.
//! Whatever depends on health is not known here; what follows a head is for `tail`.

use std::collections::HashMap;

use super::shortlist::Shortlist;
use super::{Entry, PlanKey, RANKED_REGIONS, Why};
use crate::geo::{Code, Place, Point, Prefix, RegionId};
use crate::steer::Weight;
use crate::steer::order::latency::Latencies;
use crate::steer::order::{self, Order};
use crate::steer::rule::{Action, Fence};

/// What of a place enters its ranking: equal ingredients are ranked once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ingredients {
    point: Option<Point>,
    pin: Option<RegionId>,
    pub(super) rule: Option<u16>,
    /// Which of the reader's rows of latencies.
    measured: u32,
}

/// Reads places as a key sees them. Rules are tried once for all places that are alike to them: there are far fewer of those than points.
pub(super) struct PlaceReader<'k, 't> {
    key: &'k PlanKey,
    rules: HashMap<SeenByRules<'t>, Option<u16>>,
    /// Distinct rows of latencies; the first is the empty one.
    rows: Vec<Box<[u32]>>,
    row_ids: HashMap<Box<[u32]>, u32>,
    rows_seen: HashMap<SeenByLatencies, u32>,
}

type SeenByLatencies = (Option<Prefix>, Option<u32>, Option<Code>);
type SeenByRules<'t> = (Option<Code>, Option<Code>, Option<&'t str>, Option<u32>, Option<Prefix>);

impl<'k, 't> PlaceReader<'k, 't> {
    /// Nothing read yet.
    pub(super) fn new(key: &'k PlanKey) -> PlaceReader<'k, 't> {
        let rows = vec![Box::default()];
        PlaceReader { key, rules: HashMap::new(), rows, row_ids: HashMap::from([(Box::default(), 0)]), rows_seen: HashMap::new() }
    }

    /// What of a place matters.
    pub(super) fn read(&mut self, place: &Place<'t>) -> Ingredients {
        let key = self.key;
        // A reserved place has a ranking too: of a peer that asks from there itself. For a client subnet nobody reads it.
        Ingredients {
            point: place.point.filter(|_| key.order.policy().uses_place()),
            pin: place.pin.filter(|pin| key.candidates.iter().any(|(region, ..)| region == pin)),
            rule: if key.rules.is_empty() { None } else { self.rule(place) },
            measured: key.latencies.as_ref().map_or(0, |latencies| self.row(place, latencies)),
        }
    }

    /// The row of latencies that a place was read with, by candidate.
    pub(super) fn measured(&self, client: &Ingredients) -> &[u32] {
        &self.rows[client.measured as usize]
    }

    fn row(&mut self, place: &Place<'t>, latencies: &Latencies) -> u32 {
        let PlaceReader { key, rows, row_ids, rows_seen, .. } = self;
        *rows_seen.entry((place.named, place.asn, place.country)).or_insert_with(|| {
            let row = latencies.from_place(place, key.candidates.iter().map(|(region, ..)| *region));
            *row_ids.entry(row).or_insert_with_key(|row| {
                rows.push(row.clone());
                rows.len() as u32 - 1
            })
        })
    }

    /// The first rule that matches.
    fn rule(&mut self, place: &Place<'t>) -> Option<u16> {
        let seen = (place.country, place.continent, place.subdivision, place.asn, place.named);
        let first = || self.key.rules.iter().position(|rule| rule.when.matches(place)).map(|index| index as u16);
        *self.rules.entry(seen).or_insert_with(first)
    }
}

/// Ranks the candidates of one key for client after client.
pub(super) struct Ranker<'k> {
    key: &'k PlanKey,
    policy: &'static dyn Order,
    shortlist: Shortlist,
}

impl<'k> Ranker<'k> {
    /// Prepares what is the same for all clients.
    pub(super) fn new(key: &'k PlanKey) -> Ranker<'k> {
        Ranker { key, policy: key.order.policy(), shortlist: Shortlist::new(key) }
    }

    /// The regions that are ranked for this client, best first.
    pub(super) fn head(&mut self, client: &Ingredients, measured: &[u32]) -> Vec<Entry> {
        self.shortlist.estimate(client.point, measured);
        let key = self.key;
        let rule = client.rule.map(|index| (index, &key.rules[usize::from(index)]));
        let seen = order::Client { point: client.point, measured };
        let mut head = Head { ranker: self, client: seen, entries: Vec::with_capacity(RANKED_REGIONS), next_band: 0 };
        let fence = rule.and_then(|(_, rule)| rule.hard_fence()).map(|(regions, _)| regions);
        // A hard fence is stronger than a pin (BEHAVIOUR S6).
        if let Some(pin) = client.pin.filter(|pin| fence.is_none_or(|inside| inside.contains(pin))) {
            head.push_listed(&[pin], Why::Pinned);
        }
        match rule.map(|(index, rule)| (index, &rule.action)) {
            Some((index, Action::Prefer(regions))) => head.push_listed(regions, Why::Preferred(index)),
            Some((index, Action::Only(regions, fence))) => {
                head.push_ordered(|region| regions.contains(&region), Some(Why::Inside(index)));
                if *fence != Fence::Soft {
                    return head.entries;
                }
                head.push_ordered(|_| true, Some(Why::Outside(index)));
            }
            None => {}
        }
        head.push_ordered(|_| true, None);
        head.entries
    }

    /// What the order makes of each candidate for a client; none where it has nothing to compare.
    pub(super) fn scores<'c>(&'c self, client: &Ingredients, measured: &'c [u32]) -> impl Fn(u16) -> Option<f64> + 'c {
        let seen = order::Client { point: client.point, measured };
        move |candidate| {
            let judged = self.judged(&seen, candidate);
            judged.measure.filter(|_| self.policy.uses_place()).map(|_| judged.score)
        }
    }

    /// What the order makes of a candidate; of standby regions as of weight 1.
    fn judged(&self, client: &order::Client<'_>, candidate: u16) -> order::Judged {
        let (_, point, weight) = self.key.candidates[usize::from(candidate)];
        let tier = self.key.tiers.get(usize::from(candidate)).copied();
        let seen = order::Candidate { tier, point, weight: weight.unless_zero() };
        self.policy.judge(client, usize::from(candidate), &seen)
    }
}

/// The head of a ranking under construction.
struct Head<'r, 'k> {
    ranker: &'r Ranker<'k>,
    client: order::Client<'r>,
    entries: Vec<Entry>,
    next_band: u16,
}

/// A candidate with what its order said of it.
struct Scored {
    candidate: u16,
    judged: order::Judged,
}

impl Head<'_, '_> {
    fn is_ranked(&self, candidate: u16) -> bool {
        self.entries.iter().any(|entry| entry.candidate == candidate)
    }

    /// Tiers are ranked to the last: what follows a head as listed would be no tier any more.
    fn is_full(&self) -> bool {
        self.entries.len() >= RANKED_REGIONS && self.ranker.key.tiers.is_empty()
    }

    /// Members of a band stand in listed order: which of them is nearer does not matter any more, and equal bands must be equal.
    fn push_band(&mut self, candidates: impl Iterator<Item = u16>, why: Why) {
        let (band, first) = (self.next_band, self.entries.len());
        self.entries.extend(candidates.map(|candidate| Entry { candidate, band, why }));
        self.entries[first..].sort_unstable_by_key(|entry| entry.candidate);
        self.next_band += 1;
    }

    /// Those of `regions` that are candidates, in this order, each its own band.
    fn push_listed(&mut self, regions: &[RegionId], why: Why) {
        for wanted in regions {
            let candidate = self.ranker.key.candidates.iter().position(|(region, ..)| region == wanted).map(|index| index as u16);
            if let Some(candidate) = candidate.filter(|candidate| !self.is_ranked(*candidate)) {
                self.push_band(std::iter::once(candidate), why);
            }
        }
    }

    /// The candidates that are not ranked yet and that `include` admits: positive weights first, standby regions behind them.
    fn push_ordered(&mut self, include: impl Fn(RegionId) -> bool, why: Option<Why>) {
        for standby in [false, true] {
            if self.is_full() {
                return;
            }
            let waits = |candidate: &u16| {
                let (region, _, weight) = self.ranker.key.candidates[usize::from(*candidate)];
                (weight == Weight::ZERO) == standby && include(region) && !self.is_ranked(*candidate)
            };
            // A million places are ranked by threads that share an allocator: what grows step by step would have them wait for one another.
            let mut waiting = Vec::with_capacity(self.ranker.key.candidates.len());
            waiting.extend((0..self.ranker.key.candidates.len() as u16).filter(waits));
            self.ranker.shortlist.reduce(&mut waiting);
            let why = if standby { Some(Why::Standby) } else { why };
            self.push_bands(self.scored(&waiting), why);
        }
    }

    /// Judged by the order, best first. Ties keep the listed order.
    fn scored(&self, waiting: &[u16]) -> Vec<Scored> {
        let judge = |candidate: &u16| Scored { candidate: *candidate, judged: self.ranker.judged(&self.client, *candidate) };
        let mut scored: Vec<Scored> = waiting.iter().map(judge).collect();
        scored.sort_by(|a, b| a.judged.score.total_cmp(&b.judged.score));
        scored
    }

    /// Whole bands, best first, until enough regions are ranked.
    fn push_bands(&mut self, mut waiting: Vec<Scored>, why: Option<Why>) {
        let spread_m = u64::from(self.ranker.key.spread_m);
        while !waiting.is_empty() && !self.is_full() {
            let best = waiting.remove(0);
            let near = |scored: &mut Scored| match (best.judged.measure, scored.judged.measure) {
                (Some(best), Some(measure)) => best.abs_diff(measure) <= spread_m,
                _ => false,
            };
            let others = waiting.extract_if(.., near).map(|scored| scored.candidate);
            let band = std::iter::once(best.candidate).chain(others);
            // Where nothing is known, an order that asks for places falls back on the list.
            let in_the_dark = best.judged.measure.is_none() && self.ranker.policy.uses_place();
            self.push_band(band, why.unwrap_or(if in_the_dark { Why::Listed } else { Why::Order }));
        }
    }
}

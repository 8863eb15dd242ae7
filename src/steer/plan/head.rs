//! Heads of rankings: the regions that are worked out for one place, best first, in bands.
//! Whatever depends on health is not known here; what follows a head is for `tail`.

use super::{Entry, PlanKey, RANKED_REGIONS, Why};
use crate::geo::{Kind, Place, Point, RegionId};
use crate::steer::Weight;
use crate::steer::order;
use crate::steer::rule::{Action, Fence};

/// What of a place enters its ranking: equal ingredients are ranked once.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ingredients {
    point: Option<Point>,
    pin: Option<RegionId>,
    pub(super) rule: Option<u16>,
}

impl Ingredients {
    pub(super) fn of(key: &PlanKey, place: &Place) -> Ingredients {
        let usable = place.kind != Kind::UsePeer;
        Ingredients {
            point: place.point.filter(|_| usable && key.order.policy().uses_place()),
            pin: place.pin.filter(|pin| key.candidates.iter().any(|(region, ..)| region == pin)),
            rule: key.rules.iter().position(|rule| usable && rule.when.matches(place)).map(|index| index as u16),
        }
    }
}

/// The regions that are ranked for this client, best first.
pub(super) fn head(key: &PlanKey, client: &Ingredients) -> Vec<Entry> {
    let rule = client.rule.map(|index| (index, &key.rules[usize::from(index)]));
    let mut head = Head { key, point: client.point, entries: Vec::new(), next_band: 0 };
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

/// The head of a ranking under construction.
struct Head<'k> {
    key: &'k PlanKey,
    point: Option<Point>,
    entries: Vec<Entry>,
    next_band: u16,
}

/// A candidate with what its order said of it.
struct Scored {
    candidate: u16,
    judged: order::Judged,
}

impl Head<'_> {
    fn is_ranked(&self, candidate: u16) -> bool {
        self.entries.iter().any(|entry| entry.candidate == candidate)
    }

    fn push_band(&mut self, candidates: &[u16], why: Why) {
        let band = self.next_band;
        self.entries.extend(candidates.iter().map(|candidate| Entry { candidate: *candidate, band, why }));
        self.next_band += 1;
    }

    /// Those of `regions` that are candidates, in this order, each its own band.
    fn push_listed(&mut self, regions: &[RegionId], why: Why) {
        for wanted in regions {
            let candidate = self.key.candidates.iter().position(|(region, ..)| region == wanted).map(|index| index as u16);
            if let Some(candidate) = candidate.filter(|candidate| !self.is_ranked(*candidate)) {
                self.push_band(&[candidate], why);
            }
        }
    }

    /// The candidates that are not ranked yet and that `include` admits: positive weights first, standby regions behind them.
    fn push_ordered(&mut self, include: impl Fn(RegionId) -> bool, why: Option<Why>) {
        for standby in [false, true] {
            let waiting: Vec<u16> = (0..self.key.candidates.len() as u16)
                .filter(|candidate| {
                    let (region, _, weight) = self.key.candidates[usize::from(*candidate)];
                    (weight == Weight::ZERO) == standby && include(region) && !self.is_ranked(*candidate)
                })
                .collect();
            let why = if standby { Some(Why::Standby) } else { why };
            self.push_bands(self.scored(&waiting), why);
        }
    }

    /// Judged by the order, best first; standby regions as of weight 1. Ties keep the listed order.
    fn scored(&self, waiting: &[u16]) -> Vec<Scored> {
        let policy = self.key.order.policy();
        let judge = |candidate: &u16| {
            let (_, point, weight) = self.key.candidates[usize::from(*candidate)];
            let weight = if weight == Weight::ZERO { Weight::ONE } else { weight };
            let judged = policy.judge(self.point, usize::from(*candidate), &order::Candidate { point, weight });
            Scored { candidate: *candidate, judged }
        };
        let mut scored: Vec<Scored> = waiting.iter().map(judge).collect();
        scored.sort_by(|a, b| a.judged.score.total_cmp(&b.judged.score));
        scored
    }

    /// Whole bands, best first, until enough regions are ranked.
    fn push_bands(&mut self, mut waiting: Vec<Scored>, why: Option<Why>) {
        let in_the_dark = self.point.is_none() && self.key.order.policy().uses_place();
        let why = why.unwrap_or(if in_the_dark { Why::Listed } else { Why::Order });
        while !waiting.is_empty() && self.entries.len() < RANKED_REGIONS {
            let best = waiting.remove(0);
            let near = |scored: &mut Scored| match (best.judged.measure, scored.judged.measure) {
                (Some(best), Some(measure)) => best.abs_diff(measure) <= u64::from(self.key.spread_m),
                _ => false,
            };
            let others: Vec<u16> = waiting.extract_if(.., near).map(|scored| scored.candidate).collect();
            self.push_band(&[&[best.candidate], &others[..]].concat(), why);
        }
    }
}

//! Tails of rankings: the regions that follow when all of a head is out, and where a hard fence ends instead.
//! There are as many as rules with a fence, and one more; they are shared by all places.

use std::net::IpAddr;

use super::{Entry, PlanKey};
use crate::geo::RegionId;
use crate::steer::Weight;
use crate::steer::rule::{Action, Fence};

/// What follows a head when all of it is out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Candidates in the order in which they follow; those in the head are passed over. Under a hard fence only those inside.
    pub(super) order: Box<[u16]>,
    /// Under a hard fence: what is answered when all inside is forced down.
    pub(super) fallback: Option<Box<[IpAddr]>>,
}

impl Tail {
    /// In octets.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Tail>() + size_of_val(&*self.order) + self.fallback.as_deref().map_or(0, size_of_val)
    }
}

/// The tails of a plan while it is compiled.
pub(super) struct Tails {
    pub(super) list: Vec<Tail>,
    by_rule: Vec<u16>,
}

impl Tails {
    /// The tails that the rules need.
    pub(super) fn of(key: &PlanKey) -> Tails {
        let mut tails = Tails { list: vec![Tail { order: listed(key, |_| false), fallback: None }], by_rule: Vec::new() };
        for rule in &key.rules {
            let tail = match &rule.action {
                Action::Prefer(_) => 0,
                Action::Only(regions, fence) => tails.number(fenced_tail(key, regions, fence)),
            };
            tails.by_rule.push(tail);
        }
        tails
    }

    /// Equal tails have one number.
    fn number(&mut self, tail: Tail) -> u16 {
        let known = self.list.iter().position(|known| *known == tail);
        known.unwrap_or_else(|| {
            self.list.push(tail);
            self.list.len() - 1
        }) as u16
    }

    /// The tail behind a head that this rule made. Of those that say the same behind it the first, as what makes no difference must part no scopes.
    pub(super) fn after(&self, rule: Option<u16>, head: &[Entry]) -> u16 {
        let number = rule.map_or(0, |rule| self.by_rule[usize::from(rule)]);
        if number == 0 {
            return 0;
        }
        // The first tail holds all candidates.
        let mut follows = vec![true; self.list[0].order.len()];
        head.iter().for_each(|entry| follows[usize::from(entry.candidate)] = false);
        let is_behind = |candidate: &&u16| follows[usize::from(**candidate)];
        let ours = &self.list[usize::from(number)];
        let same_order = |tail: &Tail| tail.order.iter().filter(is_behind).eq(ours.order.iter().filter(is_behind));
        let says_the_same = |tail: &Tail| tail.fallback == ours.fallback && same_order(tail);
        self.list.iter().position(says_the_same).map_or(number, |first| first as u16)
    }
}

/// All candidates as listed: those that are `first` before the others, and in each part standby regions behind.
fn listed(key: &PlanKey, first: impl Fn(RegionId) -> bool) -> Box<[u16]> {
    let mut order: Box<[u16]> = (0..key.candidates.len() as u16).collect();
    order.sort_by_key(|candidate| {
        let (region, _, weight) = key.candidates[usize::from(*candidate)];
        (!first(region), weight == Weight::ZERO)
    });
    order
}

fn fenced_tail(key: &PlanKey, regions: &[RegionId], fence: &Fence) -> Tail {
    let is_inside = |region| regions.contains(&region);
    let order = listed(key, is_inside);
    match fence {
        Fence::Soft => Tail { order, fallback: None },
        Fence::Hard { fallback } => {
            let inside = order.iter().copied().filter(|candidate| is_inside(key.candidates[usize::from(*candidate)].0));
            Tail { order: inside.collect(), fallback: Some(fallback.as_slice().into()) }
        }
    }
}

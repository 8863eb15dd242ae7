//! One steered name in one world, as a comparison asks it. Clients of one ranking are asked for once, unless the decision hears more of them
//! than that; nothing is decided here.

use std::net::IpAddr;
use std::sync::Arc;

use super::Source;
use crate::geo::{Leaf, PlaceId, RegionId, distance_m};
use crate::health::HealthView;
use crate::health::view::ADMIT_ALL;
use crate::snapshot::Snapshot;
use crate::steer::balance::Turns;
use crate::steer::decide::{Client, Considered, NoTrace, Question, Reason, Standard, Trace, decide, decide_at};
use crate::steer::plan::Entry;
use crate::steer::{Fallback, FamilySteering, OnAllDown, ShareSpec, Steering};

/// What a decision gave, in the ids of its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Served {
    Region(RegionId),
    Fallback,
    Nobody,
}

/// What all clients of a ranking get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The same.
    Same(Served),
    /// What their own networks, or a draw, give them.
    Hashed,
}

/// What two names must have in common to be answered alike.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    plan: usize,
    candidates: Vec<(u32, u32)>,
    share: ShareSpec,
    trickle: u32,
    on_all_down: OnAllDown,
    /// The pools of a fallback service; none where addresses or records are the fallback, of which the flag says whether there are any.
    fallback: (bool, Vec<u32>),
}

/// One steered name in one world.
pub(super) struct Side<'w> {
    pub(super) world: &'w Snapshot,
    steering: &'w Steering,
    family: &'w FamilySteering,
    turns: Turns,
    /// By ranking, as they are asked for.
    answers: Vec<Option<Answer>>,
}

impl<'w> Side<'w> {
    pub(super) fn new(world: &'w Snapshot, steering: &'w Steering, family: &'w FamilySteering) -> Side<'w> {
        let turns = Turns::new(world.catalog.turn_slots);
        Side { world, steering, family, turns, answers: vec![None; family.plan.ranking_count()] }
    }

    pub(super) fn key(&self) -> Key {
        let fallback = match self.family.fallback.as_deref() {
            None => (false, Vec::new()),
            Some(Fallback::Addresses(all)) => (!all.is_empty(), Vec::new()),
            Some(Fallback::Records(_)) => (true, Vec::new()),
            Some(Fallback::Service(family)) => (true, family.candidates.iter().map(|candidate| candidate.pool.0).collect()),
        };
        Key {
            plan: Arc::as_ptr(&self.family.plan).addr(),
            candidates: self.family.candidates.iter().map(|candidate| (candidate.pool.0, candidate.share)).collect(),
            share: self.steering.share,
            trickle: self.steering.trickle,
            on_all_down: self.steering.on_all_down,
            fallback,
        }
    }

    /// What clients with the ranking of this leaf get, of whom this is one.
    pub(super) fn answer(&mut self, leaf: Leaf, address: IpAddr) -> Answer {
        let ranking = self.family.plan.ranking_id(leaf.place) as usize;
        if let Some(answer) = self.answers[ranking] {
            return answer;
        }
        let mut heard = Heard { family: self.family, health: &self.world.health, offered: 0, admits_some: false };
        let served = self.ask(leaf, address, &mut heard);
        let is_hashed = self.steering.trickle > 0 || heard.admits_some || heard.offered > 1;
        let answer = if is_hashed { Answer::Hashed } else { Answer::Same(served) };
        self.answers[ranking] = Some(answer);
        answer
    }

    /// What this client gets.
    pub(super) fn served(&self, leaf: Leaf, address: IpAddr) -> Served {
        self.ask(leaf, address, &mut NoTrace)
    }

    fn ask(&self, leaf: Leaf, address: IpAddr, trace: &mut impl Trace) -> Served {
        let catalog = &self.world.catalog;
        let question = Question {
            steering: self.steering,
            family: self.family,
            table: &catalog.table,
            health: &self.world.health,
            hash_floor: catalog.settings.hash_floor,
            client: Client::peer(address),
            turns: &self.turns,
            // Random shares: one draw for each address, the same in both worlds.
            seed: seed(address),
            now_ms: 0,
        };
        // A network that holds IPv4 addresses has many leaves.
        let decision = if leaf.shift == 0 { decide_at(&question, leaf, trace) } else { decide(&question, trace) };
        match decision.chosen {
            // A region of a fallback service is none of the name's own.
            _ if decision.reason == Reason::Fallback => Served::Fallback,
            Some(candidate) => Served::Region(candidate.region),
            None if decision.is_negative() => Served::Nobody,
            None => Served::Fallback,
        }
    }

    pub(super) fn source(&self, served: Served) -> Source {
        match served {
            Served::Region(id) => Source::Region(self.world.catalog.regions[usize::from(id.0)].name.clone()),
            Served::Fallback => Source::Fallback,
            Served::Nobody => Source::Nobody,
        }
    }

    /// Kilometres from a place to what answers it.
    pub(super) fn km(&self, place: PlaceId, served: Served) -> Option<f64> {
        let Served::Region(id) = served else { return None };
        let point = self.world.catalog.table.place(place).point?;
        Some(f64::from(distance_m(point, self.world.catalog.regions[usize::from(id.0)].location)) / 1000.0)
    }
}

/// Hears whether a decision looks at more of a client than its ranking: where several regions were in the choice, or one admits only some.
struct Heard<'w> {
    family: &'w FamilySteering,
    health: &'w HealthView,
    offered: usize,
    admits_some: bool,
}

impl Trace for Heard<'_> {
    fn standard(&mut self, _standard: Standard) {
        self.offered = 0;
    }

    fn considered(&mut self, entry: Entry, considered: Considered) {
        if !matches!(considered, Considered::Out(_)) {
            let pool = self.family.candidates[usize::from(entry.candidate)].pool;
            self.admits_some |= self.health.pool(pool).admit < ADMIT_ALL;
            self.offered += 1;
        }
    }
}

fn seed(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    };
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

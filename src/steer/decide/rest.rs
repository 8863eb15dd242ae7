//! What is answered besides the regions of a ranking in their order: the trickle to standby regions, and the rest when no region can be chosen.
//! It makes no choice of its own where regions are: that is `decide`'s.

use super::overflow::full;
use super::{Choice, Decision, Endpoints, Next, Question, Reason, Seen, Standard, Trace, answered, at, sharer};
use crate::health::PoolState;
use crate::steer::hash::mix;
use crate::steer::{Candidate, Fallback, NODATA_TTL_S, OnAllDown};

/// Keeps the hash of `trickle` apart from the one that shares a band.
const TRICKLE: u64 = 0x7472_6963;

/// A standby region for this client, if it is one of the few that keep them warm (`trickle`) and one is available.
#[cold]
pub(super) fn trickled<'w, T: Trace>(question: &Question<'w>, seen: &Seen, trace: &mut T) -> Option<Decision<'w>> {
    let sharer = sharer(question, seen);
    if (mix(sharer, TRICKLE) >> 32) >= u64::from(question.steering.trickle) {
        return None;
    }
    let is_standby = |candidate: u16| question.family.candidates[usize::from(candidate)].standby;
    let harms = question.family.plan.harms();
    let is_full = |entry| harms.is_some_and(|harms| full(question, seen, harms, (None, entry), false).is_some());
    let mut choice = Choice::new(sharer);
    let mut standby = question.family.plan.ranking(seen.place).iter().filter(|entry| is_standby(entry.candidate) && !is_full(*entry));
    _ = standby.any(|entry| choice.consider(question, entry, seen.client, Standard::Available, None, trace) == Next::Complete);
    let decision = answered(question, seen, &choice, Standard::Available, trace)?;
    Some(Decision { reason: Reason::Trickle, ..decision })
}

/// No region can be chosen. What is empty is so for everyone (BEHAVIOUR S6): where a hard fence keeps this client from regions that others
/// may have, its own addresses are answered.
#[cold]
pub(super) fn nothing<'w>(question: &Question<'w>, seen: &Seen) -> Decision<'w> {
    let steering = question.steering;
    let nobody = Decision {
        chosen: None,
        endpoints: Endpoints::default(),
        health: question.health,
        fallback: &[],
        ttl_s: steering.ttl_s.min(NODATA_TTL_S),
        scope: 0,
        reason: Reason::NoData,
    };
    // All of it is down on purpose: that is no failure to report or to mend (BEHAVIOUR P2).
    let is_forced_down = |candidate: &Candidate| question.health.pool(candidate.pool).state == PoolState::ForcedDown;
    if question.family.candidates.iter().all(is_forced_down) {
        return nobody;
    }
    let ttl_s = steering.ttl_s.min(steering.fail_open_ttl_s);
    let addresses = |all: &'w [std::net::IpAddr]| {
        let fallback = &all[..all.len().min(usize::from(steering.answers))];
        Decision { fallback, ttl_s, scope: seen.scope, reason: Reason::Fallback, ..nobody }
    };
    match (question.family.plan.ranking(seen.place).fallback(), steering.on_all_down, question.family.fallback.as_deref()) {
        (Some(all @ [_, ..]), ..) => addresses(all),
        (_, OnAllDown::Servfail, _) => Decision { reason: Reason::ServFail, ..nobody },
        (_, OnAllDown::Refuse, _) => Decision { reason: Reason::Refused, ..nobody },
        (_, _, Some(Fallback::Addresses(all))) if !all.is_empty() => addresses(all),
        // The caller knows them.
        (_, _, Some(Fallback::Records(_))) => Decision { ttl_s, scope: seen.scope, reason: Reason::Fallback, ..nobody },
        (_, _, Some(Fallback::Service(family))) => {
            let question = Question { family, ..*question };
            let decision = OnAllDown::Open.standards().iter().find_map(|standard| at(&question, seen, *standard, &mut super::NoTrace));
            decision.map_or(nobody, |decision| Decision { ttl_s: decision.ttl_s.min(ttl_s), reason: Reason::Fallback, ..decision })
        }
        _ => nobody,
    }
}

//! The decision while all is in order: the regions of the first band take all their clients, and no change of them is foreseen.
//! It says what [`decide`](super::decide()) would, in a third of the time, and leaves everything else to it.

use std::net::IpAddr;

use super::{Endpoints, HashFloor, Reason, client_hash, scope};
use crate::geo::{Kind, PlaceTable, RegionId};
use crate::health::HealthView;
use crate::steer::balance::{Pick, Positions, Turns};
use crate::steer::hash::Rendezvous;
use crate::steer::{Candidate, FamilySteering, ShareSpec, Steering};

/// A decision of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// The region.
    pub region: RegionId,
    /// ECS scope prefix length; 0 where nothing depends on the client.
    pub scope: u8,
    /// Why this region.
    pub reason: Reason,
}

/// Decides for a client, of whose address `source_length` bits are known, and gives `put` each address of the answer; its TTL is the one of the name. `turns` and `seed` as in
/// [`Question`](super::Question). No turn is taken where it does not decide.
#[inline(always)]
pub fn plain(
    (steering, family): (&Steering, &FamilySteering),
    (table, hash_floor): (&PlaceTable, HashFloor),
    health: &HealthView,
    (client, source_length): (IpAddr, u8),
    (turns, seed): (&Turns, u64),
    mut put: impl FnMut(IpAddr) -> Option<()>,
) -> Option<Plain> {
    let plan = &*family.plan;
    let leaf = table.locate(client, source_length);
    if table.kind(leaf.place) == Kind::UsePeer || steering.trickle > 0 || plan.harms().is_some() {
        return None;
    }
    let (first, others) = plan.ranking(leaf.place).head().split_first()?;
    let candidate = |candidate: u16| {
        let candidate = family.candidates.get(usize::from(candidate))?;
        health.is_in_order(candidate.pool).then_some(candidate)
    };
    let mut chosen = candidate(first.candidate)?;
    let mut reason = Reason::of(first.why);
    if others.first().is_some_and(|second| second.band == first.band) {
        let sharer = if steering.share == ShareSpec::Random { seed } else { client_hash(hash_floor, (client, leaf)) };
        let mut band = Rendezvous::new(sharer);
        band.offer(chosen.identity, chosen.share, chosen);
        for entry in others.iter().take_while(|entry| entry.band == first.band) {
            let candidate = candidate(entry.candidate)?;
            band.offer(candidate.identity, candidate.share, candidate);
        }
        (chosen, reason) = (band.best()?, Reason::Shared);
    }
    match &*chosen.endpoints {
        [endpoint] if health.endpoint_up(endpoint.id) && health.seat(endpoint.id).is_none() => put(endpoint.address)?,
        [_] => return None,
        endpoints => {
            let endpoint_at = several(steering, chosen, health, client_hash(hash_floor, (client, leaf)), (turns, seed))?;
            endpoint_at
                .iter()
                .try_for_each(|at| put(health.seat(endpoints[at].id).map_or(endpoints[at].address, |(address, _)| address)))?;
        }
    }
    let scope = scope(family, hash_floor, client, leaf);
    Some(Plain { region: chosen.region, scope, reason })
}

/// Which of several endpoints are answered; none where none of them is up. Apart, so that a region with one has its registers for itself.
#[inline(never)]
fn several(steering: &Steering, chosen: &Candidate, health: &HealthView, client: u64, (turns, seed): (&Turns, u64)) -> Option<Endpoints> {
    let mut living = Positions::default();
    let are_up = chosen.endpoints.iter().enumerate().filter(|(_, endpoint)| health.endpoint_up(endpoint.id));
    are_up.for_each(|(position, _)| living.add(position));
    let pick = Pick { endpoints: &chosen.endpoints, health, living, turns, slot: chosen.slot, seed, client };
    (!living.is_empty()).then(|| Endpoints::rotated(steering, &pick))
}

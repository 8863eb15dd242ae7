//! Reading ahead: before a batch of messages is answered, brings what their answers are made of into the cache, all of them a step further at
//! a time, so that the processor waits for the memory once for many and not for each. It decides nothing: what it reads is thrown away.

use std::hint::black_box;
use std::net::IpAddr;

use crate::geo::{Family, Leaf};
use crate::snapshot::Snapshot;
use crate::steer::FamilySteering;
use crate::wire::early;
use crate::wire::qname::QName;
use crate::zone::SteeringId;

/// Messages that go step by step together: the size of a batch. More would push each other out of the first-level cache.
pub const TOGETHER: usize = 64;

/// What one worker keeps from batch to batch to read ahead. All that it knows are guesses; a wrong one costs a little time.
pub struct Ahead {
    qname: Box<QName>,
    hashes: Vec<u64>,
    clients: Vec<IpAddr>,
    leaves: Vec<Leaf>,
    /// The steered name that was answered last: what others are after too, or a name with the same plan.
    likely: Option<SteeringId>,
}

impl Default for Ahead {
    fn default() -> Ahead {
        let (hashes, clients, leaves) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER));
        Ahead { qname: Box::default(), hashes, clients, leaves, likely: None }
    }
}

impl Ahead {
    /// Notes which steered name was answered.
    #[inline]
    pub fn note(&mut self, steering: Option<SteeringId>) {
        self.likely = steering.or(self.likely);
    }

    /// Reads what the messages of a batch will be answered from, each with its peer; those after the first [`TOGETHER`] are left out.
    pub fn read<'q>(&mut self, world: &Snapshot, messages: impl Iterator<Item = (&'q [u8], IpAddr)> + Clone) {
        let catalog = &*world.catalog;
        if catalog.zones.are_large() {
            self.hashes.clear();
            self.hashes.extend(messages.clone().take(TOGETHER).filter_map(|(message, _)| self.qname.read_early(message)));
            catalog.zones.read_ahead(&self.hashes);
        }
        if let Some(steering) = self.likely.and_then(|id| catalog.steerings.get(id.0 as usize)) {
            self.clients.clear();
            self.clients.extend(messages.take(TOGETHER).map(|(message, peer)| early::client(message).unwrap_or(peer)));
            catalog.table.read_ahead(&self.clients);
            self.leaves.clear();
            self.leaves.extend(self.clients.iter().map(|client| catalog.table.locate(*client, Family::of(*client).bits())));
            steering.families.iter().flatten().for_each(|family| read_choice(world, family, &self.leaves));
        }
    }
}

/// From the place of each client to its first region, and what is known of that.
fn read_choice(world: &Snapshot, family: &FamilySteering, leaves: &[Leaf]) {
    let (plan, table) = (&*family.plan, &*world.catalog.table);
    each(leaves, |leaf| plan.ranking_id(leaf.place) as usize ^ usize::from(plan.scope(leaf)) ^ table.kind(leaf.place) as usize);
    let first = |leaf: Leaf| plan.ranking(leaf.place).head().first().map(|entry| &family.candidates[usize::from(entry.candidate)]);
    each(leaves, |leaf| first(leaf).map_or(0, |candidate| candidate.endpoints.len() ^ candidate.region.0 as usize));
    each(leaves, |leaf| {
        let health = first(leaf).map_or(0, |candidate| world.health.pool(candidate.pool).admit);
        usize::from(health) ^ first(leaf).and_then(|candidate| candidate.endpoints.first()).map_or(0, |endpoint| endpoint.identity as usize)
    });
}

/// One step for all of them; the compiler must not find out that nobody wants the result.
#[inline(always)]
fn each(leaves: &[Leaf], read: impl Fn(Leaf) -> usize) {
    black_box(leaves.iter().fold(0, |seen, leaf| seen ^ read(*leaf)));
}

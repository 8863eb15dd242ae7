//! Balances: which endpoints of the chosen region are answered, one file per policy.
//! Each sees the living endpoints and says where the answer starts; the answer is a rotation, so the set of answers is closed.

mod round_robin;
mod sticky;
mod weighted;

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::{Endpoint, Weight};

/// Most endpoints of one service in one region; the position of an endpoint fits an octet.
pub const MAX_ENDPOINTS: usize = 64;

/// Round-robin counters of one worker, one per (steered name, region, family).
///
/// Only that worker counts; the cells are atomic so that others may share a reference, and cost no more than plain ones.
#[derive(Debug, Default)]
pub struct Turns(Box<[AtomicU32]>);

impl Turns {
    /// Counters at zero for a catalog's number of slots.
    pub fn new(slots: usize) -> Turns {
        Turns((0..slots).map(|_| AtomicU32::new(0)).collect())
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one turn of a slot and returns the number of turns before it.
    pub fn next(&self, slot: u32) -> u32 {
        let Some(cell) = self.0.get(slot as usize) else { return 0 };
        let turn = cell.load(Ordering::Relaxed);
        cell.store(turn.wrapping_add(1), Ordering::Relaxed);
        turn
    }
}

/// What a balance sees: the endpoints that may be answered now, and the client.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// All endpoints of the region, in the order of the file.
    pub endpoints: &'a [Endpoint],
    /// Positions of those that may be answered; never empty.
    pub living: &'a [u8],
    /// The worker's turns and the slot of this region.
    pub turns: &'a Turns,
    /// See `turns`.
    pub slot: u32,
    /// A number that differs from query to query.
    pub seed: u64,
    /// Hash of the client's network, masked to the hash floor.
    pub client: u64,
}

impl<'a> Pick<'a> {
    /// The endpoints that may be answered.
    fn candidates(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.living.iter().map(|position| &self.endpoints[usize::from(*position)])
    }
}

/// A policy that picks the first endpoint of an answer.
pub trait Balance: std::fmt::Debug + Sync {
    /// As written in the configuration.
    fn name(&self) -> &'static str;
    /// Whether the client's network enters, so that the scope must be as long as the hash floor (BEHAVIOUR S5).
    fn hashes_client(&self) -> bool;
    /// Position in `pick.living` at which the answer starts.
    fn start(&self, pick: &Pick<'_>) -> usize;
}

/// `balance:` as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceSpec {
    /// Each answer starts one endpoint further.
    #[default]
    RoundRobin,
    /// A draw by weight per query.
    Weighted,
    /// A client keeps its endpoint (weighted rendezvous over the client's network).
    Sticky,
}

impl BalanceSpec {
    /// The policy behind the word.
    pub fn policy(self) -> &'static dyn Balance {
        match self {
            BalanceSpec::RoundRobin => &round_robin::RoundRobin,
            BalanceSpec::Weighted => &weighted::Weighted,
            BalanceSpec::Sticky => &sticky::Sticky,
        }
    }

    /// The default for endpoints of these weights.
    pub fn default_for(weights: impl IntoIterator<Item = Weight>) -> BalanceSpec {
        let mut weights = weights.into_iter();
        let first = weights.next();
        if weights.all(|weight| Some(weight) == first) { BalanceSpec::RoundRobin } else { BalanceSpec::Weighted }
    }
}

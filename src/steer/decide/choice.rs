//! A choice while it is made: regions are considered one by one, best first, until a band with anyone in it is through.
//! It knows no order and no reason: `decide` and `overflow` walk over the ranking and say what is asked of a region.

use super::{Considered, Full, Question, Standard, Trace};
use crate::health::PoolHealth;
use crate::health::view::{ADMIT_ALL, SETTLED};
use crate::steer::Candidate;
use crate::steer::hash::{Rendezvous, mix};
use crate::steer::plan::Entry;

/// A choice while regions are considered, best first.
pub(super) struct Choice {
    pub(super) band: Rendezvous<Entry>,
    /// Of the region that was offered last.
    pub(super) band_id: u16,
    pub(super) offered: u32,
    /// Nobody admits this client: the first that is up takes it all the same.
    pub(super) first_up: Option<Entry>,
    pub(super) passed_over: PassedOver,
    pub(super) may_change_at_ms: u64,
}

/// Why a better region was passed over; the strongest reason counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PassedOver {
    None,
    /// It is out, or does not admit this client.
    Out,
    /// It is at its capacity.
    Full,
}

/// Whether later regions can still matter.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    Complete,
}

impl Choice {
    #[inline]
    pub(super) fn new(sharer: u64) -> Choice {
        Choice {
            band: Rendezvous::new(sharer),
            band_id: 0,
            offered: 0,
            first_up: None,
            passed_over: PassedOver::None,
            may_change_at_ms: SETTLED,
        }
    }

    #[inline]
    pub(super) fn entry(&self) -> Option<Entry> {
        self.band.best().or(self.first_up)
    }

    /// `full`: for lack of capacity it does not take this client.
    // Inlined whatever the compiler thinks of it: a choice then lives in registers.
    #[inline(always)]
    pub(super) fn consider<T: Trace>(
        &mut self,
        question: &Question<'_>,
        entry: Entry,
        client: u64,
        standard: Standard,
        full: Option<Full>,
        trace: &mut T,
    ) -> Next {
        if self.offered > 0 && entry.band != self.band_id {
            return Next::Complete;
        }
        let candidate = &question.family.candidates[usize::from(entry.candidate)];
        let health = question.health.pool(candidate.pool);
        self.may_change_at_ms = self.may_change_at_ms.min(health.may_change_at_ms);
        let considered = match full {
            _ if !standard.is_met(health) => Considered::Out(health),
            _ if !admits(health, candidate, client) => Considered::NotAdmitted,
            Some(full) => Considered::Full(full),
            None => Considered::Offered,
        };
        trace.considered(entry, considered);
        match considered {
            Considered::Offered => {
                self.band.offer(candidate.identity, candidate.share, entry);
                self.band_id = entry.band;
                self.offered += 1;
            }
            Considered::NotAdmitted => {
                self.passed_over = self.passed_over.max(PassedOver::Out);
                self.first_up = self.first_up.or(Some(entry));
            }
            Considered::Full(_) => {
                self.passed_over = PassedOver::Full;
                self.first_up = self.first_up.or(Some(entry));
            }
            Considered::Out(_) => self.passed_over = self.passed_over.max(PassedOver::Out),
        }
        Next::Continue
    }
}

/// A region takes a client only if a hash of both, other than the one of `share`, is under its admit.
pub(super) fn admits(health: PoolHealth, candidate: &Candidate, client: u64) -> bool {
    health.admit >= ADMIT_ALL || mix(client, candidate.identity) % u64::from(ADMIT_ALL) < u64::from(health.admit)
}

//! The choice for names of which a region has a capacity: who is shed by a region goes on to the next that takes clients.
//! It judges no load: what share each region sheds just now is in the view of health. Names without capacities never come here.

use super::choice::admits;
use super::{Choice, Next, PassedOver, Question, Seen, Standard, Trace};
use crate::steer::Candidate;
use crate::steer::hash::{Rendezvous, mix};
use crate::steer::plan::{Entry, Harms, Why};

/// Keeps the hash of overflow apart from the one of `admit`.
const OVERFLOW: u64 = 0x6f76_6572;

/// Why a region that is up does not take a client although its `admit` would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It sheds this client.
    Sheds,
    /// It stands by, and others were shed only because these regions still bear more together (BEHAVIOUR P1).
    StandsBy,
}

/// The first band with anyone who meets the standard and does not shed this client, and in it the client's own region. Where nobody is left
/// the client stays with the region that it would have if nobody were full.
// Apart from the choice without capacities, which is to stay as short as it is.
#[inline(never)]
pub(super) fn choose<T: Trace>(question: &Question<'_>, seen: &Seen, harms: &Harms, standard: Standard, trace: &mut T) -> Choice {
    let sharer = super::sharer(question, seen);
    let (mut choice, mut wanted, mut before) = (Choice::new(sharer), Wanted::new(sharer), PassedOver::None);
    let ranking = question.family.plan.ranking(seen.place);
    let (first, stored) = (ranking.first_entry(), ranking.head().len());
    for (position, entry) in ranking.iter().enumerate() {
        let at = (position < stored).then_some(first + position);
        let was_shed = choice.passed_over == PassedOver::Full;
        let full = if standard == Standard::Available { full(question, seen, harms, (at, entry), was_shed) } else { None };
        let candidate = &question.family.candidates[usize::from(entry.candidate)];
        let health = question.health.pool(candidate.pool);
        if standard.is_met(health) && admits(health, candidate, seen.client) {
            wanted.offer(candidate, entry);
        } else if wanted.band.is_none() {
            before = PassedOver::Out;
        }
        if choice.consider(question, entry, seen.client, standard, full, trace) == Next::Complete {
            break;
        }
    }
    if let Some(own) = wanted.own.best().filter(|_| choice.passed_over == PassedOver::Full) {
        if choice.offered == 0 {
            choice.first_up = Some(own);
        }
        if choice.entry() == Some(own) {
            choice.passed_over = before;
        }
    }
    choice
}

/// The region that a client would have if nobody were full: its own of the first band with anyone in it who admits it. Whoever is full for a
/// client admits it, so that there is one.
struct Wanted {
    own: Rendezvous<Entry>,
    band: Option<u16>,
}

impl Wanted {
    fn new(sharer: u64) -> Wanted {
        Wanted { own: Rendezvous::new(sharer), band: None }
    }

    fn offer(&mut self, candidate: &Candidate, entry: Entry) {
        if *self.band.get_or_insert(entry.band) == entry.band {
            self.own.offer(candidate.identity, candidate.share, entry);
        }
    }
}

/// Whether a region is full for this client.
pub(super) fn full(
    question: &Question<'_>,
    seen: &Seen,
    harms: &Harms,
    (at, entry): (Option<usize>, Entry),
    was_shed: bool,
) -> Option<Full> {
    let candidate = &question.family.candidates[usize::from(entry.candidate)];
    let overflow = question.health.overflow(candidate.pool);
    let is_named = matches!(entry.why, Why::Preferred(_) | Why::Pinned);
    if candidate.standby && !is_named && was_shed && !overflow.takes_overflow {
        return Some(Full::StandsBy);
    }
    let turn = || harms.turn(at, entry.candidate, seen.family, mix(mix(seen.client, candidate.identity), OVERFLOW));
    (overflow.shed > 0 && turn() < overflow.shed).then_some(Full::Sheds)
}

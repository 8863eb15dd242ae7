//! Response rate limiting: how many responses of one answer a client network gets from one worker, and what comes instead of the others.
//! It reads no message and formats nothing; what is told to people goes through a ring to another thread.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use super::notes::{Notes, Scribe};
use super::table::{Rate, Table, Taken};
use crate::answer::{Class, Outcome};
use crate::geo::{Family, Prefix};
use crate::metrics::{Counters, Metric};
use crate::random::Random;
use crate::snapshot::{Kind, RateLimit};
use crate::wire::Rcode;

/// The ceiling over all clients lets so much through at once: more is what it is there to hold back from the line.
const CEILING_WINDOW_MS: u64 = 100;

/// Stands in the key of a whole client network where answers have their kind.
const NO_KIND: u64 = Kind::ALL.len() as u64;

/// Far apart whatever it is multiplied by: 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// How the limits of a server are spread over its workers.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Workers that answer at one address: the system spreads clients over them by address and port.
    pub of_address: usize,
    /// Workers of all addresses together.
    pub of_all: usize,
    /// Where what happens is told.
    pub notes: Notes,
}

/// What becomes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Verdict {
    /// It is sent.
    Send,
    /// What brings back a client with a true address is sent: an empty one with TC, or a cookie to whoever speaks them.
    Slip,
    /// Nothing is sent.
    Drop,
}

/// Which limit a response went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Over {
    /// The one of its answer, or of its client network.
    Client,
    /// The one of all clients.
    Ceiling,
}

/// The limits of one worker.
#[derive(Debug)]
pub(in crate::server) struct Responses {
    settings: RateLimit,
    responses: [Option<Rate>; Kind::ALL.len()],
    network: Option<Rate>,
    ceiling: Option<Ceiling>,
    table: Table,
    secrets: [u64; 3],
    chance: Random,
    scribe: Scribe,
    /// Whether anybody is not limited.
    exempts: bool,
}

#[derive(Debug)]
struct Ceiling {
    rate: Rate,
    full_ns: u64,
}

impl Responses {
    /// Empty tables under these limits, with secrets of their own.
    pub(in crate::server) fn new(settings: &RateLimit, shares: &Shares) -> Responses {
        let window_ms = u64::from(settings.window_s) * 1_000;
        let of_client = |responses: u32| Rate::new(responses, shares.of_address, window_ms);
        let of_all = |responses: u32| Rate::new(responses, shares.of_all, CEILING_WINDOW_MS);
        // The keys of the standard library's hash tables are the system's random numbers.
        let secret = RandomState::new();
        Responses {
            responses: settings.responses.map(|responses| responses.map(of_client)),
            network: settings.network.map(of_client),
            ceiling: settings.total.map(|total| Ceiling { rate: of_all(total), full_ns: 0 }),
            table: Table::new(settings.entries / shares.of_all.max(1)),
            secrets: [1u8, 2, 3].map(|number| secret.hash_one(number)),
            chance: Random::new(secret.hash_one(4u8)),
            scribe: shares.notes.scribe(),
            exempts: settings.allow.allows_anyone(),
            settings: settings.clone(),
        }
    }

    /// Whether these are the limits that the tables were made for.
    pub(in crate::server) fn are(&self, settings: &RateLimit) -> bool {
        self.settings == *settings
    }

    /// Tells what has happened since the last time, once a second.
    #[inline]
    pub(in crate::server) fn tell(&mut self, now_ms: u64) {
        self.scribe.tell(now_ms);
    }

    /// Counts a response to a peer; which limit it goes over, if any. What goes to those who are exempt costs their neighbours nothing.
    #[inline]
    pub(in crate::server) fn over(&mut self, peer: IpAddr, outcome: &Outcome, now_ms: u64, counters: &Counters) -> Option<Over> {
        if outcome.len == 0 || (self.exempts && self.settings.allow.allows(peer)) {
            return None;
        }
        let now_ns = now_ms * 1_000_000;
        let network = self.network_of(peer);
        let (kind, of) = subject(outcome);
        if let Some(rate) = self.responses[kind as usize]
            && self.is_empty((network, kind as u64, of), rate, now_ns, counters)
        {
            return Some(Over::Client);
        }
        if let Some(rate) = self.network
            && self.is_empty((network, NO_KIND, 0), rate, now_ns, counters)
        {
            return Some(Over::Client);
        }
        self.is_over_ceiling(now_ns).then_some(Over::Ceiling)
    }

    /// Counts a response to anybody; whether all together have had theirs.
    #[inline]
    fn is_over_ceiling(&mut self, now_ns: u64) -> bool {
        let Some(ceiling) = &mut self.ceiling else { return false };
        let taken = ceiling.rate.take(ceiling.full_ns, now_ns);
        ceiling.full_ns = taken.unwrap_or(ceiling.full_ns);
        taken.is_none()
    }

    /// What becomes of a response over a limit; counts it and notes it.
    #[cold]
    pub(in crate::server) fn judge(
        &mut self,
        over: Over,
        peer: SocketAddr,
        outcome: &Outcome,
        now_ms: u64,
        counters: &Counters,
    ) -> Verdict {
        let (kind, _) = subject(outcome);
        let verdict = match over {
            _ if self.settings.log_only => Verdict::Send,
            Over::Ceiling => Verdict::Drop,
            Over::Client => match self.slip_or_drop(outcome) {
                // What is sent instead of a response takes room on the line, too.
                Verdict::Slip if self.is_over_ceiling(now_ms * 1_000_000) => {
                    counters.add(Metric::RateCeiling, 1);
                    Verdict::Drop
                }
                verdict => verdict,
            },
        };
        let length = match Family::of(peer.ip()) {
            Family::V4 => self.settings.v4,
            Family::V6 => self.settings.v6,
        };
        match over {
            Over::Client => {
                counters.add_at(Metric::RateLimited, kind as usize, 1);
                self.scribe.note(Prefix::masked(peer.ip(), length), verdict == Verdict::Slip);
            }
            Over::Ceiling => counters.add(Metric::RateCeiling, 1),
        }
        if verdict == Verdict::Slip {
            counters.add_at(Metric::RateSlipped, kind as usize, 1);
        }
        verdict
    }

    /// By chance, not in turn: two clients that alternate must not get all and nothing. Errors and refusals are as short as what would
    /// come instead, so they are dropped; but who is sent for a cookie must get it at last.
    fn slip_or_drop(&mut self, outcome: &Outcome) -> Verdict {
        let is_short = matches!(outcome.class, Class::Error | Class::Refused) && outcome.rcode != Rcode::BADCOOKIE;
        let may_slip = self.settings.slip > 0 && !is_short;
        if may_slip && self.chance.below(self.settings.slip as usize) == 0 { Verdict::Slip } else { Verdict::Drop }
    }

    /// The client network in one word: IPv4 below a prefix that no IPv6 unicast address has.
    #[inline]
    fn network_of(&self, peer: IpAddr) -> u64 {
        match peer {
            IpAddr::V4(address) => !0 << 32 | u64::from(address.to_bits() & u32::MAX.unbounded_shl(32 - u32::from(self.settings.v4))),
            IpAddr::V6(address) => {
                (address.to_bits() >> 64) as u64 & u64::MAX.unbounded_shl(64_u32.saturating_sub(self.settings.v6.into()))
            }
        }
    }

    #[inline]
    fn is_empty(&mut self, (network, kind, of): (u64, u64, u64), rate: Rate, now_ns: u64, counters: &Counters) -> bool {
        let [first, second, third] = self.secrets;
        // Each kind has a factor of its own: a name and a number of a zone are no neighbours.
        let key = folded(folded(network ^ first, third) ^ of, second.wrapping_add(kind.wrapping_mul(SPREAD)));
        match self.table.take(key, rate, now_ns) {
            Taken::Yes => false,
            Taken::Displacing => {
                counters.add(Metric::RateDisplaced, 1);
                false
            }
            Taken::No => true,
        }
    }
}

/// What a response is an answer of: its kind, and what of that kind. Negative answers are counted by zone, so that made-up names share one
/// bucket; what came of no zone, or of none of our doing, by kind alone.
#[inline]
fn subject(outcome: &Outcome) -> (Kind, u64) {
    let zone = || outcome.zone.map_or(0, |zone| u64::from(zone.0) + 1) << 8;
    match outcome.class {
        Class::Positive if outcome.steering.is_some() => (Kind::Steered, outcome.owner_hash),
        Class::Positive => (Kind::Positive, outcome.owner_hash),
        Class::NoData => (Kind::NoData, zone()),
        Class::NameError => (Kind::NameError, zone()),
        Class::Referral => (Kind::Referral, outcome.owner_hash),
        Class::Refused => (Kind::Refused, 0),
        Class::Error | Class::Dropped => (Kind::Error, 0),
    }
}

/// A product of 128 bits folded to 64: with a secret factor, whoever does not know it cannot find two keys that meet.
#[inline]
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other | 1);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests;

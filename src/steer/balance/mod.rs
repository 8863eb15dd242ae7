//! Balances: which endpoints of the chosen region are answered, one file per policy.
//! Each sees the living endpoints and says where the answer starts; the answer is a rotation, so the set of answers is closed.

mod all;
mod least_connections;
mod least_response_time;
mod random;
mod round_robin;
mod sticky;
mod weighted;

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::{Endpoint, Weight};
use crate::health::HealthView;
use crate::health::score::ScoredBy;

/// Most endpoints of one service in one region: those that may be answered are a set of bits in one word.
pub const MAX_ENDPOINTS: usize = 64;

/// A set of endpoints of one region, by their positions there (under [`MAX_ENDPOINTS`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions(u64);

impl Positions {
    /// Adds a position; those from [`MAX_ENDPOINTS`] on are left out.
    #[inline]
    pub fn add(&mut self, position: usize) {
        self.0 |= u32::try_from(position).ok().and_then(|position| 1u64.checked_shl(position)).unwrap_or(0);
    }

    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The positions in ascending order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let position = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(position)
        })
    }

    /// Whether there is more than one; cheaper than their number.
    #[inline]
    pub fn are_several(self) -> bool {
        self.0 & self.0.wrapping_sub(1) != 0
    }

    /// At most `count` of the positions in ascending order and around, beginning with the one that has `start` before it.
    #[inline]
    pub fn rotation(self, start: usize, count: usize) -> impl Iterator<Item = usize> {
        // Those from the start on, and those before it.
        let mut now = (0..start).fold(self.0, |rest, _| rest & rest.wrapping_sub(1));
        let (mut then, mut left) = (self.0 & !now, count);
        std::iter::from_fn(move || {
            if now == 0 {
                (now, then) = (then, 0);
            }
            if now == 0 || left == 0 {
                return None;
            }
            let position = now.trailing_zeros() as usize;
            now &= now - 1;
            left -= 1;
            Some(position)
        })
    }
}

/// Round-robin counters of one worker, one per (steered name, region, family).
///
/// Only that worker counts; the cells are atomic so that others may share a reference, and cost no more than plain ones.
#[derive(Debug, Default)]
pub struct Turns(Box<[AtomicU32]>);

impl Clone for Turns {
    /// As they stand: for whoever asks a question twice and wants one answer.
    fn clone(&self) -> Turns {
        Turns(self.0.iter().map(|turns| AtomicU32::new(turns.load(Ordering::Relaxed))).collect())
    }
}

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
    /// How they do, and which addresses those have that are given as host names.
    pub health: &'a HealthView,
    /// Those that may be answered; never empty.
    pub living: Positions,
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
    /// By what an endpoint is known, whatever its position: its address.
    fn identity(&self, endpoint: &Endpoint) -> u64 {
        self.health.seat(endpoint.id).map_or(endpoint.identity, |(_, identity)| identity)
    }

    /// The endpoints that may be answered.
    fn candidates(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.living.iter().map(|position| &self.endpoints[position])
    }

    /// A draw in proportion to the shares; all of them zero = all alike.
    fn draw(&self, share: impl Fn(&Endpoint) -> u64) -> usize {
        let total: u64 = self.candidates().map(&share).sum();
        if total == 0 {
            return below(self.seed, self.living.len() as u64) as usize;
        }
        let mut left = below(self.seed, total);
        let drawn = self.candidates().position(|endpoint| {
            let share = share(endpoint);
            let hit = left < share;
            left = left.saturating_sub(share);
            hit
        });
        drawn.unwrap_or(0)
    }

    /// A draw in proportion to weight / score; who has no score counts as the worst that has one.
    fn draw_by_score(&self) -> usize {
        let score = |endpoint: &Endpoint| self.health.endpoint_score(endpoint.id);
        let worst = self.candidates().filter_map(score).max().unwrap_or(1);
        // A weight is at most 10^9, and so many endpoints fit 64 bits.
        self.draw(|endpoint| u64::from(endpoint.weight) * SCORE_SCALE / u64::from(score(endpoint).unwrap_or(worst)))
    }
}

/// Room for the quotient of a weight and a score.
const SCORE_SCALE: u64 = 1 << 24;

/// A policy that picks the first endpoint of an answer.
pub trait Balance: std::fmt::Debug + Sync {
    /// As written in the configuration.
    fn name(&self) -> &'static str;
    /// Whether the client's network enters, so that the scope must be as long as the hash floor (BEHAVIOUR S5).
    fn hashes_client(&self) -> bool;
    /// What it must know of endpoints; none: nothing.
    fn scored_by(&self) -> Option<ScoredBy> {
        None
    }
    /// How many of the living endpoints stand before the one at which the answer starts.
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
    /// A draw per query, all alike.
    Random,
    /// A draw by weight and by how quickly endpoints answer their probes.
    LeastResponseTime,
    /// A draw by weight and by how much endpoints say they work on.
    LeastConnections,
    /// As many as an answer may hold.
    All,
}

impl BalanceSpec {
    /// The policy behind the word.
    pub fn policy(self) -> &'static dyn Balance {
        match self {
            BalanceSpec::RoundRobin => &round_robin::RoundRobin,
            BalanceSpec::Weighted => &weighted::Weighted,
            BalanceSpec::Sticky => &sticky::Sticky,
            BalanceSpec::Random => &random::Random,
            BalanceSpec::LeastResponseTime => &least_response_time::LeastResponseTime,
            BalanceSpec::LeastConnections => &least_connections::LeastConnections,
            BalanceSpec::All => &all::All,
        }
    }

    /// The default for endpoints of these weights.
    pub fn default_for(weights: impl IntoIterator<Item = Weight>) -> BalanceSpec {
        let mut weights = weights.into_iter();
        let first = weights.next();
        if weights.all(|weight| Some(weight) == first) { BalanceSpec::RoundRobin } else { BalanceSpec::Weighted }
    }
}

/// A number under `limit` from a uniform one, by multiplication (Lemire 2019): no division, bias under limit / 2^64.
fn below(uniform: u64, limit: u64) -> u64 {
    ((u128::from(uniform) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Measured;
    use crate::health::score::Scores;

    fn positions(list: &[usize]) -> Positions {
        let mut positions = Positions::default();
        list.iter().for_each(|position| positions.add(*position));
        positions
    }

    #[test]
    fn a_rotation_goes_around_and_gives_each_position_once() {
        let living = positions(&[63, 0, 7, 64, 1000]);
        assert_eq!((living.len(), living.iter().collect::<Vec<_>>()), (3, vec![0, 7, 63]));
        let rotation = |start, count| living.rotation(start, count).collect::<Vec<_>>();
        assert_eq!(
            [rotation(0, 3), rotation(1, 3), rotation(2, 8), rotation(2, 1)],
            [vec![0, 7, 63], vec![7, 63, 0], vec![63, 0, 7], vec![63]]
        );
        assert!(positions(&[]).is_empty());
    }

    fn endpoint(last: u8, weight: u32) -> Endpoint {
        let address = std::net::IpAddr::from([192, 0, 2, last]);
        Endpoint { address, id: crate::health::EndpointId(u32::from(last)), identity: crate::steer::hash::mix(u64::from(last), 1), weight }
    }

    /// How often each of the living endpoints comes first in `draws` answers.
    fn starts(balance: BalanceSpec, endpoints: &[Endpoint], living: Positions, draws: u32) -> Vec<u32> {
        starts_with(&HealthView::default(), balance, endpoints, living, draws)
    }

    fn starts_with(health: &HealthView, balance: BalanceSpec, endpoints: &[Endpoint], living: Positions, draws: u32) -> Vec<u32> {
        let turns = Turns::new(1);
        let mut counts = vec![0; living.len()];
        for draw in 0..draws {
            let seed = crate::steer::hash::mix(u64::from(draw), 2);
            let pick = Pick { endpoints, living, health, turns: &turns, slot: 0, seed, client: seed };
            counts[balance.policy().start(&pick)] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_gives_each_its_turn_whoever_is_living() {
        let endpoints: Vec<Endpoint> = (0..4).map(|last| endpoint(last, 1000)).collect();
        assert_eq!(starts(BalanceSpec::RoundRobin, &endpoints, positions(&[0, 2, 3]), 99), [33, 33, 33]);
    }

    #[test]
    fn p1_weighted_draws_follow_the_weights_and_all_zero_is_equal() {
        let endpoints = [endpoint(0, 1000), endpoint(1, 0), endpoint(2, 3000)];
        let counts = starts(BalanceSpec::Weighted, &endpoints, positions(&[0, 1, 2]), 8000);
        assert!(counts[1] == 0 && counts[0].abs_diff(2000) < 150, "{counts:?}");
        let zero = [endpoint(0, 0), endpoint(1, 0)];
        let counts = starts(BalanceSpec::Weighted, &zero, positions(&[0, 1]), 8000);
        assert!(counts[0].abs_diff(4000) < 200, "{counts:?}");
    }

    #[test]
    fn least_response_time_draws_by_weight_over_score_and_never_only_the_fastest() {
        let endpoints = [endpoint(0, 1000), endpoint(1, 1000), endpoint(2, 2000), endpoint(3, 1000)];
        let all = crate::health::PoolLayout { endpoints: 0..4, scored: Some(ScoredBy::Time), ..Default::default() };
        let layout = crate::health::Layout { pools: vec![all], endpoints: vec![Default::default(); 4], ..Default::default() };
        let scores = [Some(10), Some(40), Some(40), None];
        let health =
            HealthView::new(&layout, |id| Measured { scores: Scores { time: scores[id.0 as usize], active: None }, ..Measured::UP });
        // 1/10, 1/40, 2/40, and the unknown one as the slowest: 4 + 1 + 2 + 1 parts.
        let counts = starts_with(&health, BalanceSpec::LeastResponseTime, &endpoints, positions(&[0, 1, 2, 3]), 8000);
        let near = counts.iter().zip([4000, 1000, 2000, 1000]).all(|(count, wanted): (&u32, u32)| count.abs_diff(wanted) < 200);
        assert!(near, "{counts:?}");
        let unknown = starts(BalanceSpec::LeastResponseTime, &endpoints, positions(&[0, 1]), 8000);
        assert!(unknown[0].abs_diff(4000) < 200, "{unknown:?}");
    }

    #[test]
    fn random_draws_all_alike() {
        let endpoints = [endpoint(0, 1000), endpoint(1, 0), endpoint(2, 3000)];
        let counts = starts(BalanceSpec::Random, &endpoints, positions(&[0, 2]), 8000);
        assert!(counts[0].abs_diff(4000) < 200, "{counts:?}");
    }

    #[test]
    fn p1_sticky_follows_the_weights_and_zero_gets_no_client_unless_all_are_zero() {
        let endpoints = [endpoint(0, 1000), endpoint(1, 0), endpoint(2, 3000)];
        let counts = starts(BalanceSpec::Sticky, &endpoints, positions(&[0, 1, 2]), 8000);
        assert!(counts[1] == 0 && counts[0].abs_diff(2000) < 150, "{counts:?}");
        let only_zero_lives = starts(BalanceSpec::Sticky, &endpoints, positions(&[1]), 10);
        assert_eq!(only_zero_lives, [10]);
        let zero = [endpoint(0, 0), endpoint(1, 0)];
        let counts = starts(BalanceSpec::Sticky, &zero, positions(&[0, 1]), 8000);
        assert!(counts[0].abs_diff(4000) < 200, "{counts:?}");
    }

    #[test]
    fn p8_sticky_moves_only_the_clients_of_a_lost_endpoint() {
        let endpoints: Vec<Endpoint> = (0..5).map(|last| endpoint(last, 1000)).collect();
        let turns = Turns::new(1);
        let chosen = |living: Positions, client| {
            let health = HealthView::default();
            let pick = Pick { endpoints: &endpoints, living, health: &health, turns: &turns, slot: 0, seed: 0, client };
            living.iter().nth(BalanceSpec::Sticky.policy().start(&pick)).unwrap()
        };
        let (all, fewer) = (positions(&[0, 1, 2, 3, 4]), positions(&[0, 1, 3, 4]));
        for client in (0..2000).map(|client| crate::steer::hash::mix(client, 3)) {
            let before = chosen(all, client);
            assert!(before == 2 || chosen(fewer, client) == before);
        }
    }
}

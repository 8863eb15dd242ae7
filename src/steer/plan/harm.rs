//! Harm: how much worse off a client is with its second-best region, in buckets, and so who leaves first where a region sheds clients.
//! Worked out at load, and only for names of which a region has a capacity; health and loads are not known here.

use super::{Entry, PlanKey};
use crate::geo::{Family, Kind, PlaceId, PlaceTable};
use crate::health::view::ADMIT_ALL;
use crate::steer::Weight;

/// Half octaves of the ratio of two scores: in the last one the second-best region is 181 times as far, or farther.
const BUCKETS: usize = 16;

/// The bucket of an entry that is not its clients' best: who comes there was shed elsewhere already, and all are alike.
const OF_OTHERS: u8 = u8::MAX;

/// The least ratio of each bucket. Comparisons with these instead of a logarithm, so that every machine agrees.
const RATIOS: [f64; BUCKETS] = {
    let mut ratios = [1.0; BUCKETS];
    let mut at = 1;
    while at < BUCKETS {
        ratios[at] = if at % 2 == 1 { ratios[at - 1] * std::f64::consts::SQRT_2 } else { ratios[at - 2] * 2.0 };
        at += 1;
    }
    ratios
};

/// The turns of one bucket, of 1024: who is in it has one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turns {
    first: u16,
    count: u16,
}

impl Turns {
    const ALL: Turns = Turns { first: 0, count: ADMIT_ALL };
}

/// Who of a region's clients leaves when.
#[derive(Debug, PartialEq, Eq)]
pub struct Harms {
    /// By entry of the heads of all rankings.
    buckets: Box<[u8]>,
    /// By candidate, for clients of IPv4 and IPv6.
    turns: Box<[[[Turns; BUCKETS]; 2]]>,
}

impl Harms {
    /// The turn at which a client leaves a region, from 0 to 1023: it is shed while the region sheds more than this, of 1024. `entry` is the
    /// region's place in the list of all heads, none behind them; `hash` is of client and region.
    pub fn turn(&self, entry: Option<usize>, candidate: u16, family: Family, hash: u64) -> u16 {
        let bucket = entry.and_then(|entry| self.buckets.get(entry)).copied().unwrap_or(OF_OTHERS);
        let of_candidate = self.turns.get(usize::from(candidate)).map(|families| &families[family as usize]);
        let turns = of_candidate.and_then(|turns| turns.get(usize::from(bucket))).copied().unwrap_or(Turns::ALL);
        // Under `count`, so that it fits. A bucket may be so small that it has no turn of its own.
        (turns.first + (((hash >> 32) * u64::from(turns.count)) >> 32) as u16).min(ADMIT_ALL - 1)
    }

    /// In octets.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets) + size_of_val(&*self.turns)
    }

    /// From the bucket of every entry and the ranking of every place. `starts` says where the head of each ranking begins.
    pub(super) fn weighed(
        key: &PlanKey,
        table: &PlaceTable,
        by_place: &[u32],
        entries: &[Entry],
        starts: &[u32],
        buckets: Vec<u8>,
    ) -> Harms {
        let mut clients = vec![[[0.0; BUCKETS]; 2]; key.candidates.len()];
        for family in [Family::V4, Family::V6] {
            for (ranking, addresses) in addresses(table, family, by_place, starts.len().saturating_sub(1)) {
                let head = starts[ranking] as usize..starts[ranking + 1] as usize;
                let best = entries[head.clone()].iter().zip(&buckets[head]).filter(|(_, bucket)| **bucket != OF_OTHERS);
                let share = |entry: &Entry| f64::from(share(key, entry.candidate));
                let all: f64 = best.clone().map(|(entry, _)| share(entry)).sum();
                for (entry, bucket) in best {
                    clients[usize::from(entry.candidate)][family as usize][usize::from(*bucket)] += addresses * share(entry) / all;
                }
            }
        }
        Harms { buckets: buckets.into(), turns: clients.iter().map(|families| families.map(|buckets| turns(&buckets))).collect() }
    }
}

/// The bucket of each entry of a head. `score` is none where nothing can be compared: then nobody is worse off than anybody else.
pub(super) fn buckets(head: &[Entry], score: impl Fn(u16) -> Option<f64>) -> Vec<u8> {
    // A client that leaves its band's region goes to another of the band, or to the next one.
    let scores: Vec<Option<f64>> = head.iter().take_while(|entry| entry.band <= 1).map(|entry| score(entry.candidate)).collect();
    let mut two = [(usize::MAX, f64::INFINITY); 2];
    for (at, score) in scores.iter().enumerate().filter_map(|(at, score)| Some((at, (*score)?))) {
        if score < two[0].1 {
            two = [(at, score), two[0]];
        } else if score < two[1].1 {
            two[1] = (at, score);
        }
    }
    let bucket = |(at, entry): (usize, &Entry)| {
        if entry.band > 0 {
            return OF_OTHERS;
        }
        let (_, second) = if two[0].0 == at { two[1] } else { two[0] };
        let ratio_is = |least: &&f64| second < f64::INFINITY && scores[at].is_some_and(|own| own * **least <= second);
        // The first counts also where the second-best is none the worse; at most 15.
        RATIOS[1..].iter().take_while(ratio_is).count() as u8
    };
    head.iter().enumerate().map(bucket).collect()
}

/// A candidate's share of a band.
fn share(key: &PlanKey, candidate: u16) -> u32 {
    let (.., weight) = key.candidates[usize::from(candidate)];
    if weight == Weight::ZERO { Weight::ONE.milli() } else { weight.milli() }
}

/// By ranking: how many addresses of a family have it whose place is known.
fn addresses(table: &PlaceTable, family: Family, by_place: &[u32], rankings: usize) -> impl Iterator<Item = (usize, f64)> {
    let mut addresses = vec![0.0; rankings];
    let ranking_of = |place: PlaceId| by_place[place.0 as usize] as usize;
    for (_, block, place) in table.ranges(family).filter(|(.., place)| table.kind(*place) == Kind::Located) {
        addresses[ranking_of(place)] += f64::from(i32::from(family.bits() - block.length())).exp2();
    }
    addresses.into_iter().enumerate().filter(|(_, addresses)| *addresses > 0.0)
}

/// The turns of each bucket, in proportion to the clients that are in it; where none are known all are alike.
fn turns(clients: &[f64; BUCKETS]) -> [Turns; BUCKETS] {
    let all: f64 = clients.iter().sum();
    if all <= 0.0 {
        return [Turns::ALL; BUCKETS];
    }
    let (mut before, mut turns) = (0.0, [Turns::ALL; BUCKETS]);
    for (clients, turns) in clients.iter().zip(&mut turns) {
        // From 0 to 1024, which fits.
        let at = |clients: f64| (clients / all * f64::from(ADMIT_ALL)).round().min(f64::from(ADMIT_ALL)) as u16;
        let first = at(before);
        before += clients;
        *turns = Turns { first, count: at(before) - first };
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::plan::Why;

    fn head(bands: &[u16]) -> Vec<Entry> {
        (0..).zip(bands).map(|(candidate, band)| Entry { candidate, band: *band, why: Why::Order }).collect()
    }

    #[test]
    fn a_bucket_is_half_an_octave_of_the_ratio_to_the_second_best() {
        let bucket = |second: f64| buckets(&head(&[0, 1, 2]), |candidate| Some([100.0, second, 1e9][usize::from(candidate)]))[0];
        assert_eq!([90.0, 100.0, 141.0, 142.0, 199.0, 200.0, 399.0, 18_200.0, 1e12].map(bucket), [0, 0, 0, 1, 1, 2, 3, 15, 15]);
        // Of a band the other members are the second-best; later bands are nobody's best.
        let scores = [100.0, 300.0, 1000.0];
        assert_eq!(buckets(&head(&[0, 0, 1]), |candidate| Some(scores[usize::from(candidate)])), [3, 0, OF_OTHERS]);
        assert_eq!(buckets(&head(&[0, 1]), |_| None), [0, OF_OTHERS]);
        assert_eq!(buckets(&head(&[0]), |_| Some(1.0)), [0], "there is no other");
    }

    #[test]
    fn turns_follow_the_number_of_clients_and_buckets_follow_one_another() {
        let mut clients = [0.0; BUCKETS];
        (clients[2], clients[7]) = (300.0, 100.0);
        let turns = turns(&clients);
        assert_eq!((turns[2], turns[7]), (Turns { first: 0, count: 768 }, Turns { first: 768, count: 256 }));
        assert_eq!((turns[0].count, turns[3].first, turns[15].first), (0, 768, 1024));
        assert_eq!(super::turns(&[0.0; BUCKETS]), [Turns::ALL; BUCKETS]);
    }
}

//! Who can be among the first regions of a client, without an exact distance to each: with 1,000 regions and 200,000 places those would take
//! minutes. It ranks nobody: it leaves out those whom no error of an estimate could bring to the front.

use super::{PlanKey, RANKED_REGIONS};
use crate::geo::Point;
use crate::geo::distance::{ESTIMATE_ERROR_M, Vectors, metres_of, squared_chord_of};
use crate::steer::Weight;
use crate::steer::order::UNMEASURED;

/// With fewer candidates than this all are judged: an estimate would save nothing.
const MIN_TO_ESTIMATE: usize = 2 * RANKED_REGIONS;

/// Passes over candidates for one client after the other.
pub(super) struct Shortlist {
    /// Where the candidates stand, in their order.
    vectors: Vectors,
    /// One by the weight of each, in thousandths.
    inverse_weights: Vec<f64>,
    /// Whether all candidates but the standby ones have the same weight.
    equal_weights: bool,
    /// Under this distance all are equally near; none where distance does not matter.
    floor_m: Option<f64>,
    spread_m: f64,
    /// What is known of the client's distances.
    known: Known,
    /// Squared chords from the client to each candidate.
    chords: Vec<f64>,
    /// Estimated metres from the client to each candidate.
    estimates_m: Vec<f64>,
    /// Scores that are no lower, and no higher, than the ones the candidates have. That they are multiplied where the order divides makes a
    /// difference of nanometres, and estimates are wrong by metres.
    scores_at_most: Vec<f64>,
    scores_at_least: Vec<f64>,
}

/// What [`Shortlist::reduce`] goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// Where whoever is nearer has the better score.
    Chords,
    Scores,
}

impl Shortlist {
    /// Prepares what is the same for all clients of a key.
    pub(super) fn new(key: &PlanKey) -> Shortlist {
        let candidates = key.candidates.iter();
        let vectors = Vectors::of(candidates.clone().map(|(_, point, _)| *point));
        let inverse_weights = candidates.clone().map(|(.., weight)| 1.0 / f64::from(weight.unless_zero().milli())).collect();
        let mut weights = candidates.map(|(.., weight)| *weight).filter(|weight| *weight != Weight::ZERO);
        let first = weights.next();
        let equal_weights = weights.all(|weight| Some(weight) == first);
        let (floor_m, spread_m) = (key.order.policy().distance_floor_m().map(f64::from), f64::from(key.spread_m));
        let [chords, estimates_m, scores_at_most, scores_at_least] = [const { Vec::new() }; 4];
        let known = Known::Nothing;
        Shortlist {
            vectors,
            inverse_weights,
            equal_weights,
            floor_m,
            spread_m,
            known,
            chords,
            estimates_m,
            scores_at_most,
            scores_at_least,
        }
    }

    /// Estimates how far all candidates are from a client; `measured` metres take the place of estimates, and are never wrong.
    pub(super) fn estimate(&mut self, client: Option<Point>, measured: &[u32]) {
        self.known = match (client, self.floor_m) {
            (Some(client), Some(floor_m)) if self.vectors.len() >= MIN_TO_ESTIMATE => {
                if self.equal_weights && self.spread_m == 0.0 && measured.is_empty() {
                    self.chords.clear();
                    self.chords.extend(self.vectors.squared_chords(client));
                    Known::Chords
                } else {
                    self.score(client, floor_m, measured);
                    Known::Scores
                }
            }
            _ => Known::Nothing,
        };
    }

    fn score(&mut self, client: Point, floor_m: f64, measured: &[u32]) {
        [&mut self.estimates_m, &mut self.scores_at_most, &mut self.scores_at_least].into_iter().for_each(Vec::clear);
        self.estimates_m.extend(self.vectors.estimates_m(client));
        let pairs = self.estimates_m.iter_mut().zip(measured).filter(|(_, metres)| **metres != UNMEASURED);
        pairs.for_each(|(estimate_m, metres)| *estimate_m = f64::from(*metres));
        let score = |metres: f64, inverse_weight: f64| (if metres > floor_m { metres } else { floor_m }) * inverse_weight;
        let candidates = || self.estimates_m.iter().zip(&self.inverse_weights);
        self.scores_at_most.extend(candidates().map(|(metres, inverse_weight)| score(metres + ESTIMATE_ERROR_M, *inverse_weight)));
        self.scores_at_least.extend(candidates().map(|(metres, inverse_weight)| score(metres - ESTIMATE_ERROR_M, *inverse_weight)));
    }

    /// Leaves those of `waiting` that can be in the bands that will be ranked; the others cannot, however wrong the estimates are.
    ///
    /// A band is opened by the best score that is left, and while fewer than [`RANKED_REGIONS`] are ranked that is one of as many best
    /// scores. Whoever else is in a band is within `spread` of the one that opened it.
    pub(super) fn reduce(&self, waiting: &mut Vec<u16>) {
        if waiting.len() < MIN_TO_ESTIMATE {
            return;
        }
        match self.known {
            Known::Nothing => {}
            Known::Chords => {
                let chord = |candidate: &u16| self.chords[usize::from(*candidate)];
                let nth_m = metres_of(at_most_the_nth(waiting.iter().map(chord))) + ESTIMATE_ERROR_M;
                let limit = squared_chord_of(nth_m.max(self.floor_m.unwrap_or_default()) + ESTIMATE_ERROR_M);
                // Equal distance is equal score.
                waiting.retain(|candidate| chord(candidate) <= limit);
            }
            Known::Scores => {
                let estimate_m = |candidate: &u16| self.estimates_m[usize::from(*candidate)];
                let limit = at_most_the_nth(waiting.iter().map(|candidate| self.scores_at_most[usize::from(*candidate)]));
                let opens = |candidate: &u16| self.scores_at_least[usize::from(*candidate)] <= limit;
                let openers: Vec<u16> = waiting.iter().copied().filter(opens).collect();
                let near_m = self.spread_m + 2.0 * ESTIMATE_ERROR_M;
                let joins = |candidate: &u16| openers.iter().any(|opener| (estimate_m(candidate) - estimate_m(opener)).abs() <= near_m);
                waiting.retain(joins);
            }
        }
    }
}

/// The [`RANKED_REGIONS`]th lowest of the scores; infinite where there are fewer.
fn at_most_the_nth(scores: impl Iterator<Item = f64> + Clone) -> f64 {
    // Dealt to twice as many hands, the lowest scores of as many hands as are wanted bound the result: that spares nearly all scores the search
    // for their place, in which the processor guesses wrong.
    let mut hands = [f64::INFINITY; 2 * RANKED_REGIONS];
    for (turn, score) in scores.clone().enumerate() {
        let hand = &mut hands[turn % (2 * RANKED_REGIONS)];
        *hand = if score < *hand { score } else { *hand };
    }
    hands.sort_unstable_by(f64::total_cmp);
    let bound = hands[RANKED_REGIONS - 1];
    let mut lowest = [f64::INFINITY; RANKED_REGIONS];
    for score in scores.filter(|score| *score <= bound && *score < f64::INFINITY) {
        let mut at = RANKED_REGIONS - 1;
        if score < lowest[at] {
            while at > 0 && lowest[at - 1] > score {
                lowest[at] = lowest[at - 1];
                at -= 1;
            }
            lowest[at] = score;
        }
    }
    lowest[RANKED_REGIONS - 1]
}

//! `least-response-time`: a draw per query in proportion to weight / score, the score being the smoothed time that probes take.
//! It never sends everyone to the fastest: every cache would go there at once, and it would be the slowest.

use super::{Balance, Pick};
use crate::steer::Endpoint;

/// Room for the quotient of a weight and a score.
const SCALE: u64 = 1 << 24;

/// See the module.
#[derive(Debug)]
pub(super) struct LeastResponseTime;

impl Balance for LeastResponseTime {
    fn name(&self) -> &'static str {
        "least-response-time"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        let score = |endpoint: &Endpoint| pick.health.endpoint_score(endpoint.id);
        let slowest = pick.candidates().filter_map(score).max().unwrap_or(1);
        // A weight is at most 10^9, and so many endpoints fit 64 bits.
        let share = |endpoint: &Endpoint| u64::from(endpoint.weight) * SCALE / u64::from(score(endpoint).unwrap_or(slowest));
        pick.draw(share)
    }
}

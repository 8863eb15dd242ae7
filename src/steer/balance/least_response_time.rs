//! `least-response-time`: a draw per query in proportion to weight / score, the score being the smoothed time that probes take, times what
//! the endpoint works on where it says so. It never sends everyone to the fastest: every cache would go there at once, and it would be the slowest.

use super::{Balance, Pick};
use crate::health::score::ScoredBy;

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

    fn scored_by(&self) -> Option<ScoredBy> {
        Some(ScoredBy::Time)
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        pick.draw_by_score()
    }
}

//! `least-connections`: a draw per query in proportion to weight / score, the score being what the endpoint says it works on, smoothed.
//! It never sends everyone to the idlest: an answer serves a whole cache, and the next probe comes seconds later.

use super::{Balance, Pick};
use crate::health::score::ScoredBy;

/// See the module.
#[derive(Debug)]
pub(super) struct LeastConnections;

impl Balance for LeastConnections {
    fn name(&self) -> &'static str {
        "least-connections"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn scored_by(&self) -> Option<ScoredBy> {
        Some(ScoredBy::Active)
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        pick.draw_by_score()
    }
}

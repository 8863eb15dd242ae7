//! `latency`: milliseconds divided by weight. A pair without a measurement counts 100 km of distance as 1 ms; as long as
//! there is no table of measurements all are estimated so, and the order is that of `nearest`. Loading says so in a warning.

use super::nearest::Nearest;
use super::{Candidate, Judged, Order};
use crate::geo::Point;

/// See the module.
#[derive(Debug)]
pub(super) struct Latency;

impl Order for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn uses_place(&self) -> bool {
        true
    }

    fn distance_floor_m(&self) -> Option<u32> {
        Nearest.distance_floor_m()
    }

    fn judge(&self, client: Option<Point>, index: usize, candidate: &Candidate) -> Judged {
        Nearest.judge(client, index, candidate)
    }
}

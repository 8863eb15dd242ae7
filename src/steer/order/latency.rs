//! `latency`: milliseconds divided by weight. A pair without a measurement counts 100 km of distance as 1 ms,
//! so that before any table of measurements is given the order follows distance.

use super::{Candidate, Judged, Order};
use crate::geo::{Point, distance::distance_m};

/// Metres that stand for one millisecond where nothing was measured.
const METRES_PER_MS: f64 = 100_000.0;

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

    fn judge(&self, client: Option<Point>, index: usize, candidate: &Candidate) -> Judged {
        match client {
            Some(point) => {
                let distance = distance_m(point, candidate.point);
                let estimated_ms = (f64::from(distance) / METRES_PER_MS).max(0.01);
                Judged { score: estimated_ms / f64::from(candidate.weight.milli()), measure: Some(u64::from(distance)) }
            }
            None => Judged { score: index as f64, measure: None },
        }
    }
}

//! `nearest`: great-circle distance divided by weight, the lowest first (DESIGN: score = max(d, 1 km) / weight).
//! A weight of 2 pulls clients from twice as far.

use super::{Candidate, Client, Judged, Order};
use crate::geo::distance::distance_m;
use crate::steer::Weight;

/// Under this distance all regions are equally near, so that a weight still counts.
const NEAR_M: u32 = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct Nearest;

impl Nearest {
    /// The judgement of a region that is so many metres away.
    pub(super) fn scored(metres: u32, weight: Weight) -> Judged {
        Judged { score: f64::from(metres.max(NEAR_M)) / f64::from(weight.milli()), measure: Some(u64::from(metres)) }
    }
}

impl Order for Nearest {
    fn name(&self) -> &'static str {
        "nearest"
    }

    fn uses_place(&self) -> bool {
        true
    }

    fn distance_floor_m(&self) -> Option<u32> {
        Some(NEAR_M)
    }

    fn judge(&self, client: &Client<'_>, index: usize, candidate: &Candidate) -> Judged {
        match client.point {
            Some(point) => Nearest::scored(distance_m(point, candidate.point), candidate.weight),
            None => Judged { score: index as f64, measure: None },
        }
    }
}

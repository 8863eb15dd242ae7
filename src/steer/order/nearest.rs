//! `nearest`: great-circle distance divided by weight, the lowest first (DESIGN: score = max(d, 1 km) / weight).
//! A weight of 2 pulls clients from twice as far.

use super::{Candidate, Judged, Order};
use crate::geo::{Point, distance::distance_m};

/// Under this distance all regions are equally near, so that a weight still counts.
const NEAR_M: u32 = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct Nearest;

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

    fn judge(&self, client: Option<Point>, index: usize, candidate: &Candidate) -> Judged {
        match client {
            Some(point) => {
                let distance = distance_m(point, candidate.point);
                Judged { score: f64::from(distance.max(NEAR_M)) / f64::from(candidate.weight.milli()), measure: Some(u64::from(distance)) }
            }
            None => Judged { score: index as f64, measure: None },
        }
    }
}

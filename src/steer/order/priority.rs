//! `priority`: the listed order, each region its own band, whoever asks.

use super::{Candidate, Judged, Order};
use crate::geo::Point;

/// See the module.
#[derive(Debug)]
pub(super) struct Priority;

impl Order for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn uses_place(&self) -> bool {
        false
    }

    fn judge(&self, _client: Option<Point>, index: usize, _candidate: &Candidate) -> Judged {
        Judged { score: index as f64, measure: None }
    }
}

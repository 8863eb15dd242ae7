//! `priority`: the listed order, whoever asks. Each region is its own band, or each tier where the regions are listed in tiers.

use super::{Candidate, Client, Judged, Order};

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

    fn judge(&self, _client: &Client<'_>, index: usize, candidate: &Candidate) -> Judged {
        match candidate.tier {
            // No `spread` reaches from one tier to the next.
            Some(tier) => Judged { score: f64::from(tier), measure: Some(u64::from(tier) << 32) },
            None => Judged { score: index as f64, measure: None },
        }
    }
}

//! `any`: all regions alike, one band of all, unknown clients included; `share` does the rest.

use super::{Candidate, Client, Judged, Order};

/// See the module.
#[derive(Debug)]
pub(super) struct Any;

impl Order for Any {
    fn name(&self) -> &'static str {
        "any"
    }

    fn uses_place(&self) -> bool {
        false
    }

    fn judge(&self, _client: &Client<'_>, _index: usize, _candidate: &Candidate) -> Judged {
        Judged { score: 0.0, measure: Some(0) }
    }
}

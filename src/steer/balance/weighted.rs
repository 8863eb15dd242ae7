//! `weighted`: a draw per query, in proportion to the endpoints' weights. All weights zero = equal shares (BEHAVIOUR P1).

use super::{Balance, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct Weighted;

impl Balance for Weighted {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        pick.draw(|endpoint| u64::from(endpoint.weight))
    }
}

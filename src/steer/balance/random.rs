//! `random`: a draw per query among the living endpoints, all alike.

use super::{Balance, Pick, below};

/// See the module.
#[derive(Debug)]
pub(super) struct Random;

impl Balance for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        below(pick.seed, pick.living.len() as u64) as usize
    }
}

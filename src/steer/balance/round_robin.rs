//! `round-robin`: each answer starts one endpoint further than this worker's last one for the same name, region and family.

use super::{Balance, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct RoundRobin;

impl Balance for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        match pick.living.len() {
            1 => 0,
            count => pick.turns.next(pick.slot) as usize % count,
        }
    }
}

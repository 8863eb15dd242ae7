//! `all`: every living endpoint, as many as an answer may hold; where there are more, each answer begins one further.
//! How many are answered is a setting of the name, which the check sets to the most there may be.

use super::round_robin::RoundRobin;
use super::{Balance, Pick};

/// See the module.
#[derive(Debug)]
pub(super) struct All;

impl Balance for All {
    fn name(&self) -> &'static str {
        "all"
    }

    fn hashes_client(&self) -> bool {
        false
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        RoundRobin.start(pick)
    }
}

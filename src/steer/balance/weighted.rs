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
        let total: u64 = pick.candidates().map(|endpoint| u64::from(endpoint.weight)).sum();
        if total == 0 {
            return below(pick.seed, pick.living.len() as u64) as usize;
        }
        let mut left = below(pick.seed, total);
        let drawn = pick.candidates().position(|endpoint| {
            let weight = u64::from(endpoint.weight);
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        });
        drawn.unwrap_or(0)
    }
}

/// A number under `limit` from a uniform one, by multiplication (Lemire 2019): no division, bias under limit / 2^64.
fn below(uniform: u64, limit: u64) -> u64 {
    ((u128::from(uniform) * u128::from(limit)) >> 64) as u64
}

//! `sticky`: a client keeps its endpoint while that lives: weighted rendezvous of the client's network over the endpoints' addresses.
//! Endpoints of weight 0 get clients only where all weights are 0, equally then (BEHAVIOUR P1).

use super::{Balance, Pick};
use crate::steer::hash::Rendezvous;

/// See the module.
#[derive(Debug)]
pub(super) struct Sticky;

impl Balance for Sticky {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn hashes_client(&self) -> bool {
        true
    }

    fn start(&self, pick: &Pick<'_>) -> usize {
        let mut rendezvous = Rendezvous::new(pick.client);
        let all_are_zero = pick.candidates().all(|endpoint| endpoint.weight == 0);
        let offered = pick.candidates().enumerate().filter(|(_, endpoint)| all_are_zero || endpoint.weight > 0);
        offered.for_each(|(position, endpoint)| rendezvous.offer(pick.identity(endpoint), endpoint.weight, position));
        rendezvous.best().unwrap_or(0)
    }
}

//! What would be if more were down than is: the health of now with some endpoints taken to be measured down. Nobody is answered by it.

use std::sync::Arc;

use super::hosts::place;
use super::state::State;
use crate::health::overrides::Selector;
use crate::snapshot::Snapshot;

/// The world as it is, and as it would be.
#[derive(Debug)]
pub struct Rehearsed {
    /// As it is.
    pub now: Arc<Snapshot>,
    /// With more down.
    pub then: Snapshot,
    /// How many endpoints are taken to be down.
    pub endpoints: usize,
}

impl State {
    /// The worlds without and with the endpoints of the selectors down. What regions shed for lack of capacity stays as it is. The error
    /// names the selector that is nobody's.
    pub(super) fn rehearse(&mut self, down: &[Selector]) -> Result<Rehearsed, String> {
        let mut is_down = vec![false; self.layout.endpoints.len()];
        for selector in down {
            let mut is_known = false;
            for pool in &self.layout.pools {
                for id in pool.endpoints.clone() {
                    if selector.matches(&pool.key.region, &pool.key.service, place(&self.places, id)) {
                        (is_down[id as usize], is_known) = (true, true);
                    }
                }
            }
            if !is_known {
                return Err(format!("`{}` names no endpoint", selector.as_str()));
            }
        }
        let health = self.book().with_down(|id| is_down.get(id.0 as usize).copied().unwrap_or(false)).with_overflow(self.loads.view());
        let then = Snapshot { catalog: Arc::clone(&self.catalog), health: Arc::new(health), generation: self.generation() };
        let pools = self.layout.pools.iter().flat_map(|pool| pool.endpoints.clone().map(move |id| (pool, id)));
        let endpoints = self.count_distinct(pools.filter(|(_, id)| is_down[*id as usize]));
        Ok(Rehearsed { now: self.shared().load(), then, endpoints })
    }
}

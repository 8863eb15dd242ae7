//! What the book remembers of a pool: that it was down, that it waits for an operator, that it comes back in steps.
//! It never judges endpoints; it is told the state that follows from them.

use std::sync::Arc;

use super::PoolStanding;
use crate::health::view::{ADMIT_ALL, Addresses, MinHealthy, PoolKey, PoolLayout, PoolNote, PoolState};

/// Steps of a ramp. More would publish more often than clients could tell.
const RAMP_STEPS: u64 = 32;

/// The share of its clients that a pool takes back at once: a tenth.
const RAMP_FROM: u64 = ADMIT_ALL as u64 / 10;

/// The regions that the guard counts together.
pub(super) type GuardKey = (Arc<str>, Addresses, MinHealthy, u64);

/// What is remembered of one pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// The state that follows from its endpoints.
    state: PoolState,
    pub(super) since_ms: u64,
    pub(super) waits: bool,
    ramp_since_ms: Option<u64>,
    /// It was up just before the last of its name went down.
    pub(super) last_good: bool,
    /// Measured down, but the guard allows no further losses.
    pub(super) held: bool,
    /// `waits` began, and nobody was told.
    news: bool,
}

impl Memory {
    pub(super) fn new(now_ms: u64) -> Memory {
        Memory {
            state: PoolState::Available,
            since_ms: now_ms,
            waits: false,
            ramp_since_ms: None,
            last_good: false,
            held: false,
            news: false,
        }
    }

    /// By what a pool is known again after a reload.
    pub(super) fn key(pool: &PoolLayout) -> (PoolKey, MinHealthy, bool, u64) {
        (pool.key.clone(), pool.min_healthy, pool.together_with.is_some(), pool.group)
    }

    pub(super) fn standing(&self) -> PoolStanding {
        PoolStanding { since_ms: self.since_ms, waits: self.waits }
    }

    /// By what the guard counts it with the other regions of its service.
    pub(super) fn guard_key(pool: &PoolLayout) -> GuardKey {
        (Arc::clone(&pool.key.service), pool.key.addresses, pool.min_healthy, pool.group)
    }

    /// Takes the state that follows from the endpoints now; gives back when to look again.
    pub(super) fn take(&mut self, state: PoolState, pool: &PoolLayout, now_ms: u64) -> Option<u64> {
        let was = std::mem::replace(&mut self.state, state);
        if state != PoolState::Available {
            (self.waits, self.ramp_since_ms) = (false, None);
            return None;
        }
        match was {
            // An operator who lifts an override has decided already.
            PoolState::Down if pool.recovery.manual => (self.waits, self.news) = (true, true),
            PoolState::Down | PoolState::ForcedDown => self.start_ramp(pool, now_ms),
            PoolState::Available | PoolState::Vacant => {}
        }
        let ramp_ms = u64::from(pool.recovery.ramp_ms);
        let since_ms = self.ramp_since_ms.filter(|_| ramp_ms > 0)?;
        if now_ms >= since_ms + ramp_ms {
            self.ramp_since_ms = None;
            return None;
        }
        Some(since_ms + step_ms(step(since_ms, ramp_ms, now_ms) + 1, ramp_ms))
    }

    /// What the view shall make of it.
    pub(super) fn note(&self, pool: &PoolLayout, now_ms: u64) -> PoolNote {
        let ramp_ms = u64::from(pool.recovery.ramp_ms);
        let ramp = self.ramp_since_ms.filter(|_| ramp_ms > 0).map(|since_ms| {
            let step = step(since_ms, ramp_ms, now_ms);
            let admit = RAMP_FROM + (u64::from(ADMIT_ALL) - RAMP_FROM) * step / RAMP_STEPS;
            (u16::try_from(admit).unwrap_or(ADMIT_ALL), since_ms + step_ms(step + 1, ramp_ms))
        });
        PoolNote { waits: self.waits, ramp, last_good: self.last_good, held: self.held }
    }

    /// Ends the waiting.
    pub(super) fn fail_back(&mut self, pool: &PoolLayout, now_ms: u64) {
        self.waits = false;
        self.start_ramp(pool, now_ms);
    }

    /// True once after the waiting began.
    pub(super) fn news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    fn start_ramp(&mut self, pool: &PoolLayout, now_ms: u64) {
        self.ramp_since_ms = (pool.recovery.ramp_ms > 0).then_some(now_ms);
    }
}

/// Steps done by now.
fn step(since_ms: u64, ramp_ms: u64, now_ms: u64) -> u64 {
    (now_ms.saturating_sub(since_ms) * RAMP_STEPS / ramp_ms.max(1)).min(RAMP_STEPS)
}

/// When a step is done, counted from the start.
fn step_ms(step: u64, ramp_ms: u64) -> u64 {
    (step * ramp_ms).div_ceil(RAMP_STEPS)
}

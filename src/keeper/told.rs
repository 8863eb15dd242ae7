//! What others tell of endpoints, in the keeper: taken, taken back, expired; each change is logged once and remembered with who said why.
//! What follows from it the book judges.

use super::hosts::place;
use super::state::State;
use crate::health::overrides::Selector;
use crate::health::told::Told;

/// Who is heard of: a change of what is told, and its number of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// How many endpoints it concerns.
    pub endpoints: usize,
    /// It says something else than before.
    pub is_news: bool,
}

impl State {
    /// Takes a report. The error says why not.
    pub(super) fn tell(&mut self, told: &Told, now_ms: u64) -> Result<Heard, String> {
        let endpoints = self.concerned(&told.selector);
        if endpoints == 0 {
            return Err(format!("`{}` names no endpoint", told.selector.as_str()));
        }
        let is_news = self.told.take(told.clone())?;
        if is_news {
            let Told { selector, state, reason, author, .. } = told;
            tracing::warn!(selector = selector.as_str(), state = state.name(), author, reason, endpoints, "told by others");
            self.told_anew(told, state.name(), now_ms);
        }
        Ok(Heard { endpoints, is_news })
    }

    /// Takes back what one author, or all, told of a selector; gives back how many reports there were.
    pub(super) fn take_back(&mut self, selector: &Selector, author: Option<&str>, now_ms: u64) -> usize {
        let gone = self.told.take_back(selector, author);
        for told in &gone {
            tracing::warn!(selector = told.selector.as_str(), author = told.author, "what others told was taken back");
            self.told_anew(told, "taken back", now_ms);
        }
        gone.len()
    }

    /// Forgets what has expired.
    pub(super) fn expire_told(&mut self, now_ms: u64, now_s: u64) {
        if self.told.next_expiry_s().is_none_or(|due_s| due_s > now_s) {
            return;
        }
        for told in self.told.expire(now_s) {
            tracing::warn!(
                selector = told.selector.as_str(),
                state = told.state.name(),
                author = told.author,
                "what others told has expired"
            );
            self.told_anew(&told, "expired", now_ms);
        }
    }

    /// Judges anew, with what was told as the evidence.
    fn told_anew(&mut self, told: &Told, to: &str, now_ms: u64) {
        let evidence = format!("told by {}: {}", told.author, told.reason);
        self.note_told(now_ms, told.selector.as_str().to_owned(), to, evidence.trim_end_matches([':', ' ']).to_owned());
        let changes = self.reapply(now_ms);
        self.take_because(&changes, evidence.trim_end_matches([':', ' ']));
        self.unsaved = true;
    }

    /// How many endpoints a selector names.
    pub(super) fn concerned(&self, selector: &Selector) -> usize {
        let of_pool = |pool: &crate::health::PoolLayout| {
            let named = |id: &u32| selector.matches(&pool.key.region, &pool.key.service, place(&self.places, *id));
            pool.endpoints.clone().filter(named).count()
        };
        self.layout.pools.iter().map(of_pool).sum()
    }
}

//! What others tell of endpoints, in the keeper: taken, taken back, expired; each change is logged once and remembered with who said why.
//! What follows from it the book judges.

use std::collections::BTreeSet;

use super::hosts::place;
use super::state::State;
use crate::health::PoolLayout;
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
            self.told_anew(told, state.name(), &format!("told by {}", said(author, reason)), now_ms);
        }
        Ok(Heard { endpoints, is_news })
    }

    /// Takes back what one author, or all, told of a selector; gives back how many reports there were.
    pub(super) fn take_back(&mut self, selector: &Selector, author: Option<&str>, now_ms: u64) -> usize {
        let gone = self.told.take_back(selector, author);
        for told in &gone {
            tracing::warn!(selector = told.selector.as_str(), author = told.author, "what others told was taken back");
            self.told_anew(told, "taken back", &format!("what {} told was taken back", told.author), now_ms);
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
            self.told_anew(&told, "expired", &format!("what {} told has expired", told.author), now_ms);
        }
    }

    /// Judges anew, with the evidence of what changed.
    fn told_anew(&mut self, told: &Told, to: &str, evidence: &str, now_ms: u64) {
        self.note_told(now_ms, told.selector.as_str().to_owned(), to, evidence.to_owned());
        let changes = self.reapply(now_ms);
        self.take_because(&changes, evidence);
        self.unsaved = true;
    }

    /// How many endpoints a selector names.
    pub(super) fn concerned(&self, selector: &Selector) -> usize {
        let all = || self.layout.pools.iter().flat_map(|pool| pool.endpoints.clone().map(move |id| (pool, id)));
        self.count_distinct(all().filter(|(pool, id)| selector.matches(&pool.key.region, &pool.key.service, place(&self.places, *id))))
    }

    /// How many endpoints these are to who wrote them: names that judge a region in ways of their own have pools of their own for it, and a host
    /// name is one.
    pub(super) fn count_distinct<'l>(&self, endpoints: impl Iterator<Item = (&'l PoolLayout, u32)>) -> usize {
        endpoints.map(|(pool, id)| (&pool.key.service, &pool.key.region, place(&self.places, id))).collect::<BTreeSet<_>>().len()
    }
}

/// Who said something, and why if that was said, too.
pub(super) fn said(author: &str, reason: &str) -> String {
    if reason.is_empty() { author.to_owned() } else { format!("{author}: {reason}") }
}

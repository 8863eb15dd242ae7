//! The last changes of health, each with what led to it: for those who ask what happened in the night.
//! It judges nothing, and what flaps cannot push out what does not.

use std::collections::VecDeque;

use crate::health::{Change, HealthBook, PoolId, PoolKey};

/// Changes that are kept of one subject: a target, or a service of a region.
const MAX_OF_ONE: usize = 100;

/// Changes that are kept in all; some 200 octets each.
const MAX_CHANGES: usize = 20_000;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds of the keeper's clock.
    pub at_ms: u64,
    /// Who changed.
    pub subject: Subject,
    /// The state so far; empty where there was none.
    pub from: String,
    /// The state now.
    pub to: String,
    /// What led to it, for people.
    pub evidence: String,
}

/// Who changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Something that is probed.
    Target(String),
    /// A service of a region, for a family.
    Region {
        /// The service.
        service: String,
        /// The region.
        region: String,
        /// As [`super::PoolRow::family`].
        family: String,
    },
    /// What is forced by hand, by its selector.
    Override(String),
    /// What others tell, by its selector.
    Told(String),
}

/// The last changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Event>);

impl History {
    /// Hears what changed: a target's change comes right before those of its pools; `why` is what led to those that no target led to.
    pub(super) fn hear(&mut self, changes: &[Change], why: &str, book: &HealthBook) {
        let mut seen = why.to_owned();
        let pool_of = |pool: PoolId| book.layout().pools.get(pool.0 as usize).map(|pool| region(&pool.key));
        for change in changes {
            let event = match change {
                Change::Target { target, from, to, report, at_ms, .. } => {
                    seen = report.to_string();
                    let subject = Subject::Target(target.to_string());
                    Some(Event { at_ms: *at_ms, subject, from: from.to_string(), to: to.to_string(), evidence: seen.clone() })
                }
                Change::Flag { target, flag, at_ms } => {
                    let to = flag.map_or("follows its probes", |flag| flag.text()).to_owned();
                    Some(Event {
                        at_ms: *at_ms,
                        subject: Subject::Target(target.to_string()),
                        from: String::new(),
                        to,
                        evidence: String::new(),
                    })
                }
                Change::Pool { pool, from, to, waits, at_ms } => {
                    let to = if *waits { "waits for an operator".to_owned() } else { to.to_string() };
                    let event = |subject| Event { at_ms: *at_ms, subject, from: from.to_string(), to, evidence: seen.clone() };
                    pool_of(*pool).map(event)
                }
                Change::Held { .. } => None,
            };
            event.into_iter().for_each(|event| self.push(event));
        }
    }

    /// Keeps one change, and forgets the oldest of the same subject, or of all, if there are too many.
    pub(super) fn push(&mut self, event: Event) {
        let same = |other: &&Event| other.subject == event.subject;
        if self.0.iter().filter(same).count() >= MAX_OF_ONE {
            let oldest = self.0.iter().position(|other| other.subject == event.subject);
            oldest.into_iter().for_each(|at| _ = self.0.remove(at));
        } else if self.0.len() >= MAX_CHANGES {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// The last of those that are wanted, newest first.
    pub(super) fn last(&self, limit: usize, is_wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.0.iter().rev().filter(|event| is_wanted(event)).take(limit).cloned().collect()
    }
}

fn region(key: &PoolKey) -> Subject {
    Subject::Region { service: key.service.to_string(), region: key.region.to_string(), family: key.addresses.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, target: &str) -> Event {
        Event { at_ms, subject: Subject::Target(target.into()), from: "up".into(), to: "down".into(), evidence: "timed out".into() }
    }

    #[test]
    fn a_flapping_target_pushes_out_its_own_past_only() {
        let mut history = History::default();
        history.push(event(0, "quiet"));
        (1..=MAX_OF_ONE as u64 + 5).for_each(|at_ms| history.push(event(at_ms, "flapping")));
        let all = history.last(usize::MAX, |_| true);
        assert_eq!((all.len(), all[0].at_ms, all[MAX_OF_ONE - 1].at_ms), (MAX_OF_ONE + 1, 105, 6));
        assert_eq!(all[MAX_OF_ONE], event(0, "quiet"));
        assert_eq!(history.last(1, |event| event.subject == Subject::Target("quiet".into())), [event(0, "quiet")]);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut history = History::default();
        history.0.extend((0..MAX_CHANGES as u64).map(|at_ms| event(at_ms, &at_ms.to_string())));
        history.push(event(9, "one more"));
        assert_eq!((history.0.len(), history.0[0].at_ms), (MAX_CHANGES, 1));
    }
}

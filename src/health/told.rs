//! What others tell of endpoints: a monitor elsewhere, a script, the alarm of a cloud; of whom, what, why, by whom, until when.
//! Pure: it reads no file and asks no time. The book judges it as one more check that must be up, and overrides beat it.

use super::overrides::Selector;
use super::view::{Layout, Verdict};

/// Reports of others at one time: each is looked at for every endpoint whenever one changes.
pub const MAX_TOLD: usize = 1024;

/// Longest time that a report holds, in seconds: who says nothing for a day knows nothing of now.
pub const MAX_EXPIRES_S: u64 = 86_400;

/// What one of them tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whom it concerns.
    pub selector: Selector,
    /// What it says.
    pub state: State,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// Since when it says this, in seconds since 1970.
    pub since_s: u64,
    /// Until when it holds, in seconds since 1970.
    pub until_s: u64,
}

/// What can be told. There is no degraded: how many clients a region takes depends on settings that not every region has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing speaks against it.
    Up,
    /// It is down.
    Down,
}

impl State {
    /// Both, as written.
    pub const ALL: [State; 2] = [State::Up, State::Down];

    /// `up`, `down`.
    pub fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
        }
    }
}

/// Everything that is told and has not expired: of each author the last word on each selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllTold(Vec<Told>);

impl AllTold {
    /// Takes a report; true if it says something else than the last one of its author. The error says why it cannot be taken.
    pub fn take(&mut self, told: Told) -> Result<bool, String> {
        if let Some(earlier) = self.0.iter_mut().find(|earlier| earlier.selector == told.selector && earlier.author == told.author) {
            let is_news = earlier.state != told.state;
            let since_s = if is_news { told.since_s } else { earlier.since_s };
            *earlier = Told { since_s, ..told };
            return Ok(is_news);
        }
        if self.0.len() >= MAX_TOLD {
            return Err(format!("there are {MAX_TOLD} reports already"));
        }
        self.0.push(told);
        Ok(true)
    }

    /// Takes out what was told of this selector, by one author or by all; gives it back.
    pub fn take_back(&mut self, selector: &Selector, author: Option<&str>) -> Vec<Told> {
        self.take_out(|told| told.selector == *selector && author.is_none_or(|author| author == told.author))
    }

    /// Takes out what has expired by now; gives it back.
    pub fn expire(&mut self, now_s: u64) -> Vec<Told> {
        self.take_out(|told| told.until_s <= now_s)
    }

    /// When the next one expires, in seconds since 1970.
    pub fn next_expiry_s(&self) -> Option<u64> {
        self.0.iter().map(|told| told.until_s).min()
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Told> {
        self.0.iter()
    }

    /// Puts it into a layout: the worst that is told of each endpoint. `address` names an endpoint.
    pub fn apply(&self, layout: &mut Layout, address: impl Fn(u32) -> String) {
        let down: Vec<&Told> = self.0.iter().filter(|told| told.state == State::Down).collect();
        for pool in layout.pools.iter().filter(|_| !down.is_empty()) {
            for id in pool.endpoints.clone() {
                let address = address(id);
                if down.iter().any(|told| told.selector.matches(&pool.key.region, &pool.key.service, &address)) {
                    layout.endpoints[id as usize].told = Some(Verdict::Down);
                }
            }
        }
    }

    fn take_out(&mut self, is_out: impl Fn(&Told) -> bool) -> Vec<Told> {
        let (out, stay) = std::mem::take(&mut self.0).into_iter().partition(is_out);
        self.0 = stay;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{EndpointLayout, PoolKey, PoolLayout};

    fn told(selector: &str, author: &str, state: State, since_s: u64) -> Told {
        let (selector, reason) = (Selector::parse(selector).unwrap(), String::new());
        Told { selector, state, reason, author: author.into(), since_s, until_s: since_s + 60 }
    }

    #[test]
    fn the_last_word_of_an_author_counts_and_only_a_change_is_news() {
        let mut all = AllTold::default();
        let news: Vec<bool> = [
            told("a", "one", State::Up, 0),
            told("a", "one", State::Up, 10),
            told("a", "one", State::Down, 20),
            told("a", "one", State::Down, 30),
            told("a", "two", State::Down, 30),
        ]
        .into_iter()
        .map(|told| all.take(told).unwrap())
        .collect();
        assert_eq!(news, [true, false, true, false, true]);
        let kept: Vec<(u64, u64)> = all.iter().map(|told| (told.since_s, told.until_s)).collect();
        assert_eq!(kept, [(20, 90), (30, 90)], "since when it says so, and from the last time on");
        assert_eq!((all.next_expiry_s(), all.expire(89).len(), all.expire(90).len(), all.iter().count()), (Some(90), 0, 2, 0));
    }

    #[test]
    fn one_author_may_take_back_what_it_said_and_an_operator_what_all_said() {
        let mut all = AllTold::default();
        for author in ["one", "two", "three"] {
            all.take(told("a/web", author, State::Down, 0)).unwrap();
        }
        let selector = Selector::parse("a/web").unwrap();
        assert_eq!((all.take_back(&selector, Some("two")).len(), all.take_back(&selector, None).len()), (1, 2));
    }

    #[test]
    fn there_is_a_limit() {
        let mut all = AllTold::default();
        (0..MAX_TOLD).for_each(|n| assert_eq!(all.take(told(&format!("r{n}"), "one", State::Down, 0)), Ok(true)));
        assert!(all.take(told("one-more", "one", State::Down, 0)).is_err());
        assert_eq!(all.take(told("r7", "one", State::Down, 0)), Ok(false), "who is known may go on");
    }

    #[test]
    fn any_who_says_down_is_heard_and_whoever_says_up_beats_nobody() {
        let pool = |region: &str, endpoints| PoolLayout {
            key: PoolKey { service: "web".into(), region: region.into(), ..PoolKey::default() },
            endpoints,
            ..PoolLayout::default()
        };
        let layout =
            Layout { pools: vec![pool("a", 0..2), pool("b", 2..3)], endpoints: vec![EndpointLayout::default(); 3], ..Layout::default() };
        let mut all = AllTold::default();
        all.take(told("a/web/192.0.2.1", "one", State::Down, 0)).unwrap();
        all.take(told("*", "two", State::Up, 0)).unwrap();
        let mut with = layout.clone();
        all.apply(&mut with, |id| format!("192.0.2.{id}"));
        let said: Vec<Option<Verdict>> = with.endpoints.iter().map(|endpoint| endpoint.told).collect();
        assert_eq!(said, [None, Some(Verdict::Down), None]);
    }
}

//! Which zones and names monitoring is told of by name: each is a series that it keeps for months, so there is a limit, and all others are `other`.
//! No series ever runs backwards, and none outlives the name in the configuration.

use std::collections::BTreeMap;

use super::MAX_SERIES;
use super::grid::OTHER;

/// How a name that was ever counted is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// By name.
    Own,
    /// It had a series, and no configuration has it any more. Its count goes nowhere: `other` must not jump.
    Gone,
    /// In `other`, for good: `other` must not run backwards.
    Other,
}

/// What was decided so far. As large as the sums that it is shown.
#[derive(Debug, Default)]
pub(super) struct Series {
    standings: BTreeMap<Box<str>, Standing>,
    own: usize,
}

/// What is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// By name, in order.
    pub(super) own: Vec<(Box<str>, u64)>,
    /// The sum of all others, where there are any.
    pub(super) others: Option<u64>,
}

impl Series {
    /// What is told of these sums; `is_live` says whether a configuration in force has a name.
    pub(super) fn show(&mut self, sums: &BTreeMap<Box<str>, u64>, is_live: impl Fn(&str) -> bool) -> Shown {
        let mut shown = Shown::default();
        // Those that have gone make room first.
        for (name, standing) in self.standings.iter_mut().filter(|(_, standing)| **standing == Standing::Own) {
            if !is_live(name) {
                *standing = Standing::Gone;
                self.own -= 1;
            }
        }
        for (name, count) in sums {
            let is_new = |own: usize| &**name != OTHER && own < MAX_SERIES && is_live(name);
            let standing = match self.standings.get(name) {
                Some(Standing::Gone) if is_new(self.own) => Standing::Own,
                Some(known) => *known,
                None if is_new(self.own) => Standing::Own,
                None => Standing::Other,
            };
            if self.standings.get(name) != Some(&standing) {
                self.own += usize::from(standing == Standing::Own);
                self.standings.insert(name.clone(), standing);
            }
            match standing {
                Standing::Own => shown.own.push((name.clone(), *count)),
                Standing::Other => shown.others = Some(shown.others.unwrap_or(0).wrapping_add(*count)),
                Standing::Gone => {}
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(counts: &[(&str, u64)]) -> BTreeMap<Box<str>, u64> {
        counts.iter().map(|(name, count)| ((*name).into(), *count)).collect()
    }

    fn names(shown: &Shown) -> Vec<&str> {
        shown.own.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn a_name_that_no_configuration_has_is_told_of_no_longer_and_comes_back_where_it_was() {
        let mut series = Series::default();
        let counted = sums(&[("a", 3), ("b", 4)]);
        assert_eq!(names(&series.show(&counted, |_| true)), ["a", "b"]);
        let without = series.show(&counted, |name| name != "a");
        assert_eq!((names(&without), without.others), (vec!["b"], None), "its count does not jump into `other`");
        let again = series.show(&sums(&[("a", 5), ("b", 4)]), |_| true);
        assert_eq!(again.own[0], ("a".into(), 5));
    }

    #[test]
    fn what_is_in_other_stays_there_when_there_is_room_again() {
        let mut series = Series::default();
        let many: Vec<String> = (0..MAX_SERIES + 2).map(|n| format!("n{n:05}")).collect();
        let counted: BTreeMap<Box<str>, u64> = many.iter().map(|name| (name.as_str().into(), 1)).collect();
        assert_eq!(series.show(&counted, |_| true).others, Some(2));
        let later = series.show(&counted, |name| name != "n00000");
        assert_eq!((later.own.len(), later.others), (MAX_SERIES - 1, Some(2)));
        // One that is new takes the room.
        let mut more = counted;
        more.insert("new".into(), 7);
        let later = series.show(&more, |name| name != "n00000");
        assert_eq!((later.own.len(), later.own.last().cloned(), later.others), (MAX_SERIES, Some(("new".into(), 7)), Some(2)));
    }
}

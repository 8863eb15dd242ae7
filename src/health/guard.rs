//! The guard: how many regions of a service may go down by measurement, so that a fault of what measures cannot take out all of them.
//! It counts and says no; it neither measures nor holds anything itself.

/// `guard:` of the server file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Of the regions that were up when the window began, at most this share may go down in it, in percent (`max_auto_down`).
    pub max_auto_down: Option<u8>,
    /// At most so many regions may go down in a window (`max_down_rate`).
    pub max_down_rate: Option<u32>,
    /// Length of a window in milliseconds.
    pub window_ms: u32,
}

impl Guard {
    /// How many of `up` regions may go down in one window.
    pub fn allows(&self, up: u32) -> u32 {
        let share = self.max_auto_down.map_or(u64::from(up), |percent| u64::from(up) * u64::from(percent) / 100);
        // At most `up`.
        (share as u32).min(self.max_down_rate.unwrap_or(u32::MAX))
    }
}

/// What the guard has seen of the regions of one service and family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// When it began; none: the next fall begins one.
    since_ms: Option<u64>,
    up: u32,
    downs: u32,
}

impl Window {
    /// A region is about to go down while `up` are up, itself counted. False: it must be held.
    pub fn may_fall(&mut self, guard: &Guard, up: u32, now_ms: u64) -> bool {
        if self.since_ms.is_none_or(|since_ms| now_ms >= since_ms + u64::from(guard.window_ms)) {
            *self = Window { since_ms: Some(now_ms), up, downs: 0 };
        }
        let may = self.downs < guard.allows(self.up);
        self.downs += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Guard = Guard { max_auto_down: Some(50), max_down_rate: None, window_ms: 60_000 };

    #[test]
    fn at_most_the_share_of_those_that_were_up_at_the_start_of_the_window() {
        let mut window = Window::default();
        let falls: Vec<bool> = [(5, 0), (4, 10), (3, 59_999)].map(|(up, now_ms)| window.may_fall(&HALF, up, now_ms)).into();
        assert_eq!(falls, [true, true, false]);
        // The next window begins with the three that are left: one may go.
        assert!(window.may_fall(&HALF, 3, 60_000) && !window.may_fall(&HALF, 2, 60_001));
        assert!(!Window::default().may_fall(&HALF, 1, 0), "the last one is always held");
    }

    #[test]
    fn the_rate_bounds_as_well() {
        let guard = Guard { max_down_rate: Some(1), ..HALF };
        let mut window = Window::default();
        assert!(window.may_fall(&guard, 8, 0) && !window.may_fall(&guard, 7, 1));
        assert_eq!([Guard { max_auto_down: None, ..guard }.allows(8), HALF.allows(8), HALF.allows(1)], [1, 4, 0]);
    }
}

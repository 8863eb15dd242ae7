//! A bar on the terminal for what takes over a second. It works nothing out: whoever works says how far it is.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::clock::Clock;
use crate::progress::{Progress, Step};

/// Progress is shown from here on: what is done in a moment needs none.
const QUIET_MS: u64 = 1_000;

/// So often at most: a terminal is slow, and the eye too.
const REDRAW_MS: u64 = 100;

/// Of the bar, in characters.
const WIDTH: usize = 30;

/// Shows progress on standard error if that is a terminal. What is shown is gone when the work has ended.
pub(super) fn on_terminal() -> Progress {
    if !std::io::stderr().is_terminal() {
        return Progress::default();
    }
    let clock = Clock::system();
    let bar = Mutex::new(Bar::beginning(clock.now_ms()));
    Progress::told_to(move |step| {
        if let Some(text) = bar.lock().unwrap_or_else(PoisonError::into_inner).text(step, clock.now_ms()) {
            // A terminal that has gone takes nothing, which is no matter of the work.
            _ = write!(std::io::stderr(), "{text}");
        }
    })
}

/// What is on the terminal.
struct Bar {
    /// Not before this.
    next_ms: u64,
    is_shown: bool,
}

impl Bar {
    fn beginning(now_ms: u64) -> Bar {
        Bar { next_ms: now_ms + QUIET_MS, is_shown: false }
    }

    /// What is to be written now, if anything.
    fn text(&mut self, step: Option<Step>, now_ms: u64) -> Option<String> {
        let Some(Step { what, done, count }) = step else {
            return std::mem::take(&mut self.is_shown).then(|| "\r\x1b[K".to_owned());
        };
        if now_ms < self.next_ms {
            return None;
        }
        (self.next_ms, self.is_shown) = (now_ms + REDRAW_MS, true);
        let filled = (done * WIDTH / count.max(1)).min(WIDTH);
        Some(format!("\r\x1b[K[{}{}] {what} {done}/{count}", "#".repeat(filled), " ".repeat(WIDTH - filled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_comes_after_a_second_ten_times_a_second_at_most_and_goes() {
        let mut bar = Bar::beginning(500);
        let step = |done| Some(Step { what: "files", done, count: 4 });
        assert_eq!(bar.text(step(1), 1_499), None);
        assert_eq!(bar.text(None, 1_499), None, "nothing is there to be wiped away");
        assert_eq!(bar.text(step(2), 1_500).as_deref(), Some("\r\x1b[K[###############               ] files 2/4"));
        assert_eq!(bar.text(step(3), 1_599), None);
        assert_eq!(bar.text(step(4), 1_600).as_deref(), Some("\r\x1b[K[##############################] files 4/4"));
        assert_eq!((bar.text(None, 1_601).as_deref(), bar.text(None, 1_602)), (Some("\r\x1b[K"), None));
    }
}

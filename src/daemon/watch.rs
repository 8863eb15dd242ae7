//! Watches what the last load has read, and wishes for a reload once it has changed and come to rest. It looks, again and again, rather than
//! be told: that sees changes on network file systems, behind links at any height, and of files that were not there, and loses none.
//! It loads nothing; a reload that it wishes for is one like any other.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::seen::look;
use crate::diag::Seen;
use crate::server;

/// From one look to the next. A few hundred files take some hundred microseconds.
const LOOK_EVERY_MS: u64 = 500;

/// Looking takes at most one part in so many of a core's time, however many files there are.
const SHARE: u64 = 50;

/// What has changed is loaded when it has looked the same for this long: several files are changed one after the other, and large ones take
/// their time.
const QUIET_MS: u64 = 1_000;

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Watch(Sender<Option<Vec<Seen>>>);

impl Watch {
    /// Starts it; it watches nothing yet. `wish` hears when something has changed.
    pub(super) fn start(clock: Clock, wish: mpsc::Sender<()>) -> io::Result<Watch> {
        let (tell, told) = channel();
        Builder::new().name("watch".into()).spawn(move || watch(&told, &clock, &wish))?;
        Ok(Watch(tell))
    }

    /// Watches this from now on: what a load has seen, as it looked just before it was read. None = nothing.
    pub(super) fn follow(&self, seen: Option<Vec<Seen>>) {
        // It ends only with us.
        _ = self.0.send(seen);
    }
}

fn watch(told: &Receiver<Option<Vec<Seen>>>, clock: &Clock, wish: &mpsc::Sender<()>) {
    if let Err(error) = server::stand_back() {
        tracing::debug!(%error, "watching takes as much time as the answers");
    }
    let mut watched: Option<(Vec<Seen>, Rest)> = None;
    let mut pause = Duration::ZERO;
    loop {
        let news = match &watched {
            Some(_) => told.recv_timeout(pause),
            None => told.recv().map_err(|_gone| RecvTimeoutError::Disconnected),
        };
        match news {
            Ok(seen) => {
                watched = seen.map(|seen| {
                    let rest = Rest::new(seen.iter().map(|seen| seen.look));
                    (seen, rest)
                });
                pause = Duration::from_millis(LOOK_EVERY_MS);
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let Some((seen, rest)) = &mut watched else { continue };
                let start_ms = clock.now_ms();
                if rest.look(seen.iter().map(|seen| look(&seen.place)), start_ms) {
                    // A wish that waits already is this one too.
                    _ = wish.try_send(());
                }
                let took_ms = clock.now_ms() - start_ms;
                pause = Duration::from_millis(LOOK_EVERY_MS.max(took_ms * SHARE));
            }
        }
    }
}

/// Whether what changed has come to rest. Time is an argument.
#[derive(Debug)]
struct Rest {
    /// As it was loaded.
    loaded: Vec<u64>,
    /// As it looked last, and since when.
    latest: Vec<u64>,
    since_ms: u64,
}

impl Rest {
    fn new(loaded: impl Iterator<Item = u64>) -> Rest {
        let loaded: Vec<u64> = loaded.collect();
        Rest { latest: loaded.clone(), loaded, since_ms: 0 }
    }

    /// True if things are other than they were loaded, and have been as they are for [`QUIET_MS`]; once, as they are to be loaded then.
    fn look(&mut self, now: impl Iterator<Item = u64>, now_ms: u64) -> bool {
        let now: Vec<u64> = now.collect();
        if now != self.latest {
            (self.latest, self.since_ms) = (now, now_ms);
        }
        let is_due = self.latest != self.loaded && now_ms >= self.since_ms + QUIET_MS;
        if is_due {
            self.loaded.clone_from(&self.latest);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_a_change_counts_once_it_has_been_quiet_and_one_that_is_taken_back_is_none() {
        let mut rest = Rest::new([1, 2].into_iter());
        let mut look = |now: [u64; 2], now_ms| rest.look(now.into_iter(), now_ms);
        assert!(!look([1, 2], 0) && !look([1, 2], 5_000), "nothing has changed");
        assert!(!look([1, 3], 6_000) && !look([1, 3], 6_999), "it may go on");
        assert!(!look([1, 4], 7_000) && !look([1, 4], 7_999), "it went on");
        assert!(!look([1, 2], 8_000) && !look([1, 2], 20_000), "all is as it was loaded");
        assert!(!look([9, 2], 21_000) && look([9, 2], 22_000));
        assert!(!look([9, 2], 23_000), "once");
    }
}

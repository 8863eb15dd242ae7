//! The only file that asks the time: a monotonic clock in milliseconds and the wall clock in seconds, or a fake of both for tests.
//! It never waits, and nothing below the keeper holds a clock: there, time is an argument.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that may be cloned freely: all clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    System(Instant),
    Fake(Arc<Hands>),
}

/// What a fake clock shows.
#[derive(Debug, Default)]
struct Hands {
    monotonic_ms: AtomicU64,
    wall_s: AtomicU64,
}

impl Clock {
    /// The clock of this machine; its monotonic time starts at 0 now.
    pub fn system() -> Clock {
        Clock { source: Source::System(Instant::now()) }
    }

    /// Monotonic milliseconds since this clock was made (a fake one: as set). Never runs backwards, is not a time of day.
    pub fn now_ms(&self) -> u64 {
        match &self.source {
            Source::System(start) => u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            Source::Fake(hands) => hands.monotonic_ms.load(Ordering::Relaxed),
        }
    }

    /// Monotonic microseconds since this clock was made, for how long something took; a fake clock moves by whole milliseconds.
    pub fn now_us(&self) -> u64 {
        match &self.source {
            Source::System(start) => u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            Source::Fake(_) => self.now_ms().saturating_mul(1_000),
        }
    }

    /// Nanoseconds since 1970-01-01 UTC, to compare with what the kernel notes; 0 on a machine whose clock stands before that. A fake clock
    /// shows whole seconds.
    pub fn wall_ns(&self) -> u64 {
        match &self.source {
            Source::System(_) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }
            Source::Fake(hands) => hands.wall_s.load(Ordering::Relaxed).saturating_mul(1_000_000_000),
        }
    }

    /// Seconds since 1970-01-01 UTC; 0 on a machine whose clock stands before that.
    pub fn wall_s(&self) -> u64 {
        self.wall_ms() / 1_000
    }

    /// Milliseconds since 1970-01-01 UTC; 0 on a machine whose clock stands before that. A fake clock shows whole seconds.
    pub fn wall_ms(&self) -> u64 {
        self.wall_ns() / 1_000_000
    }
}

/// Measures how long something takes, where a millisecond is too coarse; no fake of it is needed, as nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Nanoseconds since the start.
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// When a file was last written, in seconds since 1970-01-01 UTC; none where the file system does not say.
pub fn modified_s(path: &Path) -> Option<u64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    modified.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// A clock that stands still until it is moved by hand; starts at 0 ms and at 0 s of wall time.
#[derive(Debug, Clone, Default)]
pub struct FakeClock {
    hands: Arc<Hands>,
}

impl FakeClock {
    /// A fake clock at zero.
    pub fn new() -> FakeClock {
        FakeClock::default()
    }

    /// The clock that shows what this fake is set to.
    pub fn clock(&self) -> Clock {
        Clock { source: Source::Fake(Arc::clone(&self.hands)) }
    }

    /// Moves the monotonic time forward; the wall time follows by whole seconds.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.hands.monotonic_ms.fetch_add(by_ms, Ordering::Relaxed);
        let seconds = (before_ms + by_ms) / 1000 - before_ms / 1000;
        self.hands.wall_s.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Sets the wall time, in seconds since 1970-01-01 UTC, as an administrator would; the monotonic time does not care.
    pub fn set_wall_s(&self, wall_s: u64) {
        self.hands.wall_s.store(wall_s, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_clock_moves_only_by_hand_and_all_clones_agree() {
        let fake = FakeClock::new();
        let (one, other) = (fake.clock(), fake.clock().clone());
        fake.set_wall_s(1_700_000_000);
        fake.advance(Duration::from_millis(1500));
        fake.advance(Duration::from_millis(1500));
        assert_eq!((one.now_ms(), one.wall_s()), (3000, 1_700_000_003));
        assert_eq!((other.now_ms(), other.wall_s()), (3000, 1_700_000_003));
    }

    #[test]
    fn the_system_clock_never_runs_backwards() {
        let clock = Clock::system();
        let first = clock.now_ms();
        assert!(clock.now_ms() >= first);
        assert!(clock.wall_s() > 1_600_000_000);
    }
}

//! What a pool's state came from, for those who ask why: since when, and what was seen. It is carried with the view and never decides.

use std::sync::Arc;

/// How a pool came to be what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// Since when its state is what it is, in milliseconds of the keeper's clock.
    pub since_ms: u64,
    /// The last report of the target whose change led to it; empty where no probe did.
    pub evidence: Arc<str>,
}

/// Seconds in one word: `42s`, `7m`, `3h`, `5d`.
pub fn age_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

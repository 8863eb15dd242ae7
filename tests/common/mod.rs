//! What the integration tests share: folders of files, queries and replies, worlds in memory, the running binary, back ends to probe.
//! Nothing here expects anything of Meridian; each test file says what it expects.

#![allow(dead_code, reason = "every test file is a program of its own and uses its own part of this")]

pub(crate) mod api;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod folder;
pub(crate) mod gauge;
pub(crate) mod message;
pub(crate) mod random;
pub(crate) mod readers;
pub(crate) mod secure;
pub(crate) mod server;
pub(crate) mod world;

use std::process::Command;
use std::time::{Duration, Instant};

/// Long enough for a busy machine: no test waits for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// Set where all tools are installed (`.ci/run`), so that a test that does not find its own fails.
const NEED_TOOLS: &str = "MERIDIAN_TESTS_NEED_TOOLS";

/// Says that a test is skipped for want of a program; fails it where [`NEED_TOOLS`] is set.
pub(crate) fn skip_without(program: &str) {
    assert!(std::env::var_os(NEED_TOOLS).is_none(), "`{program}` is not installed, and {NEED_TOOLS} is set");
    eprintln!("skipped: `{program}` is not installed");
}

/// Sends a signal to a process that a test has started; false if there is none.
pub(crate) fn signal(process: u32, name: &str) -> bool {
    Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status().is_ok_and(|status| status.success())
}

/// Asks again and again until it is so; `describe` says what was seen instead when it never is.
#[track_caller]
pub(crate) fn wait_until(is_so: impl Fn() -> bool, describe: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{}", describe());
        // The state of another process or another machine's answer makes no event here, so one can only look again; and it shares the
        // machine with whoever looks.
        std::thread::sleep(PAUSE);
    }
}

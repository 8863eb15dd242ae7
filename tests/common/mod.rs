//! What the integration tests share: folders of files, queries and replies, worlds in memory, the running binary, back ends to probe.
//! Nothing here expects anything of Meridian; each test file says what it expects.

#![allow(dead_code, reason = "every test file is a program of its own and uses its own part of this")]

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod folder;
pub(crate) mod message;
pub(crate) mod readers;
pub(crate) mod server;
pub(crate) mod world;

use std::time::Duration;

/// Long enough for a busy machine: no test waits for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

//! Networks that break: Meridian in a network namespace of its own, its regions in another one, and between them packets that get lost,
//! rejected or swallowed. It needs root, `ip` and `nft`, and says so where it is skipped; nothing outside its namespaces is touched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod narrow;
mod net;

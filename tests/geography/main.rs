//! Geography and scope by the rules of BEHAVIOUR.md (E6, E7, S, G, P7, P8): made-up worlds and a judge of their own, files read by a running
//! server, the commands, and a caching resolver in front. Each test's name begins with the number of its rule where it has one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod cached;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod judge;
mod moves;
mod negatives;
mod reload;
mod rules;
mod scopes;
mod worlds;

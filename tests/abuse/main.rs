//! Abuse: what a flood gets and what it costs others. Workers are driven with a clock of the test's own; the real binary is asked by
//! sockets and by other people's clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod access;
#[path = "../common/mod.rs"]
mod common;
mod cookies;
mod house;
mod peers;
mod rates;
mod ways;

//! The tools over the one decision: explanations by command, by control socket and by DNS, and what else rehearses, compares and tests answers.
//! Each is held against what the server answers; nothing here knows how a decision is made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod agree;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod expectations;
mod explain;
mod why;

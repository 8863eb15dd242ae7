//! Floods on loopback: whatever a crowd of strangers sends, others keep their answers, memory stays as it was, and every packet is accounted
//! for: read by the server, or thrown away by the kernel and counted as that. Counts decide, never times, so that a busy machine may be slow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod encrypted;
mod packets;
mod streams;

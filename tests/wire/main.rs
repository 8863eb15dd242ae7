//! The rules of BEHAVIOUR.md for what goes over the wire, asked over real sockets of a running server: UDP and TCP, IPv4 and IPv6.
//! Each test's name begins with the number of its rule. Every reply is read by hickory-proto and by domain on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod ecs;
mod house;
mod protocol;
mod transport;
mod zones;

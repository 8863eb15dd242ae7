//! Meridian: an authoritative DNS server for GeoDNS and global server load balancing.

pub mod clock;
pub mod diag;
pub mod health;
pub mod prober;

//! Meridian: an authoritative DNS server for GeoDNS and global server load balancing.

pub mod diag;
pub mod metrics;
pub mod server;

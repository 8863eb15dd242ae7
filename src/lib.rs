//! Meridian: an authoritative DNS server for GeoDNS and global server load balancing.
//!
//! The modules in reading order: first the words (`name`, `number`, `random`, `diag`, `progress`, `certificate`, `clock`), then what a query meets on its way
//! (`wire`, `zone`, `geo`, `health`, `steer`, `answer`, `snapshot`), then what prepares that world (`config`, `keeper`, `prober`) and tries
//! it beforehand (`rehearsal`),
//! and last what carries it (`handover`, `server`, `metrics`, `querylog`, `api`, `daemon`, `cli`). ARCHITECTURE.md says who may import whom.

pub mod answer;
pub mod api;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod diag;
pub mod geo;
pub mod handover;
pub mod health;
pub mod keeper;
pub mod metrics;
pub mod name;
pub mod number;
pub mod prober;
pub mod progress;
pub mod querylog;
pub mod random;
pub mod rehearsal;
pub mod server;
pub mod snapshot;
pub mod steer;
pub mod wire;
pub mod zone;
